//! A report as text: one block for each run, its figures aligned.

use std::fmt::Write as _;
use std::ops::Range;

use comfy_table::{CellAlignment, ContentArrangement, Table as Columns, presets};

use super::measure::Measure;
use super::model::{Machine, Report, Run, Spread, Subject};
use super::table::Table;
use super::unit::{self, Quantity};

/// Empty columns under a header; those of `right` hold figures.
pub(super) fn columns<const COUNT: usize>(header: [&str; COUNT], right: Range<usize>) -> Columns {
    let mut columns = Columns::new();
    columns
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for (index, column) in columns.column_iter_mut().enumerate() {
        column.set_padding((if index == 0 { 0 } else { 2 }, 0));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    columns
}

/// Lines of columns behind an indent, without spaces at their ends.
pub(super) fn indented(columns: &Columns, indent: &str) -> String {
    columns.lines().fold(String::new(), |mut text, line| {
        text.push_str(format!("{indent}{line}").trim_end());
        text.push('\n');
        text
    })
}

impl Report {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("commit {}, begun {}\n{}\n", self.commit, self.begun, self.machine.text());
        text.push_str(&warnings(&self.warnings, ""));
        for run in &self.runs {
            let _ = write!(text, "\n{}", run.text(self.relay_of(run)));
        }
        if !self.table.is_empty() {
            let _ = write!(text, "\n{}", Table { rows: self.table.clone() }.text());
        }
        text
    }
}

impl Machine {
    /// One line.
    pub fn text(&self) -> String {
        let memory = unit::Unit { quantity: Quantity::Bytes, per: None }.show(self.memory_bytes as f64);
        format!("{}, {} processors, {memory}, {}", self.processor, self.processors, self.kernel)
    }
}

impl Run {
    /// Name, parameters and figures, with ratios to the relay if there is one.
    pub fn text(&self, relay: Option<&Run>) -> String {
        let mut text = format!("{}\n  {}\n", self.name, self.circumstances());
        text.push_str(&warnings(&self.warnings, "  "));
        let measures = self.measures();
        let columns = match relay {
            Some(relay) => beside_relay(&measures, relay),
            None => alone(&measures),
        };
        text.push_str(&indented(&columns, "  "));
        text
    }

    /// Subject, rounds and parameters on one line.
    pub fn circumstances(&self) -> String {
        let mut words = vec![self.subject.label().to_string()];
        let seconds = Spread::of(self.rounds.iter().map(|round| round.seconds));
        let seconds =
            seconds.map_or(String::new(), |seconds| format!(" of {} s", unit::plain(seconds.median)));
        words.push(match self.rounds.len() {
            1 => format!("1 round{seconds}"),
            count => format!("{count} rounds{seconds}"),
        });
        words.extend(self.parameters.iter().map(|(key, value)| format!("{} {value}", key.replace('_', " "))));
        words.join(", ")
    }
}

impl Subject {
    pub fn label(self) -> &'static str {
        match self {
            Subject::Node => "node",
            Subject::Relay => "relay",
            Subject::Machine => "machine",
        }
    }
}

fn warnings(warnings: &[String], indent: &str) -> String {
    warnings.iter().map(|warning| format!("{indent}warning: {warning}\n")).collect()
}

/// `low .. high`, or one figure if all rounds had it.
pub(super) fn range(low: &str, high: &str) -> String {
    if low == high { low.to_string() } else { format!("{low} .. {high}") }
}

impl Measure {
    pub(super) fn range(&self) -> String {
        range(&self.unit.show(self.spread.low), &self.unit.show(self.spread.high))
    }
}

/// `2.00 x`.
pub(super) fn times(ratio: f64) -> String {
    format!("{} x", unit::plain(ratio))
}

fn alone(measures: &[Measure]) -> Columns {
    let mut columns = columns(["", "median", "range"], 1..3);
    for measure in measures {
        columns.add_row([measure.label.clone(), measure.unit.show(measure.spread.median), measure.range()]);
    }
    columns
}

fn beside_relay(measures: &[Measure], relay: &Run) -> Columns {
    let relay = relay.measures();
    let mut columns = columns(["", "median", "range", "relay", "ratio", "range"], 1..6);
    for measure in measures {
        let of_relay = relay.iter().find(|other| other.key == measure.key);
        let ratio = of_relay.and_then(|other| measure.spread.ratio(other.spread));
        columns.add_row([
            measure.label.clone(),
            measure.unit.show(measure.spread.median),
            measure.range(),
            of_relay.map_or(String::new(), |other| other.unit.show(other.spread.median)),
            ratio.map_or(String::new(), |ratio| times(ratio.median)),
            ratio.map_or(String::new(), |ratio| range(&times(ratio.low), &times(ratio.high))),
        ]);
    }
    columns
}

#[cfg(test)]
mod tests {
    use crate::report::fixture;

    #[test]
    fn a_run_beside_its_relay() {
        fixture::assert_golden("small.txt", &fixture::small().text(), include_str!("golden/small.txt"));
    }
}
