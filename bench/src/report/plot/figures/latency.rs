//! Latency by percentile and by rate.

use std::collections::BTreeSet;

use super::super::{Axis, Kind, Level, Lines, Plot, Point, Series, Stroke};
use super::{Card, Growth, growths, is_step};
use crate::report::model::{Report, Run, Spread, Subject};
use crate::report::unit::{Quantity, Unit};

/// One plot for each run that is no step of a sweep; a relay is in the plots of its node, if it has one. The machine's own
/// latencies are one plot.
pub fn percentiles(report: &Report) -> Vec<Card> {
    let shown_elsewhere: Vec<&str> =
        report.runs.iter().filter_map(|run| Some(report.relay_of(run)?.name.as_str())).collect();
    let own = |run: &&Run| match run.subject {
        Subject::Node => !is_step(report, run),
        Subject::Relay => !is_step(report, run) && !shown_elsewhere.contains(&run.name.as_str()),
        Subject::Machine => false,
    };
    let cards = report.runs.iter().filter(own).filter_map(|run| run_card(report, run));
    cards.chain(machine_card(report)).collect()
}

fn run_card(report: &Report, run: &Run) -> Option<Card> {
    let mut series = curves(run, 0);
    if series.is_empty() {
        return None;
    }
    let drawn = series.len();
    series.extend(report.relay_of(run).into_iter().flat_map(|relay| curves(relay, drawn)));
    if run.latency_names().iter().any(|name| name == "ack") {
        series.extend(fdatasync(report));
    }
    Some(percentile_card(run.name.clone(), series))
}

/// What an acknowledgement waits for at least.
fn fdatasync(report: &Report) -> Option<Series> {
    let mut machine = report.runs.iter().filter(|run| run.subject == Subject::Machine);
    machine.find_map(|run| curves(run, 6).into_iter().find(|series| series.label == "fdatasync"))
}

fn machine_card(report: &Report) -> Option<Card> {
    let runs: Vec<&Run> = report.runs.iter().filter(|run| run.subject == Subject::Machine).collect();
    let mut series = Vec::new();
    for (run, curve) in runs.iter().flat_map(|run| curves(run, 0).into_iter().map(move |curve| (run, curve)))
    {
        let color = COLORS_OF_CURVES[series.len() % COLORS_OF_CURVES.len()];
        let stroke = if series.len() < COLORS_OF_CURVES.len() { Stroke::Solid } else { Stroke::Dashed };
        series.push(Series { label: run.name.clone(), color, stroke, ..curve });
    }
    let title = match &series[..] {
        [] => return None,
        [single] => single.label.clone(),
        _ => "The machine".to_string(),
    };
    Some(percentile_card(title, series))
}

fn percentile_card(title: String, series: Vec<Series>) -> Card {
    let lines = Lines {
        label: format!("Latency by percentile, {title}"),
        x: Axis { label: "percentile".into(), kind: Kind::Quantile, quantity: Quantity::Count },
        y: Axis { label: "latency".into(), kind: Kind::Log, quantity: Quantity::Time },
        series,
        levels: Vec::new(),
    };
    Card { title, note: String::new(), plot: Plot::Lines(lines) }
}

/// A line for each latency of a run.
fn curves(run: &Run, first_color: usize) -> Vec<Series> {
    let stroke = match run.subject {
        Subject::Node => Stroke::Solid,
        Subject::Relay => Stroke::Dashed,
        Subject::Machine => Stroke::Dotted,
    };
    let curve = |(index, name): (usize, String)| {
        let words = name.replace('_', " ");
        let label =
            if run.subject == Subject::Machine { words } else { format!("{} {words}", run.subject.label()) };
        Series {
            label,
            color: COLORS_OF_CURVES[(first_color + index) % COLORS_OF_CURVES.len()],
            stroke,
            points: curve_points(run, &name),
        }
    };
    let curves = run.latency_names().into_iter().enumerate().map(curve);
    curves.filter(|series| !series.points.is_empty()).collect()
}

/// Node's first, then the relay's; the last is the machine's.
const COLORS_OF_CURVES: [usize; 7] = [0, 2, 1, 5, 3, 7, 6];

/// Every quantile of which all rounds have a sample beyond it.
fn curve_points(run: &Run, name: &str) -> Vec<Point> {
    let curves =
        || run.rounds.iter().filter_map(|round| round.latencies.get(name)).filter(|curve| curve.count > 0);
    let samples = run.samples_min(name) as f64;
    let quantiles: BTreeSet<u64> =
        curves().flat_map(|curve| &curve.points).map(|point| point.quantile.to_bits()).collect();
    let quantiles = quantiles
        .into_iter()
        .map(f64::from_bits)
        .filter(|quantile| *quantile >= 0.0 && (1.0 - quantile) * samples >= 1.0 - 1e-9);
    let point = |quantile: f64| {
        let spread = run.latency_spread_ns(name, quantile)?;
        Some(Point {
            hint: hint(&format!("p{}", percent(quantile)), spread),
            x: quantile,
            y: spread.median,
            low: spread.low,
            high: spread.high,
        })
    };
    quantiles.filter_map(point).collect()
}

/// `99.9` of 0.999.
fn percent(quantile: f64) -> String {
    let text = format!("{:.5}", quantile * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn hint(at: &str, spread: Spread) -> String {
    let [median, low, high] = [spread.median, spread.low, spread.high].map(|ns| Unit::TIME.show(ns));
    format!("{at}: {median} ({low} .. {high})")
}

/// p50 and p99 of each latency against the rate, one plot for each sweep.
pub fn sweeps(report: &Report) -> Vec<Card> {
    growths(report, "rate").iter().filter_map(sweep_card).collect()
}

fn sweep_card(growth: &Growth) -> Option<Card> {
    let (_, first) = growth.runs.first()?;
    let names: BTreeSet<String> = growth.runs.iter().flat_map(|(_, run)| run.latency_names()).collect();
    let mut series = Vec::new();
    for (index, name) in names.iter().enumerate() {
        for (quantile, short, stroke) in [(0.99, "p99", Stroke::Solid), (0.5, "p50", Stroke::Dotted)] {
            let point = |(rate, run): &(f64, &Run)| {
                let spread = run.latency_spread_ns(name, quantile)?;
                let at = Unit { quantity: Quantity::Count, per: Some("s".into()) }.show(*rate);
                Some(Point {
                    x: *rate,
                    y: spread.median,
                    low: spread.low,
                    high: spread.high,
                    hint: hint(&at, spread),
                })
            };
            let points: Vec<Point> = growth.runs.iter().filter_map(point).collect();
            let label = format!("{} {short}", name.replace('_', " "));
            series.push(Series {
                label,
                color: COLORS_OF_CURVES[index % COLORS_OF_CURVES.len()],
                stroke,
                points,
            });
        }
    }
    let bound_us: Option<f64> = first.parameters.get("bound_us").and_then(|bound| bound.parse().ok());
    let level = |us: f64| Level {
        label: format!("bound of p99: {}", Unit::TIME.show(us * 1_000.0)),
        y: us * 1_000.0,
    };
    let title = first
        .name
        .split(", ")
        .filter(|words| !words.contains(&first.parameters["rate"]))
        .collect::<Vec<_>>()
        .join(", ");
    let lines = Lines {
        label: format!("Latency against rate, {title}"),
        x: Axis { label: "messages per second".into(), kind: Kind::Linear, quantity: Quantity::Count },
        y: Axis { label: "latency".into(), kind: Kind::Log, quantity: Quantity::Time },
        series,
        levels: bound_us.map(level).into_iter().collect(),
    };
    let note = "An open loop at one rate after the other.".to_string();
    Some(Card { title: format!("Latency by rate, {title}"), note, plot: Plot::Lines(lines) })
}
