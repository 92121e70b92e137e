//! Where to connect, for names that exist and others.

use crate::sim::world::World;

pub fn run(world: &mut World) {
    let probe = world.some_probe();
    let name = world.workload.pick(&["user0", "nobody", ""]).to_string();
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.where_to_connect(request, &name)
    });
}
