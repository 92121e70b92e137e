//! Figures of the store, by store shard, and of its readers.

use store::{ShardStats, StoreStats};

use super::family::{Families, Kind, Unit};
use super::snapshot::StoreView;

/// A figure of one store shard.
struct Row {
    kind: Kind,
    name: &'static str,
    unit: Unit,
    help: &'static str,
    value: fn(&ShardStats) -> u64,
}

const fn row(kind: Kind, name: &'static str, help: &'static str, value: fn(&ShardStats) -> u64) -> Row {
    Row { kind, name, unit: Unit::None, help, value }
}

const ROWS: &[Row] = &[
    row(Kind::Counter, "store_commits", "Group commits: one sync each.", |shard| shard.groups),
    row(Kind::Counter, "store_batches", "Batches of shards on disk.", |shard| shard.batches),
    row(Kind::Counter, "store_operations", "Operations on disk.", |shard| shard.ops),
    Row {
        kind: Kind::Counter,
        name: "store_committed",
        unit: Unit::Bytes,
        help: "Keys and values on disk.",
        value: |shard| shard.bytes,
    },
    row(Kind::Gauge, "store_queued_batches", "Batches that wait for their committer.", |shard| shard.queued),
    row(Kind::Gauge, "store_unmarked_commits", "Commits that the mark trails behind.", |shard| {
        shard.last_commit.saturating_sub(shard.marked)
    }),
    Row {
        kind: Kind::Gauge,
        name: "store_tables",
        unit: Unit::Bytes,
        help: "Live tables on disk; journals come on top.",
        value: |shard| shard.table_bytes,
    },
];

type Reason = (&'static str, fn(&ShardStats) -> u64);

/// Why a batch was not written.
const REASONS: [Reason; 4] = [
    ("fenced", |shard| shard.fenced),
    ("full", |shard| shard.full),
    ("queue_full", |shard| shard.refused),
    ("unknown", |shard| shard.unknown),
];

pub(super) fn add(families: &mut Families, view: &StoreView) {
    let StoreView { stats, poisoned } = view;
    let help = "1 when a write has failed and the node is about to stop.";
    families.begin(Kind::Gauge, "store_poisoned", Unit::None, help).add(&[], u64::from(poisoned.is_some()));
    for row in ROWS {
        let family = families.begin(row.kind, row.name, row.unit, row.help);
        for (number, shard) in stats.shards.iter().enumerate() {
            family.add(&[("store_shard", &number.to_string())], (row.value)(shard));
        }
    }
    let help = "Batches that were not written, by what the shard was told.";
    let family = families.begin(Kind::Counter, "store_batches_refused", Unit::None, help);
    for (number, shard) in stats.shards.iter().enumerate() {
        for (reason, value) in REASONS {
            family.add(&[("store_shard", &number.to_string()), ("reason", reason)], value(shard));
        }
    }
    add_reads(families, stats);
}

fn add_reads(families: &mut Families, stats: &StoreStats) {
    let reads = &stats.reads;
    let counters = [
        ("store_loads", "Reads done.", reads.loads),
        ("store_load_queries", "Queries of these reads.", reads.queries),
        ("store_load_rows", "Rows that they found.", reads.rows),
        ("store_loads_failed", "Reads that failed.", reads.failed),
        ("store_loads_refused", "Reads given back since the queue was full.", reads.refused),
    ];
    for (name, help, value) in counters {
        families.begin(Kind::Counter, name, Unit::None, help).add(&[], value);
    }
    families
        .begin(Kind::Gauge, "store_queued_loads", Unit::None, "Reads that wait for a reader.")
        .add(&[], reads.queued);
}
