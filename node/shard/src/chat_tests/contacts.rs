//! What two users are to each other: told to both homes, over crashes and full disks, and what it means for messages.

use record::Act;
use wire::contact::{Contact, ContactState, Related};
use wire::{EventBody, Refusal};

use crate::config::{ContactPolicy, StrangerPolicy};

use super::sends::{Session, pair};
use super::world::{Received, World, answer, messages, refused, sent};

fn request() -> Act {
    Act::Request { text: "hello".into() }
}

fn related(received: &Received, request: u32) -> Related {
    let EventBody::Related(related) = answer(received, request) else { panic!("{received:?}") };
    *related
}

/// The rows that were pushed, newest last: state, whether blocked, text.
fn pushed(received: &Received) -> Vec<(ContactState, bool, String)> {
    let rows = received.iter().filter_map(|(_, event)| match event {
        EventBody::ContactChanged(Contact { state, blocked, text, .. }) => {
            Some((*state, *blocked, text.clone()))
        }
        _ => None,
    });
    rows.collect()
}

fn contacts(world: &mut World, session: Session) -> Vec<Contact> {
    let request = world.sync_contacts(session, 0, 0);
    world.settle();
    let received = world.take(session);
    let EventBody::ContactsSynced(synced) = answer(&received, request) else { panic!("{received:?}") };
    assert!(!synced.more);
    synced.contacts.clone()
}

fn states(world: &mut World, sessions: [Session; 2]) -> [Option<ContactState>; 2] {
    sessions.map(|session| contacts(world, session).first().map(|contact| contact.state))
}

#[test]
fn a_request_is_shown_and_accepted_and_all_devices_of_both_hear_of_it() {
    for slots in [[3, 700], [700, 3]] {
        let mut world = World::new(3);
        let (ann, bob, chat) = pair(&mut world, slots, [0, 1]);
        let ann_too = world.session(ann.0, 2, 2);
        let asked = world.act(ann, chat, request());
        world.settle();
        let received = world.take(ann);
        assert_eq!(related(&received, asked).state, ContactState::Requested);
        assert_eq!(pushed(&world.take(ann_too)), [(ContactState::Requested, false, String::new())]);
        assert_eq!(pushed(&world.take(bob)), [(ContactState::Asked, false, "hello".into())]);
        let again = world.act(ann, chat, request());
        world.settle();
        assert_eq!(related(&world.take(ann), again).state, ContactState::Requested);
        assert!(world.take(bob).is_empty(), "asking again is not shown again");
        let accepted = world.act(bob, chat, Act::Accept);
        world.settle();
        assert_eq!(related(&world.take(bob), accepted).state, ContactState::Contact);
        assert_eq!(pushed(&world.take(ann)), [(ContactState::Contact, false, String::new())]);
        world.verify_disk();
        world.crash(0, 2);
        assert_eq!(states(&mut world, [ann, bob]), [Some(ContactState::Contact); 2]);
        world.act(ann, chat, Act::Remove);
        world.settle();
        assert_eq!(states(&mut world, [ann, bob]), [Some(ContactState::None); 2]);
        world.verify_disk();
    }
}

#[test]
fn a_refusal_and_a_block_are_not_shown_to_whom_they_concern() {
    for act in [Act::Refuse, Act::Block] {
        let mut world = World::new(2);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
        world.act(ann, chat, request());
        world.settle();
        world.take(ann);
        world.act(bob, chat, act.clone());
        world.settle();
        assert!(world.take(ann).is_empty(), "{act:?}");
        let again = world.act(ann, chat, request());
        world.settle();
        assert_eq!(related(&world.take(ann), again).state, ContactState::Requested);
        let rows = contacts(&mut world, ann);
        assert_eq!((rows[0].state, rows[0].cver), (ContactState::Requested, 1), "{act:?}");
        let rows = contacts(&mut world, bob);
        assert_eq!((rows[0].state, rows[0].blocked), (ContactState::None, act == Act::Block));
    }
}

#[test]
fn nobody_is_asked_who_does_not_exist_and_nothing_is_accepted_that_was_not_asked() {
    let mut world = World::new(2);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    let nobody = wire::UserId::from_parts(wire::Slot::new(700).expect("a slot"), 99).expect("a user");
    let none = wire::ConversationId::private(ann.0, nobody).expect("two users");
    let (asked, blocked) = (world.act(ann, none, request()), world.act(ann, none, Act::Block));
    let accepted = world.act(bob, chat, Act::Accept);
    world.act(bob, chat, Act::Block);
    let own = world.act(bob, chat, request());
    world.settle();
    let received = world.take(ann);
    assert_eq!(refused(&received, asked).0, Refusal::UnknownUser);
    assert_eq!(refused(&received, blocked).0, Refusal::UnknownUser);
    let received = world.take(bob);
    assert_eq!(refused(&received, accepted).0, Refusal::NoRequest);
    assert_eq!(refused(&received, own).0, Refusal::BlockedByYou);
    world.verify_disk();
}

#[test]
fn remark_and_group_are_the_users_own() {
    let mut world = World::new(2);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    let ann_too = world.session(ann.0, 2, 1);
    let early = world.set_contact(ann, bob.0, "Bobby", "friends");
    world.settle();
    assert_eq!(refused(&world.take(ann), early).0, Refusal::NotContact);
    world.act(ann, chat, request());
    world.settle();
    world.take(ann_too);
    let set = world.set_contact(ann, bob.0, "Bobby", "friends");
    world.settle();
    let received = world.take(ann);
    assert!(matches!(answer(&received, set), EventBody::ContactChanged(row) if row.remark == "Bobby"));
    assert_eq!(pushed(&world.take(ann_too)).len(), 1);
    assert!(pushed(&received).len() <= 2, "whoever set it is told once, and of the request");
    world.crash(0, 3);
    world.act(bob, chat, Act::Accept);
    world.settle();
    let row = contacts(&mut world, ann).remove(0);
    assert_eq!((&row.remark[..], &row.group[..], row.state), ("Bobby", "friends", ContactState::Contact));
    assert_eq!(contacts(&mut world, bob)[0].remark, "");
}

/// A crash at every number of batches: what is on disk fits together, and both lists follow.
#[test]
fn a_crash_anywhere_leaves_both_lists_showing_the_relation() {
    for survivors in 0..6 {
        let mut world = World::new(3);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
        world.act(ann, chat, request());
        for _ in 0..survivors * 3 {
            world.advance();
        }
        world.act(bob, chat, Act::Accept);
        world.act(ann, chat, Act::Block);
        for _ in 0..survivors {
            world.advance();
        }
        world.crash(survivors % 2, 2);
        world.settle();
        world.verify_disk();
        let [low, high] = states(&mut world, [ann, bob]);
        assert_eq!(low == Some(ContactState::Contact), high == Some(ContactState::Contact));
    }
}

#[test]
fn a_full_disk_refuses_and_what_was_on_its_way_comes_later() {
    let mut world = World::new(3);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    world.act(ann, chat, request());
    world.settle();
    world.take(ann);
    world.full = true;
    let accepted = world.act(bob, chat, Act::Accept);
    for _ in 0..20 {
        world.advance();
    }
    assert_eq!(refused(&world.take(bob), accepted).0, Refusal::StorageFull);
    world.full = false;
    world.now.mono_ms += 1_000;
    assert_eq!(states(&mut world, [ann, bob]), [Some(ContactState::Requested), Some(ContactState::Asked)]);
    world.act(bob, chat, Act::Accept);
    world.settle();
    assert_eq!(states(&mut world, [ann, bob]), [Some(ContactState::Contact); 2]);
    world.verify_disk();
}

#[test]
fn a_message_needs_contacts_and_whoever_may_not_write_hears_nothing() {
    let mut world = World::with_policies(3, ContactPolicy::Required, StrangerPolicy::Silent);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    world.send(ann, chat, 1, 0, b"hello?");
    world.settle();
    world.act(ann, chat, request());
    world.settle();
    world.send(ann, chat, 2, 1, b"hello??");
    world.settle();
    assert!(
        world.take(ann).iter().all(|(_, event)| !matches!(event, EventBody::Sent(_) | EventBody::Refused(_)))
    );
    assert!(messages(&world.take(bob)).is_empty());
    world.act(bob, chat, Act::Accept);
    world.settle();
    let taken = world.send(ann, chat, 3, 0, b"hello!");
    world.settle();
    assert_eq!(sent(&world.take(ann), taken).place.seq, 1);
    assert_eq!(messages(&world.take(bob)).len(), 1);
    world.act(bob, chat, Act::Block);
    world.settle();
    world.take(bob);
    let again = world.send(ann, chat, 3, 0, b"hello!");
    world.send(ann, chat, 4, 3, b"are you there?");
    world.settle();
    let received = world.take(ann);
    assert_eq!(sent(&received, again).place.seq, 1, "what was taken before is still answered");
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(world.take(bob).is_empty());
    let own = world.send(bob, chat, 1, 0, b"go away");
    world.settle();
    assert_eq!(refused(&world.take(bob), own).0, Refusal::BlockedByYou);
    world.verify_disk();
}

#[test]
fn nobody_else_writes_into_a_chat_that_has_no_message_yet() {
    let mut world = World::with_policies(2, ContactPolicy::Required, StrangerPolicy::Silent);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    let outsider = world.user(5, 9);
    let eve = world.session(outsider, 1, 0);
    world.act(ann, chat, request());
    world.settle();
    world.act(bob, chat, Act::Accept);
    world.settle();
    let intruding = world.send(eve, chat, 1, 0, b"hello");
    world.settle();
    assert_eq!(refused(&world.take(eve), intruding).0, Refusal::NotMember);
}

#[test]
fn a_stranger_somebody_who_blocked_and_nobody_cost_the_same() {
    let mut seen = Vec::new();
    for case in 0..3 {
        let mut world = World::with_policies(2, ContactPolicy::Required, StrangerPolicy::Silent);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
        let nobody = wire::UserId::from_parts(wire::Slot::new(700).expect("a slot"), 99).expect("a user");
        let none = wire::ConversationId::private(ann.0, nobody).expect("two users");
        if case == 1 {
            world.act(bob, chat, Act::Block);
            world.settle();
            world.crash(0, 2); // nothing of it is in memory
        }
        world.settle();
        let before = (world.loads_seen(), world.batches);
        world.send(ann, if case == 2 { none } else { chat }, 1, 0, b"hello?");
        world.settle();
        assert!(world.take(ann).is_empty());
        seen.push((world.loads_seen() - before.0, world.batches - before.1));
    }
    assert_eq!(seen, [(1, 0); 3], "reads and batches");
}

#[test]
fn an_honest_node_refuses_strangers_and_an_open_one_says_nothing_of_a_block() {
    let mut world = World::with_policies(2, ContactPolicy::Required, StrangerPolicy::Refuse);
    let (ann, _, chat) = pair(&mut world, [3, 700], [0, 1]);
    let stranger = world.send(ann, chat, 1, 0, b"hello?");
    world.settle();
    assert_eq!(refused(&world.take(ann), stranger).0, Refusal::NotContact);
    let mut world = World::with_policies(2, ContactPolicy::Open, StrangerPolicy::Refuse);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    let stranger = world.send(ann, chat, 1, 0, b"hello?");
    world.settle();
    assert_eq!(sent(&world.take(ann), stranger).place.seq, 1);
    world.act(bob, chat, Act::Block);
    world.settle();
    world.send(ann, chat, 2, 1, b"hello??");
    world.settle();
    assert!(world.take(ann).is_empty(), "a refusal would tell her of the block");
    let own = world.send(bob, chat, 1, 0, b"no");
    world.settle();
    assert_eq!(refused(&world.take(bob), own).0, Refusal::BlockedByYou);
}

/// Conversations from before there were relations go on where contacts are required, and show in both lists.
#[test]
fn those_who_wrote_to_each_other_before_are_contacts() {
    let mut world = World::new(2);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    world.send(ann, chat, 1, 0, b"one");
    world.settle();
    world.set_policies(ContactPolicy::Required, StrangerPolicy::Silent);
    world.crash(0, 2);
    world.take(ann);
    let next = world.send(ann, chat, 2, 1, b"two");
    world.settle();
    assert_eq!(sent(&world.take(ann), next).place.seq, 2);
    assert_eq!(states(&mut world, [ann, bob]), [Some(ContactState::Contact); 2]);
    world.act(bob, chat, Act::Remove);
    world.settle();
    world.crash(0, 2);
    world.take(ann);
    world.send(ann, chat, 3, 2, b"three");
    world.settle();
    assert!(world.take(ann).is_empty(), "a removed contact is a stranger, whatever was written before");
    world.verify_disk();
}
