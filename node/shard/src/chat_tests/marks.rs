//! Marks: only rise, follow sends, and reach all devices.

use wire::message::{MarkKind, Marked};
use wire::{EventBody, Refusal};

use super::sends::{Session, pair};
use super::world::{Received, World, answer, refused, synced};

fn marks(received: &Received) -> Vec<(u64, MarkKind, u64)> {
    received
        .iter()
        .filter_map(|(request, event)| match event {
            EventBody::Marked(Marked { user, kind, place, .. }) if *request == 0 => {
                Some((user.0, *kind, place.seq))
            }
            _ => None,
        })
        .collect()
}

fn answered(world: &mut World, session: Session, request: u32) -> u64 {
    world.settle();
    let EventBody::Marked(marked) = answer(&world.take(session), request).clone() else { panic!() };
    marked.place.seq
}

#[test]
fn marks_rise_and_are_told_to_every_other_device_of_both_users() {
    let mut world = World::new(3);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    let bob_too = world.session(bob.0, 2, 2);
    for counter in 1..=5 {
        world.send(ann, chat, counter, counter - 1, b"message");
    }
    world.settle();
    for session in [ann, bob, bob_too] {
        world.take(session);
    }
    let request = world.mark(bob, chat, MarkKind::Read, 3);
    world.settle();
    assert_eq!(marks(&world.take(ann)), [(bob.0.0, MarkKind::Read, 3)]);
    assert_eq!(marks(&world.take(bob_too)), [(bob.0.0, MarkKind::Read, 3)]);
    let received = world.take(bob);
    assert!(matches!(answer(&received, request), EventBody::Marked(marked) if marked.place.seq == 3));
    assert!(marks(&received).is_empty(), "the marking session knows");
    let lower = world.mark(bob, chat, MarkKind::Read, 2);
    assert_eq!(answered(&mut world, bob, lower), 3, "a mark never goes back");
    let delivered = world.mark(bob, chat, MarkKind::Delivered, 1);
    assert_eq!(answered(&mut world, bob, delivered), 3, "what is read was delivered");
    assert!(world.take(ann).is_empty(), "nothing rose");
    for restart in [false, true] {
        if restart {
            world.crash(0, 2);
        }
        let sync = world.sync(bob, 0, 0);
        world.settle();
        let list = synced(&world.take(bob), sync);
        let summary = list.changes[0];
        assert_eq!((summary.read.seq, summary.delivered.seq, summary.unread()), (3, 3, 2));
        assert_eq!((summary.peer_read.seq, summary.head.seq), (5, 5), "who writes has read");
    }
}

#[test]
fn a_mark_of_what_is_not_there_is_refused() {
    let mut world = World::new(1);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 0]);
    world.send(ann, chat, 1, 0, b"one");
    world.settle();
    world.commits_held = true;
    world.send(ann, chat, 2, 1, b"two");
    let ahead = world.mark(bob, chat, MarkKind::Read, 2);
    let zero = world.mark(bob, chat, MarkKind::Read, 0);
    let strange = world.mark(bob, chat, MarkKind(9), 1);
    world.settle();
    let received = world.take(bob);
    assert_eq!(refused(&received, ahead), (Refusal::BadField, 1), "not on disk yet");
    assert_eq!(refused(&received, zero).0, Refusal::BadField);
    assert_eq!(refused(&received, strange).0, Refusal::BadField);
}

#[test]
fn a_marks_answer_waits_for_its_commit_also_when_it_repeats() {
    let mut world = World::new(1);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 0]);
    world.send(ann, chat, 1, 0, b"one");
    world.settle();
    world.take(bob);
    world.commits_held = true;
    let first = world.mark(bob, chat, MarkKind::Read, 1);
    let again = world.mark(bob, chat, MarkKind::Read, 1);
    world.settle();
    assert!(world.take(bob).is_empty());
    world.commits_held = false;
    world.settle();
    let received = world.take(bob);
    for request in [first, again] {
        assert!(matches!(answer(&received, request), EventBody::Marked(_)));
    }
}
