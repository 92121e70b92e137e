//! The connections of one core: what the driver may do with them.
//!
//! Nothing here calls the kernel's ring: a change marks its connection as touched, and the turn brings the kernel up
//! to date once at its end ([`super::advance`]). A slot is freed, by closing or moving, only when nothing of it is in
//! the kernel.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::ConnectionId;

use super::certificate::Identity;
use super::close::{CloseReason, Counters};
use super::hand::Hand;
use super::handshakes::Handshakes;
use super::limits::Limits;
use super::output::{Frame, OutputPool, Priority, Room};
use super::slot::{Connection, Life, Receive, Slot};
use super::tls::Tls;
use super::uring::GENERATION_MASK;

/// Unit of a connection's deadline.
pub(super) const TICK: Duration = Duration::from_millis(16);

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    Queued,
    /// A push that found its queue full, or came before that queue was empty again.
    Dropped,
    /// There is no such connection any more, or it is being closed or moved.
    Gone,
}

/// What is known of a connection.
#[derive(Clone)]
pub struct ConnectionInfo {
    pub peer: SocketAddr,
    /// Position of its listener in the configuration.
    pub listener: u16,
    /// The certificate it was accepted with; `None` on a plain listener.
    pub identity: Option<Arc<Identity>>,
    /// Bytes received, as they came from the socket.
    pub bytes_received: u64,
}

/// What the driver is told later in the turn.
pub(super) enum Event {
    Closed(ConnectionId, CloseReason),
    Overflowed(ConnectionId),
    Drained(ConnectionId),
    Left(ConnectionId, Hand),
}

/// The connections of one core.
pub struct Connections {
    pub(super) shard: u16,
    pub(super) limits: Limits,
    pub(super) slots: Vec<Slot>,
    free: Vec<u32>,
    pub(super) open: usize,
    pub(super) touched: Vec<u32>,
    pub(super) ready: VecDeque<u32>,
    pub(super) events: VecDeque<Event>,
    pub(super) pool: OutputPool,
    pub(super) records: Vec<u8>,
    pub(super) counters: Counters,
    handshakes: Handshakes,
    /// Connections with a deadline.
    pub(super) watched: usize,
    start: Instant,
    pub(super) now_tick: u32,
}

impl Connections {
    pub(super) fn new(shard: u16, limits: Limits) -> Self {
        Self {
            shard,
            limits,
            slots: Vec::new(),
            free: Vec::new(),
            open: 0,
            touched: Vec::new(),
            ready: VecDeque::new(),
            events: VecDeque::new(),
            pool: OutputPool::default(),
            records: Vec::new(),
            counters: Counters::default(),
            handshakes: Handshakes::default(),
            watched: 0,
            start: Instant::now(),
            now_tick: 1,
        }
    }

    /// Connections in the table, closing ones included.
    pub fn len(&self) -> usize {
        self.open
    }

    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Bytes of frames that wait, beside what is in the kernel.
    pub fn output_bytes(&self) -> usize {
        self.pool.queued_bytes()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is known of an open connection.
    pub fn info(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        let connection = self.open_connection(id)?;
        Some(ConnectionInfo {
            peer: connection.peer.into(),
            listener: connection.listener,
            identity: connection.identity.clone(),
            bytes_received: connection.bytes_received,
        })
    }

    /// Queues a frame (length field included). It leaves at the end of the turn, with everything else queued for
    /// this connection. A push that finds no room is dropped and `on_overflowed` follows, once until `on_drained`.
    pub fn send<'a>(&mut self, id: ConnectionId, frame: impl Into<Frame<'a>>, priority: Priority) -> Sent {
        let Some(connection) = self.slots.get_mut(id.index as usize).and_then(|slot| slot.of(id)) else {
            return Sent::Gone;
        };
        if connection.life != Life::Open || connection.leaving {
            return Sent::Gone;
        }
        if connection.overflowed && priority == Priority::Push {
            self.counters.pushes_dropped += 1;
            return Sent::Dropped;
        }
        let output = connection.output.get_or_insert_with(|| self.pool.output());
        match (output.queue(frame.into(), priority, &self.limits, &mut self.pool), priority) {
            (Room::Taken, _) => {
                self.touch(id.index);
                Sent::Queued
            }
            (Room::Full, Priority::Push) => {
                output.drop_pushes();
                connection.overflowed = true;
                self.counters.pushes_dropped += 1;
                self.counters.overflowed += 1;
                self.events.push_back(Event::Overflowed(id));
                self.touch(id.index);
                Sent::Dropped
            }
            (Room::Full, Priority::Reply) => {
                self.cut_off(id.index, CloseReason::ReplyOverflow);
                Sent::Gone
            }
        }
    }

    /// Closes after what is queued has gone out, within `linger_max`. `on_closed` follows.
    pub fn close(&mut self, id: ConnectionId) {
        if self.open_connection(id).is_some() {
            self.begin_close(id.index, CloseReason::Asked);
        }
    }

    /// Longest frame it may send from now on, in bytes behind the length field.
    pub fn set_frame_bytes_max(&mut self, id: ConnectionId, bytes: u32) {
        if let Some(connection) = self.open_connection_mut(id) {
            connection.frame_bytes_max = bytes;
        }
    }

    /// Stops receiving and handing out frames; what arrives is kept, up to `unread_bytes_max`.
    pub fn park(&mut self, id: ConnectionId) {
        if let Some(connection) = self.open_connection_mut(id) {
            connection.receive = Receive::Parked;
        }
    }

    /// Goes on after [`Connections::park`], one receive at a time.
    pub fn resume(&mut self, id: ConnectionId) {
        self.set_receive(id, Receive::Once);
    }

    /// The connection stays here: its receive is armed for good. Ends a [`Connections::park`] too.
    pub fn arm_multishot(&mut self, id: ConnectionId) {
        self.set_receive(id, Receive::Always);
    }

    fn set_receive(&mut self, id: ConnectionId, receive: Receive) {
        if let Some(connection) = self.open_connection_mut(id) {
            connection.receive = receive;
            self.make_ready(id.index);
            self.touch(id.index);
        }
    }

    /// Takes the connection off this core: `on_left` follows with all that belongs to it, as soon as its output has
    /// gone out and nothing of it is in the kernel; or `on_closed` if it ends before. `again` is a frame (without
    /// its length field) that the new core is to see first.
    pub fn leave(&mut self, id: ConnectionId, again: Option<&[u8]>) {
        let Some(connection) = self.open_connection_mut(id) else { return };
        if connection.leaving {
            return;
        }
        connection.leaving = true;
        if let Some(frame) = again {
            let length = u32::try_from(frame.len()).expect("a frame is far below 4 GiB").to_le_bytes();
            let rest = std::mem::take(&mut connection.unread);
            connection.unread.reserve_exact(length.len() + frame.len() + rest.len());
            for part in [&length[..], frame, &rest] {
                connection.unread.extend_from_slice(part);
            }
        }
        self.touch(id.index);
    }

    /// Takes in a connection from another core. `None`: this core is full, and the connection is closed.
    pub fn adopt(&mut self, hand: Hand) -> Option<ConnectionId> {
        if self.open >= self.limits.connections_max {
            self.counters.closed[CloseReason::ConnectionsFull as usize] += 1;
            return None;
        }
        let mut connection = self.connection(hand.socket, hand.peer, hand.listener);
        connection.identity = hand.identity;
        connection.tls = hand.tls;
        connection.unread = hand.unread;
        connection.frame_bytes_max = hand.frame_bytes_max;
        connection.bytes_received = hand.bytes_received;
        connection.told = true;
        let id = self.insert(connection);
        self.counters.adopted += 1;
        self.make_ready(id.index);
        Some(id)
    }

    /// Takes in an accepted socket. The driver hears of it now, or after the TLS handshake, which has to end within
    /// `handshake_max`. `None`: it is closed at once, with a counted reason.
    pub(super) fn open(
        &mut self,
        socket: OwnedFd,
        listener: u16,
        identity: Option<&Arc<Identity>>,
    ) -> Option<ConnectionId> {
        if self.open >= self.limits.connections_max {
            self.counters.closed[CloseReason::ConnectionsFull as usize] += 1;
            return None;
        }
        let Ok(peer) = super::listen::peer_address(&socket) else {
            self.counters.closed[CloseReason::PeerReset as usize] += 1;
            return None;
        };
        let mut connection = self.connection(socket, peer, listener);
        if let Some(identity) = identity {
            if let Err(reason) = self.handshakes.enter(peer, &self.limits) {
                self.counters.closed[reason as usize] += 1;
                return None;
            }
            let Ok(tls) = Tls::new(identity.config.clone()) else {
                self.handshakes.leave(peer);
                self.counters.closed[CloseReason::TlsFailed as usize] += 1;
                return None;
            };
            connection.tls = Some(Box::new(tls));
            connection.shaking = true;
            connection.identity = Some(identity.clone());
        }
        self.counters.accepted += 1;
        let secured = connection.tls.is_some();
        let id = self.insert(connection);
        if secured {
            self.set_deadline(id.index, self.tick_after(self.limits.handshake_max));
        }
        Some(id)
    }

    fn connection(&self, socket: OwnedFd, peer: SocketAddr, listener: u16) -> Connection {
        Connection {
            socket,
            life: Life::Open,
            receive: Receive::Once,
            armed: false,
            cancelled: false,
            sending: false,
            starved: false,
            leaving: false,
            touched: false,
            ready: false,
            overflowed: false,
            peer_ended: false,
            shaking: false,
            told: false,
            listener,
            frame_bytes_max: self.limits.frame_bytes_max,
            deadline: 0,
            peer: peer.into(),
            bytes_received: 0,
            identity: None,
            tls: None,
            unread: Vec::new(),
            output: None,
        }
    }

    fn insert(&mut self, connection: Connection) -> ConnectionId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, connection: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        assert!(slot.connection.is_none(), "slot {index} is taken");
        slot.connection = Some(connection);
        self.open += 1;
        let generation = slot.generation;
        self.touch(index);
        ConnectionId { shard: self.shard, index, generation }
    }

    /// The TLS handshake is done, or the connection ends without it.
    pub(super) fn end_handshake(&mut self, index: u32) {
        let Some(connection) = self.at(index) else { return };
        if std::mem::replace(&mut connection.shaking, false) {
            let peer = connection.peer;
            self.handshakes.leave(peer.into());
        }
    }

    /// Frees the slot; late completions and ids of the old owner no longer match it.
    pub(super) fn remove(&mut self, index: u32) -> Connection {
        self.set_deadline(index, 0);
        self.end_handshake(index);
        let slot = &mut self.slots[index as usize];
        let connection = slot.connection.take().expect("only taken slots are freed");
        assert!(connection.is_settled(), "slot {index} is freed while the kernel has something of it");
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push(index);
        self.open -= 1;
        connection
    }

    pub(super) fn id(&self, index: u32) -> ConnectionId {
        ConnectionId { shard: self.shard, index, generation: self.slots[index as usize].generation }
    }

    pub(super) fn at(&mut self, index: u32) -> Option<&mut Connection> {
        self.slots.get_mut(index as usize)?.connection.as_mut()
    }

    /// The connection of a completion or an id, if it is still the one.
    pub(super) fn of(&mut self, index: u32, generation: u32) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation == generation { slot.connection.as_mut() } else { None }
    }

    fn open_connection(&self, id: ConnectionId) -> Option<&Connection> {
        let slot = self.slots.get(id.index as usize)?;
        let connection = slot.connection.as_ref()?;
        let same = slot.generation == id.generation && id.shard == self.shard;
        (same && connection.life == Life::Open).then_some(connection)
    }

    fn open_connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.open_connection(id)?;
        self.at(id.index)
    }

    /// The turn looks at this connection before it ends.
    pub(super) fn touch(&mut self, index: u32) {
        let Some(connection) = self.at(index) else { return };
        if !connection.touched {
            connection.touched = true;
            self.touched.push(index);
        }
    }

    /// A turn processes the kept input of this connection.
    pub(super) fn make_ready(&mut self, index: u32) {
        let Some(connection) = self.at(index) else { return };
        if !connection.ready && !connection.unread.is_empty() {
            connection.ready = true;
            self.ready.push_back(index);
        }
    }

    /// Takes no more input; what is queued goes out. Does nothing to a connection that is already closing.
    pub(super) fn begin_close(&mut self, index: u32, reason: CloseReason) {
        let deadline = self.tick_after(self.limits.linger_max);
        let Some(connection) = self.at(index) else { return };
        if connection.life != Life::Open {
            return;
        }
        connection.life = Life::Closing;
        connection.leaving = false;
        connection.unread = Vec::new();
        self.set_deadline(index, deadline);
        self.tell_closed(index, reason);
    }

    /// Cuts the connection off: nothing more is sent or received, and what the kernel still holds of it is thrown
    /// away (otherwise megabytes for a peer that does not read).
    pub(super) fn cut_off(&mut self, index: u32, reason: CloseReason) {
        if let Some(connection) = self.at(index) {
            super::listen::reset_on_close(&connection.socket);
        }
        self.kill(index, reason);
    }

    /// Ends the connection: nothing more is sent or received.
    pub(super) fn kill(&mut self, index: u32, reason: CloseReason) {
        let Some(connection) = self.at(index) else { return };
        let life = std::mem::replace(&mut connection.life, Life::Dead);
        if life == Life::Dead {
            return;
        }
        connection.leaving = false;
        connection.unread = Vec::new();
        if let Some(output) = &mut connection.output {
            output.drop_queued();
        }
        super::listen::shut_down(&connection.socket, std::net::Shutdown::Both);
        self.set_deadline(index, 0);
        if life == Life::Open {
            self.tell_closed(index, reason);
        }
        self.touch(index);
    }

    fn tell_closed(&mut self, index: u32, reason: CloseReason) {
        self.counters.closed[reason as usize] += 1;
        let id = self.id(index);
        tracing::debug!(?id, reason = reason.name(), "connection closes");
        if self.at(index).is_some_and(|connection| connection.told) {
            self.events.push_back(Event::Closed(id, reason));
        }
        self.touch(index);
    }

    /// Closes every open connection.
    pub(super) fn close_all(&mut self, reason: CloseReason) {
        for index in 0..self.slots.len() as u32 {
            self.begin_close(index, reason);
        }
    }

    pub(super) fn set_now(&mut self, now: Instant) {
        self.now_tick = ticks(now.saturating_duration_since(self.start)) + 1;
    }

    pub(super) fn tick_after(&self, wait: Duration) -> u32 {
        self.now_tick.saturating_add(ticks(wait)).saturating_add(1)
    }

    pub(super) fn set_deadline(&mut self, index: u32, deadline: u32) {
        let Some(connection) = self.at(index) else { return };
        let before = std::mem::replace(&mut connection.deadline, deadline);
        self.watched = self.watched + (deadline != 0) as usize - (before != 0) as usize;
    }

    pub(super) fn token_parts(&self, index: u32) -> (u32, i32) {
        let slot = &self.slots[index as usize];
        let connection = slot.connection.as_ref().expect("only taken slots have requests");
        (slot.generation, connection.socket.as_raw_fd())
    }
}

impl Slot {
    fn of(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        if self.generation == id.generation { self.connection.as_mut() } else { None }
    }
}

fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX - 2)
}
