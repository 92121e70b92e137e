//! A device changes its user's profile; devices and probes look at those of others.

use wire::UserId;
use wire::account::AccountQuery;
use wire::profile::{Audience, Gender, Profile, ProfileField, Shown};

use crate::sim::world::World;

pub fn set(world: &mut World) {
    let number = world.workload.below(1_000);
    let audiences = [Audience::Everybody, Audience::Contacts, Audience::Nobody];
    let mut to = || *world.workload.pick(&audiences);
    let profile = Profile {
        nickname: Shown { value: format!("nickname {number}"), to: to() },
        gender: Shown { value: Gender::Other, to: to() },
        email: Shown { value: format!("{number}@example.org"), to: to() },
        fields: vec![ProfileField { name: "city".into(), value: format!("city {number}"), to: to() }],
        ..Profile::default()
    };
    if world.workload.chance(200) {
        let probe = world.some_probe();
        let long = world.workload.chance(500);
        return world.greeted_probe_sends(probe, |probe| {
            let mut profile = profile;
            if long {
                profile.signature.value = "s".repeat(wire::limits::PROFILE_TEXT_LEN_MAX + 1);
            }
            let request = probe.request();
            probe.encoder.set_profile(request, &profile)
        });
    }
    let Some(device) = world.some_device() else { return };
    ask(world, device, AccountQuery::SetProfile(Box::new(profile)));
}

pub fn get(world: &mut World) {
    let users: Vec<UserId> = world.model.users.keys().copied().collect();
    if users.is_empty() {
        return;
    }
    let user = *world.workload.pick(&users);
    let user = if world.workload.chance(50) { UserId(user.0 + (777 << 10)) } else { user };
    if world.workload.chance(300) {
        let probe = world.some_probe();
        return world.greeted_probe_sends(probe, |probe| {
            let request = probe.request();
            probe.encoder.get_profile(request, user)
        });
    }
    let Some(device) = world.some_device() else { return };
    ask(world, device, AccountQuery::GetProfile(user));
}

fn ask(world: &mut World, device: usize, query: AccountQuery) {
    world.with_session(device, |session, now_ms| {
        let _ = session.ask_account(now_ms, query);
    });
}
