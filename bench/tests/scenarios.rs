//! Every scenario runs against the real node, with numbers too small to measure anything: what is told is there and adds up.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use bench::report;
use bench::report::model::{Report, Run, Subject};

/// The node: what `RINGTALK_BINARY` names, or the one built in the folder of this test, or a release build made for it.
fn node() -> &'static Path {
    static NODE: OnceLock<PathBuf> = OnceLock::new();
    NODE.get_or_init(|| {
        if let Some(path) = std::env::var_os("RINGTALK_BINARY") {
            return path.into();
        }
        let beside = Path::new(env!("CARGO_BIN_EXE_bench")).with_file_name("ringtalk");
        if beside.exists() {
            return beside;
        }
        let target = beside.ancestors().nth(2).expect("target/PROFILE/ringtalk");
        let release = target.join("release/ringtalk");
        if !release.exists() {
            let arguments = ["build", "--quiet", "--release", "-p", "node", "--target-dir"];
            let status = Command::new(env!("CARGO")).args(arguments).arg(target).status();
            assert!(status.expect("cargo runs").success(), "the node does not build");
        }
        release
    })
}

fn command(arguments: &str) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(arguments.split_whitespace());
    command.args(["--load-core", if cores > 1 { "1" } else { "0" }]).arg("--node").arg(node());
    command
}

/// Runs the program and reads the report it saved.
fn report(arguments: &str) -> Report {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    let output = command(arguments).arg("--save").arg(&path).output().expect("the bench runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "bench {arguments}: {errors}");
    assert!(!output.stdout.is_empty(), "nothing was printed");
    report::load(&path).expect("a report")
}

fn median(run: &Run, name: &str) -> f64 {
    run.median(name).unwrap_or_else(|| panic!("{} has no {name}", run.name))
}

fn assert_messages(run: &Run) {
    assert_eq!(run.subject, Subject::Node);
    for name in ["acked_per_s", "delivered_per_s", "server_cpu_ns_per_message", "load_cpu_share"] {
        assert!(median(run, name) > 0.0, "{}: {name}", run.name);
    }
    for round in &run.rounds {
        let (ack, delivery) = (&round.latencies["ack"], &round.latencies["delivery"]);
        assert!(ack.count > 0 && ack.count == delivery.count, "all that was acked was delivered");
        let parts: f64 = round
            .values
            .iter()
            .filter(|(name, _)| name.starts_with("server_cpu_ns_per_message/"))
            .map(|(_, value)| value)
            .sum();
        let whole = round.values["server_cpu_ns_per_message"];
        assert!((parts - whole).abs() <= whole * 1e-6, "threads add up: {parts} of {whole}");
        assert!(round.values["bytes_per_commit"] >= 128.0, "a commit holds at least a message");
    }
}

#[test]
fn direct_in_a_closed_loop() {
    let report = report("direct --pairs 3 --window 4 --rounds 2 --seconds 1 --warm-up-ms 0");
    let [run] = &report.runs[..] else { panic!("{} runs", report.runs.len()) };
    assert_eq!(run.rounds.len(), 2);
    assert_messages(run);
    assert!(run.rounds[0].series["delivered_per_s"].len() >= 9, "a point for each tenth of a second");
    let total = run.rounds[1].values["acked_total"];
    let counted: u64 = run.rounds.iter().map(|round| round.latencies["ack"].count).sum();
    assert_eq!(total, counted as f64);
}

#[test]
fn direct_in_an_open_loop_offers_its_rate() {
    let report = report("direct --pairs 3 --rate 200 --rounds 1 --seconds 1 --warm-up-ms 0 --tls");
    let run = &report.runs[0];
    assert_messages(run);
    assert_eq!(run.rounds[0].latencies["ack"].count, 200);
    assert_eq!(median(run, "offered_per_s"), 200.0);
}

#[test]
fn idle_sessions_take_memory() {
    let report = report("idle --sessions 300 --contacts 10 --steady-s 0");
    let [without, with] = &report.runs[..] else { panic!("{} runs", report.runs.len()) };
    assert_eq!((&*without.parameters["contacts"], &*with.parameters["contacts"]), ("0", "10"));
    for run in [without, with] {
        assert!(median(run, "anonymous_after_bytes") > 0.0);
        let told = run.median("user_bytes_per_session").is_some();
        assert!(told != run.warnings.iter().any(|text| text.contains("not measured")), "{:?}", run.warnings);
    }
}

#[test]
fn storms_bring_everybody_in() {
    for arguments in [
        "login-storm --sessions 40 --starting 8 --rounds 2 --tls",
        "login-storm --sessions 40 --starting 8 --rounds 2 --tickets",
        "reconnect-storm --sessions 40 --rounds 2",
    ] {
        let report = report(arguments);
        let run = &report.runs[0];
        assert_eq!(run.rounds.len(), 2);
        for round in &run.rounds {
            assert_eq!(round.latencies.values().next().expect("a latency").count, 40, "{arguments}");
        }
        assert!(median(run, "server_core_sessions_per_s") > 0.0);
    }
}

#[test]
fn everybody_is_told_of_his_contacts_in_a_storm() {
    for way in ["", "--tickets"] {
        let report = report(&format!(
            "presence --users 30 --contacts 6 --storm-s 1 --pairs 2 --rate 50 --rounds 2 {way}"
        ));
        let run = &report.runs[0];
        assert_eq!(run.rounds.len(), 2);
        for round in &run.rounds {
            assert_eq!(round.values["presences_untold_total"], 0.0, "{way}: {:?}", round.values);
            assert_eq!(round.latencies["login"].count, 30);
            assert!(round.values["presences_per_s"] > 0.0 && round.values["delivery_p99_over_quiet"] > 0.0);
        }
    }
}

#[test]
fn a_sweep_ends_at_the_highest_rate_that_held() {
    let report = report("sweep --pairs 3 --seconds 1 --rounds 1 --steps 3 --bound-ms 60000 --warm-up-ms 0");
    assert_eq!(report.runs.len(), 3);
    let rates: Vec<f64> = report.runs.iter().map(|run| median(run, "offered_per_s")).collect();
    // A bound of a minute holds whatever the machine does, so each rate is twice the one before.
    assert!(rates.windows(2).all(|pair| (pair[1] / pair[0] - 2.0).abs() < 0.01), "{rates:?}");
    let best: Vec<bool> = report.runs.iter().map(|run| run.median("highest_rate_per_s").is_some()).collect();
    assert_eq!(best, [false, false, true]);
}

#[test]
fn the_table_has_every_row_and_nothing_else() {
    // A rate holds whatever the machine does, so that there is half of one.
    let arguments = "table --rounds 1 --seconds 0.1 --warm-up-ms 0 --pairs 3 --sessions 60 --few 20 --logins 20 --messages 2000 --steady-s 0 --quiet-ms 100 --sweep-steps 2 --bound-ms 60000";
    let folder = tempfile::tempdir().expect("a folder");
    let (saved, page) = (folder.path().join("report.json"), folder.path().join("report.html"));
    let mut command = command(arguments);
    let output = command.arg("--json").arg("--out").arg(&saved).arg("--html").arg(&page).output();
    let output = output.expect("the bench runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let table = table.as_object().expect("an object");
    assert_eq!(table.keys().collect::<Vec<_>>(), ["rows"]);
    let rows = table["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 12);
    for row in rows {
        let row = row.as_object().expect("an object");
        let mut keys: Vec<&str> = row.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["aim", "floor", "name", "pass", "ratio"]);
        // So few sessions take less than the memory of a process changes by, and that is no figure then.
        let idle = row["name"].as_str().is_some_and(|name| name.starts_with("idle"));
        assert!(row["ratio"].is_number() || idle && row["pass"] == false, "{row:?}");
        assert!(row["pass"].is_boolean(), "{row:?}");
    }
    let report = report::load(&saved).expect("a report");
    assert_eq!(report.table.len(), 12);
    let names: std::collections::BTreeSet<&str> = report.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names.len(), report.runs.len(), "no two runs have one name");
    assert!(report.runs.iter().any(|run| run.subject == Subject::Relay));
    assert!(std::fs::read_to_string(&page).expect("a page").contains("</html>"));
}

#[test]
fn a_node_that_does_not_start_is_an_error() {
    let output =
        command("direct --pairs 1 --seconds 1 --node-arg=--no-such-option").output().expect("it runs");
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("ended before it was ready"), "{errors}");
}
