//! `bench sweep`: the highest rate whose delivery latency at the 99th percentile stays under a bound, by bisection over
//! open-loop rounds.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::options::{NodeOptions, RoundOptions};
use crate::pairs::{Mode, Pairs, Span};
use crate::report::model::{Round, Run};
use crate::scenario::Scenario;
use crate::scenario::direct::{CrowdOptions, Direct, SharedPairs, node_pairs};

/// The quantile that is bounded.
const QUANTILE: f64 = 0.99;
/// The first rate tried is this part of what a closed loop reaches, where many messages of a chat come together; the load itself
/// has no time to spare far above it.
const FIRST: f64 = 0.125;
/// Bound of `sweep` and of the table's top rate.
pub const BOUND_MS: f64 = 20.0;
/// The figure that the rounds of the highest rate that held have, and no others.
const HIGHEST_RATE: &str = "highest_rate_per_s";
const STEPS: u32 = 12;
const PRECISION: f64 = 5.0;
/// A search ends.
const PRECISION_MIN: f64 = 1e-4;

/// What is searched for, and how long.
#[derive(Args, Debug, Clone, Copy)]
pub struct Search {
    /// Bound of the delivery latency's 99th percentile, milliseconds
    #[arg(long, default_value_t = BOUND_MS, value_name = "MS")]
    bound_ms: f64,
    /// Rates to try at most
    #[arg(long, default_value_t = STEPS, value_parser = clap::value_parser!(u32).range(1..=100))]
    steps: u32,
    /// The search ends when the rate is known to so many percent
    #[arg(long, default_value_t = PRECISION, value_name = "PERCENT")]
    precision: f64,
}

#[derive(Args, Debug, Clone)]
pub struct Options {
    #[command(flatten)]
    search: Search,
    #[command(flatten)]
    crowd: CrowdOptions,
    #[command(flatten)]
    rounds: RoundOptions,
    #[command(flatten)]
    node: NodeOptions,
}

/// The search for the highest rate that holds.
#[derive(Debug, Clone, Copy)]
pub struct Bisection {
    first: f64,
    precision: f64,
    held: Option<f64>,
    failed: Option<f64>,
}

impl Bisection {
    /// Below it nothing is tried.
    const LOWEST: f64 = 1.0;

    /// Begins at `first`; ends when the highest rate that held and the lowest that failed differ by no more than a factor of
    /// `1 + precision`.
    pub fn new(first: f64, precision: f64) -> Self {
        assert!(first > 0.0 && precision > 0.0, "a search from {first} to within {precision}");
        Self { first: first.max(Self::LOWEST), precision, held: None, failed: None }
    }

    /// The rate to try next; `None` when the search is over.
    pub fn next(&self) -> Option<f64> {
        match (self.held, self.failed) {
            (None, None) => Some(self.first),
            (Some(held), None) => Some(held * 2.0),
            (None, Some(failed)) => Some(failed / 2.0).filter(|rate| *rate >= Self::LOWEST),
            (Some(held), Some(failed)) => {
                (failed / held > 1.0 + self.precision).then(|| (held * failed).sqrt())
            }
        }
    }

    /// How the rate that was tried went. A rate that held below one that failed counts, whatever was between.
    pub fn record(&mut self, rate: f64, held: bool) {
        if held {
            self.held = Some(self.held.map_or(rate, |best| best.max(rate)));
        } else {
            self.failed = Some(self.failed.map_or(rate, |worst| worst.min(rate)));
        }
    }

    /// The highest rate that held.
    pub fn best(&self) -> Option<f64> {
        self.held
    }
}

impl Search {
    /// Of the table's top rate: half of it does not depend on the last percents.
    pub fn of_table(bound_ms: f64, steps: u32) -> Self {
        Self { bound_ms, steps, precision: 10.0 }
    }
}

impl Default for Search {
    fn default() -> Self {
        Self { bound_ms: BOUND_MS, steps: STEPS, precision: PRECISION }
    }
}

pub fn run(options: &Options) -> Result<Vec<Run>> {
    let pairs = node_pairs(&options.node, options.crowd.crowd(), options.rounds.warm_up())?;
    measure(&pairs, options.node.tls, &options.search, &options.rounds)
}

/// A run for each rate that was tried.
pub fn measure(pairs: &SharedPairs, tls: bool, search: &Search, rounds: &RoundOptions) -> Result<Vec<Run>> {
    let top = pairs.borrow_mut().round(Mode::Window(16), Span::Time(rounds.length()))?;
    let first = top.values.get("acked_per_s").copied().unwrap_or(0.0) * FIRST;
    let precision = (search.precision / 100.0).max(PRECISION_MIN);
    let mut bisection = Bisection::new(first.max(Bisection::LOWEST), precision);
    let mut runs = Vec::new();
    for _ in 0..search.steps {
        let Some(rate) = bisection.next() else { break };
        let run = attempt(pairs, tls, rate, search, rounds)?;
        let p99_ms = run.median_latency_ns("delivery", QUANTILE).unwrap_or(f64::INFINITY) / 1e6;
        bisection.record(rate, p99_ms <= search.bound_ms);
        eprintln!("sweep: {rate:.0}/s: p99 {p99_ms:.2} ms of {} ms", search.bound_ms);
        runs.push(run);
    }
    mark_best(&mut runs, bisection.best());
    Ok(runs)
}

/// The highest rate that held, of the runs of a sweep.
pub fn highest_rate_per_s(runs: &[Run]) -> Option<f64> {
    runs.iter().filter_map(|run| run.median(HIGHEST_RATE)).max_by(f64::total_cmp)
}

/// Several rounds at one rate.
fn attempt(pairs: &SharedPairs, tls: bool, rate: f64, search: &Search, rounds: &RoundOptions) -> Result<Run> {
    let span = Span::Time(rounds.length());
    let mut direct = Direct { pairs: pairs.clone(), mode: Mode::Rate(rate), span, tls };
    let mut run = direct.describe();
    run.name = format!("sweep, {}, {rate:.0}/s", if tls { "TLS" } else { "plain" });
    run.scenario = "sweep".to_owned();
    run.parameters.insert("bound_us".to_owned(), format!("{:.0}", search.bound_ms * 1e3));
    for _ in 0..rounds.rounds {
        let round = direct.round()?;
        run.warnings.extend(direct.doubt(&round).filter(|doubt| !run.warnings.contains(doubt)));
        if overloaded(&round) {
            run.rounds.push(round);
            recover(&mut pairs.borrow_mut())?;
            break;
        }
        run.rounds.push(round);
    }
    Ok(run)
}

/// More was offered than could be sent: another round at this rate tells nothing new.
fn overloaded(round: &Round) -> bool {
    round.values.get("unsent_messages").is_some_and(|count| *count > 0.0)
}

/// A little load after too much, so that the next rate does not pay for this one.
fn recover(pairs: &mut Pairs) -> Result<()> {
    pairs.round(Mode::Window(1), Span::Time(Duration::from_millis(200))).map(drop)
}

/// Says in the run of the highest rate that held that it is the one.
fn mark_best(runs: &mut [Run], best: Option<f64>) {
    for run in runs {
        let rate = run.rounds.first().and_then(|round| round.values.get("offered_per_s")).copied();
        if best.is_some() && rate == best {
            for round in &mut run.rounds {
                round.values.insert(HIGHEST_RATE.to_owned(), best.unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(first: f64, limit: f64, precision: f64) -> (Option<f64>, u32) {
        let mut bisection = Bisection::new(first, precision);
        let mut steps = 0;
        while let Some(rate) = bisection.next() {
            bisection.record(rate, rate <= limit);
            steps += 1;
            assert!(steps < 100, "the search does not end");
        }
        (bisection.best(), steps)
    }

    #[test]
    fn the_limit_is_found_from_below_and_from_above() {
        for first in [10.0, 900.0, 1_000.0, 1_100.0, 50_000.0] {
            let (best, steps) = search(first, 1_000.0, 0.05);
            let best = best.unwrap();
            assert!((1_000.0 / 1.05..=1_000.0).contains(&best), "{best} from {first}");
            assert!(steps <= 16, "{steps} steps from {first}");
        }
    }

    #[test]
    fn the_top_rate_is_the_highest_that_held() {
        let run = |rate: f64| {
            let values = [("offered_per_s".to_owned(), rate)].into();
            Run { rounds: vec![Round { values, ..Round::default() }], ..Run::default() }
        };
        let mut runs = [run(100.0), run(200.0), run(150.0)];
        assert_eq!(highest_rate_per_s(&runs), None, "nothing held");
        mark_best(&mut runs, Some(150.0));
        assert_eq!(highest_rate_per_s(&runs), Some(150.0));
    }

    #[test]
    fn a_node_that_holds_nothing_ends_the_search_without_a_rate() {
        assert_eq!(search(100.0, 0.1, 0.05).0, None);
    }

    #[test]
    fn a_rate_that_fails_below_one_that_held_narrows_the_search() {
        let mut bisection = Bisection::new(100.0, 0.01);
        bisection.record(100.0, true);
        bisection.record(200.0, false);
        bisection.record(140.0, false);
        let next = bisection.next().unwrap();
        assert!(next > 100.0 && next < 140.0);
        assert_eq!(bisection.best(), Some(100.0));
    }
}
