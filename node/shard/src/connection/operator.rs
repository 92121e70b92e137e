//! What an operator asks over the protocol: what the connection's shard checks of it.

use wire::limits::NAME_LEN_MAX;
use wire::operator::AccountState;
use wire::{Command, DeviceId, Incoming, Refusal, Slot, body, verified};

use super::No;
use super::home_command::text;
use super::register::name_of;
use super::state::Session;
use crate::admin::UserAct;
use crate::mesh::HomeCommand;
use crate::operator::OperatorCommand;
use crate::pages::comparable_form;

/// A command of a token's session, and the slot of its home.
pub(super) fn home_command(incoming: &Incoming<'_>, session: &Session) -> Result<(Slot, HomeCommand), No> {
    let (slot, command) = match incoming.command {
        Command::AddUser => {
            let view = verified::view::<body::AddUser>(incoming.body)?;
            let (name, written) = (name_of(view.name())?, view.name().unwrap_or_default().to_owned());
            let code_hash = hash_of(view.code_hash().map(|hash| hash.bytes()))?;
            (name.slot(), OperatorCommand::AddUser { name, written, code_hash })
        }
        Command::SetUserState => {
            let view = verified::view::<body::SetUserState>(incoming.body)?;
            let name = name_of(view.name())?;
            let act = match view.state() {
                AccountState::Active => UserAct::Enable,
                AccountState::Disabled => UserAct::Disable,
                _ => return Err(Refusal::BadField.into()),
            };
            (name.slot(), OperatorCommand::ChangeUser { name, act })
        }
        Command::IssueCode => {
            let view = verified::view::<body::IssueCode>(incoming.body)?;
            let name = name_of(view.name())?;
            let act = UserAct::Reset { code_hash: hash_of(view.code_hash().map(|hash| hash.bytes()))? };
            (name.slot(), OperatorCommand::ChangeUser { name, act })
        }
        Command::RemoveUser => {
            let name = name_of(verified::view::<body::RemoveUser>(incoming.body)?.name())?;
            (name.slot(), OperatorCommand::ChangeUser { name, act: UserAct::Delete })
        }
        Command::ShowUser => {
            let name = name_of(verified::view::<body::ShowUser>(incoming.body)?.name())?;
            (name.slot(), OperatorCommand::ShowUser(name))
        }
        Command::ListUserDevices => {
            let name = name_of(verified::view::<body::ListUserDevices>(incoming.body)?.name())?;
            (name.slot(), OperatorCommand::ListDevices(name))
        }
        Command::EndUserSessions => {
            let view = verified::view::<body::EndUserSessions>(incoming.body)?;
            let name = name_of(view.name())?;
            let device = Some(DeviceId(view.device())).filter(|device| *device != DeviceId(0));
            (name.slot(), OperatorCommand::EndSessions { name, device })
        }
        Command::ListUsers => {
            let view = verified::view::<body::ListUsers>(incoming.body)?;
            let after = text(view.after(), NAME_LEN_MAX)?;
            let after = Some(comparable_form(&after)).filter(|after| !after.is_empty());
            (session.user.slot(), OperatorCommand::ListUsers { after, users_max: view.users_max() })
        }
        Command::ReadAudit => {
            let view = verified::view::<body::ReadAudit>(incoming.body)?;
            let after = (view.after_ms(), view.after_number());
            (session.user.slot(), OperatorCommand::ReadAudit { after, rows_max: view.rows_max() })
        }
        other => unreachable!("{other:?} is carried out where it comes in"),
    };
    Ok((slot, HomeCommand::Operate(Box::new(command))))
}

/// SHA-256 of a one-time code.
fn hash_of(bytes: Option<&[u8]>) -> Result<[u8; 32], No> {
    let hash = bytes.and_then(|bytes| bytes.try_into().ok());
    hash.ok_or_else(|| No::with_detail(Refusal::BadField, 32))
}
