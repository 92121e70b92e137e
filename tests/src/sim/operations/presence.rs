//! A device sets its user's state, asks who is online, and how somebody is; a probe asks about anybody and sets what cannot
//! be.

use wire::UserId;
use wire::contact::ContactQuery;
use wire::presence::{LastSeenFor, PresenceQuery, PresenceState, PresenceWish};

use crate::sim::faults::Fault;
use crate::sim::world::World;

pub fn set(world: &mut World) {
    if world.workload.chance(200) {
        let probe = world.some_probe();
        return hostile(world, probe);
    }
    let Some(device) = world.some_device() else { return };
    let states = [PresenceState::Online, PresenceState::Away, PresenceState::Busy];
    let state = match world.workload.below(10) {
        0..4 => PresenceState::Invisible,
        4..9 => *world.workload.pick(&states),
        _ => PresenceState::Offline,
    };
    let text = format!("text {}", world.workload.below(100));
    let text = *world.workload.pick(&[None, Some(""), Some(&text[..])]);
    let last_seen = *world.workload.pick(&[
        None,
        Some(LastSeenFor::Nobody),
        Some(LastSeenFor::Contacts),
        Some(LastSeenFor::Everybody),
    ]);
    let state = Some(state).filter(|state| *state != PresenceState::Offline);
    let wish = PresenceWish { state, text: text.map(str::to_owned), last_seen };
    if wish.state == Some(PresenceState::Invisible) {
        world.tally.add(Fault::Invisible);
    }
    ask(world, device, PresenceQuery::Set(wish));
}

pub fn sync(world: &mut World) {
    if world.workload.chance(300) {
        let probe = world.some_probe();
        let after = *world.workload.pick(&[0, 1, u64::MAX]);
        let contacts_max = world.workload.below(3) as u32;
        return world.greeted_probe_sends(probe, |probe| {
            let request = probe.request();
            probe.encoder.sync_presence(request, after, contacts_max)
        });
    }
    let Some(device) = world.some_device() else { return };
    // Without contacts there is nobody to be seen.
    if world.workload.chance(600)
        && let Some(conversation) = world.some_conversation(device)
    {
        let query = ContactQuery::Request { conversation, text: String::new() };
        world.with_session(device, |session, now_ms| _ = session.ask_contact(now_ms, query));
    }
    world.device_asks_presence(device, 0);
}

pub fn get(world: &mut World) {
    let users: Vec<_> = world.model.users.keys().copied().collect();
    if users.is_empty() {
        return;
    }
    let user = *world.workload.pick(&users);
    if world.workload.chance(400) {
        let probe = world.some_probe();
        let user = if world.workload.chance(200) { UserId(user.0 + (777 << 10)) } else { user };
        return world.greeted_probe_sends(probe, |probe| {
            let request = probe.request();
            probe.encoder.get_presence(request, user)
        });
    }
    let Some(device) = world.some_device() else { return };
    ask(world, device, PresenceQuery::Get(user));
}

pub fn hostile(world: &mut World, probe: usize) {
    let state = PresenceState(*world.workload.pick(&[0, 1, 4, 4, 5, 255]));
    let long = "x".repeat(129);
    let text = *world.workload.pick(&[None, Some("buy this"), Some(&long[..])]);
    let wish = PresenceWish { state: Some(state), text: text.map(str::to_owned), last_seen: None };
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.set_presence(request, &wish)
    });
}

fn ask(world: &mut World, device: usize, query: PresenceQuery) {
    world.with_session(device, |session, now_ms| {
        let _ = session.ask_presence(now_ms, query);
    });
}
