//! What service accounts do for the operator: probes that may, and probes that may not. Accounts that they change are of people
//! who never come, so that nobody who is watched is out for good.

use wire::message::BodyKind;
use wire::operator::{AccountState, OperatorQuery, Reach, Recipients};
use wire::org::{Department, Member, OrgItem};
use wire::{DeviceId, UserId};

use crate::sim::model::notices::DEPARTMENTS;
use crate::sim::world::World;

/// Ids of notices of probes: apart from those of the admin socket.
const NOTICES_FROM: u64 = 1 << 40;

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

/// To some, to all, as an advert, or to a department; sometimes the same again.
pub fn notify(world: &mut World) {
    let users: Vec<_> = world.model.users.keys().copied().collect();
    let to = match world.workload.below(5) {
        0 => Recipients::All,
        1 => Recipients::Adverts,
        2 => Recipients::Department(world.workload.below(u64::from(DEPARTMENTS)) as u32 + 1),
        _ if users.is_empty() => return,
        _ => {
            let count = world.workload.between(1, 6);
            Recipients::Users((0..count).map(|_| *world.workload.pick(&users)).collect())
        }
    };
    let id = NOTICES_FROM + world.workload.below(1 << 20);
    let reach = if world.workload.chance(200) { Reach::OnlineNow } else { Reach::Everybody };
    let body = format!("told {id}").into();
    ask(world, OperatorQuery::Notify { id, to, reach, body_kind: BodyKind::Text, body });
}

pub fn edit_org(world: &mut World) {
    let users: Vec<_> = world.model.users.keys().copied().collect();
    let count = world.workload.between(1, 4);
    let edits = (0..count).map(|_| some_edit(world, &users)).collect();
    ask(world, OperatorQuery::EditOrg { expected: 0, edits });
}

fn some_edit(world: &mut World, users: &[UserId]) -> OrgItem {
    let department = world.workload.below(u64::from(DEPARTMENTS)) as u32 + 1;
    let user = if users.is_empty() { UserId(7 << 10 | 3) } else { *world.workload.pick(users) };
    match world.workload.below(4) {
        0 => {
            let (parent, name) = (world.workload.below(7) as u32, format!("department {department}"));
            OrgItem::Department(Department { id: department, parent, order: 0, name })
        }
        1 => OrgItem::MemberGone { department, user },
        2 => OrgItem::DepartmentGone(department),
        _ => {
            let (name, title) = (format!("{user:?}"), String::new());
            OrgItem::Member(Member { department, user, order: 1, name, title })
        }
    }
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
