//! The departments of the users of this shard, as the home of the directory tells them. They are sent one at a time per user
//! and in order, so the last one that comes is the newest.

use std::collections::BTreeMap;

use record::{Key, OrgPlace};
use wire::{ShardAddress, UserId};

use crate::core::{After, Core};
use crate::limits::ORG_OUTBOX_MAX;
use crate::mesh::{MeshFrame, OrgFrame};

/// The departments that a user is in directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// The home of the directory, which waits to hear that it is on disk.
    pub from: ShardAddress,
    pub user: UserId,
    pub version: u64,
    pub departments: Vec<u32>,
}

/// What could not be written yet. Bounded by the outbox it comes from.
#[derive(Debug, Default)]
pub(super) struct Places {
    waiting: BTreeMap<UserId, Placed>,
}

impl Places {
    pub fn handle_place(&mut self, core: &mut Core, placed: Placed) {
        assert!(core.is_home(placed.user.slot()), "{:?} has his home elsewhere", placed.user);
        self.waiting.remove(&placed.user);
        if core.write_refusal(placed.user.slot()).is_some() {
            self.waiting.insert(placed.user, placed);
            return;
        }
        write(core, placed);
    }

    pub fn handle_written(&mut self, core: &mut Core, placed: &Placed) {
        let Placed { from, user, version, .. } = *placed;
        core.control(from, MeshFrame::Org(OrgFrame::PlaceDone { user, version }));
    }

    /// It is not sent again: it is written later.
    pub fn handle_refused(&mut self, placed: Placed) {
        let newer = self.waiting.get(&placed.user).is_some_and(|waits| waits.version >= placed.version);
        if !newer {
            self.waiting.insert(placed.user, placed);
        }
    }

    pub fn end_turn(&mut self, core: &mut Core) {
        if self.waiting.is_empty() {
            return;
        }
        let may_go = |placed: &Placed| core.write_refusal(placed.user.slot()).is_none();
        let ready: Vec<_> =
            self.waiting.values().filter(|placed| may_go(placed)).map(|placed| placed.user).collect();
        for user in ready {
            let placed = self.waiting.remove(&user).expect("it waits");
            write(core, placed);
        }
    }

    pub fn check_invariants(&self) {
        assert!(self.waiting.len() <= 2 * ORG_OUTBOX_MAX);
    }
}

fn write(core: &mut Core, placed: Placed) {
    let Placed { user, version, ref departments, .. } = placed;
    if departments.is_empty() {
        core.delete(&Key::OrgPlace(user));
    } else {
        core.put(&Key::OrgPlace(user), &OrgPlace { version, departments: departments.clone() });
    }
    let stamp = core.stamp(user.slot());
    core.after_unhurried(user.slot(), stamp, After::OrgPlace(placed));
}
