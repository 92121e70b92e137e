//! Two reports side by side: what changed by more than the rounds differ among themselves.

use std::fmt::Write as _;

use super::measure::Measure;
use super::model::{Machine, Report, Run, Spread};
use super::table::TableRow;
use super::text::{columns, indented, range, times};
use super::unit::{self, Better};

/// Rows of both reports with the ratio B/A. Marked is what lies outside the ranges of both.
pub fn compare(before: &Report, after: &Report) -> String {
    let mut text = String::new();
    for (letter, report) in [("A", before), ("B", after)] {
        let _ = writeln!(
            text,
            "{letter}: commit {}, begun {}, {}",
            report.commit,
            report.begun,
            report.machine.text()
        );
    }
    for difference in machine_differences(&before.machine, &after.machine) {
        let _ = writeln!(text, "warning: the machines differ: {difference}");
    }
    for run in &before.runs {
        if let Some(other) = after.run(&run.name) {
            let _ = write!(text, "\n{}", compare_runs(run, other));
        }
    }
    for (letter, here, there) in [("A", before, after), ("B", after, before)] {
        let only: Vec<&str> =
            here.runs.iter().map(|run| run.name.as_str()).filter(|name| there.run(name).is_none()).collect();
        if !only.is_empty() {
            let _ = writeln!(text, "\nonly in {letter}: {}", only.join("; "));
        }
    }
    text.push_str(&compare_tables(&before.table, &after.table));
    text
}

fn machine_differences(before: &Machine, after: &Machine) -> Vec<String> {
    let pairs = [
        (before.processor.clone(), after.processor.clone()),
        (format!("{} processors", before.processors), format!("{} processors", after.processors)),
        (
            format!("{} bytes of memory", before.memory_bytes),
            format!("{} bytes of memory", after.memory_bytes),
        ),
        (before.kernel.clone(), after.kernel.clone()),
    ];
    let different = pairs.into_iter().filter(|(one, other)| one != other);
    different.map(|(one, other)| format!("{one} / {other}")).collect()
}

/// Parameters, and what else keeps two runs from being compared.
fn run_differences(before: &Run, after: &Run) -> Vec<String> {
    let mut keys: Vec<&String> = before.parameters.keys().chain(after.parameters.keys()).collect();
    keys.sort();
    keys.dedup();
    let value =
        |run: &Run, key: &String| run.parameters.get(key).cloned().unwrap_or_else(|| "none".to_string());
    let different = keys
        .into_iter()
        .map(|key| (key, value(before, key), value(after, key)))
        .filter(|(_, one, other)| one != other);
    let mut differences: Vec<String> =
        different.map(|(key, one, other)| format!("{key} {one} / {other}")).collect();
    if before.subject != after.subject {
        differences.push(format!("subject {} / {}", before.subject.label(), after.subject.label()));
    }
    let seconds = |run: &Run| {
        Spread::of(run.rounds.iter().map(|round| round.seconds)).map_or(0.0, |seconds| seconds.median)
    };
    let (one, other) = (seconds(before), seconds(after));
    if (one - other).abs() > 0.1 * one.max(other) {
        differences.push(format!("rounds of {} s / {} s", unit::plain(one), unit::plain(other)));
    }
    differences
}

fn compare_runs(before: &Run, after: &Run) -> String {
    let mut text = format!("{}\n", before.name);
    for difference in run_differences(before, after) {
        let _ = writeln!(text, "  warning: the parameters differ: {difference}");
    }
    let ranged = before.rounds.len() > 1 && after.rounds.len() > 1;
    if !ranged {
        text.push_str("  warning: a single round has no range: nothing is marked\n");
    }
    let mut columns = columns(["", "A", "range", "B", "range", "B/A", "range", ""], 1..7);
    let others = after.measures();
    for measure in before.measures() {
        let Some(other) = others.iter().find(|other| other.key == measure.key) else { continue };
        let ratio = other.spread.ratio(measure.spread);
        columns.add_row([
            measure.label.clone(),
            measure.unit.show(measure.spread.median),
            measure.range(),
            other.unit.show(other.spread.median),
            other.range(),
            ratio.map_or("-".to_string(), |ratio| times(ratio.median)),
            ratio.map_or(String::new(), |ratio| range(&times(ratio.low), &times(ratio.high))),
            if ranged { mark(&measure, other).to_string() } else { String::new() },
        ]);
    }
    text.push_str(&indented(&columns, "  "));
    text
}

/// Nothing as long as the ranges of both touch.
fn mark(before: &Measure, after: &Measure) -> &'static str {
    let higher = after.spread.low > before.spread.high;
    let lower = after.spread.high < before.spread.low;
    match (higher, lower, before.unit.better()) {
        (false, false, _) => "",
        (_, _, Better::Unknown) => "<- differs",
        (true, _, Better::Higher) | (_, true, Better::Lower) => "<- better",
        _ => "<- worse",
    }
}

/// Rows that both have; nothing if there are none.
fn compare_tables(before: &[TableRow], after: &[TableRow]) -> String {
    let mut columns = columns(["what", "A", "B", "floor", "aim", "A", "B"], 1..5);
    let mut rows = 0;
    for row in before {
        let Some(other) = after.iter().find(|other| other.name == row.name) else { continue };
        rows += 1;
        let shown = |ratio: Option<f64>| ratio.map_or("-".to_string(), unit::plain);
        columns.add_row([
            row.name.clone(),
            shown(row.ratio),
            shown(other.ratio),
            unit::plain(other.floor),
            unit::plain(other.aim),
            row.reach().label().to_string(),
            other.reach().label().to_string(),
        ]);
    }
    if rows == 0 { String::new() } else { format!("\n{}", indented(&columns, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    /// The small report after a change: faster, and on another machine.
    fn changed() -> Report {
        let mut report = fixture::small();
        report.commit = "0f00d5".into();
        report.machine.kernel = "Linux 6.6.0".into();
        for round in &mut report.runs[0].rounds {
            for (name, value) in &mut round.values {
                *value *= if name.starts_with("server_cpu") { 0.5 } else { 1.02 };
            }
            round.values.insert("disk_bytes_per_message".into(), 1_024.0);
        }
        report.runs[0].parameters.insert("bytes".into(), "256".into());
        report.runs[1].name = "relay, window 1".into();
        report.table[0] = TableRow::lower("server CPU per message, plain", Some(2.0), 12.0, 4.0);
        report
    }

    #[test]
    fn what_changed_is_marked() {
        fixture::assert_golden(
            "compare.txt",
            &compare(&fixture::small(), &changed()),
            include_str!("golden/compare.txt"),
        );
    }

    #[test]
    fn a_report_beside_itself_has_no_marks_and_no_warnings() {
        let report = fixture::full();
        let text = compare(&report, &report);
        assert!(!text.contains("<-") && !text.contains("differ"), "{text}");
        assert!(text.contains("1.00 x") && !text.contains("only in"));
        assert!(text.contains("a single round has no range"), "the relay's idle run has one round");
    }

    #[test]
    fn figures_that_one_lacks_or_that_are_zero_are_no_trouble() {
        let mut report = fixture::small();
        report.runs[0].rounds.iter_mut().for_each(|round| {
            round.values.insert("acked_per_s".into(), 0.0);
        });
        report.runs[1].rounds.clear();
        let text = compare(&report, &fixture::small());
        assert!(text.contains("<- better") && !text.contains("NaN"), "{text}");
        assert!(compare(&Report::default(), &report).contains("only in B"));
    }
}
