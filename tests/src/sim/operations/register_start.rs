//! The way to an account: a probe asks for terms and registers with what comes back.

use crate::sim::world::World;

pub fn run(world: &mut World) {
    let probe = world.some_probe();
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.register_start(request, &probe.name.clone())
    });
}
