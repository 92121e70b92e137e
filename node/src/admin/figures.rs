//! Figures for people at a terminal: those of `GET /metrics`, summed over the shards.

use std::collections::BTreeMap;

use super::protocol::Reply;
use crate::metrics::{self, Family, Kind, Sample, Snapshot, Value};

/// Labels that tell shards apart and are summed over.
const SUMMED: [&str; 2] = ["shard", "store_shard"];

/// The answer to `ringtalk stats`.
pub(super) fn reply(snapshot: &Snapshot) -> Reply {
    Reply::Stats { figures: summed(&metrics::families(Some(snapshot))), silent: snapshot.silent() }
}

/// By name and labels, as in an exposition. Of a histogram the count and the sum.
fn summed(families: &[Family]) -> BTreeMap<String, f64> {
    let mut figures = BTreeMap::new();
    for family in families {
        for sample in &family.samples {
            for (suffix, value) in values(family.kind, &sample.value) {
                let name = format!("{}{suffix}{}", family.full_name(), labels(sample));
                *figures.entry(name).or_insert(0.0) += value;
            }
        }
    }
    figures
}

fn values(kind: Kind, value: &Value) -> Vec<(&'static str, f64)> {
    let suffix = match kind {
        Kind::Counter => "_total",
        Kind::Gauge | Kind::Histogram => "",
    };
    match value {
        Value::Whole(value) => vec![(suffix, *value as f64)],
        Value::Real(value) => vec![(suffix, *value)],
        Value::Histogram { histogram, per_unit } => {
            vec![("_count", histogram.count() as f64), ("_sum", histogram.sum() as f64 / per_unit)]
        }
    }
}

fn labels(sample: &Sample) -> String {
    let kept = sample.labels.iter().filter(|(name, _)| !SUMMED.contains(name));
    let kept: Vec<_> = kept.map(|(name, value)| format!("{name}={value:?}")).collect();
    if kept.is_empty() { String::new() } else { format!("{{{}}}", kept.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Families, Histogram, Unit};

    #[test]
    fn shards_are_summed_and_other_labels_are_kept() {
        let mut families = Families::default();
        let family = families.begin(Kind::Counter, "refusals", Unit::None, "");
        for (shard, code, count) in [("0", "busy", 1), ("1", "busy", 2), ("1", "malformed", 4)] {
            family.add(&[("shard", shard), ("code", code)], count);
        }
        let mut histogram = Histogram::new(&[1_000]);
        [1_500, 500].iter().for_each(|value| histogram.record(*value));
        let family = families.begin(Kind::Histogram, "wait", Unit::Seconds, "");
        for shard in ["0", "1"] {
            family.add(&[("store_shard", shard)], Value::Histogram { histogram, per_unit: 1e3 });
        }
        families.begin(Kind::Gauge, "table", Unit::Bytes, "").add(&[("shard", "0")], 8);
        let figures: Vec<_> = summed(&families.list).into_iter().collect();
        let expected = [
            ("ringtalk_refusals_total{code=\"busy\"}", 3.0),
            ("ringtalk_refusals_total{code=\"malformed\"}", 4.0),
            ("ringtalk_table_bytes", 8.0),
            ("ringtalk_wait_seconds_count", 4.0),
            ("ringtalk_wait_seconds_sum", 4.0),
        ];
        assert_eq!(figures, expected.map(|(name, value)| (name.to_owned(), value)));
    }
}
