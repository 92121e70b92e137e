//! What is counted while a round runs.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::measure::{self, Latencies, STEP_NS};
use crate::report::model::{Point, Round};
use crate::usage::{self, Growth};

#[derive(Debug)]
pub(super) struct Tally {
    begin: Instant,
    ack: Latencies,
    delivery: Latencies,
    /// From when a message was due to when the load saw that it was: this part of its latency is the load's own.
    late: Histogram<u64>,
    unsent: u64,
    /// Set when the load ends: what had come by then, and what the load's thread had used.
    at_end: Option<(Duration, u64, u64, u64)>,
    pid: u32,
    /// Processor time of the server at the last step of its series, and when that was.
    cpu: (u64, u64),
    cores_used: Vec<Point>,
}

impl Tally {
    /// Of a round that begins now.
    pub(super) fn new(pid: u32) -> Result<Self> {
        Ok(Self {
            begin: Instant::now(),
            ack: Latencies::default(),
            delivery: Latencies::default(),
            late: measure::histogram(),
            unsent: 0,
            at_end: None,
            pid,
            cpu: (usage::cpu_ns(pid)?, 0),
            cores_used: Vec::new(),
        })
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    pub(super) fn on_ack(&mut self, intended_ns: u64) {
        let now_ns = self.now_ns();
        self.ack.record(now_ns, now_ns.saturating_sub(intended_ns));
    }

    pub(super) fn on_delivery(&mut self, intended_ns: u64) {
        let now_ns = self.now_ns();
        self.delivery.record(now_ns, now_ns.saturating_sub(intended_ns));
    }

    /// The load sees that a message is due.
    pub(super) fn on_due(&mut self, intended_ns: u64) {
        self.late.saturating_record(self.now_ns().saturating_sub(intended_ns));
    }

    /// A message was due and there was never room for it.
    pub(super) fn on_unsent(&mut self, intended_ns: u64) {
        self.unsent += 1;
        self.on_ack(intended_ns);
        self.on_delivery(intended_ns);
    }

    /// Time goes by; now and then the server's processor time is read.
    pub(super) fn on_turn(&mut self) -> Result<()> {
        let now_ns = self.now_ns();
        let (cpu_ns, at_ns) = self.cpu;
        if self.at_end.is_none() && now_ns >= at_ns + STEP_NS {
            let after = usage::cpu_ns(self.pid)?;
            let value = after.saturating_sub(cpu_ns) as f64 / (now_ns - at_ns) as f64;
            self.cores_used.push(Point { at_s: now_ns as f64 / 1e9, value });
            self.cpu = (after, now_ns);
        }
        Ok(())
    }

    /// The load ends; returns how long it ran. What comes from now on counts for latency and cost, not for rates.
    pub(super) fn end_load(&mut self, own_cpu_ns: u64) -> Duration {
        let elapsed = self.begin.elapsed();
        self.ack.pass(elapsed.as_nanos() as u64);
        self.delivery.pass(elapsed.as_nanos() as u64);
        self.at_end = Some((elapsed, self.ack.count(), self.delivery.count(), own_cpu_ns));
        elapsed
    }

    /// The figures. `growth` is what the server used until it was quiet.
    pub(super) fn into_round(self, elapsed: Duration, growth: &Growth) -> Round {
        let mut round = Round { seconds: elapsed.as_secs_f64(), ..Round::default() };
        let (_, acked, delivered, own_cpu_ns) = self.at_end.expect("the load has ended");
        let mut put = |name: &str, value: f64| round.values.insert(name.to_owned(), value);
        put("acked_per_s", acked as f64 / elapsed.as_secs_f64());
        put("delivered_per_s", delivered as f64 / elapsed.as_secs_f64());
        put("unsent_messages", self.unsent as f64);
        put("load_cpu_share", measure::share(own_cpu_ns, elapsed));
        if !self.late.is_empty() {
            put("load_late_p99_ns", self.late.value_at_quantile(0.99) as f64);
        }
        put("server_cores_used", mean(&self.cores_used));
        let delivered_in_all = self.delivery.count() - self.unsent;
        measure::put_usage(&mut round, growth, delivered_in_all, "message");
        self.ack.put_into(&mut round, "ack", "acked_per_s");
        self.delivery.put_into(&mut round, "delivery", "delivered_per_s");
        round.series.insert("server_cores_used".to_owned(), self.cores_used);
        round
    }
}

fn mean(points: &[Point]) -> f64 {
    points.iter().map(|point| point.value).sum::<f64>() / points.len().max(1) as f64
}
