//! The keeper: a thread that lets the marks trail the commits.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use record::kv::StoreShardId;

use crate::mark::Mark;
use crate::stats::ShardCounters;

/// How far a mark may trail in time while commits go on: a sync per store shard and interval at most.
const KEEPER_INTERVAL: Duration = Duration::from_millis(500);

/// How committers wake the keeper, and how it is stopped.
#[derive(Debug, Default)]
pub(crate) struct KeeperSignal {
    state: Mutex<State>,
    changed: Condvar,
    /// Commits that have begun and not ended.
    commits: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Commits have begun since the keeper last looked.
    busy: bool,
    closing: bool,
}

impl KeeperSignal {
    pub(crate) fn on_commit_begin(&self) {
        self.commits.fetch_add(1, Relaxed);
        let mut state = self.lock();
        if !state.busy {
            state.busy = true;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Call it after the counters say what was committed: a keeper that finds no commit going on has seen them all.
    pub(crate) fn on_commit_end(&self) {
        self.commits.fetch_sub(1, Release);
    }

    /// The marks are written once more and the thread ends. Call it after the last commit.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_one();
    }

    /// Waits until commits have begun, or go on, and then for the interval. False when it is time to end.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        while !state.busy && !state.closing && self.commits.load(Acquire) == 0 {
            state = self.changed.wait(state).expect("no holder of the signal's lock panics");
        }
        let waited = self.changed.wait_timeout_while(state, KEEPER_INTERVAL, |state| !state.closing);
        let (mut state, _) = waited.expect("no holder of the signal's lock panics");
        // A commit that has not ended yet must be seen by the next look.
        state.busy = self.commits.load(Acquire) > 0;
        !state.closing
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the signal's lock panics")
    }
}

/// One store shard as the keeper sees it.
pub(crate) struct Kept {
    pub shard: StoreShardId,
    pub mark: Mark,
    pub counters: Arc<ShardCounters>,
}

impl Kept {
    fn raise_mark(&mut self) {
        let last = self.counters.last_commit.load(Relaxed);
        if last <= self.mark.number() {
            return;
        }
        // A mark that stays behind only makes the next start less watchful, so it does not stop the store.
        match self.mark.raise(last) {
            Ok(()) => self.counters.marked.store(last, Relaxed),
            Err(e) => tracing::warn!(store_shard = self.shard.0, error = %e, "a mark could not be written"),
        }
    }
}

pub(crate) fn run(signal: &KeeperSignal, mut shards: Vec<Kept>) {
    while signal.wait() {
        shards.iter_mut().for_each(Kept::raise_mark);
    }
    shards.iter_mut().for_each(Kept::raise_mark);
}
