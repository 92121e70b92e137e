//! Sends: once, in order, acknowledged when on disk.

use wire::message::{BodyKind, MarkKind, Pull};
use wire::{ConversationId, EventBody, Refusal, UserId};

use super::world::{World, answer, messages, pulled, refused, sent};
use crate::limits::{CHECKPOINT_ENTRIES, QUEUED_PER_KEY_MAX, TAIL_BYTES_MAX};
use crate::mesh::SessionPlace;

pub(super) type Session = (UserId, SessionPlace);

/// Two users with a session each, on the given shards, and their conversation.
pub(super) fn pair(
    world: &mut World,
    slots: [u16; 2],
    shards: [u16; 2],
) -> (Session, Session, ConversationId) {
    let ann = world.user(slots[0], 1);
    let bob = world.user(slots[1], 2);
    let chat = ConversationId::private(ann, bob).expect("two users");
    (world.session(ann, 1, shards[0]), world.session(bob, 1, shards[1]), chat)
}

pub(super) fn everything() -> Pull {
    Pull { from: 1, to: u64::MAX, bytes_max: 0, epoch: 0 }
}

#[test]
fn a_message_is_told_to_both_users_only_when_it_is_on_disk() {
    for shards in [1, 2, 3] {
        let mut world = World::new(shards);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, shards - 1]);
        let ann_too = world.session(ann.0, 2, shards - 1);
        world.commits_held = true;
        let request = world.send(ann, chat, 1, 0, b"hello");
        world.settle();
        for session in [ann, ann_too, bob] {
            assert!(world.take(session).is_empty(), "told before it is on disk");
        }
        let pull = world.pull(bob, chat, everything());
        world.settle();
        let empty = pulled(&world.take(bob), pull);
        assert!((empty.head.seq, empty.to, empty.entries.len()) == (0, 0, 0), "{empty:?}");
        world.commits_held = false;
        world.settle();
        let received = world.take(ann);
        let sent = sent(&received, request);
        assert_eq!((sent.place.seq, sent.place.ord, sent.counter), (1, 1, 1));
        assert!(messages(&received).is_empty(), "the sending session knows");
        for session in [ann_too, bob] {
            let pushed = messages(&world.take(session));
            assert_eq!(pushed.len(), 1);
            assert_eq!((pushed[0].place.seq, &pushed[0].body[..]), (1, &b"hello"[..]));
            assert_eq!((pushed[0].sender, pushed[0].time_ms), (ann.0, sent.time_ms));
        }
    }
}

#[test]
fn a_repeat_gets_the_original_answer_and_only_after_its_commit() {
    let mut world = World::new(2);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    world.commits_held = true;
    let first = world.send(ann, chat, 5, 0, b"one");
    let again = world.send(ann, chat, 5, 0, b"one");
    let other = world.send(ann, chat, 5, 0, b"two");
    world.settle();
    assert_eq!(world.take(ann), []);
    world.commits_held = false;
    world.settle();
    let received = world.take(ann);
    assert_eq!(sent(&received, first), sent(&received, again));
    assert_eq!(refused(&received, other), (Refusal::CounterReused, 0));
    // After a restart the answer is found in the log.
    world.crash(0, 3);
    let later = world.send(ann, chat, 5, 0, b"one");
    world.settle();
    assert_eq!(sent(&world.take(ann), later), sent(&received, first));
    assert_eq!(messages(&world.take(bob)).len(), 1);
}

#[test]
fn a_send_behind_a_refused_one_is_refused_until_that_is_decided() {
    let mut world = World::new(1);
    let (ann, _, chat) = pair(&mut world, [3, 700], [0, 0]);
    let first = world.send(ann, chat, 1, 0, b"one");
    world.settle();
    sent(&world.take(ann), first);
    world.full = true;
    let second = world.send(ann, chat, 2, 1, b"two");
    let third = world.send(ann, chat, 3, 2, b"three");
    world.settle();
    let received = world.take(ann);
    assert_eq!(refused(&received, second).0, Refusal::StorageFull);
    assert_eq!(refused(&received, third).0, Refusal::StorageFull);
    world.full = false;
    world.now.mono_ms += 1_000;
    let third = world.send(ann, chat, 3, 2, b"three");
    let second = world.send(ann, chat, 2, 1, b"two");
    let third_again = world.send(ann, chat, 3, 2, b"three");
    world.settle();
    let received = world.take(ann);
    assert_eq!(refused(&received, third), (Refusal::OutOfOrder, 1));
    assert_eq!(sent(&received, second).place.seq, 2);
    assert_eq!(sent(&received, third_again).place.seq, 3);
}

#[test]
fn a_refusal_that_tells_what_was_taken_waits_until_that_is_on_disk() {
    for full in [false, true] {
        let mut world = World::new(1);
        let (ann, _, chat) = pair(&mut world, [3, 700], [0, 0]);
        world.commits_held = true;
        let first = world.send(ann, chat, 1, 0, b"one");
        let behind = world.send(ann, chat, 3, 2, b"three");
        let reused = world.send(ann, chat, 1, 0, b"other");
        world.settle();
        assert_eq!(world.take(ann), [], "told before it is on disk");
        (world.commits_held, world.full) = (false, full);
        world.settle();
        let received = world.take(ann);
        if full {
            for request in [first, behind, reused] {
                assert_eq!(refused(&received, request).0, Refusal::StorageFull);
            }
        } else {
            sent(&received, first);
            assert_eq!(refused(&received, behind), (Refusal::OutOfOrder, 1));
            assert_eq!(refused(&received, reused).0, Refusal::CounterReused);
        }
    }
}

#[test]
fn what_may_not_be_sent_is_refused_with_its_reason() {
    let mut world = World::new(2);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    let eve = world.user(9, 3);
    let eve = world.session(eve, 1, 0);
    let long = vec![b'x'; wire::limits::MESSAGE_BODY_LEN_MAX + 1];
    let cases = [
        (eve, world.send(eve, chat, 1, 0, b"hi"), Refusal::NotMember, 0),
        (ann, world.send(ann, chat, 1, 0, b""), Refusal::BadField, 0),
        (ann, world.send(ann, chat, 0, 0, b"hi"), Refusal::BadField, 0),
        (ann, world.send(ann, chat, 1, 0, &long), Refusal::BodyTooLong, long.len() as u64 - 1),
        (bob, world.send(bob, chat, 2, 1, b"hi"), Refusal::OutOfOrder, 0),
    ];
    world.settle();
    for session in [ann, bob, eve] {
        let received = world.take(session);
        for (_, request, refusal, detail) in cases.iter().filter(|(of, ..)| *of == session) {
            assert_eq!(refused(&received, *request), (*refusal, *detail));
        }
    }
}

#[test]
fn nobody_can_be_written_to_who_does_not_exist() {
    for shards in [1, 2, 3] {
        let mut world = World::new(shards);
        let ann = world.user(3, 1);
        let session = world.session(ann, 1, 0);
        // Some of these conversations have their home with ann, some with the one who does not exist.
        for slot in 100..120 {
            let nobody = UserId(77 << 10 | slot);
            let chat = ConversationId::private(ann, nobody).expect("two ids");
            let first = world.send(session, chat, 1, 0, b"hello?");
            let second = world.send(session, chat, 2, 1, b"anybody?");
            let mark = world.mark(session, chat, MarkKind::Read, 1);
            world.settle();
            let received = world.take(session);
            assert_eq!(refused(&received, first).0, Refusal::UnknownUser);
            assert_eq!(refused(&received, second).0, Refusal::UnknownUser);
            assert_eq!(refused(&received, mark).0, Refusal::BadField);
            // Later somebody registers under this id.
            assert_eq!(world.user(slot as u16, 77), nobody);
            let first = world.send(session, chat, 1, 0, b"hello?");
            world.settle();
            assert_eq!(sent(&world.take(session), first).place.seq, 1);
        }
    }
}

#[test]
fn commands_that_wait_for_a_load_run_in_order_and_are_bounded() {
    let mut world = World::new(2);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    world.loads_held = true;
    let requests: Vec<_> = (1..=QUEUED_PER_KEY_MAX as u64)
        .map(|counter| world.send(ann, chat, counter, counter - 1, format!("{counter}").as_bytes()))
        .collect();
    let refused_one =
        world.send(ann, chat, QUEUED_PER_KEY_MAX as u64 + 1, QUEUED_PER_KEY_MAX as u64, b"more");
    world.loads_held = false;
    world.settle();
    let received = world.take(ann);
    assert_eq!(refused(&received, refused_one).0, Refusal::Busy);
    for (index, request) in requests.iter().enumerate() {
        assert_eq!(sent(&received, *request).place.seq, index as u64 + 1);
    }
    let pushed: Vec<_> = messages(&world.take(bob)).iter().map(|entry| entry.place.seq).collect();
    assert_eq!(pushed, (1..=QUEUED_PER_KEY_MAX as u64).collect::<Vec<_>>());
}

#[test]
fn time_never_goes_back_within_a_conversation() {
    let mut world = World::new(1);
    let (ann, _, chat) = pair(&mut world, [3, 700], [0, 0]);
    let start = world.now.wall_ms;
    let mut times = Vec::new();
    for (counter, wall_ms) in [(1, start), (2, start - 60_000), (3, start + 5), (4, 0)] {
        world.now.wall_ms = wall_ms;
        let request = world.send(ann, chat, counter, counter - 1, b"tick");
        world.settle();
        times.push(sent(&world.take(ann), request).time_ms);
    }
    assert_eq!(times, [start, start, start + 5, start + 5]);
    // Neither does a restart with a wrong clock.
    world.crash(0, 2);
    let request = world.send(ann, chat, 5, 4, b"tick");
    world.settle();
    assert_eq!(sent(&world.take(ann), request).time_ms, start + 5);
}

#[test]
fn long_bodies_come_back_whole() {
    let mut world = World::new(2);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    let lengths = [1, 3_500, 3_501, 3_900, 7_800, 7_801, TAIL_BYTES_MAX, wire::limits::MESSAGE_BODY_LEN_MAX];
    let body = |len: usize| (0..len).map(|index| (index * 7 + len) as u8).collect::<Vec<_>>();
    for (index, len) in lengths.into_iter().enumerate() {
        world.send(ann, chat, index as u64 + 1, index as u64, &body(len));
        world.settle();
    }
    let pushed = messages(&world.take(bob));
    for restart in [false, true] {
        if restart {
            world.crash(0, 1);
        }
        let pull = world.pull(bob, chat, everything());
        world.settle();
        let pulled = pulled(&world.take(bob), pull);
        assert_eq!(pulled.ranges, []);
        assert_eq!(pulled.entries, pushed);
        for (entry, len) in pulled.entries.iter().zip(lengths) {
            assert_eq!((&entry.body[..], entry.body_kind), (&body(len)[..], BodyKind::Text));
        }
    }
}

#[test]
fn a_conversation_is_rebuilt_the_same_from_any_point_behind_its_checkpoint() {
    let mut world = World::new(2);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    let (mut counters, mut seq) = ([0u64; 2], 0);
    let entries = CHECKPOINT_ENTRIES + 300;
    for step in 0..entries {
        let from = usize::from(step % 3 == 0);
        let session = [ann, bob][from];
        counters[from] += 1;
        let request = world.send(session, chat, counters[from], counters[from] - 1, b"message");
        if step % 10 == 9 || step + 1 == entries {
            world.settle();
        }
        seq += 1;
        let restart = [1, 255, 256, 257, CHECKPOINT_ENTRIES - 1, CHECKPOINT_ENTRIES, CHECKPOINT_ENTRIES + 1];
        if restart.contains(&seq) || seq == entries {
            world.settle();
            world.crash(0, 1 + (seq % 3) as u16);
            world.take(ann);
            world.take(bob);
            let again = world.send(session, chat, counters[from], counters[from] - 1, b"message");
            let other = world.send(session, chat, counters[from], counters[from] - 1, b"other");
            world.settle();
            let received = world.take(session);
            assert_eq!(sent(&received, again).place.seq, seq, "seq {seq}");
            assert_eq!(refused(&received, other).0, Refusal::CounterReused);
        } else if step % 10 == 9 {
            assert!(matches!(answer(&world.take(session), request), EventBody::Sent(_)));
        }
    }
    let pull = world.sync(ann, 0, 0);
    world.settle();
    let list = super::world::synced(&world.take(ann), pull);
    let summary = list.changes[0];
    assert_eq!((summary.head.seq, summary.head.ord), (seq, seq));
    // Both wrote in the end, so each has read up to the own last entry.
    assert!(summary.read.seq + 3 >= seq && summary.peer_read.seq + 3 >= seq, "{summary:?}");
}
