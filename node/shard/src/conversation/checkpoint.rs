//! Checkpoints: what bounds the rebuild of a conversation from its entries.

use record::{Checkpoint, Key};

use wire::UserId;

use crate::core::Core;

use super::issue;
use super::state::Conversation;

/// Writes the state up to the head, in the batch of the head's entry: also what was remembered and the marks that sends
/// moved, since entries in front of a checkpoint are not looked at again.
pub(super) fn put(core: &mut Core, conversation: &mut Conversation) {
    let id = conversation.id;
    let (epoch, head, time_ms) = (conversation.epoch, conversation.head, conversation.time_ms);
    core.put(&Key::Checkpoint(id), &Checkpoint { epoch, head, time_ms });
    for (sender, remembered) in conversation.sends.take_dirty() {
        core.put(&Key::Remembered(id, id.users()[sender.side], sender.device), &remembered);
    }
    if let Some(remembered) = conversation.issues.as_ref().map(|issues| issues.record()) {
        core.put(&Key::Remembered(id, UserId::SYSTEM, issue::SYSTEM_DEVICE), &remembered);
    }
    if id.is_followed() {
        return; // nobody's marks stand here
    }
    for (side, user) in id.users().into_iter().enumerate() {
        core.put(&Key::Marks(id, user), &conversation.stored_marks(side));
    }
}
