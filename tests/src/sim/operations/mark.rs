//! A device has read something; a probe claims to have read what does not exist, or what is not its own.

use wire::ConversationId;
use wire::message::MarkKind;

use crate::sim::faults::Fault;
use crate::sim::world::World;

pub fn run(world: &mut World) {
    if world.workload.chance(60) {
        let probe = world.some_probe();
        return hostile(world, probe);
    }
    let Some(device) = world.some_device() else { return };
    let Some(conversation) = world.some_conversation(device) else { return };
    let applied = world.devices[device].disk.logs.get(&conversation).map_or(0, Vec::len) as u64;
    if applied > 0 {
        let back = world.workload.below(applied.min(5));
        world.with_session(device, |session, now_ms| {
            session.mark_read(now_ms, conversation, applied - back);
        });
    }
}

pub fn hostile(world: &mut World, probe: usize) {
    let users = world.honest_users();
    let Some(me) = world.probes[probe].user() else { return };
    if users.len() < 2 {
        return;
    }
    let intruding = world.workload.chance(500);
    let conversation = if intruding {
        world.tally.add(Fault::Intrusion);
        ConversationId::private(users[0], users[1])
    } else {
        ConversationId::private(me, *world.workload.pick(&users))
    };
    let Some(conversation) = conversation else { return };
    let seq = *world.workload.pick(&[0, 1, 5, u64::MAX]);
    let kind = *world.workload.pick(&[MarkKind::Read, MarkKind::Delivered, MarkKind(9)]);
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.mark(request, conversation, kind, seq)
    });
}
