//! Figures of the store, by store shard, and of its readers.

use store::{LATENCY_BOUNDS_US, LatencyHistogram, SIZE_BOUNDS, ShardStats, StoreStats};

use super::Histogram;
use super::family::{Families, Kind, Unit, Value};
use super::snapshot::StoreView;

/// A figure of one store shard.
struct Row {
    kind: Kind,
    name: &'static str,
    unit: Unit,
    help: &'static str,
    value: fn(&ShardStats) -> Value,
}

const fn counter(name: &'static str, help: &'static str, value: fn(&ShardStats) -> Value) -> Row {
    Row { kind: Kind::Counter, name, unit: Unit::None, help, value }
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&ShardStats) -> Value) -> Row {
    Row { kind: Kind::Gauge, ..counter(name, help, value) }
}

const fn bytes(name: &'static str, help: &'static str, value: fn(&ShardStats) -> Value) -> Row {
    Row { unit: Unit::Bytes, ..gauge(name, help, value) }
}

const ROWS: &[Row] = &[
    counter("store_commits", "Group commits: one sync each.", |shard| shard.groups.into()),
    counter("store_batches", "Batches of shards on disk.", |shard| shard.batches.into()),
    counter("store_operations", "Operations on disk.", |shard| shard.ops.into()),
    Row {
        kind: Kind::Counter,
        ..bytes("store_committed", "Keys and values on disk.", |shard| shard.bytes.into())
    },
    Row {
        kind: Kind::Histogram,
        ..counter("store_commit_operations", "Operations of a group commit.", |shard| Value::Histogram {
            histogram: Histogram::counted(&SIZE_BOUNDS, &shard.group_ops.counts, shard.group_ops.sum),
            per_unit: 1.0,
        })
    },
    Row {
        kind: Kind::Histogram,
        unit: Unit::Seconds,
        ..counter("store_commit", "From taking a group until its rows can be read.", |shard| {
            latency(&shard.commit)
        })
    },
    Row {
        kind: Kind::Histogram,
        unit: Unit::Seconds,
        ..counter("store_sync", "The part of a commit that waits for the disk.", |shard| {
            latency(&shard.fsync)
        })
    },
    counter(
        "store_commits_held_up",
        "Commits that waited since rows came faster than tables are made.",
        |shard| shard.waits.into(),
    ),
    gauge("store_queued_batches", "Batches that wait for their committer.", |shard| shard.queued.into()),
    gauge("store_unmarked_commits", "Commits that the mark trails behind.", |shard| {
        shard.last_commit.saturating_sub(shard.marked).into()
    }),
    bytes("store_unfed", "Rows that are in memory and in the log only.", |shard| shard.memory_bytes.into()),
    bytes("store_log", "Log segments on disk, those kept for later use included.", |shard| {
        shard.log_bytes.into()
    }),
    bytes("store_tables", "Live tables on disk; the log comes on top.", |shard| shard.table_bytes.into()),
    gauge("store_table_files", "Live tables on disk.", |shard| shard.tables.into()),
    gauge("store_level0_runs", "Sorted runs in the first level: a read looks at each.", |shard| {
        shard.level0_runs.into()
    }),
    counter("store_feeds", "Times that rows were moved from memory to tables.", |shard| shard.feeds.into()),
    counter("store_fed_rows", "Rows moved from memory to tables.", |shard| shard.fed_rows.into()),
    Row {
        unit: Unit::Seconds,
        ..counter("store_feeding", "Time spent moving rows to tables.", |shard| seconds(shard.feed_us_sum))
    },
    counter("store_compactions", "Merges of tables.", |shard| shard.compactions.into()),
    Row {
        unit: Unit::Seconds,
        ..counter("store_compacting", "Time spent merging tables.", |shard| seconds(shard.compaction_us_sum))
    },
];

fn seconds(us: u64) -> Value {
    Value::Real(us as f64 / 1e6)
}

fn latency(latency: &LatencyHistogram) -> Value {
    let histogram = Histogram::counted(&LATENCY_BOUNDS_US, &latency.counts, latency.sum_us);
    Value::Histogram { histogram, per_unit: 1e6 }
}

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
    let help = "A read, without its wait in the queue.";
    families.begin(Kind::Histogram, "store_load", Unit::Seconds, help).add(&[], latency(&reads.load));
}
