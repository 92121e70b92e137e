//! A device looks for somebody by name.

use crate::sim::model::NameAsked;
use crate::sim::world::World;

pub fn run(world: &mut World) {
    let Some(device) = world.some_device() else { return };
    let other = world.workload.index(world.devices.len());
    let name =
        if world.workload.chance(800) { world.devices[other].name.clone() } else { "nobody".to_owned() };
    let mut asked = None;
    world.with_session(device, |session, now_ms| asked = session.find_user(now_ms, &name).ok());
    if let Some(query) = asked {
        world.device_asks(device, query, NameAsked::ByName(name));
    }
}
