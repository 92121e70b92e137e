//! Service accounts: probes log in with tokens that the operator made, true and false, and make and revoke tokens themselves.

use wire::service::NewToken;
use wire::token::{SECRET_LEN, Scope, Scopes, Secret, Token};
use wire::{ConversationId, DeviceId, UserId};

use crate::sim::faults::Fault;
use crate::sim::world::World;

/// Service accounts of one world.
const SERVICES: u64 = 3;

/// A probe leaves its own account and comes in with a token, or with something like one.
pub fn log_in(world: &mut World) {
    let known: Vec<_> = world.model.tokens.known().collect();
    let probe = world.some_probe();
    let token = if known.is_empty() || world.workload.chance(200) {
        world.tally.add(Fault::BadProof);
        let users: Vec<_> = world.model.users.keys().copied().collect();
        let user = if users.is_empty() { UserId(1 << 10) } else { *world.workload.pick(&users) };
        Token { user, number: 1, secret: Secret([7; SECRET_LEN]) }
    } else {
        world.workload.pick(&known).clone()
    };
    if world.probes[probe].user().is_some() {
        return world.probe_closes(probe);
    }
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.token_login(request, &token, DeviceId(0), "probe")
    });
}

/// By the operator, by a service that may, or by somebody who may not.
pub fn create(world: &mut World) {
    let name = some_service(world);
    let scopes = some_scopes(world);
    let secret = Secret(world.workload.bytes());
    let hash = secret.hash();
    world.model.tokens.on_made(secret);
    if world.workload.chance(600) {
        return world.operator_creates_token(name, hash, scopes);
    }
    let probe = world.some_probe();
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        let new = NewToken { name: &name, hash: &hash, scopes, expires_ms: 0, label: "probe" };
        probe.encoder.create_token(request, &new)
    });
}

pub fn list(world: &mut World) {
    let name = some_service(world);
    let probe = world.some_probe();
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.list_tokens(request, &name)
    });
}

pub fn revoke(world: &mut World) {
    let name = some_service(world);
    let number = world.workload.between(1, 6) as u32;
    if world.workload.chance(600) {
        return world.operator_revokes_token(name, number);
    }
    let probe = world.some_probe();
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.revoke_token(request, &name, number)
    });
}

/// Some pairs become contacts, if whoever asks may.
pub fn relate(world: &mut World) {
    let users: Vec<_> = world.model.users.keys().copied().collect();
    if users.len() < 2 {
        return;
    }
    let count = world.workload.between(0, 12);
    let mut pairs = Vec::new();
    for _ in 0..count {
        let (one, other) = (*world.workload.pick(&users), *world.workload.pick(&users));
        pairs.extend(ConversationId::private(one, other));
    }
    let probe = world.some_probe();
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        probe.encoder.relate_pairs(request, &pairs)
    });
}

fn some_service(world: &mut World) -> String {
    format!("service{}", world.workload.below(SERVICES))
}

fn some_scopes(world: &mut World) -> Scopes {
    let mut scopes = Scopes::NONE.with(*world.workload.pick(Scope::ALL));
    for scope in Scope::ALL {
        if world.workload.chance(400) {
            scopes = scopes.with(*scope);
        }
    }
    scopes
}
