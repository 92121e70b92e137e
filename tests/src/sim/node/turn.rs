//! The turn of a shard, in the order in which the ring does it, and what comes out of a step.

use bytes::Bytes;
use shard::mesh::{Lane, MeshFrame, OrgFrame, PresenceFrame, Told};
use shard::{Effect, Input};

use super::{ConnectionInput, Node, StoreInput};
use crate::sim::faults::Fault;
use crate::sim::queue::Event;
use crate::sim::world::World;

/// After every so many steps a shard's invariants are checked. More often would make the check most of the work; another
/// seed checks other steps.
const CHECK_EVERY_STEPS: u64 = 3;

impl World {
    /// Something waits for this shard: its next turn comes within `delay_us`.
    pub fn wake(&mut self, shard: u16, delay_us: u64) {
        let quiet = self.is_quiet();
        let stream = &mut self.machine.stream;
        let mut delay_us = delay_us + stream.below(40);
        if !quiet && stream.chance(2) {
            delay_us += stream.between(2_000, 60_000);
            self.tally.add(Fault::SlowTurn);
        }
        self.wake_at(shard, self.queue.now_us() + delay_us);
    }

    fn wake_at(&mut self, shard: u16, at_us: u64) {
        let life = self.machine.life;
        let Some(node) = &mut self.node else { return };
        let host = &mut node.hosts[usize::from(shard)];
        if host.turn_at_us.is_none_or(|planned| planned > at_us) {
            host.turn_at_us = Some(at_us);
            self.queue.at(at_us, Event::Turn { life, shard });
        }
    }

    pub fn on_turn(&mut self, life: u32, shard: u16) {
        let now_us = self.queue.now_us();
        if !self.is_alive(life) || self.host(shard).turn_at_us != Some(now_us) {
            return;
        }
        self.host(shard).turn_at_us = None;
        self.take_connections(life, shard);
        self.take_mesh(life, shard);
        self.take_store(life, shard);
        if !self.is_alive(life) {
            return;
        }
        let now_ms = self.queue.now_ms();
        if self.host(shard).shard.next_deadline().is_some_and(|deadline| deadline <= now_ms) {
            self.step(life, shard, Input::Tick);
        }
        self.step(life, shard, Input::TurnEnd);
        if !self.is_alive(life) {
            return;
        }
        let host = self.host(shard);
        let counters = host.shard.counters();
        let (full, lost) = (counters.lane_full, counters.presence_lost);
        let (more, more_lost) = (full - host.lane_full_seen, lost - host.presence_lost_seen);
        (host.lane_full_seen, host.presence_lost_seen) = (full, lost);
        let busy = !host.connections.is_empty() || !host.delivery.is_empty();
        let deadline = host.shard.next_deadline();
        self.tally.add_many(Fault::FullLane, more);
        self.tally.add_many(Fault::PresenceLost, more_lost);
        if busy {
            self.wake(shard, 20);
        } else if let Some(deadline_ms) = deadline {
            let at_us = (deadline_ms * 1_000).max(self.queue.now_us() + 1_000);
            self.wake_at(shard, at_us);
        }
    }

    fn take_connections(&mut self, life: u32, shard: u16) {
        let budget = self.host(shard).connections.len();
        for _ in 0..budget {
            if !self.is_alive(life) {
                return;
            }
            let Some(input) = self.host(shard).connections.pop_front() else { return };
            match input {
                ConnectionInput::Opened(link) => self.take_opened(life, shard, link),
                ConnectionInput::Adopted(link, transfer) => self.take_adopted(life, shard, link, transfer),
                ConnectionInput::Ready(link) => self.take_ready(life, shard, link),
                ConnectionInput::Drained(connection) => self.step(life, shard, Input::Drained { connection }),
            }
        }
    }

    fn take_mesh(&mut self, life: u32, shard: u16) {
        if !self.is_alive(life) {
            return;
        }
        let host = self.node.as_mut().map(|node| &mut node.hosts[usize::from(shard)]).expect("alive");
        let mut frames: Vec<_> = host.control.drain(..).collect();
        let budget = self.machine.stream.between(1, 64) as usize;
        let count = budget.min(host.delivery.len());
        frames.extend(host.delivery.drain(..count));
        for (from, frame) in frames {
            let from = wire::ShardAddress { node: 0, shard: from };
            self.step(life, shard, Input::Mesh { from, frame });
        }
    }

    fn take_store(&mut self, life: u32, shard: u16) {
        if !self.is_alive(life) {
            return;
        }
        let inputs: Vec<_> = self.host(shard).store.drain(..).collect();
        for input in inputs {
            let input = match input {
                StoreInput::Loaded { token, rows } => Input::Loaded { token, rows },
                StoreInput::Committed(store::StoreAnswer::Committed { store_shard, number, outcome }) => {
                    Input::Committed { store_shard, number, outcome }
                }
                StoreInput::Committed(other) => panic!("the simulated store does not answer {other:?}"),
            };
            self.step(life, shard, input);
        }
    }

    /// One step of a shard, and all that comes of it. Nothing if the node has died meanwhile.
    pub fn step(&mut self, life: u32, shard: u16, input: Input<'_>) {
        if !self.is_alive(life) {
            return;
        }
        let now = self.node_now();
        self.steps += 1;
        let host = self.node.as_mut().map(|node| &mut node.hosts[usize::from(shard)]).expect("alive");
        let number = u64::from(shard);
        self.trace.note(self.queue.now_us(), &[20, number, kind(&input)], &[], || {
            format!("shard {shard} takes {input:?}")
        });
        host.shard.step(now, input, &mut self.machine.effects);
        if self.steps.is_multiple_of(CHECK_EVERY_STEPS) {
            host.shard.check_invariants();
        }
        self.carry_out(shard);
    }

    pub(super) fn carry_out(&mut self, shard: u16) {
        let life = self.machine.life;
        let mut effects = std::mem::take(&mut self.machine.effects.list);
        for effect in effects.drain(..) {
            if !self.is_alive(life) {
                break;
            }
            self.carry_out_one(shard, effect);
        }
        if self.machine.effects.list.is_empty() {
            self.machine.effects.list = effects; // its room is used again
        }
    }

    fn carry_out_one(&mut self, shard: u16, effect: Effect) {
        match effect {
            Effect::Send { connection, frame, class } => self.queue_frames(connection, &frame, class),
            Effect::Close { connection, reason } => self.begin_close(connection, reason),
            Effect::Settle { connection } => self.settle(connection),
            Effect::HandOff { connection, to, transfer } => self.hand_off(connection, to, transfer),
            Effect::FrameLenMax { connection, len_max } => self.set_frame_len_max(connection, len_max),
            Effect::Mesh { to, lane, frame } => self.send_mesh(shard, to.shard, lane, frame),
            Effect::Load { token, store_shard, queries } => {
                self.submit_load(shard, token, store_shard, queries);
            }
            Effect::Commit(batch) => self.submit(shard, batch),
            Effect::Reply { token, reply } => self.on_admin_reply(token, reply),
            Effect::Fatal { reason } => self.node_crash(&reason),
            Effect::Stopped => self.on_stopped(shard),
        }
    }

    fn send_mesh(&mut self, from: u16, to: u16, lane: Lane, frame: MeshFrame) {
        assert_eq!(frame.lane(), lane, "a frame travels in its own lane");
        let numbers = [21, u64::from(from), u64::from(to), lane as u64];
        let bytes = mesh_bytes(&frame);
        self.trace.note(self.queue.now_us(), &numbers, &bytes, || {
            format!("shard {from} to shard {to}, {lane:?}: {frame:?}")
        });
        let quiet = self.is_quiet();
        let stream = &mut self.machine.stream;
        let mut delay_us = stream.between(1, 300);
        if !quiet && stream.chance(5) {
            delay_us += stream.between(1_000, 30_000);
        }
        let life = self.machine.life;
        let now_us = self.queue.now_us();
        let Some(Node { lane_arrivals, .. }) = &mut self.node else { return };
        let last_us = lane_arrivals.entry((from, to, lane)).or_default();
        *last_us = (now_us + delay_us).max(*last_us);
        self.queue.at(*last_us, Event::Mesh { life, from, to, lane, frame: Box::new(frame) });
    }

    pub fn on_mesh(&mut self, life: u32, (from, to): (u16, u16), lane: Lane, frame: MeshFrame) {
        if !self.is_alive(life) {
            return;
        }
        let host = self.host(to);
        match lane {
            Lane::Control => host.control.push_back((from, frame)),
            Lane::Delivery | Lane::Ephemeral => host.delivery.push_back((from, frame)),
        }
        self.wake(to, 1);
    }

    fn on_stopped(&mut self, shard: u16) {
        let Some(node) = &mut self.node else { return };
        if std::mem::replace(&mut node.hosts[usize::from(shard)].stopped, true) {
            return; // it still answered those that have not stopped
        }
        self.trace
            .note(self.queue.now_us(), &[22, u64::from(shard)], &[], || format!("shard {shard} has stopped"));
        if node.hosts.iter().all(|host| host.stopped) {
            self.node_stopped();
        }
    }
}

fn kind(input: &Input<'_>) -> u64 {
    match input {
        Input::Opened { .. } => 1,
        Input::Adopted { .. } => 2,
        Input::Frame { frame, .. } => 3 | xxhash_rust::xxh3::xxh3_64(frame) << 8,
        Input::FrameTooLong { .. } => 4,
        Input::Closed { .. } => 5,
        Input::Overflowed { .. } => 6,
        Input::Drained { .. } => 7,
        Input::Mesh { .. } => 8,
        Input::Loaded { .. } => 9,
        Input::Committed { .. } => 10,
        Input::Tick => 11,
        Input::Admin { .. } => 12,
        Input::Stop => 13,
        Input::TurnEnd => 14,
    }
}

/// Enough of a frame to tell two traces apart.
fn mesh_bytes(frame: &MeshFrame) -> Bytes {
    match frame {
        MeshFrame::Answer { frame, .. } => frame.clone(),
        MeshFrame::Sent { frames, .. } | MeshFrame::Push { frames, .. } => frames.clone(),
        MeshFrame::Changed(changed) => changed.change.to_le_bytes().to_vec().into(),
        MeshFrame::ChangedDone { change, .. } => change.to_le_bytes().to_vec().into(),
        MeshFrame::ContactView { version, .. } | MeshFrame::ContactViewDone { version, .. } => {
            version.to_le_bytes().to_vec().into()
        }
        MeshFrame::Org(
            OrgFrame::Version { version }
            | OrgFrame::Place { version, .. }
            | OrgFrame::PlaceDone { version, .. },
        ) => version.to_le_bytes().to_vec().into(),
        MeshFrame::Presence(PresenceFrame::Told { told, .. }) => {
            let watchers =
                |told: &Told| told.watchers.iter().map(|(watcher, _)| *watcher).collect::<Vec<_>>();
            let flat = told.iter().flat_map(|told| [vec![told.subject, told.seen as u32], watchers(told)]);
            flat.flatten().flat_map(u32::to_le_bytes).collect()
        }
        MeshFrame::Presence(PresenceFrame::Push(pushes)) => {
            pushes.iter().flat_map(|push| push.frames.to_vec()).collect()
        }
        MeshFrame::Presence(PresenceFrame::Credit { taken }) | MeshFrame::Credit { taken } => {
            taken.to_le_bytes().to_vec().into()
        }
        _ => Bytes::new(),
    }
}
