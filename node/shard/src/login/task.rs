//! What a home is asked about accounts, and which records each needs in memory.

use std::net::IpAddr;

use record::Credential;
use wire::scram::ClientFirst;
use wire::{ConnectionId, Refusal, ShardAddress, Slot, UserId, UserName};

use super::{Confirmed, End, FirstKey, LoginCommand, LoginReply, NewToken};
use crate::admin::{AdminReply, Notice, UserAct};
use crate::asker::Asker;
use crate::core::Core;
use crate::mesh::{Caller, MeshFrame, SessionFrame};

/// A record to be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LoadKey {
    /// The comparable form.
    Name(String),
    User(UserId),
    Slot(Slot),
    /// Of a service account.
    Tokens(UserId),
    /// All that is kept of the devices of a user.
    Devices(UserId),
}

impl LoadKey {
    pub fn slot(&self) -> Slot {
        match self {
            LoadKey::Name(name) => Slot::of_name(name),
            LoadKey::User(user) | LoadKey::Tokens(user) | LoadKey::Devices(user) => user.slot(),
            LoadKey::Slot(slot) => *slot,
        }
    }
}

#[derive(Debug)]
pub(super) enum Task {
    Step {
        connection: ConnectionId,
        reply_to: ShardAddress,
        command: LoginCommand,
    },
    FindUser {
        caller: Caller,
        name: String,
    },
    NameUser {
        caller: Caller,
        user: UserId,
    },
    /// With the ticket forgotten.
    Logout {
        caller: Caller,
    },
    Devices {
        asker: Asker,
        person: Person,
    },
    End(End),
    ProofStart {
        caller: Caller,
        client_first: Box<ClientFirst>,
        address: IpAddr,
    },
    /// With what needs the proof.
    Confirm {
        caller: Caller,
        client_final: String,
        address: IpAddr,
        what: Confirmed,
    },
    Add {
        asker: Asker,
        name: UserName,
        written: String,
        key: FirstKey,
    },
    Reset {
        token: u64,
        name: UserName,
        credential: Credential,
    },
    Change {
        asker: Asker,
        name: UserName,
        act: UserAct,
    },
    Show {
        asker: Asker,
        name: UserName,
    },
    CreateToken {
        asker: Asker,
        name: UserName,
        written: String,
        new: NewToken,
    },
    ListTokens {
        asker: Asker,
        name: UserName,
    },
    RevokeToken {
        asker: Asker,
        name: UserName,
        number: u32,
    },
    /// A notice of the operator to this user.
    Issue {
        asker: Asker,
        person: Person,
        notice: Box<Notice>,
    },
}

/// Who is meant.
#[derive(Clone, Debug)]
pub(super) enum Person {
    Id(UserId),
    Name(UserName),
}

impl Person {
    pub fn slot(&self) -> Slot {
        match self {
            Person::Id(user) => user.slot(),
            Person::Name(name) => name.slot(),
        }
    }

    fn subject(&self) -> Subject<'_> {
        match self {
            Person::Id(user) => Subject::User(*user),
            Person::Name(name) => Subject::Name(name.as_str()),
        }
    }
}

/// How a task comes to its account.
pub(super) enum Subject<'a> {
    /// By a name that must be free: its slot's state is needed then.
    NewName(&'a str),
    /// By a name whose account is read whether or not there is one.
    AnyName(&'a str),
    Name(&'a str),
    User(UserId),
    /// A user's account and tokens, whether or not there are any.
    Tokens(UserId),
    /// A service account's tokens; its slot's state, when there is none of this name.
    NewService(&'a str),
    /// A service account's tokens.
    Service(&'a str),
}

impl Task {
    pub fn subject(&self) -> Subject<'_> {
        match self {
            Task::Step { command, .. } => match command {
                LoginCommand::Register(register) => Subject::NewName(register.name.as_str()),
                LoginCommand::Start { name, .. } => Subject::AnyName(name.as_str()),
                LoginCommand::Proof(proof) => Subject::AnyName(proof.name.as_str()),
                LoginCommand::Redeem(redeem) => Subject::AnyName(redeem.name.as_str()),
                LoginCommand::Resume { contents, .. } => Subject::User(contents.user),
                LoginCommand::Token(proof) => Subject::Tokens(proof.user),
            },
            Task::FindUser { name, .. } => Subject::Name(name),
            Task::NameUser { user, .. } => Subject::User(*user),
            Task::Logout { caller } | Task::ProofStart { caller, .. } | Task::Confirm { caller, .. } => {
                Subject::User(caller.user)
            }
            Task::Devices { person, .. } | Task::End(End { person, .. }) | Task::Issue { person, .. } => {
                person.subject()
            }
            Task::Add { name, .. } => Subject::NewName(name.as_str()),
            Task::Reset { name, .. } | Task::Change { name, .. } | Task::Show { name, .. } => {
                Subject::Name(name.as_str())
            }
            Task::CreateToken { name, .. } => Subject::NewService(name.as_str()),
            Task::ListTokens { name, .. } | Task::RevokeToken { name, .. } => Subject::Service(name.as_str()),
        }
    }

    pub fn refuse(self, core: &mut Core, refusal: Refusal, retry_ms: u32) {
        match self {
            Task::Step { connection, reply_to, .. } => {
                let reply = LoginReply::Refused { refusal, detail: 0, retry_ms };
                core.control(reply_to, MeshFrame::Session(SessionFrame::LoginReply { connection, reply }));
            }
            Task::FindUser { caller, .. }
            | Task::NameUser { caller, .. }
            | Task::ProofStart { caller, .. }
            | Task::Confirm { caller, .. }
            | Task::Logout { caller } => {
                core.refuse_caller(caller, refusal, 0, retry_ms);
            }
            Task::Reset { token, .. } => {
                core.reply(token, AdminReply::Refused { reason: refusal.reason().into() });
            }
            Task::Add { asker, .. }
            | Task::Change { asker, .. }
            | Task::Show { asker, .. }
            | Task::Devices { asker, .. }
            | Task::Issue { asker, .. }
            | Task::End(End { asker, .. }) => {
                asker.refuse(core, refusal, 0, retry_ms);
            }
            Task::CreateToken { asker, .. }
            | Task::ListTokens { asker, .. }
            | Task::RevokeToken { asker, .. } => asker.refuse(core, refusal, 0, retry_ms),
        }
    }
}
