//! Carries out what a shard wants.

use std::sync::atomic::Ordering;

use record::Batch;
use shard::admin::AdminReply;
use shard::{Effect, SendClass};
use store::{LoadRequest, RefusedReason};

use super::{NODE, ShardDriver, ShardItem, Stage, counters, lanes};
use crate::mesh::Lane;
use crate::ring::{Io, Priority};

/// What the store had no room for.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    batches: Vec<Batch>,
    loads: Vec<LoadRequest>,
}

impl PutOff {
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.loads.is_empty()
    }
}

impl ShardDriver {
    /// Carries out the effects of the last step, in order.
    pub(super) fn carry_out(&mut self, io: &mut Io<ShardItem>) {
        let mut list = std::mem::take(&mut self.effects.list);
        for effect in list.drain(..) {
            self.carry_out_one(io, effect);
        }
        // Its memory serves the next step.
        self.effects.list = list;
    }

    fn carry_out_one(&mut self, io: &mut Io<ShardItem>, effect: Effect) {
        match effect {
            Effect::Send { connection, frame, class } => {
                let priority = match class {
                    SendClass::Reply | SendClass::Notice => Priority::Reply,
                    SendClass::Push => Priority::Push,
                };
                // Gone: its end is on the way to the shard. Dropped: so is the overflow.
                let _ = io.connections.send(connection, &frame, priority);
                if self.gates.answer(connection) {
                    io.connections.resume(connection);
                }
            }
            Effect::Close { connection, reason } => {
                tracing::debug!(?connection, ?reason, "the shard closes a connection");
                io.connections.close(connection);
            }
            Effect::Settle { connection } => {
                if self.gates.settle(connection) {
                    io.connections.arm_multishot(connection);
                }
            }
            Effect::HandOff { connection, to, transfer } => {
                assert_eq!(to.node, NODE, "there is one node");
                // If it has ended meanwhile, its end is still to come, and takes the transfer with it.
                if self.gates.knows(connection) {
                    let before = self.leaving.insert(connection, (to.shard, transfer));
                    assert!(before.is_none(), "a connection moves once");
                    io.connections.leave(connection, None);
                }
            }
            Effect::FrameLenMax { connection, len_max } => {
                let bytes = u32::try_from(len_max).expect("frames are far below 4 GiB");
                io.connections.set_frame_bytes_max(connection, bytes);
            }
            Effect::Mesh { to, lane, frame } => {
                assert_eq!(to.node, NODE, "there is one node");
                lanes::send(&mut io.mesh, to.shard, lane_of(lane), ShardItem::Frame(frame));
            }
            Effect::Load { token, store_shard, queries } => {
                self.load(LoadRequest { from_shard: self.index, token, store_shard, queries });
            }
            Effect::Commit(batch) => self.commit(batch),
            Effect::Reply { token, reply } => self.replies.deliver(token, with_ring(io, reply)),
            Effect::Fatal { reason } => self.halt.fatal(reason),
            Effect::Stopped => self.on_shard_stopped(),
        }
    }

    fn on_shard_stopped(&mut self) {
        if self.stage != Stage::Stopped {
            self.stage = Stage::Stopped;
            self.stopped.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Hands in again what the store had no room for.
    pub(super) fn hand_in_again(&mut self) {
        for batch in std::mem::take(&mut self.put_off.batches) {
            self.commit(batch);
        }
        for request in std::mem::take(&mut self.put_off.loads) {
            self.load(request);
        }
    }

    /// A shard has one batch in flight per store shard, so putting one off overtakes nothing.
    fn commit(&mut self, batch: Batch) {
        if let Err(refused) = self.store.submit(self.index, batch) {
            match refused.reason {
                RefusedReason::QueueFull => self.put_off.batches.push(refused.batch),
                RefusedReason::Closed => self.halt.fatal("the store was closed while the node served"),
            }
        }
    }

    fn load(&mut self, request: LoadRequest) {
        if let Err(refused) = self.store.load(request) {
            match refused.reason {
                RefusedReason::QueueFull => self.put_off.loads.push(refused.request),
                RefusedReason::Closed => self.halt.fatal("the store was closed while the node served"),
            }
        }
    }
}

fn lane_of(lane: shard::mesh::Lane) -> Lane {
    match lane {
        shard::mesh::Lane::Control => Lane::Control,
        shard::mesh::Lane::Delivery => Lane::Delivery,
        shard::mesh::Lane::Ephemeral => Lane::Ephemeral,
    }
}

/// Counters of the shard and of the ring it runs on.
fn with_ring(io: &Io<ShardItem>, reply: AdminReply) -> AdminReply {
    match reply {
        AdminReply::Stats(mut lines) => {
            lines.extend(counters::lines(&io.connections));
            AdminReply::Stats(lines)
        }
        other => other,
    }
}
