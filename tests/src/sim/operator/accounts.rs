//! Accounts that are disabled for a while, or deleted for good.

use record::{Account, AccountState, Key};
use shard::admin::UserAct;
use wire::UserId;

use super::Asked;
use crate::sim::model::disk;
use crate::sim::world::World;

impl World {
    /// Disables somebody for a while, deletes an account of nobody, or enables whom it can.
    pub(super) fn operator_judges(&mut self) {
        let is_person = |name: &&String| !name.starts_with("service");
        let names: Vec<_> = self.model.users.values().filter(is_person).cloned().collect();
        match self.fault_stream.below(5) {
            0..2 if !names.is_empty() => {
                let name = self.fault_stream.pick(&names).clone();
                self.operator.disabled.insert(name.clone());
                self.change_user(name, UserAct::Disable);
            }
            2 if self.operator.added > 0 => {
                let number = self.fault_stream.between(1, u64::from(self.operator.added));
                self.change_user(format!("added{number}"), UserAct::Delete);
            }
            _ => self.enable_all(),
        }
    }

    pub(super) fn enable_all(&mut self) {
        for name in self.operator.disabled.clone() {
            self.change_user(name, UserAct::Enable);
        }
    }

    /// One act about an account at a time, so that its answer can be held against the disk.
    fn change_user(&mut self, name: String, act: UserAct) {
        let waits = |asked: &Asked| matches!(asked, Asked::Change { name: other, .. } if *other == name);
        if !self.operator.asked.values().any(waits) {
            self.ask_operator(Some(name.clone()), Asked::Change { name, act });
        }
    }

    pub(super) fn on_user_changed(&mut self, name: String, act: UserAct, user: UserId) {
        let account = disk::record::<Account>(&self.store, &Key::Account(user));
        let wanted = match act {
            UserAct::Disable => AccountState::Disabled,
            UserAct::Delete => AccountState::Deleted,
            UserAct::Enable | UserAct::Reset { .. } => AccountState::Active,
        };
        // Its own user may have deleted it meanwhile.
        let fits = |state| state == wanted || state == AccountState::Deleted;
        let is_so = account.is_some_and(|account| fits(account.state));
        self.violation_if(!is_so, || format!("{name} is told {act:?} and not so on disk"));
        if act == UserAct::Enable {
            self.operator.disabled.remove(&name);
        }
    }

    /// The accounts of others may be gone by now; those of devices never are, and it is asked again.
    pub(super) fn on_act_refused(&mut self, name: &str) {
        if !self.devices.iter().any(|device| device.name == name) {
            self.operator.disabled.remove(name);
            self.operator.resets.remove(name);
        }
    }
}
