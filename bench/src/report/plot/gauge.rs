//! Where a row of the table stands between its floor and its aim.

use maud::{Markup, html};

use super::px;
use crate::report::table::TableRow;

const WIDTH: f64 = 150.0;
const HEIGHT: f64 = 18.0;
/// Floor and aim lie at the same places in all rows, so that rows can be compared.
const FLOOR: f64 = 0.30;
const AIM: f64 = 0.72;

/// Better is further right. Nothing for a row that was not measured or has no scale.
pub fn gauge(row: &TableRow) -> Markup {
    let Some(place) = place(row) else { return html! {} };
    let middle = HEIGHT / 2.0;
    let zones = [(0.0, FLOOR, "zone short"), (FLOOR, AIM, "zone floor"), (AIM, 1.0, "zone aim")];
    html! {
        svg class="gauge" aria-hidden="true" viewBox=(format!("0 0 {} {}", px(WIDTH), px(HEIGHT))) width=(px(WIDTH)) height=(px(HEIGHT)) {
            @for (from, to, class) in zones {
                rect class=(class) x=(px(from * WIDTH + 0.75)) y=(px(middle - 3.0)) width=(px((to - from) * WIDTH - 1.5)) height="6" rx="2" {}
            }
            circle class="needle" cx=(px(place * WIDTH)) cy=(px(middle)) r="5.5" {}
        }
    }
}

/// From 0 to 1, by the logarithm of the figure.
fn place(row: &TableRow) -> Option<f64> {
    const EDGE: f64 = 0.04;
    let per_zone = (row.aim / row.floor).ln();
    let from_floor = (row.ratio.filter(|ratio| ratio.is_finite())? / row.floor).max(1e-9).ln() / per_zone;
    let place = FLOOR + (AIM - FLOOR) * from_floor;
    place.is_finite().then(|| place.clamp(EDGE, 1.0 - EDGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_and_aim_have_their_places_whichever_way_is_better() {
        for (floor, aim) in [(12.0, 4.0), (10_000.0, 30_000.0)] {
            let at =
                |ratio| place(&TableRow { ratio: Some(ratio), floor, aim, ..TableRow::default() }).unwrap();
            assert!((at(floor) - FLOOR).abs() < 1e-9);
            assert!((at(aim) - AIM).abs() < 1e-9);
            assert!((0.0..=1.0).contains(&at(0.0)) && (0.0..=1.0).contains(&at(1e30)));
        }
    }

    #[test]
    fn rows_without_a_scale_have_no_gauge() {
        for (ratio, floor, aim) in
            [(None, 2.0, 1.0), (Some(1.0), 2.0, 2.0), (Some(1.0), 0.0, 1.0), (Some(f64::NAN), 2.0, 1.0)]
        {
            let row = TableRow { ratio, floor, aim, ..TableRow::default() };
            assert_eq!(gauge(&row).into_string(), "", "{row:?}");
        }
    }
}
