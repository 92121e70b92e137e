//! Lanes without credit: what found no room is told in short when there is.

use wire::message::{MarkKind, Marked};
use wire::{ConversationId, EventBody, UserId};

use super::sends::pair;
use super::world::{Received, World, messages, synced};

/// The head a session knows of after what it got.
fn head(received: &Received) -> u64 {
    let heads = received.iter().filter_map(|(_, event)| match event {
        EventBody::HeadMoved(moved) => Some(moved.head.seq),
        EventBody::Message(message) => Some(message.entry.place.seq),
        _ => None,
    });
    heads.max().unwrap_or(0)
}

/// How far this user has read, by the marks that came.
fn read_by(received: &Received, user: UserId) -> u64 {
    let marks = received.iter().filter_map(|(_, event)| match event {
        EventBody::Marked(Marked { kind: MarkKind::Read, place, user: of, .. }) if *of == user => {
            Some(place.seq)
        }
        _ => None,
    });
    marks.max().unwrap_or(0)
}

#[test]
fn without_room_sessions_hear_the_head_and_the_marks_later() {
    for credits in [1, 2, 7] {
        let mut world = World::with_credits(4, credits);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [2, 3]);
        world.send(ann, chat, 1, 0, b"first");
        world.settle();
        let first = world.take(bob);
        assert_eq!(head(&first), 1);
        world.mesh_held = true;
        for counter in 2..=40 {
            world.send(ann, chat, counter, counter - 1, b"more");
            world.mark(bob, chat, MarkKind::Read, counter - 1);
            world.settle();
        }
        world.mesh_held = false;
        world.settle();
        let (to_ann, to_bob) = (world.take(ann), world.take(bob));
        assert_eq!(head(&to_bob), 40, "credits {credits}");
        assert_eq!(read_by(&to_ann, bob.0), 39, "credits {credits}");
        assert!(messages(&to_bob).len() < 39, "some pushes found no room");
        for session in [ann, bob] {
            let request = world.sync(session, 0, 0);
            world.settle();
            assert_eq!(synced(&world.take(session), request).changes[0].head.seq, 40);
        }
    }
}

#[test]
fn what_a_session_misses_is_told_to_the_connection_it_has_now() {
    for missed_max in [0, 100] {
        let mut world = World::with_credits(4, 1);
        world.missed_max = missed_max;
        world.crash(0, 4);
        // One home for all, apart from the shard of the sessions: every push needs credit, and nothing else does.
        let (ann, bob, chat) = pair(&mut world, [4, 700], [1, 1]);
        world.send(ann, chat, 1, 0, b"first");
        world.settle();
        world.mesh_held = true;
        for counter in 2..=4 {
            world.send(ann, chat, counter, counter - 1, b"to the old connection, or missed by it");
            world.settle();
        }
        world.reconnect(bob);
        world.send(ann, chat, 5, 4, b"missed by the new connection");
        world.settle();
        world.take(bob);
        world.mesh_held = false;
        world.settle();
        let received = world.take(bob);
        let told_to_sync = received.iter().any(|(_, event)| *event == EventBody::SyncNeeded);
        assert!(head(&received) == 5 || told_to_sync, "{received:?}");
    }
}

#[test]
fn many_conversations_without_room_all_arrive() {
    let mut world = World::with_credits(3, 1);
    let ann = world.user(3, 1);
    let ann = world.session(ann, 1, 0);
    let mut chats = Vec::new();
    for number in 0..60u16 {
        let peer = world.user(17 * number, 9);
        let peer = world.session(peer, 1, 1);
        chats.push((peer, ConversationId::private(ann.0, peer.0).expect("two users")));
    }
    for (peer, chat) in &chats {
        world.send(*peer, *chat, 1, 0, b"hello");
    }
    world.settle();
    world.take(ann);
    world.mesh_held = true;
    for (peer, chat) in &chats {
        world.send(*peer, *chat, 2, 1, b"again");
    }
    world.settle();
    world.mesh_held = false;
    world.settle();
    let received = world.take(ann);
    for (_, chat) in chats {
        let told = received.iter().any(|(_, event)| match event {
            EventBody::HeadMoved(moved) => moved.conversation == chat && moved.head.seq == 2,
            EventBody::Message(message) => message.conversation == chat && message.entry.place.seq == 2,
            _ => false,
        });
        assert!(told, "{chat:?}");
    }
}

#[test]
fn large_events_use_up_the_credits_and_are_told_later() {
    let mut world = World::with_credits(4, 100);
    let (ann, bob, chat) = pair(&mut world, [4, 700], [1, 1]);
    world.mesh_held = true;
    let body = vec![b'x'; wire::limits::MESSAGE_BODY_LEN_MAX];
    for counter in 1..=6 {
        world.send(ann, chat, counter, counter - 1, &body);
        world.settle();
    }
    world.mesh_held = false;
    world.settle();
    let received = world.take(bob);
    let pushed = messages(&received).len();
    assert_eq!((pushed, head(&received)), (2, 6), "what is on its way is bounded in bytes");
}
