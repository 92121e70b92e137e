//! Lists of devices and the end of sessions; by devices among those of their user, and by probes.

use wire::DeviceId;
use wire::device::DeviceQuery;

use crate::sim::world::World;

pub fn list(world: &mut World) {
    ask(world, |_, _| DeviceQuery::List);
}

pub fn end(world: &mut World) {
    ask(world, |world, device| {
        // Another one of the same user, his own, or one that may not be.
        let user = device.map(|number| world.devices[number].name.clone());
        let of_user = world.devices.iter().filter(|device| Some(&device.name) == user.as_ref());
        let numbers: Vec<_> =
            of_user.filter_map(|device| Some(device.disk.stored.account.as_ref()?.device)).collect();
        let guess = DeviceId(world.workload.between(1, 6) as u32);
        let is_guess = numbers.is_empty() || world.workload.chance(200);
        DeviceQuery::End(if is_guess { guess } else { *world.workload.pick(&numbers) })
    });
}

pub fn end_others(world: &mut World) {
    ask(world, |_, _| DeviceQuery::EndOthers);
}

/// By a device, whose number is given, or by a probe.
fn ask(world: &mut World, query: impl FnOnce(&mut World, Option<usize>) -> DeviceQuery) {
    if world.workload.chance(400) {
        let probe = world.some_probe();
        let query = query(world, None);
        return world.greeted_probe_sends(probe, |probe| {
            let request = probe.request();
            query.encode(&mut probe.encoder, request)
        });
    }
    let Some(device) = world.some_device() else { return };
    let query = query(world, Some(device));
    world.with_session(device, |session, now_ms| {
        let _ = session.ask_devices(now_ms, query);
    });
}
