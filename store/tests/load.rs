//! Many shards at once, full queues, and more data than memory holds.

mod common;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use bytes::Bytes;
use common::{PATIENCE, open, options, try_open};
use store::record::kv::{Batch, CommitOutcome, StoreShardId};
use store::{
    Answers, COMMIT_QUEUE_BATCHES_MAX, GROUP_BATCHES_MAX, GROUP_BYTES_MAX, LOAD_QUEUE_MAX, LoadRequest,
    RefusedReason, Store, StoreAnswer, check,
};

/// Counts deliveries, and can hold the store's threads back while they deliver.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    closed: bool,
    deliveries: usize,
    held: usize,
    /// Numbers by shard and store shard, in the order of the answers.
    committed: HashMap<(u16, u16), Vec<u64>>,
}

impl Gate {
    fn wait_until(&self, mut wanted: impl FnMut(&GateState) -> bool) {
        let state = self.state.lock().unwrap();
        let (state, timeout) =
            self.changed.wait_timeout_while(state, PATIENCE, |state| !wanted(state)).unwrap();
        drop(state);
        assert!(!timeout.timed_out());
    }

    fn set_closed(&self, closed: bool) {
        self.state.lock().unwrap().closed = closed;
        self.changed.notify_all();
    }

    fn answered(&self) -> usize {
        self.state.lock().unwrap().committed.values().map(Vec::len).sum()
    }
}

struct ToGate(Arc<Gate>);

impl Answers for ToGate {
    fn deliver(&self, to_shard: u16, answers: Vec<StoreAnswer>) {
        let mut state = self.0.state.lock().unwrap();
        state.deliveries += 1;
        for answer in answers {
            if let StoreAnswer::Committed { store_shard, number, outcome } = answer {
                assert_eq!(outcome, CommitOutcome::Committed);
                state.committed.entry((to_shard, store_shard.0)).or_default().push(number);
            }
        }
        state.held += 1;
        self.0.changed.notify_all();
        let mut state = self.0.changed.wait_while(state, |state| state.closed).unwrap();
        state.held -= 1;
    }
}

fn batch(number: u64, key: &str) -> Batch {
    let ops = [(key, Some("v"))].into_iter().collect();
    Batch { store_shard: StoreShardId(0), number, term: 1, ops }
}

#[test]
fn many_shards_are_answered_in_order_and_once_per_group() {
    const SHARDS: u16 = 4;
    const BATCHES: u64 = 500;
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let store = Store::open(options(dir.path()), Arc::new(ToGate(gate.clone()))).unwrap();
    thread::scope(|scope| {
        for shard in 0..SHARDS {
            let store = &store;
            scope.spawn(move || {
                for number in 1..=BATCHES {
                    for store_shard in 0..2 {
                        let ops = [(format!("{shard}-{number}"), Some("v"))].into_iter().collect();
                        let store_shard = StoreShardId(store_shard);
                        store.submit(shard, Batch { store_shard, number, term: 1, ops }).unwrap();
                    }
                }
            });
        }
    });
    let all = usize::from(SHARDS) * BATCHES as usize * 2;
    gate.wait_until(|state| state.committed.values().map(Vec::len).sum::<usize>() == all);
    let state = gate.state.lock().unwrap();
    for numbers in state.committed.values() {
        assert_eq!(numbers, &(1..=BATCHES).collect::<Vec<_>>());
    }
    let stats = store.stats();
    let groups: u64 = stats.shards.iter().map(|shard| shard.groups).sum();
    assert_eq!(stats.shards.iter().map(|shard| shard.batches).sum::<u64>(), all as u64);
    assert!(state.deliveries as u64 <= groups * u64::from(SHARDS), "{} {groups}", state.deliveries);
    assert!(stats.shards.iter().all(|shard| shard.group_batches_max <= GROUP_BATCHES_MAX as u64));
    drop(state);
    store.close(PATIENCE).unwrap();
    assert_eq!(check(dir.path(), &mut ()).unwrap().rows, all as u64);
}

#[test]
fn full_queues_give_back_and_take_again() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let mut one_reader = options(dir.path());
    one_reader.read_threads = 1;
    let store = Store::open(one_reader, Arc::new(ToGate(gate.clone()))).unwrap();
    gate.set_closed(true);
    store.submit(0, batch(1, "first")).unwrap();
    let load = |token| LoadRequest { from_shard: 0, token, store_shard: StoreShardId(0), queries: vec![] };
    store.load(load(1)).unwrap();
    // The committer and the reader are busy with their first; what comes now waits.
    gate.wait_until(|state| state.held == 2);
    for waiting in 0..COMMIT_QUEUE_BATCHES_MAX as u64 {
        store.submit(0, batch(2 + waiting, "k")).unwrap();
    }
    for waiting in 0..LOAD_QUEUE_MAX as u64 {
        store.load(load(2 + waiting)).unwrap();
    }
    let last = COMMIT_QUEUE_BATCHES_MAX as u64 + 2;
    let refused = store.submit(0, batch(last, "last")).unwrap_err();
    assert_eq!((refused.reason, refused.batch.number), (RefusedReason::QueueFull, last));
    assert_eq!(store.load(load(7)).unwrap_err().reason, RefusedReason::QueueFull);
    let other = Batch { store_shard: StoreShardId(1), ..batch(1, "other store shard") };
    store.submit(1, other).unwrap();
    let stats = store.stats();
    assert_eq!((stats.shards[0].refused, stats.reads.refused), (1, 1));
    assert_eq!(stats.shards[0].queued, COMMIT_QUEUE_BATCHES_MAX as u64);
    assert!(store.close(std::time::Duration::ZERO).unwrap_err().to_string().contains("store-0"));

    gate.set_closed(false);
    store.close(PATIENCE).unwrap();
    assert_eq!(gate.answered(), COMMIT_QUEUE_BATCHES_MAX + 2);
    let mut store = open(dir.path());
    assert_eq!(store.all(0).len(), 2);
    store.close();
}

/// Rows move to tables, the log does not grow without end, and a start between finds every commit.
#[test]
fn more_data_than_memory_holds() {
    const SEGMENTS_MAX: usize = 24;
    let dir = tempfile::tempdir().unwrap();
    let mut small = options(dir.path());
    small.store_shards_if_new = 1;
    small.write_buffer_bytes = 6 * 1024 * 1024;
    let value = Bytes::from("v".repeat(4_000));
    let mut rows = 0_u64;
    for round in 0..3 {
        let mut store = try_open(small.clone()).unwrap();
        for _ in 0..9 {
            let numbers: Vec<_> = (0..10)
                .map(|_| {
                    let ops = (0..100).map(|_| {
                        rows += 1;
                        (Bytes::from(rows.to_be_bytes().to_vec()), Some(value.clone()))
                    });
                    let ops = ops.collect();
                    store.submit(0, ops)
                })
                .collect();
            for number in numbers {
                assert_eq!(store.inbox.outcome(0, 0, number), CommitOutcome::Committed);
            }
        }
        let stats = store.store.stats().shards[0];
        assert!(stats.feeds > 3 && stats.fed_rows > 3_000, "{stats:?}");
        let group_bytes = GROUP_BYTES_MAX as u64 + 500_000;
        assert!(stats.memory_bytes <= small.write_buffer_bytes + 2 * group_bytes, "{stats:?}");
        store.close();
        let segments = common::log::segments(dir.path());
        assert!(segments.len() <= SEGMENTS_MAX, "round {round}: {segments:?}");
    }
    let report = check(dir.path(), &mut ()).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.rows, rows);
}

/// A message is in an outbox for a moment: that such rows come and go must leave no trace in the tables.
#[test]
fn rows_that_come_and_go_do_not_reach_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = options(dir.path());
    small.write_buffer_bytes = 0;
    let mut store = try_open(small).unwrap();
    store.put(0, "keep", "1");
    let outbox = |row: usize| format!("outbox-{row:06}");
    let mut row = 0;
    while store.store.stats().shards[0].feeds < 5 {
        row += 1;
        store.put(0, &outbox(row), "a short life");
        assert_eq!(store.commit(0, vec![common::op(&outbox(row), None)]), CommitOutcome::Committed);
    }
    // What was deleted in the feed after the one that moved it needs its delete.
    let stats = store.store.stats().shards[0];
    assert!(stats.fed_rows < 5 * 4, "{stats:?} after {row} rows");
    assert_eq!(store.all(0), [("keep".into(), "1".into())]);
    store.close();
}

/// Without commits, what is worth it goes to tables, so that an idle node gives its memory back.
#[test]
fn an_idle_store_gives_its_memory_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = options(dir.path());
    small.write_buffer_bytes = 2 * 4 * 1_000_000;
    let mut store = try_open(small).unwrap();
    for row in 0..50 {
        store.put(0, &format!("key-{row}"), &"v".repeat(4_000));
    }
    let stats = |store: &common::Opened| store.store.stats().shards[0];
    assert!(stats(&store).memory_bytes > 200_000 || stats(&store).feeds > 0);
    let deadline = std::time::Instant::now() + PATIENCE;
    while stats(&store).memory_bytes > 0 {
        assert!(std::time::Instant::now() < deadline, "{:?}", stats(&store));
        thread::yield_now();
    }
    assert_eq!(store.all(0).len(), 50);
    store.close();
}
