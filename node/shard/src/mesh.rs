//! Frames between shards. Values, not bytes: within a node they are passed as they are.
//!
//! Lanes, by what a drop would cost:
//! - control: never full. What can be in it at once is bounded, kind by kind, as said at each frame.
//! - delivery: bounded by credits, so in frames and in bytes. The receiver gives them back as it takes frames. A sender
//!   without credit keeps a coalesced mark and sends that when credits return.
//! - ephemeral: newest wins, bounded by credits of its own. What waits for one is looked up when it goes; when too much
//!   waits, it is forgotten, and both shards tell each other anew (`presence/lane.rs`).

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use record::{Act, Digest, Profile, View};
use wire::extras::Extras;
use wire::message::{BodyKind, EntryKind, MarkKind, Send};
use wire::org::OrgPosition;
use wire::presence::PresenceWish;
use wire::scram::ClientFirst;
use wire::{
    ConnectionId, ConversationId, DeviceId, Refusal, SessionId, ShardAddress, UserId, UserName, Verified,
    body,
};

use crate::admin::Notice;
use crate::asker::Asker;
use crate::follow::{Followed, Following, NoticeHead};
use crate::limits::DELIVERY_CREDIT_BYTES;
use crate::login::{Confirmed, LoginCommand, LoginReply, NewToken};
use crate::operator::OperatorCommand;
use crate::parts::{PartAnswer, PartAsk, PartNumber};
use crate::placement::{Load, Placement};
use crate::presence::Seen;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    Control,
    Delivery,
    Ephemeral,
}

/// Where a session is, for pushes to it and answers of its commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionPlace {
    pub shard: ShardAddress,
    pub connection: ConnectionId,
    pub session: SessionId,
    pub device: DeviceId,
}

/// Who sent a command, stamped on by the shard of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user: UserId,
    pub place: SessionPlace,
    /// The client's request number, returned in the answer.
    pub request: u32,
    /// What the answer ends.
    pub command: wire::Command,
}

/// A command that is executed at a home. Bodies were verified where they came in.
#[derive(Clone, Debug)]
pub enum HomeCommand {
    Send(ConversationId, OwnedSend),
    Pull(ConversationId, Verified<body::Pull>),
    Mark(ConversationId, MarkKind, u64, MarkFor),
    Sync(Verified<body::Sync>),
    /// Read up to a seq of a followed conversation, whose head the session's shard knows.
    MarkNotice {
        conversation: ConversationId,
        at: NoticeHead,
        seq: u64,
    },
    /// Switches adverts off or on; `adverts` is their head.
    SetAdverts {
        off: bool,
        adverts: Option<NoticeHead>,
    },
    /// On the relation of the two users of this conversation.
    Relate(ConversationId, Act),
    SetContact {
        contact: UserId,
        remark: String,
        group: String,
    },
    SyncContacts {
        cver: u64,
        changes_max: u32,
    },
    SetPresence(PresenceWish),
    SyncPresence {
        after: u64,
        contacts_max: u32,
    },
    /// Of this user.
    GetPresence(UserId),
    /// Pairs that become contacts, wherever their homes are.
    RelatePairs(Vec<ConversationId>),
    /// A token of the service account with this name, and as it was written.
    CreateToken {
        name: UserName,
        written: String,
        new: NewToken,
    },
    ListTokens(UserName),
    RevokeToken {
        name: UserName,
        number: u32,
    },
    /// Of an operator.
    Operate(Box<OperatorCommand>),
    SetProfile(Box<Profile>),
    ProofStart {
        client_first: Box<ClientFirst>,
        address: IpAddr,
    },
    /// With what needs the proof of the password.
    Confirm {
        client_final: String,
        address: IpAddr,
        what: Confirmed,
    },
    GetProfile(UserId),
    /// A name in its comparable form.
    FindUser(String),
    NameUser(UserId),
    Devices(DeviceCommand),
    Logout {
        forget_ticket: bool,
    },
    SyncOrg {
        position: OrgPosition,
        rows_max: u32,
    },
}

/// Who may see a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkFor {
    Both,
    /// The marking one's own devices: he is invisible.
    Own,
}

/// About the devices of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceCommand {
    List,
    End(DeviceId),
    /// All but the caller's.
    EndOthers,
}

/// A send that outlives the buffer it came in.
#[derive(Clone, Debug)]
pub struct OwnedSend {
    pub counter: u64,
    pub previous: u64,
    pub body_kind: BodyKind,
    pub body: Bytes,
    pub kind: EntryKind,
    pub extras: Option<Box<Extras>>,
}

impl From<Send<'_>> for OwnedSend {
    fn from(send: Send<'_>) -> Self {
        let Send { counter, previous, body_kind, body, kind, extras } = send;
        let extras = extras.cloned().map(Box::new);
        Self { counter, previous, body_kind, body: Bytes::copy_from_slice(body), kind, extras }
    }
}

impl OwnedSend {
    pub fn borrowed(&self) -> Send<'_> {
        let Self { counter, previous, body_kind, ref body, kind, ref extras } = *self;
        Send { counter, previous, body_kind, body, kind, extras: extras.as_deref() }
    }
}

/// A conversation of a user changed, durably.
#[derive(Clone, Debug)]
pub struct Changed {
    pub user: UserId,
    pub conversation: ConversationId,
    /// Rises with each change that the conversation's home sends; the answer names it. 0: the list holds the change
    /// already (it was in the same batch), and no answer is wanted.
    pub change: u64,
    pub digest: Digest,
    /// For his sessions, oldest first. Empty where there was no credit for them in time: then his sessions are told the
    /// new head and marks.
    pub events: Arc<[PushEvent]>,
}

/// Whole frames for all sessions but the one that caused them and knows already.
#[derive(Clone, Debug)]
pub struct PushEvent {
    /// One or more, back to back.
    pub frames: Bytes,
    /// How many of them are messages.
    pub messages: u32,
    pub except: Option<SessionId>,
    /// For the sessions of this one of the two users only.
    pub only: Option<UserId>,
}

/// What a user's home says of him, to the homes of others.
#[derive(Clone, Debug)]
pub struct Told {
    /// By his number, which stays within 32 bits.
    pub subject: u32,
    pub seen: Seen,
    /// Beside his state; `None` where it is empty.
    pub text: Option<Arc<str>>,
    /// For whom, and what is to come back about each of them.
    pub watchers: Vec<(u32, Wants)>,
}

/// What the home of a watcher is to say about him in return. What comes back wants nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wants {
    /// Nothing at all: the subject's home does not believe that the watcher is here.
    Silence,
    /// Nothing; but where the subject is no contact of a watcher who is here, that the watcher is offline for him.
    Nothing,
    /// His state, if he is here for the subject.
    Answer,
}

/// An event for one session: whole frames.
#[derive(Clone, Debug)]
pub struct PresencePush {
    pub connection: ConnectionId,
    pub session: SessionId,
    pub frames: Bytes,
}

/// Whether the one who is written to for the first time exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquaintance {
    Exists,
    NoSuchUser,
    /// His home has too many reads in flight.
    Busy,
}

/// Between the home of the directory of the organisation and the others.
#[derive(Debug)]
pub enum OrgFrame {
    /// From the home of the directory to each shard, at most one per `ORG_TOLD_MS`: it has this version, on disk.
    Version { version: u64 },
    /// From the home of the directory to each shard: where departments stand now. The whole tree once when
    /// it was read (`ORG_DEPARTMENTS_MAX / ORG_TREE_PART_MAX` frames), then one per piece of edits, which go one by one.
    Tree { afresh: bool, changes: crate::org::TreeChanges },
    /// To the home of a user: the departments that he is in directly. At most one per user of the outbox, so
    /// `ORG_OUTBOX_MAX`, and once more those of a store shard that was full.
    Place { user: UserId, version: u64, departments: Vec<u32> },
    /// They are on disk there. At most one per `Place`.
    PlaceDone { user: UserId, version: u64 },
}

/// About sessions: how they are opened and placed, and how they end.
#[derive(Debug)]
pub enum SessionFrame {
    /// Control lane. A step of login or registration on its way to the user's home. At most one per connection that has
    /// not logged in.
    Login { connection: ConnectionId, reply_to: ShardAddress, command: LoginCommand },
    /// Control lane. The home's answer to it.
    LoginReply { connection: ConnectionId, reply: LoginReply },
    /// Control lane, to the user's home: a session is gone. At most one per session.
    SessionClosed { user: UserId, place: SessionPlace },
    /// Control lane, to the user's home: a person did something in a session. At most one per session and
    /// `ACTIVE_TOLD_MS`.
    Active { user: UserId, place: SessionPlace },
    /// Control lane: the home ended a session; tell the client why and close. At most one per session.
    EndSession { connection: ConnectionId, session: SessionId, why: Refusal },

    /// Control lane, to the login shard: where should this connection's session live? At most one per connection.
    Place { connection: ConnectionId, reply_to: ShardAddress, home: ShardAddress },
    /// Control lane. The login shard's answer.
    Placed { connection: ConnectionId, placement: Placement },
    /// Control lane, to the login shard: the placed session exists now, or never will. At most one per placement.
    PlacementDone { placement: Placement },
    /// Control lane, to the login shard. At most one per turn.
    LoadReport { load: Load },
}

/// About who is online.
#[derive(Debug)]
pub enum PresenceFrame {
    /// Ephemeral lane, between homes. `lost`: something before it was not told.
    Told { lost: bool, told: Vec<Told> },
    /// Ephemeral lane, from a user's home to a shard of sessions.
    Push(Vec<PresencePush>),
    /// Control lane, at most one per turn and peer: frames of the ephemeral lane taken, counted from the start.
    Credit { taken: u64 },
    /// Control lane, from a user's home: whether his marks are hidden from others. Once per session, and once per session
    /// and change of it that is answered.
    Standing { connection: ConnectionId, session: SessionId, hidden: bool },
}

/// About conversations that are followed, and what the system writes.
#[derive(Debug)]
pub enum FollowFrame {
    /// Control lane, to the home of a conversation without a list of members: this shard hosts somebody who follows it. At
    /// most `FOLLOWED_MAX` of one shard.
    Subscribe { conversation: ConversationId },
    /// Control lane. It does not any more. At most one per `Subscribe`.
    Unsubscribe { conversation: ConversationId },
    /// Delivery lane, to a shard that follows a conversation.
    Followed(Followed),
    /// Control lane. The answer of a forward, a whole frame for the client, and what the session follows from now on.
    AnswerFollowing { caller: Caller, frame: Bytes, following: Following },
    /// Control lane, to the shard of a session: what it follows has changed. At most one per session and command that
    /// changes it, and those are bounded as commands in flight; and one per session and change of the user's departments,
    /// which come one at a time. `frame` is a whole one for the client: here, so that two changes are told in their order.
    Refollow { connection: ConnectionId, session: SessionId, following: Box<Following>, frame: Option<Bytes> },
    /// Within a shard only: a whole frame for all sessions of a user that have room for it.
    Announce { user: UserId, frame: Bytes },
    /// Within a shard only: the operator writes to a user whose name was found.
    Issue { asker: Asker, user: UserId, notice: Box<Notice> },
}

#[derive(Debug)]
pub enum MeshFrame {
    /// Delivery lane. Its answer has room in the control lane: the forwards in flight are bounded.
    Forward { caller: Caller, command: HomeCommand },
    /// Control lane. The answer of a forward, a whole frame for the client.
    Answer { caller: Caller, frame: Bytes },
    /// Control lane. The answers of so many sends of one session, of which this caller made the first: whole `Sent` frames
    /// back to back.
    Sent { caller: Caller, sends: u16, frames: Bytes },

    /// Control lane, in place of the answer of a forward: there is none.
    Unanswered { caller: Caller },

    /// Control lane, to the home of `peer`, before the first entry of a conversation: does he exist? At most
    /// `INTRODUCTIONS_MAX` of one shard.
    Introduce { conversation: ConversationId, peer: UserId },
    /// Control lane. The answer to it.
    Introduced { conversation: ConversationId, found: Acquaintance },
    /// Delivery lane, to the home of a user.
    Changed(Changed),
    /// Control lane: the user's list holds this change, on disk. At most one per `Changed`.
    ChangedDone { user: UserId, conversation: ConversationId, change: u64 },
    /// Control lane, to the home of a user: what he is shown of a relation. At most one per user and relation, so
    /// `CONTACT_OUTBOX_READ_BACK_MAX` of one shard, and once more those of a store shard that was full.
    ContactView { user: UserId, conversation: ConversationId, version: u64, view: Box<View> },
    /// Control lane. The user's list shows it, on disk. At most one per `ContactView`.
    ContactViewDone { user: UserId, conversation: ConversationId, version: u64 },
    /// Control lane.
    Session(SessionFrame),
    /// The lane is said at each.
    Presence(PresenceFrame),
    /// The lane is said at each.
    Follow(FollowFrame),
    /// Control lane: about the directory of the organisation.
    Org(OrgFrame),
    /// Control lane: a shard's part of a command for many homes. At most `PARTED_MAX` of one shard to another, each no longer
    /// than the command.
    Part { number: PartNumber, ask: PartAsk },
    /// Control lane. The answer to it: one, but of a `Notify` one per user of the part.
    PartDone { number: PartNumber, answer: PartAnswer },
    /// Delivery lane, from a user's home to the shard of one of his sessions: whole frames to push, so many of them
    /// messages.
    Push { connection: ConnectionId, session: SessionId, frames: Bytes, messages: u32 },

    /// Control lane, at most one per turn and peer: credits of the delivery frames taken, counted from the start.
    Credit { taken: u64 },
}

impl MeshFrame {
    /// The lane it travels in.
    pub fn lane(&self) -> Lane {
        match self {
            MeshFrame::Forward { .. }
            | MeshFrame::Changed(_)
            | MeshFrame::Push { .. }
            | MeshFrame::Follow(FollowFrame::Followed(_)) => Lane::Delivery,
            MeshFrame::Presence(PresenceFrame::Told { .. } | PresenceFrame::Push(_)) => Lane::Ephemeral,
            _ => Lane::Control,
        }
    }

    /// Credits that it uses in the delivery lane. The receiver counts the same.
    pub fn credits(&self) -> u64 {
        let bytes = match self {
            MeshFrame::Forward { command: HomeCommand::Send(_, send), .. } => send.body.len(),
            MeshFrame::Changed(Changed { events, .. })
            | MeshFrame::Follow(FollowFrame::Followed(Followed { events, .. })) => {
                events.iter().map(|event| event.frames.len()).sum()
            }
            MeshFrame::Forward { command: HomeCommand::Operate(command), .. } => command.len(),
            MeshFrame::Forward { command: HomeCommand::RelatePairs(pairs), .. } => {
                pairs.len() * wire::ids::CONVERSATION_ID_LEN
            }
            MeshFrame::Push { frames, .. } => frames.len(),
            _ => 0, // no longer than a name or a few
        };
        1 + (bytes / DELIVERY_CREDIT_BYTES) as u64
    }
}
