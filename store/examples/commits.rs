//! What a message costs in the store: commits groups shaped like the traffic of private chats and prints the processor
//! time of each kind of thread per message, with a path straight through fjall's journal and memtables beside it.
//!
//! `cargo run --release -p store --example commits -- [messages] [messages per group] [rounds] [pairs] [log|fjall]`

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fjall::{KeyspaceCreateOptions, PersistMode};
use store::record::Ops;
use store::record::kv::{Batch, CommitOutcome, StoreShardId};
use store::{Store, StoreAnswer, StoreOptions};

const STORE_SHARDS: u16 = 2;
const CLOSE_BOUND: Duration = Duration::from_secs(60);

/// Chats between pairs of users, one message after the other.
struct Traffic {
    pairs: u64,
    message: u64,
    /// Outbox rows that the next group deletes, by store shard.
    outbox: [Vec<Vec<u8>>; STORE_SHARDS as usize],
}

impl Traffic {
    fn new(pairs: u64) -> Self {
        Self { pairs, message: 0, outbox: Default::default() }
    }

    /// The changes of so many messages, by store shard; rows that are written over are there once, as in a turn.
    fn group(&mut self, messages: u64) -> [Ops; STORE_SHARDS as usize] {
        let mut groups: [Ops; STORE_SHARDS as usize] = Default::default();
        let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
        for (shard, keys) in self.outbox.iter_mut().enumerate() {
            keys.drain(..).for_each(|key| groups[shard].delete(&key));
        }
        for _ in 0..messages {
            let pair = self.message.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.pairs;
            let seq = self.message;
            self.message += 1;
            let (sender, receiver) = (pair * 2, pair * 2 + 1);
            let conversation = key_of(pair, &[sender, receiver]);
            let shard = shard_of(pair);
            let mut value = vec![b'x'; 180];
            value[..8].copy_from_slice(&seq.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
            let entry = key(8, &[&conversation[..], &seq.to_be_bytes()].concat());
            groups[shard].put(&entry, &value);
            let overwritten = [
                (shard, key(6, &[&conversation[..], &sender.to_be_bytes(), &[0; 4]].concat()), 90),
                (
                    shard,
                    key(10, &[&conversation[..2], &receiver.to_be_bytes(), &conversation[2..]].concat()),
                    60,
                ),
                (shard_of(sender), key(4, &key_of(sender, &[sender, sender, receiver])), 60),
                (shard_of(receiver), key(4, &key_of(receiver, &[receiver, sender, receiver])), 60),
            ];
            for (shard, key, len) in overwritten {
                if last.insert(key.clone(), shard).is_none() {
                    groups[shard].put(&key, &vec![b'y'; len]);
                    if key[2] == 10 {
                        self.outbox[shard].push(key);
                    }
                }
            }
        }
        groups
    }
}

fn shard_of(id: u64) -> usize {
    (id % u64::from(STORE_SHARDS)) as usize
}

/// Slot and ids, as in the keys of records.
fn key_of(id: u64, ids: &[u64]) -> Vec<u8> {
    let slot = ((id % 1_024) as u16).to_be_bytes();
    [&slot[..], &ids.iter().flat_map(|id| id.to_be_bytes()).collect::<Vec<_>>()].concat()
}

/// The table goes behind the slot.
fn key(table: u8, slot_and_ids: &[u8]) -> Vec<u8> {
    [&slot_and_ids[..2], &[table], &slot_and_ids[2..]].concat()
}

/// Processor time by kind of thread, in nanoseconds. Only of threads that are alive.
fn thread_times() -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").expect("Linux").flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let name = read("comm").trim().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        let nanos = read("schedstat").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        *times.entry(name).or_insert(0) += nanos;
    }
    times
}

struct Outcome {
    /// Nanoseconds per message, by kind of thread.
    threads: BTreeMap<String, f64>,
    disk_bytes: u64,
    commit_us: Vec<u64>,
}

fn measure(messages: u64, group: u64, pairs: u64, mut commit: impl FnMut([Ops; 2])) -> Outcome {
    let mut traffic = Traffic::new(pairs);
    let mut commit_us = Vec::new();
    let before = thread_times();
    let written = bytes_written();
    for _ in 0..messages / group {
        let groups = traffic.group(group);
        let begun = Instant::now();
        commit(groups);
        commit_us.push(begun.elapsed().as_micros() as u64);
    }
    let own = fs::read_to_string("/proc/self/comm").expect("Linux");
    let per_message = |(name, nanos): (String, u64)| {
        let nanos = nanos - before.get(&name).copied().unwrap_or(0);
        (name != own.trim() && nanos > 0).then(|| (name, nanos as f64 / messages as f64))
    };
    let threads = thread_times().into_iter().filter_map(per_message).collect();
    commit_us.sort_unstable();
    Outcome { threads, disk_bytes: bytes_written() - written, commit_us }
}

fn bytes_written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").expect("Linux");
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("Linux");
    line.parse().expect("a number")
}

fn through_log(dir: &Path, messages: u64, group: u64, pairs: u64) -> Outcome {
    let mut options = StoreOptions::new(dir);
    options.store_shards_if_new = STORE_SHARDS;
    options.free_floor_bytes = 0;
    let (sender, answers) = channel();
    let sender = Mutex::new(sender);
    let deliver = move |_: u16, answers: Vec<StoreAnswer>| drop(sender.lock().unwrap().send(answers));
    let store = Store::open(options, Arc::new(deliver)).unwrap();
    let mut number = 0;
    let outcome = measure(messages, group, pairs, |groups| {
        number += 1;
        for (shard, ops) in groups.into_iter().enumerate() {
            let batch = Batch { store_shard: StoreShardId(shard as u16), number, term: store.term(), ops };
            store.submit(0, batch).unwrap();
        }
        (0..STORE_SHARDS).for_each(|_| take_committed(&answers));
    });
    for stats in store.stats().shards {
        println!("    commit {:?} fsync {:?}", stats.commit.counts, stats.fsync.counts);
        let per = |us: u64| us as f64 * 1_000.0 / messages as f64;
        println!(
            "    {} feeds of {} rows ({:.0} ns), {} compactions ({:.0} ns), {} waits, {} level 0 runs, {} MiB of tables, {} MiB of log",
            stats.feeds,
            stats.fed_rows,
            per(stats.feed_us_sum),
            stats.compactions,
            per(stats.compaction_us_sum),
            stats.waits,
            stats.level0_runs,
            stats.table_bytes >> 20,
            stats.log_bytes >> 20
        );
    }
    store.close(CLOSE_BOUND).unwrap();
    outcome
}

fn take_committed(answers: &Receiver<Vec<StoreAnswer>>) {
    for answer in answers.recv().unwrap() {
        assert!(matches!(answer, StoreAnswer::Committed { outcome: CommitOutcome::Committed, .. }));
    }
}

/// Two databases with a thread each, as the store was before it had a log.
fn through_fjall(dir: &Path, messages: u64, group: u64, pairs: u64) -> Outcome {
    let (sender, done) = channel();
    let committers: Vec<_> = (0..STORE_SHARDS)
        .map(|shard| {
            let (to_shard, batches) = channel::<Ops>();
            let (dir, done) = (dir.join(shard.to_string()), sender.clone());
            let body = move || {
                let database = fjall::Database::builder(dir).worker_threads(2).open().unwrap();
                let options = || KeyspaceCreateOptions::default().max_memtable_size(25 << 20);
                let data = database.keyspace("data", options).unwrap();
                for ops in batches {
                    let mut commit = database.batch().durability(Some(PersistMode::SyncData));
                    let mut seen = HashSet::new();
                    for op in ops.iter().collect::<Vec<_>>().into_iter().rev() {
                        if seen.insert(op.key) {
                            match op.value {
                                Some(value) => commit.insert(&data, op.key, value),
                                None => commit.remove(&data, op.key),
                            }
                        }
                    }
                    commit.commit().unwrap();
                    done.send(()).unwrap();
                }
            };
            let thread = std::thread::Builder::new().name(format!("fjall-{shard:02}")).spawn(body).unwrap();
            (to_shard, thread)
        })
        .collect();
    let outcome = measure(messages, group, pairs, |groups| {
        committers.iter().zip(groups).for_each(|((to_shard, _), ops)| to_shard.send(ops).unwrap());
        committers.iter().for_each(|_| done.recv().unwrap());
    });
    for (to_shard, thread) in committers {
        drop(to_shard);
        thread.join().unwrap();
    }
    outcome
}

/// Folder, messages, messages per group, pairs.
type Way = fn(&Path, u64, u64, u64) -> Outcome;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (messages, group, rounds, pairs) = (next(300_000), next(1_000), next(2), next(200));
    let only = arguments.next();
    println!("{messages} messages in groups of {group}, {pairs} pairs, {STORE_SHARDS} store shards");
    for _ in 0..rounds {
        let paths: [(&str, Way); 2] = [("log", through_log), ("fjall", through_fjall)];
        for (name, path) in
            paths.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
        {
            let dir = tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or("/tmp".into())).unwrap();
            let outcome = path(dir.path(), messages, group, pairs);
            let sum: f64 = outcome.threads.values().sum();
            let threads: Vec<_> =
                outcome.threads.iter().map(|(name, nanos)| format!("{name} {nanos:.0}")).collect();
            let at = |share: f64| outcome.commit_us[(outcome.commit_us.len() as f64 * share) as usize];
            println!(
                "{name:6} {sum:6.0} ns/message: {}; {} bytes to disk per message; commit p50 {} p99 {} us",
                threads.join(", "),
                outcome.disk_bytes / messages,
                at(0.5),
                at(0.99)
            );
        }
    }
}
