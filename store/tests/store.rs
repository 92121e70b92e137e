//! The store from outside: open, commit, load, close, and everything that must be refused.

mod common;

use common::{PATIENCE, op, open, options, range, try_open};
use store::record::Ops;
use store::record::kv::{Batch, CommitOutcome, Query, StoreShardId};
use store::{LoadRequest, OpenError, RefusedReason};

#[test]
fn rows_are_there_after_a_reopen_and_the_term_rises() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.store.term(), 1);
    assert_eq!(store.store.store_shards(), 2);
    store.put(0, "a", "1");
    store.put(1, "b", "2");
    assert_eq!(store.commit(0, vec![op("a", None), op("c", Some("3"))]), CommitOutcome::Committed);
    assert_eq!(store.commit(0, vec![op("absent", None)]), CommitOutcome::Committed);
    assert_eq!(store.commit(0, vec![]), CommitOutcome::Committed);
    assert_eq!(store.all(0), [("c".into(), "3".into())]);
    store.close();

    let mut again = options(dir.path());
    again.store_shards_if_new = 8;
    let mut store = try_open(again).unwrap();
    assert_eq!(store.store.term(), 2);
    assert_eq!(store.store.store_shards(), 2, "the number of store shards is fixed at the first start");
    assert_eq!(store.all(0), [("c".into(), "3".into())]);
    assert_eq!(store.all(1), [("b".into(), "2".into())]);
    let rows = store.store.read(StoreShardId(1), &[Query::Get("b".into()), range("c", "a")]).unwrap();
    assert_eq!(rows[0].rows[0].value, "2");
    assert!(rows[1].rows.is_empty(), "an upside-down range is empty");
    let stats = store.store.stats();
    assert_eq!(stats.shards[0].last_commit, 4);
    assert_eq!(stats.shards[0].marked, 4, "closing writes the marks");
    assert_eq!(stats.reads.loads, 2);
    store.close();
}

#[test]
fn the_last_op_on_a_key_wins_within_a_batch_and_a_group() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let ops =
        vec![op("k", Some("1")), op("k", None), op("k", Some("2")), op("gone", Some("x")), op("gone", None)];
    assert_eq!(store.commit(0, ops), CommitOutcome::Committed);
    assert_eq!(store.all(0), [("k".into(), "2".into())]);
    let numbers: Vec<_> = (0..50).map(|n| store.submit(0, vec![op("k", Some(&n.to_string()))])).collect();
    for number in numbers {
        assert_eq!(store.inbox.outcome(0, 0, number), CommitOutcome::Committed);
    }
    assert_eq!(store.all(0), [("k".into(), "49".into())]);
    store.close();
}

#[test]
fn an_older_term_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close();
    let mut store = open(dir.path());
    let batch = |number, term| {
        let ops = [("k", Some("old"))].into_iter().collect();
        Batch { store_shard: StoreShardId(0), number, term, ops }
    };
    store.store.submit(3, batch(7, 1)).unwrap();
    assert_eq!(store.inbox.outcome(3, 0, 7), CommitOutcome::Fenced);
    assert!(store.all(0).is_empty());
    store.store.submit(3, batch(8, 2)).unwrap();
    assert_eq!(store.inbox.outcome(3, 0, 8), CommitOutcome::Committed);
    store.put(0, "k", "new");
    assert_eq!(store.store.stats().shards[0].fenced, 1);
    store.close();
}

#[test]
fn a_folder_in_use_is_refused_and_free_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = try_open(options(dir.path())).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("({})", std::process::id())), "{error}");
    store.close();
    open(dir.path()).close();
}

#[test]
fn a_closed_store_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.store.close(PATIENCE).unwrap();
    store.store.close(PATIENCE).unwrap();
    let batch = Batch { store_shard: StoreShardId(0), number: 1, term: 1, ops: Ops::default() };
    assert_eq!(store.store.submit(0, batch).unwrap_err().reason, RefusedReason::Closed);
    let request = LoadRequest { from_shard: 0, token: 1, store_shard: StoreShardId(0), queries: vec![] };
    assert_eq!(store.store.load(request).unwrap_err().reason, RefusedReason::Closed);
    assert!(store.store.read(StoreShardId(0), &[]).is_err());
}

#[test]
fn what_is_queued_at_closing_is_committed_and_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let numbers: Vec<_> =
        (0..500).map(|n| store.submit(1, vec![op(&format!("{n:03}"), Some("v"))])).collect();
    store.store.close(PATIENCE).unwrap();
    for number in numbers {
        assert_eq!(store.inbox.outcome(0, 1, number), CommitOutcome::Committed);
    }
    drop(store);
    assert_eq!(open(dir.path()).all(1).len(), 500);
}

#[test]
fn the_mark_follows_without_closing_and_without_further_commits() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for row in 0..3 {
        store.put(1, &format!("k{row}"), "v");
        while store.store.stats().shards[1].marked <= row {
            std::thread::yield_now();
        }
    }
    store.close();
}
