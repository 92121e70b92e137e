//! A bounded queue from many shards to the store's threads.
//!
//! Putting something in never waits: a full queue gives it back. The lock is held for a push or for handing out all
//! that waits, never across work.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Why something was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    items_max: usize,
    weight_max: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    weight: usize,
    /// Threads asleep in a take. Without one a push costs no system call.
    sleepers: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(items_max: usize, weight_max: usize) -> Self {
        let state = State { items: VecDeque::new(), weight: 0, sleepers: 0, closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), items_max, weight_max }
    }

    /// An item is taken while the weight before it is under the bound, so one heavier than the bound still passes.
    pub(crate) fn push(&self, item: T, weight: usize) -> Result<(), (T, Refused)> {
        let mut state = self.lock();
        if state.closed {
            return Err((item, Refused::Closed));
        }
        if state.items.len() >= self.items_max || state.weight >= self.weight_max {
            return Err((item, Refused::Full));
        }
        state.items.push_back(item);
        state.weight += weight;
        let wake = state.sleepers > 0;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for something and moves all that waits to `into`, which must be empty. False when the queue is closed
    /// and empty. Only for queues with one taker.
    pub(crate) fn take_all(&self, into: &mut VecDeque<T>) -> bool {
        assert!(into.is_empty(), "what was taken before is done");
        let mut state = self.wait_filled();
        std::mem::swap(&mut state.items, into);
        state.weight = 0;
        !into.is_empty()
    }

    /// Waits for something and takes the oldest. `None` when the queue is closed and empty. Only for queues whose
    /// items have no weight.
    pub(crate) fn take_one(&self) -> Option<T> {
        self.wait_filled().items.pop_front()
    }

    /// What is queued is still handed out; nothing more is taken in.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn wait_filled(&self) -> MutexGuard<'_, State<T>> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            state.sleepers += 1;
            state = self.filled.wait(state).expect("no holder of the queue's lock panics");
            state.sleepers -= 1;
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no holder of the queue's lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_closing() {
        let queue = Queue::new(2, 10);
        queue.push(1, 20).unwrap();
        assert_eq!(queue.push(2, 1), Err((2, Refused::Full)), "weight");
        let mut taken = VecDeque::new();
        assert!(queue.take_all(&mut taken));
        assert_eq!(taken.drain(..).collect::<Vec<_>>(), [1]);
        queue.push(3, 0).unwrap();
        queue.push(4, 0).unwrap();
        assert_eq!(queue.push(5, 0), Err((5, Refused::Full)), "items");
        queue.close();
        assert_eq!(queue.push(6, 0), Err((6, Refused::Closed)));
        assert_eq!(queue.take_one(), Some(3));
        assert!(queue.take_all(&mut taken), "what was queued is handed out after closing");
        taken.clear();
        assert!(!queue.take_all(&mut taken));
        assert_eq!(queue.take_one(), None);
    }

    #[test]
    fn a_sleeper_is_woken() {
        let queue = Queue::new(100, 100);
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| std::iter::from_fn(|| queue.take_one()).count());
            for item in 0..50 {
                while queue.push(item, 0).is_err() {}
            }
            queue.close();
            assert_eq!(taker.join().unwrap(), 50);
        });
    }
}
