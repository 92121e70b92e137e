//! Changes that a user's home may not have yet.
//!
//! Each stands on disk beside the entry it is about, one per user and conversation, the newest in place of older ones. It
//! is sent when it is on disk, and deleted when the user's home has it on disk too. After a crash all that are left are
//! sent again; a repeat changes nothing there.

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::AHashMap;
use bytes::{BufMut, Bytes, BytesMut};
use record::{Digest, Key, OutboxEntry, Query, Record, Rows, StoreShardId, Table, keys};
use wire::{ConversationId, ShardAddress, Slot, UserId};

use crate::bugs::Bug;
use crate::core::{Core, LoadFor};
use crate::limits::{
    LOADS_IN_FLIGHT_MAX, OUTBOX_MAX, OUTBOX_READ_BACK_MAX, RECOVERY_LOADS_MAX, RECOVERY_ROWS, RECOVERY_SLOTS,
};
use crate::mesh::{Changed, MeshFrame};
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

/// Reading what was left by an earlier run.
#[derive(Debug, Default)]
struct Recovery {
    /// Parts still to be read, neighbours of one store shard together.
    pages: VecDeque<Page>,
    in_flight: usize,
}

#[derive(Debug)]
struct Page {
    slot: Slot,
    /// Behind this key; `None` is from the first.
    behind: Option<Bytes>,
}

impl Outbox {
    pub fn new(core: &mut Core) -> Self {
        Self {
            pending: AHashMap::with_hasher(core.rng.hasher()),
            last_change: 0,
            unsent: (0..core.ownership.shards()).map(|_| VecDeque::new()).collect(),
            done: Vec::new(),
            recovery: Recovery::default(),
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
        self.read_on(core);
        core.counters.outbox = self.pending.len() as u64;
    }

    /// A batch of this store shard was not written: its records are read anew.
    pub fn forget(&mut self, core: &mut Core, store_shard: StoreShardId) {
        let stays = |key: &OutboxKey| core.store_shard(key.1.slot()) != store_shard;
        self.pending.retain(|key, _| stays(key));
        self.done.retain(stays);
        self.unsent.iter_mut().for_each(|waiting| waiting.retain(stays));
        self.recovery.pages.retain(|page| core.store_shard(page.slot) != store_shard);
        self.recover(core, |slot| core.store_shard(slot) == store_shard);
    }

    pub fn check_invariants(&self, core: &Core) {
        assert!(self.pending.len() <= OUTBOX_READ_BACK_MAX);
        assert!(self.recovery.in_flight <= RECOVERY_LOADS_MAX);
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
        self.recover(core, |_| true);
        self.read_on(core);
    }

    fn recover(&mut self, core: &Core, wanted: impl Fn(Slot) -> bool) {
        let mut slots: Vec<_> =
            core.ownership.slots_of(core.address.shard).filter(|slot| wanted(*slot)).collect();
        slots.sort_by_key(|slot| core.store_shard(*slot));
        self.recovery.pages.extend(slots.into_iter().map(|slot| Page { slot, behind: None }));
    }

    /// Reads further parts, as far as there is room for what they hold.
    fn read_on(&mut self, core: &mut Core) {
        while self.recovery.in_flight < RECOVERY_LOADS_MAX && self.pending.len() < self.max {
            let Some(first) = self.recovery.pages.front() else { return };
            let store_shard = core.store_shard(first.slot);
            let together = |page: &&Page| core.store_shard(page.slot) == store_shard;
            let pages = self.recovery.pages.iter().take(RECOVERY_SLOTS).take_while(together);
            let (slots, queries): (Vec<_>, Vec<_>) = pages.map(|page| (page.slot, page.query())).unzip();
            let (slot, count) = (slots[0], slots.len());
            if !core.load(slot, queries, LoadFor::Conversation(LoadKey::Outbox(slots))) {
                return;
            }
            self.recovery.pages.drain(..count);
            self.recovery.in_flight += 1;
        }
    }

    pub fn handle_loaded(&mut self, core: &mut Core, slots: &[Slot], rows: &[Rows]) {
        self.recovery.in_flight -= 1;
        for (slot, rows) in slots.iter().zip(rows) {
            self.restore(core, *slot, [rows]);
            if let Some(last) = rows.rows.last().filter(|_| rows.more) {
                self.recovery.pages.push_front(Page { slot: *slot, behind: Some(last.key.clone()) });
            }
        }
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

impl Page {
    fn query(&self) -> Query {
        let (first, to) = keys::table_range(self.slot, Table::Outbox);
        let from = match &self.behind {
            None => first,
            Some(key) => {
                let mut behind = BytesMut::with_capacity(key.len() + 1);
                behind.put_slice(key);
                behind.put_u8(0);
                behind.freeze()
            }
        };
        Query::Range { from, to, reverse: false, rows_max: RECOVERY_ROWS, bytes_max: u32::MAX }
    }
}
