//! The store beside the node: batches become durable after a while, loads come back after a while.

use record::{Batch, CommitOutcome, Query, StoreShardId};
use store::StoreAnswer;

use super::{Host, StoreInput};
use crate::sim::faults::Fault;
use crate::sim::queue::Event;
use crate::sim::world::World;

/// Most batches that one sync takes along.
const GROUP_MAX: u64 = 8;

impl World {
    pub(super) fn submit(&mut self, shard: u16, batch: Batch) {
        let store_shard = batch.store_shard;
        let numbers = [10, u64::from(shard), Self::number(store_shard), batch.number, batch.ops.len() as u64];
        let bytes: Vec<u8> = batch.ops.iter().flat_map(|op| op.key.iter().copied()).collect();
        self.trace.note(self.queue.now_us(), &numbers, &bytes, || {
            let keys: Vec<_> = batch.ops.iter().map(|op| record::Key::parse(op.key)).collect();
            format!("shard {shard} commits batch {} to store shard {}: {keys:?}", batch.number, store_shard.0)
        });
        let now_us = self.queue.now_us();
        self.model.check_batch(&self.store, &batch, self.machine.open, now_us);
        let idle = self.store.pending(store_shard) == 0;
        self.store.submit(shard, batch);
        if idle {
            self.plan_sync(store_shard);
        }
    }

    fn plan_sync(&mut self, store_shard: StoreShardId) {
        let hangs = self.crash_is_due();
        let quiet = self.is_quiet();
        let stream = &mut self.store_stream;
        let mut delay_us = stream.between(50, self.machine.commit_us_max);
        if hangs {
            delay_us += stream.between(0, 60_000);
        } else if !quiet && stream.chance(4) {
            delay_us += stream.between(50_000, 600_000);
            self.tally.add(Fault::SlowCommit);
        }
        self.queue.after(delay_us, Event::Sync { life: self.machine.life, store_shard });
    }

    pub fn on_sync(&mut self, life: u32, store_shard: StoreShardId) {
        if !self.is_alive(life) {
            return;
        }
        let quiet = self.is_quiet();
        let stream = &mut self.store_stream;
        let answers = if !quiet && stream.chance(1) {
            self.tally.add(Fault::UnknownCommit);
            let survivors = stream.below(3) as usize;
            self.store.fail(store_shard, survivors)
        } else {
            self.store.sync(store_shard, stream.between(1, GROUP_MAX) as usize)
        };
        for (shard, answer) in answers {
            self.trace.note(self.queue.now_us(), &[11, u64::from(shard)], &[], || {
                format!("store answers shard {shard}: {answer:?}")
            });
            if let StoreAnswer::Committed { outcome: CommitOutcome::Full, .. } = answer {
                self.tally.add(Fault::DiskFull);
            }
            self.host(shard).store.push_back(StoreInput::Committed(answer));
            let delay_us = self.store_stream.between(1, 300);
            self.wake(shard, delay_us);
        }
        if self.store.pending(store_shard) > 0 {
            self.plan_sync(store_shard);
        }
    }

    /// A read sees the state of one moment between its submission and its answer.
    pub(super) fn submit_load(
        &mut self,
        shard: u16,
        token: u64,
        store_shard: StoreShardId,
        queries: Vec<Query>,
    ) {
        let quiet = self.is_quiet();
        let stream = &mut self.store_stream;
        let mut delay_us = stream.between(20, 1_500);
        if !quiet && stream.chance(20) {
            delay_us += stream.between(5_000, 100_000);
        }
        let read_us = stream.between(0, delay_us);
        let numbers = [12, u64::from(shard), token, queries.len() as u64];
        self.trace.note(self.queue.now_us(), &numbers, &[], || {
            let from = queries.iter().map(|query| match query {
                Query::Get(key) => record::Key::parse(key),
                Query::Range { from, .. } => record::Key::parse(from),
            });
            format!("shard {shard} loads {token}: {:?}", from.collect::<Vec<_>>())
        });
        let life = self.machine.life;
        self.queue.after(
            read_us,
            Event::Load { life, shard, token, store_shard, queries, delay_us: delay_us - read_us },
        );
    }

    pub fn on_load(&mut self, life: u32, shard: u16, token: u64, read: (StoreShardId, Vec<Query>, u64)) {
        if self.is_alive(life) {
            let (store_shard, queries, delay_us) = read;
            let rows = self.store.load(store_shard, &queries);
            self.queue.after(delay_us, Event::Loaded { life, shard, token, rows });
        }
    }

    pub fn on_loaded(&mut self, life: u32, shard: u16, input: StoreInput) {
        if self.is_alive(life) {
            self.host(shard).store.push_back(input);
            self.wake(shard, 5);
        }
    }

    pub fn is_alive(&self, life: u32) -> bool {
        self.node.is_some() && self.machine.life == life
    }

    pub(super) fn host(&mut self, shard: u16) -> &mut Host {
        let node = self.node.as_mut().expect("asked of a living node");
        &mut node.hosts[usize::from(shard)]
    }

    /// The most batches that wait at one store shard.
    pub fn most_pending(&self) -> usize {
        let pending = (0..self.store.store_shards()).map(|number| self.store.pending(StoreShardId(number)));
        pending.max().unwrap_or(0)
    }

    /// What was not synced is lost, or a prefix of it is there all the same.
    pub(super) fn crash_store(&mut self) {
        let (stream, tally) = (&mut self.store_stream, &mut self.tally);
        let mut lost = 0;
        self.store.crash(|_, pending| {
            let kept = match stream.below(4) {
                0 => pending,
                1 | 2 if pending > 1 => stream.between(1, pending as u64 - 1) as usize,
                _ => 0,
            };
            lost += pending - kept;
            if kept > 0 && kept < pending {
                tally.add(Fault::TornTail);
            } else if kept > 0 {
                tally.add(Fault::SurvivingWrites);
            }
            kept
        });
        if lost > 0 {
            self.tally.add(Fault::LostWrites);
        }
        self.trace.note(self.queue.now_us(), &[13, lost as u64], &[], || format!("{lost} batches are lost"));
    }
}
