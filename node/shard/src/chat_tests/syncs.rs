//! Lists: what changed, in rising versions, never before it is on disk.

use wire::ConversationId;
use wire::message::MarkKind;

use super::world::{World, synced};

#[test]
fn a_sync_pages_through_what_changed_in_rising_versions() {
    let mut world = World::new(3);
    let ann = world.user(3, 1);
    let ann = world.session(ann, 1, 0);
    let mut chats = Vec::new();
    for number in 0..25 {
        let peer = world.user(40 * number, 9);
        let peer = world.session(peer, 1, 1);
        let chat = ConversationId::private(ann.0, peer.0).expect("two users");
        world.send(peer, chat, 1, 0, b"hello");
        chats.push(chat);
    }
    world.settle();
    world.send(ann, chats[4], 1, 0, b"back");
    world.settle();
    for restart in [false, true] {
        if restart {
            world.crash(0, 2);
        }
        let (mut from, mut seen) = (0, Vec::new());
        loop {
            let request = world.sync(ann, from, 7);
            world.settle();
            let page = synced(&world.take(ann), request);
            assert_eq!(page.from, from);
            assert!(page.changes.len() <= 7 && page.changes.iter().all(|change| change.uver > from));
            assert!(page.changes.is_sorted_by(|a, b| a.uver < b.uver));
            seen.extend(page.changes.iter().map(|change| change.conversation));
            from = page.to;
            if !page.more {
                break;
            }
            assert_eq!(page.changes.last().map(|change| change.uver), Some(page.to));
        }
        assert_eq!(seen.len(), chats.len());
        assert!(chats.iter().all(|chat| seen.contains(chat)));
        assert_eq!(*seen.last().unwrap(), chats[4], "what changed last comes last");
        let request = world.sync(ann, from, 0);
        world.settle();
        let page = synced(&world.take(ann), request);
        assert!(page.changes.is_empty() && !page.more && (page.from, page.to) == (from, from));
        let future = world.sync(ann, from + 1, 0);
        world.settle();
        let page = synced(&world.take(ann), future);
        assert_eq!((page.from, page.changes.len()), (0, chats.len()), "the client starts afresh");
    }
}

#[test]
fn no_version_is_told_before_it_is_on_disk() {
    for (slot, number) in [(3, 0), (700, 1)] {
        let mut world = World::new(2);
        let ann = world.user(3, 1);
        let bob = world.user(700, 2);
        let chat = ConversationId::private(ann, bob).expect("two users");
        let sessions = [world.session(ann, 1, 0), world.session(bob, 1, 1)];
        // The list is in memory already.
        let request = world.sync(sessions[number], 0, 0);
        world.settle();
        assert!(synced(&world.take(sessions[number]), request).changes.is_empty());
        world.commits_held = true;
        world.send(sessions[1 - number], chat, 1, 0, b"hello");
        world.settle();
        let request = world.sync(sessions[number], 0, 0);
        world.settle();
        let early = world.take(sessions[number]);
        for (of, event) in &early {
            let wire::EventBody::Synced(list) = event else { panic!("{event:?}") };
            assert!(*of == request && list.changes.is_empty(), "slot {slot}: told too early");
        }
        world.commits_held = false;
        world.settle();
        let request = world.sync(sessions[number], 0, 0);
        world.settle();
        assert_eq!(synced(&world.take(sessions[number]), request).changes.len(), 1);
    }
}

#[test]
fn many_changes_of_one_turn_are_one_version() {
    let mut world = World::new(2);
    let (ann, bob, chat) = super::sends::pair(&mut world, [3, 700], [0, 1]);
    world.send(ann, chat, 1, 0, b"first");
    world.settle();
    for session in [ann, bob] {
        let request = world.sync(session, 0, 0);
        world.settle();
        let before = synced(&world.take(session), request).to;
        world.loads_held = true;
        for counter in 0..20 {
            let counter = 2 + counter + 20 * u64::from(session == bob);
            world.send(ann, chat, counter, counter - 1, b"more");
        }
        world.mark(bob, chat, MarkKind::Read, 1);
        world.loads_held = false;
        world.settle();
        let request = world.sync(session, 0, 0);
        world.settle();
        assert!(synced(&world.take(session), request).to <= before + 1);
    }
}
