//! The shards of one node over a store in memory, with a meter around each step that is counted. Everything outside
//! [`Shard::step`] (the mesh, the store, the clients) is done here and is never counted.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use record::{Batch, CommitOutcome, Query, Row, Rows};
use shard::config::{ContactPolicy, PlacementPolicy, StrangerPolicy};
use shard::connection::Transfer;
use shard::mesh::MeshFrame;
use shard::{Config, Effect, Effects, Input, Now, Ownership, Security, Shard};
use wire::ticket::{TicketKey, TicketKeys};
use wire::{ConnectionId, EventBody, ShardAddress};

use crate::meter::Meter;

/// Most turns in a row without coming to rest: a bound on what one command may cause.
const TURNS_MAX: usize = 1_000;
const STORE_SHARDS: u16 = 4;

/// A client, whichever shard its connection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(usize);

/// What waits for a shard's next turn.
enum Waiting {
    Opened(ConnectionId),
    Adopted(ConnectionId, Box<Transfer>),
    Frame(ConnectionId, Bytes),
    Closed(ConnectionId),
    Mesh(ShardAddress, MeshFrame),
    Loaded(u64, Vec<Rows>),
    Committed(record::StoreShardId, u64),
}

#[derive(Debug)]
struct Client {
    connection: ConnectionId,
    /// The last answer to a command of this client.
    answer: Option<EventBody>,
}

/// One node. The same calls give the same steps.
pub struct Node {
    /// Off: steps are taken, and not counted.
    pub is_counting: bool,
    pub meter: Meter,
    now: Now,
    shards: Vec<Shard>,
    waiting: Vec<VecDeque<Waiting>>,
    rows: BTreeMap<Bytes, Bytes>,
    clients: Vec<Client>,
    by_connection: BTreeMap<ConnectionId, ClientId>,
    last_generation: u32,
    effects: Effects,
}

fn config() -> Config {
    Config {
        term: 1,
        software: "counts".into(),
        addresses: vec!["localhost:1".into()],
        registration_open: true,
        scram_iterations: wire::scram::ITERATIONS_MIN,
        fake_salt_secret: [9; 32],
        ticket_keys: TicketKeys { current: TicketKey { id: 1, key: [1; 32] }, previous: None },
        ticket_ms: 3_600_000,
        code_ms: 60_000,
        recall_ms: 120_000,
        name_reserved_ms: 0,
        placement: PlacementPolicy::Home,
        placement_excess_percent: 25,
        login_ms_max: 15_000,
        idle: shard::config::IdleTimes::all(3_600_000),
        sessions: shard::config::SessionPolicy::Any,
        reconnect_ms_max: 1_000,
        connections_per_address_max: 10_000,
        unauthenticated_max: 10_000,
        messages_per_s_max: 0,
        queries_per_s_max: 0,
        light_per_s_max: 0,
        logins_per_s_max: 0,
        contacts: ContactPolicy::Open,
        strangers: StrangerPolicy::Silent,
        delivery_credits: shard::limits::DELIVERY_CREDITS,
        ephemeral: shard::config::EphemeralBounds::default(),
    }
}

impl Node {
    pub fn new(shards: u16) -> Self {
        let config = Arc::new(config());
        let ownership = Arc::new(Ownership::new(shards, STORE_SHARDS));
        let new_shard = |number| {
            let address = ShardAddress { node: 0, shard: number };
            Shard::new(config.clone(), address, ownership.clone(), [number as u8 + 1; 32])
        };
        let mut node = Self {
            is_counting: false,
            meter: Meter::default(),
            now: Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 },
            shards: (0..shards).map(new_shard).collect(),
            waiting: (0..shards).map(|_| VecDeque::new()).collect(),
            rows: BTreeMap::new(),
            clients: Vec::new(),
            by_connection: BTreeMap::new(),
            last_generation: 0,
            effects: Effects::default(),
        };
        for number in 0..shards {
            node.shards[usize::from(number)].start(node.now, &mut node.effects);
            node.carry_out(number);
        }
        node.run();
        node
    }

    /// Plants a fault in every shard.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: shard::bugs::Bug) {
        self.shards.iter_mut().for_each(|shard| shard.plant(bug));
    }

    // ---- clients ---------------------------------------------------------------------------------------------------

    /// A plain loopback connection at this shard. Happens in the next [`Node::run`], like all that follows.
    pub fn open(&mut self, shard: u16) -> ClientId {
        let client = ClientId(self.clients.len());
        let connection = self.new_connection(shard, client);
        self.clients.push(Client { connection, answer: None });
        self.waiting[usize::from(shard)].push_back(Waiting::Opened(connection));
        client
    }

    /// A whole frame, length field included.
    pub fn send(&mut self, client: ClientId, frame: &Bytes) {
        let connection = self.clients[client.0].connection;
        let frame = frame.slice(wire::frame::LENGTH_LEN..);
        self.waiting[usize::from(connection.shard)].push_back(Waiting::Frame(connection, frame));
    }

    pub fn close(&mut self, client: ClientId) {
        let connection = self.clients[client.0].connection;
        if self.by_connection.remove(&connection).is_some() {
            self.waiting[usize::from(connection.shard)].push_back(Waiting::Closed(connection));
        }
    }

    /// Takes the last answer to a command of this client.
    pub fn take_answer(&mut self, client: ClientId) -> Option<EventBody> {
        self.clients[client.0].answer.take()
    }

    pub fn shard_of(&self, client: ClientId) -> u16 {
        self.clients[client.0].connection.shard
    }

    /// Index 0 upwards, the lowest one that is free, as the ring gives them.
    fn new_connection(&mut self, shard: u16, client: ClientId) -> ConnectionId {
        self.last_generation += 1;
        let mut index = 0;
        for used in self.by_connection.keys().filter(|used| used.shard == shard) {
            if used.index != index {
                break;
            }
            index += 1;
        }
        let connection = ConnectionId { shard, index, generation: self.last_generation };
        self.by_connection.insert(connection, client);
        connection
    }

    // ---- turns -----------------------------------------------------------------------------------------------------

    /// Gives turns to the shards that have something to do, until none has.
    pub fn run(&mut self) {
        self.now.mono_ms += 1;
        self.now.wall_ms += 1;
        for _ in 0..TURNS_MAX {
            let Some(shard) = self.waiting.iter().position(|waiting| !waiting.is_empty()) else { return };
            self.turn(shard as u16);
        }
        panic!("the node does not come to rest");
    }

    fn turn(&mut self, shard: u16) {
        // What comes up meanwhile belongs to the next turn.
        for waiting in std::mem::take(&mut self.waiting[usize::from(shard)]) {
            match waiting {
                Waiting::Opened(connection) => {
                    let (peer, security) =
                        (IpAddr::V4(Ipv4Addr::LOCALHOST), Security::Plain { loopback: true });
                    self.step(shard, Input::Opened { connection, peer, security });
                }
                Waiting::Adopted(connection, transfer) => {
                    self.step(shard, Input::Adopted { connection, transfer });
                }
                Waiting::Frame(connection, frame) => {
                    self.step(shard, Input::Frame { connection, frame: &frame });
                }
                Waiting::Closed(connection) => self.step(shard, Input::Closed { connection }),
                Waiting::Mesh(from, frame) => self.step(shard, Input::Mesh { from, frame }),
                Waiting::Loaded(token, rows) => self.step(shard, Input::Loaded { token, rows }),
                Waiting::Committed(store_shard, number) => {
                    let outcome = CommitOutcome::Committed;
                    self.step(shard, Input::Committed { store_shard, number, outcome });
                }
            }
        }
        let deadline = self.shards[usize::from(shard)].next_deadline();
        if deadline.is_some_and(|deadline| deadline <= self.now.mono_ms) {
            self.step(shard, Input::Tick);
        }
        self.step(shard, Input::TurnEnd);
    }

    fn step(&mut self, shard: u16, input: Input<'_>) {
        let state = &mut self.shards[usize::from(shard)];
        if self.is_counting {
            self.meter.step(state, self.now, input, &mut self.effects);
        } else {
            state.step(self.now, input, &mut self.effects);
        }
        self.carry_out(shard);
    }

    fn carry_out(&mut self, number: u16) {
        let from = ShardAddress { node: 0, shard: number };
        let mut effects = std::mem::take(&mut self.effects.list);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { connection, frame, .. } => self.on_send(connection, &frame),
                Effect::Close { reason, .. } => panic!("a connection is closed: {reason:?}"),
                Effect::Settle { .. } | Effect::FrameLenMax { .. } => {}
                Effect::HandOff { connection, to, transfer } => {
                    let client = self.by_connection.remove(&connection).expect("it is open until it moves");
                    let moved = self.new_connection(to.shard, client);
                    self.clients[client.0].connection = moved;
                    self.waiting[usize::from(to.shard)].push_back(Waiting::Adopted(moved, transfer));
                }
                Effect::Mesh { to, frame, .. } => {
                    self.waiting[usize::from(to.shard)].push_back(Waiting::Mesh(from, frame));
                }
                Effect::Load { token, queries, .. } => {
                    let rows = queries.iter().map(|query| self.read(query)).collect();
                    self.waiting[usize::from(number)].push_back(Waiting::Loaded(token, rows));
                }
                Effect::Commit(batch) => {
                    self.write(&batch);
                    let answer = Waiting::Committed(batch.store_shard, batch.number);
                    self.waiting[usize::from(number)].push_back(answer);
                }
                Effect::Reply { .. } | Effect::Stopped => panic!("nobody asked for it"),
                Effect::Fatal { reason } => panic!("{reason}"),
            }
        }
        // The ring uses one list for all turns, too.
        self.effects.list = effects;
    }

    fn on_send(&mut self, connection: ConnectionId, frames: &Bytes) {
        let client = *self.by_connection.get(&connection).expect("an open connection");
        for frame in wire::frame::frames(frames) {
            let event = wire::decode_event(frame).expect("a whole event");
            if event.request != 0 {
                self.clients[client.0].answer = Some(event.event);
            }
        }
    }

    // ---- the store -------------------------------------------------------------------------------------------------

    /// Copies, as a store does: the shard's buffers are free again afterwards.
    fn write(&mut self, batch: &Batch) {
        for op in batch.ops.iter() {
            let key = op.key.to_vec();
            match &op.value {
                Some(value) => self.rows.insert(key.into(), value.to_vec().into()),
                None => self.rows.remove(key.as_slice()),
            };
        }
    }

    fn read(&self, query: &Query) -> Rows {
        let row = |(key, value): (&Bytes, &Bytes)| Row { key: key.clone(), value: value.clone() };
        match query {
            Query::Get(key) => {
                Rows { rows: self.rows.get_key_value(key).map(row).into_iter().collect(), more: false }
            }
            Query::Range { from, to, reverse, rows_max, bytes_max } => {
                let range = self.rows.range(from.clone()..to.clone());
                let mut range: Box<dyn Iterator<Item = _>> =
                    if *reverse { Box::new(range.rev()) } else { Box::new(range) };
                let (mut rows, mut bytes) = (Vec::new(), 0);
                while rows.len() < *rows_max as usize && bytes < *bytes_max as usize {
                    let Some(next) = range.next() else { return Rows { rows, more: false } };
                    bytes += next.1.len();
                    rows.push(row(next));
                }
                Rows { more: range.next().is_some(), rows }
            }
        }
    }
}
