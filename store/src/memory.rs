//! The store of the simulator: the same contract in memory, with every moment of durability chosen by the caller.
//!
//! Pure and deterministic: no thread, no clock, no randomness of its own. A batch is **pending** until
//! [`MemoryStore::sync`] makes it durable, which is also when readers see it, as with the store on disk. A
//! [`crash`](MemoryStore::crash) keeps a prefix of what was pending, of each store shard on its own, because the
//! batches of one store shard become durable in order.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::ops::Bound;

use bytes::Bytes;
use record::Ops;
use record::kv::{Batch, CommitOutcome, Query, Rows, StoreShardId};

use crate::answer::StoreAnswer;
use crate::options::valid_store_shards;
use crate::query::{collect_range, one_row};
use crate::store::check_term;

/// All store shards of one simulated node; it outlives the node's crashes as a disk does.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    term: u64,
    shards: Vec<MemoryShard>,
    full: bool,
    poisoned: bool,
}

#[derive(Clone, Debug, Default)]
struct MemoryShard {
    durable: BTreeMap<Bytes, Bytes>,
    /// From which shard, and what, oldest first.
    pending: VecDeque<(u16, Batch)>,
    /// On disk by a commit that failed: nobody sees it before the next start.
    surprise: Ops,
}

impl MemoryStore {
    /// An empty store at term 1.
    ///
    /// # Panics
    /// If the number of store shards is not a power of two up to [`crate::STORE_SHARDS_MAX`].
    pub fn new(store_shards: u16) -> Self {
        assert!(valid_store_shards(store_shards));
        let shards = (0..store_shards).map(|_| MemoryShard::default()).collect();
        Self { term: 1, shards, full: false, poisoned: false }
    }

    pub fn term(&self) -> u64 {
        self.term
    }

    pub fn store_shards(&self) -> u16 {
        self.shards.len() as u16
    }

    /// Makes a batch pending.
    ///
    /// # Panics
    /// As the store on disk: if the batch breaks the contract.
    pub fn submit(&mut self, from_shard: u16, batch: Batch) {
        check_term(&batch, self.term);
        self.shard_mut(batch.store_shard).pending.push_back((from_shard, batch));
    }

    /// How many batches of a store shard are pending.
    pub fn pending(&self, store_shard: StoreShardId) -> usize {
        self.shard(store_shard).pending.len()
    }

    /// Decides the oldest `batches_max` pending batches of a store shard and gives the answers in their order, each
    /// with the shard it is for.
    pub fn sync(&mut self, store_shard: StoreShardId, batches_max: usize) -> Vec<(u16, StoreAnswer)> {
        let (term, full, poisoned) = (self.term, self.full, self.poisoned);
        let shard = self.shard_mut(store_shard);
        let count = batches_max.min(shard.pending.len());
        let decided: Vec<_> = shard.pending.drain(..count).collect();
        let mut answers = Vec::with_capacity(count);
        for (from_shard, batch) in decided {
            let outcome = match () {
                () if batch.term != term => CommitOutcome::Fenced,
                () if poisoned => CommitOutcome::Unknown,
                () if full => CommitOutcome::Full,
                () => CommitOutcome::Committed,
            };
            answers.push((from_shard, StoreAnswer::Committed { store_shard, number: batch.number, outcome }));
            if outcome == CommitOutcome::Committed {
                shard.apply(&batch.ops);
            }
        }
        answers
    }

    /// Lets the commit of all pending batches of a store shard fail: they are answered `Unknown`, and the store is
    /// poisoned. The oldest `survivors` of them are on disk all the same and appear after the next start.
    pub fn fail(&mut self, store_shard: StoreShardId, survivors: usize) -> Vec<(u16, StoreAnswer)> {
        let term = self.term;
        if !self.poisoned && !self.full {
            let shard = self.shard_mut(store_shard);
            let current = shard.pending.iter().filter(|(_, batch)| batch.term == term);
            let ops = current.take(survivors).flat_map(|(_, batch)| &batch.ops);
            shard.surprise.extend(ops);
        }
        self.poisoned = true;
        self.sync(store_shard, usize::MAX)
    }

    /// While set, batches are answered `Full`.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Whether a commit has failed since the last start.
    pub fn poisoned(&self) -> bool {
        self.poisoned
    }

    /// The power goes and the node starts again: of each store shard's pending batches the oldest
    /// `survivors(store shard, pending)` are on disk, the others are gone, and nobody is answered. The term rises.
    pub fn crash(&mut self, mut survivors: impl FnMut(StoreShardId, usize) -> usize) {
        let term = self.term;
        let writable = !self.poisoned && !self.full;
        for (index, shard) in self.shards.iter_mut().enumerate() {
            shard.restart();
            let pending = std::mem::take(&mut shard.pending);
            let kept = survivors(StoreShardId(index as u16), pending.len()).min(pending.len());
            for (_, batch) in pending.into_iter().take(kept) {
                if writable && batch.term == term {
                    shard.apply(&batch.ops);
                }
            }
        }
        self.term += 1;
        self.poisoned = false;
    }

    /// All queries see one state: everything synced, nothing pending.
    pub fn load(&self, store_shard: StoreShardId, queries: &[Query]) -> Vec<Rows> {
        let durable = &self.shard(store_shard).durable;
        queries.iter().map(|query| read_one(durable, query)).collect()
    }

    /// Every row of a store shard in key order.
    pub fn rows(&self, store_shard: StoreShardId) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.shard(store_shard).durable.iter()
    }

    fn shard(&self, store_shard: StoreShardId) -> &MemoryShard {
        &self.shards[usize::from(store_shard.0)]
    }

    fn shard_mut(&mut self, store_shard: StoreShardId) -> &mut MemoryShard {
        &mut self.shards[usize::from(store_shard.0)]
    }
}

impl MemoryShard {
    fn apply(&mut self, ops: &Ops) {
        for op in ops {
            match op.value {
                Some(value) => {
                    self.durable.insert(Bytes::copy_from_slice(op.key), Bytes::copy_from_slice(value))
                }
                None => self.durable.remove(op.key),
            };
        }
    }

    fn restart(&mut self) {
        let ops = std::mem::take(&mut self.surprise);
        self.apply(&ops);
    }
}

fn read_one(durable: &BTreeMap<Bytes, Bytes>, query: &Query) -> Rows {
    match query {
        Query::Get(key) => one_row(key, durable.get(key).cloned()),
        Query::Range { from, to, .. } if from >= to => Rows::default(),
        Query::Range { from, to, reverse, rows_max, bytes_max } => {
            let range = durable.range::<Bytes, _>((Bound::Included(from), Bound::Excluded(to)));
            let owned = |(key, value): (&Bytes, &Bytes)| Ok::<_, Infallible>((key.clone(), value.clone()));
            let rows = if *reverse {
                collect_range(range.rev().map(owned), *rows_max, *bytes_max)
            } else {
                collect_range(range.map(owned), *rows_max, *bytes_max)
            };
            rows.unwrap_or_else(|never| match never {})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: StoreShardId = StoreShardId(0);

    fn put(store: &mut MemoryStore, number: u64, key: &'static str) {
        let ops = [(key, Some("v"))].into_iter().collect();
        store.submit(2, Batch { store_shard: SHARD, number, term: store.term(), ops });
    }

    fn keys(store: &MemoryStore) -> String {
        store.rows(SHARD).map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
    }

    fn outcomes(answers: &[(u16, StoreAnswer)]) -> Vec<(u64, CommitOutcome)> {
        let outcome = |(to, answer): &(u16, StoreAnswer)| match answer {
            StoreAnswer::Committed { number, outcome, .. } if *to == 2 => (*number, *outcome),
            other => panic!("{other:?}"),
        };
        answers.iter().map(outcome).collect()
    }

    #[test]
    fn pending_is_not_seen_and_a_crash_keeps_a_prefix() {
        let mut store = MemoryStore::new(2);
        put(&mut store, 1, "a");
        put(&mut store, 2, "b");
        put(&mut store, 3, "c");
        assert_eq!(keys(&store), "");
        assert!(store.load(SHARD, &[Query::Get("a".into())])[0].rows.is_empty());
        assert_eq!(outcomes(&store.sync(SHARD, 1)), [(1, CommitOutcome::Committed)]);
        assert_eq!(keys(&store), "a");
        store.crash(|shard, pending| {
            assert_eq!(pending, if shard == SHARD { 2 } else { 0 });
            1
        });
        assert_eq!((keys(&store).as_str(), store.pending(SHARD), store.term()), ("ab", 0, 2));
    }

    #[test]
    fn an_older_term_is_fenced() {
        let mut store = MemoryStore::new(1);
        store.crash(|_, _| 0);
        store.submit(2, Batch { store_shard: SHARD, number: 1, term: 1, ops: Ops::default() });
        assert_eq!(outcomes(&store.sync(SHARD, 9)), [(1, CommitOutcome::Fenced)]);
    }

    #[test]
    fn full_passes_and_a_failed_commit_does_not() {
        let mut store = MemoryStore::new(1);
        store.set_full(true);
        put(&mut store, 1, "a");
        assert_eq!(outcomes(&store.sync(SHARD, 9)), [(1, CommitOutcome::Full)]);
        store.set_full(false);
        put(&mut store, 2, "b");
        put(&mut store, 3, "c");
        assert_eq!(
            outcomes(&store.fail(SHARD, 1)),
            [(2, CommitOutcome::Unknown), (3, CommitOutcome::Unknown)]
        );
        put(&mut store, 4, "d");
        assert_eq!(outcomes(&store.sync(SHARD, 9)), [(4, CommitOutcome::Unknown)]);
        assert_eq!(keys(&store), "", "what failed is not seen before the next start");
        store.crash(|_, pending| pending);
        assert_eq!(keys(&store), "b");
        put(&mut store, 5, "e");
        assert_eq!(outcomes(&store.sync(SHARD, 9)), [(5, CommitOutcome::Committed)]);
    }
}
