//! Devices bring their copies of the directory up to date; probes ask from positions that never were.

use wire::org::OrgPosition;

use crate::sim::world::World;

pub fn run(world: &mut World) {
    if let Some(device) = world.some_device() {
        world.device_directory_is_stale(device);
    }
}

pub fn hostile(world: &mut World, probe: usize) {
    let over = *world.workload.pick(&[0, 1, 10, u64::MAX]);
    let page = *world.workload.pick(&[0, 1, 10, u64::MAX]);
    let rows_max = world.workload.below(4) as u32;
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.sync_org(request, OrgPosition { over, page }, rows_max)
    });
}
