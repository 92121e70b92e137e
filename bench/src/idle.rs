//! `bench idle`: N logged-in sessions that do nothing, and the memory each costs the node.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use crate::NodeOptions;
use crate::driver::Driver;
use crate::report::Idle;
use crate::server::Server;

/// How long the sessions are left alone before the node's memory is read: what a login left behind is settled by then.
const QUIET: Duration = Duration::from_secs(5);

/// The store buffers what is written whoever is logged in, up to this bound; kept small, it does not hide the sessions.
const STORE: &[&str] = &["--write-buffer", "8"];

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Sessions, each of its own user.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    sessions: u32,
    #[command(flatten)]
    node: NodeOptions,
}

pub fn run(options: &Options) -> Result<()> {
    let server = Server::start_or_connect(&options.node, STORE)?;
    let mut driver = Driver::new()?;
    let run = rand::random::<u32>();
    let before_bytes = server.anonymous_bytes()?;
    let names = (0..options.sessions).map(|index| format!("idle-{run:x}-{index}"));
    driver.log_in(server.address, options.node.tls, names)?;
    let begin = Instant::now();
    while begin.elapsed() < QUIET {
        driver.turn(Duration::from_millis(200), |_, _| Ok(()))?;
    }
    let after_bytes = server.anonymous_bytes()?;
    let report = Idle {
        scenario: "idle",
        tls: options.node.tls,
        sessions: options.sessions,
        before_bytes,
        after_bytes,
        bytes_per_session: after_bytes.saturating_sub(before_bytes) as f64 / f64::from(options.sessions),
    };
    report.print(options.node.json);
    Ok(())
}
