//! A device asks for the name of a user.

use wire::{Slot, UserId};

use crate::sim::model::NameAsked;
use crate::sim::world::World;

pub fn run(world: &mut World) {
    let Some(device) = world.some_device() else { return };
    let users = world.honest_users();
    let known = !users.is_empty() && world.workload.chance(800);
    // Or somebody who may be about to register: the first user in the slot of a name.
    let known = known && world.workload.chance(700);
    let late = world.workload.index(world.devices.len());
    let later = UserId::from_parts(Slot::of_name(&world.devices[late].name), 1).unwrap_or_default();
    let user = if known { *world.workload.pick(&users) } else { later };
    let mut asked = None;
    world.with_session(device, |session, now_ms| asked = session.name_user(now_ms, user).ok());
    if let Some(query) = asked {
        world.device_asks(device, query, NameAsked::ById(user));
    }
}
