use bytes::Bytes;
use wire::DeviceId;

use super::*;
use crate::PlainEntry;
use crate::kv::Row;
use crate::org::{OrgChange, OrgDepartment, OrgGone, OrgMember, OrgOutboxEntry, OrgPlace, OrgState};
use crate::relation::{ContactState, Tie, View};

const STORE_SHARDS: u16 = 4;
/// The body of seq 3, all sevens.
const LONG_BODY_LEN: usize = 6_000;

/// A store of two users who talk, as rows that a test can change.
struct World {
    rows: Vec<(Key, Bytes)>,
    chat: ConversationId,
    ann: UserId,
    bob: UserId,
}

impl World {
    fn new() -> Self {
        let ann = UserId::from_parts(Slot::of_name("ann"), 1).unwrap();
        let bob = UserId::from_parts(Slot::of_name("bob"), 1).unwrap();
        let chat = ConversationId::private(ann, bob).unwrap();
        let mut world = Self { rows: Vec::new(), chat, ann, bob };
        for (user, name) in [(ann, "Ann"), (bob, "bob")] {
            let credential = Credential::ScramSha256 {
                salt: [0; 16],
                iterations: 4096,
                stored_key: [0; 32],
                server_key: [0; 32],
            };
            world.put(Key::SlotState(user.slot()), &SlotState { users: 1 });
            world.put(Key::Name(name.to_lowercase()), &NameEntry { user: user.0 });
            let device = Device { device: 2, generation: 1, class: 1, name: String::new(), login_ms: 0 };
            let account = Account {
                state: AccountState::Active,
                state_ms: 0,
                code: None,
                name: name.into(),
                created_ms: 0,
                credentials: vec![credential],
                devices_issued: 2,
                devices: vec![device],
            };
            world.put(Key::Account(user), &account);
        }
        for seq in 1..=5 {
            world.entry(seq, |_| {});
        }
        world.chunk(3, 0, CHUNK_LEN);
        world.chunk(3, 1, LONG_BODY_LEN - CHUNK_LEN);
        world.put(
            Key::Checkpoint(chat),
            &Checkpoint { epoch: 1, head: Place { seq: 2, ord: 2 }, time_ms: 20 },
        );
        let sends = (4..=5).map(remembered).collect();
        world.put(Key::Remembered(chat, ann, DeviceId(2)), &Remembered { sends });
        world.put(Key::Marks(chat, bob), &marks(5));
        world.listed(ann, 5);
        world.listed(bob, 5);
        let relation = Relation { version: 2, tie: Tie::Contacts, ..Relation::default() };
        world.put(Key::Relation(chat), &relation);
        world.contact(ann, bob, |_| {});
        world.contact(bob, ann, |_| {});
        world.seen(ann, 2);
        world
    }

    fn seen(&mut self, user: UserId, device: u32) {
        self.put(Key::DeviceSeen(user, DeviceId(device)), &DeviceSeen { active_ms: 5, address: [0; 16] });
    }

    fn contact(&mut self, user: UserId, other: UserId, change: impl FnOnce(&mut Contact)) {
        let view = View { state: ContactState::Contact, ..View::default() };
        let mut row = Contact { cver: 4, version: 2, view, ..Contact::default() };
        change(&mut row);
        self.put(Key::Contact(user, other), &row);
    }

    fn put(&mut self, key: Key, record: &impl Record) {
        self.rows.retain(|(other, _)| *other != key);
        self.rows.push((key, record.encode()));
    }

    fn remove(&mut self, key: &Key) {
        let before = self.rows.len();
        self.rows.retain(|(other, _)| other != key);
        assert!(self.rows.len() < before, "{key:?} was not there");
    }

    fn entry(&mut self, seq: u64, change: impl FnOnce(&mut PlainEntry)) {
        let send = remembered(seq);
        let mut entry = PlainEntry {
            ord: seq,
            time_ms: send.time_ms,
            sender: self.ann.0,
            device: 2,
            counter: send.counter,
            hash: send.hash,
            kind: 1,
            body_kind: 1,
            body_len: if seq == 3 { LONG_BODY_LEN as u32 } else { 2 },
            body: if seq == 3 { vec![] } else { b"hi".to_vec() },
        };
        change(&mut entry);
        self.put(Key::Entry(self.chat, seq), &entry);
    }

    fn chunk(&mut self, seq: u64, index: u16, len: usize) {
        self.put(Key::Chunk(self.chat, seq, index), &Chunk { bytes: vec![7; len] });
    }

    fn listed(&mut self, user: UserId, seq: u64) {
        self.put(Key::List(user, self.chat), &ListEntry { uver: 9, digest: digest(seq) });
    }

    fn check(&self) -> (Vec<String>, Totals) {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(key, _)| key.bytes());
        let mut verifier = Verifier::new(2);
        let mut found = Vec::new();
        for shard in (0..STORE_SHARDS).map(StoreShardId) {
            for (key, value) in &rows {
                if StoreShardId::of_slot(key.slot(), STORE_SHARDS) == shard {
                    let row = Row { key: key.bytes(), value: value.clone() };
                    found.extend(verifier.handle_row(shard, &row.key, &row.value).err());
                }
            }
            found.extend(verifier.handle_shard_end(shard));
        }
        let (more, totals) = verifier.finish(STORE_SHARDS);
        found.extend(more);
        (found, totals)
    }
}

fn remembered(seq: u64) -> RememberedSend {
    let hash = crate::body_hash(1, if seq == 3 { &[7; LONG_BODY_LEN] } else { b"hi" });
    RememberedSend { counter: seq * 2, hash, place: Place { seq, ord: seq }, time_ms: seq * 10 }
}

fn marks(seq: u64) -> Marks {
    let place = Place { seq, ord: seq };
    Marks { delivered: place, read: place }
}

fn digest(seq: u64) -> Digest {
    Digest {
        epoch: 1,
        head: Place { seq, ord: seq },
        time_ms: 50,
        own: marks(seq),
        peer: marks(seq),
        mentioned: 0,
    }
}

#[test]
fn a_sound_store_has_no_findings() {
    let (found, totals) = World::new().check();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(totals, Totals { conversations: 1, entries: 5, users: 2 });
}

/// Each kind of damage is found, and the finding says what it is.
#[test]
fn each_inconsistency_is_found() {
    let cases: [(&str, Damage); 30] = [
        ("seq 3 follows seq 1", |w| w.remove(&Key::Entry(w.chat, 2))),
        ("seq 2 follows seq 0", |w| w.remove(&Key::Entry(w.chat, 1))),
        ("ord 3 at seq 4", |w| w.entry(4, |entry| entry.ord = 3)),
        ("counter 6 at seq 4 follows 6", |w| w.entry(4, |entry| entry.counter = 6)),
        ("is not the entry at seq 4", |w| w.entry(4, |entry| entry.hash = 99)),
        ("is at seq 5, the head at 4", |w| w.remove(&Key::Entry(w.chat, 5))),
        ("the body of seq 3 has 1 of 2 chunks", |w| w.remove(&Key::Chunk(w.chat, 3, 1))),
        ("comes after 0 chunks", |w| w.remove(&Key::Chunk(w.chat, 3, 0))),
        ("belongs to no body", |w| w.chunk(4, 0, 10)),
        ("has 10 bytes, not", |w| w.chunk(3, 1, 10)),
        ("body does not have its hash", |w| w.entry(4, |entry| entry.body = b"ho".to_vec())),
        ("the body of seq 3 does not have its hash", |w| {
            w.put(Key::Chunk(w.chat, 3, 0), &Chunk { bytes: vec![8; CHUNK_LEN] });
        }),
        ("has ord 3, the entry 4", |w| {
            let place = Place { seq: 4, ord: 3 };
            w.put(Key::Marks(w.chat, w.bob), &Marks { delivered: place, read: place });
        }),
        ("read up to 4 and delivered up to 2", |w| {
            let marks = Marks { delivered: Place { seq: 2, ord: 2 }, read: Place { seq: 4, ord: 4 } };
            w.put(Key::Marks(w.chat, w.bob), &marks);
        }),
        ("is behind the marks", |w| {
            let digest = Digest { peer: marks(4), ..digest(5) };
            w.put(Key::List(w.ann, w.chat), &ListEntry { uver: 9, digest });
        }),
        ("the checkpoint and the entry at seq 2 differ", |w| {
            let head = Place { seq: 2, ord: 1 };
            w.put(Key::Checkpoint(w.chat), &Checkpoint { epoch: 1, head, time_ms: 20 });
        }),
        ("the checkpoint is at seq 6, the head at 5", |w| {
            let head = Place { seq: 6, ord: 6 };
            w.put(Key::Checkpoint(w.chat), &Checkpoint { epoch: 1, head, time_ms: 60 });
        }),
        ("a mark of", |w| w.put(Key::Marks(w.chat, w.bob), &marks(6))),
        ("says head 6 and the log ends at 5", |w| w.listed(w.bob, 6)),
        ("no outbox entry brings it there", |w| w.listed(w.bob, 4)),
        ("no outbox entry says so", |w| w.remove(&Key::List(w.bob, w.chat))),
        ("the outbox says head 6", |w| {
            w.put(Key::Outbox(w.bob, w.chat), &OutboxEntry { digest: digest(6) });
        }),
        ("stands twice in the list", |w| {
            let other = ConversationId::private(w.ann, UserId(w.bob.0 + 1024)).unwrap();
            w.put(Key::List(w.ann, other), &ListEntry { uver: 9, digest: Digest::default() });
        }),
        ("is not in the table of names", |w| w.remove(&Key::Name("ann".into()))),
        ("who has no account of it", |w| w.remove(&Key::Account(w.ann))),
        ("only 0 were handed out", |w| w.remove(&Key::SlotState(w.ann.slot()))),
        ("and only 2 were issued", |w| {
            w.remove(&Key::Remembered(w.chat, w.ann, DeviceId(2)));
            w.entry(4, |entry| entry.device = 3);
        }),
        ("is not in chat", |w| w.put(Key::Marks(w.chat, UserId(w.ann.0 + 1024)), &marks(1))),
        ("is cut short", |w| w.rows.push((Key::Name(String::new()), Bytes::new()))),
        ("is of kind 3, not 8", |w| {
            let account = w.rows.iter().find(|(key, _)| matches!(key, Key::Account(_))).unwrap().1.clone();
            w.rows.retain(|(key, _)| *key != Key::Entry(w.chat, 5));
            w.rows.push((Key::Entry(w.chat, 5), account));
        }),
    ];
    assert_found(&cases);
}

#[test]
fn each_inconsistency_of_contacts_is_found() {
    let cases: [(&str, Damage); 7] = [
        ("no row shows the relation", |w| w.remove(&Key::Contact(w.ann, w.bob))),
        ("the row shows another relation", |w| {
            w.contact(w.bob, w.ann, |row| row.view.state = ContactState::Asked);
        }),
        ("a row newer than the relation", |w| w.contact(w.bob, w.ann, |row| row.version = 3)),
        ("a row without a relation", |w| w.remove(&Key::Relation(w.chat))),
        ("a request beside a block", |w| {
            let tie = Tie::Requested { by: 0 };
            let relation = Relation { version: 2, tie, blocked: [false, true], ..Relation::default() };
            w.put(Key::Relation(w.chat), &relation);
        }),
        ("stands twice in the contacts", |w| {
            let other = UserId(w.bob.0 + 1024);
            w.contact(w.ann, other, |row| (row.version, row.view) = (0, View::default()));
        }),
        ("a row without a version", |w| w.contact(w.ann, w.bob, |row| row.cver = 0)),
    ];
    assert_found(&cases);
}

/// A directory with a department in another, and a member who was in two.
impl World {
    fn organised() -> Self {
        let mut world = Self::new();
        let (ann, bob) = (world.ann, world.bob);
        let state = OrgState { version: 8, dropped: 1, gone: 1, departments: 2, members: 2 };
        world.put(Key::OrgState, &state);
        for (id, parent, version, members) in [(1, 0, 2, 0), (5, 1, 3, 2)] {
            let name = "Research".to_owned();
            let department = OrgDepartment { version, parent, order: 0, members, name: name.clone() };
            world.put(Key::OrgDepartment(id), &department);
            world.put(Key::OrgChange(version), &OrgChange::Department { id, parent, order: 0, name });
        }
        for (user, version) in [(ann, 6), (bob, 8)] {
            let (name, title) = ("x".to_owned(), String::new());
            let member = OrgMember { version, order: 0, name: name.clone(), title: title.clone() };
            world.put(Key::OrgMember(user, 5), &member);
            let change = OrgChange::Member { department: 5, user: user.0, order: 0, name, title };
            world.put(Key::OrgChange(version), &change);
            world.put(Key::OrgPlace(user), &OrgPlace { version, departments: vec![5] });
        }
        world.put(Key::OrgChange(7), &OrgChange::MemberGone { department: 1, user: bob.0 });
        world.put(Key::OrgGone(7), &OrgGone { department: 1, user: bob.0 });
        world
    }
}

#[test]
fn a_directory_that_does_not_fit_is_found() {
    let mut world = World::organised();
    assert_eq!(world.check().0, [""; 0]);
    world.remove(&Key::OrgPlace(world.bob));
    let told = OrgOutboxEntry { version: 8, departments: vec![5] };
    world.put(Key::OrgOutbox(world.bob), &told);
    assert_eq!(world.check().0, [""; 0], "it is on its way");
    let cases: &[(&str, Damage)] = &[
        ("which is not so", |world| world.remove(&Key::OrgMember(world.bob, 5))),
        ("no row tells", |world| world.remove(&Key::OrgChange(8))),
        ("what is gone", |world| world.remove(&Key::OrgGone(7))),
        ("is not there", |world| world.remove(&Key::OrgDepartment(1))),
        ("does not know", |world| world.remove(&Key::OrgPlace(world.ann))),
        ("the directory does not", |world| {
            let carl = UserId::from_parts(Slot::of_name("carl"), 1).unwrap();
            world.put(Key::OrgPlace(carl), &OrgPlace { version: 9, departments: vec![5] });
        }),
        ("counts", |world| world.put(Key::OrgState, &OrgState::default())),
        ("under itself", |world| {
            let name = String::new();
            let itself = OrgDepartment { version: 2, parent: 5, order: 0, members: 0, name };
            world.put(Key::OrgDepartment(1), &itself);
        }),
    ];
    for (expected, damage) in cases {
        let mut world = World::organised();
        damage(&mut world);
        let (found, _) = world.check();
        assert!(found.iter().any(|line| line.contains(expected)), "{expected:?} is not in {found:#?}");
    }
}
#[test]
fn each_inconsistency_of_devices_is_found() {
    let cases: [(&str, Damage); 2] = [
        ("device 3 of 2 issued", |w| w.seen(w.ann, 3)),
        ("has a device and no account", |w| w.seen(UserId(w.ann.0 + 1024), 1)),
    ];
    assert_found(&cases);
}

type Damage = fn(&mut World);

fn assert_found(cases: &[(&str, Damage)]) {
    for (expected, damage) in cases {
        let mut world = World::new();
        damage(&mut world);
        let (found, _) = world.check();
        assert!(found.iter().any(|line| line.contains(expected)), "{expected:?} is not in {found:#?}");
    }
}

#[test]
fn what_is_on_its_way_or_fell_out_of_a_full_list_is_fine() {
    let mut world = World::new();
    world.listed(world.bob, 4);
    world.put(Key::Outbox(world.bob, world.chat), &OutboxEntry { digest: digest(5) });
    assert_eq!(world.check().0, [""; 0]);

    let mut world = World::new();
    let view = View { state: ContactState::Contact, ..View::default() };
    world.contact(world.bob, world.ann, |row| (row.version, row.view.state) = (1, ContactState::Asked));
    world.put(Key::ContactOutbox(world.bob, world.chat), &ContactOutboxEntry { version: 2, view });
    assert_eq!(world.check().0, [""; 0]);

    let mut world = World::new();
    world.remove(&Key::List(world.bob, world.chat));
    for number in 2..=3 {
        let carl = UserId::from_parts(Slot::of_name("carl"), number).unwrap();
        let other = ConversationId::private(world.bob, carl).unwrap();
        let entry = ListEntry { uver: u64::from(number), digest: Digest::default() };
        world.put(Key::List(world.bob, other), &entry);
    }
    let found = world.check().0;
    assert!(found.iter().all(|line| line.contains("has no account")), "{found:#?}");
}

#[test]
fn a_slot_in_the_wrong_store_shard_and_a_garbled_key_are_found() {
    let world = World::new();
    let mut verifier = Verifier::new(2);
    let (key, value) = &world.rows[0];
    let wrong = StoreShardId(STORE_SHARDS - 1 - StoreShardId::of_slot(key.slot(), STORE_SHARDS).0);
    verifier.handle_row(wrong, &key.bytes(), value).unwrap();
    let garbage = verifier.handle_row(wrong, b"garbage", value).unwrap_err();
    assert!(garbage.contains("cannot be understood"), "{garbage}");
    let (found, _) = verifier.finish(STORE_SHARDS);
    assert!(found.iter().any(|line| line.contains("is in store shard")), "{found:?}");
}
