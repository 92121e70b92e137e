//! A long answer, drawn in place of the messages until it is closed.

use super::text::wrap;

/// Answers with more lines get a page; shorter ones are told above the input line.
pub const TOLD_LINES_MAX: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Made safe for the screen.
    lines: Vec<String>,
    /// The first row that is shown.
    top: usize,
}

impl Page {
    pub fn new(lines: Vec<String>) -> Self {
        Self { lines, top: 0 }
    }

    fn all_rows(&self, columns: usize) -> Vec<String> {
        self.lines.iter().flat_map(|line| wrap(line, columns)).collect()
    }

    /// What is on a screen of this size.
    pub fn rows(&self, columns: usize, rows_max: usize) -> Vec<String> {
        let all = self.all_rows(columns);
        let top = self.top.min(all.len().saturating_sub(rows_max));
        all.into_iter().skip(top).take(rows_max).collect()
    }

    /// Which of its rows are shown, for people.
    pub fn place(&self, columns: usize, rows_max: usize) -> String {
        let count = self.all_rows(columns).len();
        let top = self.top.min(count.saturating_sub(rows_max));
        format!("{}-{} of {count}, PageDown: more, Esc: back", top + 1, (top + rows_max).min(count))
    }

    /// `rows` up are positive.
    pub fn scroll(&mut self, rows: i32, columns: usize, rows_max: usize) {
        let end = self.all_rows(columns).len().saturating_sub(rows_max);
        let top = self.top.min(end) as i64 - i64::from(rows);
        self.top = top.clamp(0, end as i64) as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_seen_and_none_beyond() {
        let mut page = Page::new((1..=25).map(|number| format!("line {number}")).collect());
        assert_eq!(page.rows(20, 10)[0], "line 1");
        page.scroll(-9, 20, 10);
        assert_eq!(page.rows(20, 10)[0], "line 10");
        page.scroll(-90, 20, 10);
        assert_eq!(page.rows(20, 10).last().map(String::as_str), Some("line 25"));
        assert_eq!(page.place(20, 10), "16-25 of 25, PageDown: more, Esc: back");
        page.scroll(100, 20, 10);
        assert_eq!(page.place(20, 10), "1-10 of 25, PageDown: more, Esc: back");
        assert_eq!(page.rows(20, 40).len(), 25);
        assert_eq!(page.rows(4, 60).len(), 50, "wrapped");
    }
}
