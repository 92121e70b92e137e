//! What a shard tells when it is asked how it is.

use crate::counters::Counters;

/// Counters and levels of one shard at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    pub counters: Counters,
    /// Each kind of record kept in memory, and each table that peers can fill.
    pub tables: Vec<TableStats>,
    /// Credits of the delivery lane in use towards the peer shard that has taken the least, and how many there are.
    pub delivery_credits_used: u64,
    pub delivery_credits_max: u64,
    /// Commands on their way to other shards without an answer.
    pub forwards_in_flight: u64,
    /// Reads of the store without an answer.
    pub loads_in_flight: u64,
}

/// One table in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// Stable, for metrics.
    pub name: &'static str,
    pub entries: u64,
    /// Entries at which something leaves or is refused.
    pub entries_max: u64,
    /// Bytes of what the entries hold, where it is counted.
    pub bytes: Option<u64>,
}

impl TableStats {
    pub(crate) fn new(name: &'static str, entries: usize, entries_max: usize) -> Self {
        Self { name, entries: entries as u64, entries_max: entries_max as u64, bytes: None }
    }
}
