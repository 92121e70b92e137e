//! A device logs out and comes back; a probe logs out with and without its ticket.

use crate::sim::world::World;

pub fn run(world: &mut World) {
    if world.workload.chance(500) {
        if let Some(device) = world.some_device() {
            world.devices[device].logged_out = true;
            world.with_session(device, |session, now_ms| session.log_out(now_ms));
            if world.devices[device].link.is_none() {
                world.device_comes_back(device);
            }
        }
        return;
    }
    let probe = world.some_probe();
    let forget_ticket = world.workload.chance(500);
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.logout(request, forget_ticket)
    });
}
