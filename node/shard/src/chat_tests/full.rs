//! A full disk: nothing is acknowledged, memory equals disk afterwards, and it goes on when there is space.

use wire::message::MarkKind;
use wire::{EventBody, Refusal};

use crate::config::{ContactPolicy, StrangerPolicy};

use super::sends::{everything, pair};
use super::world::{World, pulled, refused, sent, synced};

#[test]
fn a_full_disk_refuses_what_was_not_written_and_forgets_it() {
    for shards in [1, 3] {
        let mut world = World::new(shards);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 0]);
        world.send(ann, chat, 1, 0, b"one");
        world.settle();
        for session in [ann, bob] {
            world.take(session);
        }
        world.full = true;
        let send = world.send(ann, chat, 2, 1, b"two");
        let repeat = world.send(ann, chat, 2, 1, b"two");
        let mark = world.mark(bob, chat, MarkKind::Read, 1);
        world.settle();
        let received = world.take(ann);
        assert_eq!(refused(&received, send).0, Refusal::StorageFull);
        assert_eq!(refused(&received, repeat).0, Refusal::StorageFull);
        let received = world.take(bob);
        assert_eq!(refused(&received, mark).0, Refusal::StorageFull);
        assert!(received.len() == 1, "nothing is pushed: {received:?}");
        // Reads go on; writes are refused before anything changes.
        let early = world.send(ann, chat, 2, 1, b"two");
        let pull = world.pull(bob, chat, everything());
        world.settle();
        assert_eq!(refused(&world.take(ann), early).0, Refusal::StorageFull);
        assert_eq!(pulled(&world.take(bob), pull).entries.len(), 1);
        world.full = false;
        world.now.mono_ms += 1_000;
        let send = world.send(ann, chat, 2, 1, b"zwei");
        world.settle();
        assert_eq!(sent(&world.take(ann), send).place.seq, 2, "the refused one has left no trace");
        let sync = world.sync(bob, 0, 0);
        world.settle();
        let list = synced(&world.take(bob), sync);
        let summary = list.changes[0];
        assert_eq!((summary.head.seq, summary.read.seq), (2, 0));
    }
}

#[test]
fn a_relation_that_was_not_written_is_forgotten_though_a_first_message_waits() {
    for shards in [1, 2] {
        let mut world = World::with_policies(shards, ContactPolicy::Required, StrangerPolicy::Refuse);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 0]);
        world.pull(ann, chat, everything());
        world.settle();
        world.take(ann);
        (world.commits_held, world.mesh_held, world.loads_held) = (true, true, true);
        world.at_home(chat, |unit| {
            let from = unit.core.address;
            unit.conversations.handle_part(&mut unit.core, from, 1, vec![chat]);
        });
        // They are contacts for now, so that his home is asked whether bob exists.
        let send = world.send(ann, chat, 1, 0, b"hello");
        world.settle();
        (world.full, world.commits_held) = (true, false);
        world.settle();
        assert!(world.take(ann).is_empty(), "the message waits");
        (world.full, world.mesh_held, world.loads_held) = (false, false, false);
        world.now.mono_ms += 1_000;
        world.settle();
        assert_eq!(refused(&world.take(ann), send).0, Refusal::NotContact, "{shards} shards");
        let send = world.send(bob, chat, 1, 0, b"hello");
        world.settle();
        assert_eq!(refused(&world.take(bob), send).0, Refusal::NotContact);
        world.verify_disk();
    }
}

#[test]
fn a_change_of_another_home_is_not_lost_when_the_list_cannot_be_written() {
    let mut world = World::new(2);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    let request = world.send(ann, chat, 1, 0, b"one");
    while !world.take(ann).iter().any(|(of, _)| *of == request) {
        assert!(world.advance());
    }
    world.full = true;
    world.settle();
    assert!(world.take(bob).iter().any(|(_, event)| matches!(event, EventBody::Message(_))));
    for _ in 0..3 {
        world.now.mono_ms += 1_000;
        world.settle();
    }
    world.full = false;
    world.now.mono_ms += 1_000;
    world.settle();
    for session in [ann, bob] {
        let request = world.sync(session, 0, 0);
        world.settle();
        let list = synced(&world.take(session), request);
        assert_eq!((list.changes.len(), list.changes[0].head.seq), (1, 1));
    }
}
