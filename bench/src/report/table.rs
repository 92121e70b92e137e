//! What must be reached, row by row: the ratio measured, its floor and its aim.

use serde::{Deserialize, Serialize};

use super::unit;

/// One row of what must be reached. `ratio`, `floor` and `aim` are in one unit; the name says it where it is not "times the relay".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableRow {
    pub name: String,
    /// `None` if it was not measured.
    pub ratio: Option<f64>,
    pub floor: f64,
    pub aim: f64,
    /// Whether the floor was reached.
    pub pass: bool,
    /// Why it was not measured, or what belongs to the figure. In saved reports only: `table --json` has the five above.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// How far a row came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Aim,
    Floor,
    Short,
    NotMeasured,
}

impl TableRow {
    /// Of a figure that should be low, such as a cost.
    pub fn lower(name: impl Into<String>, ratio: Option<f64>, floor: f64, aim: f64) -> Self {
        let ratio = ratio.filter(|ratio| ratio.is_finite());
        let pass = ratio.is_some_and(|ratio| ratio <= floor);
        Self { name: name.into(), ratio, floor, aim, pass, note: String::new() }
    }

    /// Of a figure that should be high, such as a rate.
    pub fn higher(name: impl Into<String>, ratio: Option<f64>, floor: f64, aim: f64) -> Self {
        let ratio = ratio.filter(|ratio| ratio.is_finite());
        let pass = ratio.is_some_and(|ratio| ratio >= floor);
        Self { name: name.into(), ratio, floor, aim, pass, note: String::new() }
    }

    /// A figure that should be low, or why there is none.
    pub fn lower_or_why(name: impl Into<String>, ratio: Result<f64, String>, floor: f64, aim: f64) -> Self {
        match ratio {
            Ok(ratio) => Self::lower(name, Some(ratio), floor, aim),
            Err(why) => Self::lower(name, None, floor, aim).noted(format!("not measured: {why}")),
        }
    }

    /// With something to say beside the figure, behind what is said already.
    #[must_use]
    pub fn noted(mut self, note: impl AsRef<str>) -> Self {
        if !self.note.is_empty() && !note.as_ref().is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(note.as_ref());
        self
    }

    pub fn reach(&self) -> Reach {
        let Some(ratio) = self.ratio else { return Reach::NotMeasured };
        let aimed = if self.aim <= self.floor { ratio <= self.aim } else { ratio >= self.aim };
        match (self.pass, aimed) {
            (true, true) => Reach::Aim,
            (true, false) => Reach::Floor,
            (false, _) => Reach::Short,
        }
    }
}

impl Reach {
    pub fn label(self) -> &'static str {
        match self {
            Reach::Aim => "pass, aim reached",
            Reach::Floor => "pass",
            Reach::Short => "short",
            Reach::NotMeasured => "not measured",
        }
    }
}

/// All rows. As JSON: `{"rows":[{"name","ratio","floor","aim","pass"}]}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub rows: Vec<TableRow>,
}

impl Table {
    /// Aligned, one line for each row.
    pub fn text(&self) -> String {
        let mut columns = super::text::columns(["what", "measured", "floor", "aim", ""], 1..4);
        for row in &self.rows {
            columns.add_row([
                row.name.clone(),
                row.ratio.map_or("-".to_string(), unit::plain),
                unit::plain(row.floor),
                unit::plain(row.aim),
                row.reach().label().to_string(),
            ]);
        }
        let mut text = super::text::indented(&columns, "");
        for row in self.rows.iter().filter(|row| !row.note.is_empty()) {
            text.push_str(&format!("{}: {}\n", row.name, row.note));
        }
        text
    }

    /// `{"rows":[{"name","ratio","floor","aim","pass"}]}`, without notes.
    #[must_use]
    pub fn without_notes(mut self) -> Self {
        self.rows.iter_mut().for_each(|row| row.note.clear());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Table {
        Table {
            rows: vec![
                TableRow::lower("server CPU per message, plain", Some(3.5), 12.0, 4.0),
                TableRow::lower("server CPU per message, TLS", Some(9.25), 15.0, 6.0),
                TableRow::higher("logins with tickets, per s", Some(8_321.0), 10_000.0, 30_000.0),
                TableRow::higher("full logins, per s", Some(f64::NAN), 2_000.0, 5_000.0),
            ],
        }
    }

    #[test]
    fn passes_at_the_floor_and_not_beyond_it() {
        assert!(TableRow::lower("", Some(2.0), 2.0, 1.0).pass);
        assert!(!TableRow::lower("", Some(2.1), 2.0, 1.0).pass);
        assert!(TableRow::higher("", Some(2.0), 2.0, 3.0).pass);
        assert!(!TableRow::higher("", Some(1.9), 2.0, 3.0).pass);
        assert!(!TableRow::lower("", None, 2.0, 1.0).pass);
        assert_eq!(
            rows().rows.iter().map(TableRow::reach).collect::<Vec<_>>(),
            [Reach::Aim, Reach::Floor, Reach::Short, Reach::NotMeasured]
        );
    }

    #[test]
    fn json_has_these_fields_and_no_other() {
        let table = Table {
            rows: vec![TableRow::lower("a", Some(1.5), 2.0, 1.0), TableRow::lower("b", None, 2.0, 1.0)],
        };
        assert_eq!(
            serde_json::to_string(&table).unwrap(),
            r#"{"rows":[{"name":"a","ratio":1.5,"floor":2.0,"aim":1.0,"pass":true},{"name":"b","ratio":null,"floor":2.0,"aim":1.0,"pass":false}]}"#
        );
    }

    #[test]
    fn a_row_without_a_figure_says_why_and_never_passes() {
        let row = TableRow::lower_or_why("idle", Err("the figure is negative".into()), 1.0, 0.5);
        assert_eq!((row.ratio, row.pass, row.reach()), (None, false, Reach::NotMeasured));
        let table = Table { rows: vec![row.noted("in 2 runs")] };
        assert!(table.text().contains("idle: not measured: the figure is negative; in 2 runs\n"));
        assert!(!serde_json::to_string(&table.without_notes()).unwrap().contains("note"));
        assert!(TableRow::lower_or_why("idle", Ok(0.5), 1.0, 0.5).pass);
    }

    #[test]
    fn text_is_aligned() {
        let expected = "\
what                           measured   floor     aim
server CPU per message, plain      3.50    12.0    4.00  pass, aim reached
server CPU per message, TLS        9.25    15.0    6.00  pass
logins with tickets, per s        8,321  10,000  30,000  short
full logins, per s                    -   2,000   5,000  not measured
";
        assert_eq!(rows().text(), expected);
    }
}
