//! What an operator asks over the protocol: what the connection's shard checks of it.

use bytes::Bytes;
use wire::limits::{MESSAGE_BODY_LEN_MAX, NAME_LEN_MAX, NOTIFY_USERS_MAX, ORG_EDITS_MAX};
use wire::operator::{AccountState, Recipients, recipients};
use wire::org::{edits, org_slot};
use wire::{Command, ConversationId, DeviceId, Incoming, Notices, Refusal, Slot, body, verified};

use super::No;
use super::home_command::text;
use super::register::name_of;
use super::state::Session;
use crate::admin::{Notice, Reach, UserAct};
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
        Command::Notify => notify(incoming.body, session)?,
        Command::EditOrg => {
            let view = verified::view::<body::EditOrg>(incoming.body)?;
            let edits = edits(&view).ok_or(Refusal::BadField)?;
            if edits.len() > ORG_EDITS_MAX {
                return Err(No::with_detail(Refusal::BadField, ORG_EDITS_MAX as u64));
            }
            (org_slot(), OperatorCommand::EditOrg { expected: view.expected(), edits })
        }
        other => unreachable!("{other:?} is carried out where it comes in"),
    };
    Ok((slot, HomeCommand::Operate(Box::new(command))))
}

/// A notice, and the home of its log; copies for users go there from the caller's.
fn notify(body: &[u8], session: &Session) -> Result<(Slot, OperatorCommand), No> {
    let view = verified::view::<body::Notify>(body)?;
    let content = view.body().map(|content| content.bytes()).unwrap_or_default();
    if content.len() > MESSAGE_BODY_LEN_MAX {
        return Err(No::with_detail(Refusal::BodyTooLong, MESSAGE_BODY_LEN_MAX as u64));
    }
    if view.id() == 0 || content.is_empty() {
        return Err(Refusal::BadField.into());
    }
    let reach = if view.online_now() { Reach::OnlineNow } else { Reach::Everybody };
    let body = Bytes::copy_from_slice(content);
    let notice = Notice { id: view.id(), reach, body_kind: view.body_kind(), body };
    let notices = match recipients(&view).ok_or(Refusal::BadField)? {
        Recipients::Users(users) => {
            if users.len() > NOTIFY_USERS_MAX {
                return Err(No::with_detail(Refusal::BadField, NOTIFY_USERS_MAX as u64));
            }
            return Ok((session.user.slot(), OperatorCommand::Notify { users, notice }));
        }
        Recipients::All => Notices::All,
        Recipients::Adverts => Notices::Adverts,
        Recipients::Department(department) => Notices::Department(department),
    };
    let conversation = ConversationId::of_notices(notices);
    Ok((conversation.slot(), OperatorCommand::Issue { conversation, notice }))
}

/// SHA-256 of a one-time code.
fn hash_of(bytes: Option<&[u8]>) -> Result<[u8; 32], No> {
    let hash = bytes.and_then(|bytes| bytes.try_into().ok());
    hash.ok_or_else(|| No::with_detail(Refusal::BadField, 32))
}
