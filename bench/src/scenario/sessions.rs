//! `bench sessions`: the same pairs on a node with few sessions and on one with many, to see what a session that does
//! nothing adds to the cost of the others' messages.

use anyhow::Result;
use clap::Args;

use super::direct::{CrowdOptions, Direct, node_pairs};
use super::{Scenario, interleave};
use crate::options::{NodeOptions, RoundOptions};
use crate::pairs::{Crowd, Mode, Span};
use crate::report::model::{Round, Run};

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

/// Runs of the node with few sessions and of the one with many, interleaved. A first round tells how many messages the node
/// takes in the length of a round; from then on all rounds have so many, so that both nodes have the same to store and to
/// merge.
pub fn measure(
    node: &NodeOptions,
    crowd: Crowd,
    sessions: [u32; 2],
    rounds: &RoundOptions,
) -> Result<Vec<Run>> {
    let mut nodes = Vec::new();
    for count in sessions {
        let crowd = Crowd { idle: count.saturating_sub(crowd.pairs * 2), ..crowd };
        nodes.push(node_pairs(node, crowd, rounds.warm_up())?);
    }
    let trials = nodes.iter().map(|pairs| pairs.borrow_mut().round(MODE, Span::Time(rounds.length())));
    let trials = trials.collect::<Result<Vec<Round>>>()?;
    let messages = trials.iter().map(|trial| trial.messages() as u64).min().unwrap_or(0).max(1);
    let direct = |pairs| -> Box<dyn Scenario> {
        Box::new(Direct { pairs, mode: MODE, span: Span::Messages(messages), tls: node.tls })
    };
    let mut scenarios: Vec<Box<dyn Scenario>> = nodes.into_iter().map(direct).collect();
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
