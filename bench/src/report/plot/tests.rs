//! Every kind of plot with figures that are hard to draw.

use super::*;
use crate::report::fixture;
use crate::report::model::{LatencyCurve, Point as SeriesPoint, Quantile, Report, Round, Run, Subject};
use crate::report::unit::Quantity;
use figures::Figure;

/// No figure, one, equal ones, zero, negative ones, huge ranges and what is no number.
const HARD: [&[f64]; 9] = [
    &[],
    &[42.0],
    &[0.0],
    &[0.0, 0.0, 0.0],
    &[7.0, 7.0],
    &[1e-300, 1e300],
    &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
    &[-5.0, 0.0, 5.0, f64::NAN],
    &[f64::MIN, f64::MAX],
];

fn assert_drawn(plot: &Plot, case: &str) {
    for width in [Width::Wide, Width::Narrow] {
        let svg = plot.svg(width).into_string();
        for wrong in ["NaN", "inf", "d=\"\"", "width=\"-", "height=\"-"] {
            assert!(!svg.contains(wrong), "{case}: {wrong} in {svg}");
        }
        assert_inside(&svg, width, case);
    }
}

/// All coordinates lie on the paper.
fn assert_inside(svg: &str, width: Width, case: &str) {
    for attribute in [" x=\"", " x1=\"", " x2=\"", " cx=\""] {
        for rest in svg.split(attribute).skip(1) {
            let value: f64 = rest.split('"').next().unwrap().parse().unwrap();
            assert!(
                (-0.1..=width.px() + 0.1).contains(&value),
                "{case}: {attribute}{value} of {}",
                width.px()
            );
        }
    }
}

fn lines(kinds: (Kind, Kind), values: &[f64]) -> Plot {
    let axis = |kind| Axis { label: "axis".into(), kind, quantity: Quantity::Time };
    let point = |(index, value): (usize, &f64)| {
        let x = if kinds.0 == Kind::Quantile { 1.0 - 0.1_f64.powi(index as i32) } else { *value };
        Point { x, y: *value, low: value * 0.5, high: value * 2.0, hint: "here".into() }
    };
    let points: Vec<Point> = values.iter().enumerate().map(point).collect();
    let series = |color: usize| Series {
        label: format!("line {color}"),
        color,
        stroke: Stroke::Dashed,
        points: points.clone(),
    };
    let levels = vec![Level { label: "bound".into(), y: values.first().copied().unwrap_or(3.0) }];
    Plot::Lines(Lines {
        label: "lines".into(),
        x: axis(kinds.0),
        y: axis(kinds.1),
        series: vec![series(0), series(9)],
        levels,
    })
}

fn bars(values: &[f64]) -> Plot {
    let segment = |value: &f64| Segment { color: 0, value: *value, hint: "here".into() };
    let stacked = Bar { segments: values.iter().map(segment).collect(), range: None, label: "sum".into() };
    let bar = |value: &f64| Bar {
        segments: vec![segment(value)],
        range: Some((*value, value * 2.0)),
        label: "a label".into(),
    };
    let group = Group {
        label: "a group with a name that is longer than any page is wide, and a little more".into(),
        bars: values.iter().map(bar).collect(),
    };
    Plot::Bars(Bars {
        label: "bars".into(),
        quantity: Quantity::Bytes,
        legend: vec![(0, "one".into()), (1, "other".into())],
        groups: if values.is_empty() {
            Vec::new()
        } else {
            vec![group, Group { label: "stack".into(), bars: vec![stacked] }]
        },
    })
}

#[test]
fn lines_draw_whatever_they_are_given() {
    for kinds in [
        (Kind::Linear, Kind::Linear),
        (Kind::Linear, Kind::Log),
        (Kind::Log, Kind::Linear),
        (Kind::Quantile, Kind::Log),
    ] {
        for values in HARD {
            assert_drawn(&lines(kinds, values), &format!("{kinds:?} {values:?}"));
        }
    }
}

#[test]
fn bars_draw_whatever_they_are_given() {
    for values in HARD {
        assert_drawn(&bars(values), &format!("{values:?}"));
    }
}

#[test]
fn plots_without_figures_say_so() {
    assert!(lines((Kind::Linear, Kind::Log), &[f64::NAN]).svg(Width::Wide).into_string().contains("no data"));
    assert!(bars(&[]).svg(Width::Wide).into_string().contains("no data"));
}

/// A report in which every figure is this one.
fn report_of(value: f64) -> Report {
    let names = [
        "server_cpu_ns_per_message",
        "server_cpu_ns_per_message/shard-0",
        "delivered_per_s",
        "user_bytes_per_session",
    ];
    let ns = if value.is_finite() { value.max(0.0) as u64 } else { 0 };
    let quantiles = [0.0, 0.5, 0.99, value].map(|quantile| Quantile { quantile, ns });
    let round = Round {
        seconds: value,
        values: fixture::values(&names.map(|name| (name, value))),
        latencies: [(
            "ack".to_string(),
            LatencyCurve { count: 1_000, mean_ns: value, max_ns: ns, points: quantiles.into() },
        )]
        .into(),
        series: [("delivered_per_s".to_string(), vec![SeriesPoint { at_s: value, value }])].into(),
    };
    let run = |subject: Subject, parameters: &[(&str, &str)]| -> Run {
        fixture::run(
            subject,
            &format!("{subject:?} {}", parameters.len()),
            parameters,
            vec![round.clone(), Round::default()],
        )
    };
    let runs = vec![
        run(Subject::Node, &[("window", "1")]),
        run(Subject::Relay, &[("window", "1")]),
        run(Subject::Node, &[("rate", "1"), ("bound_us", "NaN")]),
        run(Subject::Node, &[("rate", "1e300")]),
        run(Subject::Node, &[("sessions", "0")]),
        run(Subject::Node, &[("sessions", "-1")]),
        run(Subject::Machine, &[]),
    ];
    Report { runs, ..Report::default() }
}

#[test]
fn every_figure_of_a_report_draws_whatever_was_measured() {
    for value in HARD.concat() {
        let report = report_of(value);
        for figure in Figure::ALL {
            for card in figure.cards(&report) {
                assert_drawn(&card.plot, &format!("{figure:?} of {value}"));
            }
        }
        assert!(report.html().contains("</html>"));
        assert!(!report.text().is_empty());
    }
}

#[test]
fn every_figure_is_found_in_a_full_report_and_none_in_an_empty_one() {
    let report = fixture::full();
    for figure in Figure::ALL {
        assert!(!figure.cards(&report).is_empty(), "{figure:?}");
        figure.cards(&report).iter().for_each(|card| assert_drawn(&card.plot, &card.title));
        assert!(figure.cards(&Report::default()).is_empty(), "{figure:?}");
        assert!(
            figure
                .standalone(&report, None)
                .is_some_and(|svg| svg.starts_with("<svg xmlns") && svg.ends_with("</svg>"))
        );
    }
    assert_eq!(Figure::Percentiles.standalone(&report, Some("no such run")), None);
}

#[test]
fn a_run_of_a_sweep_has_no_percentiles_of_its_own() {
    let titles: Vec<String> =
        Figure::Percentiles.cards(&fixture::full()).into_iter().map(|card| card.title).collect();
    assert!(titles.contains(&"direct, plain, half the top rate".to_string()));
    assert!(titles.iter().all(|title| !title.starts_with("sweep")), "{titles:?}");
}

#[test]
fn figures_hold_what_belongs_to_them() {
    let round = |disk: f64| Round {
        values: fixture::values(&[
            ("user_bytes_per_session", 600.0),
            ("disk_bytes_per_session", disk),
            ("server_cpu_ns_per_login", 50.0),
            ("server_cpu_ns_per_login/core", 20.0),
            ("server_cpu_ns_per_login/store", 30.0),
        ]),
        latencies: fixture::small().runs[0].rounds[0]
            .latencies
            .values()
            .map(|curve| ("login".into(), curve.clone()))
            .collect(),
        series: ["logins_per_s", "server_cores_used"]
            .map(|name| (name.into(), vec![SeriesPoint::default()]))
            .into(),
        ..Round::default()
    };
    let mut relay = round(7.0);
    relay.values.retain(|name, _| !name.contains("store"));
    let mut report = fixture::full();
    report.runs = vec![
        fixture::run(Subject::Node, "storm", &[], vec![round(9.0)]),
        fixture::run(Subject::Relay, "relay", &[], vec![relay]),
        report.runs.into_iter().find(|run| run.subject == Subject::Machine).unwrap(),
    ];
    let page = |figure: Figure| -> String {
        figure.cards(&report).iter().map(|card| card.plot.svg(Width::Wide).into_string()).collect()
    };
    assert!(page(Figure::Memory).contains("600 B") && !page(Figure::Memory).contains("disk"));
    assert!(page(Figure::Time).contains("logins") && !page(Figure::Time).contains("cores used"));
    let threads = page(Figure::Threads);
    let (core, store) = (threads.find(">core<").unwrap(), threads.find(">store<").unwrap());
    assert!(core < store, "the thread of all runs comes first, though it is smaller");
    let percentiles = Figure::Percentiles.cards(&report);
    assert!(
        !percentiles[0].plot.svg(Width::Wide).into_string().contains("fdatasync"),
        "a login waits for no fdatasync"
    );
    assert_eq!(percentiles.last().unwrap().title, "fdatasync of the same bytes");
}

#[test]
fn what_is_cut_has_an_ellipsis_and_fits() {
    assert_eq!(fitted("short", 100.0), "short");
    let cut = fitted("a rather long name of a run", 80.0);
    assert!(cut.ends_with('…') && text_px(&cut) <= 80.0, "{cut}");
    assert_eq!(fitted("name", 0.0), "…");
}
