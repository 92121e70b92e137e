//! Carries out what a shard wants.

use std::sync::atomic::Ordering;
use std::time::Instant;

use record::Batch;
use shard::admin::AdminReply;
use shard::{Effect, SendClass};
use store::{LoadRequest, RefusedReason};

use super::{NODE, RETRY_EVERY, ShardDriver, ShardItem, Stage, counters, lanes};
use crate::admin::ShardAnswer;
use crate::mesh::Lane;
use crate::ring::{Io, Priority};

/// What the store had no room for.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    batches: Vec<Batch>,
    loads: Vec<LoadRequest>,
    /// Since when the first of these waits.
    since: Option<Instant>,
}

impl PutOff {
    /// When it is handed in again: however busy the core is meanwhile.
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + RETRY_EVERY)
    }

    fn put_batch(&mut self, now: Instant, batch: Batch) {
        self.since.get_or_insert(now);
        self.batches.push(batch);
    }

    fn put_load(&mut self, now: Instant, request: LoadRequest) {
        self.since.get_or_insert(now);
        self.loads.push(request);
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
            Effect::Commit(batch) => {
                self.commits.begin(&batch);
                self.commit(batch);
            }
            Effect::Reply { token, reply } => {
                let answer = match reply {
                    AdminReply::Stats(stats) => {
                        ShardAnswer::Stats(Box::new(counters::snapshot(io, &self.commits, *stats)))
                    }
                    done => ShardAnswer::Done(done),
                };
                self.replies.deliver(token, answer);
            }
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
        let PutOff { batches, loads, since: _ } = std::mem::take(&mut self.put_off);
        for batch in batches {
            self.commit(batch);
        }
        for request in loads {
            self.load(request);
        }
    }

    /// A shard has one batch in flight per store shard, so putting one off overtakes nothing.
    fn commit(&mut self, batch: Batch) {
        if let Err(refused) = self.store.submit(self.index, batch) {
            match refused.reason {
                RefusedReason::QueueFull => self.put_off.put_batch(self.clock.last(), refused.batch),
                RefusedReason::Closed => self.halt.fatal("the store was closed while the node served"),
            }
        }
    }

    fn load(&mut self, request: LoadRequest) {
        if let Err(refused) = self.store.load(request) {
            match refused.reason {
                RefusedReason::QueueFull => self.put_off.put_load(self.clock.last(), refused.request),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_off_is_due_though_more_is_put_off_later() {
        let load = |token| LoadRequest {
            from_shard: 0,
            token,
            store_shard: record::StoreShardId(0),
            queries: Vec::new(),
        };
        let (start, mut put_off) = (Instant::now(), PutOff::default());
        assert_eq!(put_off.due(), None);
        put_off.put_load(start, load(1));
        put_off.put_load(start + RETRY_EVERY / 2, load(2));
        let (store_shard, ops) = (record::StoreShardId(0), record::Ops::default());
        let batch = Batch { store_shard, number: 1, term: 1, ops };
        put_off.put_batch(start + RETRY_EVERY * 2, batch);
        assert_eq!(put_off.due(), Some(start + RETRY_EVERY));
    }
}
