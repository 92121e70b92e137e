//! The key-value contract between the logic and any store: batches go in, rows come out.
//!
//! Keys are bytes that sort. The embedded store (fjall) and the simulator's in-memory store answer this contract
//! identically; a model test holds them to it.

use bytes::Bytes;

use crate::ops::Ops;

/// Longest key in bytes. The longest one there is holds a user's name.
pub const KEY_LEN_MAX: usize = 80;
/// Longest value in bytes. A larger value torn by a power cut can keep the embedded store from opening.
pub const VALUE_LEN_MAX: usize = 4_000;

/// Number of one store shard, `0..store_shards`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreShardId(pub u16);

impl StoreShardId {
    /// The store shard that keeps a slot's records, among `store_shards` (a power of two). Part of the disk format.
    pub fn of_slot(slot: wire::Slot, store_shards: u16) -> Self {
        assert!(
            store_shards.is_power_of_two() && store_shards <= wire::ids::SLOTS,
            "{store_shards} store shards"
        );
        Self(slot.number() & (store_shards - 1))
    }
}

/// The changes of one turn of one shard to one store shard. Atomic: after a crash all of it is there or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub store_shard: StoreShardId,
    /// Rises by one with each batch that this shard hands to this store shard; the answer names it.
    pub number: u64,
    /// The term under which the shard writes. An older term than the store's is answered `Fenced`.
    pub term: u64,
    pub ops: Ops,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// On disk: it survives a power cut.
    Committed,
    /// Somebody else has claimed the slots since; nothing was written.
    Fenced,
    /// Free space is below the floor; nothing was written, and a later batch may succeed.
    Full,
    /// It may or may not be on disk. The node must stop and find out at the next start.
    Unknown,
}

/// One read. All queries of one load see one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    Get(Bytes),
    /// Rows with `from <= key < to`, ascending (or descending with `reverse`), until `rows_max` rows or until
    /// the values read so far add up to `bytes_max` or more (the row that crosses it is included).
    Range {
        from: Bytes,
        to: Bytes,
        reverse: bool,
        rows_max: u32,
        bytes_max: u32,
    },
}

/// The answer to one query.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rows {
    pub rows: Vec<Row>,
    /// For ranges: there are more rows behind the last one returned.
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: Bytes,
    pub value: Bytes,
}
