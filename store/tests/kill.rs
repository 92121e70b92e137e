//! SIGKILL at any moment: what was acknowledged is there, in order and without holes. So little memory is allowed that
//! rows are moved from the log to tables all the time.
//!
//! With the feature `fault-injection` the same test is turned round: a store that acknowledges before it commits must
//! be caught by it.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Opened, op, options, try_open};
use store::StoreOptions;
use store::record::kv::CommitOutcome;

const CHILD: &str = "RINGTALK_TEST_KILL_DIR";
const WINDOW: u64 = 8;

fn open(dir: &Path) -> Opened {
    try_open(StoreOptions { write_buffer_bytes: 0, ..options(dir) }).unwrap()
}

/// Commits rows 1, 2, 3 ... after those that are there, and says which are acknowledged, until it is killed.
fn child(dir: &Path) -> ! {
    let mut store = open(dir);
    let mut row = store.all(0).len() as u64;
    let mut in_flight = std::collections::VecDeque::new();
    let mut out = std::io::stdout();
    loop {
        while (in_flight.len() as u64) < WINDOW {
            row += 1;
            let number = store.submit(0, vec![op(&format!("{row:08}"), Some(&"v".repeat(300)))]);
            in_flight.push_back((row, number));
        }
        let (row, number) = in_flight.pop_front().unwrap();
        assert_eq!(store.inbox.outcome(0, 0, number), CommitOutcome::Committed);
        writeln!(out, "acked {row}").unwrap();
    }
}

/// Lets the child acknowledge some rows and kills it. Gives the highest that it acknowledged.
fn kill_after(dir: &Path, test: &str, acked_min: usize, fault: &str) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, dir)
        .env("RINGTALK_STORE_FAULT", fault)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acked = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(row) = line.strip_prefix("acked ") {
            acked.push(row.parse::<u64>().unwrap());
        }
        if acked.len() == acked_min {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acked.len() >= acked_min, "the child ended by itself");
    *acked.last().unwrap()
}

/// How many rows are stored, which must be the first ones.
fn stored(dir: &Path) -> u64 {
    let mut store = open(dir);
    let rows = store.all(0);
    for (index, (key, _)) in rows.iter().enumerate() {
        assert_eq!(key, &format!("{:08}", index + 1));
    }
    store.close();
    rows.len() as u64
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    if let Some(dir) = std::env::var_os(CHILD) {
        child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    for acked_min in [1, 7, 40, 150, 3, 400, 90] {
        let acked = kill_after(dir.path(), "nothing_acknowledged_is_lost_by_a_kill", acked_min, "");
        let stored = stored(dir.path());
        assert!((acked..=acked + WINDOW + 1).contains(&stored), "acknowledged {acked}, stored {stored}");
    }
    let store = open(dir.path());
    assert!(store.store.stats().shards[0].table_bytes > 50_000, "nothing was moved, so this tests little");
    store.close();
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_store_that_acknowledges_too_early_is_caught_by_a_kill() {
    const KILLS_MAX: usize = 20;
    if let Some(dir) = std::env::var_os(CHILD) {
        child(Path::new(&dir));
    }
    let name = "a_store_that_acknowledges_too_early_is_caught_by_a_kill";
    for _ in 0..KILLS_MAX {
        let dir = tempfile::tempdir().unwrap();
        if kill_after(dir.path(), name, 20, "ack-before-commit") > stored(dir.path()) {
            return;
        }
    }
    panic!("the planted fault was not found");
}
