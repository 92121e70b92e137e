//! Bounds: what happens at each, and that it goes on when there is room again.

use wire::{ConversationId, EventBody, Refusal};

use super::sends::pair;
use super::world::{World, refused, sent, synced};
use crate::limits::INTRODUCTIONS_MAX;

#[test]
fn a_full_outbox_refuses_sends_until_other_homes_have_confirmed() {
    let mut world = World::new(2);
    world.outbox_max = 10;
    world.crash(0, 2);
    let ann = world.user(3, 1);
    let ann = world.session(ann, 1, 0);
    let chats: Vec<_> = (0..40)
        .map(|number| {
            let peer = world.user(700, 2 + number);
            ConversationId::private(ann.0, peer).expect("two users")
        })
        .collect();
    for chat in &chats {
        world.send(ann, *chat, 1, 0, b"first");
        world.settle();
    }
    world.take(ann);
    world.mesh_held = true;
    let requests: Vec<_> = chats
        .iter()
        .map(|chat| {
            let request = world.send(ann, *chat, 2, 1, b"second");
            world.settle();
            request
        })
        .collect();
    // Each shard has an outbox, and all conversations have their home on one of the two.
    world.mesh_held = false;
    world.settle();
    let received = world.take(ann);
    let is_refused = |request: &&u32| received.iter().any(|(of, event)| of == *request && is_busy(event));
    let busy: Vec<_> = requests.iter().filter(is_refused).collect();
    assert!(!busy.is_empty() && busy.len() < requests.len(), "{} of {}", busy.len(), requests.len());
    for chat in &chats {
        let again = world.send(ann, *chat, 2, 1, b"second");
        world.settle();
        assert_eq!(sent(&world.take(ann), again).place.seq, 2);
    }
}

fn is_busy(event: &EventBody) -> bool {
    matches!(event, EventBody::Refused(refused) if refused.code == Refusal::Busy.code())
}

#[test]
fn first_sends_that_wait_to_hear_of_their_peer_are_bounded() {
    let mut world = World::new(2);
    let ann = world.user(3, 1);
    let ann = world.session(ann, 1, 0);
    world.mesh_held = true;
    let (mut requests, mut number) = (Vec::new(), 1);
    while requests.len() < INTRODUCTIONS_MAX + 3 {
        number += 1;
        let peer = world.user(700, number);
        let chat = ConversationId::private(ann.0, peer).expect("two users");
        // Those whose home is with ann: the peer's home is another shard.
        if chat.slot() == ann.0.slot() {
            requests.push(world.send(ann, chat, 1, 0, b"hello"));
            world.settle();
        }
    }
    world.mesh_held = false;
    world.settle();
    let received = world.take(ann);
    let (taken, busy) = requests.split_at(INTRODUCTIONS_MAX);
    assert!(taken.iter().all(|request| sent(&received, *request).place.seq == 1));
    assert!(busy.iter().all(|request| refused(&received, *request).0 == Refusal::Busy));
}

#[test]
fn a_session_that_missed_too_much_is_told_to_sync() {
    let mut world = World::with_credits(3, 1);
    world.missed_max = 5;
    world.crash(0, 3);
    let ann = world.user(3, 1);
    let ann = world.session(ann, 1, 0);
    assert_ne!(world.units[0].core.home(ann.0.slot()).shard, 0, "pushes cross the mesh");
    let mut chats = Vec::new();
    for number in 0..40u16 {
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
    assert!(received.iter().any(|(_, event)| *event == EventBody::SyncNeeded), "{received:?}");
    let request = world.sync(ann, 0, 0);
    world.settle();
    let list = synced(&world.take(ann), request);
    assert!(list.changes.len() == 40 && list.changes.iter().all(|change| change.head.seq == 2));
}

#[test]
fn more_conversations_than_fit_in_memory_are_read_again_when_needed() {
    let mut world = World::new(1);
    world.cached_max = 3;
    world.crash(0, 1);
    let (ann, bob, first) = pair(&mut world, [3, 700], [0, 0]);
    world.send(ann, first, 1, 0, b"hello");
    world.settle();
    for number in 0..20 {
        let peer = world.user(80, 5 + number);
        let chat = ConversationId::private(ann.0, peer).expect("two users");
        let request = world.send(ann, chat, 1, 0, b"hello");
        world.settle();
        assert_eq!(sent(&world.take(ann), request).place.seq, 1);
        assert!(world.units[0].core.counters.conversations <= 3);
        assert!(world.units[0].core.counters.lists <= 3);
    }
    let reads = world.units[0].core.counters.loads;
    let request = world.send(bob, first, 1, 0, b"hello back");
    world.settle();
    assert_eq!(sent(&world.take(bob), request).place.seq, 2);
    assert!(world.units[0].core.counters.loads > reads, "it had left the memory");
}
