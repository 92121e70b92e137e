//! Changes into lists.

use record::{Digest, Key};
use wire::{ConversationId, UserId};

use crate::core::{After, Core};
use crate::mesh::MeshFrame;

use super::state::{List, Merged};
use super::{Arrived, Held, Lists, Phase};

/// Changes that one list gave to one batch: their homes are told when that is on disk.
#[derive(Debug)]
pub(crate) struct Written {
    user: UserId,
    changes: Vec<Arrived>,
}

impl Lists {
    /// Writes a change with the very batch of its entry, for a user of the conversation's slot. False when his list is not
    /// in memory: then the change takes the way by the outbox.
    pub fn change(
        &mut self,
        core: &mut Core,
        user: UserId,
        conversation: ConversationId,
        digest: Digest,
    ) -> bool {
        let Some(held) = self.held.get_mut(&user).filter(|held| held.phase == Phase::Ready) else {
            return false;
        };
        held.used = self.order.tick();
        let before = held.list.len();
        merge_one(core, user, &mut held.list, conversation, digest);
        self.entries = self.entries + held.list.len() - before;
        true
    }

    /// A batch is on disk.
    pub fn handle_written(&mut self, core: &mut Core, written: Written) {
        tell(core, written.user, &written.changes);
    }

    /// A batch was refused as full. What it held is merged again: the other homes do not send it anew.
    pub fn handle_refused(&mut self, core: &mut Core, written: Written) {
        let held = self.hold(core, written.user);
        held.arrived.extend(written.changes);
        self.touch(written.user);
    }
}

/// Merges all that arrived: one version and one write per conversation that changed.
pub(super) fn merge_arrived(core: &mut Core, user: UserId, held: &mut Held) {
    let mut arrived = std::mem::take(&mut held.arrived);
    if arrived.is_empty() {
        return;
    }
    arrived.sort_by_key(|arrived| arrived.conversation);
    arrived.dedup_by(|next, kept| {
        let same = next.conversation == kept.conversation;
        if same {
            kept.digest = kept.digest.max(next.digest);
            kept.change = kept.change.max(next.change);
            kept.from = next.from;
        }
        same
    });
    for Arrived { conversation, digest, .. } in &arrived {
        merge_one(core, user, &mut held.list, *conversation, *digest);
    }
    // Also where nothing rose: what holds it may still be on its way to the disk.
    if core.is_committed(user.slot(), held.list.stamp) {
        tell(core, user, &arrived);
    } else {
        core.after(user.slot(), held.list.stamp, After::List(Written { user, changes: arrived }));
    }
}

fn merge_one(core: &mut Core, user: UserId, list: &mut List, conversation: ConversationId, digest: Digest) {
    let entry = match list.merge(conversation, digest) {
        Merged::Nothing => return,
        Merged::Changed(entry) => entry,
        Merged::Replaced(entry, oldest) => {
            core.delete(&Key::List(user, oldest));
            entry
        }
    };
    core.put(&Key::List(user, conversation), &entry);
    list.stamp = core.stamp(user.slot());
}

/// The conversations' homes need not send these again.
fn tell(core: &mut Core, user: UserId, changes: &[Arrived]) {
    for &Arrived { conversation, change, from, .. } in changes {
        core.control(from, MeshFrame::ChangedDone { user, conversation, change });
    }
}
