//! The sockets of the node, as the ring would have them.

use bytes::Bytes;
use shard::connection::Transfer;
use shard::{CloseReason, Input, SendClass};
use wire::{ConnectionId, ShardAddress};

use super::ConnectionInput;
use crate::sim::faults::Fault;
use crate::sim::network::{Actor, Cut, LinkId, Side, WINDOW_BYTES};
use crate::sim::queue::Event;
use crate::sim::world::World;

/// How long a closing connection may take to send what is queued.
const LINGER_US: u64 = 2_000_000;
/// Frames of one connection handled in one turn; the rest waits for the next.
const FRAMES_PER_TURN: usize = 32;

impl World {
    /// The node accepts a link on one of its shards, or is not there.
    pub fn on_accept(&mut self, link: LinkId) {
        let shards = self.shards();
        let stopping = self.node.as_ref().is_none_or(|node| node.stopping);
        if self.network.link(link).is_none_or(|link| !link.actor_open) {
            return;
        }
        if stopping {
            self.queue.after(50, Event::Ended { link, at: Side::Actor });
            return;
        }
        let shard = self.machine.stream.below(u64::from(shards)) as u16;
        let connection = self.host(shard).issue(link);
        self.trace.note(self.queue.now_us(), &[30, u64::from(link), u64::from(shard)], &[], || {
            format!("link {link} is accepted as {connection:?}")
        });
        self.network.link(link).expect("open").accept(connection);
        self.host(shard).connections.push_back(ConnectionInput::Opened(link));
        self.wake(shard, 5);
        self.actor_connected(link);
    }

    pub(super) fn take_opened(&mut self, life: u32, shard: u16, link: LinkId) {
        let Some(connection) = self.connection_of(link) else { return };
        let peer = self.peer_of(link);
        let security = self.security.clone();
        self.step(life, shard, Input::Opened { connection, peer, security });
        self.make_ready(link);
    }

    pub(super) fn take_adopted(&mut self, life: u32, shard: u16, link: LinkId, transfer: Box<Transfer>) {
        let Some(connection) = self.connection_of(link) else { return };
        self.step(life, shard, Input::Adopted { connection, transfer });
        self.make_ready(link);
    }

    pub fn connection_of(&mut self, link: LinkId) -> Option<ConnectionId> {
        self.network.node_end(link)?.connection
    }

    /// The shard of a link looks at it in its next turn.
    pub fn make_ready(&mut self, link: LinkId) {
        let Some(connection) = self.connection_of(link) else { return };
        self.host(connection.shard).connections.push_back(ConnectionInput::Ready(link));
        self.wake(connection.shard, 5);
    }

    /// Hands over whole frames: of an unsettled connection one, and the next when something was heard of it.
    pub(super) fn take_ready(&mut self, life: u32, shard: u16, link: LinkId) {
        for _ in 0..FRAMES_PER_TURN {
            let Some(end) = self.network.node_end(link) else { return };
            let Some(connection) = end.connection.filter(|id| id.shard == shard) else { return };
            if end.closing {
                break;
            }
            if !end.settled && end.waiting {
                break;
            }
            match end.unread.cut(end.frame_len_max) {
                Cut::Nothing => break,
                Cut::Frame(frame) => {
                    end.waiting = true;
                    self.step(life, shard, Input::Frame { connection, frame: &frame });
                }
                Cut::TooLong(length) => {
                    end.unread.clear();
                    end.waiting = true;
                    self.step(life, shard, Input::FrameTooLong { connection, length });
                }
            }
            if !self.is_alive(life) {
                return;
            }
        }
        let Some(end) = self.network.node_end(link) else { return };
        let waits = !end.settled && end.waiting;
        let whole = !end.unread.is_empty() && !end.closing;
        if end.ended {
            self.close_now(link);
        } else if whole && !waits && self.has_frame(link) {
            self.make_ready(link);
        }
    }

    fn has_frame(&mut self, link: LinkId) -> bool {
        self.network.node_end(link).is_some_and(|end| end.unread.has_frame())
    }

    fn end_of(&mut self, connection: ConnectionId) -> Option<LinkId> {
        let link = *self.host(connection.shard).links.get(&connection)?;
        Some(link)
    }

    /// The connection may hand over its next frame.
    fn heard(&mut self, link: LinkId) {
        let Some(end) = self.network.node_end(link) else { return };
        let waited = std::mem::replace(&mut end.waiting, false);
        if waited && !end.settled && !end.unread.is_empty() {
            self.make_ready(link);
        }
    }

    /// One or more whole frames.
    pub(super) fn queue_frames(&mut self, connection: ConnectionId, frames: &Bytes, class: SendClass) {
        let mut begin = 0;
        for frame in wire::frame::frames(frames) {
            let end = begin + wire::frame::LENGTH_LEN + frame.len();
            self.queue_frame(connection, frames.slice(begin..end), class);
            begin = end;
        }
    }

    fn queue_frame(&mut self, connection: ConnectionId, frame: Bytes, class: SendClass) {
        let Some(link) = self.end_of(connection) else { return };
        self.trace.note(self.queue.now_us(), &[31, u64::from(link), class as u64], &frame, || {
            let event = wire::decode_event(&frame[wire::frame::LENGTH_LEN..]);
            format!("to link {link} as {class:?}: {event:?}")
        });
        self.check_shown(link, &frame);
        let push_bytes_max = self.machine.push_bytes_max;
        let Some(end) = self.network.links.get_mut(&link).and_then(|link| link.node.as_mut()) else { return };
        let output = &mut end.output;
        if class == SendClass::Push && output.overflowed {
            return;
        }
        if class == SendClass::Push && output.push_bytes + frame.len() > push_bytes_max {
            output.overflowed = true;
            output.drop_pushes(&mut self.network.stream);
            self.tally.add(Fault::Overflow);
            self.overflowed.push(connection);
        } else {
            output.push(frame, class);
        }
        self.heard(link);
        self.flush(link);
    }

    /// Tells a shard about queues that overflowed while it was at work.
    pub fn tell_overflowed(&mut self) {
        while let Some(connection) = self.overflowed.pop() {
            let life = self.machine.life;
            if self.node.is_some() && self.end_of(connection).is_some() {
                self.step(life, connection.shard, Input::Overflowed { connection });
                self.wake(connection.shard, 5);
            }
        }
    }

    /// Sends what the window takes.
    pub fn flush(&mut self, link_id: LinkId) {
        loop {
            let now_us = self.queue.now_us();
            let Some(link) = self.network.link(link_id) else { return };
            let Some(end) = &mut link.node else { return };
            if link.down.in_flight >= WINDOW_BYTES {
                return;
            }
            let Some(frame) = end.output.pop() else { break };
            link.down.in_flight += frame.len();
            let split = self.network.stream.chance(50).then(|| self.network.stream.index(frame.len()));
            for part in [frame.slice(..split.unwrap_or(0)), frame.slice(split.unwrap_or(0)..)] {
                if !part.is_empty() {
                    let arrival = self.network.arrival(link_id, Side::Actor, now_us);
                    let at_us = arrival.expect("the link is there");
                    self.queue.at(at_us, Event::Bytes { link: link_id, to: Side::Actor, bytes: part });
                }
            }
        }
        let Some(end) = self.network.node_end(link_id) else { return };
        if end.closing {
            self.close_now(link_id);
        } else if std::mem::replace(&mut end.output.overflowed, false)
            && let Some(connection) = end.connection
        {
            self.host(connection.shard).connections.push_back(ConnectionInput::Drained(connection));
            self.wake(connection.shard, 5);
        }
    }

    pub(super) fn begin_close(&mut self, connection: ConnectionId, reason: CloseReason) {
        let Some(link) = self.end_of(connection) else { return };
        self.trace.note(self.queue.now_us(), &[32, u64::from(link)], &[], || {
            format!("closing link {link}: {reason:?}")
        });
        let Some(end) = self.network.node_end(link) else { return };
        end.closing = true;
        let life = self.machine.life;
        self.queue.after(LINGER_US, Event::Linger { life, link });
        self.flush(link);
    }

    pub fn on_linger(&mut self, life: u32, link: LinkId) {
        if self.is_alive(life) && self.network.node_end(link).is_some_and(|end| end.closing) {
            self.close_now(link);
        }
    }

    /// The socket is gone: the shard is told, and the other side finds out.
    pub fn close_now(&mut self, link_id: LinkId) {
        let Some(link) = self.network.link(link_id) else { return };
        let Some(connection) = link.node.as_ref().and_then(|end| end.connection) else { return };
        link.node = None;
        let now_us = self.queue.now_us();
        if let Some(at_us) = self.network.arrival(link_id, Side::Actor, now_us) {
            self.queue.at(at_us, Event::Ended { link: link_id, at: Side::Actor });
        }
        self.host(connection.shard).links.remove(&connection);
        self.network.sweep(link_id);
        self.closings.push(connection);
    }

    /// Tells shards about sockets that are gone.
    pub fn tell_closed(&mut self) {
        while let Some(connection) = self.closings.pop() {
            let life = self.machine.life;
            self.step(life, connection.shard, Input::Closed { connection });
            if self.is_alive(life) {
                self.wake(connection.shard, 5);
            }
        }
    }

    pub(super) fn settle(&mut self, connection: ConnectionId) {
        let Some(link) = self.end_of(connection) else { return };
        if let Some(end) = self.network.node_end(link) {
            end.settled = true;
            end.waiting = false;
        }
        self.make_ready(link);
    }

    pub(super) fn set_frame_len_max(&mut self, connection: ConnectionId, len_max: usize) {
        let Some(link) = self.end_of(connection) else { return };
        if let Some(end) = self.network.node_end(link) {
            end.frame_len_max = len_max;
        }
    }

    /// The connection leaves this shard with all its bytes, and is on its way for a moment.
    pub(super) fn hand_off(&mut self, connection: ConnectionId, to: ShardAddress, transfer: Box<Transfer>) {
        let Some(link) = self.end_of(connection) else { return };
        self.tally.add(Fault::HandOff);
        self.trace.note(self.queue.now_us(), &[33, u64::from(link), u64::from(to.shard)], &[], || {
            format!("link {link} moves to shard {}", to.shard)
        });
        self.host(connection.shard).links.remove(&connection);
        let Some(end) = self.network.node_end(link) else { return };
        end.connection = None;
        end.waiting = false;
        if !end.unread.is_empty() {
            self.tally.add(Fault::HandOffWithBytes);
        }
        let delay_us = self.machine.stream.between(1, 2_000);
        let life = self.machine.life;
        self.queue.after(delay_us, Event::Adopt { life, to: to.shard, link, transfer });
    }

    pub fn on_adopt(&mut self, life: u32, to: u16, link: LinkId, transfer: Box<Transfer>) {
        if !self.is_alive(life) || self.network.node_end(link).is_none() {
            return;
        }
        let connection = self.host(to).issue(link);
        self.network.node_end(link).expect("known").connection = Some(connection);
        self.host(to).connections.push_back(ConnectionInput::Adopted(link, transfer));
        self.wake(to, 5);
    }

    /// Bytes of a client arrive.
    pub fn on_bytes_at_node(&mut self, link: LinkId, bytes: &Bytes) {
        let Some(end) = self.network.node_end(link) else { return };
        if end.closing || end.ended {
            return;
        }
        end.unread.push(bytes);
        self.make_ready(link);
    }

    /// The node notices that a client is gone.
    pub fn on_ended_at_node(&mut self, link: LinkId) {
        let Some(end) = self.network.node_end(link) else { return };
        end.ended = true;
        end.unread.clear();
        self.make_ready(link);
    }

    /// The node has died: every client finds out, some of them late.
    pub(super) fn drop_all_links(&mut self) {
        self.overflowed.clear();
        self.closings.clear();
        let links: Vec<_> = self.network.links.keys().copied().collect();
        for id in links {
            let delay_us = self.network.delay_us();
            let Some(link) = self.network.link(id) else { continue };
            link.cut();
            if link.node.take().is_some() && link.actor_open {
                self.queue.after(delay_us, Event::Ended { link: id, at: Side::Actor });
            }
            self.network.sweep(id);
        }
    }

    fn peer_of(&mut self, link: LinkId) -> std::net::IpAddr {
        let last = match self.network.link(link).map(|link| link.actor) {
            Some(Actor::Device(device)) => [10, 0, 1, device as u8 + 1],
            Some(Actor::Probe(probe)) => [10, 0, 2, probe as u8 + 1],
            None => [10, 0, 3, 1],
        };
        last.into()
    }
}
