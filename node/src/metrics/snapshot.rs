//! What is known of the node at one moment.

use std::time::Duration;

use shard::stats::ShardStats;
use store::StoreStats;

use super::Histogram;
use crate::ring::Counters;

/// Bounds of the times a commit takes, in microseconds.
const COMMIT_BOUNDS_US: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000,
];
/// Bounds of the operations of a batch.
const OPS_BOUNDS: &[u64] = &[1, 4, 16, 64, 256, 1_024, 4_096, 16_384];

/// Batches of one shard, as its core sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitStats {
    /// Operations of a batch.
    pub ops: Histogram,
    /// Microseconds from handing a batch to its committer until the core hears that it is on disk.
    pub latency_us: Histogram,
}

impl Default for CommitStats {
    fn default() -> Self {
        Self { ops: Histogram::new(OPS_BOUNDS), latency_us: Histogram::new(COMMIT_BOUNDS_US) }
    }
}

/// One lane of the mesh, from this shard to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Items sent that the other shards have not taken.
    pub depth: u64,
    /// Items that found it full.
    pub full: u64,
}

/// One shard with the ring it runs on.
#[derive(Clone, Debug, Default)]
pub struct ShardSnapshot {
    pub shard: ShardStats,
    pub ring: Counters,
    /// Bytes that wait for their connections to take them, beside what the kernel has.
    pub output_bytes: u64,
    /// In the order of [`crate::mesh::Lane::ALL`].
    pub lanes: [LaneStats; 3],
    /// Items dropped because their shard had ended.
    pub mesh_dropped: u64,
    pub commits: CommitStats,
}

/// What is known of the store.
#[derive(Clone, Debug, Default)]
pub struct StoreView {
    pub stats: StoreStats,
    /// Why it can take nothing any more.
    pub poisoned: Option<String>,
}

/// The whole node.
#[derive(Debug)]
pub struct Snapshot {
    /// By number of the shard; `None`: it did not answer in time.
    pub shards: Vec<Option<Box<ShardSnapshot>>>,
    pub store: StoreView,
    pub uptime: Duration,
}

impl Snapshot {
    /// Shards that did not answer.
    pub fn silent(&self) -> Vec<u16> {
        let silent = |(number, shard): (u16, &Option<_>)| shard.is_none().then_some(number);
        (0..).zip(&self.shards).filter_map(silent).collect()
    }
}
