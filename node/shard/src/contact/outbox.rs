//! What a user's home is to be told of a relation, at the home of the pair's conversation.
//!
//! Each view stands on disk beside the relation it was made of, the newest in place of older ones. It is sent when it is on
//! disk, one at a time, and deleted when the user's home has it on disk too. After a crash all that are left are sent
//! again; a repeat changes nothing there.

use std::collections::BTreeMap;

use ahash::AHashMap;
use record::{ContactOutboxEntry, Key, Record, Rows, StoreShardId, Table, View};
use wire::{ConversationId, Slot, UserId};

use crate::bugs::Bug;
use crate::core::{Core, LoadFor};
use crate::limits::{CONTACT_OUTBOX_MAX, CONTACT_OUTBOX_READ_BACK_MAX};
use crate::mesh::MeshFrame;
use crate::recovery::Recovery;
use crate::stats::TableStats;

type OutboxKey = (UserId, ConversationId);

/// The newest view of one relation for one of its users.
#[derive(Debug)]
struct Pending {
    /// Of the relation; perhaps not on disk yet.
    version: u64,
    /// On disk and not sent yet.
    unsent: Option<(u64, View)>,
    in_flight: bool,
    /// The user's home has it: the record can be deleted.
    done: bool,
}

/// The views of one shard. Durable; what is here mirrors the records.
#[derive(Debug)]
pub(crate) struct Outbox {
    pending: AHashMap<OutboxKey, Pending>,
    /// Those to delete at the end of the turn.
    done: Vec<OutboxKey>,
    recovery: Recovery,
}

impl Outbox {
    pub fn new(core: &mut Core) -> Self {
        Self {
            pending: AHashMap::with_hasher(core.rng.hasher()),
            done: Vec::new(),
            recovery: Recovery::new(Table::ContactOutbox),
        }
    }

    pub fn table(&self) -> TableStats {
        TableStats::new("contact_outbox", self.pending.len(), CONTACT_OUTBOX_MAX)
    }

    /// True when the views of one more relation would be too many.
    pub fn is_full(&self) -> bool {
        self.pending.len() + 2 > CONTACT_OUTBOX_MAX
    }

    pub fn start(&mut self, core: &mut Core) {
        self.recovery.recover(core, |_| true);
        self.read_on(core);
    }

    /// Writes a view with the turn's batch.
    pub fn note(
        &mut self,
        core: &mut Core,
        user: UserId,
        conversation: ConversationId,
        version: u64,
        view: &View,
    ) {
        let new = Pending { version, unsent: None, in_flight: false, done: false };
        let pending = self.pending.entry((user, conversation)).or_insert(new);
        (pending.version, pending.done) = (version, false);
        if !core.bug(Bug::LoseContactOutbox) {
            let entry = ContactOutboxEntry { version, view: view.clone() };
            core.put(&Key::ContactOutbox(user, conversation), &entry);
        }
    }

    /// A view is on disk.
    pub fn send(
        &mut self,
        core: &mut Core,
        user: UserId,
        conversation: ConversationId,
        version: u64,
        view: View,
    ) {
        let key = (user, conversation);
        let Some(pending) = self.pending.get_mut(&key) else { return };
        pending.unsent = Some((version, view));
        send_next(core, key, pending);
    }

    /// The user's home has a view on disk.
    pub fn handle_done(&mut self, core: &mut Core, user: UserId, conversation: ConversationId, version: u64) {
        let key = (user, conversation);
        let Some(pending) = self.pending.get_mut(&key) else { return };
        pending.in_flight = false;
        if pending.unsent.is_some() {
            send_next(core, key, pending);
        } else if version >= pending.version && !pending.done {
            pending.done = true;
            self.done.push(key);
        }
    }

    /// Deletes what is done, and reads on where an earlier run may have left something.
    pub fn end_turn(&mut self, core: &mut Core) {
        if !self.done.is_empty() {
            self.delete_done(core);
        }
        self.read_on(core);
    }

    fn delete_done(&mut self, core: &mut Core) {
        let mut later = Vec::new();
        for key in std::mem::take(&mut self.done) {
            let (user, conversation) = key;
            if !self.pending.get(&key).is_some_and(|pending| pending.done) {
                continue;
            }
            if core.write_refusal(conversation.slot()).is_some() {
                later.push(key);
                continue;
            }
            core.delete(&Key::ContactOutbox(user, conversation));
            self.pending.remove(&key);
        }
        self.done = later;
    }

    /// A batch of this store shard was not written: its records are read anew.
    pub fn forget(&mut self, core: &mut Core, store_shard: StoreShardId) {
        let stays = |key: &OutboxKey| core.store_shard(key.1.slot()) != store_shard;
        self.pending.retain(|key, _| stays(key));
        self.done.retain(stays);
        self.recovery.recover_again(core, store_shard);
    }

    fn read_on(&mut self, core: &mut Core) {
        if self.pending.len() < CONTACT_OUTBOX_MAX {
            self.recovery.read_on(core, LoadFor::ContactOutbox);
        }
    }

    pub fn handle_loaded(&mut self, core: &mut Core, slots: &[Slot], rows: &[Rows]) {
        // In the order of keys: which one is sent first must not depend on the way they were read.
        let mut found = BTreeMap::new();
        for (slot, rows) in slots.iter().zip(rows) {
            for row in &rows.rows {
                let (key, record) = (Key::parse(&row.key), ContactOutboxEntry::decode(&row.value));
                let (Some(Key::ContactOutbox(user, conversation)), Ok(record)) = (key, record) else {
                    return core.damaged(*slot, "a view of a relation for another home cannot be read");
                };
                found.insert((user, conversation), record);
            }
        }
        self.recovery.handle_loaded(slots, rows);
        for (key, ContactOutboxEntry { version, view }) in found {
            // What was noted in this run is newer.
            if !self.pending.contains_key(&key) {
                let pending = Pending { version, unsent: None, in_flight: false, done: false };
                self.pending.insert(key, pending);
                self.send(core, key.0, key.1, version, view);
            }
        }
        self.read_on(core);
    }

    pub fn check_invariants(&self, core: &Core) {
        assert!(self.pending.len() <= CONTACT_OUTBOX_READ_BACK_MAX);
        self.recovery.check_invariants();
        for ((user, conversation), pending) in &self.pending {
            assert!(core.is_home(conversation.slot()) && conversation.has(*user));
            assert!(pending.unsent.is_none() || pending.in_flight, "a view waits for nothing");
            assert!(!pending.done || pending.unsent.is_none());
        }
        for key in &self.done {
            assert!(self.pending.contains_key(key));
        }
    }
}

fn send_next(core: &mut Core, (user, conversation): OutboxKey, pending: &mut Pending) {
    if pending.in_flight {
        return;
    }
    if let Some((version, view)) = pending.unsent.take() {
        pending.in_flight = true;
        let frame = MeshFrame::ContactView { user, conversation, version, view: Box::new(view) };
        core.control(core.home(user.slot()), frame);
    }
}
