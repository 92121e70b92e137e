//! Figures that the node and its relay both have, side by side.

use super::super::{Bar, Bars, Group, Plot, Segment};
use super::{Card, is_step};
use crate::report::measure::Measure;
use crate::report::model::{Report, Run, Subject};
use crate::report::text::times;

/// One plot for each figure, the most telling first.
pub fn cards(report: &Report) -> Vec<Card> {
    const PLOTS_MAX: usize = 6;
    let pairs: Vec<(&Run, &Run)> = report
        .runs
        .iter()
        .filter(|run| !is_step(report, run))
        .filter_map(|run| Some((run, report.relay_of(run)?)))
        .collect();
    let mut cards: Vec<Card> = Vec::new();
    for sample in measures(&pairs) {
        let groups: Vec<Group> =
            pairs.iter().filter_map(|(node, relay)| group(&sample.key, node, relay)).collect();
        let bars = Bars {
            label: format!("{} of the node beside the relay", sample.label),
            quantity: sample.unit.quantity,
            legend: [Subject::Node, Subject::Relay]
                .map(|subject| (color(subject), subject.label().to_string()))
                .into(),
            groups,
        };
        cards.push(Card { title: sample.title(), note: String::new(), plot: Plot::Bars(bars) });
        if cards.len() == PLOTS_MAX {
            break;
        }
    }
    cards
}

/// Colours are the subject's in all plots that show both.
pub fn color(subject: Subject) -> usize {
    match subject {
        Subject::Node => 0,
        Subject::Relay => 1,
        Subject::Machine => 6,
    }
}

/// Every telling figure that a pair shares, once: processor time, rates, memory, slow latencies.
fn measures(pairs: &[(&Run, &Run)]) -> Vec<Measure> {
    let mut measures: Vec<(usize, Measure)> = Vec::new();
    for (node, relay) in pairs {
        let relay = relay.measures();
        for measure in node.measures() {
            let Some(rank) = rank(&measure) else { continue };
            let shared = relay.iter().any(|other| other.key == measure.key);
            if shared && !measures.iter().any(|(_, other)| other.key == measure.key) {
                measures.push((rank, measure));
            }
        }
    }
    measures.sort_by_key(|(rank, _)| *rank);
    measures.into_iter().map(|(_, measure)| measure).collect()
}

/// In which order figures are shown; `None` for those that tell little beside a relay.
fn rank(measure: &Measure) -> Option<usize> {
    match (measure.key.as_str(), measure.unit.per.as_deref()) {
        (key, _) if key.contains('/') => None,
        (key, _) if key.starts_with("server_cpu_ns_per_") => Some(0),
        (_, Some("s")) => Some(1),
        (_, Some("session")) => Some(2),
        (key, _) if key.starts_with("latency ") && key.ends_with(" p99") => Some(3),
        _ => None,
    }
}

fn group(key: &str, node: &Run, relay: &Run) -> Option<Group> {
    let find = |run: &Run| run.measures().into_iter().find(|measure| measure.key == key);
    let (node_measure, relay_measure) = (find(node)?, find(relay)?);
    let ratio = node_measure.spread.ratio(relay_measure.spread).map(|ratio| times(ratio.median));
    let bars = vec![bar(&node_measure, node, ratio), bar(&relay_measure, relay, None)];
    Some(Group { label: node.name.clone(), bars })
}

/// A bar of one figure.
pub fn bar(measure: &Measure, run: &Run, ratio: Option<String>) -> Bar {
    let value = measure.unit.show(measure.spread.median);
    let hint = format!("{}: {value} ({})", run.name, measure.range());
    Bar {
        segments: vec![Segment { color: color(run.subject), value: measure.spread.median, hint }],
        range: Some((measure.spread.low, measure.spread.high)),
        label: ratio.map_or(value.clone(), |ratio| format!("{value} ({ratio})")),
    }
}
