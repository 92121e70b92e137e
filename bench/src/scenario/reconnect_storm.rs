//! `bench reconnect-storm`: all sessions are cut at the same moment and all come back by ticket, as fast as they can.

use anyhow::Result;
use clap::Args;

use super::{Scenario, interleave, parameters};
use crate::driver::{Entrance, Pace};
use crate::options::NodeOptions;
use crate::report::model::{Round, Run, Subject};
use crate::storm::{Storm, doubt};

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Sessions, each of its own user
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    sessions: u32,
    /// How many may be on their way back at a time
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=12_000))]
    starting: u32,
    /// Rounds that count; each cuts everybody off once
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    #[command(flatten)]
    node: NodeOptions,
}

/// A node whose users are all logged in.
#[derive(Debug)]
pub struct ReconnectStorm {
    storm: Storm,
    pace: Pace,
    tls: bool,
}

impl ReconnectStorm {
    pub fn new(node: &NodeOptions, sessions: u32, pace: Pace) -> Result<Self> {
        let storm = Storm::new(node, sessions)?;
        storm.server.wait_until_quiet()?;
        Ok(Self { storm, pace, tls: node.tls })
    }
}

impl Scenario for ReconnectStorm {
    fn describe(&self) -> Run {
        let protection = if self.tls { "TLS" } else { "plain" };
        let sessions = self.storm.driver.peers.len();
        Run {
            name: format!("reconnect storm, {protection}, {sessions} sessions"),
            scenario: "reconnect-storm".to_owned(),
            subject: Subject::Node,
            parameters: parameters([
                ("sessions", sessions.to_string()),
                ("starting", self.pace.starting_max.to_string()),
                ("tls", self.tls.to_string()),
            ]),
            ..Run::default()
        }
    }

    fn round(&mut self) -> Result<Round> {
        let mark = self.storm.mark()?;
        self.storm.driver.cut_all();
        let arrivals = self.storm.arrive(Entrance::Resume, self.pace)?;
        let elapsed = arrivals.elapsed;
        let mut round = self.storm.round(&mark, arrivals, "reconnect")?;
        round.values.insert("all_back_s".to_owned(), elapsed.as_secs_f64());
        Ok(round)
    }

    fn doubt(&self, round: &Round) -> Option<String> {
        doubt(round)
    }
}

pub fn run(options: &Options) -> Result<Vec<Run>> {
    let pace = Pace { starting_max: options.starting as usize };
    let storm = ReconnectStorm::new(&options.node, options.sessions, pace)?;
    interleave(&mut [Box::new(storm)], options.rounds)
}
