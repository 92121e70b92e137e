//! What has to agree between slots, and so between store shards.

use std::collections::HashMap;

use wire::ids::SLOTS;
use wire::{ConversationId, Slot, UserId};

use super::Findings;
use crate::kv::StoreShardId;
use crate::records::Place;

#[derive(Default)]
pub(super) struct Across {
    /// Where the rows of a slot were seen.
    slots: HashMap<Slot, StoreShardId>,
    /// Devices numbered so far, by account.
    accounts: HashMap<UserId, u32>,
    conversations: HashMap<ConversationId, Chat>,
    /// Users whose lists are full.
    full_lists: Vec<UserId>,
}

/// One conversation: its log's head, and what is known at its two users.
#[derive(Default)]
struct Chat {
    head: Place,
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    listed: Option<Place>,
    outbox: Option<Place>,
    device_last: u32,
}

impl Across {
    /// # Errors
    /// If rows of this slot were in another store shard too.
    pub fn add_slot(&mut self, slot: Slot, store_shard: StoreShardId) -> Result<(), String> {
        match self.slots.insert(slot, store_shard) {
            Some(other) if other != store_shard => Err(format!(
                "slot {} has rows in store shards {} and {}",
                slot.number(),
                other.0,
                store_shard.0
            )),
            _ => Ok(()),
        }
    }

    pub fn add_account(&mut self, user: UserId, devices_issued: u32) {
        self.accounts.insert(user, devices_issued);
    }

    pub fn add_listed(&mut self, user: UserId, conversation: ConversationId, head: Place, list_full: bool) {
        self.side(user, conversation).listed = Some(head);
        if list_full && self.full_lists.last() != Some(&user) {
            self.full_lists.push(user);
        }
    }

    pub fn add_outbox(&mut self, user: UserId, conversation: ConversationId, head: Place) {
        self.side(user, conversation).outbox = Some(head);
    }

    pub fn add_log(&mut self, conversation: ConversationId, head: Place) {
        self.conversations.entry(conversation).or_default().head = head;
    }

    pub fn add_device(&mut self, user: UserId, conversation: ConversationId, device: u32) {
        let side = self.side(user, conversation);
        side.device_last = side.device_last.max(device);
    }

    /// Conversations with a log.
    pub fn conversations(&self) -> u64 {
        self.conversations.values().filter(|chat| chat.head.seq > 0).count() as u64
    }

    fn side(&mut self, user: UserId, conversation: ConversationId) -> &mut Side {
        let chat = self.conversations.entry(conversation).or_default();
        &mut chat.sides[usize::from(user == conversation.high)]
    }

    pub fn finish(mut self, store_shards: u16, findings: &mut Findings) {
        assert!(store_shards.is_power_of_two() && store_shards <= SLOTS, "{store_shards} store shards");
        self.full_lists.sort_unstable();
        let mut slots: Vec<_> = self.slots.iter().collect();
        slots.sort();
        for (slot, store_shard) in slots {
            let right = StoreShardId::of_slot(*slot, store_shards);
            if *store_shard != right {
                let number = slot.number();
                findings
                    .add(format!("slot {number} is in store shard {}, not in {}", store_shard.0, right.0));
            }
        }
        let mut conversations: Vec<_> = self.conversations.keys().copied().collect();
        conversations.sort_unstable();
        for conversation in conversations {
            let chat = &self.conversations[&conversation];
            for (user, side) in conversation.users().into_iter().zip(&chat.sides) {
                if let Err(what) = self.check_side(user, chat.head, side) {
                    findings.add(format!("{conversation:?}: {what}"));
                }
            }
        }
    }

    fn check_side(&self, user: UserId, head: Place, side: &Side) -> Result<(), String> {
        let Some(issued) = self.accounts.get(&user) else {
            return Err(format!("{user:?} has no account"));
        };
        if side.device_last > *issued {
            return Err(format!(
                "device {} of {user:?} sent, and only {issued} were issued",
                side.device_last
            ));
        }
        if let Some(outbox) = side.outbox.filter(|outbox| *outbox > head) {
            return Err(format!("the outbox says head {} and the log ends at {}", outbox.seq, head.seq));
        }
        match side.listed {
            Some(listed) if listed == head => Ok(()),
            Some(listed) if listed > head => {
                Err(format!("the list of {user:?} says head {} and the log ends at {}", listed.seq, head.seq))
            }
            // It is on its way, or it fell out of a full list.
            _ if side.outbox == Some(head) => Ok(()),
            None if self.full_lists.binary_search(&user).is_ok() => Ok(()),
            None => Err(format!("it is not in the list of {user:?}, and no outbox entry says so")),
            Some(listed) => Err(format!(
                "the list of {user:?} is at {}, the log at {}, and no outbox entry brings it there",
                listed.seq, head.seq
            )),
        }
    }
}
