//! A device asks for the name of a user.

use wire::UserId;

use crate::sim::model::NameAsked;
use crate::sim::world::World;

pub fn run(world: &mut World) {
    let Some(device) = world.some_device() else { return };
    let users = world.honest_users();
    let known = !users.is_empty() && world.workload.chance(800);
    let user = if known { *world.workload.pick(&users) } else { UserId(77 << 10 | 5) };
    let mut asked = None;
    world.with_session(device, |session, now_ms| asked = session.name_user(now_ms, user).ok());
    if let Some(query) = asked {
        world.device_asks(device, query, NameAsked::ById(user));
    }
}
