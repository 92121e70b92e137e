//! From runs to rows.

use super::Row;
use super::groups::{HALF_RATE, IDLE_CONTACTS};
use crate::relations::CONTACTS;
use crate::report::model::{Run, Subject};
use crate::report::{TableRow, unit};
use crate::scenario::idle;

const CPU: &str = "server_cpu_ns_per_message";
const CORE_RATE: &str = "server_core_sessions_per_s";
const QUIET: &str = "quiet_after_round";
const MS: f64 = 1e6;
const KIB: f64 = 1_024.0;

/// The row as far as these runs have what it needs.
pub(super) fn row(row: Row, runs: &[Run]) -> TableRow {
    let runs = Runs(runs);
    match row {
        Row::CpuPlain => {
            let name = "private chat, window 16, plain: CPU per message, x relay";
            runs.over_relay(name, "false", "16", [12.0, 4.0])
        }
        Row::CpuTls => {
            let name = "private chat, window 16, TLS: CPU per message, x plain relay";
            runs.over_relay(name, "true", "16", [15.0, 6.0])
        }
        Row::CpuOne => {
            let name = "private chat, window 1, plain: CPU per message, x relay";
            runs.over_relay(name, "false", "1", [2.5, 1.5])
        }
        Row::AckLatency => {
            let latency = Latency { what: "ack", quantile: 0.99, floor_ms: 1.0 };
            latency.row("ack p99 at half the top rate held, x (2 x fdatasync p99 + 1 ms)", &runs)
        }
        Row::DeliveryLatency => {
            let latency = Latency { what: "delivery", quantile: 0.999, floor_ms: 2.0 };
            latency.row("delivery p99.9 at half the top rate held, x (2 x fdatasync p99.9 + 2 ms)", &runs)
        }
        Row::IdlePlain => {
            let kib = runs.idle_bytes("false").map(|bytes| bytes / KIB);
            TableRow::lower_or_why("idle session, plain: user memory, KiB", kib, 1.0, 0.5)
        }
        Row::IdleTls => {
            let kib = runs.idle_bytes("true").map(|bytes| bytes / KIB);
            TableRow::lower_or_why("idle session, TLS: user memory, KiB", kib, 5.0, 4.0)
        }
        Row::IdleContacts => runs.idle_with_contacts(),
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

/// What a message cost the server in a run: all of it over all messages, and the median of rounds.
struct Cost {
    whole_ns: f64,
    median_ns: f64,
}

impl Cost {
    /// # Errors
    /// If the run has no such figure, or the server was still busy when the last round ended: what it has put off is not counted
    /// then.
    fn of(run: Option<&Run>) -> Result<Self, String> {
        let run = run.ok_or("no such run")?;
        let quiet = run.rounds.last().and_then(|round| round.values.get(QUIET)).copied();
        if quiet == Some(0.0) {
            return Err(format!(
                "{}: the server was busy long after the load, and merges are not all counted",
                run.name
            ));
        }
        let (whole_ns, median_ns) = run
            .whole_per_message(CPU)
            .zip(run.median(CPU))
            .ok_or_else(|| format!("{}: no cost", run.name))?;
        Ok(Self { whole_ns, median_ns })
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

    /// Cost at the node over cost at the plain relay, merges included; beside it the medians of rounds, which leave out what
    /// comes in lumps. `reach` is the floor and the aim.
    fn over_relay(&self, name: &str, tls: &str, window: &str, reach: [f64; 2]) -> TableRow {
        let node = Cost::of(self.find("direct", &[("tls", tls), ("window", window)]));
        let relay = Cost::of(self.of(Subject::Relay, "direct", &[("tls", "false"), ("window", window)]));
        ratio_row(name, relay, node, reach)
    }

    /// Bytes of an idle session without contacts.
    fn idle_bytes(&self, tls: &str) -> Result<f64, String> {
        idle::bytes_per_session(self.find("idle", &[("tls", tls)]).ok_or("no such run")?)
    }

    fn idle_with_contacts(&self) -> TableRow {
        let runs = || self.0.iter().filter(|run| run.scenario == IDLE_CONTACTS);
        let is_without = |run: &&Run| run.parameters.get("contacts").is_some_and(|count| count == "0");
        let bytes = |run: Option<&Run>| idle::bytes_per_session(run.ok_or("no such run")?);
        let without = bytes(runs().find(is_without));
        let with = bytes(runs().find(|run| !is_without(run)));
        let note =
            without.clone().and_then(|without| Ok(format!("{without:.0} -> {:.0} bytes", with.clone()?)));
        let ratio = without.and_then(|without| Ok(with? / without));
        let row = TableRow::lower_or_why(
            format!("idle session, plain, {CONTACTS} contacts per user: user memory, x that without"),
            ratio,
            1.5,
            1.25,
        );
        row.noted(note.unwrap_or_default())
    }

    /// Cost with the most of something over cost with the least, merges included.
    fn growth(&self, what: &str) -> TableRow {
        let mut found: Vec<(u64, &Run)> = self
            .0
            .iter()
            .filter(|run| run.scenario == what)
            .filter_map(|run| Some((run.parameters.get(what)?.parse().ok()?, run)))
            .collect();
        found.sort_by_key(|(count, _)| *count);
        let noun = if what == "stored" { "messages stored" } else { what };
        let reach = [1.2, 1.05];
        match found[..] {
            [(few, cheap), .., (many, dear)] => {
                let name = format!("CPU per message, {many} {noun}, x that with {few}");
                ratio_row(&name, Cost::of(Some(cheap)), Cost::of(Some(dear)), reach)
            }
            _ => {
                let name = format!("CPU per message, many {noun}, x that with few");
                TableRow::lower_or_why(name, Err("no such runs".to_owned()), reach[0], reach[1])
            }
        }
    }
}

/// One cost over another: the whole of it, and the median of rounds as a note.
fn ratio_row(
    name: &str,
    base: Result<Cost, String>,
    cost: Result<Cost, String>,
    reach: [f64; 2],
) -> TableRow {
    let [floor, aim] = reach;
    match base.and_then(|base| Ok((base, cost?))) {
        Ok((base, cost)) => {
            let row = TableRow::lower(name, Some(cost.whole_ns / base.whole_ns), floor, aim);
            let median = unit::plain(cost.median_ns / base.median_ns);
            row.noted(format!(
                "{median} by the medians of rounds; {:.0} ns per message in all",
                cost.whole_ns
            ))
        }
        Err(why) => TableRow::lower_or_why(name, Err(why), floor, aim),
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
        match self.measured(runs) {
            Ok(Measured { rate, latency_ns, disk_ns, late_ns }) => {
                let floor_ns = 2.0 * disk_ns + self.floor_ms * MS;
                let aim = (disk_ns + MS) / floor_ns;
                TableRow::lower(name, Some(latency_ns / floor_ns), 1.0, aim).noted(format!(
                    "{:.2} ms at {rate:.0}/s, fdatasync {:.2} ms, the load itself late by {:.2} ms",
                    latency_ns / MS,
                    disk_ns / MS,
                    late_ns / MS
                ))
            }
            Err(why) => TableRow::lower_or_why(name, Err(why), 1.0, 1.0),
        }
    }

    fn measured(&self, runs: &Runs<'_>) -> Result<Measured, String> {
        let held = runs.0.iter().any(|run| run.scenario == "sweep");
        let missing = if held { "the node held no rate of the sweep" } else { "no such run" };
        let half = runs.find(HALF_RATE, &[]).ok_or(missing)?;
        let disk = runs.of(Subject::Machine, "fdatasync", &[]).ok_or("the disk was not measured")?;
        let at = |run: &Run, what: &str| {
            run.median_latency_ns(what, self.quantile).ok_or_else(|| format!("{}: no latency", run.name))
        };
        Ok(Measured {
            rate: half.median("offered_per_s").unwrap_or(0.0),
            latency_ns: at(half, self.what)?,
            disk_ns: at(disk, "fdatasync")?,
            late_ns: half.median("load_late_p99_ns").unwrap_or(0.0),
        })
    }
}

/// A latency, the rate it was at, that of the disk, and how late the load itself was.
struct Measured {
    rate: f64,
    latency_ns: f64,
    disk_ns: f64,
    late_ns: f64,
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

    fn with_messages(mut run: Run, count: u64) -> Run {
        let curve = LatencyCurve { count, ..LatencyCurve::default() };
        run.rounds[0].latencies.insert("delivery".to_owned(), curve);
        run
    }

    #[test]
    fn cost_is_over_the_plain_relay_of_the_same_window() {
        let cpu = |subject, tls, window, ns| {
            with_messages(run(subject, "direct", &[("tls", tls), ("window", window)], &[(CPU, ns)]), 10)
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
    fn merges_of_one_round_are_in_the_ratio_and_the_median_is_beside_it() {
        let round =
            |ns| with_messages(run(Subject::Node, "", &[], &[(CPU, ns), (QUIET, 1.0)]), 10).rounds.remove(0);
        let mut node = run(Subject::Node, "direct", &[("tls", "false"), ("window", "16")], &[]);
        node.rounds = [300.0, 300.0, 1_500.0].map(round).into();
        let mut relay = Run { subject: Subject::Relay, ..node.clone() };
        relay.rounds = vec![round(100.0)];
        let whole = row(Row::CpuPlain, &[node.clone(), relay.clone()]);
        assert_eq!((whole.ratio, whole.pass), (Some(7.0), true));
        assert!(whole.note.starts_with("3.00 by the medians"), "{}", whole.note);
        node.rounds[2].values.insert(QUIET.to_owned(), 0.0);
        let unfinished = row(Row::CpuPlain, &[node, relay]);
        assert_eq!((unfinished.ratio, unfinished.pass), (None, false));
        assert!(unfinished.note.starts_with("not measured: "), "{}", unfinished.note);
    }

    #[test]
    fn latency_is_over_the_bound_that_follows_from_the_disk() {
        let half = with_latency(run(Subject::Node, HALF_RATE, &[], &[]), "ack", 0.99, 9.0);
        let disk = with_latency(run(Subject::Machine, "fdatasync", &[], &[]), "fdatasync", 0.99, 4.0);
        let ack = row(Row::AckLatency, &[half.clone(), disk]);
        assert_eq!((ack.ratio, ack.floor, ack.pass), (Some(1.0), 1.0, true));
        assert!((ack.aim - 5.0 / 9.0).abs() < 1e-9);
        assert!(!row(Row::AckLatency, &[half]).pass, "without the disk nothing is passed");
        let nothing_held = row(Row::AckLatency, &[run(Subject::Node, "sweep", &[], &[])]);
        assert!(!nothing_held.pass && nothing_held.note.contains("held no rate"), "{}", nothing_held.note);
    }

    #[test]
    fn growth_is_that_of_the_most_over_the_least() {
        let of = |stored: &str, ns| {
            let parameters = parameters([("stored", stored.to_owned())]);
            with_messages(Run { parameters, ..run(Subject::Node, "stored", &[], &[(CPU, ns)]) }, 10)
        };
        let grown = row(Row::Stored, &[of("10000000", 130.0), of("1000000", 100.0)]);
        assert_eq!((grown.ratio, grown.pass), (Some(1.3), false));
        assert!(grown.name.contains("10000000") && grown.name.contains("with 1000000"));
        assert_eq!(row(Row::Stored, &[of("1000", 1.0)]).ratio, None);
    }

    /// A run of 1,000 sessions that grew by so many bytes with each.
    fn idle(tls: &str, contacts: &str, bytes: f64) -> Run {
        let readings = [
            ("anonymous_at_quarter_bytes", 1e7),
            ("anonymous_at_middle_bytes", 1e7 + 375.0 * bytes),
            ("anonymous_after_bytes", 1e7 + 750.0 * bytes),
        ];
        let keys = [("sessions", "1000"), ("tls", tls), ("contacts", contacts)];
        run(Subject::Node, "idle", &keys, &readings)
    }

    #[test]
    fn idle_rows_are_slopes_and_none_is_passed_that_no_session_can_have() {
        let contacts = |count: &str, bytes: f64| Run {
            scenario: IDLE_CONTACTS.to_owned(),
            ..idle("false", count, bytes)
        };
        let plain_and_tls = [idle("false", "0", 512.0), idle("true", "0", 4_096.0)];
        let runs = [&plain_and_tls[..], &[contacts("100", 640.0), contacts("0", 512.0)]].concat();
        assert_eq!(row(Row::IdlePlain, &runs).ratio, Some(0.5));
        assert_eq!(row(Row::IdleTls, &runs).ratio, Some(4.0));
        let with_contacts = row(Row::IdleContacts, &runs);
        assert_eq!((with_contacts.ratio, with_contacts.pass), (Some(1.25), true));
        assert!(with_contacts.note.contains("512 -> 640"), "{}", with_contacts.note);
        for wrong in [idle("false", "0", -563.0), idle("false", "0", 8.0)] {
            let row = row(Row::IdlePlain, &[wrong]);
            assert_eq!((row.ratio, row.pass), (None, false));
            assert!(row.note.starts_with("not measured: memory grew by "), "{}", row.note);
        }
        assert!(!row(Row::IdleContacts, &runs[..3]).pass);
    }

    #[test]
    fn plain_figures_are_told_in_their_own_units() {
        let storm = run(Subject::Node, "login-storm", &[("tls", "true")], &[(CORE_RATE, 1_999.0)]);
        let whole = row(Row::LoginWhole, &[storm]);
        assert_eq!((whole.ratio, whole.pass), (Some(1_999.0), false));
    }
}
