//! Hello with good and bad versions, or twice.

use wire::message::Hello;

use crate::sim::world::World;

pub fn run(world: &mut World) {
    let probe = world.some_probe();
    let (version_min, version_max) = *world.workload.pick(&[(1, 1), (0, 9), (2, 9), (0, 0), (3, 1)]);
    world.probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.hello(request, &Hello { version_min, version_max, features: 3, software: "probe" })
    });
}
