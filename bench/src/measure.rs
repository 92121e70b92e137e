//! From what was counted to the figures of a round.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::model::{LatencyCurve, Point, Round};
use crate::usage::Growth;

/// Longest latency that is told apart from longer ones.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Length of a step of a series.
pub const STEP_NS: u64 = 100_000_000;
/// Above this share of its core's time the load is the bottleneck of a closed loop.
pub const LOAD_SHARE_MAX: f64 = 0.95;

/// Of latencies in nanoseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("valid bounds")
}

/// Latencies of one kind, in all and by step of time.
#[derive(Debug)]
pub struct Latencies {
    all: Histogram<u64>,
    step: Histogram<u64>,
    step_end_ns: u64,
    counts: Vec<Point>,
    p99s: Vec<Point>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            all: histogram(),
            step: histogram(),
            step_end_ns: STEP_NS,
            counts: Vec::new(),
            p99s: Vec::new(),
        }
    }
}

impl Latencies {
    /// `at_ns` counts from the beginning of the round and never falls.
    pub fn record(&mut self, at_ns: u64, latency_ns: u64) {
        self.pass(at_ns);
        self.all.saturating_record(latency_ns);
        self.step.saturating_record(latency_ns);
    }

    /// Time goes by.
    pub fn pass(&mut self, at_ns: u64) {
        while at_ns >= self.step_end_ns {
            let at_s = self.step_end_ns as f64 / 1e9;
            self.counts.push(Point { at_s, value: self.step.len() as f64 * 1e9 / STEP_NS as f64 });
            if !self.step.is_empty() {
                let value = self.step.value_at_quantile(0.99) as f64;
                self.p99s.push(Point { at_s, value });
                self.step.reset();
            }
            self.step_end_ns += STEP_NS;
        }
    }

    pub fn count(&self) -> u64 {
        self.all.len()
    }

    /// Puts the curve and the series into a round: `what_p99_ns`, and `rate` per second.
    pub fn put_into(self, round: &mut Round, what: &str, rate: &str) {
        round.latencies.insert(what.to_owned(), LatencyCurve::of(&self.all));
        round.series.insert(format!("{what}_p99_ns"), self.p99s);
        round.series.insert(rate.to_owned(), self.counts);
    }
}

/// What the server used, each for one `unit` of which there were `count`.
pub fn put_usage(round: &mut Round, growth: &Growth, count: u64, unit: &str) {
    let each = |total: u64| total as f64 / count.max(1) as f64;
    let mut put = |name: String, value: f64| round.values.insert(name, value);
    let total = &growth.total;
    put(format!("server_cpu_ns_per_{unit}"), each(total.cpu_ns));
    for (group, cpu_ns) in growth.cpu_ns_by_group.iter().filter(|(_, cpu_ns)| **cpu_ns > 0) {
        put(format!("server_cpu_ns_per_{unit}/{group}"), each(*cpu_ns));
    }
    if total.user_ns + total.system_ns > 0 {
        // The system counts these two in coarse steps: their share of the exact time is told.
        let exact = total.cpu_ns as f64 / (total.user_ns + total.system_ns) as f64;
        put(format!("server_user_ns_per_{unit}"), each(total.user_ns) * exact);
        put(format!("server_system_ns_per_{unit}"), each(total.system_ns) * exact);
    }
    put(format!("voluntary_switches_per_{unit}"), each(total.voluntary_switches));
    put(format!("involuntary_switches_per_{unit}"), each(total.involuntary_switches));
    put(format!("disk_bytes_per_{unit}"), each(growth.disk_bytes));
}

/// The share of wall time that the load's thread was on a processor.
pub fn share(cpu_ns: u64, wall: Duration) -> f64 {
    cpu_ns as f64 / wall.as_nanos().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Counted;

    #[test]
    fn a_series_has_a_point_for_each_step_even_an_empty_one() {
        let mut latencies = Latencies::default();
        latencies.record(1, 500);
        latencies.record(STEP_NS - 1, 700);
        latencies.record(3 * STEP_NS, 900);
        latencies.pass(4 * STEP_NS);
        let mut round = Round::default();
        assert_eq!(latencies.count(), 3);
        latencies.put_into(&mut round, "ack", "acked_per_s");
        let counts: Vec<f64> = round.series["acked_per_s"].iter().map(|point| point.value).collect();
        assert_eq!(counts, [20.0, 0.0, 0.0, 10.0]);
        assert_eq!(round.series["ack_p99_ns"].len(), 2, "no latency where nothing came");
        assert_eq!(round.latencies["ack"].count, 3);
    }

    #[test]
    fn user_and_system_time_add_up_to_the_exact_time() {
        let total = Counted {
            cpu_ns: 1_000,
            user_ns: 3_000,
            system_ns: 1_000,
            voluntary_switches: 4,
            ..Counted::default()
        };
        let groups = [("core".to_owned(), 800), ("store".to_owned(), 200)];
        let growth = Growth { total, cpu_ns_by_group: groups.into(), disk_bytes: 50 };
        let mut round = Round::default();
        put_usage(&mut round, &growth, 10, "message");
        assert_eq!(round.values["server_cpu_ns_per_message"], 100.0);
        assert_eq!(round.values["server_cpu_ns_per_message/core"], 80.0);
        assert_eq!(round.values["server_user_ns_per_message"], 75.0);
        assert_eq!(round.values["server_system_ns_per_message"], 25.0);
        assert_eq!(round.values["voluntary_switches_per_message"], 0.4);
        assert_eq!(round.values["disk_bytes_per_message"], 5.0);
    }
}
