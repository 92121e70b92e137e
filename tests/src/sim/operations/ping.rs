//! A heartbeat in whatever phase the probe is.

use crate::sim::world::World;

pub fn run(world: &mut World) {
    let probe = world.some_probe();
    let time_ms = world.client_now_ms();
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.ping(request, time_ms)
    });
}
