//! Bars from left to right, in groups, each of one or more parts.

use maud::{Markup, html};

use super::axis::Frame;
use super::legend::{self, Entry, Sign};
use super::scale::{Kind, Scale};
use super::{COLORS, Drawing, LINE, TEXT, Width, drawable, fitted, px, text_px};
use crate::report::unit::Quantity;

#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// For those who do not see it.
    pub label: String,
    pub quantity: Quantity,
    /// What each colour is.
    pub legend: Vec<(usize, String)>,
    pub groups: Vec<Group>,
}

/// Bars under a common name.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub label: String,
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// From left to right. Parts that are no numbers or not above zero are not drawn.
    pub segments: Vec<Segment>,
    /// Smallest and largest over the rounds.
    pub range: Option<(f64, f64)>,
    /// Behind the bar.
    pub label: String,
}

/// A part of a bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub color: usize,
    pub value: f64,
    /// Shown under the pointer.
    pub hint: String,
}

const BAR: f64 = 16.0;
const BETWEEN_BARS: f64 = 3.0;
const BETWEEN_GROUPS: f64 = 11.0;

impl Segment {
    fn drawn(&self) -> f64 {
        drawable(self.value).unwrap_or(0.0).max(0.0)
    }
}

impl Bar {
    fn length(&self) -> f64 {
        self.segments.iter().map(Segment::drawn).sum()
    }

    /// What the bar reaches with its range.
    fn reach(&self) -> f64 {
        let high = self.range.and_then(|(_, high)| drawable(high)).unwrap_or(0.0);
        self.length().max(high)
    }
}

impl Bars {
    pub(super) fn draw(&self, width: Width) -> Drawing {
        let entry = |(color, label): &(usize, String)| Entry {
            label: label.clone(),
            color: color % COLORS,
            sign: Sign::Box,
        };
        let legend = legend::draw(&self.legend.iter().map(entry).collect::<Vec<_>>(), width.px());
        let frame = self.frame(width, legend.height);
        let content = html! {
            (legend.content)
            (frame.columns(""))
            @if self.groups.is_empty() {
                text class="text middle" x=(px((frame.left + frame.right) / 2.0)) y=(px((frame.top + frame.bottom) / 2.0 + 4.0)) { "no data" }
            }
            (self.draw_groups(&frame, width))
            line class="base" x1=(px(frame.left)) x2=(px(frame.left)) y1=(px(frame.top)) y2=(px(frame.bottom)) {}
        };
        Drawing { height: frame.bottom + LINE + 6.0, content }
    }

    fn frame(&self, width: Width, legend_px: f64) -> Frame {
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let labels = if width == Width::Wide { 6 } else { 4 };
        let x = Scale::around(Kind::Linear, self.quantity, bars().map(Bar::reach), labels);
        let behind = bars().map(|bar| text_px(&bar.label)).fold(0.0, f64::max);
        let top = legend_px + if legend_px > 0.0 { 8.0 } else { 0.0 };
        let height = self.groups.iter().map(Group::height).sum::<f64>().max(40.0);
        let right = (width.px() - behind - 10.0).max(width.px() / 3.0);
        Frame {
            left: 1.0,
            right,
            top,
            bottom: top + height,
            x,
            y: Scale::around(Kind::Linear, Quantity::Count, [].into_iter(), 2),
        }
    }

    fn draw_groups(&self, frame: &Frame, width: Width) -> Markup {
        let mut top = frame.top;
        let mut drawn = Vec::new();
        for group in &self.groups {
            let label = fitted(&group.label, width.px() - 4.0);
            drawn.push(html! {
                text class="strong" x=(px(frame.left + 4.0)) y=(px(top + LINE - 5.0)) { (label) @if label != group.label { title { (group.label) } } }
                @for (index, bar) in group.bars.iter().enumerate() {
                    (bar.draw(frame, top + LINE + 2.0 + index as f64 * (BAR + BETWEEN_BARS)))
                }
            });
            top += group.height();
        }
        html! { @for group in drawn { (group) } }
    }
}

impl Group {
    fn height(&self) -> f64 {
        LINE + 2.0 + self.bars.len() as f64 * (BAR + BETWEEN_BARS) + BETWEEN_GROUPS
    }
}

impl Bar {
    fn draw(&self, frame: &Frame, top: f64) -> Markup {
        let middle = top + BAR / 2.0;
        let mut from = 0.0;
        let segments: Vec<Markup> = self
            .segments
            .iter()
            .filter(|segment| segment.drawn() > 0.0)
            .map(|segment| {
                let left = frame.x(from);
                from += segment.drawn();
                segment.draw(left, frame.x(from), top)
            })
            .collect();
        html! {
            @for segment in segments { (segment) }
            @if let Some((low, high)) = self.drawn_range() {
                @let (left, right) = (px(frame.x(low)), px(frame.x(high)));
                line class="range" x1=(left) x2=(right) y1=(px(middle)) y2=(px(middle)) {}
                line class="range" x1=(left) x2=(left) y1=(px(middle - 3.5)) y2=(px(middle + 3.5)) {}
                line class="range" x1=(right) x2=(right) y1=(px(middle - 3.5)) y2=(px(middle + 3.5)) {}
            }
            text class="strong" x=(px(frame.x(self.reach()) + 7.0)) y=(px(middle + TEXT / 3.0)) { (self.label) }
        }
    }

    fn drawn_range(&self) -> Option<(f64, f64)> {
        let (low, high) = self.range?;
        let (low, high) = (drawable(low)?, drawable(high)?);
        (low < high).then_some((low, high))
    }
}

impl Segment {
    fn draw(&self, left: f64, right: f64, top: f64) -> Markup {
        // A thin gap keeps neighbours apart whatever their colours are.
        let width = (right - left - 0.8).max(0.6);
        html! {
            rect class=(format!("bar c{}", self.color % COLORS)) x=(px(left)) y=(px(top)) width=(px(width)) height=(px(BAR)) rx="1.5" {
                @if !self.hint.is_empty() { title { (self.hint) } }
            }
        }
    }
}
