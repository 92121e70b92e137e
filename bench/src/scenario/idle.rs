//! `bench idle`: N logged-in sessions that do nothing, and the memory each costs the node.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::parameters;
use crate::driver::{Account, Driver, Entrance, Pace};
use crate::options::NodeOptions;
use crate::report::model::{Round, Run, Subject};
use crate::server::Server;
use crate::usage;

/// How long the sessions are left alone before the node's memory is read: what a login left behind is settled by then.
const QUIET: Duration = Duration::from_secs(3);
/// Users who log in and leave before the count begins, so that what the first logins make is not counted as theirs.
const FIRST: usize = 64;

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Sessions, each of its own user without contacts
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    sessions: u32,
    #[command(flatten)]
    node: NodeOptions,
}

pub fn run(options: &Options) -> Result<Vec<Run>> {
    Ok(vec![measure(&options.node, options.sessions)?])
}

/// The accounts are made first. A node that was started here is started again then, so that only sessions fill the memory
/// that is counted.
pub fn measure(node: &NodeOptions, sessions: u32) -> Result<Run> {
    let mut server = Server::node(node, &[])?;
    let run = rand::random::<u32>();
    let names = (0..sessions as usize + FIRST).map(|index| Account::new(format!("idle-{run:x}-{index}")));
    let mut driver = Driver::new(server.address, node.tls, names)?;
    for group in chunks(driver.peers.len()) {
        driver.bring_in(group, Pace::default(), |_| Entrance::Register)?;
        driver.cut_all();
    }
    if node.connect.is_none() {
        server.restart(node)?;
    }
    let sessions = sessions as usize;
    driver.bring_in(sessions..sessions + FIRST, Pace::default(), |_| Entrance::LogIn)?;
    (sessions..sessions + FIRST).for_each(|index| driver.cut(index));
    server.wait_until_quiet()?;
    let before = usage::anonymous_bytes(server.pid)?;
    let arrivals = driver.bring_in(0..sessions, Pace::default(), |_| Entrance::LogIn)?;
    let begin = Instant::now();
    while begin.elapsed() < QUIET {
        driver.turn(Duration::from_millis(200), |_, _| Ok(()))?;
    }
    let after = usage::anonymous_bytes(server.pid)?;
    let values = [
        ("anonymous_before_bytes", before as f64),
        ("anonymous_after_bytes", after as f64),
        ("user_bytes_per_session", (after as f64 - before as f64) / sessions as f64),
    ];
    let round = Round {
        seconds: arrivals.elapsed.as_secs_f64(),
        values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Round::default()
    };
    Ok(Run {
        name: format!("idle, {}, {sessions} sessions", node.protection()),
        scenario: "idle".to_owned(),
        subject: Subject::Node,
        parameters: parameters([("sessions", sessions.to_string()), ("tls", node.tls.to_string())]),
        rounds: vec![round],
        warnings: Vec::new(),
    })
}

/// Indices in parts small enough to be connected at once.
fn chunks(count: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    const PART: usize = 2_000;
    (0..count).step_by(PART).map(move |from| from..(from + PART).min(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everybody_once() {
        for count in [0, 1, 1_999, 2_000, 4_001] {
            let indices: Vec<usize> = chunks(count).flatten().collect();
            assert_eq!(indices, (0..count).collect::<Vec<_>>());
        }
    }
}
