//! Devices switch adverts off and on, and read notices; probes do with notices what only the system may.

use wire::message::{BodyKind, MarkKind, Pull, Send};
use wire::{ConversationId, Notices};

use crate::sim::faults::Fault;
use crate::sim::world::World;

pub fn run(world: &mut World) {
    if world.workload.chance(100) {
        let probe = world.some_probe();
        return hostile(world, probe);
    }
    let Some(device) = world.some_device() else { return };
    if world.workload.chance(500) {
        return read(world, device);
    }
    let off = world.workload.chance(500);
    world.with_session(device, |session, now_ms| {
        let _ = session.set_adverts(now_ms, off);
    });
}

fn read(world: &mut World, device: usize) {
    let Some(me) = world.devices[device].user_id() else { return };
    let conversation = *world.workload.pick(&[
        ConversationId::of_notices(Notices::All),
        ConversationId::of_notices(Notices::Adverts),
        ConversationId::system(me),
    ]);
    let applied = world.devices[device].disk.logs.get(&conversation).map_or(0, Vec::len) as u64;
    if applied > 0 {
        let back = world.workload.below(applied.min(3));
        world.with_session(device, |session, now_ms| {
            session.mark_read(now_ms, conversation, applied - back);
        });
    }
}

pub fn hostile(world: &mut World, probe: usize) {
    let users = world.honest_users();
    let Some(me) = world.probes[probe].user() else { return };
    let other = if users.is_empty() { me } else { *world.workload.pick(&users) };
    let conversation = *world.workload.pick(&[
        ConversationId::of_notices(Notices::All),
        ConversationId::of_notices(Notices::Adverts),
        ConversationId::of_notices(Notices::Department(7)),
        ConversationId::system(me),
        ConversationId::system(other),
    ]);
    world.tally.add(Fault::Intrusion);
    let which = world.workload.below(6);
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        match which {
            0 => {
                let send = Send::plain(1, 0, BodyKind::Text, b"from the system");
                probe.encoder.send(request, conversation, &send)
            }
            1 => probe.encoder.mark(request, conversation, MarkKind::Read, 1),
            2 => probe.encoder.mark(request, conversation, MarkKind::Delivered, 1),
            3 => probe.encoder.block(request, conversation),
            4 => probe.encoder.set_adverts(request, true),
            _ => {
                let pull = Pull { from: 1, to: 10, bytes_max: 0, epoch: 0 };
                probe.encoder.pull(request, conversation, &pull)
            }
        }
    });
}
