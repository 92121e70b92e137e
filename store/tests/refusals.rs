//! Folders that must not be opened, a disk that is full, and a write that fails.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use common::{op, open, options, try_open};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use store::record::kv::{CommitOutcome, StoreShardId};
use store::{OpenError, Placement, RowVisitor, check, repair};

fn error(dir: &Path) -> OpenError {
    let error = try_open(options(dir)).err().expect("the store must not open");
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    error
}

#[test]
fn a_folder_of_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close();
    let path = dir.path().join("manifest.json");
    let newer = fs::read_to_string(&path).unwrap().replace("\"format\": 2", "\"format\": 3, \"new\": true");
    fs::write(&path, &newer).unwrap();
    let error = error(dir.path());
    assert!(matches!(error, OpenError::NewerFormat { found: 3, known: 2, .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn a_damaged_or_missing_manifest_is_told() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close();
    let path = dir.path().join("manifest.json");
    for damaged in
        ["", "{", "{\"format\": 1}", "null", "{\"format\": 1, \"store_shards\": 3, \"slots\": 1024}"]
    {
        fs::write(&path, damaged).unwrap();
        let error = error(dir.path());
        assert!(matches!(error, OpenError::Manifest { .. }), "{error}");
    }
    fs::remove_file(&path).unwrap();
    assert!(error(dir.path()).to_string().contains("manifest.json is missing beside shard-0"));
    assert!(matches!(check(dir.path(), &mut ()), Err(OpenError::NoManifest { .. })));
    assert!(matches!(repair(dir.path()), Err(OpenError::NoManifest { .. })));
}

#[test]
fn a_path_that_is_no_folder_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(error(&file), OpenError::Unusable { .. }));
    assert!(matches!(error(&file.join("below")), OpenError::Unusable { .. }));
    assert!(matches!(check(&dir.path().join("absent"), &mut ()), Err(OpenError::Unusable { .. })));
}

#[test]
fn a_first_start_that_was_cut_short_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close();
    let path = dir.path().join("manifest.json");
    let cut_short = fs::read_to_string(&path).unwrap().replace("\"complete\": true", "\"complete\": false");
    fs::write(&path, cut_short).unwrap();
    fs::remove_dir_all(dir.path().join("shard-01")).unwrap();
    fs::remove_dir_all(dir.path().join("shard-01.log")).unwrap();
    fs::remove_file(dir.path().join("shard-01.mark")).unwrap();
    assert!(check(dir.path(), &mut ()).unwrap().is_clean());
    assert!(repair(dir.path()).unwrap().is_sound());
    let mut store = open(dir.path());
    store.put(1, "k", "v");
    store.close();
}

#[test]
fn processors_that_do_not_exist_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for processor in [900, 1_000_000] {
        let mut wrong = options(dir.path());
        wrong.placement = Placement::Within(vec![processor]);
        let error = try_open(wrong).err().unwrap();
        assert!(matches!(error, OpenError::Option(_)), "{error}");
    }
    let mut right = options(dir.path());
    right.placement = Placement::Within(vec![0]);
    try_open(right).unwrap().close();
}

#[test]
fn below_the_floor_batches_are_refused_until_space_returns() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(1_000_000));
    let mut with_floor = options(dir.path());
    with_floor.free_floor_bytes = 500_000;
    with_floor.free_space = {
        let free = free.clone();
        Arc::new(move |_: &Path| Ok(free.load(Relaxed)))
    };
    let mut store = try_open(with_floor).unwrap();
    store.put(0, "before", "1");
    free.store(499_999, Relaxed);
    // What was asked a moment ago may still count.
    while store.commit(0, vec![op("full", Some("2"))]) != CommitOutcome::Full {}
    assert_eq!(store.commit(0, vec![op("full too", Some("2"))]), CommitOutcome::Full);
    assert!(store.all(0).iter().any(|(key, _)| key == "before"), "reads go on");
    assert_eq!(store.store.poisoned(), None);
    free.store(1_000_000, Relaxed);
    while store.commit(0, vec![op("after", Some("3"))]) != CommitOutcome::Committed {}
    let keys: Vec<_> = store.all(0).into_iter().map(|(key, _)| key).collect();
    assert!(keys.contains(&"after".to_owned()) && !keys.contains(&"full too".to_owned()), "{keys:?}");
    store.close();
}

#[test]
fn one_large_group_does_not_slip_under_the_floor() {
    let dir = tempfile::tempdir().unwrap();
    let mut with_floor = options(dir.path());
    with_floor.free_floor_bytes = 500_000;
    with_floor.free_space = Arc::new(|_: &Path| Ok(505_000));
    let mut store = try_open(with_floor).unwrap();
    let large = "v".repeat(3_000);
    assert_eq!(store.commit(0, vec![op("k", Some(&large))]), CommitOutcome::Full);
    store.put(0, "k", "small");
    store.close();
}

/// Runs itself again as a child that may not write large files: the limit is the process's.
#[test]
fn a_failed_write_poisons_the_store() {
    const CHILD: &str = "RINGTALK_TEST_POISON_DIR";
    if let Some(dir) = std::env::var_os(CHILD) {
        return poisoned_child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_failed_write_poisons_the_store", "--nocapture"])
        .env(CHILD, dir.path())
        .status()
        .unwrap();
    assert!(status.success());
    let mut store = open(dir.path());
    let keys: Vec<_> = store.all(0).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys[0], "acknowledged", "{keys:?}");
    assert!(!keys.contains(&"later".to_owned()), "{keys:?}");
    store.close();
}

fn poisoned_child(dir: &Path) {
    let mut store = open(dir);
    store.put(0, "acknowledged", "1");
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(16_384), ..before }).unwrap();
    let large = "v".repeat(4_000);
    let mut outcome = CommitOutcome::Committed;
    for row in 0..10 {
        outcome = store.commit(0, vec![op(&format!("large-{row}"), Some(&large))]);
        if outcome != CommitOutcome::Committed {
            break;
        }
    }
    assert_eq!(outcome, CommitOutcome::Unknown);
    let reason = store.store.poisoned().unwrap();
    assert!(reason.starts_with("store shard 0: a commit failed"), "{reason}");
    setrlimit(Resource::Fsize, before).unwrap();
    assert_eq!(store.commit(0, vec![op("later", Some("2"))]), CommitOutcome::Unknown);
    assert_eq!(store.commit(1, vec![op("later", Some("2"))]), CommitOutcome::Unknown, "the whole store");
    assert!(store.all(0).iter().any(|(key, _)| key == "acknowledged"), "reads go on");
    store.close();
}

#[derive(Default)]
struct Recorder {
    seen: Vec<(u16, String)>,
    ends: Vec<u16>,
}

impl RowVisitor for Recorder {
    fn on_row(&mut self, shard: StoreShardId, key: &[u8], value: &[u8]) -> Result<(), String> {
        self.seen.push((shard.0, String::from_utf8(key.to_vec()).unwrap()));
        if value == b"bad" { Err("bad value".to_owned()) } else { Ok(()) }
    }

    fn on_shard_end(&mut self, shard: StoreShardId) -> Vec<String> {
        self.ends.push(shard.0);
        if shard.0 == 1 { vec!["a hole in a log".to_owned()] } else { Vec::new() }
    }
}

#[test]
fn check_shows_every_row_in_order_and_reports_what_the_visitor_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for key in ["b", "a", "c"] {
        store.put(0, key, "good");
    }
    store.put(1, "z", "bad");
    assert!(matches!(check(dir.path(), &mut ()), Err(OpenError::InUse { .. })));
    store.close();
    let mut recorder = Recorder::default();
    let report = check(dir.path(), &mut recorder).unwrap();
    let seen: Vec<_> = recorder.seen.iter().map(|(shard, key)| (*shard, key.as_str())).collect();
    assert_eq!(seen, [(0, "a"), (0, "b"), (0, "c"), (1, "z")]);
    assert_eq!(recorder.ends, [0, 1]);
    assert_eq!(report.rows, 4);
    assert_eq!(report.findings, ["store shard 1: row 7a: bad value", "store shard 1: a hole in a log"]);
    assert!(report.to_string().ends_with("check: store_shards=2 rows=4 findings=2"));
    assert_eq!(open(dir.path()).store.term(), 2, "a check does not raise the term");
}

/// A feed that fails is told, also when nobody commits, and nothing waits forever.
#[test]
fn a_failed_feed_poisons_the_store_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = options(dir.path());
    small.write_buffer_bytes = 0;
    let mut store = try_open(small).unwrap();
    store.put(0, "acknowledged", "1");
    let tables = dir.path().join("shard-00/keyspaces/1/tables");
    let aside = tables.with_extension("aside");
    fs::rename(&tables, &aside).unwrap();
    fs::write(&tables, "not a folder").unwrap();
    let large = "v".repeat(4_000);
    let mut acknowledged = 1;
    while store.commit(0, vec![op(&format!("large-{acknowledged:05}"), Some(&large))])
        == CommitOutcome::Committed
    {
        acknowledged += 1;
    }
    let reason = store.store.poisoned().unwrap();
    assert!(reason.starts_with("store shard 0: a feed failed"), "{reason}");
    assert_eq!(store.all(0).len(), acknowledged, "reads go on");
    store.close();
    fs::remove_file(&tables).unwrap();
    fs::rename(aside, &tables).unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.all(0).len(), acknowledged);
    store.close();
}
