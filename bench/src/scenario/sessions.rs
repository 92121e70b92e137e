//! `bench sessions`: the same pairs on a node with few sessions and on one with many, to see what a session that does
//! nothing adds to the cost of the others' messages.

use anyhow::Result;
use clap::Args;

use super::direct::{CrowdOptions, Direct, node_pairs};
use super::{Scenario, interleave};
use crate::options::{NodeOptions, RoundOptions};
use crate::pairs::{Crowd, Mode};
use crate::report::model::Run;

/// The load of both.
const MODE: Mode = Mode::Window(16);

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Sessions of the node with few, the pairs included
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=19_000))]
    few: u32,
    /// Sessions of the node with many
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(2..=19_000))]
    many: u32,
    #[command(flatten)]
    crowd: CrowdOptions,
    #[command(flatten)]
    rounds: RoundOptions,
    #[command(flatten)]
    node: NodeOptions,
}

/// Runs of the node with few sessions and of the one with many, interleaved.
pub fn measure(
    node: &NodeOptions,
    crowd: Crowd,
    sessions: [u32; 2],
    rounds: &RoundOptions,
) -> Result<Vec<Run>> {
    let mut scenarios: Vec<Box<dyn Scenario>> = Vec::new();
    for count in sessions {
        let crowd = Crowd { idle: count.saturating_sub(crowd.pairs * 2), ..crowd };
        let pairs = node_pairs(node, crowd, rounds.warm_up())?;
        scenarios.push(Box::new(Direct { pairs, mode: MODE, length: rounds.length(), tls: node.tls }));
    }
    let mut runs = interleave(&mut scenarios, rounds.rounds)?;
    for (run, count) in runs.iter_mut().zip(sessions) {
        run.scenario = "sessions".to_owned();
        // Also where the pairs alone are as many.
        run.parameters.insert("sessions".to_owned(), count.to_string());
    }
    Ok(runs)
}

pub fn run(options: &Options) -> Result<Vec<Run>> {
    measure(&options.node, options.crowd.crowd(), [options.few, options.many], &options.rounds)
}
