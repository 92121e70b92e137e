//! What people do beside writing: they answer, forward, mention, take back, edit, react.

use wire::ConversationId;
use wire::client::Draft;
use wire::message::{Entry, EntryKind};

use crate::sim::world::World;

/// Recalls, edits, or reacts to one of the last messages; `None` where there is none.
pub fn some_act(world: &mut World, device: usize, conversation: ConversationId) -> Option<Draft> {
    let me = world.devices[device].user_id()?;
    let log = world.devices[device].disk.logs.get(&conversation)?;
    let is_whole = |entry: &&Entry| {
        let extras = entry.extras.as_ref();
        entry.kind == EntryKind::Message && extras.is_none_or(|extras| extras.recalled == 0)
    };
    let last: Vec<_> =
        log.iter().rev().take(12).filter(is_whole).map(|entry| (entry.place.seq, entry.sender)).collect();
    if last.is_empty() {
        return None;
    }
    let (seq, sender) = *world.workload.pick(&last);
    world.devices[device].sends += 1;
    let number = world.devices[device].sends;
    let boot = world.devices[device].boot;
    Some(match world.workload.below(6) {
        0 | 1 if sender == me => Draft::recall(seq),
        2 if sender == me => Draft::edit(seq, format!("{device}.{boot}.{number} {}", "long ".repeat(900))),
        3 | 4 if sender == me => Draft::edit(seq, format!("{device}.{boot}.{number} edited")),
        5 if world.workload.chance(300) => Draft::reaction(seq, ""),
        _ => Draft::reaction(seq, format!("{number}")),
    })
}

/// The draft, as an answer, forwarded from somewhere, or with mentions.
pub fn some_extras(world: &mut World, device: usize, conversation: ConversationId, draft: Draft) -> Draft {
    let logs = &world.devices[device].disk.logs;
    let length = logs.get(&conversation).map_or(0, Vec::len) as u64;
    match world.workload.below(3) {
        0 if length > 0 => {
            let seq = world.workload.between(1, length);
            draft.replying(seq)
        }
        1 if length > 0 => {
            let at = world.workload.index(length as usize);
            let extras = Draft::forward(&world.devices[device].disk.logs[&conversation][at]).extras;
            Draft { extras, ..draft }
        }
        _ => {
            let user = *world.workload.pick(&conversation.users());
            draft.mentioning([user])
        }
    }
}
