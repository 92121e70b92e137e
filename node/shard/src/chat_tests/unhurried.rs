//! What nobody waits for: it costs no syncs of its own, and nobody sees that it is late.

use record::{Key, ListEntry, OutboxEntry};
use wire::ConversationId;

use super::world::{World, sent, synced};

#[test]
fn lists_cost_no_batches_of_their_own_and_a_sync_does_not_wait_for_them() {
    const SENDS: u64 = 10;
    let mut world = World::new(1);
    // Users of different store shards: the list of one of them cannot be in the batch of the entry.
    let [ann, ben] = [0, 1].map(|slot| {
        let user = world.user(slot, 1);
        world.session(user, 1, 0)
    });
    let chat = ConversationId::private(ann.0, ben.0).expect("two users");
    let far = if chat.slot() == ann.0.slot() { ben } else { ann };
    world.send(ann, chat, 1, 0, b"the first one");
    world.settle();
    world.time_held = true;
    let before = world.batches;
    for counter in 2..=SENDS {
        let request = world.send(ann, chat, counter, counter - 1, b"more");
        world.settle();
        assert_eq!(sent(&world.take(ann), request).counter, counter);
    }
    assert_eq!(world.batches - before, SENDS - 1, "one for each send");
    let key = Key::List(far.0, chat);
    let listed = |world: &World| world.disk.get::<ListEntry>(&key).map(|entry| entry.digest.head.seq);
    assert_eq!(listed(&world), Some(1));
    let outbox = Key::Outbox(far.0, chat);
    let noted = world.disk.get::<OutboxEntry>(&outbox).map(|entry| entry.digest.head.seq);
    assert_eq!(noted, Some(SENDS), "a crash loses nothing");

    let request = world.sync(far, 0, 0);
    world.settle();
    let page = synced(&world.take(far), request);
    assert_eq!((page.changes.len(), page.changes[0].head.seq), (1, SENDS));
    assert_eq!(listed(&world), Some(SENDS), "what was told is on disk");

    world.time_held = false;
    world.settle();
    assert_eq!(world.disk.get::<OutboxEntry>(&outbox), None, "nothing is left to do");
}
