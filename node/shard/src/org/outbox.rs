//! What the homes of users are to be told of their departments, at the home of the directory.
//!
//! Each stands on disk beside the change that caused it, the newest in place of older ones. It is sent when it is on disk,
//! one at a time per user, and deleted when the user's home has it on disk too. After a crash all that are left are sent
//! again; a repeat changes nothing there.

use std::collections::BTreeMap;

use record::{Key, OrgOutboxEntry};
use wire::UserId;
use wire::org::org_slot;

use crate::core::Core;
use crate::limits::ORG_OUTBOX_MAX;
use crate::mesh::{MeshFrame, OrgFrame};

#[derive(Debug)]
struct Pending {
    newest: OrgOutboxEntry,
    /// It is on disk and was not sent.
    unsent: bool,
    in_flight: bool,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    pending: BTreeMap<UserId, Pending>,
    /// Those to delete at the end of the turn, each at the version that its home has.
    done: BTreeMap<UserId, u64>,
}

impl Outbox {
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether so many more users fit.
    pub fn has_room(&self, users: usize) -> bool {
        self.pending.len() + users <= ORG_OUTBOX_MAX
    }

    /// Writes it with the turn's batch; [`Outbox::send`] when that is on disk.
    pub fn note(&mut self, core: &mut Core, user: UserId, entry: OrgOutboxEntry) {
        core.put(&Key::OrgOutbox(user), &entry);
        self.done.remove(&user);
        let in_flight = self.pending.get(&user).is_some_and(|pending| pending.in_flight);
        self.pending.insert(user, Pending { newest: entry, unsent: false, in_flight });
    }

    /// What is noted of these users is on disk.
    pub fn send(&mut self, core: &mut Core, users: &[UserId]) {
        for user in users {
            if let Some(pending) = self.pending.get_mut(user) {
                pending.unsent = true;
                send_next(core, *user, pending);
            }
        }
    }

    /// Takes in what the store has.
    pub fn restore(&mut self, core: &mut Core, user: UserId, entry: OrgOutboxEntry) {
        self.pending.insert(user, Pending { newest: entry, unsent: true, in_flight: false });
        self.send(core, &[user]);
    }

    /// The user's home has it on disk.
    pub fn handle_done(&mut self, core: &mut Core, user: UserId, version: u64) {
        let Some(pending) = self.pending.get_mut(&user) else { return };
        pending.in_flight = false;
        if pending.unsent {
            send_next(core, user, pending);
        } else if version == pending.newest.version {
            self.done.insert(user, version);
        }
    }

    pub fn end_turn(&mut self, core: &mut Core) {
        if self.done.is_empty() || core.write_refusal(org_slot()).is_some() {
            return;
        }
        for (user, version) in std::mem::take(&mut self.done) {
            let is_same = |pending: &Pending| pending.newest.version == version;
            if self.pending.get(&user).is_some_and(is_same) {
                core.delete(&Key::OrgOutbox(user));
                self.pending.remove(&user);
            }
        }
    }

    pub fn check_invariants(&self) {
        assert!(self.pending.len() <= ORG_OUTBOX_MAX);
        for pending in self.pending.values() {
            assert!(!pending.unsent || pending.in_flight, "something for another home waits for nothing");
        }
    }
}

fn send_next(core: &mut Core, user: UserId, pending: &mut Pending) {
    if pending.in_flight || !std::mem::take(&mut pending.unsent) {
        return;
    }
    pending.in_flight = true;
    let OrgOutboxEntry { version, departments } = pending.newest.clone();
    core.control(core.home(user.slot()), MeshFrame::Org(OrgFrame::Place { user, version, departments }));
}
