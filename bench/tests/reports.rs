//! Saved reports through the program: shown again in every form, compared, refused when they are none.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use bench::report::model::{REPORT_FORMAT, Report, Round, Run, Subject};
use bench::report::{Table, TableRow, load};

fn bench(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("bench starts")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// A node at `cpu_ns` for each message beside a relay at 1,000.
fn save(folder: &Path, name: &str, cpu_ns: f64) {
    let run = |name: &str, subject: Subject, cpu_ns: f64| Run {
        name: name.into(),
        subject,
        parameters: [("window".to_string(), "16".to_string())].into(),
        rounds: [0.99, 1.01]
            .map(|luck| Round {
                values: [("server_cpu_ns_per_message".to_string(), cpu_ns * luck)].into(),
                ..Round::default()
            })
            .into(),
        ..Run::default()
    };
    let report = Report {
        format: REPORT_FORMAT,
        runs: vec![run("direct", Subject::Node, cpu_ns), run("relay", Subject::Relay, 1_000.0)],
        table: vec![TableRow::lower("server CPU", Some(cpu_ns / 1_000.0), 12.0, 4.0)],
        ..Report::default()
    };
    fs::write(folder.join(name), serde_json::to_string(&report).expect("json")).expect("written");
}

#[test]
fn a_saved_report_is_shown_in_every_form() {
    let folder = tempfile::tempdir().expect("folder");
    save(folder.path(), "a.json", 3_000.0);
    let shown = text(&bench(
        &["show", "a.json", "--html", "a.html", "--svg", "a.svg", "--save", "b.json"],
        folder.path(),
    ));
    assert!(shown.contains("3.00 x") && shown.contains("pass, aim reached"), "{shown}");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect(name);
    assert!(read("a.html").contains("3.00 µs (3.00 x)"));
    assert!(read("a.svg").starts_with("<svg"));
    assert_eq!(load(&folder.path().join("b.json")).expect("a report").text(), shown);
    let json: Report =
        serde_json::from_str(&text(&bench(&["show", "a.json", "--json"], folder.path()))).expect("json");
    assert_eq!(Table { rows: json.table }.rows.len(), 1);
}

#[test]
fn several_reports_are_shown_as_one() {
    let folder = tempfile::tempdir().expect("folder");
    save(folder.path(), "a.json", 3_000.0);
    let mut report = load(&folder.path().join("a.json")).expect("a report");
    report.commit = "0f00d5".into();
    report.runs[0].name = "sweep".into();
    fs::write(folder.path().join("b.json"), serde_json::to_string(&report).expect("json")).expect("written");
    let shown = text(&bench(&["show", "a.json", "b.json"], folder.path()));
    for part in ["\ndirect\n", "\nsweep\n", "warning: put together from runs of commits"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn differences_are_no_error() {
    let folder = tempfile::tempdir().expect("folder");
    save(folder.path(), "a.json", 3_000.0);
    save(folder.path(), "b.json", 1_500.0);
    let compared = text(&bench(&["compare", "a.json", "b.json"], folder.path()));
    assert!(compared.contains("0.500 x") && compared.contains("<- better"), "{compared}");
    let same = text(&bench(&["compare", "a.json", "a.json"], folder.path()));
    assert!(same.contains("1.00 x") && !same.contains("<-"), "{same}");
}

#[test]
fn what_is_no_report_or_has_no_such_plot_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    save(folder.path(), "a.json", 3_000.0);
    fs::write(folder.path().join("none.json"), "{}").expect("written");
    for arguments in [
        &["show", "missing.json"][..],
        &["show", "none.json"],
        &["compare", "a.json", "none.json"],
        &["show", "a.json", "--svg", "a.svg", "--plot", "sweep"],
        &["show", "a.json", "--plot", "time"],
    ] {
        let output = bench(arguments, folder.path());
        assert!(!output.status.success() && !output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}
