//! A probe logs in as itself; the answer to its challenge is right more often than not.

use crate::sim::world::World;

pub fn run(world: &mut World) {
    let probe = world.some_probe();
    if world.probes[probe].user().is_some() {
        return world.probe_closes(probe);
    }
    world.probe_starts_login(probe);
}
