//! From runs to rows.

use super::Row;
use super::groups::HALF_RATE;
use crate::report::TableRow;
use crate::report::model::{Run, Subject};

const CPU: &str = "server_cpu_ns_per_message";
const CORE_RATE: &str = "server_core_sessions_per_s";
const MS: f64 = 1e6;

/// The row as far as these runs have what it needs.
pub(super) fn row(row: Row, runs: &[Run]) -> TableRow {
    let runs = Runs(runs);
    match row {
        Row::CpuPlain => {
            let name = "private chat, window 16, plain: CPU per message, x relay";
            TableRow::lower(name, runs.over_relay("false", "16"), 12.0, 4.0)
        }
        Row::CpuTls => {
            let name = "private chat, window 16, TLS: CPU per message, x plain relay";
            TableRow::lower(name, runs.over_relay("true", "16"), 15.0, 6.0)
        }
        Row::CpuOne => {
            let name = "private chat, window 1, plain: CPU per message, x relay";
            TableRow::lower(name, runs.over_relay("false", "1"), 2.5, 1.5)
        }
        Row::AckLatency => {
            let latency = Latency { what: "ack", quantile: 0.99, floor_ms: 1.0 };
            latency.row("ack p99 at half the top rate, x (2 x fdatasync p99 + 1 ms)", &runs)
        }
        Row::DeliveryLatency => {
            let latency = Latency { what: "delivery", quantile: 0.999, floor_ms: 2.0 };
            latency.row("delivery p99.9 at half the top rate, x (2 x fdatasync p99.9 + 2 ms)", &runs)
        }
        Row::IdlePlain => {
            TableRow::lower("idle session, plain: user memory, KiB", runs.idle_kib("false"), 1.0, 0.5)
        }
        Row::IdleTls => {
            TableRow::lower("idle session, TLS: user memory, KiB", runs.idle_kib("true"), 5.0, 4.0)
        }
        Row::LoginTickets => {
            let rate = runs.find("login-storm", &[("tls", "false")]).and_then(|run| run.median(CORE_RATE));
            TableRow::higher("login storm, tickets, plain: sessions/s per core", rate, 10_000.0, 30_000.0)
        }
        Row::LoginWhole => {
            let rate = runs.find("login-storm", &[("tls", "true")]).and_then(|run| run.median(CORE_RATE));
            TableRow::higher("whole logins, TLS: sessions/s per core", rate, 2_000.0, 5_000.0)
        }
        Row::Sessions => runs.growth("sessions"),
        Row::Stored => runs.growth("stored"),
    }
}

struct Runs<'a>(&'a [Run]);

impl Runs<'_> {
    /// The node's run of a scenario with these parameters, if not the machine's.
    fn find(&self, scenario: &str, parameters: &[(&str, &str)]) -> Option<&Run> {
        self.of(Subject::Node, scenario, parameters)
    }

    fn of(&self, subject: Subject, scenario: &str, parameters: &[(&str, &str)]) -> Option<&Run> {
        let fits = |run: &&Run| {
            run.subject == subject
                && run.scenario == scenario
                && parameters.iter().all(|(key, value)| run.parameters.get(*key).is_some_and(|v| v == value))
        };
        self.0.iter().find(fits)
    }

    /// Cost at the node over cost at the plain relay.
    fn over_relay(&self, tls: &str, window: &str) -> Option<f64> {
        let node = self.find("direct", &[("tls", tls), ("window", window)])?.median(CPU)?;
        let relay = self.of(Subject::Relay, "direct", &[("tls", "false"), ("window", window)])?;
        Some(node / relay.median(CPU)?)
    }

    fn idle_kib(&self, tls: &str) -> Option<f64> {
        Some(self.find("idle", &[("tls", tls)])?.median("user_bytes_per_session")? / 1_024.0)
    }

    /// Cost with the most of something over cost with the least.
    fn growth(&self, what: &str) -> TableRow {
        let mut found: Vec<(u64, &Run)> = self
            .0
            .iter()
            .filter(|run| run.scenario == what)
            .filter_map(|run| Some((run.parameters.get(what)?.parse().ok()?, run)))
            .collect();
        found.sort_by_key(|(count, _)| *count);
        let noun = if what == "stored" { "messages stored" } else { what };
        let (name, ratio) = match found[..] {
            [(few, cheap), .., (many, dear)] => (
                format!("CPU per message, {many} {noun}, x that with {few}"),
                dear.median(CPU).zip(cheap.median(CPU)).map(|(dear, cheap)| dear / cheap),
            ),
            _ => (format!("CPU per message, many {noun}, x that with few"), None),
        };
        TableRow::lower(name, ratio, 1.2, 1.05)
    }
}

/// A latency at half the top rate, whose bound follows from the disk.
struct Latency {
    what: &'static str,
    quantile: f64,
    /// The floor is twice the disk's latency and so much, the aim once the disk's latency and 1 ms.
    floor_ms: f64,
}

impl Latency {
    /// Latency and aim are told in parts of the floor.
    fn row(&self, name: &str, runs: &Runs<'_>) -> TableRow {
        let measured = || {
            let latency = runs.find(HALF_RATE, &[])?.median_latency_ns(self.what, self.quantile)?;
            let disk = runs.of(Subject::Machine, "fdatasync", &[])?;
            Some((latency, disk.median_latency_ns("fdatasync", self.quantile)?))
        };
        let Some((latency_ns, disk_ns)) = measured() else { return TableRow::lower(name, None, 1.0, 1.0) };
        let floor_ns = 2.0 * disk_ns + self.floor_ms * MS;
        TableRow::lower(name, Some(latency_ns / floor_ns), 1.0, (disk_ns + MS) / floor_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::{LatencyCurve, Quantile, Round};
    use crate::scenario::parameters;

    fn run(subject: Subject, scenario: &str, keys: &[(&str, &str)], values: &[(&str, f64)]) -> Run {
        let mut round = Round::default();
        round.values.extend(values.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        Run {
            subject,
            scenario: scenario.to_owned(),
            parameters: keys.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            rounds: vec![round],
            ..Run::default()
        }
    }

    fn with_latency(mut run: Run, name: &str, quantile: f64, ms: f64) -> Run {
        let ns = (ms * MS) as u64;
        let curve = LatencyCurve {
            count: 1,
            max_ns: ns,
            points: vec![Quantile { quantile, ns }],
            ..Default::default()
        };
        run.rounds[0].latencies.insert(name.to_owned(), curve);
        run
    }

    #[test]
    fn cost_is_over_the_plain_relay_of_the_same_window() {
        let cpu = |subject, tls, window, ns| {
            run(subject, "direct", &[("tls", tls), ("window", window)], &[(CPU, ns)])
        };
        let runs = [
            cpu(Subject::Node, "false", "16", 900.0),
            cpu(Subject::Node, "true", "16", 1_500.0),
            cpu(Subject::Relay, "true", "16", 200.0),
            cpu(Subject::Relay, "false", "16", 100.0),
            cpu(Subject::Node, "false", "1", 3_000.0),
            cpu(Subject::Relay, "false", "1", 1_000.0),
        ];
        let of = |which| row(which, &runs);
        assert_eq!((of(Row::CpuPlain).ratio, of(Row::CpuPlain).pass), (Some(9.0), true));
        assert_eq!((of(Row::CpuTls).ratio, of(Row::CpuTls).pass), (Some(15.0), true));
        assert_eq!((of(Row::CpuOne).ratio, of(Row::CpuOne).pass), (Some(3.0), false));
        assert_eq!(row(Row::CpuPlain, &runs[..3]).ratio, None, "without a relay nothing is told");
    }

    #[test]
    fn latency_is_over_the_bound_that_follows_from_the_disk() {
        let half = with_latency(run(Subject::Node, HALF_RATE, &[], &[]), "ack", 0.99, 9.0);
        let disk = with_latency(run(Subject::Machine, "fdatasync", &[], &[]), "fdatasync", 0.99, 4.0);
        let ack = row(Row::AckLatency, &[half.clone(), disk]);
        assert_eq!((ack.ratio, ack.floor, ack.pass), (Some(1.0), 1.0, true));
        assert!((ack.aim - 5.0 / 9.0).abs() < 1e-9);
        assert!(!row(Row::AckLatency, &[half]).pass, "without the disk nothing is passed");
    }

    #[test]
    fn growth_is_that_of_the_most_over_the_least() {
        let of = |stored: &str, ns| {
            let parameters = parameters([("stored", stored.to_owned())]);
            Run { parameters, ..run(Subject::Node, "stored", &[], &[(CPU, ns)]) }
        };
        let grown = row(Row::Stored, &[of("10000000", 130.0), of("1000000", 100.0)]);
        assert_eq!((grown.ratio, grown.pass), (Some(1.3), false));
        assert!(grown.name.contains("10000000") && grown.name.contains("with 1000000"));
        assert_eq!(row(Row::Stored, &[of("1000", 1.0)]).ratio, None);
    }

    #[test]
    fn plain_figures_are_told_in_their_own_units() {
        let idle = run(Subject::Node, "idle", &[("tls", "false")], &[("user_bytes_per_session", 512.0)]);
        assert_eq!(row(Row::IdlePlain, &[idle]).ratio, Some(0.5));
        let storm = run(Subject::Node, "login-storm", &[("tls", "true")], &[(CORE_RATE, 1_999.0)]);
        let whole = row(Row::LoginWhole, &[storm]);
        assert_eq!((whole.ratio, whole.pass), (Some(1_999.0), false));
    }
}
