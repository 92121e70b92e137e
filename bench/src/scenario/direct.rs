//! `bench direct`: N pairs, one of each sends to the other. Closed loop with a window, or open loop at a rate.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::{Scenario, interleave};
use crate::driver::STAMP_LEN;
use crate::measure::LOAD_SHARE_MAX;
use crate::options::{NodeOptions, RoundOptions};
use crate::pairs::{Crowd, Mode, Pairs, Span, WINDOW_MAX};
use crate::report::model::{Round, Run, Subject};
use crate::server::Server;

/// Lateness of the load itself, at the 99th percentile, above which latencies are doubted.
const LOAD_LATE_NS_MAX: f64 = 1e6;

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Closed loop: messages of one sender without an answer
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=WINDOW_MAX as i64))]
    window: u16,
    /// Open loop instead: messages per second over all pairs; latency counts from the intended send time
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    #[command(flatten)]
    crowd: CrowdOptions,
    #[command(flatten)]
    rounds: RoundOptions,
    #[command(flatten)]
    node: NodeOptions,
}

/// How many users there are and what they send.
#[derive(Args, Debug, Clone, Copy)]
pub struct CrowdOptions {
    /// Pairs of users
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub pairs: u32,
    /// Sessions beside them that are logged in and do nothing
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=19_000))]
    pub idle: u32,
    /// Bytes of text per message
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(STAMP_LEN as i64..=64 * 1_024))]
    pub bytes: u32,
}

impl CrowdOptions {
    pub fn crowd(&self) -> Crowd {
        Crowd { pairs: self.pairs, idle: self.idle, bytes: self.bytes }
    }
}

/// A server with its pairs, shared by the scenarios that load it in several ways.
pub type SharedPairs = Rc<RefCell<Pairs>>;

/// Pairs that send in one way.
#[derive(Debug)]
pub struct Direct {
    pub pairs: SharedPairs,
    pub mode: Mode,
    pub span: Span,
    pub tls: bool,
}

/// A node with its pairs logged in and warmed up.
pub fn node_pairs(node: &NodeOptions, crowd: Crowd, warm_up: Duration) -> Result<SharedPairs> {
    let mut pairs = Pairs::new(Server::node(node, &[])?, Subject::Node, node.tls, crowd)?;
    if !warm_up.is_zero() {
        pairs.round(Mode::Window(WINDOW_MAX as u16 / 2), Span::Time(warm_up))?;
    }
    Ok(Rc::new(RefCell::new(pairs)))
}

impl Scenario for Direct {
    fn describe(&self) -> Run {
        let pairs = self.pairs.borrow();
        let protection = if self.tls { "TLS" } else { "plain" };
        let (how, key, value) = match self.mode {
            Mode::Window(window) => (format!("window {window}"), "window", window.to_string()),
            Mode::Rate(rate) => (format!("{rate:.0}/s"), "rate", format!("{rate:.0}")),
        };
        let subject = if pairs.subject == Subject::Relay { "relay, " } else { "" };
        let mut parameters = vec![
            (key, value),
            ("pairs", pairs.crowd.pairs.to_string()),
            ("bytes", pairs.crowd.bytes.to_string()),
            ("tls", self.tls.to_string()),
        ];
        let sessions = pairs.crowd.pairs * 2 + pairs.crowd.idle;
        let mut crowd = String::new();
        if pairs.crowd.idle > 0 {
            parameters.push(("sessions", sessions.to_string()));
            crowd = format!(", {sessions} sessions");
        }
        Run {
            name: format!("{subject}direct, {protection}, {how}{crowd}"),
            scenario: "direct".to_owned(),
            subject: pairs.subject,
            parameters: parameters.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            ..Run::default()
        }
    }

    fn round(&mut self) -> Result<Round> {
        self.pairs.borrow_mut().round(self.mode, self.span)
    }

    fn doubt(&self, round: &Round) -> Option<String> {
        doubt(self.mode, round)
    }
}

/// Why a round's figures may be those of the load and not of the server.
pub fn doubt(mode: Mode, round: &Round) -> Option<String> {
    let value = |name: &str| round.values.get(name).copied().unwrap_or(0.0);
    if value("load_cpu_share") > LOAD_SHARE_MAX {
        return Some(
            match mode {
                Mode::Window(_) => {
                    "the load was the bottleneck: rates and latencies are its own, cost per message holds"
                }
                Mode::Rate(_) => "the load had no time to spare: a part of the latencies is its own",
            }
            .into(),
        );
    }
    if value("unsent_messages") > 0.0 {
        return Some("more was offered than was taken: what was never sent counts as late".into());
    }
    if value("load_late_p99_ns") > LOAD_LATE_NS_MAX {
        return Some("the load itself was late by more than a millisecond: others use its core".into());
    }
    (value("quiet_after_round") == 0.0)
        .then(|| "the server was still busy long after the load: a part of its cost is not counted".into())
}

pub fn run(options: &Options) -> Result<Vec<Run>> {
    let pairs = node_pairs(&options.node, options.crowd.crowd(), options.rounds.warm_up())?;
    let mode = options.rate.map_or(Mode::Window(options.window), |rate| Mode::Rate(rate.into()));
    let span = Span::Time(options.rounds.length());
    let direct = Direct { pairs, mode, span, tls: options.node.tls };
    interleave(&mut [Box::new(direct)], options.rounds.rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(values: &[(&str, f64)]) -> Round {
        let mut round = Round::default();
        round.values.insert("quiet_after_round".to_owned(), 1.0);
        round.values.extend(values.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        round
    }

    #[test]
    fn a_load_without_time_to_spare_is_doubted() {
        let busy = round(&[("load_cpu_share", 0.97)]);
        assert!(doubt(Mode::Window(1), &busy).is_some_and(|text| text.contains("bottleneck")));
        assert!(doubt(Mode::Rate(10.0), &busy).is_some_and(|text| text.contains("latencies")));
        assert_eq!(doubt(Mode::Window(1), &round(&[("load_cpu_share", 0.90)])), None);
        assert!(doubt(Mode::Rate(10.0), &round(&[("load_late_p99_ns", 2e6)])).is_some());
        assert_eq!(doubt(Mode::Rate(10.0), &round(&[("load_late_p99_ns", 5e5)])), None);
    }

    #[test]
    fn what_was_not_sent_and_what_was_not_waited_for_is_told() {
        assert!(doubt(Mode::Rate(10.0), &round(&[("unsent_messages", 1.0)])).is_some());
        assert!(doubt(Mode::Window(1), &round(&[("quiet_after_round", 0.0)])).is_some());
    }
}
