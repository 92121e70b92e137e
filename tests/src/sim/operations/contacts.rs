//! Requests to be contacts, answers to them, blocks, and the list of contacts; by devices among each other, and by probes with
//! anybody.

use record::{ContactState, Key, Relation};
use wire::contact::ContactQuery;
use wire::{ConversationId, UserId};

use crate::sim::faults::Fault;
use crate::sim::model::disk;
use crate::sim::world::World;

pub fn request(world: &mut World) {
    let text = if world.workload.chance(500) { "hello" } else { "" };
    among_devices(world, |conversation| ContactQuery::Request { conversation, text: text.to_owned() });
}

pub fn accept(world: &mut World) {
    among_devices(world, ContactQuery::Accept);
}

pub fn refuse(world: &mut World) {
    among_devices(world, ContactQuery::Refuse);
}

pub fn remove(world: &mut World) {
    among_devices(world, ContactQuery::Remove);
}

/// Where only contacts may write to each other, most people become contacts before they write. True when it asked or accepted.
pub fn instead_of_sending(world: &mut World, device: usize, conversation: ConversationId) -> bool {
    let relation = disk::record::<Relation>(&world.store, &Key::Relation(conversation)).unwrap_or_default();
    if relation.may_write(false) || world.workload.chance(400) {
        return false;
    }
    let me = world.devices[device].user_id();
    let side = usize::from(me == Some(conversation.high));
    let query = match relation.view(side).state {
        ContactState::Asked => ContactQuery::Accept(conversation),
        _ => ContactQuery::Request { conversation, text: String::new() },
    };
    ask(world, device, query);
    true
}

/// Devices block probes, who go on sending.
pub fn block(world: &mut World) {
    with_probe(world, ContactQuery::Block);
}

pub fn unblock(world: &mut World) {
    with_probe(world, ContactQuery::Unblock);
}

pub fn set(world: &mut World) {
    let remark = format!("remark {}", world.workload.below(1_000));
    let group = if world.workload.chance(500) { "work" } else { "" };
    let Some(device) = world.some_device() else { return };
    let Some(other) = some_other(world, device) else { return };
    ask(world, device, ContactQuery::Set { user: other, remark, group: group.to_owned() });
}

pub fn sync(world: &mut World) {
    if world.workload.chance(300) {
        let probe = world.some_probe();
        let cver = *world.workload.pick(&[0, 1, 10, u64::MAX]);
        let changes_max = world.workload.below(4) as u32;
        return world.greeted_probe_sends(probe, |probe| {
            let request = probe.request();
            probe.encoder.sync_contacts(request, cver, changes_max)
        });
    }
    let Some(device) = world.some_device() else { return };
    let cver = *world.workload.pick(&[0, 0, 3, 20]);
    ask(world, device, ContactQuery::Sync { cver });
}

/// Anything about anybody, also what the probe has no part in.
pub fn hostile(world: &mut World, probe: usize) {
    let users = world.honest_users();
    let Some(me) = world.probes[probe].user() else { return };
    if users.len() < 2 {
        return;
    }
    let conversation = if world.workload.chance(200) {
        world.tally.add(Fault::Intrusion);
        ConversationId::private(users[0], users[1])
    } else if world.workload.chance(50) {
        ConversationId::private(me, UserId(me.0 + (777 << 10)))
    } else {
        ConversationId::private(me, *world.workload.pick(&users))
    };
    let Some(conversation) = conversation else { return };
    let which = world.workload.below(8);
    world.greeted_probe_sends(probe, |probe| {
        let request = probe.request();
        match which {
            0 | 1 => probe.encoder.contact_request(request, conversation, "buy this"),
            2 => probe.encoder.contact_request(request, conversation, &"x".repeat(257)),
            3 => probe.encoder.contact_accept(request, conversation),
            4 => probe.encoder.contact_refuse(request, conversation),
            5 => probe.encoder.contact_remove(request, conversation),
            6 => probe.encoder.block(request, conversation),
            _ => probe.encoder.unblock(request, conversation),
        }
    });
}

fn among_devices(world: &mut World, query: impl FnOnce(ConversationId) -> ContactQuery) {
    let Some(device) = world.some_device() else { return };
    // Now and then with a probe, who may have asked or been blocked.
    if world.workload.chance(250) {
        return device_with_probe(world, device, query);
    }
    if let Some(conversation) = world.some_conversation(device) {
        ask(world, device, query(conversation));
    }
}

fn with_probe(world: &mut World, query: impl FnOnce(ConversationId) -> ContactQuery) {
    if let Some(device) = world.some_device() {
        device_with_probe(world, device, query);
    }
}

fn device_with_probe(world: &mut World, device: usize, query: impl FnOnce(ConversationId) -> ContactQuery) {
    let probe = world.some_probe();
    let (me, other) = (world.devices[device].user_id(), world.probes[probe].user());
    if let Some(conversation) = me.zip(other).and_then(|(me, other)| ConversationId::private(me, other)) {
        ask(world, device, query(conversation));
    }
}

fn some_other(world: &mut World, device: usize) -> Option<UserId> {
    let conversation = world.some_conversation(device)?;
    conversation.peer_of(world.devices[device].user_id()?)
}

fn ask(world: &mut World, device: usize, query: ContactQuery) {
    world.with_session(device, |session, now_ms| {
        let _ = session.ask_contact(now_ms, query);
    });
}
