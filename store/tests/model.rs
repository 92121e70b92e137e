//! The store on disk and the one in memory answer the same: random batches, reads and reopens, while rows move from
//! the log to tables.

mod common;

use std::path::Path;

use bytes::Bytes;
use common::{Change, Opened, PATIENCE, try_open};
use proptest::prelude::*;
use store::record::kv::{Batch, CommitOutcome, Query, StoreShardId};
use store::{MemoryStore, StoreAnswer, StoreOptions};

const STORE_SHARDS: u16 = 2;

#[derive(Clone, Debug)]
enum Step {
    /// Batches that are handed in together, so that the committer may merge them.
    Commit(Vec<(u16, Vec<Change>)>),
    /// A batch of the term before.
    Stale(u16),
    Load(u16, Vec<Query>),
    Reopen,
}

/// Few keys, of which some are prefixes of others, so that ops meet.
fn key() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(b'a'), Just(0xff)], 1..4)
        .prop_map(Bytes::from)
}

fn bound() -> impl Strategy<Value = Bytes> {
    prop_oneof![1 => Just(Bytes::new()), 8 => key(), 1 => Just(Bytes::from(vec![0xff; 5]))]
}

fn op() -> impl Strategy<Value = Change> {
    let value = prop_oneof![
        2 => Just(None),
        4 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|value| Some(Bytes::from(value))),
        1 => (3_900_usize..=4_000).prop_map(|len| Some(Bytes::from(vec![7; len]))),
    ];
    (key(), value)
}

fn query() -> impl Strategy<Value = Query> {
    let range = (bound(), bound(), any::<bool>(), 0_u32..30, 0_u32..6_000).prop_map(
        |(from, to, reverse, rows_max, bytes_max)| Query::Range { from, to, reverse, rows_max, bytes_max },
    );
    prop_oneof![key().prop_map(Query::Get), range]
}

fn step() -> impl Strategy<Value = Step> {
    let batch = (0..STORE_SHARDS, prop::collection::vec(op(), 0..12));
    prop_oneof![
        6 => prop::collection::vec(batch, 1..8).prop_map(Step::Commit),
        1 => (0..STORE_SHARDS).prop_map(Step::Stale),
        8 => (0..STORE_SHARDS, prop::collection::vec(query(), 1..6)).prop_map(|(shard, queries)| Step::Load(shard, queries)),
        1 => Just(Step::Reopen),
    ]
}

/// With so little memory that rows are moved to tables all the time.
fn options(dir: &Path) -> StoreOptions {
    StoreOptions { write_buffer_bytes: 0, ..common::options(dir) }
}

struct Pair {
    dir: tempfile::TempDir,
    disk: Option<Opened>,
    memory: MemoryStore,
    number: u64,
}

impl Pair {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Some(try_open(options(dir.path())).unwrap());
        Self { dir, disk, memory: MemoryStore::new(STORE_SHARDS), number: 0 }
    }

    fn submit(&mut self, store_shard: u16, term: u64, ops: Vec<Change>) {
        self.number += 1;
        let ops = ops.into_iter().collect();
        let batch = Batch { store_shard: StoreShardId(store_shard), number: self.number, term, ops };
        self.memory.submit(1, batch.clone());
        self.disk.as_ref().unwrap().store.submit(1, batch).unwrap();
    }

    /// Waits for the answers on disk, and compares them with those in memory.
    fn settle(&mut self) {
        for store_shard in (0..STORE_SHARDS).map(StoreShardId) {
            for (to, answer) in self.memory.sync(store_shard, usize::MAX) {
                let StoreAnswer::Committed { number, outcome, .. } = answer else { panic!("{answer:?}") };
                let inbox = &self.disk.as_ref().unwrap().inbox;
                assert_eq!(inbox.outcome(to, store_shard.0, number), outcome);
            }
        }
    }

    fn step(&mut self, step: Step) {
        let term = self.memory.term();
        match step {
            Step::Commit(batches) => {
                for (store_shard, ops) in batches {
                    self.submit(store_shard, term, ops);
                }
            }
            Step::Stale(store_shard) => {
                self.submit(store_shard, term - 1, vec![common::op("stale", Some("!"))]);
            }
            Step::Load(store_shard, queries) => {
                let expected = self.memory.load(StoreShardId(store_shard), &queries);
                assert_eq!(self.disk.as_mut().unwrap().load(store_shard, queries), expected);
            }
            Step::Reopen => {
                self.disk.take().unwrap().store.close(PATIENCE).unwrap();
                let options = options(self.dir.path());
                self.disk = Some(try_open(options).unwrap());
                self.memory.crash(|_, pending| pending);
                assert_eq!(self.disk.as_ref().unwrap().store.term(), self.memory.term());
            }
        }
        self.settle();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn disk_and_memory_agree(steps in prop::collection::vec(step(), 1..40)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step);
        }
        pair.step(Step::Reopen);
        for store_shard in 0..STORE_SHARDS {
            let all = Query::Range {
                from: Bytes::new(),
                to: Bytes::from(vec![0xff; 9]),
                reverse: false,
                rows_max: u32::MAX,
                bytes_max: u32::MAX,
            };
            pair.step(Step::Load(store_shard, vec![all]));
        }
    }
}

#[test]
fn a_write_after_a_reopen_is_committed() {
    let mut pair = Pair::new();
    pair.step(Step::Commit(vec![(0, vec![common::op("k", Some("v"))])]));
    pair.step(Step::Reopen);
    pair.step(Step::Commit(vec![(0, vec![common::op("k", None)])]));
    let outcome = pair.disk.as_mut().unwrap().commit(0, vec![]);
    assert_eq!(outcome, CommitOutcome::Committed);
}
