//! The operator gives an account new credentials; whoever was logged in is out, and so are the tickets.

use record::{AccountState, AuditAct, Credential};
use wire::{Refusal, UserId, UserName};

use super::{Ending, Logins, Written};
use crate::admin::AdminReply;
use crate::core::{After, Core};

impl Logins {
    pub(super) fn reset(&mut self, core: &mut Core, token: u64, name: &UserName, credential: Credential) {
        let slot = name.slot();
        let refused = |refusal: Refusal| AdminReply::Refused { reason: refusal.reason().into() };
        let (user, stamp) = self.names.find(name.as_str()).expect("the name was read");
        let Some(user) = *user else {
            let reply = refused(Refusal::UnknownUser);
            core.after(slot, stamp, After::Reply { token, reply });
            return;
        };
        if let Some(refusal) = core.write_refusal(slot) {
            core.reply(token, refused(refusal));
            return;
        }
        let (account, account_stamp) = self.accounts.find(&user).expect("the account was read");
        let stamp = stamp.max(account_stamp);
        let Some(mut account) = account.clone() else {
            core.damaged(slot, &format!("the name {name} leads to no account"));
            return;
        };
        // A deleted account is empty, as one of a service is.
        let refusal = if account.state == AccountState::Deleted {
            Some(Refusal::AccountDeleted)
        } else if account.credentials.is_empty() && account.code.is_none() {
            Some(Refusal::OtherKindOfAccount)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let reply = refused(refusal);
            core.after(slot, stamp, After::Reply { token, reply });
            return;
        }
        (account.credentials, account.code) = (vec![credential], None);
        Ending::All.revoke(&mut account);
        core.audit(slot, AuditAct::PasswordReset, UserId::NOBODY, user, name.as_str(), String::new());
        let stamp = self.put_account(core, user, account);
        self.when_written(core, slot, stamp, Written::Reset { token, user });
    }

    pub(super) fn finish_reset(&mut self, core: &mut Core, token: u64, user: UserId) {
        let sessions_ended = self.close_sessions(core, user, Ending::All, Refusal::SessionEnded);
        core.reply(token, AdminReply::Reset { user: user.0, sessions_ended });
    }
}
