//! `bench limit` with numbers too small to measure anything: the relay runs as a process of its own and answers everything.

use std::process::Command;

use bench::report;
use bench::report::model::{Run, Subject};

fn runs(arguments: &str) -> Vec<Run> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(arguments.split_whitespace())
        .args(["--server-core", "0", "--load-core", "0", "--seconds", "1", "--rounds", "1", "--save"])
        .arg(&path)
        .output()
        .expect("the bench runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    report::load(&path).expect("a report").runs
}

#[test]
fn the_relay_answers_every_message_plain_and_with_tls() {
    let runs = runs("limit relay --pairs 3 --windows 4");
    assert_eq!(runs.len(), 2, "plain and TLS");
    for run in runs {
        assert_eq!((run.subject, run.scenario.as_str()), (Subject::Relay, "direct"));
        let round = &run.rounds[0];
        let count = round.latencies["ack"].count;
        assert!(count > 0, "{}", run.name);
        assert_eq!(count, round.latencies["delivery"].count, "{}: one message for each answer", run.name);
        assert!(round.values["server_cpu_ns_per_message"] > 0.0, "{}", run.name);
    }
}

#[test]
fn parts_of_the_machine_are_runs_of_their_own() {
    let runs = runs("limit aead --bytes 64");
    let ciphers: Vec<&str> = runs.iter().map(|run| run.parameters["cipher"].as_str()).collect();
    assert_eq!(ciphers, ["AES-128-GCM", "AES-256-GCM"]);
    let picked = runs.iter().filter(|run| run.parameters["picked_by_tls"] == "yes").count();
    assert_eq!(picked, 1);
    for run in &runs {
        assert_eq!((run.subject, run.parameters["bytes"].as_str()), (Subject::Machine, "64"));
        assert!(run.rounds[0].values["aead_ns_per_message"] > 0.0);
    }
}
