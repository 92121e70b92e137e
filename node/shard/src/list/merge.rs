//! Changes into lists.

use record::{Digest, Key};
use wire::{ConversationId, UserId};

use crate::core::{After, Core};
use crate::mesh::{MeshFrame, SessionPlace};

use super::state::{List, Merged};
use super::{Arrived, Held, Lists, Phase};

/// Changes that one list gave to one batch: their homes are told when that is on disk.
#[derive(Debug)]
pub(crate) struct Written {
    user: UserId,
    changes: Vec<Arrived>,
    /// Sessions that were answered without these changes.
    owed: Vec<SessionPlace>,
}

impl Lists {
    /// Writes a change with the very batch of its entry, for a user whose rows go with that. False when his list is not
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
        merge_one(core, user, &mut held.list, &mut self.entries, conversation, digest);
        true
    }

    /// A batch is on disk.
    pub fn handle_written(&mut self, core: &mut Core, written: Written) {
        tell(core, written.user, &written.changes);
        for session in written.owed {
            self.pushes.need_sync(core, &session);
        }
    }

    /// A batch was refused as full. What it held is merged again: the other homes do not send it anew.
    pub fn handle_refused(&mut self, core: &mut Core, written: Written) {
        let held = self.hold(core, written.user);
        held.arrived.extend(written.changes);
        held.owed.extend(written.owed);
        self.touch(written.user);
    }
}

/// Merges all that arrived: one version and one write per conversation that changed. False when nothing may be written
/// now.
pub(super) fn merge_arrived(core: &mut Core, user: UserId, held: &mut Held, entries: &mut usize) -> bool {
    if held.arrived.is_empty() {
        return true;
    }
    if core.write_refusal(user.slot()).is_some() {
        return false;
    }
    let mut arrived = std::mem::take(&mut held.arrived);
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
        merge_one(core, user, &mut held.list, entries, *conversation, *digest);
    }
    // Also where nothing rose: what holds it may still be on its way to the disk.
    if core.is_committed(user.slot(), held.list.stamp) {
        // Whoever was answered without these knew all of it.
        held.owed.clear();
        tell(core, user, &arrived);
    } else {
        let owed = std::mem::take(&mut held.owed);
        let written = Written { user, changes: arrived, owed };
        core.after_unhurried(user.slot(), held.list.stamp, After::List(written));
    }
    true
}

pub(super) fn merge_one(
    core: &mut Core,
    user: UserId,
    list: &mut List,
    entries: &mut usize,
    conversation: ConversationId,
    digest: Digest,
) {
    *entries -= list.len();
    let merged = list.merge(conversation, digest);
    *entries += list.len();
    let entry = match merged {
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
