//! An inbox that waits for answers, and short ways to say what the tests say often.
#![allow(dead_code)]

pub mod log;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::record::kv::{Batch, CommitOutcome, Query, Rows, StoreShardId};
use store::{Answers, LoadRequest, OpenError, Store, StoreAnswer, StoreOptions};

/// Longer than any machine needs; only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Inbox {
    answers: Mutex<Vec<(u16, StoreAnswer)>>,
    arrived: Condvar,
}

impl Inbox {
    /// Waits for the first answer that `wanted` likes, and takes it out.
    pub fn wait<T>(&self, mut wanted: impl FnMut(u16, &StoreAnswer) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut answers = self.answers.lock().unwrap();
        loop {
            for index in 0..answers.len() {
                if let Some(found) = wanted(answers[index].0, &answers[index].1) {
                    answers.remove(index);
                    return found;
                }
            }
            let left = deadline.checked_duration_since(Instant::now()).expect("the answer never came");
            answers = self.arrived.wait_timeout(answers, left).unwrap().0;
        }
    }

    pub fn outcome(&self, shard: u16, store_shard: u16, wanted: u64) -> CommitOutcome {
        self.wait(|to, answer| match answer {
            StoreAnswer::Committed { store_shard: StoreShardId(from), number, outcome }
                if to == shard && *from == store_shard && *number == wanted =>
            {
                Some(*outcome)
            }
            _ => None,
        })
    }

    pub fn rows(&self, shard: u16, wanted: u64) -> Vec<Rows> {
        self.wait(|to, answer| match answer {
            StoreAnswer::Loaded { token, rows } if to == shard && *token == wanted => Some(rows.clone()),
            StoreAnswer::LoadFailed { what, .. } => panic!("{what}"),
            _ => None,
        })
    }
}

pub struct Opened {
    pub store: Store,
    pub inbox: Arc<Inbox>,
    next: u64,
}

/// Options for a small store with no floor, so that tests do not depend on the machine's disk.
pub fn options(dir: &Path) -> StoreOptions {
    let mut options = StoreOptions::new(dir);
    options.store_shards_if_new = 2;
    options.free_floor_bytes = 0;
    options.read_threads = 2;
    options
}

pub fn try_open(options: StoreOptions) -> Result<Opened, OpenError> {
    let inbox = Arc::new(Inbox::default());
    let answers = inbox.clone();
    let answers: Arc<dyn Answers> = Arc::new(move |shard: u16, new: Vec<StoreAnswer>| {
        answers.answers.lock().unwrap().extend(new.into_iter().map(|answer| (shard, answer)));
        answers.arrived.notify_all();
    });
    Ok(Opened { store: Store::open(options, answers)?, inbox, next: 0 })
}

pub fn open(dir: &Path) -> Opened {
    try_open(options(dir)).unwrap()
}

/// A key and its new value.
pub type Change = (Bytes, Option<Bytes>);

pub fn op(key: &str, value: Option<&str>) -> Change {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    (Bytes::copy_from_slice(key.as_bytes()), value)
}

pub fn range(from: &str, to: &str) -> Query {
    Query::Range {
        from: Bytes::copy_from_slice(from.as_bytes()),
        to: Bytes::copy_from_slice(to.as_bytes()),
        reverse: false,
        rows_max: 1_000_000,
        bytes_max: u32::MAX,
    }
}

impl Opened {
    /// Submits from shard 0 and gives the batch's number.
    pub fn submit(&mut self, store_shard: u16, ops: Vec<Change>) -> u64 {
        self.next += 1;
        let (number, term) = (self.next, self.store.term());
        let ops = ops.into_iter().collect();
        let batch = Batch { store_shard: StoreShardId(store_shard), number, term, ops };
        self.store.submit(0, batch).unwrap();
        number
    }

    pub fn commit(&mut self, store_shard: u16, ops: Vec<Change>) -> CommitOutcome {
        let number = self.submit(store_shard, ops);
        self.inbox.outcome(0, store_shard, number)
    }

    /// Commits one row and insists.
    pub fn put(&mut self, store_shard: u16, key: &str, value: &str) {
        assert_eq!(self.commit(store_shard, vec![op(key, Some(value))]), CommitOutcome::Committed);
    }

    pub fn load(&mut self, store_shard: u16, queries: Vec<Query>) -> Vec<Rows> {
        self.next += 1;
        let token = self.next;
        let request = LoadRequest { from_shard: 0, token, store_shard: StoreShardId(store_shard), queries };
        self.store.load(request).unwrap();
        self.inbox.rows(0, token)
    }

    /// All rows of a store shard as text.
    pub fn all(&mut self, store_shard: u16) -> Vec<(String, String)> {
        let rows = self.load(store_shard, vec![range("", "\u{7f}")]).remove(0);
        assert!(!rows.more);
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        rows.rows.into_iter().map(|row| (text(row.key), text(row.value))).collect()
    }

    pub fn close(self) {
        self.store.close(PATIENCE).unwrap();
    }
}
