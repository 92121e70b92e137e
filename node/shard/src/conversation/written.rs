//! The end of a turn, and what follows when its batch is on disk.

use std::sync::Arc;

use record::{Digest, Key, Place};
use wire::{ConversationId, UserId};

use crate::bugs::Bug;
use crate::core::{After, Core};
use crate::follow::NoticeHead;
use crate::list::Lists;
use crate::mesh::{Changed, PushEvent};

use super::state::Conversation;
use super::{Common, Conversations, rewrite};

/// What one conversation gave to one batch: told to its users when that is on disk.
#[derive(Debug)]
pub(crate) struct Written {
    conversation: ConversationId,
    epoch: u32,
    head: Place,
    time_ms: u64,
    /// For the lower and the higher user: what he is told, and the number of the change, 0 where his list is in the same
    /// batch. `None` where he is not to know that anything happened.
    changes: [Option<(Digest, u64)>; 2],
    events: Arc<[PushEvent]>,
}

impl Conversations {
    /// Writes what changed in this turn.
    pub fn end_turn(&mut self, core: &mut Core, lists: &mut Lists) {
        let mut touched = std::mem::take(&mut self.common.touched);
        for id in touched.drain(..) {
            let held = self.held.get_mut(&id).expect("a touched conversation is held");
            let written = close_turn(core, &mut self.common, lists, &mut held.conversation);
            if core.bug(Bug::PushBeforeCommit) {
                tell(core, &mut self.common, &written);
            }
            core.after(id.slot(), held.conversation.stamp, After::Conversation(written));
        }
        assert!(self.common.touched.is_empty(), "closing a turn touches nothing");
        self.common.touched = touched; // with its room
        self.follow_postponed(core);
        self.common.outbox.end_turn(core);
        self.common.contacts.end_turn(core);
        self.go_on_with_parts(core);
        core.counters.conversations = self.held.len() as u64;
        while let Some((id, seq)) = self.common.tails.surplus() {
            let Some(held) = self.held.get_mut(&id) else { continue };
            let tail = &mut held.conversation.tail;
            if tail.first() == Some(seq) {
                self.common.tails.drop_first(tail);
            }
        }
    }

    /// A batch is on disk: its entries may be shown, and both users are told.
    pub fn handle_written(&mut self, core: &mut Core, written: Written) {
        let held = self.held.get_mut(&written.conversation).expect("unwritten changes keep it in memory");
        assert!(held.conversation.committed <= written.head);
        core.counters.messages += written.head.ord - held.conversation.committed.ord;
        held.conversation.committed = written.head;
        rewrite::on_written(core, &mut self.common, &mut held.conversation);
        tell(core, &mut self.common, &written);
    }
}

/// Puts the marks, the lists and the outbox beside the turn's entries.
fn close_turn(
    core: &mut Core,
    common: &mut Common,
    lists: &mut Lists,
    conversation: &mut Conversation,
) -> Written {
    let id = conversation.id;
    assert_eq!(conversation.stamp, core.stamp(id.slot()), "entries and what belongs to them share a batch");
    conversation.flush_sent(core);
    let mut turn = conversation.turn.take().expect("a touched conversation");
    let (all, events) = turn.take_events();
    if turn.entries > 0 {
        let first = conversation.head.seq + 1 - u64::from(turn.entries);
        common.tails.push(&mut conversation.tail, id, first, turn.entries, all, turn.rich);
    }
    let mut changes = [None; 2];
    for (side, user) in told(id) {
        if turn.marked[side] {
            core.put(&Key::Marks(id, user), &conversation.stored_marks(side));
        }
        if turn.entries == 0 && !turn.concerned[side] {
            continue; // not even a version of his list may tell him
        }
        let digest = conversation.digest(side);
        // His list is in the same batch where that can be, if it is in memory.
        let is_listed = core.share_batches(user.slot(), id.slot()) && lists.change(core, user, id, digest);
        let change = if is_listed { 0 } else { common.outbox.note(core, user, id, digest) };
        changes[side] = Some((digest, change));
    }
    common.spare.put(turn);
    let Conversation { epoch, head, time_ms, .. } = *conversation;
    Written { conversation: id, epoch, head, time_ms, changes, events }
}

/// Whose lists it stands in: the users with their sides. Nobody's where it is followed.
fn told(id: ConversationId) -> impl Iterator<Item = (usize, UserId)> {
    let stands = move |(_, user): &(usize, UserId)| !id.is_followed() && *user != UserId::SYSTEM;
    id.users().into_iter().enumerate().filter(stands)
}

fn tell(core: &mut Core, common: &mut Common, written: &Written) {
    let conversation = written.conversation;
    if conversation.is_followed() {
        let Written { epoch, head, time_ms, .. } = *written;
        let at = NoticeHead { epoch, head, time_ms };
        return common.hub.tell(core, conversation, at, &written.events);
    }
    let outbox = &mut common.outbox;
    for (side, user) in told(conversation) {
        let Some((digest, change)) = written.changes[side] else { continue };
        let events = written.events.clone();
        outbox.send(core, Changed { user, conversation, change, digest, events });
    }
}
