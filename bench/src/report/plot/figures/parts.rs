//! Bars whose parts add up: processor time by thread, memory by kind.

use std::collections::BTreeMap;

use super::super::{Bar, Bars, COLORS, Group, Plot, Segment};
use super::{Card, is_step};
use crate::report::measure::{Measure, capitalized};
use crate::report::model::{Report, Run};
use crate::report::unit::{self, Quantity};

/// A plot for each time that has parts, such as server CPU per message and per login, over the runs that have it.
pub fn threads(report: &Report) -> Vec<Card> {
    let runs: Vec<(&Run, Vec<Measure>)> =
        report.runs.iter().filter(|run| !is_step(report, run)).map(|run| (run, parts(run))).collect();
    let mut wholes: Vec<&str> = Vec::new();
    for measure in runs.iter().flat_map(|(_, parts)| parts) {
        if !wholes.contains(&whole(measure)) {
            wholes.push(whole(measure));
        }
    }
    wholes.into_iter().map(|name| thread_card(name, &runs)).collect()
}

fn thread_card(name: &str, runs: &[(&Run, Vec<Measure>)]) -> Card {
    let of = |parts: &[Measure]| -> Vec<Measure> {
        parts.iter().filter(|measure| whole(measure) == name).cloned().collect()
    };
    let stacked: Vec<(&Run, Vec<Measure>)> =
        runs.iter().map(|(run, parts)| (*run, of(parts))).filter(|(_, parts)| !parts.is_empty()).collect();
    let colors = colors(stacked.iter().flat_map(|(_, parts)| parts));
    let group = |(run, parts): &(&Run, Vec<Measure>)| Group {
        label: run.name.clone(),
        bars: vec![stack(run.measure(name), parts, &colors)],
    };
    let title = format!("{}, by thread", capitalized(&unit::parse(name).label()));
    let bars = Bars {
        label: title.clone(),
        quantity: Quantity::Time,
        legend: legend(&colors),
        groups: stacked.iter().map(group).collect(),
    };
    Card { title, note: "In user and kernel mode, as the system counts it.".into(), plot: Plot::Bars(bars) }
}

/// Times that are parts of another.
fn parts(run: &Run) -> Vec<Measure> {
    let part = |measure: &Measure| measure.key.contains('/') && measure.unit.quantity == Quantity::Time;
    run.measures().into_iter().filter(part).collect()
}

fn whole(measure: &Measure) -> &str {
    measure.key.split('/').next().unwrap_or_default()
}

/// Memory per session of every kind, over the runs that have it.
pub fn memory(report: &Report) -> Option<Card> {
    let measures =
        |run: &Run| -> Vec<Measure> { run.measures().into_iter().filter(is_memory_of_a_session).collect() };
    let runs: Vec<(&Run, Vec<Measure>)> =
        report.runs.iter().map(|run| (run, measures(run))).filter(|(_, found)| !found.is_empty()).collect();
    if runs.is_empty() {
        return None;
    }
    let mut names: Vec<String> =
        runs.iter().flat_map(|(_, found)| found.iter().map(|measure| measure.label.clone())).collect();
    names.sort_by_key(|name| (!name.starts_with("user"), name.clone()));
    names.dedup();
    let color = |label: &str| names.iter().position(|name| name == label).unwrap_or(0);
    let bar = |measure: &Measure| {
        let value = measure.unit.show(measure.spread.median);
        let hint = format!("{}: {value} ({})", measure.label, measure.range());
        Bar {
            segments: vec![Segment { color: color(&measure.label), value: measure.spread.median, hint }],
            range: Some((measure.spread.low, measure.spread.high)),
            label: value,
        }
    };
    let mut groups = Vec::new();
    for (run, mut found) in runs {
        found.sort_by_key(|measure| color(&measure.label));
        groups.push(Group { label: run.name.clone(), bars: found.iter().map(bar).collect() });
    }
    let bars = Bars {
        label: "Memory per idle session".into(),
        quantity: Quantity::Bytes,
        legend: names.iter().cloned().enumerate().collect(),
        groups,
    };
    Some(Card { title: "Memory per idle session".into(), note: String::new(), plot: Plot::Bars(bars) })
}

/// Bytes per session that are not on disk.
fn is_memory_of_a_session(measure: &Measure) -> bool {
    let on_disk = ["disk_", "store_"].iter().any(|kind| measure.key.starts_with(kind));
    let per_session = measure.unit.per.as_deref() == Some("session");
    measure.unit.quantity == Quantity::Bytes && per_session && !on_disk
}

/// Colour by part: those of the most runs first, of them the largest. All beyond the colours share the last one, as "other".
fn colors<'a>(parts: impl Iterator<Item = &'a Measure>) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for measure in parts {
        let (runs, largest) = found.entry(part(measure)).or_default();
        *runs += 1;
        *largest = largest.max(measure.spread.median);
    }
    let mut names: Vec<(String, (usize, f64))> = found.into_iter().collect();
    names.sort_by(|(one, (runs, largest)), (other, (other_runs, other_largest))| {
        other_runs.cmp(runs).then(other_largest.total_cmp(largest)).then_with(|| one.cmp(other))
    });
    let color = |(index, (name, _)): (usize, (String, _))| (name, index.min(COLORS - 1));
    names.into_iter().enumerate().map(color).collect()
}

/// By colour. A colour of several parts is "other".
fn legend(colors: &BTreeMap<String, usize>) -> Vec<(usize, String)> {
    let mut legend: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for (name, color) in colors {
        legend.entry(*color).or_default().push(name);
    }
    let label = |names: Vec<&str>| if names.len() == 1 { names[0].to_string() } else { "other".to_string() };
    legend.into_iter().map(|(color, names)| (color, label(names))).collect()
}

fn part(measure: &Measure) -> String {
    measure.key.split_once('/').map_or(String::new(), |(_, part)| part.to_string())
}

/// Labelled with the whole: medians of parts need not add up to it.
fn stack(whole: Option<Measure>, parts: &[Measure], colors: &BTreeMap<String, usize>) -> Bar {
    let sum: f64 = parts.iter().map(|measure| measure.spread.median).sum();
    let segment = |measure: &Measure| {
        let hint =
            format!("{}: {} ({})", part(measure), measure.unit.show(measure.spread.median), measure.range());
        Segment { color: colors[&part(measure)], value: measure.spread.median, hint }
    };
    let mut segments: Vec<Segment> = parts.iter().map(segment).collect();
    segments.sort_by_key(|segment| segment.color);
    Bar { segments, range: None, label: parts[0].unit.show(whole.map_or(sum, |whole| whole.spread.median)) }
}
