//! What has to agree between slots, and so between store shards.

use std::collections::HashMap;

use wire::ids::SLOTS;
use wire::{ConversationId, DeviceId, Slot, UserId};

use super::Findings;
use super::contacts::Contacts;
use super::org::Org;
use super::slot::check_marks;
use crate::kv::StoreShardId;
use crate::records::{Digest, Marks, Place};
use crate::relation::{Contact, ContactOutboxEntry, Relation};

#[derive(Default)]
pub(super) struct Across {
    /// Where the rows of a slot were seen.
    slots: HashMap<Slot, StoreShardId>,
    /// Devices numbered so far, by account.
    accounts: HashMap<UserId, u32>,
    conversations: HashMap<ConversationId, Chat>,
    /// Followed conversations: the heads of their logs, and the highest that stand in lists.
    followed: HashMap<ConversationId, (Place, Place)>,
    /// Users whose lists are full.
    full_lists: Vec<UserId>,
    contacts: Contacts,
    pub org: Org,
}

/// One conversation: its log's head, and what is known at its two users.
#[derive(Default)]
struct Chat {
    head: Place,
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    /// What the user's list says.
    listed: Option<Known>,
    /// What is on its way to it. Rare.
    outbox: Option<Box<Known>>,
    /// The user's own marks, as far as they are written.
    marks: Marks,
    /// What the other one may see of them, where that is less. Rare.
    shown: Option<Box<Marks>>,
    device_last: u32,
}

/// What a digest says that can be compared.
#[derive(Clone, Copy)]
struct Known {
    head: Place,
    own: Marks,
    peer: Marks,
}

impl Known {
    fn of(digest: &Digest) -> Self {
        Self { head: digest.head, own: digest.own, peer: digest.peer }
    }

    fn max(self, other: Self) -> Self {
        Self {
            head: self.head.max(other.head),
            own: self.own.max(other.own),
            peer: self.peer.max(other.peer),
        }
    }
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

    /// A row of a device comes behind the account that it belongs to.
    pub fn check_device(&self, user: UserId, device: DeviceId) -> Result<(), String> {
        match self.accounts.get(&user) {
            None => Err(format!("{user:?} has a device and no account")),
            Some(issued) if device.0 == 0 || device.0 > *issued => {
                Err(format!("device {} of {issued} issued to {user:?} cannot be", device.0))
            }
            Some(_) => Ok(()),
        }
    }

    pub fn add_listed(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        digest: &Digest,
        list_full: bool,
    ) {
        if conversation.is_followed() {
            let (_, listed) = self.followed.entry(conversation).or_default();
            *listed = (*listed).max(digest.head);
        } else {
            self.side(user, conversation).listed = Some(Known::of(digest));
        }
        if list_full && self.full_lists.last() != Some(&user) {
            self.full_lists.push(user);
        }
    }

    pub fn add_outbox(&mut self, user: UserId, conversation: ConversationId, digest: &Digest) {
        self.side(user, conversation).outbox = Some(Box::new(Known::of(digest)));
    }

    pub fn add_marks(&mut self, user: UserId, conversation: ConversationId, marks: Marks) {
        self.side(user, conversation).marks = marks;
    }

    pub fn add_marks_shown(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        shown: Option<Marks>,
    ) -> Result<(), String> {
        if let Some(shown) = shown {
            self.side(user, conversation).shown = Some(Box::new(shown));
            check_marks(shown)?;
        }
        Ok(())
    }

    pub fn add_log(&mut self, conversation: ConversationId, head: Place) {
        if conversation.is_followed() {
            self.followed.entry(conversation).or_default().0 = head;
        } else {
            self.conversations.entry(conversation).or_default().head = head;
        }
    }

    pub fn add_device(&mut self, user: UserId, conversation: ConversationId, device: u32) {
        let side = self.side(user, conversation);
        side.device_last = side.device_last.max(device);
    }

    pub fn add_relation(&mut self, conversation: ConversationId, relation: &Relation) {
        self.contacts.add_relation(conversation, relation);
    }

    pub fn add_contact(&mut self, user: UserId, conversation: ConversationId, row: &Contact, is_full: bool) {
        self.contacts.add_row(user, conversation, row, is_full);
    }

    pub fn add_contact_outbox(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        entry: &ContactOutboxEntry,
    ) {
        self.contacts.add_outbox(user, conversation, entry);
    }

    /// Conversations with a log.
    pub fn conversations(&self) -> u64 {
        let chats = self.conversations.values().filter(|chat| chat.head.seq > 0).count();
        (chats + self.followed.values().filter(|(head, _)| head.seq > 0).count()) as u64
    }

    fn side(&mut self, user: UserId, conversation: ConversationId) -> &mut Side {
        let chat = self.conversations.entry(conversation).or_default();
        &mut chat.sides[usize::from(user == conversation.high)]
    }

    pub fn finish(mut self, store_shards: u16, findings: &mut Findings) {
        assert!(store_shards.is_power_of_two() && store_shards <= SLOTS, "{store_shards} store shards");
        self.full_lists.sort_unstable();
        self.contacts.finish(&self.accounts, findings);
        std::mem::take(&mut self.org).finish(findings);
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
        let mut followed: Vec<_> = self.followed.iter().collect();
        followed.sort_unstable();
        for (conversation, (head, listed)) in followed {
            if listed > head {
                let (listed, head) = (listed.seq, head.seq);
                findings
                    .add(format!("{conversation:?}: a list says head {listed}, and the log ends at {head}"));
            }
        }
        let mut conversations: Vec<_> = self.conversations.keys().copied().collect();
        conversations.sort_unstable();
        for conversation in conversations {
            let chat = &self.conversations[&conversation];
            for (index, user) in conversation.users().into_iter().enumerate() {
                if user == UserId::SYSTEM {
                    continue;
                }
                if let Err(what) =
                    self.check_side(user, chat.head, &chat.sides[index], &chat.sides[1 - index])
                {
                    findings.add(format!("{conversation:?}: {what}"));
                }
            }
        }
    }

    fn check_side(&self, user: UserId, head: Place, side: &Side, other: &Side) -> Result<(), String> {
        let Some(issued) = self.accounts.get(&user) else {
            return Err(format!("{user:?} has no account"));
        };
        if side.device_last > *issued {
            return Err(format!(
                "device {} of {user:?} sent, and only {issued} were issued",
                side.device_last
            ));
        }
        let list = side.listed.map_or(Place::default(), |listed| listed.head);
        let outbox = side.outbox.as_ref().map_or(Place::default(), |outbox| outbox.head);
        if outbox > head {
            return Err(format!("the outbox says head {} and the log ends at {}", outbox.seq, head.seq));
        }
        if list > head {
            return Err(format!(
                "the list of {user:?} says head {} and the log ends at {}",
                list.seq, head.seq
            ));
        }
        let known = match (side.listed, side.outbox.as_deref().copied()) {
            (Some(listed), Some(outbox)) => listed.max(outbox),
            (Some(known), None) | (None, Some(known)) => known,
            // It fell out of a full list.
            (None, None) if head.seq == 0 || self.full_lists.binary_search(&user).is_ok() => return Ok(()),
            (None, None) => {
                return Err(format!("it is not in the list of {user:?}, and no outbox entry says so"));
            }
        };
        if known.head != head {
            let (known, head) = (known.head.seq, head.seq);
            return Err(format!(
                "the list of {user:?} is at {known}, the log at {head}, and no outbox entry brings it there"
            ));
        }
        let behind = |told: Marks, stored: Marks| told.max(stored) != told;
        let shown = other.shown.as_deref().copied().unwrap_or(other.marks);
        if shown.max(other.marks) != other.marks {
            return Err(format!("more is shown of the marks of the other one of {user:?} than there is"));
        }
        if behind(known.own, side.marks) || behind(known.peer, shown) {
            return Err(format!(
                "the list of {user:?} is behind the marks, and no outbox entry brings it there"
            ));
        }
        Ok(())
    }
}
