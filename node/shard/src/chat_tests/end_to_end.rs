//! The same through whole shards: clients that speak frames, with logins, placement and hand-off.

use wire::message::{BodyKind, MarkKind, Pull, Send};
use wire::{ConversationId, EventBody, Refusal, UserId};

use crate::testing::{ClientId, World, refusal_of, resumed};

fn say(world: &mut World, client: ClientId, chat: ConversationId, counter: u64, body: &[u8]) -> EventBody {
    let send = Send::plain(counter, counter - 1, BodyKind::Text, body);
    world.reply(client, |encoder, request| encoder.send(request, chat, &send))
}

/// What was pushed, as (seq, body).
fn pushed(world: &mut World, client: ClientId) -> Vec<(u64, Vec<u8>)> {
    let events = world.events(client).into_iter();
    let messages = events.filter_map(|event| match event.event {
        EventBody::Message(message) => Some((message.entry.place.seq, message.entry.body.to_vec())),
        _ => None,
    });
    messages.collect()
}

#[test]
fn two_users_talk_across_shards_and_a_restart() {
    let mut world = World::new(3);
    let names = ["ann", "bob", "cid", "dora"];
    let logins: Vec<_> = (0..).zip(names).map(|(shard, name)| world.login(shard % 3, name)).collect();
    for (from, to) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
        let (ann, bob) = (&logins[from], &logins[to]);
        let chat = ConversationId::private(ann.user, bob.user).expect("two users");
        let second = world.login(1, names[to]);
        for counter in 1..=3 {
            let EventBody::Sent(sent) = say(&mut world, ann.client, chat, counter, b"hello") else {
                panic!()
            };
            assert_eq!((sent.place.seq, sent.counter), (counter, counter));
        }
        world.run();
        for client in [bob.client, second.client] {
            let seqs: Vec<_> = pushed(&mut world, client).into_iter().map(|(seq, _)| seq).collect();
            assert_eq!(seqs, [1, 2, 3]);
        }
        let mark = world.reply(bob.client, |e, request| e.mark(request, chat, MarkKind::Read, 2));
        assert!(matches!(mark, EventBody::Marked(marked) if marked.place.seq == 2));
        world.run();
        let marks = world.events(ann.client);
        assert!(marks.iter().any(|event| matches!(&event.event, EventBody::Marked(m) if m.user == bob.user)));
        world.close(second.client);
        world.run();
    }
    world.crash(2);
    let (ann, bob) = (&logins[0], &logins[1]);
    let chat = ConversationId::private(ann.user, bob.user).expect("two users");
    let (client, reply) = world.resume(1, &bob.ticket, 0);
    assert_eq!(resumed(&reply).user, bob.user);
    let synced = world.reply(client, |e, request| e.sync(request, 0, 0));
    let EventBody::Synced(list) = synced else { panic!("{synced:?}") };
    let summary = list.changes.iter().find(|change| change.conversation == chat).expect("the chat");
    assert_eq!((summary.head.seq, summary.read.seq, summary.unread(), summary.peer_read.seq), (3, 2, 1, 3));
    let pull = Pull { from: 1, to: 3, bytes_max: 0, epoch: summary.epoch };
    let pulled = world.reply(client, |e, request| e.pull(request, chat, &pull));
    assert!(matches!(pulled, EventBody::Pulled(pulled) if pulled.entries.len() == 3));
    let again = say(&mut world, client, chat, 1, b"hello back");
    assert!(matches!(again, EventBody::Sent(sent) if sent.place.seq == 4));
}

#[test]
fn nobody_writes_to_an_id_that_was_never_given() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann");
    for number in 1..20 {
        let nobody = UserId((1000 + number) << 10 | number);
        let chat = ConversationId::private(ann.user, nobody).expect("two ids");
        let refused = say(&mut world, ann.client, chat, 1, b"hello?");
        assert_eq!(refusal_of(&refused), Refusal::UnknownUser);
    }
}
