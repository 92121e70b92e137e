//! What the store tells the shards, and how.

use record::kv::{CommitOutcome, Query, Rows, StoreShardId};

/// One answer to one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAnswer {
    /// What became of the batch that this shard submitted to this store shard under this number.
    Committed { store_shard: StoreShardId, number: u64, outcome: CommitOutcome },
    /// The rows of a load, one entry per query, all of one snapshot.
    Loaded { token: u64, rows: Vec<Rows> },
    /// A load found rows that cannot be read: the disk or the store is damaged. The text says what.
    LoadFailed { token: u64, what: String },
}

/// Takes the answers to the shards. It is called from the store's threads, once per group commit and shard or once
/// per load, and must not wait: it puts the answers into the shard's inbox and wakes its core.
///
/// Answers to one shard about its batches of one term to one store shard come in the order of submission.
pub trait Answers: Send + Sync + 'static {
    fn deliver(&self, to_shard: u16, answers: Vec<StoreAnswer>);
}

impl<F: Fn(u16, Vec<StoreAnswer>) + Send + Sync + 'static> Answers for F {
    fn deliver(&self, to_shard: u16, answers: Vec<StoreAnswer>) {
        self(to_shard, answers);
    }
}

/// Rows that a shard wants. The answer carries the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRequest {
    pub from_shard: u16,
    pub token: u64,
    pub store_shard: StoreShardId,
    pub queries: Vec<Query>,
}
