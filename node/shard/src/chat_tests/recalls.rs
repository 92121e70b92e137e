//! Recalls, edits, reactions: what the message is afterwards, in memory, in the store, and for whoever asks.

use record::{Chunk, Key};
use wire::extras::Extras;
use wire::message::{BodyKind, Entry, EntryKind, MarkKind, Send};
use wire::{ConversationId, EventBody, Refusal};

use super::sends::{Session, pair};
use super::verbs::pull_all;
use super::world::{World, answer, messages, refused, sent, synced};

/// Sends something about the message with this seq.
fn act(
    world: &mut World,
    of: (Session, ConversationId),
    counter: u64,
    kind: EntryKind,
    seq: u64,
    body: &[u8],
) -> u32 {
    let extras = Extras::about(seq);
    let send =
        Send { kind, extras: Some(&extras), ..Send::plain(counter, counter - 1, BodyKind::Text, body) };
    world.send_with(of.0, of.1, send)
}

fn extras(entry: &Entry) -> (u64, u64) {
    entry.extras.as_ref().map_or((0, 0), |extras| (extras.edited, extras.recalled))
}

fn has(world: &World, marker: &[u8]) -> bool {
    world.disk.rows.values().any(|value| value.windows(marker.len()).any(|part| part == marker))
}

/// Whether the batch of an act is on its way is tried both ways: acts may follow each other before they are on disk.
#[test]
fn a_recalled_message_is_gone_with_its_edits_and_its_chunks() {
    for (shards, apart) in [(1, true), (3, true), (1, false), (3, false)] {
        let mut world = World::new(shards);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, shards - 1]);
        let long = [b"marker-one".repeat(900), b"marker-two".repeat(600)];
        let first = world.send(ann, chat, 1, 0, &long[0]);
        world.send(bob, chat, 1, 0, b"between");
        world.settle();
        let place = sent(&world.take(ann), first).place.seq;
        act(&mut world, (ann, chat), 2, EntryKind::Edit, place, &long[1]);
        if apart {
            world.settle();
        }
        act(&mut world, (ann, chat), 3, EntryKind::Edit, place, b"marker-three");
        world.settle();
        let edited = pull_all(&mut world, bob, chat);
        assert_eq!((&edited[0].body[..], extras(&edited[0])), (&b"marker-three"[..], (4, 0)));
        assert!(
            world.disk.get::<Chunk>(&Key::Chunk(chat, place, 0)).is_none(),
            "the old body's chunks are gone"
        );
        let recall = act(&mut world, (ann, chat), 4, EntryKind::Recall, place, b"");
        world.settle();
        assert_eq!(sent(&world.take(ann), recall).place, wire::message::Place { seq: 5, ord: 2 });
        assert!(!has(&world, b"marker-"), "nothing of it is in the store");
        let told = messages(&world.take(bob));
        assert_eq!(told.last().map(|entry| entry.kind), Some(EntryKind::Recall));
        for restart in [false, true] {
            if restart {
                world.crash(0, 2);
            }
            let entries = pull_all(&mut world, bob, chat);
            let states: Vec<_> =
                entries.iter().map(|entry| (entry.kind.0, entry.body.len(), extras(entry).1)).collect();
            assert_eq!(states, [(1, 0, 5), (1, 7, 0), (3, 0, 5), (3, 0, 5), (2, 0, 0)]);
            let again = world.send(ann, chat, 1, 0, &long[0]);
            let acted_again = act(&mut world, (ann, chat), 4, EntryKind::Recall, place, b"");
            world.settle();
            let received = world.take(ann);
            assert_eq!(sent(&received, again).place.seq, place, "a repeat of the original send");
            assert_eq!(sent(&received, acted_again).place.seq, 5);
        }
    }
}

#[test]
fn nothing_of_it_counts_as_unread_and_marks_know_their_ord() {
    let mut world = World::new(3);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    let list = |world: &mut World, session: Session| {
        let sync = world.sync(session, 0, 0);
        world.settle();
        synced(&world.take(session), sync).changes[0]
    };
    world.send(ann, chat, 1, 0, b"one"); // 1
    world.settle();
    act(&mut world, (ann, chat), 2, EntryKind::Edit, 1, b"two"); // 2
    world.send(ann, chat, 3, 2, b"three"); // 3
    world.settle();
    act(&mut world, (bob, chat), 1, EntryKind::Reaction, 3, "👍".as_bytes()); // 4
    world.send(ann, chat, 4, 3, b"four"); // 5
    world.settle();
    act(&mut world, (ann, chat), 5, EntryKind::Recall, 3, b""); // 6
    world.settle();
    assert_eq!((list(&mut world, bob).head.seq, list(&mut world, bob).head.ord), (6, 3));
    assert_eq!(list(&mut world, bob).unread(), 3, "a reaction reads nothing");
    for (restart, seq, ord, unread) in [(false, 2, 1, 2), (true, 3, 2, 1), (true, 4, 2, 1), (true, 6, 3, 0)] {
        if restart {
            world.crash(0, 2);
        }
        let mark = world.mark(bob, chat, MarkKind::Read, seq);
        world.settle();
        let EventBody::Marked(marked) = answer(&world.take(bob), mark).clone() else { panic!() };
        assert_eq!((marked.place.seq, marked.place.ord), (seq, ord));
        assert_eq!(list(&mut world, bob).unread(), unread);
        assert_eq!(list(&mut world, ann).unread(), 0);
    }
}

#[test]
fn what_may_not_be_done_is_refused() {
    let mut world = World::new(1);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 0]);
    world.send(ann, chat, 1, 0, b"one");
    world.settle();
    act(&mut world, (bob, chat), 1, EntryKind::Reaction, 1, b"+1");
    world.settle();
    let mut refuses = |of: Session, counter, kind, seq, body: &[u8]| {
        let request = act(&mut world, (of, chat), counter, kind, seq, body);
        world.settle();
        refused(&world.take(of), request).0
    };
    assert_eq!(refuses(bob, 2, EntryKind::Recall, 1, b""), Refusal::NotYours);
    assert_eq!(refuses(bob, 2, EntryKind::Edit, 1, b"x"), Refusal::NotYours);
    assert_eq!(refuses(bob, 2, EntryKind::Recall, 2, b""), Refusal::BadField, "a reaction is no message");
    assert_eq!(refuses(ann, 2, EntryKind::Edit, 3, b"x"), Refusal::BadField, "not there");
    assert_eq!(refuses(ann, 2, EntryKind::Edit, 1, b""), Refusal::BadField);
    assert_eq!(refuses(ann, 2, EntryKind::Recall, 1, b"x"), Refusal::BadField);
    assert_eq!(refuses(ann, 2, EntryKind::Reaction, 1, &[b'x'; 65]), Refusal::BadField);
    assert_eq!(refuses(ann, 2, EntryKind::Recall, 0, b""), Refusal::BadField);
    for counter in 2..2 + record::EDITS_MAX as u64 {
        act(&mut world, (ann, chat), counter, EntryKind::Edit, 1, b"again");
    }
    world.settle();
    let counter = 2 + record::EDITS_MAX as u64;
    let more = act(&mut world, (ann, chat), counter, EntryKind::Edit, 1, b"too much");
    world.settle();
    assert_eq!(refused(&world.take(ann), more), (Refusal::TooManyEdits, 16));
    world.now.wall_ms += 120_001;
    let late = act(&mut world, (ann, chat), counter, EntryKind::Recall, 1, b"");
    world.settle();
    assert_eq!(refused(&world.take(ann), late), (Refusal::TooLate, 120_000));
    world.now.wall_ms -= 60_000;
    let in_time = act(&mut world, (ann, chat), counter, EntryKind::Recall, 1, b"");
    world.settle();
    sent(&world.take(ann), in_time);
    let twice = act(&mut world, (ann, chat), counter + 1, EntryKind::Recall, 1, b"");
    world.settle();
    assert_eq!(refused(&world.take(ann), twice).0, Refusal::AlreadyRecalled);
}

/// The batch of the recall is refused for want of disk: the message is as it was.
#[test]
fn a_recall_that_is_not_written_did_not_happen() {
    let mut world = World::new(2);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    world.send(ann, chat, 1, 0, b"stays");
    world.settle();
    world.take(ann);
    world.full = true;
    let recall = act(&mut world, (ann, chat), 2, EntryKind::Recall, 1, b"");
    world.settle();
    assert_eq!(refused(&world.take(ann), recall).0, Refusal::StorageFull);
    assert_eq!(&pull_all(&mut world, bob, chat)[0].body[..], b"stays");
}
