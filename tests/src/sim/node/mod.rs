//! The simulated node: real shards, with everything around them (sockets, mesh, committers, clocks) played.

mod committers;
mod sockets;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use record::{Rows, StoreShardId};
use shard::config::{
    ContactPolicy, EphemeralBounds, IdleTimes, PlacementPolicy, SessionPolicy, StrangerPolicy,
};
use shard::connection::Transfer;
use shard::mesh::{Lane, MeshFrame};
use shard::{Config, Effects, Now, Ownership, Shard};
use store::StoreAnswer;
use wire::ticket::{TicketKey, TicketKeys};
use wire::{ConnectionId, ShardAddress};

use super::faults::Fault;
use super::network::LinkId;
use super::queue::Event;
use super::random::Stream;
use super::world::World;

/// Unix milliseconds at which every world starts.
const WALL_START_MS: u64 = 1_790_000_000_000;
/// A node that was told to stop is gone after so long, or it is a violation.
const STOP_US_MAX: u64 = 20_000_000;

/// What a connection has for its shard.
#[derive(Debug)]
pub enum ConnectionInput {
    Opened(LinkId),
    Adopted(LinkId, Box<Transfer>),
    /// There are bytes, or it ended.
    Ready(LinkId),
    Drained(ConnectionId),
}

/// What the store has for a shard.
#[derive(Debug)]
pub enum StoreInput {
    Loaded { token: u64, rows: Vec<Rows> },
    Committed(StoreAnswer),
}

/// One shard and what waits for it.
pub struct Host {
    pub shard: Shard,
    pub address: ShardAddress,
    pub connections: VecDeque<ConnectionInput>,
    pub control: VecDeque<(u16, MeshFrame)>,
    pub delivery: VecDeque<(u16, MeshFrame)>,
    pub store: VecDeque<StoreInput>,
    pub turn_at_us: Option<u64>,
    pub stopped: bool,
    links: BTreeMap<ConnectionId, LinkId>,
    generations: BTreeMap<u32, u32>,
    lane_full_seen: u64,
    presence_lost_seen: u64,
}

impl Host {
    /// An id for a new connection: the lowest free place, in its next generation.
    fn issue(&mut self, link: LinkId) -> ConnectionId {
        let taken = |index: u32| self.links.keys().any(|id| id.index == index);
        let index = (0..).find(|index| !taken(*index)).expect("fewer connections than numbers");
        let generation = self.generations.entry(index).or_default();
        *generation += 1;
        let id = ConnectionId { shard: self.address.shard, index, generation: *generation };
        self.links.insert(id, link);
        id
    }
}

/// One life of the node.
pub struct Node {
    pub hosts: Vec<Host>,
    pub stopping: bool,
    pub ownership: Arc<Ownership>,
    lane_arrivals: BTreeMap<(u16, u16, Lane), u64>,
}

/// What outlives the lives of a node.
pub struct Machine {
    /// Everybody may write to everybody; otherwise only contacts to each other.
    pub open: bool,
    pub life: u32,
    pub wall_offset_ms: i64,
    pub commit_us_max: u64,
    pub push_bytes_max: usize,
    pub stream: Stream,
    pub effects: Effects,
    shards_before: u16,
    fake_salt_secret: [u8; 32],
    ticket_key: [u8; 32],
}

impl Machine {
    pub fn new(seed: u64) -> Self {
        let mut stream = Stream::new(seed, "node");
        Self {
            life: 0,
            open: Stream::new(seed, "contacts").chance(600),
            wall_offset_ms: 0,
            commit_us_max: *stream.pick(&[400, 3_000, 30_000]),
            push_bytes_max: *stream.pick(&[1_500, 6_000, 64 * 1024]),
            fake_salt_secret: stream.bytes(),
            ticket_key: stream.bytes(),
            shards_before: 0,
            effects: Effects::default(),
            stream,
        }
    }

    fn config(&mut self, term: u64) -> Config {
        let open = self.open;
        let stream = &mut self.stream;
        Config {
            term,
            software: "simulation".into(),
            addresses: vec!["10.1.1.1:7000".into()],
            registration_open: true,
            scram_iterations: wire::scram::ITERATIONS_MIN,
            fake_salt_secret: self.fake_salt_secret,
            ticket_keys: TicketKeys { current: TicketKey { id: 1, key: self.ticket_key }, previous: None },
            code_ms: 60_000,
            recall_ms: 120_000,
            name_reserved_ms: 60_000,
            ticket_ms: *stream.pick(&[5_000, 86_400_000]),
            placement: *stream.pick(&[PlacementPolicy::Home, PlacementPolicy::LeastLoaded]),
            placement_excess_percent: 25,
            login_ms_max: *stream.pick(&[1_500, 15_000]),
            idle: idle_times(stream),
            sessions: *stream.pick(&[SessionPolicy::Any, SessionPolicy::OnePerClass]),
            reconnect_ms_max: 300,
            connections_per_address_max: *stream.pick(&[4, 64]),
            unauthenticated_max: *stream.pick(&[12, 1_000]),
            messages_per_s_max: *stream.pick(&[0, 0, 100]),
            queries_per_s_max: *stream.pick(&[0, 0, 100]),
            light_per_s_max: 0,
            logins_per_s_max: *stream.pick(&[0, 0, 5]),
            contacts: if open { ContactPolicy::Open } else { ContactPolicy::Required },
            strangers: StrangerPolicy::Silent,
            delivery_credits: *stream.pick(&[1, 2, 8, 8_192]),
            ephemeral: *stream.pick(&[
                EphemeralBounds { credits: 1, pending_max: 2 },
                EphemeralBounds { credits: 1, pending_max: 3 },
                EphemeralBounds::default(),
            ]),
        }
    }
}

fn idle_times(stream: &mut Stream) -> IdleTimes {
    let mut time_ms = || *stream.pick(&[3_000, 20_000]);
    IdleTimes { desktop_ms: time_ms(), mobile_ms: time_ms(), web_ms: time_ms(), bot_ms: time_ms() }
}

impl World {
    /// The clocks as the node reads them.
    pub fn node_now(&self) -> Now {
        let mono_ms = self.queue.now_ms();
        Now { mono_ms, wall_ms: (WALL_START_MS + mono_ms).saturating_add_signed(self.machine.wall_offset_ms) }
    }

    pub fn shards(&self) -> u16 {
        self.node.as_ref().map_or(0, |node| node.hosts.len() as u16)
    }

    /// A new life begins: maybe with another number of shards, always with what is on disk.
    pub fn node_start(&mut self) {
        if self.node.is_some() {
            return;
        }
        self.machine.life += 1;
        let shards = self.machine.stream.between(3, 6) as u16;
        if self.machine.shards_before != 0 && self.machine.shards_before != shards {
            self.tally.add(Fault::OtherCoreCount);
        }
        self.machine.shards_before = shards;
        let config = Arc::new(self.machine.config(self.store.term()));
        self.model.one_per_class = config.sessions == SessionPolicy::OnePerClass;
        let ownership = Arc::new(Ownership::new(shards, self.store.store_shards()));
        let life = self.machine.life;
        let note = [1, u64::from(life), u64::from(shards)];
        let credits = config.delivery_credits;
        self.trace.note(self.queue.now_us(), &note, &[], || {
            format!("node starts: life {life}, {shards} shards, {credits} delivery credits")
        });
        let mut hosts = Vec::new();
        for number in 0..shards {
            let address = ShardAddress { node: 0, shard: number };
            let seed = self.machine.stream.bytes();
            let shard = Shard::new(config.clone(), address, ownership.clone(), seed);
            hosts.push(Host {
                shard: self.plant(shard),
                address,
                connections: VecDeque::new(),
                control: VecDeque::new(),
                delivery: VecDeque::new(),
                store: VecDeque::new(),
                turn_at_us: None,
                stopped: false,
                links: BTreeMap::new(),
                generations: BTreeMap::new(),
                lane_full_seen: 0,
                presence_lost_seen: 0,
            });
        }
        self.node = Some(Node { hosts, stopping: false, ownership, lane_arrivals: BTreeMap::new() });
        for number in 0..shards {
            let now = self.node_now();
            let Some(node) = &mut self.node else { return };
            node.hosts[usize::from(number)].shard.start(now, &mut self.machine.effects);
            self.carry_out(number);
            self.wake(number, 10);
        }
    }

    /// The node is gone from one moment to the next, with a part of what was on its way to the disk.
    pub fn node_crash(&mut self, why: &str) {
        self.take_counters();
        if self.node.take().is_none() {
            return;
        }
        self.tally.add(Fault::Crash);
        let life = self.machine.life;
        self.trace.note(self.queue.now_us(), &[2, u64::from(life)], &[], || format!("node crashes: {why}"));
        self.machine.effects.list.clear();
        self.crash_store();
        self.operator.forget();
        self.drop_all_links();
        self.check_after_crash();
        let down_us = *self.machine.stream.pick(&[1_000, 50_000, 800_000]);
        let down_us = self.machine.stream.between(500, down_us);
        self.queue.after(down_us, Event::NodeStarts);
    }

    /// The node is told to stop in an orderly way.
    pub fn node_stop(&mut self) {
        let Some(node) = &mut self.node else { return };
        if node.stopping {
            return;
        }
        node.stopping = true;
        self.tally.add(Fault::GracefulStop);
        self.trace.note(self.queue.now_us(), &[3], &[], || "node is told to stop".into());
        self.stop_by_us = self.queue.now_us() + STOP_US_MAX;
        let life = self.machine.life;
        for number in 0..self.shards() {
            self.step(life, number, shard::Input::Stop);
            self.wake(number, 10);
        }
    }

    /// All shards have said that nothing is in flight.
    fn node_stopped(&mut self) {
        self.trace.note(self.queue.now_us(), &[4], &[], || "node has stopped".into());
        self.take_counters();
        let Some(_) = self.node.take() else { return };
        // The store is closed last and writes what it was given.
        self.store.crash(|_, pending| pending);
        self.operator.forget();
        self.drop_all_links();
        self.check_after_crash();
        let down_us = self.machine.stream.between(500, 200_000);
        self.queue.after(down_us, Event::NodeStarts);
    }

    /// Adds up what the shards of this life have counted, before it is over.
    pub fn take_counters(&mut self) {
        let hosts = self.node.iter().flat_map(|node| &node.hosts);
        for (name, count) in hosts.flat_map(|host| host.shard.counters().lines()) {
            *self.counters.entry(name).or_default() += count;
        }
    }

    /// The number of a store shard as the trace has it.
    fn number(store_shard: StoreShardId) -> u64 {
        u64::from(store_shard.0)
    }
}
