//! The devices of a user: a list for him and for the operator, and what is kept of each beside the account.

use std::net::IpAddr;

use record::device::{address_of, octets_of};
use record::{Account, AccountState, DeviceSeen, Key, Record, RecordError, Rows};
use wire::device::Device;
use wire::message::DeviceClass;
use wire::{DeviceId, UserId};

use super::sessions::OpenSession;
use super::task::Person;
use super::{Logins, NewSession};
use crate::admin::AdminReply;
use crate::asker::Asker;
use crate::commits::Stamp;
use crate::core::Core;
use crate::mesh::SessionPlace;

/// What is kept of the devices of one user, by device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(Vec<(DeviceId, DeviceSeen)>);

impl Seen {
    pub fn decode(rows: &Rows) -> Result<Self, RecordError> {
        let seen = rows.rows.iter().map(|row| match Key::parse(&row.key) {
            Some(Key::DeviceSeen(_, device)) => Ok((device, DeviceSeen::decode(&row.value)?)),
            _ => Err(RecordError::Short),
        });
        Ok(Self(seen.collect::<Result<_, _>>()?))
    }

    pub fn of(&self, device: u32) -> Option<&DeviceSeen> {
        self.0.iter().find(|(known, _)| known.0 == device).map(|(_, seen)| seen)
    }
}

impl Logins {
    /// The account and what is kept of the devices were read.
    pub(super) fn list_devices(&mut self, core: &mut Core, asker: Asker, person: &Person) {
        let slot = person.slot();
        let Some((user, stamp)) = self.user_of(person) else {
            return asker.refuse(core, wire::Refusal::UnknownUser, 0, 0);
        };
        let (account, account_stamp) = self.accounts.find(&user).expect("the account was read");
        let stamp = stamp.max(account_stamp);
        let Some(account) = account.clone() else {
            return asker.refuse_after(core, slot, stamp, wire::Refusal::UnknownUser, 0);
        };
        let (seen, seen_stamp) = self.seen.find(&user).expect("what is kept of the devices was read");
        let own = match asker {
            Asker::Session(caller) => Some(caller.place),
            Asker::Socket(_) | Asker::Shard(..) => None,
        };
        let sessions = self.sessions.of(user);
        let devices: Vec<_> = account
            .devices
            .iter()
            .map(|device| {
                let session = sessions.iter().find(|session| session.place.device.0 == device.device);
                line(core.now.wall_ms, device, session, seen.of(device.device), own)
            })
            .collect();
        let stamp = stamp.max(seen_stamp);
        self.seen.release(&user, |stamp| core.is_committed(user.slot(), stamp));
        let reply = AdminReply::Devices { user: user.0, devices: devices.clone() };
        asker.answer_after(core, slot, stamp, reply, |encoder, request| encoder.devices(request, &devices));
    }

    /// A session that was opened: where it is and of which kind.
    pub(super) fn on_opened(&mut self, core: &mut Core, place: SessionPlace, new: &NewSession) {
        let NewSession { user, device, session, .. } = *new;
        assert_eq!((place.session, place.device), (session, device));
        let active_s = if new.is_login { (core.now.wall_ms / 1_000) as u32 } else { 0 };
        let before = self.sessions.of_device(user, device).map_or(0, |before| before.active_s);
        let opened = OpenSession {
            place,
            address: octets_of(new.address),
            active_s: active_s.max(before),
            generation: new.generation as u16,
            class: new.class,
        };
        for old in self.sessions.open(user, opened) {
            super::end_session(core, old.place, wire::Refusal::SessionEnded);
        }
        let is_service = new.grant.is_some();
        if core.config.sessions == crate::config::SessionPolicy::OnePerClass && !is_service {
            let ending = super::Ending::OthersOfClass { device, class: new.class };
            self.close_sessions(core, user, ending, wire::Refusal::TakenOver);
        }
    }

    /// A person did something in this session.
    pub(crate) fn handle_active(&mut self, core: &mut Core, user: UserId, place: SessionPlace) {
        let now_s = (core.now.wall_ms / 1_000) as u32;
        let Some(session) = self.sessions.find(user, place) else { return };
        let is_another_hour = session.active_s / 3_600 != now_s / 3_600;
        session.active_s = session.active_s.max(now_s);
        let session = *session;
        if is_another_hour {
            self.keep_seen(core, user, &session);
        }
    }

    /// Keeps what is known of a session that ends or goes on for long. Nobody waits for it, and it is left out when
    /// nothing can be written now.
    pub(super) fn keep_seen(&mut self, core: &mut Core, user: UserId, session: &OpenSession) {
        if session.active_s == 0 || core.write_refusal(user.slot()).is_some() {
            return;
        }
        // A deletion that is on its way to the disk is in memory: nothing of its devices may come back.
        let is_gone = |account: &Account| account.state == AccountState::Deleted;
        if self.accounts.find(&user).is_some_and(|(account, _)| account.as_ref().is_some_and(is_gone)) {
            return;
        }
        let seen = DeviceSeen { active_ms: u64::from(session.active_s) * 1_000, address: session.address };
        self.put_seen(core, user, session.place.device, seen);
    }

    /// A device logs in with a password.
    pub(super) fn put_login_seen(&mut self, core: &mut Core, user: UserId, device: DeviceId, at: IpAddr) {
        let seen = DeviceSeen { active_ms: core.now.wall_ms, address: octets_of(at) };
        self.put_seen(core, user, device, seen);
    }

    fn put_seen(&mut self, core: &mut Core, user: UserId, device: DeviceId, seen: DeviceSeen) {
        core.put(&Key::DeviceSeen(user, device), &seen);
        self.change_seen(core, user, |rows| {
            rows.retain(|(known, _)| *known != device);
            rows.push((device, seen));
        });
    }

    pub(super) fn delete_seen(&mut self, core: &mut Core, user: UserId, device: DeviceId) {
        core.delete(&Key::DeviceSeen(user, device));
        self.change_seen(core, user, |rows| rows.retain(|(known, _)| *known != device));
    }

    fn change_seen(
        &mut self,
        core: &Core,
        user: UserId,
        change: impl FnOnce(&mut Vec<(DeviceId, DeviceSeen)>),
    ) {
        let Some((seen, _)) = self.seen.find(&user) else { return };
        let mut seen = seen.clone();
        change(&mut seen.0);
        let is_committed = |user: &UserId, stamp: Stamp| core.is_committed(user.slot(), stamp);
        self.seen.put(user, seen, core.stamp(user.slot()), is_committed);
    }

    /// The device that leaves for a new one: of those without a session the one that was active longest ago.
    pub(super) fn longest_inactive(&self, user: UserId, account: &Account, seen: &Seen) -> usize {
        let active_ms = |device: &record::Device| {
            seen.of(device.device).map_or(device.login_ms, |seen| seen.active_ms.max(device.login_ms))
        };
        let without = account
            .devices
            .iter()
            .enumerate()
            .filter(|(_, device)| !self.sessions.has_device(user, DeviceId(device.device)));
        let longest = without.min_by_key(|(_, device)| (active_ms(device), device.device));
        longest.map(|(index, _)| index).expect("a user has fewer sessions than devices")
    }
}

fn line(
    now_ms: u64,
    device: &record::Device,
    session: Option<&OpenSession>,
    seen: Option<&DeviceSeen>,
    own: Option<SessionPlace>,
) -> Device {
    let address = session.map(|session| session.address).or(seen.map(|seen| seen.address));
    let is_own = own.is_some() && session.map(|session| session.place) == own;
    let known_ms = [
        device.login_ms,
        seen.map_or(0, |seen| seen.active_ms),
        session.map_or(0, |session| u64::from(session.active_s) * 1_000),
    ];
    Device {
        device: DeviceId(device.device),
        name: device.name.clone(),
        class: DeviceClass(device.class),
        address: address.map_or_else(String::new, |octets| address_of(octets).to_string()),
        since_ms: device.login_ms,
        // Who asks is active.
        active_ms: if is_own { now_ms } else { known_ms.into_iter().max().unwrap_or(0) },
        online: session.is_some(),
        own: is_own,
    }
}
