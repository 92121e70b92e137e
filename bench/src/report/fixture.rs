//! Reports with figures such as real runs have, for the tests of their forms.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::model::*;
use super::table::TableRow;

const SERVER_CPU: &str = "server_cpu_ns_per_message";

fn empty() -> Report {
    Report {
        format: REPORT_FORMAT,
        commit: "5c5aedf2b6f0".into(),
        begun: "2026-11-24T11:02:33Z".into(),
        machine: Machine {
            processor: "AMD EPYC 7B13".into(),
            processors: 2,
            memory_bytes: 25_233_588_224,
            kernel: "Linux 6.1.0-28-amd64".into(),
        },
        ..Report::default()
    }
}

pub fn run(subject: Subject, name: &str, parameters: &[(&str, &str)], rounds: Vec<Round>) -> Run {
    Run {
        name: name.into(),
        scenario: name.split(',').next().unwrap_or_default().into(),
        subject,
        parameters: parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        rounds,
        warnings: Vec::new(),
    }
}

pub fn values(values: &[(&str, f64)]) -> BTreeMap<String, f64> {
    values.iter().map(|(name, value)| (name.to_string(), *value)).collect()
}

/// A node beside its relay, every figure written out.
pub fn small() -> Report {
    let round = |cpu: f64, rate: f64, slowest_ns: u64| {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        (1..=1_000).for_each(|step| histogram.record(slowest_ns / 1_000 * step).unwrap());
        Round {
            seconds: 10.0,
            values: values(&[
                (SERVER_CPU, cpu),
                ("server_cpu_ns_per_message/committer", cpu * 0.25),
                ("server_cpu_ns_per_message/shard-0", cpu * 0.75),
                ("acked_per_s", rate),
                ("disk_bytes_per_message", 512.0),
            ]),
            latencies: BTreeMap::from([("ack".into(), LatencyCurve::of(&histogram))]),
            series: BTreeMap::new(),
        }
    };
    let parameters = [("pairs", "200"), ("window", "16"), ("bytes", "128")];
    let node = vec![
        round(4_000.0, 210_000.0, 9_000_000),
        round(4_200.0, 200_000.0, 8_000_000),
        round(4_400.0, 190_000.0, 12_000_000),
    ];
    let mut relay = vec![round(1_000.0, 820_000.0, 2_000_000), round(1_050.0, 800_000.0, 2_000_000)];
    relay
        .iter_mut()
        .for_each(|round| round.values.retain(|name, _| !name.contains("disk") && !name.contains('/')));
    let mut node = run(Subject::Node, "direct, plain, window 16", &parameters, node);
    node.warnings.push("the load used 97 % of its core".into());
    Report {
        runs: vec![node, run(Subject::Relay, "relay, window 16", &parameters, relay)],
        table: vec![TableRow::lower("server CPU per message, plain", Some(4.0), 12.0, 4.0)],
        ..empty()
    }
}

/// How a run of messages behaves.
#[derive(Clone, Copy)]
struct Load {
    per_s: f64,
    ack_ns: f64,
    /// Threads and the time each takes for a message.
    threads: &'static [(&'static str, f64)],
    series: bool,
}

const RELAY: Load = Load { per_s: 812_000.0, ack_ns: 3.4e6, threads: &[("relay", 1_180.0)], series: true };
const NODE: Load = Load {
    per_s: 184_000.0,
    ack_ns: 14.0e6,
    threads: &[
        ("shard-0", 3_350.0),
        ("committer", 920.0),
        ("fjall worker", 610.0),
        ("io-wq", 180.0),
        ("main", 14.0),
    ],
    series: true,
};

/// A histogram with a body and a heavier tail.
fn latencies(random: &mut StdRng, typical_ns: f64) -> LatencyCurve {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for _ in 0..4_000 {
        let uniform: f64 = random.random_range(1e-5..1.0_f64);
        let body = 0.55 + 0.25 * -uniform.ln();
        let tail = if random.random_bool(0.004) { random.random_range(2.0..5.0) } else { 1.0 };
        histogram.record((typical_ns * body * tail) as u64).unwrap();
    }
    LatencyCurve::of(&histogram)
}

fn series(random: &mut StdRng, middle: f64, spread: f64) -> Vec<Point> {
    let mut point = |step: u32| Point {
        at_s: f64::from(step) / 2.0,
        value: middle * random.random_range(1.0 - spread..1.0 + spread),
    };
    (1..=20).map(&mut point).collect()
}

fn messages(seed: u64, load: Load) -> Vec<Round> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut round = || {
        let luck = random.random_range(0.96..1.05);
        let mut figures = values(&[
            ("acked_per_s", load.per_s / luck),
            ("delivered_per_s", load.per_s / luck * 0.999),
            ("context_switches_per_message", 0.021 * luck),
        ]);
        let cpu: f64 = load.threads.iter().map(|(_, ns)| ns * luck).sum();
        figures.insert(SERVER_CPU.into(), cpu);
        figures.extend(load.threads.iter().map(|(name, ns)| (format!("{SERVER_CPU}/{name}"), ns * luck)));
        if load.threads.len() > 1 {
            figures.insert("disk_bytes_per_message".into(), 431.0 * luck);
            figures.insert("store_bytes_per_message".into(), 205.0);
        }
        let over_time = [
            ("delivered_per_s", load.per_s, 0.06),
            ("ack_p99_ns", load.ack_ns * 1.7, 0.25),
            ("delivery_p99_ns", load.ack_ns * 1.9, 0.3),
        ];
        let series =
            over_time.map(|(name, middle, spread)| (name.to_string(), series(&mut random, middle, spread)));
        Round {
            seconds: 10.0,
            values: figures,
            latencies: BTreeMap::from([
                ("ack".into(), latencies(&mut random, load.ack_ns * luck)),
                ("delivery".into(), latencies(&mut random, load.ack_ns * 1.1 * luck)),
            ]),
            series: if load.series { BTreeMap::from(series) } else { BTreeMap::new() },
        }
    };
    (0..5).map(|_| round()).collect()
}

/// What a full run has: every plot has something to show.
pub fn full() -> Report {
    static FULL: LazyLock<Report> = LazyLock::new(measured);
    FULL.clone()
}

fn measured() -> Report {
    let mut runs = directs();
    runs.extend(sweep());
    runs.extend(idles());
    runs.extend(others());
    Report {
        runs,
        table: rows(),
        warnings: vec!["the sources were changed since the commit".into()],
        ..empty()
    }
}

fn directs() -> Vec<Run> {
    let common = [("pairs", "200"), ("bytes", "128")];
    let with = |more: &[(&'static str, &'static str)]| [&common[..], more].concat();
    let tls_node = Load {
        per_s: 131_000.0,
        ack_ns: 19.0e6,
        threads: &[
            ("shard-0", 5_200.0),
            ("committer", 940.0),
            ("fjall worker", 640.0),
            ("io-wq", 170.0),
            ("main", 14.0),
        ],
        ..NODE
    };
    let narrow_node = Load {
        per_s: 61_000.0,
        ack_ns: 2.9e6,
        threads: &[("shard-0", 7_900.0), ("committer", 2_100.0), ("fjall worker", 700.0)],
        ..NODE
    };
    let narrow_relay = Load { per_s: 152_000.0, ack_ns: 1.2e6, threads: &[("relay", 5_900.0)], ..RELAY };
    let half = Load { per_s: 92_000.0, ack_ns: 1.9e6, ..NODE };
    let server = ("server_cores", "0");
    vec![
        run(
            Subject::Node,
            "direct, plain, window 16",
            &with(&[("window", "16"), ("tls", "no"), server]),
            messages(1, NODE),
        ),
        run(Subject::Relay, "relay, window 16", &with(&[("window", "16")]), messages(2, RELAY)),
        run(
            Subject::Node,
            "direct, TLS, window 16",
            &with(&[("window", "16"), ("tls", "yes"), server]),
            messages(3, tls_node),
        ),
        run(
            Subject::Node,
            "direct, plain, window 1",
            &with(&[("window", "1"), ("tls", "no"), server]),
            messages(4, narrow_node),
        ),
        run(Subject::Relay, "relay, window 1", &with(&[("window", "1")]), messages(5, narrow_relay)),
        run(
            Subject::Node,
            "direct, plain, half the top rate",
            &with(&[("rate", "92000"), ("tls", "no"), server]),
            messages(6, half),
        ),
    ]
}

fn sweep() -> Vec<Run> {
    let rates = [10_000.0, 40_000.0, 80_000.0, 120_000.0, 150_000.0, 170_000.0, 180_000.0, 190_000.0];
    let step = |(index, rate): (usize, f64)| {
        let load = Load {
            per_s: rate,
            ack_ns: 1.6e6 + 3.0e6 / (1.05 - rate / 190_000.0).max(0.05),
            series: false,
            ..NODE
        };
        let rate = format!("{rate:.0}");
        let parameters = [
            ("pairs", "200"),
            ("bytes", "128"),
            ("rate", rate.as_str()),
            ("bound_us", "50000"),
            ("tls", "no"),
        ];
        run(Subject::Node, &format!("sweep, plain, {rate}/s"), &parameters, messages(20 + index as u64, load))
    };
    rates.into_iter().enumerate().map(step).collect()
}

fn idles() -> Vec<Run> {
    let idle = |name: &str, tls: &str, node: f64, kernel: f64| {
        let round = |luck: f64| Round {
            seconds: 20.0,
            values: values(&[
                ("user_bytes_per_session", node * luck),
                ("kernel_bytes_per_session", kernel * luck),
                ("before_bytes", 9.0e7),
            ]),
            ..Round::default()
        };
        run(
            Subject::Node,
            name,
            &[("sessions", "15000"), ("tls", tls)],
            vec![round(0.98), round(1.0), round(1.03)],
        )
    };
    let relay = Round {
        seconds: 20.0,
        values: values(&[("user_bytes_per_session", 142.0), ("kernel_bytes_per_session", 3_600.0)]),
        ..Round::default()
    };
    vec![
        idle("idle, plain", "no", 655.0, 3_640.0),
        idle("idle, TLS", "yes", 4_810.0, 3_700.0),
        run(Subject::Relay, "relay, idle", &[("sessions", "15000")], vec![relay]),
    ]
}

fn others() -> Vec<Run> {
    let logins = |per_s: f64, cpu: f64| Round {
        seconds: 10.0,
        values: values(&[("logins_per_s", per_s), ("server_cpu_ns_per_login", cpu)]),
        ..Round::default()
    };
    let mut random = StdRng::seed_from_u64(77);
    let fdatasync = Round {
        seconds: 5.0,
        values: values(&[("fdatasync_per_s", 1_430.0)]),
        latencies: BTreeMap::from([("fdatasync".into(), latencies(&mut random, 0.7e6))]),
        series: BTreeMap::new(),
    };
    let mut runs = vec![
        run(
            Subject::Node,
            "login-storm, tickets, plain",
            &[("tls", "no")],
            vec![logins(24_100.0, 38_000.0), logins(25_800.0, 36_400.0)],
        ),
        run(
            Subject::Node,
            "login-storm, full, TLS",
            &[("tls", "yes")],
            vec![logins(1_780.0, 540_000.0), logins(1_830.0, 533_000.0)],
        ),
        run(Subject::Machine, "fdatasync of the same bytes", &[("bytes", "4096")], vec![fdatasync]),
    ];
    for (sessions, cpu) in [("1000", 4_900.0), ("4000", 5_100.0), ("15000", 5_350.0)] {
        let round = |luck: f64| Round {
            seconds: 10.0,
            values: values(&[(SERVER_CPU, cpu * luck)]),
            ..Round::default()
        };
        runs.push(run(
            Subject::Node,
            &format!("scale, {sessions} sessions"),
            &[("sessions", sessions), ("window", "16")],
            vec![round(0.97), round(1.0), round(1.02)],
        ));
    }
    runs
}

fn rows() -> Vec<TableRow> {
    vec![
        TableRow::lower("server CPU per message, window 16, plain", Some(4.3), 12.0, 4.0),
        TableRow::lower("server CPU per message, window 16, TLS", Some(5.9), 15.0, 6.0),
        TableRow::lower("server CPU per message, window 1, plain", Some(1.81), 2.5, 1.5),
        TableRow::lower(
            "ack latency p99 at half the top rate, over fdatasync p99 after 1 ms",
            Some(2.4),
            2.0,
            1.0,
        ),
        TableRow::lower(
            "delivery latency p99.9 at half the top rate, over fdatasync p99.9 after 2 ms",
            None,
            2.0,
            1.0,
        ),
        TableRow::lower("idle session, plain, bytes", Some(655.0), 1_024.0, 512.0),
        TableRow::lower("idle session, TLS, bytes", Some(4_810.0), 5_120.0, 4_096.0),
        TableRow::higher(
            "logins with resume tickets, plain, per s and core",
            Some(24_900.0),
            10_000.0,
            30_000.0,
        ),
        TableRow::higher("full logins, TLS, per s and core", Some(1_800.0), 2_000.0, 5_000.0),
        TableRow::lower("cost from 1,000 to 15,000 sessions", Some(1.09), 1.2, 1.05),
    ]
}

/// What `text` must be. With `GOLDEN=DIR` in the environment a text that differs is also written there, to be looked at and kept.
#[track_caller]
pub fn assert_golden(name: &str, text: &str, expected: &str) {
    if let Some(folder) = std::env::var_os("GOLDEN").filter(|_| text != expected) {
        std::fs::write(std::path::Path::new(&folder).join(name), text).unwrap();
    }
    assert_eq!(text, expected, "{name}");
}
