//! The seam between the ring and what it serves.

use std::time::Instant;

use wire::ConnectionId;

use super::bell::Tasks;
use super::close::CloseReason;
use super::connections::{ConnectionInfo, Connections};
use super::hand::Hand;
use crate::mesh::{Lane, Port};

/// What a driver may do: with connections, and with other shards.
pub struct Io<T> {
    pub connections: Connections,
    pub mesh: Port<T>,
    /// Work that has to wait for something runs here.
    pub tasks: Tasks,
    /// The start of this turn.
    pub now: Instant,
}

/// What a core serves. Called by its turn only, never concurrently; must not block.
///
/// Order within a turn: frames and closes as completions bring them, foreign items, the mesh (control, delivery,
/// ephemeral), the deadline, the end of the turn; then output leaves.
pub trait Driver: Sized + 'static {
    /// What shards send each other.
    type Item: Send + 'static;
    /// What other threads send to this core: answers of the store, requests of the administrator.
    type Foreign: Send + 'static;

    /// A connection was accepted here and its TLS handshake, if any, is done.
    fn on_opened(&mut self, io: &mut Io<Self::Item>, id: ConnectionId, info: &ConnectionInfo);
    /// A whole frame, without its length field. After `close`, `park` or `leave` no more come.
    fn on_frame(&mut self, io: &mut Io<Self::Item>, id: ConnectionId, frame: &[u8]);
    /// The peer announced a frame of `length` bytes, over its limit. What is sent now still goes out; then the
    /// connection is closed, and `on_closed` follows.
    fn on_frame_too_long(&mut self, io: &mut Io<Self::Item>, id: ConnectionId, length: usize);
    /// The connection takes part in nothing any more; what is queued still goes out if it can. Comes once for every
    /// connection opened or adopted here that did not leave, also after `close`.
    fn on_closed(&mut self, io: &mut Io<Self::Item>, id: ConnectionId, reason: CloseReason);
    /// Pushes are dropped from now on until `on_drained`. A reply that says so has room.
    fn on_overflowed(&mut self, io: &mut Io<Self::Item>, id: ConnectionId);
    /// Everything queued has been taken by the peer's socket; pushes are taken again.
    fn on_drained(&mut self, io: &mut Io<Self::Item>, id: ConnectionId);
    /// The connection has left this core and is in `hand`; dropping it closes the socket.
    fn on_left(&mut self, io: &mut Io<Self::Item>, id: ConnectionId, hand: Hand);
    /// An item from another shard, or from this one.
    fn on_mesh(&mut self, io: &mut Io<Self::Item>, from: u16, lane: Lane, item: Self::Item);
    /// An item from a thread outside.
    fn on_foreign(&mut self, io: &mut Io<Self::Item>, item: Self::Foreign);
    /// When `on_deadline` is due next.
    fn next_deadline(&self) -> Option<Instant>;
    /// The deadline has come.
    fn on_deadline(&mut self, io: &mut Io<Self::Item>);
    /// The turn ends: hand batches over now.
    fn on_turn_end(&mut self, io: &mut Io<Self::Item>);
    /// The node stops: no connection is accepted any more.
    fn on_stop(&mut self, io: &mut Io<Self::Item>);
    /// After `on_stop`: everything is said and committed, the connections may be closed.
    fn is_done(&self) -> bool;
}
