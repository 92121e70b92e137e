//! Changes that a user's home may not have yet.
//!
//! Each stands on disk beside the entry it is about, one per user and conversation, the newest in place of older ones. It
//! is sent when it is on disk, and deleted when the user's home has it on disk too. After a crash all that are left are
//! sent again; a repeat changes nothing there.

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::AHashMap;
use record::{Digest, Key, OutboxEntry, Record, Rows, StoreShardId, Table};
use wire::{ConversationId, ShardAddress, Slot, UserId};

use crate::bugs::Bug;
use crate::core::{Core, LoadFor};
use crate::limits::{LOADS_IN_FLIGHT_MAX, OUTBOX_MAX, OUTBOX_READ_BACK_MAX};
use crate::mesh::{Changed, MeshFrame};
use crate::recovery::Recovery;
use crate::stats::TableStats;

use super::LoadKey;

type OutboxKey = (UserId, ConversationId);

/// The newest change of one conversation for one user.
#[derive(Debug)]
struct Pending {
    /// Its number; perhaps not on disk yet.
    change: u64,
    /// On disk, but there was no credit to send it.
    unsent: Option<(u64, Digest)>,
    /// The user's home has it: the record can be deleted.
    done: bool,
}

/// The changes of one shard. Durable; what is here mirrors the records.
#[derive(Debug)]
pub(super) struct Outbox {
    pending: AHashMap<OutboxKey, Pending>,
    /// The last number given. Rises over all conversations, and begins anew at a restart.
    last_change: u64,
    /// Those that wait for credit, by shard of the user's home. Each is there once at most, and may be stale.
    unsent: Vec<VecDeque<OutboxKey>>,
    /// Those to delete at the end of the turn.
    done: Vec<OutboxKey>,
    recovery: Recovery,
    max: usize,
}

impl Outbox {
    pub fn new(core: &mut Core) -> Self {
        Self {
            pending: AHashMap::with_hasher(core.rng.hasher()),
            last_change: 0,
            unsent: (0..core.ownership.shards()).map(|_| VecDeque::new()).collect(),
            done: Vec::new(),
            recovery: Recovery::new(Table::Outbox),
            max: OUTBOX_MAX,
        }
    }

    pub fn table(&self) -> TableStats {
        TableStats::new("outbox", self.pending.len(), self.max)
    }

    /// True when `more` changes would be too many.
    pub fn is_full(&self, more: usize) -> bool {
        self.pending.len() + more > self.max
    }

    #[cfg(test)]
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// True when a conversation may be read, with the changes found beside it.
    pub fn may_restore(&self) -> bool {
        self.pending.len() + 2 * LOADS_IN_FLIGHT_MAX <= OUTBOX_READ_BACK_MAX
    }

    /// Writes a change with the turn's batch; gives its number.
    pub fn note(
        &mut self,
        core: &mut Core,
        user: UserId,
        conversation: ConversationId,
        digest: Digest,
    ) -> u64 {
        self.last_change += 1;
        let change = self.last_change;
        let pending =
            self.pending.entry((user, conversation)).or_insert(Pending { change, unsent: None, done: false });
        (pending.change, pending.done) = (change, false);
        if !core.bug(Bug::LoseOutbox) {
            core.put(&Key::Outbox(user, conversation), &OutboxEntry { digest });
        }
        change
    }

    /// Sends a change that is on disk.
    pub fn send(&mut self, core: &mut Core, changed: Changed) {
        let key = (changed.user, changed.conversation);
        let to = core.home(changed.user.slot());
        let (change, digest) = (changed.change, changed.digest);
        if change != 0 && self.pending.get(&key).is_some_and(|pending| pending.unsent.is_some()) {
            // What waits already lost its events: the head and the marks are told when it goes.
            return self.keep_unsent(core, to, key, change, digest);
        }
        if core.deliver(to, MeshFrame::Changed(changed)).is_err() {
            assert!(change != 0, "a change that the list holds already stays on this shard");
            self.keep_unsent(core, to, key, change, digest);
        }
    }

    fn keep_unsent(&mut self, core: &Core, to: ShardAddress, key: OutboxKey, change: u64, digest: Digest) {
        if core.bug(Bug::ForgetLaneMark) {
            return;
        }
        let pending = self.pending.get_mut(&key).expect("a change stays until its home has it");
        if pending.unsent.replace((change, digest)).is_none() {
            self.unsent[to.shard as usize].push_back(key);
        }
    }

    /// There may be room for what waits.
    pub fn handle_credit(&mut self, core: &mut Core) {
        for shard in 0..self.unsent.len() {
            let to = ShardAddress { node: core.address.node, shard: shard as u16 };
            while core.lanes.has_credit(to) {
                let Some(key) = self.unsent[shard].pop_front() else { break };
                let Some((change, digest)) = self.pending.get_mut(&key).and_then(|p| p.unsent.take()) else {
                    continue;
                };
                let (user, conversation) = key;
                let changed = Changed { user, conversation, change, digest, events: Arc::new([]) };
                let sent = core.deliver(to, MeshFrame::Changed(changed));
                assert!(sent.is_ok(), "there was credit a moment ago");
            }
        }
    }

    /// The user's home has a change on disk.
    pub fn handle_changed_done(&mut self, user: UserId, conversation: ConversationId, change: u64) {
        let key = (user, conversation);
        let Some(pending) = self.pending.get_mut(&key) else { return };
        if change >= pending.change && !pending.done {
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
        core.counters.outbox = self.pending.len() as u64;
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
            core.delete(&Key::Outbox(user, conversation));
            self.pending.remove(&key);
        }
        self.done = later;
    }

    /// A batch of this store shard was not written: its records are read anew.
    pub fn forget(&mut self, core: &mut Core, store_shard: StoreShardId) {
        let stays = |key: &OutboxKey| core.store_shard(key.1.slot()) != store_shard;
        self.pending.retain(|key, _| stays(key));
        self.done.retain(stays);
        self.unsent.iter_mut().for_each(|waiting| waiting.retain(stays));
        self.recovery.recover_again(core, store_shard);
    }

    pub fn check_invariants(&self, core: &Core) {
        assert!(self.pending.len() <= OUTBOX_READ_BACK_MAX);
        self.recovery.check_invariants();
        for (key, pending) in &self.pending {
            assert!(pending.change <= self.last_change);
            assert!(core.is_home(key.1.slot()) && key.1.has(key.0));
            if let Some((change, _)) = pending.unsent {
                assert!(change <= pending.change && !pending.done);
            }
        }
        for key in &self.done {
            assert!(self.pending.contains_key(key));
        }
        let waiting: usize = self.unsent.iter().map(VecDeque::len).sum();
        assert!(waiting <= self.pending.len());
    }
}

/// Reading what is left.
impl Outbox {
    pub fn start(&mut self, core: &mut Core) {
        self.recovery.recover(core, |_| true);
        self.read_on(core);
    }

    /// Reads further parts, as far as there is room for what they hold.
    fn read_on(&mut self, core: &mut Core) {
        if self.pending.len() < self.max {
            self.recovery.read_on(core, |slots| LoadFor::Conversation(LoadKey::Outbox(slots)));
        }
    }

    pub fn handle_loaded(&mut self, core: &mut Core, slots: &[Slot], rows: &[Rows]) {
        for (slot, rows) in slots.iter().zip(rows) {
            self.restore(core, *slot, [rows]);
        }
        self.recovery.handle_loaded(slots, rows);
        self.read_on(core);
    }

    /// Takes in what an earlier run left, or this one while the conversation was not in memory.
    pub fn restore<const N: usize>(&mut self, core: &mut Core, slot: Slot, parts: [&Rows; N]) {
        for row in parts.into_iter().flat_map(|rows| &rows.rows) {
            let (key, record) = (Key::parse(&row.key), OutboxEntry::decode(&row.value));
            let (Some(Key::Outbox(user, conversation)), Ok(record)) = (key, record) else {
                return core.damaged(slot, "a change for another home cannot be read");
            };
            self.resend(core, user, conversation, record.digest);
        }
    }

    fn resend(&mut self, core: &mut Core, user: UserId, conversation: ConversationId, digest: Digest) {
        // It was sent when its conversation was read, or came after that.
        if self.pending.contains_key(&(user, conversation)) {
            return;
        }
        self.last_change += 1;
        let change = self.last_change;
        self.pending.insert((user, conversation), Pending { change, unsent: None, done: false });
        let events = Arc::new([]);
        self.send(core, Changed { user, conversation, change, digest, events });
    }
}
