//! Lines over two axes, with bands for the range of the rounds.

use maud::{Markup, html};

use super::axis::{Axis, Frame};
use super::legend::{self, Entry, Sign};
use super::scale::Scale;
use super::{COLORS, Drawing, LINE, Width, drawable, px, text_px};

#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// For those who do not see it.
    pub label: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    pub levels: Vec<Level>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub label: String,
    pub color: usize,
    pub stroke: Stroke,
    pub points: Vec<Point>,
}

/// A point of a line with the range of the rounds. Points that are no numbers are not drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
    /// Shown under the pointer; empty for nothing.
    pub hint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    Solid,
    Dashed,
    Dotted,
}

/// A height with a name, such as a bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    pub label: String,
    pub y: f64,
}

/// How a line is drawn. A broad one lies below: one that coincides with it can still be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Normal,
    Broad,
}

impl Weight {
    /// The first of several lines of the same stroke is broad.
    fn of(series: &[Series], index: usize) -> Self {
        let mut alike = (0..series.len()).filter(|other| series[*other].stroke == series[index].stroke);
        let first = alike.next() == Some(index);
        if first && alike.next().is_some() { Self::Broad } else { Self::Normal }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Weight::Normal => "normal",
            Weight::Broad => "broad",
        }
    }
}

impl Stroke {
    pub(super) fn class(self) -> &'static str {
        match self {
            Stroke::Solid => "solid",
            Stroke::Dashed => "dashed",
            Stroke::Dotted => "dotted",
        }
    }
}

impl Point {
    fn drawable(&self) -> Option<Self> {
        let (x, y) = (drawable(self.x)?, drawable(self.y)?);
        let (low, high) = (drawable(self.low).unwrap_or(y), drawable(self.high).unwrap_or(y));
        Some(Self { x, y, low, high, hint: self.hint.clone() })
    }
}

impl Lines {
    pub(super) fn draw(&self, width: Width) -> Drawing {
        let series: Vec<Series> =
            self.series.iter().map(Series::drawable).filter(|series| !series.points.is_empty()).collect();
        let levels: Vec<&Level> = self.levels.iter().filter(|level| drawable(level.y).is_some()).collect();
        let weights: Vec<Weight> = (0..series.len()).map(|index| Weight::of(&series, index)).collect();
        let entry = |(series, weight): (&Series, &Weight)| Entry {
            label: series.label.clone(),
            color: series.color,
            sign: Sign::Line(series.stroke, *weight),
        };
        let entries: Vec<Entry> = series.iter().zip(&weights).map(entry).collect();
        let legend = legend::draw(&entries, width.px());
        let frame = self.frame(&series, &levels, width, legend.height);
        let height = frame.bottom + Frame::BELOW;
        let content = html! {
            (legend.content)
            (frame.rows(&self.y.label))
            (frame.columns(&self.x.label))
            (frame.base())
            @if series.is_empty() {
                text class="text middle" x=(px((frame.left + frame.right) / 2.0)) y=(px((frame.top + frame.bottom) / 2.0)) { "no data" }
            }
            @for level in levels { (level.draw(&frame)) }
            @for line in &series { (line.draw_band(&frame)) }
            @for (line, weight) in series.iter().zip(&weights) { (line.draw_line(&frame, *weight)) }
            @if width == Width::Wide {
                @for line in &series { (line.draw_hints(&frame)) }
            }
        };
        Drawing { height, content }
    }

    fn frame(&self, series: &[Series], levels: &[&Level], width: Width, legend_px: f64) -> Frame {
        let points = || series.iter().flat_map(|series| &series.points);
        let heights = points().flat_map(|point| [point.y, point.low, point.high]);
        let heights = heights.chain(levels.iter().filter_map(|level| drawable(level.y)));
        let labels = if width == Width::Wide { 6 } else { 4 };
        let x = Scale::around(self.x.kind, self.x.quantity, points().map(|point| point.x), labels);
        let y = Scale::around(self.y.kind, self.y.quantity, heights, 5);
        let top = legend_px + LINE + 14.0;
        let half_of_last = x.ticks.last().and_then(|tick| tick.label.as_deref()).map_or(0.0, text_px) / 2.0;
        Frame {
            left: Frame::labels_px(&y),
            right: width.px() - half_of_last.max(6.0),
            top,
            bottom: top + width.lines_px(),
            x,
            y,
        }
    }
}

impl Series {
    /// In the order of x, without what cannot be drawn.
    fn drawable(&self) -> Self {
        let mut points: Vec<Point> = self.points.iter().filter_map(Point::drawable).collect();
        points.sort_by(|one, other| one.x.total_cmp(&other.x));
        Self { points, color: self.color % COLORS, label: self.label.clone(), stroke: self.stroke }
    }

    fn draw_band(&self, frame: &Frame) -> Markup {
        let band = self.points.iter().any(|point| point.low < point.high) && self.points.len() > 1;
        let upper = self.points.iter().map(|point| (point.x, point.high));
        let lower = self.points.iter().rev().map(|point| (point.x, point.low));
        html! {
            @if band {
                path class=(format!("band c{}", self.color)) d={ (path(frame, upper.chain(lower))) "Z" } {}
            }
        }
    }

    fn draw_line(&self, frame: &Frame, weight: Weight) -> Markup {
        /// Lines of more points are drawn without dots.
        const DOTS_MAX: usize = 12;
        html! {
            @if self.points.len() > 1 {
                path class=(format!("line {} {} c{}", self.stroke.class(), weight.class(), self.color)) d=(path(frame, self.points.iter().map(|point| (point.x, point.y)))) {}
            }
            @if self.points.len() <= DOTS_MAX {
                @for point in &self.points {
                    circle class=(format!("dot c{}", self.color)) cx=(px(frame.x(point.x))) cy=(px(frame.y(point.y))) r="3.2" {}
                }
            }
        }
    }

    fn draw_hints(&self, frame: &Frame) -> Markup {
        html! {
            @for point in self.points.iter().filter(|point| !point.hint.is_empty()) {
                @let (x, y) = (px(frame.x(point.x)), px(frame.y(point.y)));
                g class=(format!("spot c{}", self.color)) {
                    circle class="seen" cx=(x) cy=(y) r="4" {}
                    circle class="hit" cx=(x) cy=(y) r="9" { title { (self.label) ", " (point.hint) } }
                }
            }
        }
    }
}

impl Level {
    fn draw(&self, frame: &Frame) -> Markup {
        let y = frame.y(self.y);
        html! {
            line class="level" x1=(px(frame.left)) x2=(px(frame.right)) y1=(px(y)) y2=(px(y)) {}
            text class="text" x=(px(frame.left + 6.0)) y=(px(y - 5.0)) { (self.label) }
        }
    }
}

/// `M` to the first point and `L` to the others.
fn path(frame: &Frame, points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        path.push(if path.is_empty() { 'M' } else { 'L' });
        path.push_str(&format!("{} {}", px(frame.x(x)), px(frame.y(y))));
    }
    path
}
