//! Figures over the time of a round.

use std::collections::BTreeMap;

use super::super::{Axis, Kind, Lines, Plot, Point, Series, Stroke};
use super::{Card, is_step};
use crate::report::model::{Report, Run, Spread, Subject};
use crate::report::unit::{self, Name, Quantity, Unit};

/// A plot of the rates of each run of the node, and one of its latencies.
pub fn cards(report: &Report) -> Vec<Card> {
    let runs = report.runs.iter().filter(|run| run.subject == Subject::Node && !is_step(report, run));
    runs.flat_map(run_cards).collect()
}

fn run_cards(run: &Run) -> Vec<Card> {
    let mut by_unit: BTreeMap<(bool, Unit), Vec<(String, Name)>> = BTreeMap::new();
    let mut keys: Vec<&String> = run.rounds.iter().flat_map(|round| round.series.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let name = unit::parse(key);
        let rate = name.unit.per.as_deref() == Some("s");
        if !rate && name.unit != Unit::TIME {
            continue;
        }
        by_unit.entry((!rate, name.unit.clone())).or_default().push((key.clone(), name));
    }
    by_unit.into_iter().filter_map(|((_, unit), names)| card(run, &unit, &names)).collect()
}

fn card(run: &Run, unit: &Unit, names: &[(String, Name)]) -> Option<Card> {
    let line = |(index, (key, name)): (usize, &(String, Name))| Series {
        label: name.label(),
        color: [0, 2, 1, 5, 3, 7, 4, 6][index % 8],
        stroke: Stroke::Solid,
        points: points(run, key, name),
    };
    let series: Vec<Series> =
        names.iter().enumerate().map(line).filter(|series| !series.points.is_empty()).collect();
    if series.is_empty() {
        return None;
    }
    let of = match names {
        [(_, name)] if unit.per.as_deref() == Some("s") => format!("{} per second", name.label()),
        [(_, name)] => name.label(),
        _ => what(unit),
    };
    let lines = Lines {
        label: format!("{of} over time, {}", run.name),
        x: Axis { label: "time since the round began".into(), kind: Kind::Linear, quantity: Quantity::Time },
        y: Axis { label: of.clone(), kind: Kind::Linear, quantity: unit.quantity },
        series,
        levels: Vec::new(),
    };
    Some(Card { title: format!("{}: {of}", run.name), note: String::new(), plot: Plot::Lines(lines) })
}

/// What several series of a unit are of.
fn what(unit: &Unit) -> String {
    match unit.quantity {
        Quantity::Time => "latency",
        Quantity::Bytes => "bytes per second",
        Quantity::Count => "messages per second",
    }
    .to_string()
}

/// The rounds' points of the same number are one, with their range.
fn points(run: &Run, key: &str, name: &Name) -> Vec<Point> {
    const NS_PER_S: f64 = 1e9;
    let series: Vec<_> = run.rounds.iter().filter_map(|round| round.series.get(key)).collect();
    let length = series.iter().map(|points| points.len()).max().unwrap_or(0);
    let point = |index: usize| {
        let rounds = || series.iter().filter_map(|points| points.get(index));
        let at = Spread::of(rounds().map(|point| point.at_s))?.median;
        let value = Spread::of(rounds().map(|point| point.value))?.scaled(f64::from(name.scale));
        let hint = format!("{} s: {}", unit::plain(at), name.unit.show(value.median));
        Some(Point { x: at * NS_PER_S, y: value.median, low: value.low, high: value.high, hint })
    };
    (0..length).filter_map(point).collect()
}
