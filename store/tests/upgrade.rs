//! Folders of format 1, in which fjall's journal was the commit point: they open, go on with a log, and are refused as
//! before when their journals are damaged.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{open, options, try_open};
use fjall::{KeyspaceCreateOptions, PersistMode};
use store::{OpenError, check, repair};

const TAG: u64 = 0x0123_4567_89ab_cdef;

/// Writes a folder as programs of format 1 did: one fjall batch per commit, which begins with a stamp in a keyspace of
/// its own. Every store shard gets the commits `1..=commits`, each with one row.
fn make(dir: &Path, commits: u64) {
    for shard in 0..2 {
        let database = fjall::Database::builder(dir.join(format!("shard-{shard:02}"))).open().unwrap();
        let data = database.keyspace("data", KeyspaceCreateOptions::default).unwrap();
        let meta = database.keyspace("meta", KeyspaceCreateOptions::default).unwrap();
        for number in 1..=commits {
            let mut commit = database.batch().durability(Some(PersistMode::SyncData));
            let stamp = [number.to_le_bytes(), TAG.to_le_bytes()].concat();
            commit.insert(&meta, &b"rtcommit"[..], stamp);
            commit.insert(&data, format!("key-{number:03}").as_bytes(), value(number).as_bytes());
            if number % 10 == 0 {
                commit.remove(&data, format!("key-{:03}", number - 5).as_bytes());
            }
            commit.commit().unwrap();
            if number == commits / 2 {
                data.rotate_memtable_and_wait().unwrap();
            }
        }
        fs::write(dir.join(format!("shard-{shard:02}.mark")), mark(commits)).unwrap();
    }
    let manifest = format!(
        r#"{{"format": 1, "store_shards": 2, "slots": 1024, "term": 7, "complete": true, "tag": {TAG}}}"#
    );
    fs::write(dir.join("manifest.json"), manifest).unwrap();
}

fn mark(number: u64) -> Vec<u8> {
    let mut slot = [&b"rt-mark1"[..], &number.to_le_bytes()].concat();
    slot.extend(xxhash_rust::xxh3::xxh3_64(&slot).to_le_bytes());
    slot.resize(4_096, 0);
    slot.repeat(2)
}

fn value(number: u64) -> String {
    format!("value-{number:03}-").repeat(30)
}

fn expected(commits: u64) -> Vec<(String, String)> {
    let deleted = |number: u64| number % 10 == 5 && number + 5 <= commits;
    let numbers = (1..=commits).filter(|number| !deleted(*number));
    numbers.map(|number| (format!("key-{number:03}"), value(number))).collect()
}

fn journal(dir: &Path) -> PathBuf {
    dir.join("shard-00/0.jnl")
}

fn flip(path: &Path, text: &str) {
    let mut bytes = fs::read(path).unwrap();
    // The rest is zeros.
    let at = bytes[..100_000].windows(text.len()).rposition(|window| window == text.as_bytes()).unwrap();
    bytes[at + 3] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_folder_of_format_1_opens_and_goes_on_with_a_log() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 40);
    let report = check(dir.path(), &mut ()).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.rows, 2 * expected(40).len() as u64);

    let mut store = open(dir.path());
    assert_eq!(store.store.term(), 8);
    assert_eq!(store.all(0), expected(40));
    assert_eq!(store.store.stats().shards[0].last_commit, 40);
    store.put(0, "key-041", &value(41));
    store.put(0, "key-001", "new");
    store.close();
    let manifest = fs::read_to_string(dir.path().join("manifest.json")).unwrap();
    assert!(manifest.contains("\"format\": 2"), "{manifest}");

    // The journals are of no use any more, whatever happens to them, and old ones go.
    fs::copy(journal(dir.path()), dir.path().join("shard-00/1.jnl")).unwrap();
    fs::write(journal(dir.path()), b"damaged").unwrap();
    for _ in 0..2 {
        let mut store = open(dir.path());
        let mut rows = expected(41);
        rows[0].1 = "new".to_owned();
        assert_eq!(store.all(0), rows);
        assert_eq!(store.all(1), expected(40));
        assert_eq!(store.store.stats().shards[0].last_commit, 42);
        assert!(!journal(dir.path()).exists());
        store.close();
    }
    assert!(check(dir.path(), &mut ()).unwrap().is_clean());
}

#[test]
fn an_upgrade_that_was_cut_short_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 20);
    let manifest = fs::read(dir.path().join("manifest.json")).unwrap();
    open(dir.path()).close();
    fs::write(dir.path().join("manifest.json"), &manifest).unwrap();
    fs::remove_dir_all(dir.path().join("shard-01.log")).unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.all(0), expected(20));
    assert_eq!(store.all(1), expected(20));
    store.put(1, "key-021", &value(21));
    store.close();
    assert_eq!(open(dir.path()).all(1), expected(21));
}

#[test]
fn a_damaged_last_commit_of_a_journal_is_cut_off_by_repair_if_it_was_not_acknowledged() {
    for acknowledged in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), 20);
        if !acknowledged {
            fs::write(dir.path().join("shard-00.mark"), mark(19)).unwrap();
        }
        flip(&journal(dir.path()), "value-020-");
        let damaged = fs::read(journal(dir.path())).unwrap();
        let error = try_open(options(dir.path())).err().unwrap();
        if acknowledged {
            assert!(matches!(error, OpenError::BehindMark { last: 19, mark: 20, .. }), "{error}");
            let report = repair(dir.path()).unwrap();
            assert!(
                report.refused[0].contains("commit 20 was acknowledged and only 19 would be left"),
                "{report}"
            );
            assert_eq!(fs::read(journal(dir.path())).unwrap(), damaged);
            continue;
        }
        assert!(error.to_string().contains("ringtalk repair"), "{error}");
        assert!(check(dir.path(), &mut ()).unwrap().findings[0].contains("checksum"));
        assert_eq!(fs::read(journal(dir.path())).unwrap(), damaged, "nothing changed so far");
        let report = repair(dir.path()).unwrap();
        assert!(report.is_sound() && report.repaired.len() == 1, "{report}");
        let aside = fs::read_dir(dir.path().join("damaged")).unwrap().next().unwrap().unwrap();
        assert_eq!(fs::read(aside.path()).unwrap(), damaged);
        assert_eq!(open(dir.path()).all(0), expected(19));
    }
}

#[test]
fn a_hole_in_a_journal_is_refused_without_the_help_of_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 20);
    fs::write(dir.path().join("shard-00.mark"), mark(1)).unwrap();
    flip(&journal(dir.path()), "value-012-");
    let error = try_open(options(dir.path())).err().unwrap();
    assert!(error.to_string().contains("lies behind it"), "{error}");
    let report = repair(dir.path()).unwrap();
    assert!(report.refused[0].contains("lies behind it") && report.refused[0].contains("backup"), "{report}");
}
