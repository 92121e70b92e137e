//! What goes into a shard and what comes out. Both are closed sets: there is no other way in or out.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use record::{Batch, CommitOutcome, Query, Rows, StoreShardId};
use wire::{ConnectionId, ShardAddress};

use crate::admin::{AdminReply, AdminRequest};
use crate::connection::Transfer;
use crate::mesh::{Lane, MeshFrame};

/// The two clocks, as arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds of a clock that never goes back. All deadlines use it.
    pub mono_ms: u64,
    /// Unix milliseconds; may jump either way. Shown to people, and decides the validity of tickets.
    pub wall_ms: u64,
}

/// How a connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Nothing is encrypted. `loopback`: the peer is on this machine.
    Plain { loopback: bool },
    /// TLS; `binding` is `tls-server-end-point` (RFC 5929) of the certificate, where it is defined.
    Tls { binding: Option<Arc<[u8]>> },
}

/// Something happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection was accepted here; with TLS, its handshake is done.
    Opened { connection: ConnectionId, peer: IpAddr, security: Security },
    /// A connection arrived from another shard, by [`Effect::HandOff`].
    Adopted { connection: ConnectionId, transfer: Box<Transfer> },
    /// A whole frame, without its length field. Until [`Effect::Settle`] they come one at a time: the next one after an
    /// effect for this connection.
    Frame { connection: ConnectionId, frame: &'a [u8] },
    /// The peer announced a frame over the limit last set for this connection. Nothing more is read from it.
    FrameTooLong { connection: ConnectionId, length: usize },
    /// The socket is gone, whoever ended it. The id is not used again.
    Closed { connection: ConnectionId },
    /// Pushes queued for this connection were dropped, since it reads too slowly. Comes once until `Drained`.
    Overflowed { connection: ConnectionId },
    /// The queue of this connection is empty again after `Overflowed`.
    Drained { connection: ConnectionId },
    /// From another shard. Frames of one lane from one shard come in the order in which they were sent.
    Mesh { from: ShardAddress, frame: MeshFrame },
    /// Answers [`Effect::Load`]: one `Rows` per query.
    Loaded { token: u64, rows: Vec<Rows> },
    /// Answers [`Effect::Commit`]. Batches of one store shard are answered in order.
    Committed { store_shard: StoreShardId, number: u64, outcome: CommitOutcome },
    /// Time passed; sent at least when `next_deadline` is reached.
    Tick,
    /// From the admin socket.
    Admin { token: u64, request: AdminRequest },
    /// The node is to stop: refuse what is new, tell clients to move, finish what is in flight, then [`Effect::Stopped`].
    Stop,
    /// The last input of every turn: changes are handed to the committers, marks that waited for room are sent.
    TurnEnd,
}

/// What a frame to a client is worth when its queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendClass {
    /// Never dropped; bounded by the commands in flight.
    Reply,
    /// Dropped on overflow, then told by [`Input::Overflowed`].
    Push,
    /// `SyncNeeded` and the like: room for one is reserved.
    Notice,
}

/// Why the shard closes a connection; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CloseReason {
    UnsupportedVersion,
    FrameTooLong,
    Malformed,
    LoginTimeout,
    Idle,
    TooManyFailures,
    TooManyFromAddress,
    TooManyConnections,
    LoggedOut,
    /// The user's home ended the session: its device logged in again, or somebody who may ended it.
    SessionEnded,
    Stopping,
}

/// What a shard wants done outside itself. Carried out in order.
#[derive(Debug)]
pub enum Effect {
    /// One or more whole frames back to back, length fields included. More than one are together no longer than
    /// [`crate::limits::FRAMES_TOGETHER_BYTES_MAX`].
    Send {
        connection: ConnectionId,
        frame: Bytes,
        class: SendClass,
    },
    /// Sends what is queued, then closes. `Closed` follows.
    Close {
        connection: ConnectionId,
        reason: CloseReason,
    },
    /// The connection stays on this shard from now on: receive without a stop (multishot) from here.
    Settle {
        connection: ConnectionId,
    },
    /// Moves the connection, with all bytes not yet handled, to another shard. The command that waits for the move is in
    /// the transfer: the ring sends no frame again. No input for this id follows.
    HandOff {
        connection: ConnectionId,
        to: ShardAddress,
        transfer: Box<Transfer>,
    },
    /// Longest frame to accept on this connection from now on.
    FrameLenMax {
        connection: ConnectionId,
        len_max: usize,
    },
    Mesh {
        to: ShardAddress,
        lane: Lane,
        frame: MeshFrame,
    },
    /// Reads from one snapshot of one store shard.
    Load {
        token: u64,
        store_shard: StoreShardId,
        queries: Vec<Query>,
    },
    Commit(Batch),
    Reply {
        token: u64,
        reply: AdminReply,
    },
    /// The store answered that its state is unknown or owned by another: the node must stop with this reason.
    Fatal {
        reason: String,
    },
    /// Nothing is in flight any more after [`Input::Stop`].
    Stopped,
}

/// Effects of one or more steps, in order.
#[derive(Debug, Default)]
pub struct Effects {
    pub list: Vec<Effect>,
}

impl Effects {
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }
}
