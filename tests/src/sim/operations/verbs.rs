//! What people do beside writing: they answer, forward, mention.

use wire::ConversationId;
use wire::client::Draft;

use crate::sim::world::World;

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
