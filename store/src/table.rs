//! The rows of one store shard that are in its log and not yet in fjall.
//!
//! The committer adds a sorted run per group commit. When enough has gathered the runs are **frozen**: the feeder
//! moves them to fjall as one sorted batch, while new runs gather beside them. Readers see frozen and active runs on
//! top of fjall.
//!
//! Bounds: runs are frozen at `freeze_bytes`. While a frozen set is being fed the active one may grow to
//! [`GROWTH_MAX`] times that and by one group; then the committer waits, its queue fills, and the shards get their
//! batches back.

mod filter;
mod overlay;
mod parts;
mod run;

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub(crate) use overlay::Overlay;
pub(crate) use parts::Parts;
pub(crate) use run::{Merged, Row, Run};

use crate::priority::Priority;

/// How far the active runs may grow beyond the freezing point while the feeder is busy.
pub(crate) const GROWTH_MAX: u64 = 2;
/// Frozen and active, each up to its most.
pub(crate) const TABLES: u64 = 2 * GROWTH_MAX;
/// Runs are also frozen when the log behind them is so many times larger: rows that are written over and over take
/// little memory, but the log grows and with it the time of the next start.
const LOG_PER_FREEZE_MAX: u64 = 4;
/// Each read looks at each run, so there must not be too many.
const RUNS_MAX: usize = 256;
/// Small runs are merged when so many of a size class stand in a row.
const MERGE_RUNS: usize = 8;
/// Runs below one of these sizes are of its class. Larger ones wait for the feeder, since a merge delays a commit.
const MERGE_CLASSES_BYTES: [u64; 3] = [4 * 1024, 32 * 1024, 128 * 1024];
/// How much the feeder yields to the threads that somebody waits for.
const FEEDER_NICENESS: i32 = 10;
/// Without a commit for this long, what has gathered is fed, so that an idle node gives its memory back.
const IDLE_FEED_AFTER: Duration = Duration::from_secs(1);
/// But not what is less than this part of the freezing point, nor too often: each such feed makes a small table, and
/// sixteen tables, however small, have fjall write all that they overlap anew.
const IDLE_FEED_PART: u64 = 16;
const IDLE_FEED_EVERY: Duration = Duration::from_secs(60);

/// Runs on their way to fjall.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub runs: Arc<Vec<Arc<Run>>>,
    /// The last commit in them.
    pub up_to: u64,
}

/// What the feeder is to do.
#[derive(Debug)]
pub(crate) enum Work {
    Feed(Frozen),
    /// The log has begun its last segment.
    PrepareSegment,
    /// The store is closed.
    End,
}

#[derive(Debug)]
pub(crate) struct Table {
    state: Mutex<State>,
    /// There is work for the feeder.
    work: Condvar,
    /// The committer may go on.
    room: Condvar,
    /// Of the feeder's thread. It yields to others while it keeps up with the commits.
    pub(crate) feeder: Arc<Priority>,
    freeze_bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    active: Arc<Vec<Arc<Run>>>,
    active_bytes: u64,
    active_log_bytes: u64,
    frozen: Option<Frozen>,
    frozen_bytes: u64,
    /// The last commit in the table, or in fjall if the table is empty.
    last: u64,
    segment_wanted: bool,
    /// The feeder looks by itself whether commits go on.
    watched: bool,
    /// When a table was last fed because nothing else happened.
    idle_fed_at: Option<Instant>,
    closing: bool,
    /// Nothing will be fed any more.
    failed: bool,
}

impl Table {
    /// A table that begins with what the log holds beyond fjall.
    pub(crate) fn new(freeze_bytes: u64, runs: Vec<Arc<Run>>, last: u64) -> Self {
        let active_bytes = runs.iter().map(|run| run.memory_bytes()).sum();
        let state = State { active: Arc::new(runs), active_bytes, last, ..State::default() };
        let feeder = Arc::new(Priority::new(FEEDER_NICENESS));
        Self { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new(), feeder, freeze_bytes }
    }

    /// Waits until the next commit's rows have room. True if it had to.
    pub(crate) fn wait_for_room(&self) -> bool {
        let mut state = self.lock();
        let mut waited = false;
        while state.frozen.is_some() && !state.failed && state.active_bytes >= self.freeze_bytes * GROWTH_MAX
        {
            waited = true;
            state = self.room.wait(state).expect("no holder of the table's lock panics");
        }
        waited
    }

    /// Adds the rows of a commit that is on disk. Only for the committer.
    pub(crate) fn push(&self, run: Run, number: u64, log_bytes: u64, segment_wanted: bool) {
        let active = self.lock().active.clone();
        let (kept, run) = merge_small(&active, run);
        let mut state = self.lock();
        // If the feeder has taken the runs meanwhile, what was merged is fed as well: the same rows again change
        // nothing.
        let kept = Arc::ptr_eq(&state.active, &active).then_some(kept);
        drop(active);
        state.push(kept, run);
        state.active_log_bytes += log_bytes;
        state.last = number;
        state.segment_wanted |= segment_wanted;
        let full = state.active_bytes >= self.freeze_bytes
            || state.active_log_bytes >= self.freeze_bytes * LOG_PER_FREEZE_MAX
            || state.active.len() >= RUNS_MAX;
        let behind = full && state.frozen.is_some();
        if full {
            state.freeze();
        }
        let watch = !state.watched && state.active_bytes >= self.freeze_bytes / IDLE_FEED_PART;
        let wake = full || segment_wanted || watch;
        drop(state);
        if wake {
            self.work.notify_one();
        }
        if behind {
            self.feeder.raise();
        }
    }

    /// What is in memory at this moment, together with what `take` gives: nothing is fed or committed in between.
    pub(crate) fn overlay_and<T>(&self, take: impl FnOnce() -> T) -> (Overlay, T) {
        let state = self.lock();
        let frozen = state.frozen.as_ref().map(|frozen| frozen.runs.clone()).unwrap_or_default();
        (Overlay { frozen, active: state.active.clone() }, take())
    }

    /// Waits for something to feed or prepare. Only for the feeder.
    pub(crate) fn wait_for_work(&self) -> Work {
        let mut state = self.lock();
        loop {
            if state.closing || state.failed {
                return Work::End;
            }
            if std::mem::take(&mut state.segment_wanted) {
                return Work::PrepareSegment;
            }
            if let Some(frozen) = &state.frozen {
                return Work::Feed(frozen.clone());
            }
            if state.active_bytes >= self.freeze_bytes {
                state.freeze();
                continue;
            }
            state = self.wait_or_freeze_idle(state);
        }
    }

    fn wait_or_freeze_idle<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let poisoned = "no holder of the table's lock panics";
        if state.active_bytes < self.freeze_bytes / IDLE_FEED_PART || state.active.is_empty() {
            return self.work.wait(state).expect(poisoned);
        }
        let last = state.last;
        state.watched = true;
        let (mut state, timeout) = self.work.wait_timeout(state, IDLE_FEED_AFTER).expect(poisoned);
        state.watched = false;
        let idle = timeout.timed_out() && state.last == last;
        if idle && state.idle_fed_at.is_none_or(|fed_at| fed_at.elapsed() >= IDLE_FEED_EVERY) {
            state.idle_fed_at = Some(Instant::now());
            state.freeze();
        }
        state
    }

    /// The frozen rows are in fjall, durably.
    pub(crate) fn on_fed(&self) {
        let mut state = self.lock();
        let frozen = state.frozen.take().expect("something was frozen");
        state.frozen_bytes = 0;
        let behind = state.active_bytes >= self.freeze_bytes;
        drop(state);
        self.room.notify_one();
        if !behind {
            self.feeder.lower();
        }
        // Freeing many runs takes time, and readers may still have them.
        drop(frozen);
    }

    /// Nothing will be fed any more: whoever waits goes on, to find the store poisoned.
    pub(crate) fn fail(&self) {
        self.lock().failed = true;
        self.room.notify_one();
        self.work.notify_one();
    }

    /// Has everything fed, however little it is.
    pub(crate) fn feed_now(&self) {
        self.lock().freeze();
        self.work.notify_one();
    }

    /// The feeder ends after what it is doing. What is not fed stays in the log.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.lock();
        state.active_bytes + state.frozen_bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the table's lock panics")
    }
}

impl State {
    /// Adds a run. With `kept`, it holds the rows of all active runs behind the first so many, and replaces them.
    fn push(&mut self, kept: Option<usize>, run: Run) {
        let active = Arc::make_mut(&mut self.active);
        active.truncate(kept.unwrap_or(active.len()));
        active.push(Arc::new(run));
        self.active_bytes = active.iter().map(|run| run.memory_bytes()).sum();
    }

    /// Hands the active runs to the feeder, unless it still has some.
    fn freeze(&mut self) {
        if self.frozen.is_some() || self.active.is_empty() {
            return;
        }
        self.frozen = Some(Frozen { runs: std::mem::take(&mut self.active), up_to: self.last });
        self.frozen_bytes = std::mem::take(&mut self.active_bytes);
        self.active_log_bytes = 0;
    }
}

/// Merges the new run with small ones before it, so that there are never many. Gives how many of the runs stay, and
/// the run that replaces the others.
pub(crate) fn merge_small(active: &[Arc<Run>], run: Run) -> (usize, Run) {
    let mut kept = active.len();
    let mut run = Arc::new(run);
    for class_bytes in MERGE_CLASSES_BYTES {
        if run.memory_bytes() >= class_bytes {
            continue;
        }
        let small = active[..kept].iter().rev().take_while(|run| run.memory_bytes() < class_bytes).count();
        if small + 1 >= MERGE_RUNS {
            let merged: Vec<_> = active[kept - small..kept].iter().cloned().chain([run]).collect();
            kept -= small;
            run = Arc::new(Run::merge(&merged));
        }
    }
    (kept, Arc::into_inner(run).expect("nobody else has the new run"))
}

#[cfg(test)]
mod tests {
    use super::run::tests::encoded;
    use super::*;

    fn run_of(key: &str, value_len: usize) -> Run {
        Run::from_rows(encoded(&[(key, Some(&"v".repeat(value_len)))]), 0, 1).unwrap()
    }

    fn values(table: &Table, key: &str) -> Option<usize> {
        let (overlay, ()) = table.overlay_and(|| ());
        overlay.value_of(key.as_bytes()).map(|value| value.unwrap().len())
    }

    #[test]
    fn many_small_commits_become_few_runs_and_lose_nothing() {
        let table = Table::new(u64::MAX / 8, Vec::new(), 0);
        for number in 1..=1_000_u64 {
            table.push(run_of(&format!("key-{:03}", number % 100), number as usize % 50), number, 0, false);
            let (overlay, ()) = table.overlay_and(|| ());
            assert!(overlay.active.len() <= MERGE_RUNS * (MERGE_CLASSES_BYTES.len() + 1), "{number}");
        }
        for key in 0..100 {
            assert_eq!(values(&table, &format!("key-{key:03}")), Some(key % 50));
        }
        assert!(table.bytes() < 100_000, "rows that were written over are gone");
    }

    #[test]
    fn the_committer_waits_only_while_too_much_is_ahead_of_the_feeder() {
        let freeze_bytes = 10_000;
        let table = Table::new(freeze_bytes, Vec::new(), 0);
        let mut number = 0;
        let mut push = |table: &Table| {
            number += 1;
            table.push(run_of(&format!("{number}"), 4_000), number, 0, false);
            number
        };
        while table.lock().frozen.is_none() {
            push(&table);
            assert!(!table.wait_for_room());
        }
        let Work::Feed(frozen) = table.wait_for_work() else { panic!() };
        assert_eq!(frozen.up_to, table.lock().last);
        while table.lock().active_bytes < freeze_bytes * GROWTH_MAX {
            assert!(!table.wait_for_room());
            push(&table);
        }
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| table.wait_for_room());
            table.on_fed();
            waiter.join().unwrap();
        });
        // What gathered meanwhile is next, without a further commit.
        let Work::Feed(next) = table.wait_for_work() else { panic!() };
        assert!(next.up_to > frozen.up_to);
        assert_eq!(values(&table, "1"), None, "what was fed is fjall's");
        table.fail();
        assert!(!table.wait_for_room());
        assert!(matches!(table.wait_for_work(), Work::End));
    }

    #[test]
    fn a_long_log_is_fed_even_if_it_is_about_few_rows() {
        let table = Table::new(1_000_000, Vec::new(), 0);
        let mut number = 0;
        while table.lock().frozen.is_none() {
            number += 1;
            table.push(run_of("same", 10), number, 100_000, false);
        }
        assert_eq!(number, 10 * LOG_PER_FREEZE_MAX);
        assert_eq!(values(&table, "same"), Some(10));
    }

    #[test]
    fn a_frozen_set_while_a_merge_is_on_loses_nothing() {
        let active: Vec<_> = (0..MERGE_RUNS).map(|n| Arc::new(run_of(&format!("{n}"), 9))).collect();
        let table = Table::new(1, active.clone(), 0);
        let (kept, merged) = merge_small(&active, run_of("new", 9));
        assert_eq!((kept, merged.len()), (0, MERGE_RUNS + 1));
        let mut state = table.lock();
        state.freeze();
        state.push(None, merged);
        drop(state);
        assert_eq!(values(&table, "0"), Some(9));
        assert_eq!(values(&table, "new"), Some(9));
    }
}
