//! The compactor of one store shard: a thread that keeps fjall's tables in shape after each feed.
//!
//! fjall's own workers are not used: one of two that has nothing to do passes the order to compact to the other one
//! and back again for as long as that one is busy, and with one of them nobody would compact again when a feed has to
//! wait.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use record::kv::StoreShardId;

use crate::database::Database;
use crate::pace::MergePace;
use crate::poison::Poison;
use crate::space::MergeSpace;
use crate::stats::{ShardCounters, micros};
use crate::table::Table;

/// With so many sorted runs in fjall's first level it does not yield any more: the feeder will soon have to wait.
const LEVEL0_RUNS_URGENT: usize = 24;

#[derive(Debug)]
pub(crate) struct CompactorSignal {
    state: Mutex<State>,
    wanted: Condvar,
    progress: Condvar,
    merges: Arc<MergePace>,
    /// The disk has no room for the merge that is wanted.
    short_of_space: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    closing: bool,
}

impl CompactorSignal {
    pub(crate) fn new(merges: Arc<MergePace>) -> Self {
        Self {
            state: Mutex::default(),
            wanted: Condvar::new(),
            progress: Condvar::new(),
            merges,
            short_of_space: AtomicBool::new(false),
        }
    }

    /// There may be something to merge.
    pub(crate) fn wake(&self, level0_runs: usize) {
        if level0_runs >= LEVEL0_RUNS_URGENT {
            self.merges.priority.raise();
        }
        self.lock().wanted = true;
        self.wanted.notify_one();
    }

    /// The thread ends; a merge that it is at is given up.
    pub(crate) fn close(&self) {
        self.merges.end();
        self.lock().closing = true;
        self.wanted.notify_one();
    }

    /// Nothing is gained by waiting for a merge.
    pub(crate) fn is_short_of_space(&self) -> bool {
        self.short_of_space.load(Relaxed)
    }

    /// Waits until tables were merged, or for so long.
    pub(crate) fn wait_for_progress(&self, bound: Duration) {
        let mut state = self.lock();
        state.wanted = true;
        self.wanted.notify_one();
        let _ = self.progress.wait_timeout(state, bound).expect("no holder of the signal's lock panics");
    }

    /// False when it is time to end.
    fn wait(&self) -> bool {
        let state = self.lock();
        let waited = self.wanted.wait_while(state, |state| !state.wanted && !state.closing);
        let mut state = waited.expect("no holder of the signal's lock panics");
        state.wanted = false;
        !state.closing
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the signal's lock panics")
    }
}

pub(crate) struct Compactor {
    pub shard: StoreShardId,
    pub database: Database,
    pub table: Arc<Table>,
    pub signal: Arc<CompactorSignal>,
    pub space: MergeSpace,
    pub poison: Arc<Poison>,
    pub counters: Arc<ShardCounters>,
}

impl Compactor {
    /// Whether a merge of so many bytes may be begun. A feed then no longer waits for one that may not.
    fn has_space(&self, bytes: u64) -> bool {
        let has_space = self.space.reserve(bytes);
        self.signal.short_of_space.store(!has_space, Relaxed);
        has_space
    }

    /// Until the signal is closed or something fails.
    pub(crate) fn run(self) {
        self.signal.merges.priority.begin();
        while self.signal.wait() {
            while !self.signal.is_closing() {
                let begun = Instant::now();
                let compacted = self.database.compact(|bytes| self.has_space(bytes));
                self.space.release();
                match compacted {
                    Ok(true) => {
                        self.counters.compactions.fetch_add(1, Relaxed);
                        self.counters.compaction_us_sum.fetch_add(micros(begun.elapsed()), Relaxed);
                        self.signal.progress.notify_one();
                        if self.database.level0_runs() < LEVEL0_RUNS_URGENT {
                            self.signal.merges.priority.lower();
                        }
                    }
                    Ok(false) => break,
                    Err(_) if self.signal.merges.is_ending() => return,
                    Err(failure) => {
                        let what = failure.into_text();
                        self.poison.set(format!("store shard {}: a compaction failed: {what}", self.shard.0));
                        self.table.fail();
                        return;
                    }
                }
            }
        }
    }
}
