//! Registering without asking for terms, under names that are taken or not allowed, with keys of a wrong length.

use wire::limits::NAME_LEN_MAX;

use crate::sim::world::World;

pub fn run(world: &mut World) {
    let probe = world.some_probe();
    let honest = world.devices[0].name.clone();
    let taken = world.model.users.values().any(|name| *name == honest);
    let honest = if taken { honest.as_str() } else { "" };
    // The longest name that is allowed, and one more.
    let (longest, longer) = ("l".repeat(NAME_LEN_MAX), "l".repeat(NAME_LEN_MAX + 1));
    let name = world.workload.pick(&[honest, "", "two words", ".dot", &longest, &longer]).to_string();
    let keys = if world.workload.chance(500) { vec![7; 32] } else { vec![7; 31] };
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.register(request, &name, &keys, &keys)
    });
}
