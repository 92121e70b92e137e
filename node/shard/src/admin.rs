//! Requests of the operator, from the admin socket. Each is carried out at the home of the name it concerns, whichever
//! shard the socket is on.

use wire::org::{OrgItem, OrgPosition, OrgSynced};

use wire::service::TokenLine;

use crate::login::NewToken;
use record::{Account, AccountState};
use wire::UserId;

use crate::stats::ShardStats;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminRequest {
    /// Creates an account from SCRAM's keys; the password never reaches the node.
    AddUser {
        name: String,
        credential: record::Credential,
    },
    /// Sets new credentials and ends all sessions and their tickets.
    /// The devices of a user and their sessions.
    ListDevices {
        name: String,
    },
    /// Ends the session and the ticket of one device of a user, or of all.
    EndSessions {
        name: String,
        device: Option<u32>,
    },
    ResetUser {
        name: String,
        credential: record::Credential,
    },
    /// Changes whether an account may be used.
    ChangeUser {
        name: String,
        act: UserAct,
    },
    ShowUser {
        name: String,
    },
    /// Users of the slots of this shard, by rising name, behind `after`.
    ListUsers {
        after: Option<String>,
        users_max: u32,
    },
    /// Makes a token of a service account, and the account when the name is free.
    CreateToken {
        name: String,
        new: NewToken,
    },
    /// The tokens of a service account.
    ListTokens {
        name: String,
    },
    /// Ends a token and its sessions.
    RevokeToken {
        name: String,
        number: u32,
    },
    /// Writes a notice, at the home of its conversation.
    Issue {
        conversation: wire::ConversationId,
        notice: Notice,
    },
    /// Writes a notice to the user with this name.
    IssueTo {
        name: String,
        notice: Notice,
    },
    /// Entries of the audit log of this shard's slots behind a time and number, the oldest first.
    ReadAudit {
        after: (u64, u64),
        rows_max: u32,
    },
    /// How this shard is.
    Stats,
    /// Edits of the directory that are done together, at its home; `expected` is the version they were made for, 0 any.
    EditOrg {
        expected: u64,
        edits: Vec<OrgItem>,
    },
    /// A page of changes of the directory, at its home.
    OrgPage {
        position: OrgPosition,
        rows_max: u32,
    },
    /// Which users have these names, all of slots of this shard.
    FindUsers {
        names: Vec<String>,
    },
}

/// What the system says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Chosen by whoever asks, not 0. The same request made again under the same number is carried out once, as long as it is
    /// among the last ones.
    pub id: u64,
    pub reach: Reach,
    pub body_kind: wire::message::BodyKind,
    pub body: bytes::Bytes,
}

/// Whom a notice reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody it is for: it is stored.
    Everybody,
    /// Those who are online now. It is not stored, and what finds no room is dropped.
    OnlineNow,
}

/// What the operator does about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserAct {
    /// Nobody can log in to it; sessions and tickets end.
    Disable,
    Enable,
    /// The password and all sessions and tickets are void; whoever has this code sets a new one, once and for a while.
    Reset {
        code_hash: [u8; 32],
    },
    /// For good: sessions, tickets, password and profile are gone, and the name is not free again for a while.
    Delete,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminReply {
    Added {
        user: u64,
    },
    Reset {
        user: u64,
        sessions_ended: u32,
    },
    Devices {
        user: u64,
        devices: Vec<wire::device::Device>,
    },
    Ended {
        user: u64,
        sessions_ended: u32,
    },
    /// `sessions_ended`: by this.
    Changed {
        user: u64,
        sessions_ended: u32,
    },
    User(UserLine),
    Users {
        users: Vec<UserLine>,
        more: bool,
    },
    TokenCreated {
        user: u64,
        number: u32,
    },
    Tokens {
        user: u64,
        tokens: Vec<TokenLine>,
    },
    TokenRevoked {
        user: u64,
        number: u32,
        sessions_ended: u32,
    },
    /// On disk under this seq, or told to those who are online: then 0.
    Issued {
        seq: u64,
        time_ms: u64,
    },
    Audit {
        lines: Vec<AuditLine>,
        /// What is behind it is still to be asked for; `None`: there is nothing more.
        covered: Option<(u64, u64)>,
    },
    Stats(Box<ShardStats>),
    /// The edits are on disk.
    OrgEdited {
        version: u64,
    },
    /// One of the edits does not fit, by its place among them: none was done.
    OrgUnfit {
        edit: u32,
        reason: String,
    },
    OrgPage(Box<OrgSynced>),
    /// In the order of the names.
    Found {
        users: Vec<Option<u64>>,
    },
    /// Not done; a sentence for people.
    Refused {
        reason: String,
    },
}

/// One act in the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// Unix milliseconds.
    pub time_ms: u64,
    pub number: u64,
    pub act: String,
    /// The user who did it; 0: the operator through the admin socket, or nobody who is known.
    pub by: u64,
    /// The account it concerns; 0: none.
    pub subject: u64,
    pub name: String,
    pub detail: String,
}

/// One user in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLine {
    pub user: u64,
    pub name: String,
    pub created_ms: u64,
    pub devices: u32,
    pub state: AccountState,
    /// Since when, Unix milliseconds; 0: since it was created.
    pub state_ms: u64,
}

impl UserLine {
    pub(crate) fn of(user: UserId, account: &Account) -> Self {
        Self {
            user: user.0,
            name: account.name.clone(),
            created_ms: account.created_ms,
            devices: account.devices.len() as u32,
            state: account.state,
            state_ms: account.state_ms,
        }
    }
}
