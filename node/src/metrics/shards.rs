//! Figures of the shards, each with the label `shard`.

use shard::FigureKind;

use super::family::{Families, Family, Kind, Unit, Value};
use super::snapshot::ShardSnapshot;
use crate::mesh::Lane;
use crate::ring::{CloseReason, Counters};

type Shards = [Option<Box<ShardSnapshot>>];

/// Figures of the shard that stand in a family with a label, or in a histogram, as well.
const SHOWN_BELOW: [&str; 5] =
    ["lane_without_credit", "batches", "conversations_cached", "lists_cached", "outbox_changes"];

/// A counter of the ring.
struct Row {
    name: &'static str,
    unit: Unit,
    help: &'static str,
    value: fn(&Counters) -> u64,
}

const fn row(name: &'static str, unit: Unit, help: &'static str, value: fn(&Counters) -> u64) -> Row {
    Row { name, unit, help, value }
}

const RING: &[Row] = &[
    row("connections_accepted", Unit::None, "Connections accepted.", |ring| ring.accepted),
    row("accepts_failed", Unit::None, "Accepts that failed for want of descriptors or memory.", |ring| {
        ring.accept_failed
    }),
    row("connections_adopted", Unit::None, "Connections taken in from other shards.", |ring| ring.adopted),
    row("connections_left", Unit::None, "Connections handed to other shards.", |ring| ring.left),
    row("received", Unit::Bytes, "Bytes received from clients, as they came from the sockets.", |ring| {
        ring.bytes_received
    }),
    row("sent", Unit::Bytes, "Bytes sent to clients, as they went to the sockets.", |ring| ring.bytes_sent),
    row("sends", Unit::None, "Gathered sends handed to the kernel.", |ring| ring.sends),
    row("sends_short", Unit::None, "Sends of which the kernel took a part only.", |ring| ring.sends_short),
    row("receives_starved", Unit::None, "Receives that waited for a free buffer.", |ring| ring.starved),
    row("completions_stale", Unit::None, "Completions that came for a connection that was gone.", |ring| {
        ring.stale
    }),
    row("output_pushes_dropped", Unit::None, "Events that found their connection's queue full.", |ring| {
        ring.pushes_dropped
    }),
    row("output_overflows", Unit::None, "Times that a connection's queue of events was full.", |ring| {
        ring.overflowed
    }),
    row(
        "connections_cut_off",
        Unit::None,
        "Connections cut off with output that they did not take.",
        |ring| ring.cut_off,
    ),
    row("turns", Unit::None, "Turns of the loop.", |ring| ring.turns),
    row("sleeps", Unit::None, "Times that a core had no work and slept.", |ring| ring.sleeps),
];

/// Several figures of one family, each with the value of its label.
type Labelled = Vec<(&'static str, u64)>;

/// A family with one label more.
struct LabelledRow {
    kind: Kind,
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: fn(&ShardSnapshot) -> Labelled,
}

const LABELLED: &[LabelledRow] = &[
    LabelledRow {
        kind: Kind::Counter,
        name: "refusals",
        help: "Commands refused, by the name of the refusal.",
        label: "code",
        values: |shard| shard.shard.counters.refusals().collect(),
    },
    LabelledRow {
        kind: Kind::Counter,
        name: "closes_by_shard",
        help: "Connections that the shard closed, by its reason.",
        label: "reason",
        values: |shard| shard.shard.counters.closes().collect(),
    },
    LabelledRow {
        kind: Kind::Counter,
        name: "connections_closed",
        help: "Connections closed, whoever closed them; \"asked\" is by the shard.",
        label: "reason",
        values: |shard| {
            let closed = shard.ring.closed;
            CloseReason::ALL.iter().map(|reason| (reason.name(), closed[*reason as usize])).collect()
        },
    },
    LabelledRow {
        kind: Kind::Counter,
        name: "turn_budget_used_up",
        help: "Turns in which a stage left work for the next turn.",
        label: "stage",
        values: |shard| {
            vec![
                ("completions", shard.ring.completions_budget_used_up),
                ("kept_input", shard.ring.ready_budget_used_up),
                ("mesh", shard.ring.mesh_budget_used_up),
            ]
        },
    },
    LabelledRow {
        kind: Kind::Gauge,
        name: "lane_depth",
        help: "Items sent to other shards that these have not taken.",
        label: "lane",
        values: |shard| LANES.map(|lane| (name(lane), shard.lanes[lane as usize].depth)).into(),
    },
    LabelledRow {
        kind: Kind::Counter,
        name: "lane_full",
        help: "Items that found no room in a lane to another shard.",
        label: "lane",
        values: |shard| {
            let without_credit =
                |lane| if lane == Lane::Delivery { shard.shard.counters.lane_full } else { 0 };
            let full = |lane| shard.lanes[lane as usize].full + without_credit(lane);
            LANES.map(|lane| (name(lane), full(lane))).into()
        },
    },
    LabelledRow {
        kind: Kind::Gauge,
        name: "table_entries",
        help: "Entries in memory, by table.",
        label: "table",
        values: |shard| shard.shard.tables.iter().map(|table| (table.name, table.entries)).collect(),
    },
    LabelledRow {
        kind: Kind::Gauge,
        name: "table_entries_max",
        help: "Entries at which something leaves the table or is refused.",
        label: "table",
        values: |shard| shard.shard.tables.iter().map(|table| (table.name, table.entries_max)).collect(),
    },
];

const LANES: [Lane; 3] = Lane::ALL;

fn name(lane: Lane) -> &'static str {
    match lane {
        Lane::Control => "control",
        Lane::Delivery => "delivery",
        Lane::Ephemeral => "ephemeral",
    }
}

/// A level or a histogram of one shard.
struct OtherRow {
    kind: Kind,
    name: &'static str,
    unit: Unit,
    help: &'static str,
    value: fn(&ShardSnapshot) -> Value,
}

const OTHERS: &[OtherRow] = &[
    OtherRow {
        kind: Kind::Gauge,
        name: "output_queue",
        unit: Unit::Bytes,
        help: "Bytes of frames that wait for their connections, beside what the kernel has.",
        value: |shard| shard.output_bytes.into(),
    },
    OtherRow {
        kind: Kind::Gauge,
        name: "delivery_credits_used",
        unit: Unit::None,
        help: "Credits of the delivery lane in use towards the shard that has taken the least.",
        value: |shard| shard.shard.delivery_credits_used.into(),
    },
    OtherRow {
        kind: Kind::Gauge,
        name: "delivery_credits_max",
        unit: Unit::None,
        help: "Credits of the delivery lane towards each shard.",
        value: |shard| shard.shard.delivery_credits_max.into(),
    },
    OtherRow {
        kind: Kind::Gauge,
        name: "forwards_in_flight",
        unit: Unit::None,
        help: "Commands on their way to other shards without an answer.",
        value: |shard| shard.shard.forwards_in_flight.into(),
    },
    OtherRow {
        kind: Kind::Gauge,
        name: "loads_in_flight",
        unit: Unit::None,
        help: "Reads of the store without an answer.",
        value: |shard| shard.shard.loads_in_flight.into(),
    },
    OtherRow {
        kind: Kind::Counter,
        name: "lane_dropped",
        unit: Unit::None,
        help: "Items for other shards dropped because those had ended.",
        value: |shard| shard.mesh_dropped.into(),
    },
    OtherRow {
        kind: Kind::Histogram,
        name: "commit_batch_operations",
        unit: Unit::None,
        help: "Operations of the batches handed to the committers.",
        value: |shard| Value::Histogram { histogram: shard.commits.ops, per_unit: 1.0 },
    },
    OtherRow {
        kind: Kind::Histogram,
        name: "commit_latency",
        unit: Unit::Seconds,
        help: "From handing a batch to its committer until the core hears that it is on disk.",
        value: |shard| Value::Histogram { histogram: shard.commits.latency_us, per_unit: 1e6 },
    },
];

pub(super) fn add(families: &mut Families, shards: &Shards) {
    let help = "1 for a shard that answered; 0 for one that did not answer in time, whose other figures are missing.";
    let family = families.begin(Kind::Gauge, "shard_up", Unit::None, help);
    for (number, shard) in shards.iter().enumerate() {
        family.add(&[("shard", &number.to_string())], u64::from(shard.is_some()));
    }
    for figure in shard::FIGURES.iter().filter(|figure| !SHOWN_BELOW.contains(&figure.name)) {
        let kind = match figure.kind {
            FigureKind::Total => Kind::Counter,
            FigureKind::Level => Kind::Gauge,
        };
        let family = families.begin(kind, figure.name, Unit::None, figure.help);
        each(family, shards, |shard| (figure.value)(&shard.shard.counters).into());
    }
    for Row { name, unit, help, value } in RING {
        let family = families.begin(Kind::Counter, name, *unit, help);
        each(family, shards, |shard| value(&shard.ring).into());
    }
    for OtherRow { kind, name, unit, help, value } in OTHERS {
        each(families.begin(*kind, name, *unit, help), shards, value);
    }
    for LabelledRow { kind, name, help, label, values } in LABELLED {
        let family = families.begin(*kind, name, Unit::None, help);
        each_labelled(family, shards, label, values);
    }
    let help = "Bytes that a table holds, where they are counted.";
    let family = families.begin(Kind::Gauge, "table", Unit::Bytes, help);
    each_labelled(family, shards, "table", |shard| {
        shard.shard.tables.iter().filter_map(|table| Some((table.name, table.bytes?))).collect()
    });
}

fn each(family: &mut Family, shards: &Shards, value: impl Fn(&ShardSnapshot) -> Value) {
    for (number, shard) in answered(shards) {
        family.add(&[("shard", &number)], value(shard));
    }
}

fn each_labelled(
    family: &mut Family,
    shards: &Shards,
    label: &'static str,
    values: impl Fn(&ShardSnapshot) -> Labelled,
) {
    for (number, shard) in answered(shards) {
        for (name, value) in values(shard) {
            family.add(&[("shard", &number), (label, name)], value);
        }
    }
}

fn answered(shards: &Shards) -> impl Iterator<Item = (String, &ShardSnapshot)> {
    let numbered = shards.iter().enumerate();
    numbered.filter_map(|(number, shard)| Some((number.to_string(), shard.as_deref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_shard_is_down_and_has_no_other_figures() {
        let mut families = Families::default();
        add(&mut families, &[Some(Box::default()), None]);
        let samples = |name: &str| {
            let family = families.list.iter().find(|family| family.name == name).expect("a family");
            family.samples.iter().map(|sample| sample.labels[0].1.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(samples("ringtalk_shard_up"), ["0", "1"]);
        assert_eq!(samples("ringtalk_messages_accepted"), ["0"]);
        let names: Vec<_> = shard::FIGURES.iter().map(|figure| figure.name).collect();
        assert!(SHOWN_BELOW.iter().all(|name| names.contains(name)), "one has another name now");
        assert_eq!(samples("ringtalk_refusals").len(), wire::Refusal::ALL.len());
    }
}
