//! What a client tells its application.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;
use wire::contact::Contact;
use wire::message::{BodyKind, Entry, Range, Refused, Summary};
use wire::presence::{OwnPresence, Presence};
use wire::profile::ProfileChanged;
use wire::{ConversationId, UserId};

use crate::error::RefusedByNode;
use crate::transport::{Address, Fingerprint};

/// Events that wait for a slow subscriber. When there are more, it gets [`Event::Missed`] instead of the oldest.
pub const EVENTS_MAX: usize = 1_024;

/// Something that happened. What concerns conversations is on disk when it is told; it is a hint to read the store, which
/// is the truth.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection changed.
    Connection(Connection),
    /// The next entry of a conversation, own ones included: each once and in order.
    Message { conversation: ConversationId, entry: Entry },
    /// These entries will not come, and why.
    Gap { conversation: ConversationId, range: Range },
    /// The node was restored from an older state: entries that were told before may be gone from the conversation.
    Restored { conversation: ConversationId },
    /// Head, marks or unread count of a conversation changed.
    Conversation(Summary),
    /// A name became known.
    Named { user: UserId, name: String },
    /// It became known that this user's account is gone.
    UserDeleted { user: UserId },
    /// All that was there when this session began is applied.
    CaughtUp,
    /// A send is on the node's disk.
    Sent { conversation: ConversationId, counter: u64, seq: u64 },
    /// The node cannot take a send now; it is tried again.
    SendDelayed { counter: u64, refused: RefusedByNode },
    /// No answer for 10 s; it is tried once more after the next connect, and with the next send of its conversation.
    SendUnanswered { counter: u64 },
    /// A send is given up.
    SendFailed { conversation: ConversationId, counter: u64, reason: String },
    /// A row of the user's contacts: made by another device of his, or by the other one, perhaps while this one was away.
    ContactChanged(Contact),
    /// [`Client::known_contacts`](crate::Client::known_contacts) is up to date; after each login, and after
    /// [`Event::ContactsMissed`]. The whole list of a new device comes with this alone and is not told row by row.
    ContactsSynced,
    /// Whether the user wants adverts: told after each login, and when a device of his has changed it.
    Adverts { on: bool },
    /// The system tells something to those who are online now. It is in no conversation and is not told again; `time_ms` is
    /// when the node took it, Unix milliseconds.
    Announced { conversation: ConversationId, time_ms: u64, body_kind: BodyKind, body: Bytes },
    /// Another device of the account changed its profile.
    ProfileChanged(Box<ProfileChanged>),
    /// Changes of contacts, or of the own profile, may not have come. Contacts are synced by themselves; read the profile again.
    ContactsMissed,
    /// The directory of the organisation has a new version: [`Client::sync_org`](crate::Client::sync_org), if it is shown.
    OrgChanged { version: u64 },
    /// Contacts whose state changed: online, away, busy or offline, and what they write beside it. Who is invisible is
    /// offline. The newest counts.
    PresenceChanged(Vec<Presence>),
    /// The own state, changed on another device.
    OwnPresence(OwnPresence),
    /// Changes of states may not have come: ask again who is online.
    PresenceMissed,
    /// The certificate met at this address is remembered from now on.
    CertificateRemembered { address: Address, fingerprint: Fingerprint },
    /// This subscriber was too slow: read what it shows from the store again.
    Missed,
}

/// The state of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Nobody asked to be connected.
    Idle,
    Connecting,
    /// Logged in. `resumed`: without a password.
    Online {
        resumed: bool,
    },
    /// Lost; the next try begins after this delay from the event.
    Waiting {
        delay: Duration,
        reason: String,
    },
    /// The folder cannot log in by itself: call [`Client::login`](crate::Client::login).
    LoginNeeded {
        refused: Option<RefusedByNode>,
    },
    /// It will not come back by itself.
    Stopped {
        cause: StopCause,
        reason: String,
    },
}

/// Why a connection does not come back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// The node's certificate is not the trusted one, or the node did not prove that it knows the account.
    Untrusted,
    /// Node and client have no protocol version in common.
    Version,
    /// The session was ended from elsewhere.
    SessionEnded,
    /// The folder belongs to another account.
    OtherAccount,
    /// The local store failed. The client is closed.
    Folder,
    /// The application closed the client.
    Closed,
}

/// A subscription to events.
#[derive(Debug)]
pub struct Events {
    pub(crate) receiver: broadcast::Receiver<Event>,
}

impl Events {
    /// The next event; `None` when the client is closed. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Event::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// An event that is there already.
    pub fn waiting(&mut self) -> Option<Event> {
        match self.receiver.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Event::Missed),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }
}

/// One sentence for people.
pub(crate) fn sentence(refused: Refused) -> String {
    RefusedByNode::from(refused).to_string()
}
