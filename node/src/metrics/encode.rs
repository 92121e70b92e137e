//! Families as text in the OpenMetrics format, which Prometheus scrapes.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{self, Registry};

use super::family::{Family, Kind, Sample, Unit, Value};

/// Of what [`encode`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole exposition.
pub fn encode(families: &[Family]) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Gathered(families.to_vec())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text goes into memory");
    text
}

#[derive(Debug)]
struct Gathered(Vec<Family>);

impl Collector for Gathered {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.0.iter().try_for_each(|family| encode_family(family, &mut encoder))
    }
}

fn encode_family(family: &Family, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let unit = match family.unit {
        Unit::None => None,
        Unit::Seconds => Some(registry::Unit::Seconds),
        Unit::Bytes => Some(registry::Unit::Bytes),
    };
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let mut metric = encoder.encode_descriptor(&family.name, family.help, unit.as_ref(), kind)?;
    family.samples.iter().try_for_each(|sample| encode_sample(family.kind, sample, &mut metric))
}

fn encode_sample(kind: Kind, sample: &Sample, metric: &mut MetricEncoder) -> fmt::Result {
    let labels = labels(sample);
    if labels.is_empty() {
        encode_value(kind, &sample.value, metric)
    } else {
        encode_value(kind, &sample.value, &mut metric.encode_family(&labels)?)
    }
}

fn encode_value(kind: Kind, value: &Value, metric: &mut MetricEncoder) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Whole(value)) => metric.encode_counter::<NoLabelSet, _, u64>(value, None),
        (Kind::Counter, Value::Real(value)) => metric.encode_counter::<NoLabelSet, _, u64>(value, None),
        (_, Value::Whole(value)) => metric.encode_gauge(value),
        (_, Value::Real(value)) => metric.encode_gauge(value),
        (_, Value::Histogram { histogram, per_unit }) => {
            let bounds = histogram.bounds().iter().map(|bound| *bound as f64 / per_unit);
            let bounds = bounds.chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(histogram.counts().iter().copied()).collect();
            let sum = histogram.sum() as f64 / per_unit;
            metric.encode_histogram::<NoLabelSet>(sum, histogram.count(), &buckets, None)
        }
    }
}

fn labels(sample: &Sample) -> Vec<(&str, &str)> {
    sample.labels.iter().map(|(name, value)| (*name, value.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::family::Families;
    use super::super::histogram::Histogram;
    use super::*;

    #[test]
    fn the_text_is_as_the_format_wants_it() {
        let mut families = Families::default();
        families
            .begin(Kind::Counter, "frames", Unit::None, "Frames.")
            .add(&[("shard", "0"), ("odd", "a\"b\\c\nd")], 7);
        families.begin(Kind::Counter, "cpu", Unit::Seconds, "Time.").add(&[], 1.5);
        families.begin(Kind::Gauge, "memory", Unit::Bytes, "Memory.").add(&[], 1 << 40);
        let mut histogram = Histogram::new(&[100, 1_000]);
        [50, 1_000, 5_000_000].iter().for_each(|value| histogram.record(*value));
        let value = Value::Histogram { histogram, per_unit: 1e6 };
        families.begin(Kind::Histogram, "wait", Unit::Seconds, "Waiting.").add(&[("shard", "1")], value);
        let expected = r#"# HELP ringtalk_frames Frames.
# TYPE ringtalk_frames counter
ringtalk_frames_total{shard="0",odd="a\"b\\c\nd"} 7
# HELP ringtalk_cpu_seconds Time.
# TYPE ringtalk_cpu_seconds counter
# UNIT ringtalk_cpu_seconds seconds
ringtalk_cpu_seconds_total 1.5
# HELP ringtalk_memory_bytes Memory.
# TYPE ringtalk_memory_bytes gauge
# UNIT ringtalk_memory_bytes bytes
ringtalk_memory_bytes 1099511627776
# HELP ringtalk_wait_seconds Waiting.
# TYPE ringtalk_wait_seconds histogram
# UNIT ringtalk_wait_seconds seconds
ringtalk_wait_seconds_sum{shard="1"} 5.00105
ringtalk_wait_seconds_count{shard="1"} 3
ringtalk_wait_seconds_bucket{le="0.0001",shard="1"} 1
ringtalk_wait_seconds_bucket{le="0.001",shard="1"} 2
ringtalk_wait_seconds_bucket{le="+Inf",shard="1"} 3
# EOF
"#;
        assert_eq!(encode(&families.list), expected);
    }
}
