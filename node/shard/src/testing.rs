//! A small world for unit tests: shards over a store in memory, a mesh that is one queue, and clients that speak frames.
//! Whatever order it has is fixed; the simulator is what tries other orders.

mod client;
mod disk;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use record::{Batch, CommitOutcome, Query};
use wire::encode::Encoder;
use wire::ticket::{TicketKey, TicketKeys};
use wire::{ConnectionId, EventBody, EventFrame, ShardAddress, UserId};

use crate::admin::{AdminReply, AdminRequest};
use crate::config::{Config, ContactPolicy, IdleTimes, PlacementPolicy, SessionPolicy, StrangerPolicy};
use crate::connection::Transfer;
use crate::limits::DELIVERY_CREDITS;
use crate::mesh::MeshFrame;
use crate::{CloseReason, Effect, Effects, Input, Now, Ownership, Security, Shard};
use client::Client;

pub(crate) use client::{Login, refusal_of, resumed};
pub(crate) use disk::Disk;

/// A client of the world; stays the same when its connection moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(usize);

pub(crate) struct World {
    pub now: Now,
    pub config: Config,
    pub encoder: Encoder,
    /// While true, batches (or reads, or the mesh) stay where they are.
    pub hold_commits: bool,
    pub hold_loads: bool,
    pub hold_mesh: bool,
    /// The answer to batches.
    pub outcome: CommitOutcome,
    pub shards: Vec<Shard>,
    pub disk: Disk,
    /// Frames in flight: from, to, what.
    pub mesh: VecDeque<(ShardAddress, ShardAddress, MeshFrame)>,
    pub commits: VecDeque<(usize, Batch)>,
    pub loads: VecDeque<(usize, u64, Vec<Query>)>,
    moving: VecDeque<(ClientId, u16, Box<Transfer>)>,
    clients: Vec<Client>,
    by_connection: BTreeMap<ConnectionId, ClientId>,
    last_connection: u32,
    pub(crate) replies: Vec<(u64, AdminReply)>,
    pub stopped: Vec<u16>,
    pub fatal: Vec<String>,
    starts: u8,
    stretched: BTreeMap<(String, Vec<u8>), wire::scram::ClientKeys>,
}

/// The configuration of a world, to be changed before `World::with`.
pub(crate) fn config() -> Config {
    Config {
        term: 1,
        software: "test".into(),
        addresses: vec!["localhost:1".into()],
        registration_open: true,
        scram_iterations: 4_096,
        fake_salt_secret: [9; 32],
        ticket_keys: TicketKeys { current: TicketKey { id: 1, key: [1; 32] }, previous: None },
        ticket_ms: 3_600_000,
        code_ms: 60_000,
        recall_ms: 120_000,
        name_reserved_ms: 86_400_000,
        placement: PlacementPolicy::Home,
        placement_excess_percent: 25,
        login_ms_max: 15_000,
        idle: IdleTimes::all(60_000),
        sessions: SessionPolicy::Any,
        reconnect_ms_max: 1_000,
        connections_per_address_max: 10_000,
        unauthenticated_max: 10_000,
        messages_per_s_max: 0,
        queries_per_s_max: 0,
        light_per_s_max: 0,
        logins_per_s_max: 0,
        contacts: ContactPolicy::Open,
        strangers: StrangerPolicy::Silent,
        delivery_credits: DELIVERY_CREDITS,
        ephemeral: crate::config::EphemeralBounds::default(),
    }
}

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

impl World {
    pub fn new(shards: u16) -> Self {
        Self::with(shards, config())
    }

    pub fn with(shards: u16, config: Config) -> Self {
        let mut world = Self {
            now: Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 },
            config,
            encoder: Encoder::new(),
            hold_commits: false,
            hold_loads: false,
            hold_mesh: false,
            outcome: CommitOutcome::Committed,
            shards: Vec::new(),
            disk: Disk::default(),
            mesh: VecDeque::new(),
            commits: VecDeque::new(),
            loads: VecDeque::new(),
            moving: VecDeque::new(),
            clients: Vec::new(),
            by_connection: BTreeMap::new(),
            last_connection: 0,
            replies: Vec::new(),
            stopped: Vec::new(),
            fatal: Vec::new(),
            starts: 0,
            stretched: BTreeMap::new(),
        };
        world.start(shards);
        world
    }

    /// The node dies, with what is not on disk and all connections, and starts again with this number of shards.
    pub fn crash(&mut self, shards: u16) {
        self.shards.clear();
        self.mesh.clear();
        self.commits.clear();
        self.loads.clear();
        self.moving.clear();
        self.by_connection.clear();
        self.stopped.clear();
        for client in &mut self.clients {
            client.on_closed(None);
        }
        self.start(shards);
    }

    fn start(&mut self, shards: u16) {
        self.starts += 1;
        self.config.term = u64::from(self.starts);
        let ownership = Arc::new(Ownership::new(shards, 4));
        let config = Arc::new(self.config.clone());
        for number in 0..shards {
            let mut seed = [self.starts; 32];
            seed[0] = number as u8;
            let address = ShardAddress { node: 0, shard: number };
            self.shards.push(Shard::new(config.clone(), address, ownership.clone(), seed));
            let mut effects = Effects::default();
            self.shards[usize::from(number)].start(self.now, &mut effects);
            self.carry_out(usize::from(number), effects);
        }
        self.run();
    }

    // ---- clients ---------------------------------------------------------------------------------------------------

    /// Opens a plain loopback connection at this shard. Nothing is sent on it yet.
    pub fn open(&mut self, shard: u16) -> ClientId {
        self.open_as(shard, LOOPBACK, Security::Plain { loopback: true })
    }

    pub fn open_as(&mut self, shard: u16, peer: IpAddr, security: Security) -> ClientId {
        let client = ClientId(self.clients.len());
        let connection = self.new_connection(shard, client);
        self.clients.push(Client::new(connection));
        self.step(usize::from(shard), Input::Opened { connection, peer, security });
        self.run();
        client
    }

    /// Opens a connection and greets.
    pub fn connect(&mut self, shard: u16) -> ClientId {
        let client = self.open(shard);
        self.greet(client);
        client
    }

    pub fn greet(&mut self, client: ClientId) {
        let reply = self.reply(client, |encoder, request| {
            encoder.hello(
                request,
                &wire::message::Hello { version_min: 1, version_max: 1, features: 0, software: "" },
            )
        });
        assert!(matches!(reply, EventBody::Welcome(_)), "{reply:?}");
    }

    fn new_connection(&mut self, shard: u16, client: ClientId) -> ConnectionId {
        self.last_connection += 1;
        // Indexes are used again, as the ring does it.
        let index = (0..).find(|index| {
            !self.by_connection.keys().any(|other| other.shard == shard && other.index == *index)
        });
        let connection =
            ConnectionId { shard, index: index.expect("a free index"), generation: self.last_connection };
        self.by_connection.insert(connection, client);
        connection
    }

    /// Puts a whole frame on its way. Nothing happens until [`World::run`].
    pub fn send(&mut self, client: ClientId, frame: Bytes) {
        self.client_mut(client).outgoing.push_back(frame.slice(wire::frame::LENGTH_LEN..));
    }

    /// Sends a frame, lets everything happen, and gives what came.
    pub fn request(&mut self, client: ClientId, frame: Bytes) -> Vec<EventFrame> {
        self.send(client, frame);
        self.run();
        self.events(client)
    }

    /// Sends a command with a new request number and gives its reply; other events stay.
    pub fn reply(&mut self, client: ClientId, command: impl FnOnce(&mut Encoder, u32) -> Bytes) -> EventBody {
        let request = self.begin(client, command);
        self.run();
        self.reply_to(client, request).expect("the reply came")
    }

    /// Sends a command with a new request number.
    pub fn begin(&mut self, client: ClientId, command: impl FnOnce(&mut Encoder, u32) -> Bytes) -> u32 {
        let request = self.client_mut(client).next_request();
        let frame = command(&mut self.encoder, request);
        self.send(client, frame);
        request
    }

    /// Takes the reply to a request, if it came.
    pub fn reply_to(&mut self, client: ClientId, request: u32) -> Option<EventBody> {
        self.client_mut(client).take_reply(request)
    }

    /// Takes all events that came.
    pub fn events(&mut self, client: ClientId) -> Vec<EventFrame> {
        std::mem::take(&mut self.client_mut(client).events)
    }

    /// The client closes its socket.
    pub fn close(&mut self, client: ClientId) {
        self.on_closed(client, None);
        self.run();
    }

    /// The same, and nothing happens before [`World::run`].
    pub fn vanish(&mut self, client: ClientId) {
        self.on_closed(client, None);
    }

    /// Why the node closed the connection; `None` while it is open.
    pub fn closed(&self, client: ClientId) -> Option<CloseReason> {
        self.clients[client.0].closed
    }

    pub fn is_open(&self, client: ClientId) -> bool {
        self.clients[client.0].is_open
    }

    /// The shard that the connection is on.
    pub fn shard_of(&self, client: ClientId) -> u16 {
        self.clients[client.0].connection.shard
    }

    pub fn connection(&self, client: ClientId) -> ConnectionId {
        self.clients[client.0].connection
    }

    fn client_mut(&mut self, client: ClientId) -> &mut Client {
        &mut self.clients[client.0]
    }

    /// Tells the shard that pushes of this client were dropped, or that its queue is empty again.
    pub fn set_slow(&mut self, client: ClientId, slow: bool) {
        let connection = self.connection(client);
        let input = if slow { Input::Overflowed { connection } } else { Input::Drained { connection } };
        self.step(usize::from(connection.shard), input);
        self.run();
    }

    // ---- the node --------------------------------------------------------------------------------------------------

    pub fn home_of(&self, user: UserId) -> u16 {
        self.shard_of_slot(user.slot())
    }

    pub fn shard_of_slot(&self, slot: wire::Slot) -> u16 {
        Ownership::new(self.shards.len() as u16, 4).shard_of(slot)
    }

    pub fn admin(&mut self, shard: u16, request: AdminRequest) -> AdminReply {
        let token = 1_000 + self.replies.len() as u64;
        self.step(usize::from(shard), Input::Admin { token, request });
        self.run();
        let (answered, reply) = self.replies.pop().expect("the operator got an answer");
        assert_eq!(answered, token);
        reply
    }

    pub fn stop(&mut self) {
        for shard in 0..self.shards.len() {
            self.step(shard, Input::Stop);
        }
        self.run();
    }

    /// Time passes, in one jump.
    pub fn advance(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        for shard in 0..self.shards.len() {
            self.step(shard, Input::Tick);
        }
        self.run();
    }

    /// Anything a shard can do, and its effects.
    pub fn within(&mut self, shard: usize, work: impl FnOnce(&mut Shard)) {
        let mut effects = Effects::default();
        self.shards[shard].within(self.now, &mut effects, work);
        self.shards[shard].check_invariants();
        self.carry_out(shard, effects);
    }

    /// One input, and its effects.
    pub fn step(&mut self, shard: usize, input: Input<'_>) {
        let mut effects = Effects::default();
        self.shards[shard].step(self.now, input, &mut effects);
        self.shards[shard].check_invariants();
        self.carry_out(shard, effects);
    }

    /// Lets everything happen that can happen without time passing, but for the moment after which what is in no hurry
    /// happens.
    pub fn run(&mut self) {
        for _ in 0..10_000 {
            let mut is_quiet = !self.deliver();
            for shard in 0..self.shards.len() {
                self.step(shard, Input::TurnEnd);
            }
            is_quiet &= self.hold_mesh || self.mesh.is_empty();
            is_quiet &= !self.commit() && !self.load();
            if is_quiet && !self.pass_time() {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Until something that is in no hurry is due; false when there is nothing.
    fn pass_time(&mut self) -> bool {
        let due = |shard: &Shard| [shard.core.commits.next_deadline(), shard.lists.next_deadline()];
        let Some(due_ms) = self.shards.iter().flat_map(due).flatten().min() else { return false };
        self.now.mono_ms = self.now.mono_ms.max(due_ms);
        true
    }

    /// Frames of clients, connections that move, and the mesh.
    fn deliver(&mut self) -> bool {
        let mut something = false;
        loop {
            let mut moved = false;
            for number in 0..self.clients.len() {
                moved |= self.deliver_frame(ClientId(number));
            }
            while let Some((client, shard, transfer)) = self.moving.pop_front() {
                moved = true;
                if self.is_open(client) {
                    let connection = self.new_connection(shard, client);
                    let state = self.client_mut(client);
                    (state.connection, state.is_moving) = (connection, false);
                    self.step(usize::from(shard), Input::Adopted { connection, transfer });
                }
            }
            while !self.hold_mesh
                && let Some((from, to, frame)) = self.mesh.pop_front()
            {
                moved = true;
                self.step(usize::from(to.shard), Input::Mesh { from, frame });
            }
            if !moved {
                return something;
            }
            something = true;
        }
    }

    fn deliver_frame(&mut self, client: ClientId) -> bool {
        let state = self.client_mut(client);
        if !state.is_open || state.is_moving || state.is_waiting {
            return false;
        }
        let Some(frame) = state.outgoing.pop_front() else { return false };
        let connection = state.connection;
        state.is_waiting = !state.is_settled;
        let shard = usize::from(connection.shard);
        if frame.len() > state.frame_len_max {
            self.step(shard, Input::FrameTooLong { connection, length: frame.len() });
        } else {
            self.step(shard, Input::Frame { connection, frame: &frame });
        }
        true
    }

    fn commit(&mut self) -> bool {
        let mut something = false;
        while !self.hold_commits
            && let Some((shard, batch)) = self.commits.pop_front()
        {
            something = true;
            if self.outcome == CommitOutcome::Committed {
                self.disk.write(&batch.ops);
            }
            let (store_shard, number, outcome) = (batch.store_shard, batch.number, self.outcome);
            self.step(shard, Input::Committed { store_shard, number, outcome });
        }
        something
    }

    fn load(&mut self) -> bool {
        let mut something = false;
        while !self.hold_loads
            && let Some((shard, token, queries)) = self.loads.pop_front()
        {
            something = true;
            let rows = self.disk.read(&queries);
            self.step(shard, Input::Loaded { token, rows });
        }
        something
    }

    fn carry_out(&mut self, shard: usize, effects: Effects) {
        let from = ShardAddress { node: 0, shard: shard as u16 };
        for effect in effects.list {
            match effect {
                Effect::Send { connection, frame, .. } => self.on_send(connection, &frame),
                Effect::Close { connection, reason } => {
                    if let Some(client) = self.by_connection.get(&connection) {
                        self.on_closed(*client, Some(reason));
                    }
                }
                Effect::Settle { connection } => {
                    if let Some(client) = self.by_connection.get(&connection) {
                        let client = &mut self.clients[client.0];
                        (client.is_settled, client.is_waiting) = (true, false);
                    }
                }
                Effect::HandOff { connection, to, transfer } => {
                    let client = self.by_connection.remove(&connection).expect("it is open until it moves");
                    let state = self.client_mut(client);
                    assert!(!state.is_settled, "a settled connection does not move");
                    state.is_moving = true;
                    self.moving.push_back((client, to.shard, transfer));
                }
                Effect::FrameLenMax { connection, len_max } => {
                    if let Some(client) = self.by_connection.get(&connection) {
                        self.clients[client.0].frame_len_max = len_max;
                    }
                }
                Effect::Mesh { to, lane, frame } => {
                    assert_eq!(lane, frame.lane());
                    assert_ne!(to, from);
                    self.mesh.push_back((from, to, frame));
                }
                Effect::Load { token, queries, .. } => self.loads.push_back((shard, token, queries)),
                Effect::Commit(batch) => self.commits.push_back((shard, batch)),
                Effect::Reply { token, reply } => self.replies.push((token, reply)),
                Effect::Fatal { reason } => self.fatal.push(reason),
                Effect::Stopped => self.stopped.push(from.shard),
            }
        }
    }

    fn on_send(&mut self, connection: ConnectionId, frames: &Bytes) {
        let client =
            *self.by_connection.get(&connection).expect("nothing is sent to a connection that is gone");
        let state = self.client_mut(client);
        state.is_waiting = false;
        let events = wire::frame::frames(frames).map(|frame| wire::decode_event(frame).expect("an event"));
        state.events.extend(events);
    }

    fn on_closed(&mut self, client: ClientId, reason: Option<CloseReason>) {
        let state = self.client_mut(client);
        if !state.is_open {
            return;
        }
        state.on_closed(reason);
        let connection = state.connection;
        if self.by_connection.remove(&connection).is_some() {
            self.step(usize::from(connection.shard), Input::Closed { connection });
        }
    }
}
