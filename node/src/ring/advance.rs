//! Brings the kernel up to date with the touched connections: at most one send, one receive and one cancel each.

use std::net::Shutdown;

use super::close::CloseReason;
use super::connections::{Connections, Event};
use super::hand::Hand;
use super::output::Submission;
use super::slot::{Life, Receive};
use super::tls::Sealing;
use super::uring::{Operation, Token, Uring};

impl Connections {
    /// Advances every touched connection. Later touches within this call are looked at too.
    pub(super) fn advance_touched(&mut self, uring: &mut Uring) {
        let mut position = 0;
        while let Some(&index) = self.touched.get(position) {
            position += 1;
            if let Some(connection) = self.at(index) {
                connection.touched = false;
                self.advance(index, uring);
            }
        }
        self.touched.clear();
    }

    fn advance(&mut self, index: u32, uring: &mut Uring) {
        let Some(connection) = self.at(index) else { return };
        if connection.life == Life::Dead {
            if connection.is_settled() {
                self.discard_output(index);
                self.remove(index);
            }
            return;
        }
        self.advance_output(index, uring);
        self.advance_receive(index, uring);
    }

    fn advance_output(&mut self, index: u32, uring: &mut Uring) {
        let Some(connection) = self.at(index) else { return };
        if connection.sending {
            return;
        }
        if connection.output.is_some() || connection.life == Life::Closing {
            self.load(index);
        }
        let Some(connection) = self.at(index) else { return };
        if connection.output.as_ref().is_some_and(|output| output.in_flight()) {
            self.submit(index, uring);
        } else if connection.output.as_ref().is_none_or(|output| output.is_empty()) {
            self.on_output_empty(index);
        }
    }

    /// Makes the next flight from what is queued.
    fn load(&mut self, index: u32) {
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        let closing = connection.life != Life::Open;
        let Some(tls) = &mut connection.tls else {
            if let Some(output) = &mut connection.output
                && !output.in_flight()
            {
                output.load_plain(&self.limits);
            }
            return;
        };
        let output = connection.output.get_or_insert_with(|| self.pool.output());
        if output.in_flight() {
            return;
        }
        let unread = &mut connection.unread;
        let unread_before = unread.len();
        if output.has_queued() {
            match tls.sealing(&mut output.records, |plain| unread.extend_from_slice(plain)) {
                Sealing::Ready => {
                    output
                        .seal_queued(&self.limits, &mut self.pool, |plain, records| tls.seal(plain, records));
                }
                Sealing::NotNow if closing => output.drop_unsealed(),
                Sealing::NotNow => {}
            }
        }
        if closing && !output.has_queued() {
            tls.say_goodbye(&mut output.records);
        }
        output.load_records();
        if connection.unread.len() > unread_before {
            self.make_ready(index);
        }
    }

    fn submit(&mut self, index: u32, uring: &mut Uring) {
        let (generation, socket) = self.token_parts(index);
        let deadline = self.tick_after(self.limits.write_stall_max);
        let Some(connection) = self.at(index) else { return };
        let Some(output) = &mut connection.output else { return };
        let token = Token { operation: Operation::Send, generation, index };
        let submission = output.submission();
        connection.sending = true;
        // A closing connection has a deadline for all of it, and so has a handshake.
        if connection.life == Life::Open && connection.told {
            self.set_deadline(index, deadline);
        }
        self.counters.sends += 1;
        match submission {
            // SAFETY: the bytes belong to the flight of a boxed output, which is changed and freed only after
            // `sending` is false again: at the completion of this token.
            Submission::One(bytes) => unsafe { uring.send(socket, token, bytes) },
            // SAFETY: as above; header and vector belong to the same output.
            Submission::Gathered(header) => unsafe { uring.send_gathered(socket, token, header) },
        }
    }

    fn on_output_empty(&mut self, index: u32) {
        self.discard_output(index);
        let (id, deadline) = (self.id(index), self.tick_after(self.limits.linger_max));
        let Some(connection) = self.at(index) else { return };
        match connection.life {
            Life::Open => {
                let overflowed = std::mem::replace(&mut connection.overflowed, false);
                let leaves = connection.leaving && connection.is_settled();
                if connection.told {
                    self.set_deadline(index, 0);
                }
                if overflowed {
                    self.events.push_back(Event::Drained(id));
                }
                if leaves {
                    self.part_with(index);
                }
            }
            Life::Closing if connection.peer_ended => self.kill(index, CloseReason::PeerClosed),
            Life::Closing => {
                connection.life = Life::Lingering;
                super::listen::shut_down(&connection.socket, Shutdown::Write);
                self.set_deadline(index, deadline);
            }
            Life::Lingering | Life::Dead => {}
        }
    }

    fn part_with(&mut self, index: u32) {
        let id = self.id(index);
        let connection = self.remove(index);
        self.counters.left += 1;
        let hand = Hand {
            socket: connection.socket,
            peer: connection.peer.into(),
            listener: connection.listener,
            identity: connection.identity,
            tls: connection.tls,
            unread: connection.unread,
            frame_bytes_max: connection.frame_bytes_max,
            bytes_received: connection.bytes_received,
        };
        self.events.push_back(Event::Left(id, hand));
    }

    fn advance_receive(&mut self, index: u32, uring: &mut Uring) {
        let Some(connection) = self.slots.get(index as usize).and_then(|slot| slot.connection.as_ref())
        else {
            return;
        };
        let (armed, cancelled, wants) = (connection.armed, connection.cancelled, connection.wants_receive());
        let (stands_still, receive) = (connection.stands_still(), connection.receive);
        let (generation, socket) = self.token_parts(index);
        let token = Token { operation: Operation::Receive, generation, index };
        let Some(connection) = self.at(index) else { return };
        if wants && !armed {
            connection.armed = true;
            connection.cancelled = false;
            match receive {
                Receive::Always => uring.receive_always(socket, token),
                Receive::Once | Receive::Parked => uring.receive_once(socket, token),
            }
        } else if stands_still && armed && !cancelled {
            connection.cancelled = true;
            uring.cancel(token);
        }
    }

    fn discard_output(&mut self, index: u32) {
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        assert!(!connection.sending, "the kernel still reads this output");
        if let Some(output) = connection.output.take() {
            self.pool.put(output);
        }
    }

    /// Reacts to the end of a send.
    pub(super) fn on_send_done(&mut self, index: u32, result: i32) {
        let deadline = self.tick_after(self.limits.write_stall_max);
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        connection.sending = false;
        let output = connection.output.as_mut().expect("an output lives while its send does");
        if result >= 0 {
            self.counters.bytes_sent += result as u64;
            if !output.on_sent(result as usize, &mut self.pool) {
                self.counters.sends_short += 1;
            }
            let (watched, more) = (connection.life == Life::Open && connection.told, !output.is_empty());
            if watched {
                self.set_deadline(index, if more { deadline } else { 0 });
            }
        } else {
            let retry = matches!(-result, libc::EINTR | libc::EAGAIN) && connection.life != Life::Dead;
            if !retry {
                output.abandon_flight();
                self.cut_off(index, CloseReason::PeerReset);
            }
        }
        self.touch(index);
    }

    /// The bytes that a TLS session made go out before everything that is queued later.
    pub(super) fn queue_records(&mut self, index: u32, records: &mut Vec<u8>) {
        if !records.is_empty() {
            if let Some(connection) = self.slots[index as usize].connection.as_mut() {
                let output = connection.output.get_or_insert_with(|| self.pool.output());
                output.records.extend_from_slice(records);
            }
            records.clear();
            self.touch(index);
        }
    }

    /// Looks at the deadlines of at most `budget` slots from `cursor` on; the next cursor, or `None` at the end.
    pub(super) fn sweep(&mut self, cursor: u32, budget: u32) -> Option<u32> {
        let end = cursor.saturating_add(budget).min(self.slots.len() as u32);
        for index in cursor..end {
            let now = self.now_tick;
            let Some(connection) = self.at(index) else { continue };
            if connection.deadline == 0 || connection.deadline > now {
                continue;
            }
            let reason = if connection.told { CloseReason::WriteStalled } else { CloseReason::TlsTooSlow };
            if connection.life == Life::Closing {
                self.counters.cut_off += 1;
            }
            self.cut_off(index, reason);
        }
        (end < self.slots.len() as u32).then_some(end)
    }
}
