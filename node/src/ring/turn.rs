//! The loop of a core.
//!
//! One turn: completions, kept input, items of other threads, the mesh (control all, delivery and ephemeral within
//! their budgets), the deadline, the driver's end of turn; then one send per touched connection and one batch per
//! peer shard. Without work the core sleeps. Tasks beside the main loop get the core in every turn while there are
//! any, and the executor's own reactor gets a pass about every millisecond ([`super::bell`]).

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use wire::ConnectionId;

use super::bell::Bell;
use super::close::{CloseReason, Counters};
use super::connections::Event;
use super::driver::{Driver, Io};
use super::input;
use super::listen::Listener;
use super::remote::Remote;
use super::slot::Life;
use super::uring::{Completion, Operation, Token, Uring};
use crate::mesh::Lane;

/// Slots looked at for deadlines in one turn.
const SWEEP_SLOTS_PER_TURN: u32 = 4096;
/// Between two looks at all deadlines, at most.
const SWEEP_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A listener and its accept.
struct Accepting {
    listener: Listener,
    armed: bool,
    paused_until: Option<Instant>,
}

impl Accepting {
    /// By its place in the configuration: that of another does not change it.
    fn token(&self) -> Token {
        Token { operation: Operation::Accept, generation: 0, index: self.listener.index.into() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// The driver is finishing.
    Asked(Instant),
    /// Connections are closing.
    Closing(Instant),
}

/// Looking at the deadlines of connections.
struct Sweep {
    cursor: Option<u32>,
    next: Instant,
    pause: Duration,
}

/// One core at work.
pub(super) struct Turn<D: Driver> {
    driver: D,
    io: Io<D::Item>,
    uring: Uring,
    accepting: Vec<Accepting>,
    remote: Arc<Remote<D::Foreign>>,
    foreign: Vec<D::Foreign>,
    completions: Vec<Completion>,
    starved: VecDeque<ConnectionId>,
    sweep: Sweep,
    stop: Stop,
}

impl<D: Driver> Turn<D> {
    pub fn new(
        driver: D,
        io: Io<D::Item>,
        uring: Uring,
        listeners: Vec<Listener>,
        remote: Arc<Remote<D::Foreign>>,
    ) -> Self {
        let limits = &io.connections.limits;
        let pause = (limits.write_stall_max.min(limits.linger_max) / 4)
            .clamp(Duration::from_millis(5), SWEEP_PAUSE_MAX);
        let sweep = Sweep { cursor: None, next: io.now, pause };
        let accepting = listeners
            .into_iter()
            .map(|listener| Accepting { listener, armed: false, paused_until: None })
            .collect();
        Self {
            driver,
            io,
            uring,
            accepting,
            remote,
            foreign: Vec::new(),
            completions: Vec::new(),
            starved: VecDeque::new(),
            sweep,
            stop: Stop::No,
        }
    }

    /// Runs until stopped; nothing is in the kernel afterwards.
    pub async fn run(mut self, mut bell: Bell) -> Counters {
        let mut last_pass = Instant::now();
        let mut empty_turns = 0;
        loop {
            let worked = self.turn();
            if self.is_over() {
                break;
            }
            let tasks = self.io.tasks.are_running();
            if tasks && self.io.now.duration_since(last_pass) > self.io.connections.limits.reactor_pass {
                bell.ring();
                bell.wait(self.io.tasks.knock(), None).await;
                last_pass = self.io.now;
            }
            empty_turns = if worked || self.has_work() { 0 } else { empty_turns + 1 };
            if tasks && empty_turns < self.io.connections.limits.empty_turns_max {
                glommio::executor().yield_task_queue_now().await;
            } else if empty_turns > 0 {
                self.sleep(&mut bell).await;
                empty_turns = 0;
            }
        }
        self.uring.disarm_doorbell();
        self.uring.buffers.publish();
        assert!(self.uring.buffers.all_free(), "a receive buffer was lost");
        self.io.mesh.close();
        bell.put_away().await;
        self.io.connections.counters
    }

    /// Sleeps until something is to be done; does not if something is already.
    async fn sleep(&mut self, bell: &mut Bell) {
        self.uring.arm_doorbell(self.remote.doorbell().counter());
        let tasks = self.io.tasks.are_running();
        if tasks {
            self.uring.enable_bell(); // before the last look into the kernel: what comes later rings it
        }
        self.uring.enter();
        self.remote.doorbell().fall_asleep();
        fence(Ordering::SeqCst); // others ring, and the kernel writes to the bell, only for what comes after this
        if !self.has_work() && self.remote.is_stopping() == self.is_stopping() {
            self.io.connections.counters.sleeps += 1;
            let deadline = self.next_deadline();
            if tasks {
                bell.wait(self.io.tasks.knock(), deadline).await;
            } else {
                self.uring.wait(deadline.map(|at| at.saturating_duration_since(Instant::now())));
            }
        }
        self.remote.doorbell().wake_up();
        if tasks {
            self.uring.disable_bell();
        }
    }

    /// One turn; true if there was anything to do.
    fn turn(&mut self) -> bool {
        self.io.now = Instant::now();
        self.io.connections.set_now(self.io.now);
        self.io.connections.counters.turns += 1;
        self.take_stop();
        self.arm_listeners();
        if self.uring.wants_enter() {
            self.uring.enter();
        }
        let mut worked = self.take_completions();
        worked |= self.take_ready();
        worked |= self.take_foreign();
        worked |= self.take_mesh();
        if self.driver.next_deadline().is_some_and(|deadline| deadline <= self.io.now) {
            self.driver.on_deadline(&mut self.io);
            worked = true;
        }
        self.sweep_deadlines();
        self.tell_events();
        self.driver.on_turn_end(&mut self.io);
        self.uring.buffers.publish();
        self.rearm_starved();
        self.io.connections.advance_touched(&mut self.uring);
        worked |= self.tell_events();
        self.io.mesh.publish();
        if self.uring.wants_enter() {
            self.uring.enter();
        }
        worked
    }

    fn has_work(&mut self) -> bool {
        let connections = &self.io.connections;
        self.uring.has_work()
            || !connections.touched.is_empty()
            || !connections.ready.is_empty()
            || !connections.events.is_empty()
            || !self.starved.is_empty()
            || self.io.mesh.has_work()
            || self.remote.has_items()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let sweep = (self.io.connections.watched > 0).then_some(self.sweep.next);
        let sweep = if self.sweep.cursor.is_some() { Some(self.io.now) } else { sweep };
        let accepts = self.accepting.iter().filter_map(|accepting| accepting.paused_until).min();
        let stop = match self.stop {
            Stop::No => None,
            Stop::Asked(since) | Stop::Closing(since) => Some(since + self.io.connections.limits.stop_max),
        };
        [self.driver.next_deadline(), sweep, accepts, stop].into_iter().flatten().min()
    }

    fn take_completions(&mut self) -> bool {
        let budget = self.io.connections.limits.completions_per_turn;
        let mut completions = std::mem::take(&mut self.completions);
        self.uring.reap(&mut completions, budget);
        if completions.len() == budget {
            self.io.connections.counters.completions_budget_used_up += 1;
        }
        let worked = !completions.is_empty();
        for completion in completions.drain(..) {
            match completion.token.operation {
                Operation::Accept => self.on_accept(completion),
                Operation::Receive => self.on_receive(completion),
                Operation::Send => self.on_send(completion),
                Operation::Cancel | Operation::Doorbell => {}
            }
        }
        self.completions = completions;
        worked
    }

    fn on_receive(&mut self, completion: Completion) {
        let Token { index, generation, .. } = completion.token;
        if completion.buffer.is_some() {
            self.uring.buffers.taken();
        }
        let known = match self.io.connections.of(index, generation) {
            Some(connection) => {
                connection.armed &= completion.more; // first: what the driver does in a frame depends on it
                true
            }
            None => {
                self.io.connections.counters.stale += 1;
                false
            }
        };
        if let Some(buffer) = completion.buffer {
            if known && completion.result > 0 {
                let id = self.io.connections.id(index);
                let bytes = self.uring.buffers.filled(buffer, completion.result as usize);
                input::receive(&mut self.io, &mut self.driver, id, bytes);
            }
            self.uring.buffers.put(buffer);
        }
        if known && !completion.more {
            self.on_receive_end(index, completion.result);
        }
    }

    /// A receive has left the kernel; a positive result only means that the completion queue was full or that it was
    /// a single one.
    fn on_receive_end(&mut self, index: u32, result: i32) {
        let connections = &mut self.io.connections;
        connections.touch(index);
        let id = connections.id(index);
        let Some(connection) = connections.at(index) else { return };
        match result {
            1.. => {}
            0 => {
                connection.peer_ended = true;
                match connection.life {
                    Life::Open if connection.leaving => {} // its next core sees the end again
                    Life::Open => connections.begin_close(index, CloseReason::PeerClosed),
                    Life::Lingering => connections.kill(index, CloseReason::PeerClosed),
                    Life::Closing | Life::Dead => {}
                }
            }
            error => match -error {
                libc::ENOBUFS => {
                    connection.starved = true;
                    connections.counters.starved += 1;
                    self.starved.push_back(id);
                }
                libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
                _ if connection.leaving => {}
                _ => connections.cut_off(index, CloseReason::PeerReset),
            },
        }
    }

    fn on_send(&mut self, completion: Completion) {
        let Token { index, generation, .. } = completion.token;
        if self.io.connections.of(index, generation).is_some() {
            self.io.connections.on_send_done(index, completion.result);
        } else {
            self.io.connections.counters.stale += 1;
        }
    }

    /// Arms as many starved receives as there are buffers: more would only starve again.
    fn rearm_starved(&mut self) {
        for _ in 0..self.uring.buffers.free().min(self.starved.len()) {
            let Some(id) = self.starved.pop_front() else { return };
            if let Some(connection) = self.io.connections.of(id.index, id.generation) {
                connection.starved = false;
                self.io.connections.touch(id.index);
            }
        }
    }

    fn on_accept(&mut self, completion: Completion) {
        // SAFETY: the kernel made this descriptor for us with this completion.
        let socket = (completion.result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(completion.result) });
        // Gone when the node is stopping and its accept had ended before.
        let listener = completion.token.index;
        let Some(accepting) =
            self.accepting.iter_mut().find(|accepting| u32::from(accepting.listener.index) == listener)
        else {
            return;
        };
        accepting.armed &= completion.more;
        if let Some(socket) = socket {
            if self.stop != Stop::No {
                return;
            }
            let (index, identity) = (accepting.listener.index, accepting.listener.identity.as_ref());
            let secured = identity.is_some();
            if let Some(id) = self.io.connections.open(socket, index, identity)
                && !secured
            {
                input::tell_opened(&mut self.io, &mut self.driver, id);
            }
        } else if matches!(-completion.result, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) {
            let pause = self.io.connections.limits.accept_pause;
            accepting.paused_until = Some(self.io.now + pause);
            self.io.connections.counters.accept_failed += 1;
            tracing::warn!(address = %accepting.listener.address, "out of descriptors or memory: accepting pauses");
        }
    }

    fn arm_listeners(&mut self) {
        if self.stop != Stop::No {
            return;
        }
        for accepting in &mut self.accepting {
            if accepting.armed || accepting.paused_until.is_some_and(|until| until > self.io.now) {
                continue;
            }
            accepting.paused_until = None;
            accepting.armed = true;
            let token = accepting.token();
            self.uring.accept(accepting.listener.socket.as_raw_fd(), token);
        }
    }

    fn take_ready(&mut self) -> bool {
        let mut taken = 0;
        while taken < self.io.connections.limits.ready_per_turn {
            let Some(index) = self.io.connections.ready.pop_front() else { return taken > 0 };
            taken += 1;
            input::resume(&mut self.io, &mut self.driver, index);
        }
        self.io.connections.counters.ready_budget_used_up += 1;
        true
    }

    fn take_foreign(&mut self) -> bool {
        self.remote.take(&mut self.foreign);
        let worked = !self.foreign.is_empty();
        for item in self.foreign.drain(..) {
            self.driver.on_foreign(&mut self.io, item);
        }
        worked
    }

    fn take_mesh(&mut self) -> bool {
        self.io.mesh.fetch();
        let limits = &self.io.connections.limits;
        let budgets = [usize::MAX, limits.delivery_per_turn, limits.ephemeral_per_turn];
        let mut worked = false;
        for (lane, budget) in Lane::ALL.into_iter().zip(budgets) {
            let mut taken = 0;
            while taken < budget {
                let Some((from, item)) = self.io.mesh.next(lane) else { break };
                taken += 1;
                self.driver.on_mesh(&mut self.io, from, lane, item);
            }
            worked |= taken > 0;
            if taken == budget {
                self.io.connections.counters.mesh_budget_used_up += 1;
            }
        }
        worked
    }

    fn tell_events(&mut self) -> bool {
        let mut worked = false;
        while let Some(event) = self.io.connections.events.pop_front() {
            worked = true;
            let (driver, io) = (&mut self.driver, &mut self.io);
            match event {
                Event::Closed(id, reason) => driver.on_closed(io, id, reason),
                Event::Overflowed(id) => driver.on_overflowed(io, id),
                Event::Drained(id) => driver.on_drained(io, id),
                Event::Left(id, hand) => driver.on_left(io, id, hand),
            }
        }
        worked
    }

    fn sweep_deadlines(&mut self) {
        if self.sweep.cursor.is_none() && self.io.connections.watched > 0 && self.io.now >= self.sweep.next {
            self.sweep.cursor = Some(0);
        }
        if let Some(cursor) = self.sweep.cursor {
            self.sweep.cursor = self.io.connections.sweep(cursor, SWEEP_SLOTS_PER_TURN);
            self.sweep.next = self.io.now + self.sweep.pause;
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop != Stop::No
    }

    fn take_stop(&mut self) {
        match self.stop {
            Stop::No if self.remote.is_stopping() => {
                self.stop = Stop::Asked(self.io.now);
                for accepting in self.accepting.iter().filter(|accepting| accepting.armed) {
                    tracing::debug!(address = %accepting.listener.address, "accepting ends");
                    self.uring.cancel(accepting.token());
                }
                self.driver.on_stop(&mut self.io);
            }
            Stop::Asked(since) => {
                let late = self.io.now.duration_since(since) >= self.io.connections.limits.stop_max;
                if self.driver.is_done() || late {
                    self.stop = Stop::Closing(self.io.now);
                    self.io.connections.close_all(CloseReason::Stopping);
                }
            }
            Stop::Closing(since) => {
                if self.io.now.duration_since(since) >= self.io.connections.limits.stop_max {
                    self.kill_all();
                }
            }
            Stop::No => {}
        }
        if self.is_stopping() {
            // The port is free as soon as the accept is out of the kernel.
            self.accepting.retain(|accepting| accepting.armed);
        }
    }

    fn kill_all(&mut self) {
        for index in 0..self.io.connections.slots.len() as u32 {
            self.io.connections.cut_off(index, CloseReason::Stopping);
        }
    }

    fn is_over(&mut self) -> bool {
        matches!(self.stop, Stop::Closing(_))
            && self.io.connections.is_empty()
            && self.accepting.is_empty()
            && self.uring.is_quiet()
            && self.io.connections.events.is_empty()
    }
}
