//! The pure shard in its core: what the ring brings becomes an input, what the shard wants is carried out.
//!
//! After each step its effects are carried out at once and in order, so nothing of a step is left when the next one
//! begins.

mod clock;
mod counters;
mod effects;
mod gates;
mod lanes;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use shard::admin::AdminRequest;
use shard::connection::Transfer;
use shard::mesh::MeshFrame;
use shard::{Effects, Input, Ownership, Security, Shard};
use store::{Store, StoreAnswer};
use wire::{ConnectionId, ShardAddress};

use self::clock::Clock;
use self::gates::Gates;
use crate::admin::Replies;
use crate::boot::Halt;
use crate::mesh::Lane;
use crate::ring::{CloseReason, ConnectionInfo, Driver, Hand, Identity, Io, Remote};

pub use lanes::LANE_CAPACITIES;

/// The number of this node in addresses of shards. There is one node, so far.
pub const NODE: u16 = 0;
/// While the node stops, a shard that is done looks so often whether the others are.
const STOP_LOOK_EVERY: Duration = Duration::from_millis(5);
/// What the store had no room for is handed to it again after so long.
const RETRY_EVERY: Duration = Duration::from_millis(1);

/// What other threads send to a core.
#[derive(Debug)]
pub enum ShardForeign {
    Store(Vec<StoreAnswer>),
    Admin { token: u64, request: AdminRequest },
}

/// How other threads reach a core.
pub type ShardRemote = Remote<ShardForeign>;

/// What cores send each other.
pub enum ShardItem {
    Frame(MeshFrame),
    /// A connection with everything that belongs to it, on both sides.
    Connection {
        hand: Box<Hand>,
        transfer: Box<Transfer>,
    },
}

/// What one shard is made of.
pub struct ShardParts {
    pub index: u16,
    pub config: Arc<shard::Config>,
    pub ownership: Arc<Ownership>,
    pub seed: [u8; 32],
    pub store: Arc<Store>,
    pub replies: Arc<Replies>,
    pub halt: Halt,
    /// Shards that have nothing in flight any more. One counter for all shards of the node, from 0.
    pub stopped: Arc<AtomicU16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Serving,
    Stopping,
    /// This shard has nothing in flight any more; others may still have something for it.
    Stopped,
}

/// A shard at work.
pub struct ShardDriver {
    shard: Shard,
    index: u16,
    shards: u16,
    clock: Clock,
    stage: Stage,
    effects: Effects,
    store: Arc<Store>,
    replies: Arc<Replies>,
    halt: Halt,
    stopped: Arc<AtomicU16>,
    /// Which connections may hand out frames, and how many.
    gates: Gates,
    /// Connections on their way to another shard. Bounded by the connections of this core.
    leaving: HashMap<ConnectionId, (u16, Box<Transfer>)>,
    /// What the store had no room for. Bounded by what a shard may have in flight.
    put_off: effects::PutOff,
    commits: counters::Commits,
    /// Channel bindings by listener, so that connections share them.
    bindings: HashMap<u16, Option<Arc<[u8]>>>,
}

impl ShardDriver {
    pub fn new(parts: ShardParts) -> Self {
        let address = ShardAddress { node: NODE, shard: parts.index };
        Self {
            shards: parts.ownership.shards(),
            shard: Shard::new(parts.config, address, parts.ownership, parts.seed),
            index: parts.index,
            clock: Clock::new(),
            stage: Stage::New,
            effects: Effects::default(),
            store: parts.store,
            replies: parts.replies,
            halt: parts.halt,
            stopped: parts.stopped,
            gates: Gates::default(),
            leaving: HashMap::new(),
            put_off: effects::PutOff::default(),
            commits: counters::Commits::default(),
            bindings: HashMap::new(),
        }
    }

    /// One step of the shard, with all that follows from it outside.
    fn step(&mut self, io: &mut Io<ShardItem>, input: Input<'_>) {
        let now = self.clock.now(io.now);
        if self.stage == Stage::New {
            self.stage = Stage::Serving;
            self.shard.start(now, &mut self.effects);
        }
        self.shard.step(now, input, &mut self.effects);
        self.carry_out(io);
    }

    fn security(&mut self, info: &ConnectionInfo) -> Security {
        let binding = |identity: &Arc<Identity>| identity.endpoint.as_deref().map(Arc::from);
        match &info.identity {
            None => Security::Plain { loopback: info.peer.ip().is_loopback() },
            Some(identity) => {
                let binding = self.bindings.entry(info.listener).or_insert_with(|| binding(identity));
                Security::Tls { binding: binding.clone() }
            }
        }
    }

    fn handle_answer(&mut self, io: &mut Io<ShardItem>, answer: StoreAnswer) {
        match answer {
            StoreAnswer::Committed { store_shard, number, outcome } => {
                self.commits.end(store_shard.0);
                self.step(io, Input::Committed { store_shard, number, outcome });
            }
            StoreAnswer::Loaded { token, rows } => self.step(io, Input::Loaded { token, rows }),
            StoreAnswer::LoadFailed { what, .. } => {
                self.halt.fatal(format!("the store cannot be read: {what}"))
            }
        }
    }

    fn handle_connection(&mut self, io: &mut Io<ShardItem>, hand: Hand, transfer: Box<Transfer>) {
        // Where there is no room, the connection ends, counted by the ring; its shard-side state ends with it.
        let Some(connection) = io.connections.adopt(hand) else { return };
        // The command that it came with is answered first.
        self.gates.shut(connection);
        io.connections.park(connection);
        self.step(io, Input::Adopted { connection, transfer });
    }
}

impl Driver for ShardDriver {
    type Item = ShardItem;
    type Foreign = ShardForeign;

    fn on_opened(&mut self, io: &mut Io<ShardItem>, connection: ConnectionId, info: &ConnectionInfo) {
        self.gates.open(connection);
        let (peer, security) = (info.peer.ip().to_canonical(), self.security(info));
        self.step(io, Input::Opened { connection, peer, security });
    }

    fn on_frame(&mut self, io: &mut Io<ShardItem>, connection: ConnectionId, frame: &[u8]) {
        if self.gates.take_frame(connection) {
            io.connections.park(connection);
        }
        self.step(io, Input::Frame { connection, frame });
    }

    fn on_frame_too_long(&mut self, io: &mut Io<ShardItem>, connection: ConnectionId, length: usize) {
        self.step(io, Input::FrameTooLong { connection, length });
    }

    fn on_closed(&mut self, io: &mut Io<ShardItem>, connection: ConnectionId, _: CloseReason) {
        self.gates.remove(connection);
        // The shard has already parted with a connection that was to move.
        if self.leaving.remove(&connection).is_none() {
            self.step(io, Input::Closed { connection });
        }
    }

    fn on_overflowed(&mut self, io: &mut Io<ShardItem>, connection: ConnectionId) {
        if !self.leaving.contains_key(&connection) {
            self.step(io, Input::Overflowed { connection });
        }
    }

    fn on_drained(&mut self, io: &mut Io<ShardItem>, connection: ConnectionId) {
        if !self.leaving.contains_key(&connection) {
            self.step(io, Input::Drained { connection });
        }
    }

    fn on_left(&mut self, io: &mut Io<ShardItem>, connection: ConnectionId, hand: Hand) {
        self.gates.remove(connection);
        let (to, transfer) = self.leaving.remove(&connection).expect("it was asked to leave");
        lanes::send(
            &mut io.mesh,
            to,
            Lane::Control,
            ShardItem::Connection { hand: Box::new(hand), transfer },
        );
    }

    fn on_mesh(&mut self, io: &mut Io<ShardItem>, from: u16, _: Lane, item: ShardItem) {
        match item {
            ShardItem::Frame(frame) => {
                self.step(io, Input::Mesh { from: ShardAddress { node: NODE, shard: from }, frame });
            }
            ShardItem::Connection { hand, transfer } => self.handle_connection(io, *hand, transfer),
        }
    }

    fn on_foreign(&mut self, io: &mut Io<ShardItem>, item: ShardForeign) {
        match item {
            ShardForeign::Store(answers) => {
                for answer in answers {
                    self.handle_answer(io, answer);
                }
            }
            ShardForeign::Admin { token, request } => self.step(io, Input::Admin { token, request }),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let tick = self.shard.next_deadline().map(|ms| self.clock.instant(ms));
        let stop = (self.stage == Stage::Stopped).then(|| self.clock.last() + STOP_LOOK_EVERY);
        let retry = self.put_off.due();
        [tick, stop, retry].into_iter().flatten().min()
    }

    fn on_deadline(&mut self, io: &mut Io<ShardItem>) {
        if self.put_off.due().is_some_and(|due| due <= io.now) {
            self.clock.now(io.now); // what finds no room again waits from now on
            self.hand_in_again();
        }
        self.step(io, Input::Tick);
    }

    fn on_turn_end(&mut self, io: &mut Io<ShardItem>) {
        self.step(io, Input::TurnEnd);
    }

    fn on_stop(&mut self, io: &mut Io<ShardItem>) {
        self.stage = Stage::Stopping;
        self.step(io, Input::Stop);
    }

    fn is_done(&self) -> bool {
        self.stage == Stage::Stopped && self.stopped.load(Ordering::Acquire) >= self.shards
    }
}
