//! The end of a session by its own wish.

use super::{Ending, Logins, Task, Written};
use crate::core::{Core, FULL_RETRY_MS};
use crate::mesh::Caller;

impl Logins {
    pub(crate) fn handle_logout(&mut self, core: &mut Core, caller: Caller, forget_ticket: bool) {
        // A session that another one has taken the place of must not revoke the other one's ticket.
        let is_open = self.sessions.find(caller.user, caller.place).is_some();
        if forget_ticket && is_open {
            self.submit(core, Task::Logout { caller });
        } else {
            self.log_out(core, caller);
        }
    }

    /// The next generation of the device makes its ticket void.
    pub(super) fn forget_ticket(&mut self, core: &mut Core, caller: Caller) {
        let (account, stamp) = self.accounts.find(&caller.user).expect("the account was read");
        // Once more: while this waited, or is on the way to the disk, another login of the device may have come before it.
        let account = account.clone();
        let stamp = match account.filter(|account| self.is_current(account, &caller)) {
            None => stamp,
            Some(mut account) => {
                if let Some(refusal) = core.write_refusal(caller.user.slot()) {
                    core.refuse_caller(caller, refusal, 0, FULL_RETRY_MS as u32);
                    return;
                }
                Ending::Only(caller.place.device).revoke(&mut account);
                self.put_account(core, caller.user, account)
            }
        };
        self.when_written(core, caller.user.slot(), stamp, Written::Logout { caller });
    }

    pub(super) fn log_out(&mut self, core: &mut Core, caller: Caller) {
        if let Some(session) = self.sessions.close(caller.user, caller.place) {
            self.keep_seen(core, caller.user, &session);
        }
        let frame = core.encoder.logged_out(caller.request);
        core.answer(caller, frame);
    }
}
