//! Damaged stores: what opens by itself, what `check` says, and what `repair` does and refuses to do.

mod common;

use std::fs;
use std::path::Path;

use common::journal::{self, copy_folder, mark, mark_path, newest, place_of, set_mark, used};
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

/// Nothing is repaired and no journal changes.
fn assert_refused(dir: &Path, why: &str) {
    let before = used(dir);
    let report = repair(dir).unwrap();
    assert!(!report.is_sound() && report.repaired.is_empty(), "{report}");
    assert!(report.refused[0].contains(why) && report.refused[0].contains("backup"), "{report}");
    assert_eq!(used(dir), before);
}

#[test]
fn a_damaged_last_commit_is_cut_off_by_repair_and_nothing_else_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    store_with(dir.path(), 20, true);
    journal::flip(dir.path(), place_of(dir.path(), "value-020-") + 3, 0x10);
    let damaged = fs::read(newest(dir.path())).unwrap();

    let error = open_error(dir.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let mend = format!("ringtalk repair --data {}", dir.path().display());
    assert!(error.to_string().contains(&mend), "{error}");
    let report = check(dir.path(), &mut ()).unwrap();
    assert!(report.findings[0].contains("checksum"), "{report}");
    assert_eq!(fs::read(newest(dir.path())).unwrap(), damaged, "nothing changed so far");

    let report = repair(dir.path()).unwrap();
    assert!(report.is_sound() && report.repaired.len() == 1, "{report}");
    let aside = fs::read_dir(dir.path().join("damaged")).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read(aside.path()).unwrap(), damaged);
    assert!(check(dir.path(), &mut ()).unwrap().is_clean());
    assert_eq!(rows(dir.path()), 19);
    assert!(repair(dir.path()).unwrap().repaired.is_empty(), "there is nothing left to do");

    let mut store = open(dir.path());
    store.put(0, "key-020", &value(20));
    store.close();
    assert_eq!(rows(dir.path()), 20);
}

#[test]
fn repair_does_not_go_below_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    store_with(dir.path(), 20, false);
    journal::flip(dir.path(), place_of(dir.path(), "value-020-") + 3, 0x10);
    let error = open_error(dir.path());
    assert!(matches!(error, OpenError::BehindMark { last: 19, mark: 20, .. }), "{error}");
    assert_refused(dir.path(), "commit 20 was acknowledged and only 19 would be left");
    assert!(open_error(dir.path()).to_string().contains("backup"));
}

#[test]
fn a_torn_last_commit_is_dropped_at_the_next_start() {
    for zeros in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        store_with(dir.path(), 20, true);
        let at = place_of(dir.path(), "key-020") - 5;
        if zeros {
            journal::zero(dir.path(), at, 5_000);
        } else {
            journal::truncate(dir.path(), at);
        }
        assert!(repair(dir.path()).unwrap().repaired.is_empty(), "it needs no repair");
        assert_eq!(rows(dir.path()), 19);
    }
}

#[test]
fn a_torn_commit_that_was_acknowledged_is_told_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    store_with(dir.path(), 20, false);
    journal::truncate(dir.path(), place_of(dir.path(), "key-020") - 5);
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
    journal::zero(dir.path(), at, 700);
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
    copy_folder(&dir.path().join("shard-00"), backup.path());
    let mut store = open(dir.path());
    store.put(0, "key-006", &value(6));
    store.close();
    fs::remove_dir_all(dir.path().join("shard-00")).unwrap();
    copy_folder(backup.path(), &dir.path().join("shard-00"));
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
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    store_with(dir.path(), 5, true);
    store_with(other.path(), 5, true);
    fs::remove_dir_all(dir.path().join("shard-00")).unwrap();
    copy_folder(&other.path().join("shard-00"), &dir.path().join("shard-00"));
    set_mark(dir.path(), &mark(other.path()));
    let error = open_error(dir.path());
    assert!(matches!(error, OpenError::Damaged { .. } | OpenError::BehindMark { .. }), "{error}");
    assert!(!repair(dir.path()).unwrap().is_sound());
    assert_eq!(used(dir.path()), used(other.path()));
}

#[test]
fn a_store_shard_whose_tables_are_damaged_reports_rows_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = options(dir.path());
    small.write_buffer_bytes = 0;
    small.cache_bytes = 0;
    let mut store = try_open(small.clone()).unwrap();
    // Until memtables have become tables.
    let tables = dir.path().join("shard-00/keyspaces/1/tables");
    let mut row = 0;
    while !fs::read_dir(&tables).is_ok_and(|mut tables| tables.next().is_some()) {
        row += 1;
        store.put(0, &format!("key-{row:05}"), &"v".repeat(4_000));
    }
    store.close();
    assert!(check(dir.path(), &mut ()).unwrap().is_clean());
    for table in fs::read_dir(&tables).unwrap() {
        let path = table.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0xa5);
        fs::write(&path, bytes).unwrap();
    }
    let report = check(dir.path(), &mut ()).unwrap();
    assert!(report.findings.iter().any(|finding| finding.contains("rows cannot be read")), "{report}");
}
