//! Which plots a report has. They are found by the names of figures and parameters, whatever the scenario is.

mod beside;
mod cost;
mod latency;
mod parts;
mod time;

use clap::ValueEnum;

use super::Plot;
use crate::report::model::Report;

/// Kinds of plots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// The node's figures and the relay's as bars.
    #[default]
    Beside,
    /// Latency by percentile.
    Percentiles,
    /// Latency against the rate.
    Sweep,
    /// Cost of a message against the number of sessions or of stored messages.
    Cost,
    /// Processor time per message by thread.
    Threads,
    /// Memory per session.
    Memory,
    /// Throughput and latency over time.
    Time,
}

/// A plot with its words.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    pub title: String,
    /// What more must be known to read it; may be empty.
    pub note: String,
    pub plot: Plot,
}

impl Figure {
    /// In the order of a report.
    pub const ALL: [Figure; 7] = [
        Figure::Beside,
        Figure::Percentiles,
        Figure::Sweep,
        Figure::Cost,
        Figure::Threads,
        Figure::Memory,
        Figure::Time,
    ];

    /// All plots of this kind that the report has figures for.
    pub fn cards(self, report: &Report) -> Vec<Card> {
        match self {
            Figure::Beside => beside::cards(report),
            Figure::Percentiles => latency::percentiles(report),
            Figure::Sweep => latency::sweeps(report),
            Figure::Cost => cost::cards(report),
            Figure::Threads => parts::threads(report),
            Figure::Memory => parts::memory(report).into_iter().collect(),
            Figure::Time => time::cards(report),
        }
    }

    /// What is said below the title of a file of its own, where no page says it.
    fn about(self) -> &'static str {
        match self {
            Figure::Beside => "Node and raw relay",
            Figure::Percentiles => "Latency by percentile",
            Figure::Sweep => "Latency by rate",
            Figure::Cost => "Cost as the node fills",
            Figure::Threads => "Time of the server's threads",
            Figure::Memory => "What one more session costs",
            Figure::Time => "Over the time of a round",
        }
    }

    /// The first plot of this kind whose title has the words, as a file of its own.
    pub fn standalone(self, report: &Report, words: Option<&str>) -> Option<String> {
        let cards = self.cards(report);
        let card = cards.iter().find(|card| words.is_none_or(|words| card.title.contains(words)))?;
        let note = format!("{}, medians and ranges, commit {}", self.about(), report.commit);
        Some(card.plot.standalone(&card.title, &note))
    }
}

/// A figure of several runs, which are equal but for one parameter that is a number.
struct Growth<'a> {
    /// By that number.
    runs: Vec<(f64, &'a crate::report::model::Run)>,
}

/// Runs that differ in one parameter only. Those of a single value are left out.
fn growths<'a>(report: &'a Report, parameter: &str) -> Vec<Growth<'a>> {
    let mut groups: Vec<(String, Growth)> = Vec::new();
    for run in &report.runs {
        let Some(value) = run.parameters.get(parameter).and_then(|value| value.parse().ok()) else {
            continue;
        };
        let mut others = run.parameters.clone();
        others.remove(parameter);
        let key = format!("{} {:?} {others:?}", run.scenario, run.subject);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, growth)) => growth.runs.push((value, run)),
            None => groups.push((key, Growth { runs: vec![(value, run)] })),
        }
    }
    let mut growths: Vec<Growth> = groups.into_iter().map(|(_, growth)| growth).collect();
    for growth in &mut growths {
        growth.runs.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    growths
        .retain(|growth| growth.runs.first().map(|first| first.0) != growth.runs.last().map(|last| last.0));
    growths
}

/// Whether a run is a step of a sweep or of a growth, which have plots of their own.
fn is_step(report: &Report, run: &crate::report::model::Run) -> bool {
    let growths = ["rate", "sessions", "stored"].into_iter().flat_map(|parameter| growths(report, parameter));
    growths.flat_map(|growth| growth.runs).any(|(_, step)| step.name == run.name)
}
