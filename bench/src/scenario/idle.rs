//! `bench idle`: N logged-in sessions that do nothing, and the memory each costs the node.
//!
//! It is the slope between a part of the sessions and all of them, in one run of one process: what the node had before the
//! first session, and what it grew into again of that, is in both and in neither. A third reading in the middle shows whether
//! it grew evenly, as it must if sessions are what it grew by.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::parameters;
use crate::driver::{Account, Driver, Entrance, Pace};
use crate::options::NodeOptions;
use crate::report::model::{Round, Run, Subject};
use crate::server::Server;
use crate::{relations, usage};

/// Memory is steady when it stays within so much.
const STEADY_BYTES: u64 = 128 * 1_024;
/// How long that is waited for.
const STEADY_MAX: Duration = Duration::from_secs(90);
/// Users who log in and leave before the count begins, so that what the first logins make is not counted as theirs.
const FIRST: usize = 64;
/// Names of the readings, one for each of [`stages`].
const READINGS: [&str; 3] =
    ["anonymous_at_quarter_bytes", "anonymous_at_middle_bytes", "anonymous_after_bytes"];

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Sessions, each of its own user
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(4..=19_000))]
    sessions: u32,
    /// Contacts of each user; with more than 0 there is a second run, beside the one without
    #[arg(long, default_value_t = relations::CONTACTS, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    contacts: u32,
    #[command(flatten)]
    steadiness: Steadiness,
    #[command(flatten)]
    node: NodeOptions,
}

/// How long the sessions are left alone.
#[derive(Args, Debug, Clone, Copy)]
pub struct Steadiness {
    /// Seconds for which the node's memory must be steady before it is read: what a login left behind is settled by then, and
    /// what was freed is back at the system
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=60))]
    steady_s: u32,
}

/// The node's memory at a number of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub sessions: u64,
    pub bytes: u64,
}

pub fn run(options: &Options) -> Result<Vec<Run>> {
    let mut runs = vec![measure(&options.node, options.sessions, 0, options.steadiness)?];
    if options.contacts > 0 {
        runs.push(measure(&options.node, options.sessions, options.contacts, options.steadiness)?);
    }
    Ok(runs)
}

/// Bytes of a session: the slope between the first reading and the last.
///
/// # Errors
/// Why the readings do not tell it: it is below what the smallest session needs, in all or between two of them, or memory
/// grew more than twice as fast in one part as in another.
pub fn slope(readings: &[Reading], least_bytes: f64) -> Result<f64, String> {
    let between = |from: &Reading, to: &Reading| {
        (to.bytes as f64 - from.bytes as f64) / (to.sessions as f64 - from.sessions as f64)
    };
    let ([first, .., last], true) = (readings, readings.is_sorted_by(|a, b| a.sessions < b.sessions)) else {
        return Err("it takes two numbers of sessions".to_owned());
    };
    let parts: Vec<f64> = readings.windows(2).map(|pair| between(&pair[0], &pair[1])).collect();
    let least = parts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = parts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if least < least_bytes {
        return Err(format!(
            "memory grew by {least:.0} bytes per session, and none has less than {least_bytes:.0}"
        ));
    }
    if most > 2.0 * least {
        return Err(format!("memory grew unevenly, by {least:.0} to {most:.0} bytes per session"));
    }
    Ok(between(first, last))
}

/// What the smallest session must take: its connection in the ring; with TLS its keys and states of both directions.
pub fn least_bytes(tls: bool) -> f64 {
    if tls { 1_024.0 } else { 112.0 }
}

/// Bytes of a session, from the readings of a run.
///
/// # Errors
/// Why there is no such figure.
pub fn bytes_per_session(run: &Run) -> Result<f64, String> {
    let round = run.rounds.first().ok_or("no run")?;
    let sessions = run.parameters.get("sessions").and_then(|sessions| sessions.parse().ok()).unwrap_or(0);
    let readings: Vec<Reading> = stages(sessions)
        .into_iter()
        .zip(READINGS)
        .filter_map(|(sessions, name)| Some(Reading { sessions, bytes: *round.values.get(name)? as u64 }))
        .collect();
    slope(&readings, least_bytes(run.parameters.get("tls").is_some_and(|tls| tls == "true")))
}

/// Numbers of sessions at which memory is read: a quarter, all, and the middle between them.
fn stages(sessions: u64) -> [u64; 3] {
    let quarter = sessions.div_ceil(4);
    [quarter, (quarter + sessions) / 2, sessions]
}

/// The accounts are made first, and their contacts. A node that was started here is started again then, so that only sessions
/// fill the memory that is counted.
pub fn measure(node: &NodeOptions, sessions: u32, contacts: u32, steadiness: Steadiness) -> Result<Run> {
    let mut server = Server::node(node, &[])?;
    let run = rand::random::<u32>();
    let sessions = sessions as usize;
    let contacts = relations::possible(sessions, contacts);
    let names = (0..sessions + FIRST).map(|index| Account::new(format!("idle-{run:x}-{index}")));
    let mut driver = Driver::new(server.address, node.tls, names)?;
    for group in chunks(driver.peers.len()) {
        driver.bring_in(group, Pace::default(), |_| Entrance::Register)?;
        driver.cut_all();
    }
    if contacts > 0 {
        relations::seed(&server, &mut driver, &relations::lattice(sessions, contacts))?;
    }
    if node.connect.is_none() {
        // An idle store moves what it has in memory to its tables. What it has not is read back at the start, and would be
        // counted, or go while sessions come.
        steady_bytes(&mut driver, &server, steadiness)?;
        server.restart(node)?;
    }
    driver.bring_in(sessions..sessions + FIRST, Pace::default(), |_| Entrance::LogIn)?;
    (sessions..sessions + FIRST).for_each(|index| driver.cut(index));
    let before = steady_bytes(&mut driver, &server, steadiness)?;
    let mut round = Round::default();
    let mut put = |name: &str, value: f64| round.values.insert(name.to_owned(), value);
    put("anonymous_before_bytes", before as f64);
    let (begin, mut entered) = (Instant::now(), 0);
    for (stage, name) in stages(sessions as u64).into_iter().zip(READINGS) {
        driver.bring_in(entered..stage as usize, Pace::default(), |_| Entrance::LogIn)?;
        entered = stage as usize;
        put(name, steady_bytes(&mut driver, &server, steadiness)? as f64);
    }
    round.seconds = begin.elapsed().as_secs_f64();
    Ok(finish(node, sessions, contacts, round))
}

/// The node's memory when it no longer changes. Nothing is sent meanwhile; what comes is read.
fn steady_bytes(driver: &mut Driver, server: &Server, steadiness: Steadiness) -> Result<u64> {
    let length = Duration::from_secs(steadiness.steady_s.into());
    let begin = Instant::now();
    let (mut bytes, mut since) = (usage::anonymous_bytes(server.pid)?, begin);
    while since.elapsed() < length && begin.elapsed() < STEADY_MAX {
        driver.turn(Duration::from_millis(200), |_, _| Ok(()))?;
        let now = usage::anonymous_bytes(server.pid)?;
        if now.abs_diff(bytes) > STEADY_BYTES {
            (bytes, since) = (now, Instant::now());
        }
    }
    server.wait_until_quiet()?;
    usage::anonymous_bytes(server.pid)
}

/// The run, with its slope if it has one.
fn finish(node: &NodeOptions, sessions: usize, contacts: u32, round: Round) -> Run {
    let with = if contacts > 0 { format!(", {contacts} contacts each") } else { String::new() };
    let mut run = Run {
        name: format!("idle, {}, {sessions} sessions{with}", node.protection()),
        scenario: "idle".to_owned(),
        subject: Subject::Node,
        parameters: parameters([
            ("sessions", sessions.to_string()),
            ("contacts", contacts.to_string()),
            ("tls", node.tls.to_string()),
        ]),
        rounds: vec![round],
        warnings: Vec::new(),
    };
    match bytes_per_session(&run) {
        Ok(bytes) => {
            run.rounds[0].values.insert("user_bytes_per_session".to_owned(), bytes);
        }
        Err(why) => run.warnings.push(format!("memory of a session is not measured: {why}")),
    }
    run
}

/// Indices in parts small enough to be connected at once.
fn chunks(count: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    const PART: usize = 2_000;
    (0..count).step_by(PART).map(move |from| from..(from + PART).min(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1_024 * 1_024;

    fn readings(bytes: [u64; 3]) -> Vec<Reading> {
        let reading = |(sessions, bytes)| Reading { sessions, bytes };
        stages(1_000).into_iter().zip(bytes).map(reading).collect()
    }

    #[test]
    fn parts_cover_everybody_once() {
        for count in [0, 1, 1_999, 2_000, 4_001] {
            let indices: Vec<usize> = chunks(count).flatten().collect();
            assert_eq!(indices, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn stages_rise_to_all() {
        for sessions in [4, 5, 60, 15_000, 19_000] {
            let stages = stages(sessions);
            assert!(stages.is_sorted_by(|a, b| a < b) && stages[2] == sessions, "{stages:?}");
        }
    }

    #[test]
    fn a_session_is_the_slope_whatever_the_node_had_before() {
        for before in [0, 25 * MIB] {
            let grown = readings([before + 250 * 400, before + 625 * 400, before + 1_000 * 400]);
            assert_eq!(slope(&grown, 112.0), Ok(400.0));
        }
    }

    #[test]
    fn growth_that_no_session_can_have_is_no_figure() {
        // As when the node grows into memory that its start has left behind.
        let shrunk = readings([25 * MIB, 24 * MIB, 25 * MIB]);
        assert!(slope(&shrunk, 112.0).is_err_and(|why| why.contains("-")), "a fall in one part is enough");
        assert!(slope(&readings([MIB, MIB, MIB]), 112.0).is_err());
        let (slight, uneven) = (readings([0, 18_750, 37_500]), readings([0, 75_000, 300_000]));
        assert!(slope(&slight, 112.0).is_err() && slope(&slight, 50.0).is_ok());
        assert!(slope(&uneven, 112.0).is_err_and(|why| why.contains("unevenly")));
        assert!(slope(&readings([0, 1, 2])[..1], 0.0).is_err(), "one reading has no slope");
    }

    #[test]
    fn a_run_tells_its_slope_or_why_it_has_none() {
        let run = |bytes: [f64; 3]| Run {
            parameters: parameters([("sessions", "1000".to_owned()), ("tls", "true".to_owned())]),
            rounds: vec![Round {
                values: READINGS.into_iter().map(str::to_owned).zip(bytes).collect(),
                ..Round::default()
            }],
            ..Run::default()
        };
        assert_eq!(bytes_per_session(&run([0.0, 375.0 * 4_000.0, 750.0 * 4_000.0])), Ok(4_000.0));
        let plain_alone = run([0.0, 375.0 * 400.0, 750.0 * 400.0]);
        assert!(bytes_per_session(&plain_alone).is_err(), "no session with TLS is so small");
        assert!(bytes_per_session(&Run::default()).is_err());
    }
}
