//! The thread that lets the marks trail the commits, a sync per store shard and interval at most.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use record::kv::StoreShardId;

use crate::mark::Mark;
use crate::stats::ShardCounters;

/// How far a mark may trail in time while commits go on.
const MARK_INTERVAL: Duration = Duration::from_millis(500);

/// How committers wake the thread, and how it is stopped.
#[derive(Debug, Default)]
pub(crate) struct MarkSignal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// There were commits since the marks were last written.
    behind: bool,
    closing: bool,
}

impl MarkSignal {
    pub(crate) fn on_commit(&self) {
        let mut state = self.lock();
        if !state.behind {
            state.behind = true;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The marks are written once more and the thread ends. Call it after the last commit.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_one();
    }

    /// Waits for commits and then for the interval. False when it is time to end.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        while !state.behind && !state.closing {
            state = self.changed.wait(state).expect("no holder of the signal's lock panics");
        }
        let waited = self.changed.wait_timeout_while(state, MARK_INTERVAL, |state| !state.closing);
        let (mut state, _) = waited.expect("no holder of the signal's lock panics");
        state.behind = false;
        !state.closing
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the signal's lock panics")
    }
}

/// The mark of one store shard and what it trails.
pub(crate) struct Trailing {
    pub shard: StoreShardId,
    pub mark: Mark,
    pub counters: Arc<ShardCounters>,
}

pub(crate) fn run(signal: &MarkSignal, mut marks: Vec<Trailing>) {
    while signal.wait() {
        raise_all(&mut marks);
    }
    raise_all(&mut marks);
}

fn raise_all(marks: &mut [Trailing]) {
    for trailing in marks {
        let last = trailing.counters.last_commit.load(Relaxed);
        if last <= trailing.mark.number() {
            continue;
        }
        // A mark that stays behind only makes the next start less watchful, so it does not stop the store.
        match trailing.mark.raise(last) {
            Ok(()) => trailing.counters.marked.store(last, Relaxed),
            Err(e) => {
                tracing::warn!(store_shard = trailing.shard.0, error = %e, "a mark could not be written")
            }
        }
    }
}
