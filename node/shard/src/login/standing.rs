//! Whether an account may be used, and what the operator does about that: disables it, enables it again, deletes it.
//!
//! A deleted account stays as an empty one. The person has a name in what was written, and the name is not free again for a
//! while ([`crate::Config::name_reserved_ms`]).

use record::{Account, AccountState, AuditAct, Key, OneTimeCode};
use wire::operator::UsersListed;
use wire::{DeviceId, Refusal, UserId, UserName};

use super::{Ending, Logins, Written};
use crate::admin::{AdminReply, UserAct, UserLine};
use crate::asker::Asker;
use crate::commits::Stamp;
use crate::core::{Core, FULL_RETRY_MS};

/// Whether sessions of this account may be opened.
///
/// # Errors
/// What to tell whoever has proved that the account is his.
pub(super) fn may_log_in(account: &Account) -> Result<(), Refusal> {
    match account.state {
        AccountState::Active => Ok(()),
        AccountState::Disabled => Err(Refusal::AccountDisabled),
        AccountState::Deleted => Err(Refusal::AccountDeleted),
    }
}

/// Whether this is the account of a service, which has tokens and never a password.
fn is_service(account: &Account) -> bool {
    account.state != AccountState::Deleted && account.credentials.is_empty() && account.code.is_none()
}

/// Whether a new account may have the name of this one.
pub(super) fn has_left_its_name(core: &Core, account: &Account) -> bool {
    account.state == AccountState::Deleted
        && core.now.wall_ms >= account.state_ms.saturating_add(core.config.name_reserved_ms)
}

impl Logins {
    /// Of the operator, about the account of a name.
    pub(super) fn change_user(&mut self, core: &mut Core, asker: Asker, name: &UserName, act: UserAct) {
        let slot = name.slot();
        let refuse = |core: &mut Core, stamp, refusal| asker.refuse_after(core, slot, stamp, refusal, 0);
        let (user, account, stamp) = match self.account_named(name) {
            Some((user, Some(account), stamp)) => (user, account, stamp),
            Some((_, None, _)) => {
                return core.damaged(slot, &format!("the name {name} leads to no account"));
            }
            None => {
                let (_, stamp) = self.names.find(name.as_str()).expect("the name was read");
                return refuse(core, stamp, Refusal::UnknownUser);
            }
        };
        if account.state == AccountState::Deleted {
            return refuse(core, stamp, Refusal::AccountDeleted);
        }
        if matches!(act, UserAct::Reset { .. }) && is_service(&account) {
            return refuse(core, stamp, Refusal::OtherKindOfAccount);
        }
        if let Some(refusal) = core.write_refusal(slot) {
            return asker.refuse(core, refusal, 0, FULL_RETRY_MS as u32);
        }
        let audited = match act {
            UserAct::Disable => AuditAct::Disabled,
            UserAct::Enable => AuditAct::Enabled,
            UserAct::Reset { .. } => AuditAct::CodeIssued,
            UserAct::Delete => AuditAct::Deleted,
        };
        core.audit(slot, audited, asker.user(), user, &account.name, String::new());
        let (stamp, ended) = match act {
            UserAct::Disable => {
                let mut account = in_state(core, account, AccountState::Disabled);
                Ending::All.revoke(&mut account);
                (self.put_account(core, user, account), Some(Refusal::AccountDisabled))
            }
            UserAct::Enable => {
                let account = in_state(core, account, AccountState::Active);
                (self.put_account(core, user, account), None)
            }
            UserAct::Reset { code_hash } => {
                let mut account = account;
                let expiry_ms = core.now.wall_ms + core.config.code_ms;
                account.credentials.clear();
                account.code = Some(OneTimeCode { hash: code_hash, expiry_ms });
                Ending::All.revoke(&mut account);
                (self.put_account(core, user, account), Some(Refusal::SessionEnded))
            }
            UserAct::Delete => (self.erase(core, user, account), Some(Refusal::AccountDeleted)),
        };
        self.when_written(core, slot, stamp, Written::Changed { asker, user, ended });
    }

    /// The account is empty from now on.
    pub(super) fn erase(&mut self, core: &mut Core, user: UserId, account: Account) -> Stamp {
        core.delete(&Key::Profile(user));
        core.delete(&Key::Presence(user));
        core.delete(&Key::Tokens(user));
        for device in &account.devices {
            core.delete(&Key::DeviceSeen(user, DeviceId(device.device)));
        }
        let mut account = in_state(core, account, AccountState::Deleted);
        account.credentials.clear();
        account.devices.clear();
        account.code = None;
        let stamp = self.put_account(core, user, account);
        self.tokens.put(user, None, stamp, |user, stamp| core.is_committed(user.slot(), stamp));
        stamp
    }

    pub(super) fn finish_change(
        &mut self,
        core: &mut Core,
        asker: Asker,
        user: UserId,
        ended: Option<Refusal>,
    ) {
        let sessions_ended = ended.map_or(0, |why| self.close_sessions(core, user, Ending::All, why));
        let reply = AdminReply::Changed { user: user.0, sessions_ended };
        asker.answer(core, reply, |encoder, request| encoder.user_changed(request, user, sessions_ended));
    }

    pub(super) fn show_user(&mut self, core: &mut Core, asker: Asker, name: &UserName) {
        let slot = name.slot();
        let Some((user, Some(account), stamp)) = self.account_named(name) else {
            let (_, stamp) = self.names.find(name.as_str()).expect("the name was read");
            return asker.refuse_after(core, slot, stamp, Refusal::UnknownUser, 0);
        };
        let line = UserLine::of(user, &account);
        asker.answer_after(core, slot, stamp, AdminReply::User(line.clone()), |encoder, request| {
            encoder.users_listed(request, &UsersListed { users: vec![line.into()], more: false })
        });
    }

    /// The account of a name that was read with it, and the batch that both are on disk with.
    fn account_named(&mut self, name: &UserName) -> Option<(UserId, Option<Account>, Stamp)> {
        let (owner, name_stamp) = self.names.find(name.as_str()).expect("the name was read");
        let user = (*owner)?;
        let (account, stamp) = self.accounts.find(&user).expect("the account was read");
        Some((user, account.clone(), stamp.max(name_stamp)))
    }
}

/// The account in another state, since now; in the same one it stays as it is.
fn in_state(core: &Core, mut account: Account, state: AccountState) -> Account {
    if account.state != state {
        (account.state, account.state_ms) = (state, core.now.wall_ms);
    }
    account
}
