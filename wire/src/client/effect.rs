//! What a session asks of its surroundings and tells the application.

use bytes::Bytes;

use super::stored::PersistOp;
use crate::account::AccountAnswer;
use crate::contact::{Contact, ContactsSynced, Related};
use crate::device::Device;
use crate::ids::{ConversationId, DeviceId, UserId};
use crate::message::{Entry, MarkKind, Place, Pulled, Range, Refused, Summary, Welcome};
use crate::notice::Announced;
use crate::operator::OperatorAnswer;
use crate::org::OrgSynced;
use crate::presence::{OwnPresence, Presence, PresenceFound, PresenceSynced};
use crate::profile::ProfileChanged;
use crate::refusal::Refusal;

/// Names a group of [`PersistOp`]s; later groups have higher tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistToken(pub u64);

/// Names a question of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// Something to be done outside, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write these bytes to the connection.
    Transmit(Bytes),
    /// Write all of it or nothing of it, in the order of the tokens, then call
    /// [`Session::handle_persisted`](super::Session::handle_persisted). Several groups may be written as one.
    Persist { token: PersistToken, ops: Vec<PersistOp> },
    /// Stretch the password with these terms ([`crate::scram::stretch`]), then call
    /// [`Session::handle_stretched`](super::Session::handle_stretched).
    NeedStretch { salt: Vec<u8>, iterations: u32 },
    /// Tell the application.
    Event(ClientEvent),
    /// Close the connection. Do not call `handle_disconnected` for it.
    Disconnect(Reason),
    /// Open a new connection after this delay, to one of these addresses; with none, to the one used before. Then call
    /// `handle_connected`, or `handle_connect_failed`.
    ReconnectAfter { delay_ms: u64, addresses: Vec<String> },
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The application wanted it.
    Asked,
    /// The other side or the network closed it.
    Lost,
    /// The connection could not be opened.
    Unreachable,
    /// The node said that it closes, and why.
    Closed(Refused),
    /// The node asked to connect anew.
    Moved,
    /// Nothing came for too long.
    Silent,
    /// The node broke the protocol.
    Misbehaved(&'static str),
    /// The node did not prove that it knows this account. Do not trust this address.
    NodeUnproven,
    /// The node speaks no version of the protocol that this client speaks.
    Version,
    /// The account that logged in is not the one of the persisted state.
    OtherAccount,
}

impl Reason {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Reason::Lost | Reason::Unreachable | Reason::Moved | Reason::Silent | Reason::Misbehaved(_) => {
                true
            }
            Reason::Closed(refused) => !Refusal::from_code(refused.code).is_some_and(Refusal::ends_session),
            Reason::Asked | Reason::NodeUnproven | Reason::Version | Reason::OtherAccount => false,
        }
    }
}

/// What the application is told. Everything about a conversation is told only once it is persisted.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// The node answered the first frame.
    Welcomed(Welcome),
    /// Neither a ticket nor a name is known: call `log_in` or `register`.
    LoginNeeded,
    /// The account exists now; the login follows by itself.
    Registered {
        user: UserId,
    },
    RegisterRefused(Refused),
    LoginRefused(Refused),
    /// `resumed`: without a password.
    LoggedIn {
        user: UserId,
        name: String,
        device: DeviceId,
        resumed: bool,
    },
    LoggedOut,
    /// The node asks to connect to one of these addresses (none: the same one) after this delay. A new connection may be
    /// opened at once; it is used when `Disconnect` and `ReconnectAfter` come.
    MoveAsked {
        addresses: Vec<String>,
        delay_ms: u64,
    },
    /// The connection is gone. Transient reasons are followed by a new connection.
    Disconnected(Reason),

    /// The next entry of a conversation: each one once and in order. Own ones too.
    Message {
        conversation: ConversationId,
        entry: Entry,
    },
    /// These entries will not come, and why.
    Gap {
        conversation: ConversationId,
        range: Range,
    },
    /// The conversation was restored from an older state on the node: entries told before may be gone from it.
    EpochChanged {
        conversation: ConversationId,
        epoch: u32,
    },
    /// A mark moved, of the own user or of the other one.
    Marked {
        conversation: ConversationId,
        user: UserId,
        kind: MarkKind,
        place: Place,
    },
    /// Heads, marks or the unread count of a conversation changed.
    Summary(Summary),
    /// All that was there when this session began is applied.
    CaughtUp,

    /// A send is on the node's disk.
    Sent {
        conversation: ConversationId,
        counter: u64,
        place: Place,
        time_ms: u64,
    },
    /// A send waits for the node; it is tried again by itself.
    SendDelayed {
        conversation: ConversationId,
        counter: u64,
        refused: Refused,
    },
    /// No answer for 10 s. It is tried once more after the next connect, and with the next send of its conversation; a late
    /// answer still counts.
    SendUnanswered {
        conversation: ConversationId,
        counter: u64,
    },
    /// A send is given up.
    SendFailed {
        conversation: ConversationId,
        counter: u64,
        failure: SendFailure,
    },

    UserFound {
        query: QueryId,
        user: UserId,
        name: String,
        /// The account is gone.
        deleted: bool,
    },
    History {
        query: QueryId,
        pulled: Pulled,
    },
    /// What the user and another one are to each other now.
    Related {
        query: QueryId,
        related: Related,
    },
    /// A row of the user's contacts changed; `query` is what changed it, if it was this device.
    ContactChanged {
        query: Option<QueryId>,
        contact: Contact,
    },
    ContactsSynced {
        query: QueryId,
        synced: ContactsSynced,
    },
    /// Whether the user wants adverts, told after each login and when it changes; `query` is what changed it, if it was this
    /// device.
    AdvertsSet {
        query: Option<QueryId>,
        off: bool,
    },
    /// A notice for those who are online now. It is in no log, and is not told again.
    Announced(Announced),
    /// A page of the directory.
    OrgSynced {
        query: QueryId,
        synced: OrgSynced,
    },
    /// The directory has a new version.
    OrgChanged {
        version: u64,
    },
    /// Changes of contacts may not have come: ask for what changed since the last version.
    ContactsMissed,
    /// The user's own state; `query` is what changed it, if it was this device.
    PresenceSet {
        query: Option<QueryId>,
        own: OwnPresence,
    },
    /// A part of who is online, as it is now: what was told since it was asked for is in it.
    PresenceSynced {
        query: QueryId,
        synced: PresenceSynced,
    },
    PresenceFound {
        query: QueryId,
        found: PresenceFound,
    },
    /// Contacts whose state changed.
    PresenceChanged {
        contacts: Vec<Presence>,
    },
    /// Changes of states may not have come: ask anew who is online.
    PresenceMissed,
    /// To [`Session::ask_account`](super::Session::ask_account).
    Account {
        query: QueryId,
        answer: AccountAnswer,
    },
    /// Another device of the user changed the profile. After `ContactsMissed` this may have been missed as well.
    ProfileChanged(Box<ProfileChanged>),
    /// The devices of the user.
    Devices {
        query: QueryId,
        devices: Vec<Device>,
    },
    /// So many sessions of other devices were ended.
    SessionsEnded {
        query: QueryId,
        count: u32,
    },
    /// To [`Session::ask_operator`](super::Session::ask_operator).
    Operator {
        query: QueryId,
        answer: Box<OperatorAnswer>,
    },
    QueryRefused {
        query: QueryId,
        refused: Refused,
    },
    /// The connection went before the answer came.
    QueryLost {
        query: QueryId,
    },
}

/// Why a send was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// The node will never take it.
    Refused(Refused),
    /// The node no longer knows whether it took it, and it is not in the log as far as the log can be read.
    Undecided,
    /// The node issued another device id, so that what was on its way cannot be told apart any more.
    DeviceChanged,
    /// The application gave it up.
    Discarded,
    /// It was never answered, and its place was needed.
    Unanswered,
}
