//! What service accounts do for the operator: probes that may, and probes that may not. Accounts that they change are of people
//! who never come, so that nobody who is watched is out for good.

use wire::DeviceId;
use wire::operator::{AccountState, OperatorQuery};

use crate::sim::world::World;

/// People who never come.
const HIRED: u64 = 4;

pub fn add(world: &mut World) {
    let (name, code_hash) = (some_hired(world), world.workload.bytes());
    ask(world, OperatorQuery::AddUser { name, code_hash });
}

pub fn set_state(world: &mut World) {
    let name = some_hired(world);
    let state = *world.workload.pick(&[AccountState::Active, AccountState::Disabled, AccountState::Deleted]);
    ask(world, OperatorQuery::SetUserState { name, state });
}

pub fn issue_code(world: &mut World) {
    let (name, code_hash) = (some_hired(world), world.workload.bytes());
    ask(world, OperatorQuery::IssueCode { name, code_hash });
}

pub fn remove(world: &mut World) {
    let name = some_hired(world);
    ask(world, OperatorQuery::RemoveUser { name });
}

pub fn read_audit(world: &mut World) {
    let after = *world.workload.pick(&[(0, 0), (0, 0), (1, u64::MAX), (u64::MAX, 0)]);
    let rows_max = world.workload.below(5) as u32;
    ask(world, OperatorQuery::ReadAudit { after, rows_max });
}

pub fn list(world: &mut World) {
    let after = if world.workload.chance(500) { String::new() } else { some_name(world) };
    let users_max = world.workload.below(4) as u32;
    ask(world, OperatorQuery::ListUsers { after, users_max });
}

pub fn show(world: &mut World) {
    let name = some_name(world);
    ask(world, OperatorQuery::ShowUser { name });
}

pub fn list_devices(world: &mut World) {
    let name = some_name(world);
    ask(world, OperatorQuery::ListUserDevices { name });
}

/// Whoever is out comes back with his password.
pub fn end_sessions(world: &mut World) {
    let (name, device) = (some_name(world), DeviceId(world.workload.below(3) as u32));
    ask(world, OperatorQuery::EndUserSessions { name, device });
}

fn ask(world: &mut World, query: OperatorQuery) {
    let probe = world.some_probe();
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        query.encode(&mut probe.encoder, request)
    });
}

fn some_hired(world: &mut World) -> String {
    format!("hired{}", world.workload.below(HIRED))
}

/// Of anybody, or of nobody.
fn some_name(world: &mut World) -> String {
    let names: Vec<_> = world.model.users.values().cloned().collect();
    if names.is_empty() || world.workload.chance(300) {
        return some_hired(world);
    }
    world.workload.pick(&names).clone()
}
