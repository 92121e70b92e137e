//! What an operator asks over the protocol, with a token, at the home of what it concerns. The admin socket's requests come to
//! the same handlers.

use record::AccountState;
use wire::operator::{AccountState as ToldState, AuditLine as ToldAudit, UserLine as ToldUser};
use wire::org::OrgItem;
use wire::{ConversationId, DeviceId, UserId, UserName};

use crate::Shard;
use crate::admin::{AuditLine, Notice, UserAct, UserLine};
use crate::asker::Asker;
use crate::login::{Ending, FirstKey};
use crate::mesh::Caller;

/// A command of an operator. Its body was verified where it came in.
#[derive(Clone, Debug)]
pub enum OperatorCommand {
    AddUser {
        name: UserName,
        /// As it came.
        written: String,
        code_hash: [u8; 32],
    },
    ChangeUser {
        name: UserName,
        act: UserAct,
    },
    ShowUser(UserName),
    /// Of all shards, behind a name in its comparable form.
    ListUsers {
        after: Option<String>,
        users_max: u32,
    },
    ListDevices(UserName),
    EndSessions {
        name: UserName,
        /// `None`: of all.
        device: Option<DeviceId>,
    },
    /// Into the log that these follow, at its home.
    Issue {
        conversation: ConversationId,
        notice: Notice,
    },
    /// A copy to each of these.
    Notify {
        users: Vec<UserId>,
        notice: Notice,
    },
    /// At the home of the directory.
    EditOrg {
        expected: u64,
        edits: Vec<OrgItem>,
    },
    /// Of all shards, behind a time and number.
    ReadAudit {
        after: (u64, u64),
        rows_max: u32,
    },
}

impl OperatorCommand {
    /// Bytes that it has beside a name or a few.
    pub(crate) fn len(&self) -> usize {
        match self {
            OperatorCommand::Issue { notice, .. } => notice.body.len(),
            OperatorCommand::Notify { users, notice } => notice.body.len() + users.len() * 8,
            OperatorCommand::EditOrg { edits, .. } => edits.len() * 256,
            _ => 0,
        }
    }
}

impl Shard {
    pub(crate) fn on_operate(&mut self, caller: Caller, command: OperatorCommand) {
        use OperatorCommand as O;
        let (core, logins, asker) = (&mut self.core, &mut self.logins, Asker::Session(caller));
        match command {
            O::AddUser { name, written, code_hash } => {
                logins.handle_add(core, asker, name, written, FirstKey::Code(code_hash));
            }
            O::ChangeUser { name, act } => logins.handle_change(core, asker, name, act),
            O::ShowUser(name) => logins.handle_show(core, asker, name),
            O::ListUsers { after, users_max } => {
                self.parts.handle_list_users(core, caller, after, users_max);
            }
            O::ListDevices(name) => logins.handle_list_devices(core, asker, name),
            O::EndSessions { name, device } => {
                logins.handle_end(core, asker, name, device.map_or(Ending::All, Ending::Only));
            }
            O::Issue { conversation, notice } => {
                self.handle_issue(asker, conversation, notice);
            }
            O::Notify { users, notice } => self.parts.handle_notify(core, caller, users, &notice),
            O::EditOrg { expected, edits } => self.org.handle_edit(core, asker, expected, edits),
            O::ReadAudit { after, rows_max } => {
                self.parts.handle_read_audit(core, caller, after, rows_max);
            }
        }
    }
}

impl From<UserLine> for ToldUser {
    fn from(line: UserLine) -> Self {
        let UserLine { user, name, created_ms, devices, state, state_ms } = line;
        let state = match state {
            AccountState::Active => ToldState::Active,
            AccountState::Disabled => ToldState::Disabled,
            AccountState::Deleted => ToldState::Deleted,
        };
        Self { user: UserId(user), name, created_ms, devices, state, state_ms }
    }
}

impl From<AuditLine> for ToldAudit {
    fn from(line: AuditLine) -> Self {
        let AuditLine { time_ms, number, act, by, subject, name, detail } = line;
        Self { time_ms, number, act, by: UserId(by), subject: UserId(subject), name, detail }
    }
}
