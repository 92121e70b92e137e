//! What a run found, as text and as JSON.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

impl Latency {
    /// Of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max() as f64 / 1_000.0,
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Round {
    pub acked_per_s: f64,
    pub delivered_per_s: f64,
    pub ack: Latency,
    pub delivery: Latency,
    /// Processor time of all the node's threads, committers and store workers included.
    pub server_cpu_ns_per_message: f64,
    pub server_cores_used: f64,
    pub context_switches_per_message: f64,
    pub disk_bytes_per_message: f64,
}

#[derive(Debug, Serialize)]
pub struct Direct {
    pub scenario: &'static str,
    pub tls: bool,
    pub pairs: u32,
    pub window: Option<u16>,
    pub rate: Option<u32>,
    pub bytes: u32,
    pub seconds: u32,
    pub server_cores: String,
    pub load_core: usize,
    pub rounds: Vec<Round>,
}

/// The middle value of the rounds.
fn median(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Direct {
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).expect("plain numbers"));
            return;
        }
        let how = match (self.window, self.rate) {
            (Some(window), _) => format!("window {window}"),
            (_, Some(rate)) => format!("open loop {rate}/s"),
            _ => String::new(),
        };
        let protection = if self.tls { "TLS" } else { "plain" };
        println!("direct: {} pairs, {how}, {} bytes, {protection}", self.pairs, self.bytes);
        println!(
            "node on core {}, load on core {}; medians of {} rounds of {} s",
            self.server_cores,
            self.load_core,
            self.rounds.len(),
            self.seconds
        );
        let show = |name: &str, unit: &str, value: &dyn Fn(&Round) -> f64| {
            println!("  {name:<28}{:>12.1} {unit}", median(&self.rounds, value));
        };
        show("acked", "/s", &|round| round.acked_per_s);
        show("delivered", "/s", &|round| round.delivered_per_s);
        show("ack latency p50", "us", &|round| round.ack.p50_us);
        show("ack latency p99", "us", &|round| round.ack.p99_us);
        show("ack latency p99.9", "us", &|round| round.ack.p999_us);
        show("delivery latency p50", "us", &|round| round.delivery.p50_us);
        show("delivery latency p99", "us", &|round| round.delivery.p99_us);
        show("delivery latency p99.9", "us", &|round| round.delivery.p999_us);
        show("node processor time", "ns per message", &|round| round.server_cpu_ns_per_message);
        show("node processors used", "", &|round| round.server_cores_used);
        show("context switches", "per message", &|round| round.context_switches_per_message);
        show("written to disk", "bytes per message", &|round| round.disk_bytes_per_message);
    }
}

#[derive(Debug, Serialize)]
pub struct Idle {
    pub scenario: &'static str,
    pub tls: bool,
    pub sessions: u32,
    /// Anonymous memory of the node before and after, in bytes.
    pub before_bytes: u64,
    pub after_bytes: u64,
    pub bytes_per_session: f64,
}

impl Idle {
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).expect("plain numbers"));
            return;
        }
        let protection = if self.tls { "TLS" } else { "plain" };
        println!("idle: {} sessions, {protection}", self.sessions);
        println!(
            "  anonymous memory of the node: {} KiB before, {} KiB after: {:.0} bytes per session",
            self.before_bytes / 1024,
            self.after_bytes / 1024,
            self.bytes_per_session
        );
    }
}
