//! An honest client: the real session state machine on a small simulated disk, and an application that uses it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use wire::client::{
    ClientEvent, Effect, PersistOp, PersistToken, QueryId, Reason, SendFailure, Session, SessionConfig,
    Stored,
};
use wire::message::{DeviceClass, Entry};
use wire::{ConversationId, Refusal, UserId};

use super::directory::Directory;
use super::faults::Fault;
use super::model::NameAsked;
use super::network::{Actor, LinkId, Side};
use super::presence::Seen;
use super::queue::Event;
use super::scram;
use super::world::World;

/// What a client has on disk. Messages stand beside the state, and both are written together.
#[derive(Debug, Default)]
pub struct Disk {
    pub stored: Stored,
    pub logs: BTreeMap<ConversationId, Vec<Entry>>,
    /// Every send that was ever on this disk, by counter.
    pub accepted: BTreeMap<u64, (ConversationId, Bytes)>,
    /// The device's copy of the directory.
    pub directory: Directory,
}

impl Disk {
    /// Writes one change.
    ///
    /// # Errors
    /// In words, when it breaks what the log of a client must be.
    fn apply(&mut self, op: &PersistOp) -> Result<(), String> {
        self.stored.apply(op);
        match op {
            PersistOp::Entry { conversation, entry } => {
                let log = self.logs.entry(*conversation).or_default();
                let next = log.last().map_or(1, |last| last.place.seq + 1);
                if entry.place.seq != next {
                    return Err(format!(
                        "{conversation:?}: seq {} is applied behind {}",
                        entry.place.seq,
                        next - 1
                    ));
                }
                for kept in log.iter_mut() {
                    wire::fold::apply(kept, entry);
                }
                log.push(entry.clone());
            }
            PersistOp::Outgoing(send) => {
                self.accepted.insert(send.counter, (send.conversation, send.body.clone()));
            }
            PersistOp::Gap { conversation, range } => {
                return Err(format!("{conversation:?}: a gap {range:?} where nothing was removed"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// One device of one user.
pub struct Device {
    pub name: String,
    pub password: String,
    class: DeviceClass,
    pub session: Option<Session>,
    /// Rises with each start; what was planned for an earlier one comes to nothing.
    pub boot: u32,
    pub disk: Disk,
    /// Handed to the disk and not there yet.
    pub unpersisted: VecDeque<(PersistToken, Vec<PersistOp>)>,
    pub link: Option<LinkId>,
    pub reading: bool,
    /// The last message of each conversation that the application was told in this boot.
    told: BTreeMap<ConversationId, u64>,
    queries: BTreeMap<QueryId, NameAsked>,
    pub presence: Seen,
    planned_wake_us: Option<u64>,
    pub sends: u64,
    pub wants_login: bool,
    /// Its user registered once, though the answer may never have come.
    has_account: bool,
    /// The session wants no connection any more; to come back is the application's business until there is one.
    pub logged_out: bool,
}

impl Device {
    pub fn new(name: String, password: String, class: DeviceClass) -> Self {
        Self {
            name,
            password,
            class,
            session: None,
            boot: 0,
            disk: Disk::default(),
            unpersisted: VecDeque::new(),
            link: None,
            reading: true,
            told: BTreeMap::new(),
            queries: BTreeMap::new(),
            presence: Seen::default(),
            planned_wake_us: None,
            sends: 0,
            wants_login: false,
            has_account: false,
            logged_out: false,
        }
    }

    pub fn user_id(&self) -> Option<UserId> {
        self.disk.stored.account.as_ref().map(|account| account.user)
    }

    /// Whether it takes bytes that have arrived.
    pub fn reads(&self) -> bool {
        self.reading && !self.session.as_ref().is_some_and(Session::is_backlogged)
    }

    fn config(&self, number: usize) -> SessionConfig {
        SessionConfig {
            software: "simulation".into(),
            device_name: format!("device {number}"),
            device_class: self.class,
            catch_up_max: u64::MAX,
            delivered_marks: true,
            keep_keys: number.is_multiple_of(2),
        }
    }
}

impl World {
    /// The clock of the clients, Unix milliseconds: never going back, and not the node's.
    pub fn client_now_ms(&self) -> u64 {
        1_790_000_000_000 + self.queue.now_ms()
    }

    /// The application of a device starts with what is on its disk.
    pub fn device_start(&mut self, number: usize) {
        let device = &mut self.devices[number];
        if device.session.is_some() {
            return;
        }
        device.boot += 1;
        device.told.clear();
        device.logged_out = false;
        device.queries.clear();
        device.disk.directory.on_start();
        device.reading = true;
        device.planned_wake_us = None;
        device.session = Some(Session::new(device.config(number), device.disk.stored.clone()));
        self.trace.note(self.queue.now_us(), &[40, number as u64], &[], || format!("device {number} starts"));
        self.device_connect(number);
    }

    /// The application of a device is gone from one moment to the next.
    pub fn device_crash(&mut self, number: usize) {
        let device = &mut self.devices[number];
        if device.session.take().is_none() {
            return;
        }
        self.tally.add(Fault::ClientCrash);
        let written = self.client_stream.index(device.unpersisted.len() + 1);
        if written < device.unpersisted.len() {
            self.tally.add(Fault::ClientLostWrites);
        }
        let lost = device.unpersisted.len() - written;
        self.trace.note(self.queue.now_us(), &[41, number as u64, lost as u64], &[], || {
            format!("device {number} crashes, {lost} groups of writes are lost")
        });
        let groups: Vec<_> = device.unpersisted.drain(..).take(written).collect();
        for (_, ops) in groups {
            self.device_write(number, &ops);
        }
        if let Some(link) = self.devices[number].link.take() {
            self.reset_from_actor(link);
        }
        let delay_us = self.client_stream.between(1_000, 1_500_000);
        self.queue.after(delay_us, Event::DeviceStarts { device: number });
    }

    /// The disk of a device is gone as well: it comes back as a new device of its user.
    pub fn device_wipe(&mut self, number: usize) {
        if self.devices[number].session.is_none() {
            return;
        }
        self.device_crash(number);
        self.tally.add(Fault::ClientWiped);
        self.devices[number].disk = Disk::default();
        self.trace
            .note(self.queue.now_us(), &[42, number as u64], &[], || format!("device {number} is wiped"));
    }

    pub fn device_connect(&mut self, number: usize) {
        let device = &self.devices[number];
        if device.session.is_some() && device.link.is_none() {
            let link = self.connect(Actor::Device(number));
            self.devices[number].link = Some(link);
        }
    }

    /// Something happened to the session of a device: whatever it wants is done.
    pub fn with_session(&mut self, number: usize, work: impl FnOnce(&mut Session, u64)) {
        let now_ms = self.client_now_ms();
        let Some(session) = &mut self.devices[number].session else { return };
        work(session, now_ms);
        while let Some(effect) = self.devices[number].session.as_mut().and_then(Session::poll_effect) {
            self.carry_out_client(number, effect);
        }
        self.plan_wake(number);
    }

    fn plan_wake(&mut self, number: usize) {
        let device = &mut self.devices[number];
        let Some(deadline_ms) = device.session.as_ref().and_then(Session::next_deadline_ms) else { return };
        let now_ms = 1_790_000_000_000 + self.queue.now_ms();
        let at_us = self.queue.now_us() + (deadline_ms.saturating_sub(now_ms) * 1_000).max(1_000);
        if device.planned_wake_us.is_none_or(|planned| planned > at_us) {
            device.planned_wake_us = Some(at_us);
            self.queue.at(at_us, Event::DeviceWakes { device: number, boot: device.boot });
        }
    }

    pub fn on_device_wakes(&mut self, number: usize, boot: u32) {
        let device = &mut self.devices[number];
        if device.boot != boot || device.planned_wake_us != Some(self.queue.now_us()) {
            return;
        }
        device.planned_wake_us = None;
        self.with_session(number, Session::handle_tick);
    }

    fn carry_out_client(&mut self, number: usize, effect: Effect) {
        match effect {
            Effect::Transmit(bytes) => self.device_transmit(number, bytes),
            Effect::Persist { token, ops } => {
                let device = &mut self.devices[number];
                device.unpersisted.push_back((token, ops));
                let boot = device.boot;
                let slow = self.client_stream.chance(60);
                let delay_us = self.client_stream.between(20, if slow { 60_000 } else { 800 });
                self.queue.after(delay_us, Event::DevicePersisted { device: number, boot });
            }
            Effect::NeedStretch { salt, iterations } => {
                let keys = scram::stretch(&self.devices[number].password, &salt, iterations);
                let now_ms = self.client_now_ms();
                if let Some(session) = &mut self.devices[number].session {
                    session.handle_stretched(now_ms, keys);
                }
            }
            Effect::Event(event) => self.on_client_event(number, event),
            Effect::Disconnect(reason) => {
                self.trace.note(self.queue.now_us(), &[43, number as u64], &[], || {
                    format!("device {number} disconnects: {reason:?}")
                });
                if let Some(link) = self.devices[number].link.take() {
                    self.close_from_actor(link);
                }
            }
            Effect::ReconnectAfter { delay_ms, .. } => {
                let boot = self.devices[number].boot;
                self.trace.note(self.queue.now_us(), &[45, number as u64, delay_ms], &[], || {
                    format!("device {number} reconnects after {delay_ms} ms")
                });
                self.queue.after(delay_ms * 1_000 + 1, Event::DeviceReconnects { device: number, boot });
            }
        }
    }

    fn device_transmit(&mut self, number: usize, bytes: Bytes) {
        let Some(link) = self.devices[number].link else { return };
        self.note_transmitted(link, Some(number), &bytes);
        self.transmit(link, bytes);
    }

    /// The disk of a device has written all that it was given by now.
    pub fn on_device_persisted(&mut self, number: usize, boot: u32) {
        let device = &mut self.devices[number];
        if device.boot != boot || device.session.is_none() {
            return;
        }
        let groups: Vec<_> = device.unpersisted.drain(..).collect();
        let Some((last, _)) = groups.last() else { return };
        let last = *last;
        for (_, ops) in &groups {
            self.device_write(number, ops);
        }
        self.with_session(number, |session, now_ms| session.handle_persisted(now_ms, last));
        if let Some(link) = self.devices[number].link {
            self.take_untaken(link, Side::Actor);
        }
    }

    fn device_write(&mut self, number: usize, ops: &[PersistOp]) {
        for op in ops {
            if let Err(what) = self.devices[number].disk.apply(op) {
                self.model.violate(format!("device {number}: {what}"));
            }
        }
    }

    fn on_client_event(&mut self, number: usize, event: ClientEvent) {
        self.trace.note(self.queue.now_us(), &[44, number as u64], &[], || {
            format!("device {number} is told {event:?}")
        });
        match event {
            ClientEvent::LoginNeeded => self.device_logs_in(number),
            ClientEvent::Registered { user } => {
                self.model.users.insert(user, self.devices[number].name.clone());
            }
            ClientEvent::RegisterRefused(refused) | ClientEvent::LoginRefused(refused) => {
                self.devices[number].wants_login = true;
                let wronged = refused.code == Refusal::LoginFailed.code()
                    && self.operator.has_first_password(&self.devices[number].name);
                self.violation_if(wronged, || format!("device {number} is refused with the right password"));
                if refused.code == Refusal::NameTaken.code() {
                    self.devices[number].has_account = true;
                }
                let boot = self.devices[number].boot;
                let delay_us = self.client_stream.between(20_000, 400_000);
                self.queue.after(delay_us, Event::DeviceLogsIn { device: number, boot });
            }
            ClientEvent::LoggedIn { user, name, .. } => {
                if name != self.devices[number].name {
                    self.model.violate(format!("device {number} is logged in as {name}"));
                }
                self.model.users.insert(user, name);
                self.device_directory_is_stale(number);
                self.devices[number].presence = Seen::default();
                self.device_asks_presence(number, 0);
            }
            ClientEvent::OrgChanged { .. } | ClientEvent::ContactsMissed => {
                self.device_directory_is_stale(number);
            }
            ClientEvent::OrgSynced { query, synced } => self.on_directory_page(number, query, synced),
            ClientEvent::Disconnected(reason) => self.on_device_disconnected(number, &reason),
            ClientEvent::Message { conversation, entry } => {
                self.on_device_message(number, conversation, &entry)
            }
            ClientEvent::Gap { .. } | ClientEvent::EpochChanged { .. } => {
                self.model.violate(format!("device {number} is told {event:?}"));
            }
            ClientEvent::SendFailed { counter, failure: SendFailure::Refused(refused), .. }
                if self.model.may_fail(Refusal::from_code(refused.code)) =>
            {
                self.devices[number].disk.accepted.remove(&counter);
            }
            ClientEvent::SendFailed { .. } => {
                self.model.violate(format!("device {number}: an honest send failed: {event:?}"));
            }
            ClientEvent::UserFound { query, user, name, .. } => {
                self.on_user_found(number, query, user, &name)
            }
            ClientEvent::QueryRefused { query, .. } => {
                self.devices[number].queries.remove(&query);
                self.on_presence_refused(number, query);
                self.on_directory_lost(number, query);
            }
            ClientEvent::QueryLost { query } => {
                self.devices[number].queries.remove(&query);
                self.on_directory_lost(number, query);
            }
            ClientEvent::PresenceChanged { contacts } => self.devices[number].presence.take(contacts),
            ClientEvent::PresenceSynced { query, synced } => self.on_presence_synced(number, query, synced),
            ClientEvent::PresenceMissed => self.device_asks_presence(number, 0),
            _ => {}
        }
    }

    fn on_device_disconnected(&mut self, number: usize, reason: &Reason) {
        if let Some(link) = self.devices[number].link.take() {
            self.close_from_actor(link);
        }
        if !reason.is_transient() || self.devices[number].logged_out {
            self.device_comes_back(number);
        }
    }

    /// The application connects anew, since the session does not do so by itself.
    pub fn device_comes_back(&mut self, number: usize) {
        self.devices[number].logged_out = true;
        let boot = self.devices[number].boot;
        let delay_us = self.client_stream.between(10_000, 500_000);
        self.queue.after(delay_us, Event::DeviceReconnects { device: number, boot });
    }

    /// Asks for an account first; whoever finds the name taken has it already.
    pub fn device_logs_in(&mut self, number: usize) {
        self.devices[number].wants_login = false;
        let name = self.devices[number].name.clone();
        let nonce = self.client_stream.bytes();
        let known = self.devices[number].has_account || self.model.users.values().any(|known| *known == name);
        self.with_session(number, |session, now_ms| {
            if known {
                session.log_in(now_ms, &name, nonce);
            } else {
                session.register(now_ms, &name, nonce);
            }
        });
    }

    fn on_device_message(&mut self, number: usize, conversation: ConversationId, entry: &Entry) {
        let device = &mut self.devices[number];
        let before = device.told.insert(conversation, entry.place.seq);
        let log = device.disk.logs.get(&conversation);
        let kept = log.and_then(|log| log.get(entry.place.seq as usize - 1));
        // What came in the same group may have edited it, or taken it back.
        let persisted = kept.is_some_and(|kept| super::model::verbs::may_become(entry, kept));
        let in_order = before.is_none_or(|before| before + 1 == entry.place.seq);
        if !persisted || !in_order {
            let what = format!("device {number} is told {entry:?} of {conversation:?} behind {before:?}");
            self.model.violate(format!("{what}, on its disk: {persisted}"));
        }
    }

    pub fn device_asks(&mut self, number: usize, query: QueryId, asked: NameAsked) {
        self.devices[number].queries.insert(query, asked);
    }

    fn on_user_found(&mut self, number: usize, query: QueryId, user: UserId, name: &str) {
        let asked = self.devices[number].queries.remove(&query);
        let right = match &asked {
            Some(NameAsked::ByName(asked)) => asked == name,
            Some(NameAsked::ById(asked)) => *asked == user,
            None => false,
        };
        if !right {
            self.model.violate(format!("device {number} asked {asked:?} and found {user:?} {name}"));
        }
    }

    /// Bytes arrive at a device that reads.
    pub fn on_bytes_at_device(&mut self, number: usize, bytes: &Bytes) {
        self.with_session(number, |session, now_ms| session.handle_bytes(now_ms, bytes));
    }

    pub fn on_connected_device(&mut self, number: usize) {
        let binding = self.binding();
        let nonce = self.client_stream.bytes();
        self.devices[number].logged_out = false;
        self.with_session(number, |session, now_ms| session.handle_connected(now_ms, binding, nonce));
    }

    /// The link of a device is over, and it may never have been.
    pub fn on_ended_at_device(&mut self, number: usize, link: LinkId, was_connected: bool) {
        if self.devices[number].link != Some(link) {
            return;
        }
        self.devices[number].link = None;
        self.with_session(number, |session, now_ms| {
            if was_connected {
                session.handle_disconnected(now_ms);
            } else {
                session.handle_connect_failed(now_ms);
            }
        });
    }

    /// A device stops reading for a while.
    pub fn device_stops_reading(&mut self, number: usize, for_us: u64) {
        if self.devices[number].reading && self.devices[number].link.is_some() {
            self.devices[number].reading = false;
            self.tally.add(Fault::NeverReads);
            self.queue.after(for_us, Event::ReadsAgain { device: number });
        }
    }

    pub fn on_reads_again(&mut self, number: usize) {
        self.devices[number].reading = true;
        let Some(link) = self.devices[number].link else { return };
        self.take_untaken(link, Side::Actor);
    }
}
