//! Plots as SVG.
//!
//! Drawn here and not by a plotting crate: the colours must follow the reader's light or dark theme, the same plot must be
//! laid out twice (for a wide page and a narrow one), one axis is of quantiles, and no label may overlap another. The crates
//! write fixed colours and lay out for one size. Markup and its escaping are maud's.

mod axis;
mod bars;
pub mod figures;
mod gauge;
mod legend;
mod lines;
mod scale;

use maud::{Markup, html};

pub use axis::Axis;
pub use bars::{Bar, Bars, Group, Segment};
pub use gauge::gauge;
pub use lines::{Level, Lines, Point, Series, Stroke};
pub use scale::Kind;

/// Colours of [`STYLE`]; a plot uses them in this order.
pub const COLORS: usize = 8;

/// Style of plots, for a page or inside a file of its own.
pub const STYLE: &str = include_str!("plot.css");

/// Height of text in a plot, and the size of its letters.
const TEXT: f64 = 12.0;
/// From one line of text to the next.
const LINE: f64 = 18.0;

/// For which page a plot is laid out, in CSS pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Wide,
    Narrow,
}

impl Width {
    pub fn px(self) -> f64 {
        match self {
            Width::Wide => 560.0,
            Width::Narrow => 340.0,
        }
    }

    /// Height of the area with lines.
    fn lines_px(self) -> f64 {
        match self {
            Width::Wide => 230.0,
            Width::Narrow => 200.0,
        }
    }
}

/// Anything that can be drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Plot {
    Lines(Lines),
    Bars(Bars),
}

impl Plot {
    /// An `svg` element of a page that has [`STYLE`].
    pub fn svg(&self, width: Width) -> Markup {
        let (label, drawing) = match self {
            Plot::Lines(lines) => (&lines.label, lines.draw(width)),
            Plot::Bars(bars) => (&bars.label, bars.draw(width)),
        };
        let view = format!("0 0 {} {}", px(width.px()), px(drawing.height));
        html! {
            svg class="plot" role="img" aria-label=(label) viewBox=(view) width=(px(width.px())) height=(px(drawing.height)) {
                (drawing.content)
            }
        }
    }

    /// A file of its own with a title, a background and the style inside.
    pub fn standalone(&self, title: &str, note: &str) -> String {
        const MARGIN: f64 = 20.0;
        let (label, drawing) = match self {
            Plot::Lines(lines) => (&lines.label, lines.draw(Width::Wide)),
            Plot::Bars(bars) => (&bars.label, bars.draw(Width::Wide)),
        };
        let title_px = if note.is_empty() { 30.0 } else { 48.0 };
        let (width, height) = (Width::Wide.px() + 2.0 * MARGIN, drawing.height + title_px + 2.0 * MARGIN);
        let size = (px(width), px(height));
        let markup = html! {
            svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" aria-label=(label)
                viewBox=(format!("0 0 {} {}", size.0, size.1)) width=(size.0) height=(size.1) {
                style { (maud::PreEscaped(STYLE)) }
                rect class="paper" x="0.5" y="0.5" width=(px(width - 1.0)) height=(px(height - 1.0)) rx="10" {}
                text class="title" x=(px(MARGIN)) y=(px(MARGIN + 12.0)) { (title) }
                @if !note.is_empty() {
                    text class="text" x=(px(MARGIN)) y=(px(MARGIN + 32.0)) { (fitted(note, Width::Wide.px())) }
                }
                g transform=(format!("translate({} {})", px(MARGIN), px(MARGIN + title_px))) { (drawing.content) }
            }
        };
        markup.into_string()
    }
}

/// What a plot drew, from its upper left corner.
struct Drawing {
    height: f64,
    content: Markup,
}

/// A coordinate with one digit behind the point.
fn px(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    // No "-0".
    format!("{}", rounded + 0.0)
}

/// About how wide a text is; rather too much than too little.
fn text_px(text: &str) -> f64 {
    let letter = |letter: char| match letter {
        'i' | 'j' | 'l' | '.' | ',' | ':' | '\'' | '|' | ' ' | 'I' => 0.36,
        'm' | 'w' | 'M' | 'W' | '%' => 0.98,
        'A'..='Z' => 0.72,
        _ => 0.635,
    };
    text.chars().map(letter).sum::<f64>() * TEXT
}

/// A text that is cut to a width, with an ellipsis if it was longer.
fn fitted(text: &str, width_px: f64) -> String {
    if text_px(text) <= width_px {
        return text.to_string();
    }
    let mut cut: String = text.to_string();
    while !cut.is_empty() && text_px(&cut) + text_px("…") > width_px {
        cut.pop();
    }
    format!("{}…", cut.trim_end())
}

/// Figures beyond this are drawn at this, so that sums and steps stay finite.
const FIGURE_MAX: f64 = 1e200;

/// A figure that can be drawn; `None` for what is no number.
fn drawable(value: f64) -> Option<f64> {
    value.is_finite().then(|| value.clamp(-FIGURE_MAX, FIGURE_MAX))
}

#[cfg(test)]
mod tests;
