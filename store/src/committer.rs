//! The committer of one store shard: a thread that turns all waiting batches into one commit and one sync.
//!
//! It tunes itself: while one commit is being synced the next batches gather. fjall makes a writer sleep when flushes
//! fall behind; here that is this thread, its queue fills, and the shards get their batches back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use fjall::PersistMode;
use record::kv::{Batch, CommitOutcome, StoreShardId};

use crate::answer::{Answers, StoreAnswer};
use crate::database::{Database, Stamp};
use crate::keeper::KeeperSignal;
use crate::options::{GROUP_BATCHES_MAX, GROUP_BYTES_MAX};
use crate::poison::Poison;
use crate::queue::Queue;
use crate::space::SpaceFloor;
use crate::stats::{ShardCounters, micros};

/// A batch in a committer's queue.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub from_shard: u16,
    pub batch: Batch,
    /// Keys and values.
    pub bytes: usize,
}

pub(crate) struct Committer {
    pub shard: StoreShardId,
    pub database: Database,
    /// Batches of an older term are fenced.
    pub term: u64,
    /// Of the last commit.
    pub stamp: Stamp,
    pub space: SpaceFloor,
    pub poison: Arc<Poison>,
    pub counters: Arc<ShardCounters>,
    pub keeper: Arc<KeeperSignal>,
    pub answers: Arc<dyn Answers>,
    #[cfg(feature = "fault-injection")]
    pub fault: crate::fault::Fault,
}

impl Committer {
    /// Until the queue is closed and empty.
    pub(crate) fn run(mut self, queue: &Queue<Submitted>) {
        let mut waiting = VecDeque::new();
        let mut group = Vec::with_capacity(GROUP_BATCHES_MAX);
        while queue.take_all(&mut waiting) {
            while !waiting.is_empty() {
                gather(&mut waiting, &mut group);
                self.handle_group(&group);
                group.clear();
            }
        }
    }

    fn handle_group(&mut self, group: &[Submitted]) {
        if group.iter().all(|submitted| submitted.batch.term == self.term) {
            self.commit_and_answer(group.iter());
            return;
        }
        let (current, fenced) = group.iter().partition::<Vec<_>, _>(|one| one.batch.term == self.term);
        self.counters.fenced.fetch_add(fenced.len() as u64, Relaxed);
        answer(&*self.answers, self.shard, fenced.into_iter(), CommitOutcome::Fenced);
        if !current.is_empty() {
            self.commit_and_answer(current.into_iter());
        }
    }

    fn commit_and_answer<'a>(&mut self, group: impl DoubleEndedIterator<Item = &'a Submitted> + Clone) {
        #[cfg(feature = "fault-injection")]
        if self.fault == crate::fault::Fault::AckBeforeCommit {
            answer(&*self.answers, self.shard, group.clone(), CommitOutcome::Committed);
            std::thread::sleep(crate::fault::ACK_AHEAD);
            self.commit(group);
            return;
        }
        let outcome = self.commit(group.clone());
        answer(&*self.answers, self.shard, group, outcome);
    }

    fn commit<'a>(&mut self, group: impl DoubleEndedIterator<Item = &'a Submitted> + Clone) -> CommitOutcome {
        let batches = group.clone().count() as u64;
        let bytes = group.clone().map(|submitted| submitted.bytes as u64).sum();
        if self.poison.is_set() {
            self.counters.unknown.fetch_add(batches, Relaxed);
            return CommitOutcome::Unknown;
        }
        if !self.space.has_room_for(bytes) {
            self.counters.full.fetch_add(batches, Relaxed);
            return CommitOutcome::Full;
        }
        let stamp = Stamp { number: self.stamp.number + 1, tag: self.stamp.tag };
        let begun = Instant::now();
        self.keeper.on_commit_begin();
        let done = self.database.commit(stamp, group.clone().map(|one| &one.batch), self.persist_mode());
        let outcome = match done {
            Ok(()) => {
                let elapsed_us = micros(begun.elapsed());
                self.stamp = stamp;
                self.space.on_written(bytes);
                let ops = group.map(|submitted| submitted.batch.ops.len() as u64).sum();
                self.count(batches, ops, bytes, elapsed_us);
                CommitOutcome::Committed
            }
            Err(failure) => {
                let what = failure.into_text();
                self.poison.set(format!("store shard {}: a commit failed: {what}", self.shard.0));
                self.counters.unknown.fetch_add(batches, Relaxed);
                CommitOutcome::Unknown
            }
        };
        self.keeper.on_commit_end();
        outcome
    }

    fn count(&self, batches: u64, ops: u64, bytes: u64, elapsed_us: u64) {
        let counters = &self.counters;
        counters.groups.fetch_add(1, Relaxed);
        counters.batches.fetch_add(batches, Relaxed);
        counters.ops.fetch_add(ops, Relaxed);
        counters.bytes.fetch_add(bytes, Relaxed);
        counters.group_batches_max.fetch_max(batches, Relaxed);
        counters.commit_us_sum.fetch_add(elapsed_us, Relaxed);
        counters.commit_us_max.fetch_max(elapsed_us, Relaxed);
        counters.last_commit.store(self.stamp.number, Relaxed);
    }

    #[cfg(feature = "fault-injection")]
    fn persist_mode(&self) -> PersistMode {
        match self.fault {
            crate::fault::Fault::NoFsync => PersistMode::Buffer,
            _ => PersistMode::SyncData,
        }
    }

    #[cfg(not(feature = "fault-injection"))]
    fn persist_mode(&self) -> PersistMode {
        PersistMode::SyncData
    }
}

/// Moves the oldest batches to `group`, up to the bounds of one commit.
fn gather(waiting: &mut VecDeque<Submitted>, group: &mut Vec<Submitted>) {
    let mut bytes = 0;
    while group.len() < GROUP_BATCHES_MAX && bytes < GROUP_BYTES_MAX {
        let Some(submitted) = waiting.pop_front() else { return };
        bytes += submitted.bytes;
        group.push(submitted);
    }
}

/// One delivery per shard.
fn answer<'a>(
    answers: &dyn Answers,
    store_shard: StoreShardId,
    group: impl Iterator<Item = &'a Submitted>,
    outcome: CommitOutcome,
) {
    let mut by_shard: Vec<(u16, Vec<StoreAnswer>)> = Vec::new();
    for submitted in group {
        let answer = StoreAnswer::Committed { store_shard, number: submitted.batch.number, outcome };
        match by_shard.iter_mut().find(|(shard, _)| *shard == submitted.from_shard) {
            Some((_, answers)) => answers.push(answer),
            None => by_shard.push((submitted.from_shard, vec![answer])),
        }
    }
    for (shard, shard_answers) in by_shard {
        answers.deliver(shard, shard_answers);
    }
}
