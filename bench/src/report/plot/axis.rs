//! The frame of a plot: grid, ticks, their labels and what the axes are of.

use maud::{Markup, html};

use super::scale::{Kind, Scale};
use super::{LINE, TEXT, px, text_px};
use crate::report::unit::Quantity;

/// What an axis shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub label: String,
    pub kind: Kind,
    pub quantity: Quantity,
}

/// A rectangle with two axes, in pixels from the upper left corner of the plot.
pub(super) struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub x: Scale,
    pub y: Scale,
}

impl Frame {
    pub fn x(&self, value: f64) -> f64 {
        self.left + self.x.place(value) * (self.right - self.left)
    }

    pub fn y(&self, value: f64) -> f64 {
        self.bottom - self.y.place(value) * (self.bottom - self.top)
    }

    /// How much room the labels of an axis at the left take.
    pub fn labels_px(scale: &Scale) -> f64 {
        let labels = scale.ticks.iter().filter_map(|tick| tick.label.as_deref());
        labels.map(text_px).fold(0.0, f64::max) + 8.0
    }

    /// Height below the frame that [`Frame::columns`] needs.
    pub const BELOW: f64 = 2.0 * LINE + 4.0;

    /// Lines across with labels at the left, and above them what they show.
    pub fn rows(&self, label: &str) -> Markup {
        html! {
            text class="text" x="0" y=(px(self.top - 14.0)) { (label) }
            @for tick in &self.y.ticks {
                @let y = self.y(tick.value);
                line class={ "grid" @if tick.label.is_none() { " minor" } } x1=(px(self.left)) x2=(px(self.right)) y1=(px(y)) y2=(px(y)) {}
                @if let Some(label) = &tick.label {
                    text class="text end" x=(px(self.left - 7.0)) y=(px(y + TEXT / 3.0)) { (label) }
                }
            }
        }
    }

    /// Lines down with labels below, those left out that would touch the one before, and below them what they show, if that is not empty.
    pub fn columns(&self, label: &str) -> Markup {
        html! {
            @for tick in &self.x.ticks {
                @let x = self.x(tick.value);
                line class={ "grid" @if tick.label.is_none() { " minor" } } x1=(px(x)) x2=(px(x)) y1=(px(self.top)) y2=(px(self.bottom)) {}
            }
            @for (x, label) in self.column_labels() {
                text class="text middle" x=(px(x)) y=(px(self.bottom + LINE)) { (label) }
            }
            @if !label.is_empty() {
                text class="text end" x=(px(self.right)) y=(px(self.bottom + 2.0 * LINE)) { (label) }
            }
        }
    }

    pub fn base(&self) -> Markup {
        html! { line class="base" x1=(px(self.left)) x2=(px(self.right)) y1=(px(self.bottom)) y2=(px(self.bottom)) {} }
    }

    /// Labels with the middle of each.
    pub(super) fn column_labels(&self) -> Vec<(f64, String)> {
        const APART: f64 = 8.0;
        let mut free = f64::NEG_INFINITY;
        let mut labels = Vec::new();
        for tick in &self.x.ticks {
            let Some(label) = &tick.label else { continue };
            let half = text_px(label) / 2.0;
            let x = self.x(tick.value);
            if x - half >= free {
                free = x + half + APART;
                labels.push((x, label.clone()));
            }
        }
        labels
    }
}
