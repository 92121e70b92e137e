//! Users by name and names by user.

use record::AccountState;
use wire::message::UserFound;
use wire::{Refusal, Slot, UserId};

use super::Logins;
use super::task::Person;
use crate::admin::Notice;
use crate::asker::Asker;
use crate::core::{After, Core};
use crate::mesh::{Caller, FollowFrame, MeshFrame};

impl Logins {
    pub(super) fn find_user(&mut self, core: &mut Core, caller: Caller, name: &str) {
        let (user, stamp) = self.names.find(name).expect("the name was read");
        match *user {
            Some(user) => self.name_user(core, caller, user),
            None => {
                core.counters.refused(Refusal::UnknownUser);
                let frame = core.encoder.refused(caller.request, Refusal::UnknownUser, 0, 0);
                core.after(Slot::of_name(name), stamp, After::Answer { caller, frame });
            }
        }
    }

    /// Hands a notice on to the log of this user, unless his account is gone.
    pub(super) fn issue(&mut self, core: &mut Core, asker: Asker, person: &Person, notice: Box<Notice>) {
        let user = self.user_of(person).map(|(user, _)| user);
        let account =
            user.and_then(|user| self.accounts.find(&user)).and_then(|(account, _)| account.as_ref());
        let refusal = match (user, account.map(|account| account.state)) {
            (Some(_), Some(AccountState::Deleted)) => Refusal::AccountDeleted,
            (Some(user), Some(_)) => {
                let frame = FollowFrame::Issue { asker, user, notice };
                return core.control(core.address, MeshFrame::Follow(frame));
            }
            _ => Refusal::UnknownUser,
        };
        asker.refuse(core, refusal, 0, 0);
    }

    pub(super) fn name_user(&mut self, core: &mut Core, caller: Caller, user: UserId) {
        let (account, stamp) = self.accounts.find(&user).expect("the account was read");
        let frame = match account {
            Some(account) => {
                let deleted = account.state == AccountState::Deleted;
                let found = UserFound { user, name: account.name.clone(), deleted };
                core.encoder.user_found(caller.request, &found)
            }
            None => {
                core.counters.refused(Refusal::UnknownUser);
                core.encoder.refused(caller.request, Refusal::UnknownUser, 0, 0)
            }
        };
        core.after(user.slot(), stamp, After::Answer { caller, frame });
    }
}
