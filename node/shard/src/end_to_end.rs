//! Everything together: people log in on several shards, chat, go away, come back, and the node dies in between.

use wire::message::{BodyKind, Entry, MarkKind, Pull, Send};
use wire::{ConversationId, EventBody};

use crate::testing::{ClientId, Login, World, resumed};

fn chat_of(a: &Login, b: &Login) -> ConversationId {
    ConversationId::private(a.user, b.user).expect("two users")
}

fn send(world: &mut World, from: ClientId, chat: ConversationId, counter: u64) -> u32 {
    let body = format!("message {counter}");
    let send = Send::plain(counter, counter - 1, BodyKind::Text, body.as_bytes());
    world.begin(from, |encoder, request| encoder.send(request, chat, &send))
}

fn told_seqs(world: &mut World, client: ClientId) -> Vec<u64> {
    let events = world.events(client);
    let seq_of = |event: wire::EventFrame| match event.event {
        EventBody::Message(message) => Some(message.entry.place.seq),
        _ => None,
    };
    events.into_iter().filter_map(seq_of).collect()
}

fn pull_all(world: &mut World, client: ClientId, chat: ConversationId, to: u64) -> Vec<Entry> {
    let pull = Pull { from: 1, to, bytes_max: 1 << 20, epoch: 0 };
    match world.reply(client, |encoder, request| encoder.pull(request, chat, &pull)) {
        EventBody::Pulled(pulled) => pulled.entries,
        other => panic!("not pulled: {other:?}"),
    }
}

#[test]
fn two_people_chat_whatever_shards_they_are_on() {
    for shards in 1..=4 {
        let mut world = World::new(shards);
        let (desktop, phone) = (world.login(0, "ann"), world.login(shards - 1, "ann"));
        let bob = world.login(shards / 2, "bob");
        let chat = chat_of(&desktop, &bob);
        let sends: Vec<_> = (1..=10).map(|counter| send(&mut world, desktop.client, chat, counter)).collect();
        world.run();
        for (number, request) in (1..).zip(sends) {
            match world.reply_to(desktop.client, request) {
                Some(EventBody::Sent(sent)) => assert_eq!((sent.counter, sent.place.seq), (number, number)),
                other => panic!("not sent: {other:?}"),
            }
        }
        let all: Vec<_> = (1..=10).collect();
        assert_eq!(told_seqs(&mut world, bob.client), all, "{shards} shards");
        assert_eq!(told_seqs(&mut world, phone.client), all);
        assert!(told_seqs(&mut world, desktop.client).is_empty(), "who sent knows already");
        let marked =
            world.reply(bob.client, |encoder, request| encoder.mark(request, chat, MarkKind::Read, 10));
        assert!(matches!(marked, EventBody::Marked(marked) if marked.place.seq == 10), "{marked:?}");
        let told = world.events(desktop.client);
        assert!(
            told.iter()
                .any(|event| matches!(&event.event, EventBody::Marked(marked) if marked.user == bob.user))
        );
        // Bob goes away, and the node dies and comes back on another number of cores.
        world.close(bob.client);
        send(&mut world, phone.client, chat, 1);
        world.run();
        world.crash(1 + shards % 4);
        let (client, reply) = world.resume(0, &bob.ticket, 1);
        let from = resumed(&reply).from;
        let synced = world.reply(client, |encoder, request| encoder.sync(request, from, 100));
        let EventBody::Synced(synced) = synced else { panic!("{synced:?}") };
        assert_eq!(synced.changes.len(), 1);
        assert_eq!((synced.changes[0].head.seq, synced.changes[0].unread()), (11, 1));
        let entries = pull_all(&mut world, client, chat, 11);
        assert_eq!(
            entries.iter().map(|entry| entry.place.seq).collect::<Vec<_>>(),
            (1..=11).collect::<Vec<_>>()
        );
        assert_eq!(entries[10].device, phone.device);
        assert_eq!(&entries[4].body[..], b"message 5");
    }
}

#[test]
fn an_acknowledged_message_is_there_after_the_node_died_and_others_are_at_most_once() {
    let mut world = World::new(3);
    let (ann, bob) = (world.login(0, "ann"), world.login(1, "bob"));
    let chat = chat_of(&ann, &bob);
    let mut client = ann.client;
    let (mut counter, mut acked) = (0, Vec::new());
    for round in 0..6u16 {
        let first = send(&mut world, client, chat, counter + 1);
        world.run();
        assert!(matches!(world.reply_to(client, first), Some(EventBody::Sent(_))));
        acked.push(counter + 1);
        world.hold_commits = true;
        let second = send(&mut world, client, chat, counter + 2);
        world.run();
        assert_eq!(world.reply_to(client, second), None, "acknowledged before it is on disk");
        world.crash(1 + round % 4);
        world.hold_commits = false;
        let (back, reply) = world.resume(0, &ann.ticket, 1);
        assert!(matches!(reply, EventBody::Resumed(_)), "{reply:?}");
        client = back;
        // The client sends again what was not acknowledged: once it is taken, it is the only one.
        for _ in 0..2 {
            let again = send(&mut world, client, chat, counter + 2);
            world.run();
            assert!(matches!(world.reply_to(client, again), Some(EventBody::Sent(_))));
        }
        acked.push(counter + 2);
        counter += 2;
    }
    let entries = pull_all(&mut world, client, chat, u64::from(u32::MAX));
    assert_eq!(entries.iter().map(|entry| entry.counter).collect::<Vec<_>>(), acked);
}
