//! A device sends a message; a probe sends to honest people too, but repeats and reorders.

use bytes::Bytes;
use wire::ConversationId;
use wire::message::{BodyKind, Send};

use crate::sim::faults::Fault;
use crate::sim::world::World;

pub fn run(world: &mut World) {
    if world.workload.chance(30) {
        return hostile(world);
    }
    let Some(device) = world.some_device() else { return };
    let Some(conversation) = world.some_conversation(device) else { return };
    let body = some_body(world, device);
    world.with_session(device, |session, now_ms| {
        // Past its bound the session refuses, and nothing was promised.
        let _ = session.send(now_ms, conversation, BodyKind::Text, body);
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

fn hostile(world: &mut World) {
    let probe = world.some_probe();
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
    let again = world.workload.chance(300);
    let gap = if world.workload.chance(200) { 7 } else { 0 };
    world.greeted_probe_sends(probe, |probe| {
        let counter =
            if again { probe.next_counter.saturating_sub(1).max(1) } else { probe.next_counter + gap };
        let previous = probe.previous.get(&conversation).copied().unwrap_or(0);
        if !again {
            probe.next_counter = counter + 1;
            probe.previous.insert(conversation, counter);
        }
        let body = format!("{} {counter} {}", probe.name, probe.last_request % 2);
        let request = probe.request();
        let send = Send { counter, previous, body_kind: BodyKind::Text, body: body.as_bytes() };
        probe.encoder.send(request, conversation, &send)
    });
}
