//! A device sends a message; a probe sends to honest people too, but repeats and reorders.

use bytes::Bytes;
use wire::ConversationId;
use wire::client::Draft;
use wire::message::{BodyKind, Send};

use super::{contacts, verbs};
use crate::sim::faults::Fault;
use crate::sim::world::World;

pub fn run(world: &mut World) {
    if world.workload.chance(30) {
        let probe = world.some_probe();
        return hostile(world, probe);
    }
    let Some(device) = world.some_device() else { return };
    let Some(conversation) = world.some_conversation(device) else { return };
    if !world.machine.open && contacts::instead_of_sending(world, device, conversation) {
        return;
    }
    if world.workload.chance(120)
        && let Some(draft) = verbs::some_act(world, device, conversation)
    {
        world.with_session(device, |session, now_ms| {
            let _ = session.send_draft(now_ms, conversation, draft);
        });
        return;
    }
    let mut draft = Draft::new(BodyKind::Text, some_body(world, device));
    if world.workload.chance(150) {
        draft = verbs::some_extras(world, device, conversation, draft);
    }
    world.with_session(device, |session, now_ms| {
        // Past its bound the session refuses, and nothing was promised.
        let _ = session.send_draft(now_ms, conversation, draft);
    });
}

/// A body that no other send has. Most are short, some need chunks.
fn some_body(world: &mut World, device: usize) -> Bytes {
    world.devices[device].sends += 1;
    let number = world.devices[device].sends;
    let length = match world.workload.below(1_000) {
        0..2 => world.workload.between(8_000, 60_000),
        2..15 => world.workload.between(3_000, 5_000),
        15..300 => world.workload.between(60, 400),
        _ => 0,
    } as usize;
    let mut text = format!("{device}.{}.{number} ", world.devices[device].boot);
    while text.len() < length {
        text.push(char::from(b'a' + (text.len() % 26) as u8));
    }
    text.into()
}

pub fn hostile(world: &mut World, probe: usize) {
    let Some(me) = world.probes[probe].user() else { return };
    let users = world.honest_users();
    if users.len() < 2 {
        return;
    }
    let other = *world.workload.pick(&users);
    let intruding = world.workload.chance(300);
    let conversation = if intruding {
        world.tally.add(Fault::Intrusion);
        ConversationId::private(users[0], users[1])
    } else {
        ConversationId::private(me, other)
    };
    let Some(conversation) = conversation else { return };
    match world.workload.below(100) {
        // More at once than a window holds.
        0..2 => {
            for _ in 0..40 {
                hostile_send(world, probe, conversation, Counter::Next);
            }
        }
        2..30 => hostile_send(world, probe, conversation, Counter::Again),
        30..40 => hostile_send(world, probe, conversation, Counter::Leap),
        40..45 => hostile_send(world, probe, conversation, Counter::Ancient),
        _ => hostile_send(world, probe, conversation, Counter::Next),
    }
}

/// Which counter a hostile send has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counter {
    Next,
    Again,
    Leap,
    Ancient,
}

fn hostile_send(world: &mut World, probe: usize, conversation: ConversationId, which: Counter) {
    let long = world.workload.chance(10);
    let other_body = world.workload.chance(300);
    world.greeted_probe_sends(probe, |probe| {
        let counter = match which {
            Counter::Next => probe.next_counter,
            Counter::Again => probe.next_counter.saturating_sub(1).max(1),
            Counter::Leap => probe.next_counter + 7,
            Counter::Ancient => 1,
        };
        let previous = probe.previous.get(&conversation).copied().unwrap_or(0);
        if counter >= probe.next_counter {
            probe.next_counter = counter + 1;
            probe.previous.insert(conversation, counter);
        }
        let mut body = format!("{} {counter} {other_body}", probe.name);
        if long {
            body = "x".repeat(wire::limits::MESSAGE_BODY_LEN_MAX + 9);
        }
        let request = probe.request();
        let send = Send::plain(counter, previous, BodyKind::Text, body.as_bytes());
        probe.encoder.send(request, conversation, &send)
    });
}
