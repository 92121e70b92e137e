//! Damaged stores: what opens by itself, what `check` says, and what `repair` does and refuses to do.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::log::{self, copy_folder, mark, mark_path, place_of, set_mark, used};
use common::{open, options, try_open};
use store::{OpenError, check, repair};

/// Commits `rows` rows and closes; the mark is then at the last one, or trails by one row.
fn store_with(dir: &Path, rows: u32, mark_trails: bool) {
    let mut store = open(dir);
    for row in 1..rows {
        store.put(0, &format!("key-{row:03}"), &value(row));
    }
    store.close();
    let trailing = mark(dir);
    let mut store = open(dir);
    store.put(0, &format!("key-{rows:03}"), &value(rows));
    store.close();
    if mark_trails {
        set_mark(dir, &trailing);
    }
}

fn value(row: u32) -> String {
    format!("value-{row:03}-").repeat(40)
}

fn rows(dir: &Path) -> usize {
    let mut store = open(dir);
    let rows = store.all(0);
    for (index, (key, found)) in rows.iter().enumerate() {
        let row = index as u32 + 1;
        assert_eq!((key, found), (&format!("key-{row:03}"), &value(row)));
    }
    store.close();
    rows.len()
}

fn open_error(dir: &Path) -> OpenError {
    let error = try_open(options(dir)).err().expect("the store must not open");
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    error
}

/// Nothing is repaired and the log does not change.
fn assert_refused(dir: &Path, why: &str) {
    let before = used(dir);
    let report = repair(dir).unwrap();
    assert!(!report.is_sound() && report.repaired.is_empty(), "{report}");
    assert!(report.refused[0].contains(why) && report.refused[0].contains("backup"), "{report}");
    assert_eq!(used(dir), before);
}

#[test]
fn repair_does_not_go_below_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    store_with(dir.path(), 20, false);
    log::flip(dir.path(), place_of(dir.path(), "value-020-") + 3, 0x10);
    let error = open_error(dir.path());
    assert!(matches!(error, OpenError::BehindMark { last: 19, mark: 20, .. }), "{error}");
    assert_refused(dir.path(), "commit 20 was acknowledged and only 19 would be left");
    assert!(open_error(dir.path()).to_string().contains("backup"));
}

/// What a power cut can leave of the commit that was being written.
#[test]
fn a_torn_last_commit_is_left_out_at_the_next_start() {
    for (name, inflict) in [
        ("zeros", (|dir, at| log::zero(dir, at, 5_000)) as fn(&Path, u64)),
        ("cut", log::truncate),
        ("flip", |dir, at| log::flip(dir, at + 20, 0x10)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        store_with(dir.path(), 20, true);
        inflict(dir.path(), place_of(dir.path(), "key-020") - 5);
        assert!(check(dir.path(), &mut ()).unwrap().is_clean(), "{name}");
        assert!(repair(dir.path()).unwrap().repaired.is_empty(), "{name}: it needs no repair");
        assert_eq!(rows(dir.path()), 19, "{name}");
        // The number of the commit that was left out is given again.
        let mut store = open(dir.path());
        store.put(0, "key-020", &value(20));
        store.close();
        assert_eq!(rows(dir.path()), 20, "{name}");
    }
}

#[test]
fn a_missing_or_foreign_segment_is_told() {
    for (name, inflict) in [
        ("a segment in the middle", (|segments| fs::remove_file(&segments[1]).unwrap()) as fn(&[PathBuf])),
        ("the first segment", |segments| fs::remove_file(&segments[0]).unwrap()),
        ("all segments", |segments| segments.iter().for_each(|segment| fs::remove_file(segment).unwrap())),
        ("the log", |segments| fs::remove_dir_all(segments[0].parent().unwrap()).unwrap()),
        ("order", |segments| {
            fs::copy(&segments[0], &segments[1]).unwrap();
        }),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for row in 1..5 {
            store_with(dir.path(), row, false);
        }
        inflict(&log::segments(dir.path()));
        let error = open_error(dir.path());
        assert!(matches!(error, OpenError::Damaged { .. }), "{name}: {error}");
        assert_eq!(check(dir.path(), &mut ()).unwrap().findings.len(), 1, "{name}");
        let report = repair(dir.path()).unwrap();
        assert!(report.repaired.is_empty() && report.refused[0].contains("backup"), "{name}: {report}");
    }
}

#[test]
fn a_torn_commit_that_was_acknowledged_is_told_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    store_with(dir.path(), 20, false);
    log::truncate(dir.path(), place_of(dir.path(), "key-020") - 5);
    let before = used(dir.path());
    assert!(matches!(open_error(dir.path()), OpenError::BehindMark { last: 19, mark: 20, .. }));
    assert_eq!(used(dir.path()), before);
    let report = check(dir.path(), &mut ()).unwrap();
    assert!(report.findings[0].contains("commit 20 was acknowledged and it holds only 19"), "{report}");
}

/// fjall alone would open this and keep less than half, without an error.
#[test]
fn a_hole_in_the_middle_is_found_without_the_help_of_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    let made = open(dir.path());
    made.close();
    let first = mark(dir.path());
    store_with(dir.path(), 20, false);
    set_mark(dir.path(), &first);
    let at = place_of(dir.path(), "value-009-");
    log::zero(dir.path(), at, 700);
    let error = open_error(dir.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("lies behind it"), "{error}");
    assert_refused(dir.path(), "lies behind it");
    assert!(!check(dir.path(), &mut ()).unwrap().is_clean());
}

#[test]
fn an_older_copy_of_a_store_shard_is_behind_its_mark() {
    let dir = tempfile::tempdir().unwrap();
    let backup = tempfile::tempdir().unwrap();
    store_with(dir.path(), 5, false);
    let copy_shard = |from: &Path, to: &Path| {
        for part in ["shard-00", "shard-00.log"] {
            let _ = fs::remove_dir_all(to.join(part));
            copy_folder(&from.join(part), &to.join(part));
        }
    };
    copy_shard(dir.path(), backup.path());
    let mut store = open(dir.path());
    store.put(0, "key-006", &value(6));
    store.close();
    copy_shard(backup.path(), dir.path());
    assert!(matches!(open_error(dir.path()), OpenError::BehindMark { last: 5, mark: 6, .. }));
    assert_refused(dir.path(), "commit 6 was acknowledged and only 5");
}

#[test]
fn a_lost_or_damaged_mark_is_told_and_mended() {
    for lost in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        store_with(dir.path(), 5, false);
        if lost {
            fs::remove_file(mark_path(dir.path())).unwrap();
        } else {
            set_mark(dir.path(), &[7; 8_192]);
        }
        let error = open_error(dir.path());
        assert!(error.to_string().contains("ringtalk repair"), "{error}");
        assert_eq!(check(dir.path(), &mut ()).unwrap().findings.len(), 1);
        let report = repair(dir.path()).unwrap();
        assert!(report.is_sound() && report.repaired[0].contains("now at commit 5"), "{report}");
        assert!(check(dir.path(), &mut ()).unwrap().is_clean());
        assert_eq!(rows(dir.path()), 5);
    }
}

#[test]
fn a_missing_store_shard_is_told_and_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    store_with(dir.path(), 5, false);
    fs::remove_dir_all(dir.path().join("shard-00")).unwrap();
    assert!(open_error(dir.path()).to_string().contains("missing"));
    assert!(!check(dir.path(), &mut ()).unwrap().is_clean());
    assert!(!repair(dir.path()).unwrap().is_sound());
    assert!(!dir.path().join("shard-00").exists());
}

#[test]
fn a_store_shard_of_another_folder_is_refused() {
    for parts in [&["shard-00"][..], &["shard-00.log"], &["shard-00", "shard-00.log"]] {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        store_with(dir.path(), 5, true);
        store_with(other.path(), 5, true);
        for part in parts {
            fs::remove_dir_all(dir.path().join(part)).unwrap();
            copy_folder(&other.path().join(part), &dir.path().join(part));
        }
        set_mark(dir.path(), &mark(other.path()));
        let before = used(dir.path());
        let error = open_error(dir.path());
        assert!(matches!(error, OpenError::Damaged { .. }), "{parts:?}: {error}");
        assert!(!repair(dir.path()).unwrap().is_sound());
        assert_eq!(used(dir.path()), before);
    }
}

#[test]
fn a_store_shard_whose_tables_are_damaged_reports_rows_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = options(dir.path());
    small.write_buffer_bytes = 0;
    small.cache_bytes = 0;
    let mut store = try_open(small.clone()).unwrap();
    let mut row = 0;
    while store.store.stats().shards[0].feeds == 0 {
        row += 1;
        store.put(0, &format!("key-{row:05}"), &"v".repeat(4_000));
    }
    store.close();
    assert!(check(dir.path(), &mut ()).unwrap().is_clean());
    let tables = fs::read_dir(dir.path().join("shard-00/keyspaces/1/tables")).unwrap();
    let tables = tables.map(|table| table.unwrap().path());
    let largest = tables.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xa5);
    fs::write(&largest, bytes).unwrap();
    let report = check(dir.path(), &mut ()).unwrap();
    assert!(report.findings.iter().any(|finding| finding.contains("rows cannot be read")), "{report}");
}
