//! What the driver knows of its shard and ring, for whoever asks.

use std::time::Instant;

use record::Batch;
use shard::stats::ShardStats;

use super::ShardItem;
use crate::mesh::Lane;
use crate::metrics::{CommitStats, LaneStats, ShardSnapshot};
use crate::ring::Io;

/// Batches on their way to the disk. The shard has one in flight per store shard at most.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// By store shard: when its batch was handed over.
    begun: Vec<Option<Instant>>,
    stats: CommitStats,
}

impl Commits {
    pub fn begin(&mut self, batch: &Batch) {
        let store_shard = usize::from(batch.store_shard.0);
        if self.begun.len() <= store_shard {
            self.begun.resize(store_shard + 1, None);
        }
        self.begun[store_shard] = Some(Instant::now());
        self.stats.ops.record(batch.ops.len() as u64);
    }

    /// The store answered, whatever it says.
    pub fn end(&mut self, store_shard: u16) {
        if let Some(begun) = self.begun.get_mut(usize::from(store_shard)).and_then(Option::take) {
            self.stats.latency_us.record(begun.elapsed().as_micros() as u64);
        }
    }
}

pub(super) fn snapshot(io: &Io<ShardItem>, commits: &Commits, shard: ShardStats) -> ShardSnapshot {
    let lane = |lane| LaneStats { depth: io.mesh.depth(lane), full: io.mesh.refused(lane) };
    ShardSnapshot {
        shard,
        ring: *io.connections.counters(),
        output_bytes: io.connections.output_bytes() as u64,
        lanes: Lane::ALL.map(lane),
        mesh_dropped: io.mesh.dropped(),
        commits: commits.stats.clone(),
    }
}
