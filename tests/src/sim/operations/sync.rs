//! A probe asks what changed, from versions of the past and of the future. Devices sync by themselves after each login.

use crate::sim::world::World;

pub fn run(world: &mut World) {
    let probe = world.some_probe();
    hostile(world, probe);
}

pub fn hostile(world: &mut World, probe: usize) {
    let uver = *world.workload.pick(&[0, 1, 10, u64::MAX]);
    let changes_max = world.workload.below(4) as u32;
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.sync(request, uver, changes_max)
    });
}
