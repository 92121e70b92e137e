//! One simulated world: a node of several shards, its disk, the network and the clients, on virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use shard::{Security, Shard};
use store::MemoryStore;
use wire::message::DeviceClass;
use wire::{ConnectionId, EventBody, Refusal};

use super::device::Device;
use super::faults::{Fault, Tally};
use super::lull::Lull;
use super::model::Model;
use super::network::{LinkId, Network};
use super::node::{Machine, Node, StoreInput};
use super::operator::Operator;
use super::probe::Probe;
use super::queue::{Event, Queue};
use super::random::Stream;
use super::script::Script;
use super::trace::{Lines, Trace};

/// What a world came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub operations: u64,
    pub steps: u64,
    pub tally: Tally,
    pub digest: u64,
    pub violations: Vec<String>,
    /// What the shards counted, over all lives of the node.
    pub counters: BTreeMap<String, u64>,
    pub messages: u64,
    /// Devices that were looked at after a lull.
    pub lulls_seen: u64,
}

/// All there is in one world.
pub struct World {
    pub queue: Queue,
    pub trace: Trace,
    pub tally: Tally,
    pub network: Network,
    pub machine: Machine,
    pub node: Option<Node>,
    pub store: MemoryStore,
    pub store_stream: Stream,
    pub client_stream: Stream,
    pub probe_stream: Stream,
    pub fault_stream: Stream,
    pub workload: Stream,
    pub devices: Vec<Device>,
    pub probes: Vec<Probe>,
    pub model: Model,
    pub script: Script,
    pub operator: Operator,
    pub lull: Option<Lull>,
    /// Devices that were looked at after a lull.
    pub lulls_seen: u64,
    pub security: Security,
    pub bug: Option<String>,
    /// Faults are over: from here on everything must come to rest.
    pub healed: bool,
    pub operations: u64,
    pub steps: u64,
    pub stop_by_us: u64,
    /// Links on which an actor was told that it is connected.
    pub connected: BTreeSet<LinkId>,
    pub overheard: Vec<Bytes>,
    /// Links on which there was garbage: what came behind it was not understood.
    pub garbled: BTreeSet<LinkId>,
    pub overflowed: Vec<ConnectionId>,
    pub closings: Vec<ConnectionId>,
    pub counters: BTreeMap<String, u64>,
    finished: bool,
}

impl World {
    pub fn new(seed: u64, bug: Option<String>, lines: Option<Lines>) -> Self {
        let mut stream = Stream::new(seed, "world");
        let tls = stream.chance(500);
        let binding: Arc<[u8]> = stream.bytes::<32>().into();
        let security =
            if tls { Security::Tls { binding: Some(binding) } } else { Security::Plain { loopback: true } };
        let users = stream.between(3, 5) as usize;
        let count = stream.between(6, 9) as usize;
        let name = |user: usize| (format!("user{user}"), format!("password {user}"));
        let devices = (0..count).map(|number| {
            let (name, password) = name(number % users);
            // Those of one user differ: of one class they would end each other for ever where the node wants that.
            let classes = [DeviceClass::Desktop, DeviceClass::Mobile, DeviceClass::Web];
            Device::new(name, password, classes[number / users])
        });
        let probes = (0..3).map(|number| Probe::new(format!("probe{number}"), format!("secret {number}")));
        Self {
            queue: Queue::default(),
            trace: Trace::new(lines),
            tally: Tally::default(),
            network: Network::new(seed),
            machine: Machine::new(seed),
            node: None,
            store: MemoryStore::new(*stream.pick(&[2, 2, 4, 8])),
            store_stream: Stream::new(seed, "store"),
            client_stream: Stream::new(seed, "clients"),
            probe_stream: Stream::new(seed, "probes"),
            fault_stream: Stream::new(seed, "faults"),
            workload: Stream::new(seed, "workload"),
            devices: devices.collect(),
            probes: probes.collect(),
            model: Model::default(),
            script: Script::new(seed),
            operator: Operator::default(),
            lull: None,
            lulls_seen: 0,
            security,
            bug,
            healed: false,
            operations: 0,
            steps: 0,
            stop_by_us: 0,
            connected: BTreeSet::new(),
            overheard: Vec::new(),
            garbled: BTreeSet::new(),
            overflowed: Vec::new(),
            closings: Vec::new(),
            counters: BTreeMap::new(),
            finished: false,
        }
    }

    /// Runs the world to its end, or to its first violation.
    pub fn run(mut self) -> Outcome {
        self.queue.at(0, Event::NodeStarts);
        for device in 0..self.devices.len() {
            // Some come later, when others are busy already.
            let late = self.client_stream.chance(300);
            let at_us = self.client_stream.between(500, if late { 3_000_000 } else { 60_000 });
            self.queue.at(at_us, Event::DeviceStarts { device });
        }
        for probe in 0..self.probes.len() {
            self.queue.at(40_000, Event::ProbeWakes { probe });
        }
        self.queue.at(100_000, Event::Operation);
        self.queue.at(150_000, Event::Fault);
        while !self.finished && self.model.violations.is_empty() {
            let event = self.queue.next().expect("operations or looks are always planned");
            self.on_event(event);
            self.settle_sockets();
            self.crash_if_due();
        }
        for violation in &self.model.violations {
            let line = format!("VIOLATION {violation}");
            self.trace.note(self.queue.now_us(), &[99], &[], || line);
        }
        self.outcome()
    }

    fn outcome(mut self) -> Outcome {
        self.take_counters();
        Outcome {
            operations: self.operations,
            steps: self.steps,
            tally: self.tally,
            digest: self.trace.digest(),
            lulls_seen: self.lulls_seen,
            violations: self.model.violations,
            counters: self.counters,
            messages: self.model.logs.values().map(|log| log.len() as u64).sum(),
        }
    }

    /// What sockets have to tell shards after a step.
    fn settle_sockets(&mut self) {
        while self.node.is_some() && !(self.overflowed.is_empty() && self.closings.is_empty()) {
            self.tell_overflowed();
            self.tell_closed();
        }
    }

    fn on_event(&mut self, event: Event) {
        self.model.watch.now_us = self.queue.now_us();
        match event {
            Event::NodeStarts => self.node_start(),
            Event::Turn { life, shard } => self.on_turn(life, shard),
            Event::Mesh { life, from, to, lane, frame } => self.on_mesh(life, (from, to), lane, *frame),
            Event::Adopt { life, to, link, transfer } => self.on_adopt(life, to, link, transfer),
            Event::Sync { life, store_shard } => self.on_sync(life, store_shard),
            Event::Load { life, shard, token, store_shard, queries, delay_us } => {
                self.on_load(life, shard, token, (store_shard, queries, delay_us));
            }
            Event::Loaded { life, shard, token, rows } => {
                self.on_loaded(life, shard, StoreInput::Loaded { token, rows });
            }
            Event::Bytes { link, to, bytes } => self.on_bytes(link, to, bytes),
            Event::Ended { link, at } => self.on_ended(link, at),
            Event::Accept { link } => self.on_accept(link),
            Event::Linger { life, link } => self.on_linger(life, link),
            Event::DeviceWakes { device, boot } => self.on_device_wakes(device, boot),
            Event::DevicePersisted { device, boot } => self.on_device_persisted(device, boot),
            Event::DeviceStarts { device } => self.device_start(device),
            Event::DeviceReconnects { device, boot } => {
                if self.devices[device].boot == boot {
                    self.device_connect(device);
                }
            }
            Event::DeviceAsksPresence { device, boot } => {
                if self.devices[device].boot == boot {
                    self.device_asks_presence(device, 0);
                }
            }
            Event::DeviceLogsIn { device, boot } => {
                let device_state = &self.devices[device];
                if device_state.boot == boot && device_state.wants_login && device_state.link.is_some() {
                    self.device_logs_in(device);
                }
            }
            Event::DeviceSyncsOrg { device, boot } => {
                if self.devices[device].boot == boot {
                    self.device_syncs_org(device);
                }
            }
            Event::ProbeWakes { probe } => self.on_probe_wakes(probe),
            Event::LullEnds => self.on_lull_ends(),
            Event::ProbesLeave => self.on_probes_leave(),
            Event::Operation => self.on_operation(),
            Event::Fault => self.on_fault(),
            Event::DiskHasSpace => self.store.set_full(false),
            Event::ReadsAgain { device } => self.on_reads_again(device),
            Event::Look => self.on_look(),
        }
    }

    /// Nothing goes wrong by itself at the moment.
    pub fn is_quiet(&self) -> bool {
        self.healed || self.lull.is_some()
    }

    pub fn finish(&mut self) {
        self.finished = true;
    }

    pub fn violation_if(&mut self, broken: bool, what: impl FnOnce() -> String) {
        self.model.violation_if(broken, what);
    }

    /// A frame is about to leave a shard for a client.
    pub fn check_shown(&mut self, link: LinkId, frame: &Bytes) {
        match wire::decode_event(&frame[wire::frame::LENGTH_LEN..]) {
            Ok(event) => {
                self.model.check_shown(&self.store, link, &event);
                self.model.check_scopes(link, event.request, &event.event, self.queue.now_us());
                if let EventBody::Closing(closing) = &event.event {
                    match Refusal::from_code(closing.code) {
                        Some(Refusal::EndedByUser) => self.tally.add(Fault::SessionEnded),
                        Some(Refusal::TakenOver) => self.tally.add(Fault::TakenOver),
                        _ => {}
                    }
                }
            }
            Err(error) => self.model.violate(format!("a shard built a frame that does not decode: {error}")),
        }
    }

    pub fn check_after_crash(&mut self) {
        self.model.check_promises(&self.store);
    }

    /// Gives the shard the bug that this world is to find.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&self, mut shard: Shard) -> Shard {
        let wanted = self.bug.as_deref();
        if let Some(bug) = shard::bugs::Bug::ALL.iter().find(|bug| wanted == Some(&format!("{bug:?}"))) {
            shard.plant(*bug);
        }
        shard
    }

    #[cfg(not(feature = "planted-bugs"))]
    pub fn plant(&self, shard: Shard) -> Shard {
        assert!(self.bug.is_none(), "bugs are planted only with the feature planted-bugs");
        shard
    }
}
