//! Pieces of history, asked for by members and by others.

use wire::ConversationId;
use wire::message::Pull;

use crate::sim::faults::Fault;
use crate::sim::world::World;

pub fn run(world: &mut World) {
    if world.workload.chance(200) {
        let probe = world.some_probe();
        return hostile(world, probe);
    }
    let Some(device) = world.some_device() else { return };
    let Some(conversation) = world.some_conversation(device) else { return };
    let from = world.workload.between(1, 300);
    let to = from + world.workload.below(40);
    world.with_session(device, |session, now_ms| {
        let _ = session.history(now_ms, conversation, from, to);
    });
}

pub fn hostile(world: &mut World, probe: usize) {
    let users = world.honest_users();
    if users.len() < 2 {
        return;
    }
    let me = world.probes[probe].user();
    let own = me.filter(|_| world.workload.chance(500));
    let conversation = match own {
        Some(me) => ConversationId::private(me, *world.workload.pick(&users)),
        None => {
            world.tally.add(Fault::Intrusion);
            ConversationId::private(users[0], users[1])
        }
    };
    let Some(conversation) = conversation else { return };
    let from = world.workload.below(40);
    let to = *world.workload.pick(&[0, from, from + 20, u64::MAX]);
    let pull = Pull {
        from,
        to,
        bytes_max: world.workload.below(2_000) as u32,
        epoch: world.workload.below(3) as u32,
    };
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.pull(request, conversation, &pull)
    });
}
