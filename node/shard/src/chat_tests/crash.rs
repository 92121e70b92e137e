//! Crashes: what was acknowledged is there, and the other home hears of it.

use record::{Key, Table};
use wire::EventBody;

use super::sends::{everything, pair};
use super::world::{World, pulled, sent, synced};
use crate::rng::Rng;

fn outbox_rows(world: &World) -> usize {
    let is_outbox = |key: &bytes::Bytes| Key::parse(key).is_some_and(|key| key.table() == Table::Outbox);
    world.disk.rows.keys().filter(|key| is_outbox(key)).count()
}

#[test]
fn a_change_that_its_home_did_not_get_is_sent_after_the_restart() {
    for shards in [1, 2, 3] {
        let mut world = World::new(2);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 1]);
        let request = world.send(ann, chat, 1, 0, b"hello");
        while !world.take(ann).iter().any(|(of, _)| *of == request) {
            assert!(world.advance());
        }
        assert!(outbox_rows(&world) > 0, "it is on disk beside its entry");
        world.crash(0, shards);
        world.settle();
        assert_eq!(outbox_rows(&world), 0, "it is deleted when both homes have it");
        for session in [ann, bob] {
            let request = world.sync(session, 0, 0);
            world.settle();
            let list = synced(&world.take(session), request);
            assert_eq!((list.changes.len(), list.changes[0].head.seq), (1, 1));
        }
    }
}

#[test]
fn random_crashes_lose_nothing_acknowledged_and_double_nothing() {
    for seed in 0..30 {
        let mut rng = Rng::new([seed; 32]);
        let mut world = World::new(1 + rng.below(3) as u16);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 0]);
        let (mut acked, mut counter, mut decided) = (Vec::new(), 0u64, 0u64);
        for _ in 0..120 {
            if rng.below(3) > 0 && counter - decided < 8 {
                counter += 1;
                world.send(ann, chat, counter, counter - 1, &counter.to_le_bytes());
            }
            for _ in 0..rng.below(6) {
                world.advance();
            }
            for (_, event) in world.take(ann) {
                if let EventBody::Sent(sent) = event {
                    assert!(!acked.iter().any(|(of, seq)| *of == sent.counter && *seq != sent.place.seq));
                    acked.push((sent.counter, sent.place.seq));
                    decided = decided.max(sent.counter);
                }
            }
            if rng.below(15) == 0 {
                world.crash(rng.below(3) as usize, 1 + rng.below(3) as u16);
                // The client resends what is not answered, in order.
                for counter in decided + 1..=counter {
                    world.send(ann, chat, counter, counter - 1, &counter.to_le_bytes());
                }
            }
        }
        world.settle();
        for (_, event) in world.take(ann) {
            if let EventBody::Sent(sent) = event {
                acked.push((sent.counter, sent.place.seq));
            }
        }
        world.take(bob);
        let request = world.pull(bob, chat, everything());
        world.settle();
        let stored = pulled(&world.take(bob), request).entries;
        let counters: Vec<_> = stored.iter().map(|entry| entry.counter).collect();
        assert_eq!(counters, (1..=counters.len() as u64).collect::<Vec<_>>(), "seed {seed}");
        for (counter, seq) in acked {
            assert_eq!(stored[seq as usize - 1].counter, counter, "seed {seed}");
        }
        assert_eq!(outbox_rows(&world), 0, "seed {seed}");
        for session in [ann, bob] {
            let request = world.sync(session, 0, 0);
            world.settle();
            let list = synced(&world.take(session), request);
            let heads: Vec<_> = list.changes.iter().map(|change| change.head.seq).collect();
            assert_eq!(heads, vec![stored.len() as u64; usize::from(!stored.is_empty())], "seed {seed}");
        }
    }
}

#[test]
fn a_long_outbox_is_read_in_parts() {
    let mut world = World::new(2);
    let ann = world.user(3, 1);
    let session = world.session(ann, 1, 0);
    let mut chats = 0;
    for number in 0..400 {
        let peer = world.user(3, 2 + number);
        let other = world.user(700, 2 + number);
        for peer in [peer, other] {
            let chat = wire::ConversationId::private(ann, peer).expect("two users");
            world.send(session, chat, 1, 0, b"hello");
            chats += 1;
        }
    }
    // Until every entry is on disk; what follows is lost.
    let mut acked = 0;
    while acked < chats {
        acked += world.take(session).iter().filter(|(_, event)| matches!(event, EventBody::Sent(_))).count();
        assert!(acked == chats || world.advance());
    }
    assert!(outbox_rows(&world) > 0);
    world.crash(0, 3);
    world.settle();
    assert_eq!(outbox_rows(&world), 0);
    let request = world.sync(session, 0, 0);
    world.settle();
    assert_eq!(synced(&world.take(session), request).changes.len(), chats);
    let again = world.pull(session, wire::ConversationId::private(ann, ann_peer()).unwrap(), everything());
    world.settle();
    assert_eq!(pulled(&world.take(session), again).entries.len(), 1);
    let repeat = world.send(session, wire::ConversationId::private(ann, ann_peer()).unwrap(), 1, 0, b"hello");
    world.settle();
    assert_eq!(sent(&world.take(session), repeat).place.seq, 1);
}

fn ann_peer() -> wire::UserId {
    wire::UserId(2 << 10 | 700)
}
