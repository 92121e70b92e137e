//! What the protocol's bodies say, as plain values. Encoders take them, decoders give them.

use bytes::Bytes;

use crate::extras::Extras;
use crate::generated;
use crate::ids::{ConversationId, DeviceId, SessionId, UserId};

pub use crate::generated::{BodyKind, DeviceClass, EntryKind, MarkKind, RangeKind};

/// A place in a log: `seq` counts all entries, `ord` only those that count as unread. Ordered by `seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub seq: u64,
    pub ord: u64,
}

impl Place {
    /// Before the first entry.
    pub const START: Place = Place { seq: 0, ord: 0 };
}

impl From<Place> for generated::Place {
    fn from(place: Place) -> Self {
        generated::Place::new(place.seq, place.ord)
    }
}

impl From<&generated::Place> for Place {
    fn from(place: &generated::Place) -> Self {
        Place { seq: place.seq(), ord: place.ord() }
    }
}

impl From<ConversationId> for generated::Conversation {
    fn from(id: ConversationId) -> Self {
        generated::Conversation::new(id.low.0, id.high.0)
    }
}

impl From<&generated::Conversation> for ConversationId {
    fn from(conversation: &generated::Conversation) -> Self {
        ConversationId { low: UserId(conversation.low()), high: UserId(conversation.high()) }
    }
}

/// An entry of a log whose body is borrowed: what encoders take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryView<'a> {
    pub place: Place,
    /// When the home took it, Unix milliseconds.
    pub time_ms: u64,
    pub sender: UserId,
    pub device: DeviceId,
    /// The sending device's own number of this send.
    pub counter: u64,
    pub kind: EntryKind,
    pub body_kind: BodyKind,
    pub body: &'a [u8],
    pub extras: Option<&'a Extras>,
}

/// An entry of a log: what decoders give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub place: Place,
    /// When the home took it, Unix milliseconds.
    pub time_ms: u64,
    pub sender: UserId,
    pub device: DeviceId,
    /// The sending device's own number of this send.
    pub counter: u64,
    pub kind: EntryKind,
    pub body_kind: BodyKind,
    pub body: Bytes,
    pub extras: Option<Box<Extras>>,
}

impl Entry {
    pub fn view(&self) -> EntryView<'_> {
        EntryView {
            place: self.place,
            time_ms: self.time_ms,
            sender: self.sender,
            device: self.device,
            counter: self.counter,
            kind: self.kind,
            body_kind: self.body_kind,
            body: &self.body,
            extras: self.extras.as_deref(),
        }
    }
}

impl EntryView<'_> {
    /// Copies the body.
    pub fn to_entry(self) -> Entry {
        Entry {
            place: self.place,
            time_ms: self.time_ms,
            sender: self.sender,
            device: self.device,
            counter: self.counter,
            kind: self.kind,
            body_kind: self.body_kind,
            body: Bytes::copy_from_slice(self.body),
            extras: self.extras.cloned().map(Box::new),
        }
    }
}

/// Seqs `from..=to` of a pulled range that hold no entries, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: u64,
    pub to: u64,
    pub kind: RangeKind,
}

/// What a user's list holds about one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub conversation: ConversationId,
    pub uver: u64,
    pub epoch: u32,
    pub head: Place,
    /// Own marks.
    pub read: Place,
    pub delivered: Place,
    /// The other one's marks.
    pub peer_read: Place,
    pub peer_delivered: Place,
    /// Time of the head entry, Unix milliseconds.
    pub time_ms: u64,
    /// Seq of the last message that mentions the user; 0: none.
    pub mentioned: u64,
}

impl Summary {
    /// Countable entries behind the own read mark.
    pub fn unread(&self) -> u64 {
        self.head.ord.saturating_sub(self.read.ord)
    }
}

// ---- bodies of events ------------------------------------------------------------------------------------------------

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    pub version: u16,
    pub features: u64,
    pub software: String,
    /// The node's clock, Unix milliseconds.
    pub time_ms: u64,
    pub registration_open: bool,
    /// SCRAM mechanisms offered on this connection, strongest first.
    pub mechanisms: Vec<String>,
    /// The node closes a connection that sends nothing for this long.
    pub idle_ms_max: u32,
    pub body_bytes_max: u32,
    /// Sends without an answer that a device may have.
    pub window: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// A [`crate::Refusal`]'s code, or one of a later version.
    pub code: u16,
    pub name: String,
    pub reason: String,
    pub detail: u64,
    pub retry_ms: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub code: u16,
    pub name: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterTerms {
    pub salt: Vec<u8>,
    pub iterations: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub server_first: String,
    pub valid_ms: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    pub server_final: String,
    pub user: UserId,
    pub name: String,
    pub device: DeviceId,
    pub session: SessionId,
    pub ticket: Vec<u8>,
    /// How long the ticket serves.
    pub ticket_ms: u64,
    /// Delay before the first reconnect after a loss.
    pub reconnect_ms: u32,
    pub idle_ms_max: u32,
    /// Version of the user's list of conversations.
    pub uver: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    pub user: UserId,
    pub name: String,
    pub device: DeviceId,
    pub session: SessionId,
    pub ticket: Vec<u8>,
    pub ticket_ms: u64,
    pub reconnect_ms: u32,
    pub idle_ms_max: u32,
    /// What the client knows does not fit: Sync from 0.
    pub afresh: bool,
    /// Sync from this uver.
    pub from: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Empty: the same address.
    pub addresses: Vec<String>,
    pub reconnect_ms: u32,
    /// When the node closes this connection, from now.
    pub deadline_ms: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFound {
    pub user: UserId,
    pub name: String,
    /// The account is gone.
    pub deleted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub conversation: ConversationId,
    pub counter: u64,
    pub place: Place,
    pub time_ms: u64,
    pub epoch: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    pub conversation: ConversationId,
    pub from: u64,
    pub to: u64,
    pub epoch: u32,
    pub head: Place,
    pub entries: Vec<Entry>,
    pub ranges: Vec<Range>,
}

/// A pull's answer without its entries: what the encoder takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulledRange {
    pub conversation: ConversationId,
    pub from: u64,
    pub to: u64,
    pub epoch: u32,
    pub head: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    pub conversation: ConversationId,
    pub user: UserId,
    pub kind: MarkKind,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    pub from: u64,
    pub to: u64,
    /// True: Sync again from `to`.
    pub more: bool,
    pub changes: Vec<Summary>,
    /// The user wants no adverts.
    pub adverts_off: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub conversation: ConversationId,
    pub epoch: u32,
    pub entry: Entry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadMoved {
    pub conversation: ConversationId,
    pub epoch: u32,
    pub head: Place,
}

// ---- bodies of commands ----------------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    pub version_min: u16,
    pub version_max: u16,
    pub features: u64,
    pub software: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginProof<'a> {
    pub client_final: &'a str,
    /// 0 asks for a new one.
    pub device: DeviceId,
    pub device_name: &'a str,
    pub device_class: DeviceClass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send<'a> {
    pub counter: u64,
    /// The same device's send before this one in the same conversation; 0 for the first.
    pub previous: u64,
    pub body_kind: BodyKind,
    pub body: &'a [u8],
    pub kind: EntryKind,
    pub extras: Option<&'a Extras>,
}

impl<'a> Send<'a> {
    /// A message that refers to nothing.
    pub fn plain(counter: u64, previous: u64, body_kind: BodyKind, body: &'a [u8]) -> Self {
        Self { counter, previous, body_kind, body, kind: EntryKind::Message, extras: None }
    }
}

/// Asks for seqs `from..=to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull {
    pub from: u64,
    pub to: u64,
    pub bytes_max: u32,
    pub epoch: u32,
}
