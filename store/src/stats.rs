//! Counters that the store's threads keep, and a snapshot of them for metrics.

mod histogram;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub use histogram::{LATENCY_BOUNDS_US, LatencyHistogram, SIZE_BOUNDS, SizeHistogram};
use histogram::{Latencies, Sizes};

/// All counters since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// By number of the store shard.
    pub shards: Vec<ShardStats>,
    pub reads: ReadStats,
}

/// One store shard. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Group commits done; the mean group is `batches / groups`.
    pub groups: u64,
    pub batches: u64,
    pub ops: u64,
    /// Keys and values.
    pub bytes: u64,
    pub group_batches_max: u64,
    /// Changes per group commit.
    pub group_ops: SizeHistogram,
    pub commit_us_sum: u64,
    pub commit_us_max: u64,
    /// From the moment a group is taken until its rows can be read, and the part of it that is the sync.
    pub commit: LatencyHistogram,
    pub fsync: LatencyHistogram,
    /// Commits that had to wait because rows came faster than they could be moved to tables.
    pub waits: u64,
    /// Batches answered so.
    pub fenced: u64,
    pub full: u64,
    pub unknown: u64,
    /// Batches given back because the queue was full.
    pub refused: u64,
    /// Batches that wait now.
    pub queued: u64,
    /// The last commit, and the mark that trails it.
    pub last_commit: u64,
    pub marked: u64,
    /// Rows that are in memory and the log only.
    pub memory_bytes: u64,
    /// Log segments on disk, those that are kept for later use included.
    pub log_bytes: u64,
    /// Times that rows were moved from memory to tables, how many rows, and how long it took in all.
    pub feeds: u64,
    pub fed_rows: u64,
    pub feed_us_sum: u64,
    /// Merges of tables, and how long they took in all.
    pub compactions: u64,
    pub compaction_us_sum: u64,
    /// Sorted runs in the first level: a read looks at each.
    pub level0_runs: u64,
    pub tables: u64,
    /// Live tables on disk. The log comes on top, and tables that are not unlinked yet.
    pub table_bytes: u64,
}

/// The read pool. Times are in microseconds, without the wait in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadStats {
    pub loads: u64,
    pub queries: u64,
    pub rows: u64,
    pub load_us_sum: u64,
    pub load_us_max: u64,
    pub load: LatencyHistogram,
    pub failed: u64,
    /// Loads given back because the queue was full.
    pub refused: u64,
    /// Loads that wait now.
    pub queued: u64,
}

/// Written by a store shard's own threads (and `refused` by the shards), read by whoever asks.
#[derive(Debug, Default)]
pub(crate) struct ShardCounters {
    pub groups: AtomicU64,
    pub batches: AtomicU64,
    pub ops: AtomicU64,
    pub bytes: AtomicU64,
    pub group_batches_max: AtomicU64,
    pub group_ops: Sizes,
    pub commit_us_max: AtomicU64,
    pub commit: Latencies,
    pub fsync: Latencies,
    pub waits: AtomicU64,
    pub log_bytes: AtomicU64,
    pub feeds: AtomicU64,
    pub fed_rows: AtomicU64,
    pub feed_us_sum: AtomicU64,
    pub compactions: AtomicU64,
    pub compaction_us_sum: AtomicU64,
    pub fenced: AtomicU64,
    pub full: AtomicU64,
    pub unknown: AtomicU64,
    pub refused: AtomicU64,
    pub last_commit: AtomicU64,
    pub marked: AtomicU64,
}

impl ShardCounters {
    pub(crate) fn snapshot(&self) -> ShardStats {
        ShardStats {
            groups: self.groups.load(Relaxed),
            batches: self.batches.load(Relaxed),
            ops: self.ops.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            group_batches_max: self.group_batches_max.load(Relaxed),
            group_ops: self.group_ops.snapshot(),
            commit_us_sum: self.commit.snapshot().sum_us,
            commit_us_max: self.commit_us_max.load(Relaxed),
            commit: self.commit.snapshot(),
            fsync: self.fsync.snapshot(),
            waits: self.waits.load(Relaxed),
            log_bytes: self.log_bytes.load(Relaxed),
            feeds: self.feeds.load(Relaxed),
            fed_rows: self.fed_rows.load(Relaxed),
            feed_us_sum: self.feed_us_sum.load(Relaxed),
            compactions: self.compactions.load(Relaxed),
            compaction_us_sum: self.compaction_us_sum.load(Relaxed),
            fenced: self.fenced.load(Relaxed),
            full: self.full.load(Relaxed),
            unknown: self.unknown.load(Relaxed),
            refused: self.refused.load(Relaxed),
            queued: 0,
            last_commit: self.last_commit.load(Relaxed),
            marked: self.marked.load(Relaxed),
            memory_bytes: 0,
            level0_runs: 0,
            tables: 0,
            table_bytes: 0,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ReadCounters {
    pub loads: AtomicU64,
    pub queries: AtomicU64,
    pub rows: AtomicU64,
    pub load_us_max: AtomicU64,
    pub load: Latencies,
    pub failed: AtomicU64,
    pub refused: AtomicU64,
}

impl ReadCounters {
    pub(crate) fn snapshot(&self) -> ReadStats {
        ReadStats {
            loads: self.loads.load(Relaxed),
            queries: self.queries.load(Relaxed),
            rows: self.rows.load(Relaxed),
            load_us_sum: self.load.snapshot().sum_us,
            load_us_max: self.load_us_max.load(Relaxed),
            load: self.load.snapshot(),
            failed: self.failed.load(Relaxed),
            refused: self.refused.load(Relaxed),
            queued: 0,
        }
    }
}

pub(crate) fn micros(elapsed: Duration) -> u64 {
    elapsed.as_micros() as u64
}
