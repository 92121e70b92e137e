//! A device loses its connection and comes back with its ticket; a probe comes back with its own.

use crate::sim::world::World;

pub fn run(world: &mut World) {
    if world.workload.chance(700) {
        if let Some(device) = world.some_device()
            && let Some(link) = world.devices[device].link
        {
            world.reset_link(link);
        }
        return;
    }
    let probe = world.some_probe();
    let ticket = world.probes[probe].ticket.clone();
    // A ticket that somebody stole before its session was ended.
    let void = world.model.tickets.void();
    let stolen = !void.is_empty() && world.workload.chance(500);
    let ticket = if stolen { world.workload.pick(&void).clone() } else { ticket };
    let uver = world.workload.below(50);
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.resume(request, &ticket, uver)
    });
}
