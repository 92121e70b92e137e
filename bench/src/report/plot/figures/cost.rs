//! What a message costs as sessions and stored messages become more.

use super::super::{Axis, Kind, Lines, Plot, Point, Series, Stroke};
use super::{Card, growths};
use crate::report::model::{Report, Run};
use crate::report::unit::{Quantity, plain};

/// Parameters that grow, and how people call them.
const GROWING: [(&str, &str); 2] = [("sessions", "sessions"), ("stored", "stored messages")];

/// The figure that must stay flat.
const COST: &str = "server_cpu_ns_per_message";

pub fn cards(report: &Report) -> Vec<Card> {
    let mut cards = Vec::new();
    for (parameter, words) in GROWING {
        let mut series = Vec::new();
        for growth in growths(report, parameter) {
            let point = |(at, run): &(f64, &Run)| {
                let measure = run.measure(COST)?;
                let hint = format!(
                    "{} {words}: {} ({})",
                    plain(*at),
                    measure.unit.show(measure.spread.median),
                    measure.range()
                );
                Some(Point {
                    x: *at,
                    y: measure.spread.median,
                    low: measure.spread.low,
                    high: measure.spread.high,
                    hint,
                })
            };
            let points: Vec<Point> = growth.runs.iter().filter_map(point).collect();
            if !points.is_empty() {
                let label = format!("{}, {}", growth.runs[0].1.scenario, growth.runs[0].1.subject.label());
                series.push(Series { label, color: series.len(), stroke: Stroke::Solid, points });
            }
        }
        if series.is_empty() {
            continue;
        }
        let lines = Lines {
            label: format!("Server CPU per message against {words}"),
            x: Axis { label: words.into(), kind: Kind::Log, quantity: Quantity::Count },
            y: Axis { label: "server CPU per message".into(), kind: Kind::Linear, quantity: Quantity::Time },
            series,
            levels: Vec::new(),
        };
        cards.push(Card {
            title: format!("Server CPU per message, by {words}"),
            note: String::new(),
            plot: Plot::Lines(lines),
        });
    }
    cards
}
