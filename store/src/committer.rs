//! The committer of one store shard: a thread that turns all waiting batches into one commit and one sync.
//!
//! It tunes itself: while one commit is being synced the next batches gather. A commit is durable once it is in the log;
//! it is then put where readers see it, and answered. When rows come faster than they can be moved to fjall this thread
//! waits, its queue fills, and the shards get their batches back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use record::kv::{Batch, CommitOutcome, StoreShardId};

use crate::answer::{Answers, StoreAnswer};
use crate::keeper::KeeperSignal;
use crate::log::{self, Appended, Durability, FRAME_HEADER_BYTES, LogWriter};
use crate::options::{GROUP_BATCHES_MAX, GROUP_BYTES_MAX};
use crate::poison::Poison;
use crate::queue::Queue;
use crate::space::SpaceFloor;
use crate::stats::{ShardCounters, micros};
use crate::table::{Run, Table};

/// A batch in a committer's queue.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub from_shard: u16,
    pub batch: Batch,
    /// Of its changes.
    pub bytes: usize,
}

pub(crate) struct Committer {
    pub shard: StoreShardId,
    pub log: LogWriter,
    pub table: Arc<Table>,
    /// Batches of an older term are fenced.
    pub term: u64,
    /// Number of the last commit.
    pub last: u64,
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

    fn commit_and_answer<'a>(&mut self, group: impl Iterator<Item = &'a Submitted> + Clone) {
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

    fn commit<'a>(&mut self, group: impl Iterator<Item = &'a Submitted> + Clone) -> CommitOutcome {
        let begun = Instant::now();
        let batches = group.clone().count() as u64;
        let bytes = group.clone().map(|submitted| submitted.bytes).sum::<usize>();
        if self.table.wait_for_room() {
            self.counters.waits.fetch_add(1, Relaxed);
        }
        if self.poison.is_set() {
            self.counters.unknown.fetch_add(batches, Relaxed);
            return CommitOutcome::Unknown;
        }
        if !self.space.has_room_for(bytes as u64, self.table.bytes()) {
            self.counters.full.fetch_add(batches, Relaxed);
            return CommitOutcome::Full;
        }
        self.keeper.on_commit_begin();
        let mut frame = log::begin(bytes);
        group.clone().for_each(|submitted| frame.extend_from_slice(submitted.batch.ops.as_bytes()));
        let outcome = match self.log.append(&mut frame, self.last + 1, self.term, self.durability()) {
            Ok(appended) => {
                self.last += 1;
                let ops = group.map(|submitted| submitted.batch.ops.len() as u64).sum();
                self.show(frame, ops, appended);
                self.space.on_written(bytes as u64);
                self.count(batches, ops, bytes as u64, appended, begun);
                CommitOutcome::Committed
            }
            Err(e) => {
                self.poison.set(format!("store shard {}: a commit failed: {e}", self.shard.0));
                self.counters.unknown.fetch_add(batches, Relaxed);
                CommitOutcome::Unknown
            }
        };
        self.keeper.on_commit_end();
        outcome
    }

    /// Puts what is on disk where readers see it.
    fn show(&self, frame: Vec<u8>, ops: u64, appended: Appended) {
        let log_bytes = frame.len() as u64;
        let run = Run::from_rows(frame, FRAME_HEADER_BYTES, ops as usize).expect("changes are rows");
        self.table.push(run, self.last, log_bytes, appended.segment_wanted);
    }

    fn count(&self, batches: u64, ops: u64, bytes: u64, appended: Appended, begun: Instant) {
        let counters = &self.counters;
        let elapsed_us = micros(begun.elapsed());
        counters.groups.fetch_add(1, Relaxed);
        counters.batches.fetch_add(batches, Relaxed);
        counters.ops.fetch_add(ops, Relaxed);
        counters.bytes.fetch_add(bytes, Relaxed);
        counters.group_batches_max.fetch_max(batches, Relaxed);
        counters.group_ops.add(ops);
        counters.commit.add(elapsed_us);
        counters.commit_us_max.fetch_max(elapsed_us, Relaxed);
        counters.fsync.add(micros(appended.sync));
        counters.last_commit.store(self.last, Relaxed);
    }

    #[cfg(feature = "fault-injection")]
    fn durability(&self) -> Durability {
        match self.fault {
            crate::fault::Fault::NoFsync => Durability::Unsynced,
            _ => Durability::Synced,
        }
    }

    #[cfg(not(feature = "fault-injection"))]
    fn durability(&self) -> Durability {
        Durability::Synced
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
