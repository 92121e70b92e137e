//! Commands on what the two users are to each other. The relation stands beside their conversation, so that messages, requests
//! and blocks have one order.

use record::{Act, Key, NotNow, Relation, Row, View};
use wire::contact::Related;
use wire::{ConversationId, Refusal};

use crate::config::{ContactPolicy, StrangerPolicy};
use crate::contact::state_of;
use crate::core::{After, Core};
use crate::mesh::{Caller, MeshFrame};

use super::entry::decode;
use super::state::Conversation;
use super::{Common, Conversations, Refused};

/// A relation is on disk: what changed for its users goes to their homes.
#[derive(Debug)]
pub(crate) struct RelationWritten {
    conversation: ConversationId,
    version: u64,
    views: [Option<View>; 2],
}

impl Conversations {
    pub fn handle_relation_written(&mut self, core: &mut Core, written: RelationWritten) {
        let RelationWritten { conversation, version, views } = written;
        for (user, view) in conversation.users().into_iter().zip(views) {
            if let Some(view) = view {
                self.common.contacts.send(core, user, conversation, version, view);
            }
        }
        self.common.bulk.on_written(conversation, version);
    }
}

/// Takes in the record, if there is one. Two users who wrote to each other before there were relations count as contacts
/// where contacts are required.
pub(super) fn restore(
    core: &mut Core,
    common: &mut Common,
    conversation: &mut Conversation,
    row: Option<&Row>,
) -> Result<(), String> {
    if !conversation.id.is_private() {
        conversation.known = [true; 2];
        return Ok(()); // nobody but the system writes
    }
    if let Some(row) = row {
        conversation.relation = Some(Box::new(decode(row)?));
        conversation.known = [true; 2];
    } else if conversation.head.seq > 0 && core.config.contacts == ContactPolicy::Required {
        conversation.relation = Some(Box::new(Relation::contacts()));
        // Where nothing may be written now, the next one who reads it does it.
        if common.relation_refusal(core, conversation).is_none() {
            let relation = Relation { version: 1, since_ms: conversation.time_ms, ..Relation::contacts() };
            write(core, common, conversation, relation);
        }
    }
    update_may_write(core, conversation);
    Ok(())
}

pub(super) fn run(
    core: &mut Core,
    common: &mut Common,
    conversation: &mut Conversation,
    caller: Caller,
    act: &Act,
) -> Result<(), Refused> {
    let side = conversation.side(caller.user);
    let before = conversation.relation.as_deref().cloned().unwrap_or_default();
    let frame = match before.after(side, act, core.now.wall_ms) {
        Ok(None) => related(core, conversation, caller, &before.view(side)),
        Ok(Some(after)) => {
            if let Some(refused) = common.relation_refusal(core, conversation) {
                return Err(refused);
            }
            let view = after.view(side);
            write(core, common, conversation, after);
            update_may_write(core, conversation);
            related(core, conversation, caller, &view)
        }
        Err(not_now) => {
            let refusal = match not_now {
                NotNow::NoRequest => Refusal::NoRequest,
                NotNow::Blocked => Refusal::BlockedByYou,
            };
            core.counters.refused(refusal);
            core.encoder.refused(caller.request, refusal, 0, 0)
        }
    };
    // Whatever it says rests on what may still be on its way to the disk.
    conversation.flush_sent(core);
    core.after(conversation.id.slot(), conversation.stamp, After::Answer { caller, frame });
    Ok(())
}

fn related(core: &mut Core, conversation: &Conversation, caller: Caller, view: &View) -> bytes::Bytes {
    let user = conversation.id.peer_of(caller.user).expect("the caller is one of the two");
    let View { state, blocked, since_ms, .. } = *view;
    core.encoder.related(caller.request, &Related { user, state: state_of(state), blocked, since_ms })
}

/// Puts the relation into the turn's batch, and beside it what changed for the two users.
pub(super) fn write(
    core: &mut Core,
    common: &mut Common,
    conversation: &mut Conversation,
    relation: Relation,
) {
    let id = conversation.id;
    common.bulk.note(id);
    let shown = conversation.relation.as_deref().filter(|shown| shown.version > 0);
    let before = [0, 1].map(|side| shown.map_or_else(View::default, |shown| shown.view(side)));
    let mut views = [None, None];
    for (side, user) in id.users().into_iter().enumerate() {
        let view = relation.view(side);
        // What one of them does in secret must not reach the other's list, not even as a version.
        if view != before[side] {
            common.contacts.note(core, user, id, relation.version, &view);
            views[side] = Some(view);
        }
    }
    core.put(&Key::Relation(id), &relation);
    conversation.stamp = core.stamp(id.slot());
    let version = relation.version;
    conversation.relation = Some(Box::new(relation));
    let written = RelationWritten { conversation: id, version, views };
    core.after(id.slot(), conversation.stamp, After::Relation(written));
}

pub(super) fn update_may_write(core: &Core, conversation: &mut Conversation) {
    let open = core.config.contacts == ContactPolicy::Open;
    conversation.may_write = match &conversation.relation {
        Some(relation) => relation.may_write(open),
        None => open,
    };
}

/// A message of somebody who may not write here. Whether the other one is a stranger, has blocked him or does not exist, nothing
/// differs: nothing is read for it, and nothing stored.
pub(super) fn turn_away(core: &mut Core, conversation: &Conversation, caller: Caller) {
    let side = conversation.side(caller.user);
    let relation = conversation.relation.as_deref();
    // Where everybody may write, a refusal would say nothing but that the other one has blocked him.
    let is_honest =
        core.config.strangers == StrangerPolicy::Refuse && core.config.contacts == ContactPolicy::Required;
    let refusal = if relation.is_some_and(|relation| relation.blocked[side]) {
        Refusal::BlockedByYou // he knows
    } else if is_honest {
        Refusal::NotContact
    } else {
        core.counters.turned_away += 1;
        return core.control(caller.place.shard, MeshFrame::Unanswered { caller });
    };
    core.refuse_caller(caller, refusal, 0, 0);
}

impl Common {
    /// Why this relation may not be changed now.
    fn relation_refusal(&self, core: &Core, conversation: &Conversation) -> Option<Refused> {
        if let Some(refusal) = core.write_refusal(conversation.id.slot()) {
            return Some(Refused::new(refusal));
        }
        self.contacts.is_full().then_some(Refused::new(Refusal::Busy))
    }
}
