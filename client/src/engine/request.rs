//! What the handles of a client ask of its engine.

use tokio::sync::oneshot;
use wire::account::{AccountAnswer, AccountQuery};
use wire::client::Draft;
use wire::contact::{Contact, ContactQuery, ContactsSynced, Related};
use wire::device::{Device, DeviceQuery};
use wire::message::Pulled;
use wire::operator::{OperatorAnswer, OperatorQuery};
use wire::org::{OrgPosition, OrgSynced};
use wire::presence::{OwnPresence, PresenceFound, PresenceQuery, PresenceSynced};
use wire::token::Token;
use wire::{ConversationId, UserId};
use zeroize::Zeroizing;

use crate::board::Me;
use crate::client::User;
use crate::error::Error;
use crate::send::SendHandle;

/// Where an answer goes. Nobody waiting is fine.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

pub(crate) enum Request {
    Login {
        step: LoginStep,
        name: String,
        password: Zeroizing<String>,
        reply: Reply<Me>,
    },
    TokenLogin {
        token: Token,
        reply: Reply<Me>,
    },
    Resume {
        reply: Reply<()>,
    },
    Send {
        conversation: ConversationId,
        draft: Draft,
        reply: Reply<SendHandle>,
    },
    Discard {
        counter: u64,
    },
    Undecided {
        reply: Reply<Vec<SendHandle>>,
    },
    MarkRead {
        conversation: ConversationId,
        seq: u64,
    },
    FindUser {
        name: String,
        reply: Reply<User>,
    },
    NameUser {
        id: UserId,
        reply: Reply<User>,
    },
    /// Answered when what came is on disk.
    Pull {
        conversation: ConversationId,
        from: u64,
        to: u64,
        reply: Reply<Pulled>,
    },
    Contact {
        query: ContactQuery,
        reply: Reply<ContactAnswer>,
    },
    /// A page of changes of the directory.
    Org {
        position: OrgPosition,
        rows_max: u32,
        reply: Reply<OrgSynced>,
    },
    Presence {
        query: PresenceQuery,
        reply: Reply<PresenceAnswer>,
    },
    Account {
        query: AccountQuery,
        reply: Reply<AccountAnswer>,
    },
    SetAdverts {
        off: bool,
        reply: Reply<()>,
    },
    Device {
        query: DeviceQuery,
        reply: Reply<DeviceAnswer>,
    },
    Operator {
        query: Box<OperatorQuery>,
        reply: Reply<OperatorAnswer>,
    },
    Logout {
        reply: Reply<()>,
    },
    Close {
        reply: Reply<()>,
    },
}

/// What the node says to a question about contacts.
pub(crate) enum ContactAnswer {
    Related(Related),
    Row(Contact),
    Page(ContactsSynced),
}

/// What the node says to a question about presence.
pub(crate) enum PresenceAnswer {
    Own(OwnPresence),
    Found(PresenceFound),
    Page(PresenceSynced),
}

/// What the node says to a question about devices.
pub(crate) enum DeviceAnswer {
    List(Vec<Device>),
    /// So many sessions.
    Ended(u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoginStep {
    /// Create the account, then log in.
    Register,
    LogIn,
    /// Set the password with this one-time code, then log in.
    Redeem(String),
}
