//! Which colour is what.

use maud::{Markup, html};

use super::lines::{Stroke, Weight};
use super::{Drawing, LINE, TEXT, fitted, px, text_px};

/// A sign with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub label: String,
    pub color: usize,
    pub sign: Sign,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sign {
    Line(Stroke, Weight),
    Box,
}

const LINE_SIGN: f64 = 22.0;

impl Sign {
    /// From the left of the sign to its name.
    fn px(self) -> f64 {
        match self {
            Sign::Line(..) => LINE_SIGN + 6.0,
            Sign::Box => 20.0,
        }
    }
}

const APART: f64 = 16.0;

/// Entries side by side, on as many lines as they need. Empty for a single one: the title says it.
pub(super) fn draw(entries: &[Entry], width_px: f64) -> Drawing {
    if entries.len() < 2 {
        return Drawing { height: 0.0, content: html! {} };
    }
    let (mut x, mut y) = (0.0, 0.0);
    let mut content = Vec::new();
    for entry in entries {
        let label = fitted(&entry.label, width_px - entry.sign.px());
        let width = entry.sign.px() + text_px(&label);
        if x > 0.0 && x + width > width_px {
            (x, y) = (0.0, y + LINE);
        }
        content.push(draw_entry(entry, &label, x, y));
        x += width + APART;
    }
    Drawing { height: y + LINE, content: html! { @for entry in content { (entry) } } }
}

fn draw_entry(entry: &Entry, label: &str, x: f64, y: f64) -> Markup {
    let middle = y + LINE / 2.0;
    html! {
        @match entry.sign {
            Sign::Line(stroke, weight) => {
                line class=(format!("line {} {} c{}", stroke.class(), weight.class(), entry.color)) x1=(px(x + 1.0)) x2=(px(x + LINE_SIGN - 1.0)) y1=(px(middle)) y2=(px(middle)) {}
            }
            Sign::Box => {
                rect class=(format!("bar c{}", entry.color)) x=(px(x)) y=(px(middle - 5.5)) width="14" height="11" rx="2" {}
            }
        }
        text class="strong" x=(px(x + entry.sign.px())) y=(px(middle + TEXT / 3.0)) { (label) }
    }
}
