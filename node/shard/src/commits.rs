//! Changes on their way to the store, and what waits for them.
//!
//! At most one batch per store shard is in flight; what changes meanwhile gathers in the next one. That is the group
//! commit, it tunes itself, and a batch that the store refuses as full has nothing behind it that builds on it.
//!
//! A batch that nobody waits for waits a little itself: a change that only tidies up goes with the next change that
//! somebody does wait for, and costs no sync of its own.

use record::{Batch, CommitOutcome, Key, Ops, Record, StoreShardId};

use crate::limits::{UNHURRIED_MS_MAX, UNHURRIED_OPS_MAX};

/// A batch of one store shard: the one that will hold a change made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp(pub u64);

/// What to do once a batch is on disk. `W` is the shard's own list of such things.
#[derive(Debug)]
struct Lane<W> {
    building: Ops,
    /// Bytes of the batch before: the next one is likely to need as much room.
    room: usize,
    waiting_for_building: Vec<W>,
    /// When it goes though nobody is in a hurry. `None` before the end of its first turn.
    due_ms: Option<u64>,
    /// Somebody waits for it.
    hurried: bool,
    in_flight: Option<u64>,
    waiting_for_in_flight: Vec<W>,
    /// The last number handed out.
    number: u64,
    committed: u64,
}

impl<W> Default for Lane<W> {
    fn default() -> Self {
        Self {
            building: Ops::default(),
            room: 0,
            waiting_for_building: Vec::new(),
            due_ms: None,
            hurried: false,
            in_flight: None,
            waiting_for_in_flight: Vec::new(),
            number: 0,
            committed: 0,
        }
    }
}

/// What an answer of the store sets free.
#[derive(Debug)]
pub enum Freed<W> {
    /// Carry these out, in order.
    Committed(Vec<W>),
    /// Nothing was written: refuse these, and forget every unwritten change of this store shard.
    Full(Vec<W>),
    /// The node must stop.
    Fatal(String),
}

/// The pending changes of one shard.
#[derive(Debug)]
pub struct Commits<W> {
    term: u64,
    lanes: Vec<Lane<W>>,
    /// A bit for each store shard that something gathers for: the end of a turn looks at no other.
    gathering: u64,
    /// Room of a list that was carried out, for the next one.
    spare: Vec<W>,
}

/// A bit each.
const STORE_SHARDS_MAX: u16 = 64;
/// Longest list whose room is kept.
const SPARE_MAX: usize = 256;

impl<W> Commits<W> {
    pub fn new(store_shards: u16, term: u64) -> Self {
        assert!(store_shards <= STORE_SHARDS_MAX, "{store_shards} store shards");
        let lanes = (0..store_shards).map(|_| Lane::default()).collect();
        Self { term, lanes, gathering: 0, spare: Vec::new() }
    }

    pub fn put(&mut self, store_shard: StoreShardId, key: &Key, record: &impl Record) {
        self.building(store_shard).put_record(key, record);
    }

    pub fn delete(&mut self, store_shard: StoreShardId, key: &Key) {
        self.building(store_shard).delete_record(key);
    }

    fn building(&mut self, store_shard: StoreShardId) -> &mut Ops {
        self.gathering |= 1 << store_shard.0;
        let lane = &mut self.lanes[store_shard.0 as usize];
        if lane.building.is_empty() && lane.room > 0 {
            lane.building = Ops::with_capacity(std::mem::take(&mut lane.room));
        }
        &mut lane.building
    }

    /// The batch that holds a change made now. Until [`Commits::is_committed`] says so, nothing that shows the change
    /// may leave the shard.
    pub fn stamp(&self, store_shard: StoreShardId) -> Stamp {
        let lane = &self.lanes[store_shard.0 as usize];
        Stamp(lane.number + 1)
    }

    pub fn is_committed(&self, store_shard: StoreShardId, stamp: Stamp) -> bool {
        self.lanes[store_shard.0 as usize].committed >= stamp.0
    }

    /// Gives `waiter` back at once when `stamp` is on disk already; keeps it until then otherwise.
    pub fn wait(&mut self, store_shard: StoreShardId, stamp: Stamp, waiter: W) -> Option<W> {
        let lane = &mut self.lanes[store_shard.0 as usize];
        lane.hurried |= stamp.0 == lane.number + 1;
        self.wait_unhurried(store_shard, stamp, waiter)
    }

    /// The same for what may as well happen a little later: up to [`UNHURRIED_MS_MAX`].
    pub fn wait_unhurried(&mut self, store_shard: StoreShardId, stamp: Stamp, waiter: W) -> Option<W> {
        let lane = &mut self.lanes[store_shard.0 as usize];
        if lane.committed >= stamp.0 {
            return Some(waiter);
        }
        if lane.in_flight.is_some_and(|number| number >= stamp.0) {
            lane.waiting_for_in_flight.push(waiter);
        } else {
            assert!(stamp.0 == lane.number + 1, "a stamp is of the batch in flight or the one being built");
            self.gathering |= 1 << store_shard.0;
            if lane.waiting_for_building.capacity() == 0 {
                lane.waiting_for_building = std::mem::take(&mut self.spare);
            }
            lane.waiting_for_building.push(waiter);
        }
        None
    }

    /// Operations gathered for the next batch.
    pub fn building_len(&self, store_shard: StoreShardId) -> usize {
        self.lanes[store_shard.0 as usize].building.len()
    }

    /// True when nothing is in flight or gathered anywhere.
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| {
            lane.in_flight.is_none() && lane.building.is_empty() && lane.waiting_for_building.is_empty()
        })
    }

    /// Nothing that is there now waits any longer.
    pub fn hurry(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.hurried |= !lane.building.is_empty());
    }

    /// When a batch that nobody waits for goes, if there is one that could.
    pub fn next_deadline(&self) -> Option<u64> {
        let gathering = set_bits(self.gathering).map(|index| &self.lanes[index]);
        gathering.filter(|lane| lane.in_flight.is_none()).filter_map(|lane| lane.due_ms).min()
    }

    /// The batches that can go now; those that nobody waits for when they are due. Called at the end of a turn.
    pub fn take_batches(&mut self, now_ms: u64, mut hand_over: impl FnMut(Batch)) {
        for index in set_bits(self.gathering) {
            let lane = &mut self.lanes[index];
            if lane.building.is_empty() && lane.waiting_for_building.is_empty() {
                self.gathering &= !(1 << index);
                continue;
            }
            let due_ms = *lane.due_ms.get_or_insert(now_ms + UNHURRIED_MS_MAX);
            let goes = lane.hurried || due_ms <= now_ms || lane.building.len() >= UNHURRIED_OPS_MAX;
            if lane.in_flight.is_some() || !goes {
                continue;
            }
            self.gathering &= !(1 << index);
            (lane.due_ms, lane.hurried) = (None, false);
            lane.number += 1;
            lane.in_flight = Some(lane.number);
            lane.waiting_for_in_flight = std::mem::take(&mut lane.waiting_for_building);
            let ops = std::mem::take(&mut lane.building);
            lane.room = ops.as_bytes().len();
            let store_shard = StoreShardId(index as u16);
            hand_over(Batch { store_shard, number: lane.number, term: self.term, ops });
        }
    }

    /// A list that was carried out: its room is used again.
    pub fn take_back(&mut self, list: Vec<W>) {
        if list.is_empty() && (self.spare.capacity() + 1..=SPARE_MAX).contains(&list.capacity()) {
            self.spare = list;
        }
    }

    /// The store answered.
    pub fn handle_outcome(
        &mut self,
        store_shard: StoreShardId,
        number: u64,
        outcome: CommitOutcome,
    ) -> Freed<W> {
        let lane = &mut self.lanes[store_shard.0 as usize];
        assert_eq!(lane.in_flight, Some(number), "answers come for the batch in flight");
        match outcome {
            CommitOutcome::Committed => {
                lane.in_flight = None;
                lane.committed = number;
                Freed::Committed(std::mem::take(&mut lane.waiting_for_in_flight))
            }
            CommitOutcome::Full => {
                lane.in_flight = None;
                // The number is used up without having been written; nobody waits for it any more.
                lane.committed = number;
                lane.building.clear();
                (lane.due_ms, lane.hurried) = (None, false);
                let mut waiters = std::mem::take(&mut lane.waiting_for_in_flight);
                waiters.append(&mut lane.waiting_for_building);
                Freed::Full(waiters)
            }
            CommitOutcome::Fenced => Freed::Fatal(format!("store shard {} has another owner", store_shard.0)),
            CommitOutcome::Unknown => Freed::Fatal(format!(
                "the state of store shard {} is unknown after a failed write",
                store_shard.0
            )),
        }
    }
}

/// The numbers of the bits that are set, rising.
fn set_bits(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let index = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (index < u64::BITS).then_some(index as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: StoreShardId = StoreShardId(0);

    fn change(commits: &mut Commits<u32>) -> Stamp {
        let slot = wire::Slot::new(0).expect("slot 0");
        commits.delete(S, &Key::SlotState(slot));
        commits.stamp(S)
    }

    fn numbers(commits: &mut Commits<u32>) -> Vec<u64> {
        let mut numbers = Vec::new();
        commits.take_batches(1_000, |batch| numbers.push(batch.number));
        numbers
    }

    #[test]
    fn waiters_leave_only_when_their_batch_is_on_disk() {
        let mut commits = Commits::new(1, 1);
        let first = change(&mut commits);
        assert_eq!(commits.wait(S, first, 1), None);
        assert_eq!(numbers(&mut commits), [1]);
        let second = change(&mut commits);
        assert_eq!(commits.wait(S, second, 2), None);
        assert_eq!(commits.wait(S, first, 3), None, "the first batch is still in flight");
        assert!(numbers(&mut commits).is_empty(), "one batch in flight at a time");
        let freed = commits.handle_outcome(S, 1, CommitOutcome::Committed);
        assert!(matches!(freed, Freed::Committed(list) if list == [1, 3]));
        assert_eq!(commits.wait(S, first, 4), Some(4));
        assert_eq!(numbers(&mut commits), [2]);
        let freed = commits.handle_outcome(S, 2, CommitOutcome::Committed);
        assert!(matches!(freed, Freed::Committed(list) if list == [2]));
        assert!(commits.is_idle());
    }

    #[test]
    fn what_nobody_waits_for_goes_with_the_next_or_when_it_is_due() {
        let taken = |commits: &mut Commits<u32>, now_ms| {
            let mut ops = Vec::new();
            commits.take_batches(now_ms, |batch| ops.push(batch.ops.len()));
            ops
        };
        let mut commits = Commits::new(1, 1);
        let first = change(&mut commits);
        assert_eq!(commits.wait_unhurried(S, first, 1), None);
        assert!(taken(&mut commits, 1_000).is_empty());
        assert_eq!(commits.next_deadline(), Some(1_000 + UNHURRIED_MS_MAX));
        assert!(taken(&mut commits, 1_000 + UNHURRIED_MS_MAX - 1).is_empty());
        assert_eq!(taken(&mut commits, 1_000 + UNHURRIED_MS_MAX), [1]);
        assert_eq!(commits.next_deadline(), None);
        commits.handle_outcome(S, 1, CommitOutcome::Committed);
        change(&mut commits);
        assert!(taken(&mut commits, 2_000).is_empty());
        let second = change(&mut commits);
        commits.wait(S, second, 2);
        assert_eq!(taken(&mut commits, 2_000), [2], "together with what somebody waits for");
        for _ in 0..UNHURRIED_OPS_MAX {
            change(&mut commits);
        }
        assert!(taken(&mut commits, 9_000).is_empty(), "one batch in flight at a time");
        commits.handle_outcome(S, 2, CommitOutcome::Committed);
        assert_eq!(taken(&mut commits, 2_000), [UNHURRIED_OPS_MAX], "too many to wait");
    }

    #[test]
    fn a_full_disk_takes_along_what_builds_on_the_refused_batch() {
        let mut commits = Commits::new(1, 1);
        let first = change(&mut commits);
        commits.wait(S, first, 1);
        numbers(&mut commits);
        let second = change(&mut commits);
        commits.wait(S, second, 2);
        let freed = commits.handle_outcome(S, 1, CommitOutcome::Full);
        assert!(matches!(freed, Freed::Full(list) if list == [1, 2]));
        assert!(commits.is_idle());
        let third = change(&mut commits);
        assert_eq!((third, commits.wait(S, third, 3)), (Stamp(2), None));
        assert_eq!(numbers(&mut commits), [2]);
    }
}
