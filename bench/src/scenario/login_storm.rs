//! `bench login-storm`: everybody logs in, a bounded number at a time. The keys are kept, so nothing is stretched.

use anyhow::Result;
use clap::Args;

use super::{Scenario, interleave, parameters};
use crate::driver::{Entrance, Pace};
use crate::options::NodeOptions;
use crate::report::model::{Round, Run, Subject};
use crate::storm::{Storm, doubt};

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Users, each with one session
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    sessions: u32,
    /// How many may be between connecting and logged in at a time
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=12_000))]
    starting: u32,
    /// By the ticket of the last login instead of the whole login
    #[arg(long)]
    tickets: bool,
    /// Rounds that count; each logs everybody in once
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    #[command(flatten)]
    node: NodeOptions,
}

/// A node with users who are not logged in.
#[derive(Debug)]
pub struct LoginStorm {
    storm: Storm,
    entrance: Entrance,
    pace: Pace,
    tls: bool,
}

impl LoginStorm {
    /// `entrance` is [`Entrance::LogIn`] or [`Entrance::Resume`].
    pub fn new(node: &NodeOptions, sessions: u32, entrance: Entrance, pace: Pace) -> Result<Self> {
        let mut storm = Storm::new(node, sessions)?;
        storm.scatter()?;
        Ok(Self { storm, entrance, pace, tls: node.tls })
    }
}

impl Scenario for LoginStorm {
    fn describe(&self) -> Run {
        let protection = if self.tls { "TLS" } else { "plain" };
        let way = if self.entrance == Entrance::Resume { "tickets" } else { "whole logins" };
        Run {
            name: format!("login storm, {protection}, {way}"),
            scenario: "login-storm".to_owned(),
            subject: Subject::Node,
            parameters: parameters([
                ("sessions", self.storm.driver.peers.len().to_string()),
                ("starting", self.pace.starting_max.to_string()),
                ("way", way.to_owned()),
                ("tls", self.tls.to_string()),
            ]),
            ..Run::default()
        }
    }

    fn round(&mut self) -> Result<Round> {
        let mark = self.storm.mark()?;
        let arrivals = self.storm.arrive(self.entrance, self.pace)?;
        let round = self.storm.round(&mark, arrivals, "login")?;
        self.storm.scatter()?;
        Ok(round)
    }

    fn doubt(&self, round: &Round) -> Option<String> {
        doubt(round)
    }
}

pub fn run(options: &Options) -> Result<Vec<Run>> {
    let entrance = if options.tickets { Entrance::Resume } else { Entrance::LogIn };
    let pace = Pace { starting_max: options.starting as usize };
    let storm = LoginStorm::new(&options.node, options.sessions, entrance, pace)?;
    interleave(&mut [Box::new(storm)], options.rounds)
}
