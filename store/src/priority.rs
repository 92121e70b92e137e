//! How much a thread of the background yields to the threads that somebody waits for.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use rustix::process::{Pid, getpriority_process, setpriority_process};
use rustix::thread::gettid;

/// The priority of one background thread, as in `nice`. On Linux each thread has its own.
///
/// Raising it again needs a right that not every process has. Without it the thread stays where it is, and gets its
/// processor time once the store makes the others wait for it.
#[derive(Debug)]
pub(crate) struct Priority {
    niceness: i32,
    /// Zero before [`Priority::begin`].
    thread: AtomicI32,
    /// What the process has.
    base: AtomicI32,
    /// How far below that the thread is now.
    lowered: AtomicI32,
}

impl Priority {
    /// For a thread that yields by `niceness`.
    pub(crate) fn new(niceness: i32) -> Self {
        Self { niceness, thread: AtomicI32::new(0), base: AtomicI32::new(0), lowered: AtomicI32::new(0) }
    }

    /// Lowers the current thread.
    pub(crate) fn begin(&self) {
        self.base.store(getpriority_process(None).unwrap_or(0), Relaxed);
        self.thread.store(gettid().as_raw_nonzero().get(), Relaxed);
        self.lower();
    }

    /// The thread yields to others.
    pub(crate) fn lower(&self) {
        self.set(self.niceness);
    }

    /// Others wait for the thread, or soon will.
    pub(crate) fn raise(&self) {
        self.set(0);
    }

    pub(crate) fn is_lowered(&self) -> bool {
        self.lowered.load(Relaxed) > 0
    }

    fn set(&self, lowered: i32) {
        let Some(thread) = Pid::from_raw(self.thread.load(Relaxed)) else { return };
        if self.lowered.swap(lowered, Relaxed) != lowered {
            let set = setpriority_process(Some(thread), self.base.load(Relaxed) + lowered);
            if let Err(e) = set {
                tracing::debug!(error = %e, "a thread keeps its priority");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_thread_yields() {
        let own = || getpriority_process(Some(gettid())).unwrap();
        let before = own();
        let lowered = std::thread::spawn(move || {
            let priority = Priority::new(5);
            priority.raise();
            priority.begin();
            own()
        });
        assert_eq!(lowered.join().unwrap(), (before + 5).min(19));
        assert_eq!(own(), before);
    }
}
