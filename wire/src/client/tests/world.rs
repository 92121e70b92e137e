//! Devices with their disks, connected to the node by two queues of frames each.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::node::{Node, ticket};
use crate::client::{Account, ClientEvent, Effect, PersistOp, PersistToken, Session, SessionConfig, Stored};
use crate::ids::{ConversationId, DeviceId, UserId};
use crate::message::{BodyKind, DeviceClass, Entry};

pub const ANNA: UserId = UserId(1 << 10);
pub const BERT: UserId = UserId(2 << 10);
pub const CARL: UserId = UserId(3 << 10);

pub fn chat_of(a: UserId, b: UserId) -> ConversationId {
    ConversationId::private(a, b).expect("two users")
}

pub fn config() -> SessionConfig {
    SessionConfig {
        software: "test".to_owned(),
        device_name: "device".to_owned(),
        device_class: DeviceClass::Bot,
        catch_up_max: u64::MAX,
        delivered_marks: true,
        keep_keys: true,
    }
}

/// What survives a crash of the client.
#[derive(Default)]
pub struct Disk {
    pub stored: Stored,
    pub entries: BTreeMap<ConversationId, Vec<Entry>>,
    /// Sends whose persistence was complete, and those given up.
    pub sends: BTreeMap<u64, (ConversationId, Bytes)>,
}

impl Disk {
    fn write(&mut self, ops: &[PersistOp]) {
        for op in ops {
            self.stored.apply(op);
            match op {
                PersistOp::Entry { conversation, entry } => {
                    self.entries.entry(*conversation).or_default().push(entry.clone());
                }
                PersistOp::Outgoing(send) => {
                    let replaced = self.sends.insert(send.counter, (send.conversation, send.body.clone()));
                    assert!(replaced.is_none(), "counter {} was used twice", send.counter);
                }
                _ => {}
            }
        }
    }
}

pub struct Device {
    pub session: Session,
    pub disk: Disk,
    pub config: SessionConfig,
    /// Groups not on disk yet.
    pub unwritten: VecDeque<(PersistToken, Vec<PersistOp>)>,
    pub peer: Option<u64>,
    /// Frames on their way to the node.
    pub sending: VecDeque<Bytes>,
    pub events: Vec<ClientEvent>,
    pub other_effects: Vec<Effect>,
    pub reconnect_at_ms: Option<u64>,
    /// Pushes that came on this connection.
    seen: Vec<Bytes>,
    /// The last seq the application was told of.
    told: BTreeMap<ConversationId, u64>,
}

impl Device {
    pub fn new(config: SessionConfig, stored: Stored) -> Self {
        Device {
            session: Session::new(config.clone(), stored.clone()),
            disk: Disk { stored, ..Disk::default() },
            config,
            unwritten: VecDeque::new(),
            peer: None,
            sending: VecDeque::new(),
            events: Vec::new(),
            other_effects: Vec::new(),
            reconnect_at_ms: Some(0),
            seen: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// Of a user who logged in before.
    pub fn known(user: UserId, device: u32) -> Self {
        let account = Account {
            user,
            name: "anna".to_owned(),
            device: DeviceId(device),
            ticket: ticket(user, DeviceId(device)),
        };
        Self::new(config(), Stored { account: Some(account), ..Stored::default() })
    }

    /// The next message told of this conversation will be this one.
    pub fn expect_from(&mut self, conversation: ConversationId, seq: u64) {
        self.told.insert(conversation, seq - 1);
    }

    fn on_event(&mut self, event: &ClientEvent) {
        if let ClientEvent::EpochChanged { conversation, .. } = event {
            self.told.insert(*conversation, u64::MAX); // whichever comes next
        }
        let ClientEvent::Message { conversation, entry } = event else { return };
        let told = self.told.entry(*conversation).or_default();
        let in_order = *told == u64::MAX || entry.place.seq == *told + 1;
        assert!(in_order, "told {} after {told}", entry.place.seq);
        *told = entry.place.seq;
        let on_disk = self.disk.entries.get(conversation).and_then(|entries| entries.last());
        assert!(on_disk.is_some_and(|last| last.place.seq >= entry.place.seq), "told before it was on disk");
    }
}

pub struct World {
    pub node: Node,
    pub devices: Vec<Device>,
    pub now_ms: u64,
    nonce: u8,
}

impl World {
    pub fn new(devices: Vec<Device>) -> Self {
        World { node: Node::new(), devices, now_ms: 1_000, nonce: 0 }
    }

    pub fn connect(&mut self, at: usize) {
        if self.devices[at].peer.is_some() {
            return;
        }
        self.nonce = self.nonce.wrapping_add(1);
        let peer = self.node.connect();
        let binding = if self.node.plain { Vec::new() } else { vec![9; 32] };
        let device = &mut self.devices[at];
        device.peer = Some(peer);
        device.seen.clear();
        device.reconnect_at_ms = None;
        device.session.handle_connected(self.now_ms, binding, [self.nonce; 18]);
        self.carry_out(at);
    }

    pub fn disconnect(&mut self, at: usize) {
        let Some(peer) = self.devices[at].peer.take() else { return };
        self.node.disconnect(peer);
        self.devices[at].sending.clear();
        self.devices[at].session.handle_disconnected(self.now_ms);
        self.carry_out(at);
    }

    /// The client's process dies; `kept` of its unwritten groups reached the disk.
    pub fn crash(&mut self, at: usize, kept: usize) {
        let device = &mut self.devices[at];
        for (_, ops) in device.unwritten.drain(..).take(kept).collect::<Vec<_>>() {
            device.disk.write(&ops);
        }
        if let Some(peer) = device.peer.take() {
            self.node.disconnect(peer);
        }
        let device = &mut self.devices[at];
        device.sending.clear();
        device.session = Session::new(device.config.clone(), device.disk.stored.clone());
        device.reconnect_at_ms = Some(self.now_ms);
        device.told.clear();
        for (conversation, entries) in &device.disk.entries {
            device.told.insert(*conversation, entries.last().expect("not empty").place.seq);
        }
    }

    /// The disk takes all that waits.
    pub fn persist(&mut self, at: usize) {
        let device = &mut self.devices[at];
        let mut last = None;
        while let Some((token, ops)) = device.unwritten.pop_front() {
            device.disk.write(&ops);
            last = Some(token);
        }
        if let Some(token) = last {
            device.session.handle_persisted(self.now_ms, token);
            self.carry_out(at);
        }
    }

    /// One frame from a device to the node.
    pub fn deliver_up(&mut self, at: usize) -> bool {
        let Some(peer) = self.devices[at].peer else { return false };
        let Some(frame) = self.devices[at].sending.pop_front() else { return false };
        self.node.handle(peer, &frame, self.now_ms);
        true
    }

    /// The frame at this place of the queue from the node to a device.
    pub fn deliver_down(&mut self, at: usize, place: usize) -> bool {
        let Some(peer) = self.devices[at].peer else { return false };
        let out = &mut self.node.peers.get_mut(&peer).expect("a peer").out;
        let Some(frame) = out.remove(place) else { return false };
        if frame[4..8] == [0; 4] {
            self.devices[at].seen.push(frame.clone());
        }
        self.devices[at].session.handle_frame(self.now_ms, &frame);
        self.carry_out(at);
        true
    }

    /// A push of this connection comes once more.
    pub fn repeat_push(&mut self, at: usize, place: usize) {
        let device = &mut self.devices[at];
        if device.peer.is_some() && device.session.is_ready() && !device.seen.is_empty() {
            let frame = device.seen[place % device.seen.len()].clone();
            device.session.handle_frame(self.now_ms, &frame);
            self.carry_out(at);
        }
    }

    pub fn tick(&mut self, at: usize) {
        self.devices[at].session.handle_tick(self.now_ms);
        self.carry_out(at);
        let next_ms = self.devices[at].session.next_deadline_ms();
        assert!(next_ms.is_none_or(|next_ms| next_ms > self.now_ms), "a tick at {next_ms:?} changes nothing");
        if self.devices[at].reconnect_at_ms.is_some_and(|at_ms| self.now_ms >= at_ms) {
            self.connect(at);
        }
    }

    pub fn send(&mut self, at: usize, conversation: ConversationId, text: &str) -> u64 {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let counter = self.devices[at]
            .session
            .send(self.now_ms, conversation, BodyKind::Text, body)
            .expect("room for a send");
        self.carry_out(at);
        counter
    }

    pub fn carry_out(&mut self, at: usize) {
        self.devices[at].session.check_invariants();
        while let Some(effect) = self.devices[at].session.poll_effect() {
            let device = &mut self.devices[at];
            match effect {
                Effect::Transmit(frame) => device.sending.push_back(frame),
                Effect::Persist { token, ops } => device.unwritten.push_back((token, ops)),
                Effect::Event(event) => {
                    device.on_event(&event);
                    device.events.push(event);
                }
                Effect::Disconnect(_) => {
                    if let Some(peer) = device.peer.take() {
                        self.node.disconnect(peer);
                    }
                    device.sending.clear();
                    device.other_effects.push(effect);
                }
                Effect::ReconnectAfter { delay_ms, .. } => {
                    device.reconnect_at_ms = Some(self.now_ms + delay_ms);
                    device.other_effects.push(effect);
                }
                Effect::NeedStretch { .. } => device.other_effects.push(effect),
            }
        }
    }

    /// All that can happen at once happens, in order.
    pub fn settle(&mut self) {
        loop {
            let mut moved = false;
            for at in 0..self.devices.len() {
                self.persist(at);
                while self.deliver_up(at) || self.deliver_down(at, 0) {
                    moved = true;
                    self.persist(at);
                }
                moved |= !self.devices[at].unwritten.is_empty();
            }
            if !moved {
                return;
            }
        }
    }

    /// Time passes up to this moment, in the steps that the devices ask for.
    pub fn pass_until(&mut self, end_ms: u64) {
        loop {
            let ticks = self.devices.iter().filter_map(|device| device.session.next_deadline_ms());
            let connects = self.devices.iter().filter_map(|device| device.reconnect_at_ms);
            let next_ms = ticks.chain(connects).min().map_or(end_ms, |next_ms| next_ms.max(self.now_ms));
            if next_ms >= end_ms {
                break;
            }
            self.now_ms = next_ms;
            (0..self.devices.len()).for_each(|at| self.tick(at));
            self.settle();
        }
        self.now_ms = end_ms;
        (0..self.devices.len()).for_each(|at| self.tick(at));
        self.settle();
    }

    /// Events of a device since the last call.
    pub fn take_events(&mut self, at: usize) -> Vec<ClientEvent> {
        std::mem::take(&mut self.devices[at].events)
    }

    /// The bodies of a conversation's log.
    pub fn texts(&self, conversation: ConversationId) -> Vec<String> {
        let log = self.node.logs.get(&conversation);
        let entries = log.map(|log| &log.entries[..]).unwrap_or_default();
        entries.iter().map(|entry| String::from_utf8_lossy(&entry.body).into_owned()).collect()
    }

    /// Time passes in steps until nothing is left to do, or 10 minutes have passed.
    pub fn run_out(&mut self) {
        let end_ms = self.now_ms + 600_000;
        let mut quiet_rounds = 0; // what was refused is tried again after a while
        while self.now_ms < end_ms && quiet_rounds < 20 {
            for at in 0..self.devices.len() {
                self.tick(at);
            }
            self.settle();
            let is_done = |device: &Device| device.session.is_ready() && device.session.undecided() == 0;
            quiet_rounds = if self.devices.iter().all(is_done) { quiet_rounds + 1 } else { 0 };
            self.now_ms += 250;
        }
    }

    /// Every device has every log of its user whole; every send that survived is in the log once and in order.
    pub fn check(&self) {
        for device in &self.devices {
            let user = device.disk.stored.account.as_ref().expect("an account").user;
            for (id, log) in self.node.logs.iter().filter(|(id, _)| id.has(user)) {
                let here = device.disk.entries.get(id).map(Vec::as_slice).unwrap_or_default();
                let seqs = |entries: &[Entry]| entries.iter().map(|e| e.place.seq).collect::<Vec<_>>();
                assert_eq!(seqs(here), seqs(&log.entries), "{user:?} {id:?}");
                for (one, other) in here.iter().zip(&log.entries) {
                    assert_eq!(
                        (&one.body, one.sender, one.counter),
                        (&other.body, other.sender, other.counter)
                    );
                }
            }
            self.check_sends(device);
        }
    }

    fn check_sends(&self, device: &Device) {
        let account = device.disk.stored.account.as_ref().expect("an account");
        let (user, id) = (account.user, account.device);
        let mine = |entry: &&Entry| entry.sender == user && entry.device == id;
        let mut logged = BTreeMap::new();
        for (conversation, log) in &self.node.logs {
            let counters: Vec<u64> = log.entries.iter().filter(mine).map(|entry| entry.counter).collect();
            assert!(counters.is_sorted_by(|a, b| a < b), "sends out of order: {counters:?}");
            for entry in log.entries.iter().filter(mine) {
                logged.insert(entry.counter, (*conversation, entry.body.clone()));
            }
        }
        assert_eq!(logged, device.disk.sends, "sends that were persisted and sends in the logs");
    }
}
