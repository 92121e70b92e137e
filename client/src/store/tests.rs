use bytes::Bytes;
use wire::client::{Account, ConversationState, KeptKeys, PersistOp, Silence, Stored, StoredSend};
use wire::extras::{EVERYBODY, Extras, Forwarded};
use wire::message::{BodyKind, Entry, EntryKind, Place, Pulled, Range, RangeKind};
use wire::scram::ClientKeys;
use wire::{ConversationId, DeviceId, UserId};

use super::*;
use crate::transport::Fingerprint;

fn conversation() -> ConversationId {
    ConversationId::private(UserId(1 << 10), UserId(2 << 10)).expect("two users")
}

fn extras() -> Extras {
    let forwarded = Some(Forwarded { sender: UserId(3 << 10), time_ms: 77 });
    let mentions = vec![UserId(1 << 10), EVERYBODY];
    Extras { target: 1, reply_to: 2, mentions, forwarded, edited: 4, recalled: 5 }
}

fn entry(seq: u64) -> Entry {
    Entry {
        place: Place { seq, ord: seq },
        time_ms: 1_000 + seq,
        sender: UserId(1 << 10),
        device: DeviceId(3),
        counter: seq,
        kind: EntryKind::Message,
        body_kind: BodyKind::Text,
        body: Bytes::from(format!("m{seq}")),
        extras: (seq == 3).then(|| Box::new(extras())),
    }
}

fn applied(seq: u64) -> Change {
    let mut state = ConversationState::new(conversation());
    state.applied = Place { seq, ord: seq };
    Change::Session(PersistOp::Conversation(state))
}

fn put_entries(store: &Store, seqs: std::ops::RangeInclusive<u64>) {
    let to = *seqs.end();
    let op = |seq| Change::Session(PersistOp::Entry { conversation: conversation(), entry: entry(seq) });
    let changes: Vec<Change> = seqs.map(op).chain([applied(to)]).collect();
    store.write(&changes).expect("written");
}

fn gap(from: u64, to: u64) -> Change {
    let range = Range { from, to, kind: RangeKind::Gone };
    Change::Session(PersistOp::Gap { conversation: conversation(), range })
}

/// Seqs of the items; a gap as `(from, to)`.
fn seqs(page: &HistoryPage) -> Vec<(u64, u64)> {
    let ends = |item: &HistoryItem| match item {
        HistoryItem::Entry(entry) => (entry.place.seq, entry.place.seq),
        HistoryItem::Gap(range) => (range.from, range.to),
    };
    page.items.iter().map(ends).collect()
}

#[test]
fn everything_comes_back_as_the_session_wrote_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut expected = Stored::default();
    let mut state = ConversationState::new(conversation());
    state.epoch = 2;
    state.head = Place { seq: 9, ord: 8 };
    state.read_wanted = 7;
    state.last_taken = 5;
    state.mentioned = 6;
    let send = |counter| StoredSend {
        counter,
        conversation: conversation(),
        body_kind: BodyKind::Opaque,
        body: Bytes::from_static(b"\x00\xff"),
        kind: if counter % 2 == 0 { EntryKind::Edit } else { EntryKind::Message },
        extras: (counter % 2 == 0).then(|| Box::new(extras())),
    };
    let account =
        Account { user: UserId(1 << 10), name: "ann".into(), device: DeviceId(4), ticket: b"t".to_vec() };
    let keys = ClientKeys { client_key: [1; 32], server_key: [2; 32] };
    let ops = [
        PersistOp::Account(account.clone()),
        PersistOp::Keys(Some(KeptKeys { salt: b"salt".to_vec(), iterations: 4_096, keys })),
        PersistOp::NextCounter(9),
        PersistOp::Uver(77),
        PersistOp::Outgoing(send(7)),
        PersistOp::Outgoing(send(8)),
        PersistOp::Unanswered { counter: 7, silence: Silence::Once },
        PersistOp::Unanswered { counter: 8, silence: Silence::Twice },
        PersistOp::Decided { counter: 7 },
        PersistOp::Conversation(state),
    ];
    {
        let (store, stored) = Store::open(folder.path()).expect("a new store");
        assert_eq!(stored, Stored::default());
        ops.iter().for_each(|op| expected.apply(op));
        let changes: Vec<Change> = ops.into_iter().map(Change::Session).collect();
        store.write(&changes).expect("written");
        store.write(&changes).expect("written twice");
    }
    let (store, stored) = Store::open(folder.path()).expect("the store again");
    assert_eq!(stored, expected);
    let forgotten = [PersistOp::Keys(None), PersistOp::Account(Account { ticket: Vec::new(), ..account })];
    forgotten.iter().for_each(|op| expected.apply(op));
    store.write(&forgotten.map(Change::Session)).expect("written");
    drop(store);
    assert_eq!(Store::open(folder.path()).expect("the store again").1, expected);
}

#[test]
fn a_folder_is_one_programs_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, _) = Store::open(folder.path()).expect("a new store");
    assert!(matches!(Store::open(folder.path()), Err(StoreError::InUse { .. })));
    drop(first);
    Store::open(folder.path()).expect("free again");
}

#[test]
fn secrets_are_readable_by_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let account = folder.path().join("node").join("ann");
    let _store = Store::open(&account).expect("a new store");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&account), mode(&account.join(FILE))), (0o700, 0o600));
}

#[test]
fn what_is_no_store_or_a_later_one_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(FILE), vec![7; 5_000]).expect("written");
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Damaged { .. })));
    fs::remove_file(folder.path().join(FILE)).expect("removed");
    {
        let (store, _) = Store::open(folder.path()).expect("a new store");
        let transaction = store.database.begin_write().expect("a transaction");
        transaction
            .open_table(tables::NUMBERS)
            .expect("a table")
            .insert(tables::SCHEMA, SCHEMA + 1)
            .expect("put");
        transaction.commit().expect("committed");
    }
    let later = Store::open(folder.path());
    assert!(matches!(later, Err(StoreError::Newer { found, .. }) if found == SCHEMA + 1));
    let file = folder.path().join("file");
    fs::write(&file, b"").expect("written");
    assert!(matches!(Store::open(&file), Err(StoreError::Folder { .. })));
}

#[test]
fn history_goes_back_page_by_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path()).expect("a new store");
    put_entries(&store, 1..=10);
    let newest = store.history(conversation(), u64::MAX, 4).expect("read");
    assert_eq!(seqs(&newest), [(7, 7), (8, 8), (9, 9), (10, 10)]);
    assert_eq!((newest.missing, newest.is_start), (None, false));
    let rest = store.history(conversation(), 7, 100).expect("read");
    assert_eq!((rest.items.len(), rest.missing, rest.is_start), (6, None, true));
    assert!(store.history(conversation(), 1, 5).expect("read").is_start);
    let other = ConversationId::private(UserId(1 << 10), UserId(3 << 10)).expect("two users");
    assert!(store.history(other, u64::MAX, 5).expect("read").items.is_empty());
}

#[test]
fn history_tells_holes_and_keeps_what_fills_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path()).expect("a new store");
    put_entries(&store, 8..=10);
    let page = store.history(conversation(), u64::MAX, 10).expect("read");
    assert_eq!((page.items.len(), page.missing, page.is_start), (3, Some((1, 7)), false));
    let pulled = Pulled {
        conversation: conversation(),
        from: 4,
        to: 7,
        epoch: 1,
        head: Place { seq: 10, ord: 10 },
        entries: vec![entry(5), entry(6)],
        ranges: vec![
            Range { from: 4, to: 4, kind: RangeKind::Gone },
            Range { from: 7, to: 7, kind: RangeKind::More },
        ],
    };
    store.write(&[Change::History(pulled)]).expect("written");
    let page = store.history(conversation(), u64::MAX, 10).expect("read");
    assert_eq!((page.items.len(), page.missing), (3, Some((7, 7)))); // More says nothing lasting
    let page = store.history(conversation(), 7, 10).expect("read");
    assert_eq!((seqs(&page), page.missing), (vec![(4, 4), (5, 5), (6, 6)], Some((1, 3))));
}

#[test]
fn a_gap_replaces_what_was_there_and_nothing_beyond_applied_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path()).expect("a new store");
    put_entries(&store, 1..=10);
    store.write(&[gap(3, 6), applied(8)]).expect("written"); // as after a restore of the node
    let page = store.history(conversation(), u64::MAX, 100).expect("read");
    assert_eq!(seqs(&page), [(1, 1), (2, 2), (3, 6), (7, 7), (8, 8)]);
    assert!(page.is_start);
    let inside = store.history(conversation(), 5, 1).expect("read");
    assert_eq!(seqs(&inside), [(3, 4)]);
}

#[test]
fn names_and_pins() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path()).expect("a new store");
    let name = Change::Name { user: UserId(5 << 10), name: "grüße".into() };
    store.write(&[name]).expect("written");
    assert_eq!(store.names().expect("read"), [(UserId(5 << 10), "grüße".to_owned())]);
    let address = "127.0.0.1:7000".parse().expect("an address");
    assert_eq!(store.pinned(&address).expect("read"), None);
    store.pin(&address, Fingerprint([9; 32])).expect("written");
    assert_eq!(store.pinned(&address).expect("read"), Some(Fingerprint([9; 32])));
}

/// Whatever order the message and what was done to it come in: history is read later than what is new.
#[test]
fn recalls_and_edits_change_what_is_kept() {
    let act = |seq: u64, kind, target, body: &str| Entry {
        kind,
        body: Bytes::from(body.to_owned()),
        extras: Extras::about(target).boxed(),
        ..entry(seq)
    };
    let edit = act(2, EntryKind::Edit, 1, "new");
    let recall = act(4, EntryKind::Recall, 1, "");
    for recalled_first in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(folder.path()).expect("opened");
        let put = |entry: &Entry| {
            let entry = entry.clone();
            store
                .write(&[Change::Session(PersistOp::Entry { conversation: conversation(), entry })])
                .expect("written");
        };
        let texts = || {
            store.write(&[applied(4)]).expect("written");
            let page = store.history(conversation(), u64::MAX, 9).expect("read");
            let text = |item: &HistoryItem| match item {
                HistoryItem::Entry(entry) => String::from_utf8_lossy(&entry.body).into_owned(),
                HistoryItem::Gap(_) => "-".into(),
            };
            page.items.iter().map(text).collect::<Vec<_>>()
        };
        if recalled_first {
            put(&edit);
            put(&entry(3));
            put(&recall);
            put(&entry(1));
        } else {
            put(&entry(1));
            put(&edit);
            put(&entry(3));
            put(&act(4, EntryKind::Reaction, 1, "x"));
            assert_eq!(texts(), ["new", "new", "m3", "x"]);
            put(&recall);
        }
        assert_eq!(texts(), ["", "", "m3", ""], "recalled first: {recalled_first}");
    }
}
