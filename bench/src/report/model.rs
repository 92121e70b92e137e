//! The report as data. Scenarios fill it; text, JSON, HTML, `compare` and `table` read it, and know no scenario by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::table::TableRow;

/// Rises with each change that an older reader would misread.
pub const REPORT_FORMAT: u32 = 1;

/// One invocation of `bench`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    pub format: u32,
    /// Commit of the sources; with a `+` behind it if they were changed since.
    pub commit: String,
    /// When it began, as `2026-01-31T12:00:00Z`.
    pub begun: String,
    pub machine: Machine,
    pub runs: Vec<Run>,
    /// What must be reached, with what was; empty if this invocation did not measure it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub table: Vec<TableRow>,
    /// What must be looked at before the figures are believed.
    pub warnings: Vec<String>,
}

/// Where it was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    pub memory_bytes: u64,
    pub kernel: String,
}

/// One scenario with one set of parameters, against one subject.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Run {
    /// Unique in the report, such as `direct, plain, window 16`.
    pub name: String,
    pub scenario: String,
    pub subject: Subject,
    pub parameters: BTreeMap<String, String>,
    /// In the order in which they ran; rounds of several runs may have been interleaved.
    pub rounds: Vec<Round>,
    pub warnings: Vec<String>,
}

/// What was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    #[default]
    Node,
    /// The raw relay with acknowledgement: the same socket ring, frames and connections, no logic.
    Relay,
    /// A part of the machine, such as fdatasync.
    Machine,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Round {
    pub seconds: f64,
    /// Single figures by name; a name says its unit last, such as `server_cpu_ns_per_message`. `WHOLE/PART` is a part of a
    /// figure, such as `server_cpu_ns_per_message/committer`.
    pub values: BTreeMap<String, f64>,
    /// Such as `ack` and `delivery`.
    pub latencies: BTreeMap<String, LatencyCurve>,
    /// Figures over the time of the round.
    pub series: BTreeMap<String, Vec<Point>>,
}

/// A figure at a time, in seconds since the round began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub at_s: f64,
    pub value: f64,
}

/// A latency distribution.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LatencyCurve {
    pub count: u64,
    pub mean_ns: f64,
    pub max_ns: u64,
    /// Rising quantiles, dense towards 1, each with its latency.
    pub points: Vec<Quantile>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    pub quantile: f64,
    pub ns: u64,
}

/// A figure over the rounds of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// `None` of nothing. Leaves out what is not a number.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        Some(Self {
            median: median(values.iter().copied())?,
            low: values.iter().copied().min_by(f64::total_cmp)?,
            high: values.iter().copied().max_by(f64::total_cmp)?,
        })
    }
}

/// The middle value, the mean of the middle two if their number is even. `None` of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

impl Run {
    /// The median over the rounds that have this figure.
    pub fn median(&self, name: &str) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| round.values.get(name).copied()))
    }

    /// A figure per message over all messages of all rounds that have it. Where a median leaves out the few rounds that paid for
    /// work put off by the others, this one does not.
    pub fn whole_per_message(&self, name: &str) -> Option<f64> {
        let (mut total, mut messages) = (0.0, 0.0);
        for round in &self.rounds {
            let Some(value) = round.values.get(name) else { continue };
            total += value * round.messages();
            messages += round.messages();
        }
        (messages > 0.0).then(|| total / messages)
    }

    /// The median over the rounds of a latency at a quantile, in nanoseconds.
    pub fn median_latency_ns(&self, name: &str, quantile: f64) -> Option<f64> {
        let at = |round: &Round| round.latencies.get(name).and_then(|curve| curve.at(quantile));
        median(self.rounds.iter().filter_map(at).map(|ns| ns as f64))
    }

    /// A figure over the rounds that have it.
    pub fn spread(&self, name: &str) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| round.values.get(name).copied()))
    }

    /// A latency at a quantile over the rounds, in nanoseconds.
    pub fn latency_spread_ns(&self, name: &str, quantile: f64) -> Option<Spread> {
        let at = |round: &Round| round.latencies.get(name).and_then(|curve| curve.at(quantile));
        Spread::of(self.rounds.iter().filter_map(at).map(|ns| ns as f64))
    }

    /// Smallest and largest over the rounds.
    pub fn range(&self, name: &str) -> Option<(f64, f64)> {
        let values = || self.rounds.iter().filter_map(|round| round.values.get(name).copied());
        Some((values().min_by(f64::total_cmp)?, values().max_by(f64::total_cmp)?))
    }
}

impl Round {
    /// Messages that were delivered. Those that were never sent are in the curve, but cost the server nothing.
    pub fn messages(&self) -> f64 {
        let delivered = self.latencies.get("delivery").map_or(0, |curve| curve.count) as f64;
        (delivered - self.values.get("unsent_messages").copied().unwrap_or(0.0)).max(0.0)
    }
}

impl LatencyCurve {
    /// Of a histogram of nanoseconds.
    pub fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        // 1, 2, 5, 10 ... of 10, 100, 1,000 ... parts are slower than that.
        let mut quantiles: Vec<f64> = (0..10).map(|tenth| f64::from(tenth) / 10.0).collect();
        for decade in 1..=5 {
            let slower = 0.1_f64.powi(decade);
            quantiles.extend([1.0, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15].map(|part| 1.0 - slower * part));
        }
        quantiles.sort_by(f64::total_cmp);
        quantiles.dedup();
        let points = quantiles
            .into_iter()
            .map(|quantile| Quantile { quantile, ns: histogram.value_at_quantile(quantile) })
            .collect();
        Self { count: histogram.len(), mean_ns: histogram.mean(), max_ns: histogram.max(), points }
    }

    /// Latency at a quantile, from the nearest point that is not below it. `None` without samples.
    pub fn at(&self, quantile: f64) -> Option<u64> {
        const SAME: f64 = 1e-9;
        if self.count == 0 {
            return None;
        }
        let point = self.points.iter().find(|point| point.quantile >= quantile - SAME);
        Some(point.map_or(self.max_ns, |point| point.ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn a_lump_in_one_round_is_in_the_whole_and_not_in_the_median() {
        let round = |messages: u64, unsent: f64, cost: f64| Round {
            values: [("cost".to_owned(), cost), ("unsent_messages".to_owned(), unsent)].into(),
            latencies: [("delivery".to_owned(), LatencyCurve { count: messages, ..LatencyCurve::default() })]
                .into(),
            ..Round::default()
        };
        let run = Run {
            rounds: vec![round(100, 0.0, 2.0), round(100, 0.0, 2.0), round(300, 100.0, 11.0)],
            ..Run::default()
        };
        assert_eq!(run.median("cost"), Some(2.0));
        assert_eq!(run.whole_per_message("cost"), Some((200.0 + 200.0 + 2_200.0) / 400.0));
        assert_eq!(run.whole_per_message("another"), None);
        assert_eq!(Run::default().whole_per_message("cost"), None);
    }

    #[test]
    fn a_curve_answers_the_quantiles_of_its_histogram() {
        let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1_000_000, 3).unwrap();
        (1..=1_000).for_each(|ns| histogram.record(ns).unwrap());
        let curve = LatencyCurve::of(&histogram);
        for quantile in [0.5, 0.9, 0.99, 0.999] {
            assert_eq!(curve.at(quantile), Some(histogram.value_at_quantile(quantile)), "at {quantile}");
        }
        assert_eq!(LatencyCurve::default().at(0.5), None);
    }
}
