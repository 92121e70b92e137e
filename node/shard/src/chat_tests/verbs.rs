//! What people do beside writing: answers, forwarded messages, mentions.

use wire::Refusal;
use wire::extras::{EVERYBODY, Extras, Forwarded};
use wire::limits::MENTIONS_MAX;
use wire::message::{BodyKind, Entry, EntryKind, Pull, Send};

use super::sends::{Session, pair};
use super::world::{World, messages, pulled, refused, sent, synced};
use wire::{ConversationId, UserId};

fn with(extras: &Extras, counter: u64) -> Send<'_> {
    Send { extras: Some(extras), ..Send::plain(counter, counter - 1, BodyKind::Text, b"hello") }
}

pub(super) fn pull_all(world: &mut World, session: Session, chat: ConversationId) -> Vec<Entry> {
    let request = world.pull(session, chat, Pull { from: 1, to: u64::MAX, bytes_max: 0, epoch: 0 });
    world.settle();
    let pulled = pulled(&world.take(session), request);
    assert!(pulled.ranges.is_empty(), "{:?}", pulled.ranges);
    pulled.entries
}

fn all_extras(of: UserId) -> Extras {
    let forwarded = Some(Forwarded { sender: UserId(77 << 10), time_ms: 5 });
    Extras { reply_to: 1, mentions: vec![of], forwarded, ..Extras::default() }
}

#[test]
fn what_a_message_has_beside_its_body_is_pushed_and_pulled() {
    let mut world = World::new(3);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
    world.send(ann, chat, 1, 0, b"first");
    world.settle();
    let extras = all_extras(bob.0);
    let body = vec![b'x'; 9_000];
    let long = Send { extras: Some(&extras), ..Send::plain(2, 1, BodyKind::Image, &body) };
    let request = world.send_with(ann, chat, long);
    world.send(ann, chat, 3, 2, b"last");
    world.settle();
    let received = world.take(ann);
    assert_eq!(sent(&received, request).place.seq, 2);
    let pushed = messages(&world.take(bob));
    assert_eq!(pushed[1].extras.as_deref(), Some(&extras));
    assert_eq!((pushed[1].body_kind, &pushed[1].body[..]), (BodyKind::Image, &body[..]));
    assert_eq!((&pushed[0].extras, &pushed[2].extras), (&None, &None));
    assert_eq!(pull_all(&mut world, bob, chat), pushed, "from memory");
    world.crash(0, 2);
    assert_eq!(pull_all(&mut world, bob, chat), pushed, "from the store");
    let again = world.send_with(ann, chat, long);
    let other = Extras { reply_to: 0, ..extras.clone() };
    let changed = world.send_with(ann, chat, Send { extras: Some(&other), ..long });
    let without = world.send_with(ann, chat, Send { extras: None, ..long });
    world.settle();
    let received = world.take(ann);
    assert_eq!(sent(&received, again).place.seq, 2, "the same again");
    assert_eq!(refused(&received, changed).0, Refusal::CounterReused);
    assert_eq!(refused(&received, without).0, Refusal::CounterReused);
}

#[test]
fn a_mention_stands_in_the_list_of_who_is_mentioned() {
    for shards in [1, 3] {
        let mut world = World::new(shards);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, shards - 1]);
        let mentioned = |world: &mut World, session: Session| {
            let request = world.sync(session, 0, 0);
            world.settle();
            synced(&world.take(session), request).changes[0].mentioned
        };
        world.send_with(ann, chat, with(&Extras { mentions: vec![bob.0, ann.0], ..Extras::default() }, 1));
        world.send(ann, chat, 2, 1, b"plain");
        world.settle();
        assert_eq!((mentioned(&mut world, bob), mentioned(&mut world, ann)), (1, 0));
        world.crash(0, 2);
        world.send(ann, chat, 3, 2, b"plain");
        assert_eq!(mentioned(&mut world, bob), 1);
        world.commits_held = true;
        world.send_with(ann, chat, with(&Extras { mentions: vec![bob.0], ..Extras::default() }, 4));
        for _ in 0..20 {
            world.advance();
        }
        world.commits_held = false;
        world.crash(9, 1); // it is on disk, and was told to nobody
        world.send(ann, chat, 5, 4, b"plain");
        assert_eq!(mentioned(&mut world, bob), 4);
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_stores_nothing() {
    let mut world = World::new(1);
    let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 0]);
    world.send(ann, chat, 1, 0, b"first");
    world.settle();
    let stranger = UserId(900 << 10 | 5);
    let wrong = [
        Extras::about(1),
        Extras { reply_to: 2, ..Extras::default() },
        Extras { mentions: vec![stranger], ..Extras::default() },
        Extras { mentions: vec![EVERYBODY], ..Extras::default() },
        Extras { mentions: vec![bob.0; MENTIONS_MAX + 1], ..Extras::default() },
        Extras { edited: 1, ..Extras::default() },
        Extras { recalled: 1, ..Extras::default() },
    ];
    for extras in wrong {
        let request = world.send_with(ann, chat, with(&extras, 2));
        world.settle();
        assert_eq!(refused(&world.take(ann), request).0, Refusal::BadField, "{extras:?}");
    }
    for kind in [EntryKind::SystemNotice, EntryKind(0), EntryKind(99)] {
        let send = Send { kind, ..Send::plain(2, 1, BodyKind::Text, b"hello") };
        let request = world.send_with(ann, chat, send);
        world.settle();
        assert_eq!(refused(&world.take(ann), request).0, Refusal::BadField, "{kind:?}");
    }
    assert_eq!(pull_all(&mut world, bob, chat).len(), 1);
}
