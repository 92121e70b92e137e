//! How other threads reach a core: a bounded queue and a bell.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::bell::Doorbell;

/// The way into one core for threads outside. Items arrive in the order they were pushed, once per turn.
pub struct Remote<F> {
    queue: Mutex<Vec<F>>,
    capacity: usize,
    waiting: AtomicBool,
    stop: AtomicBool,
    doorbell: Arc<Doorbell>,
}

impl<F: Send> Remote<F> {
    /// A queue of at most `capacity` items that the core has not taken. Full: the item comes back to its sender.
    pub fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::new(Vec::new()),
            capacity,
            waiting: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            doorbell: Arc::new(Doorbell::new()?),
        })
    }

    /// Sends an item to the core and wakes it if it sleeps. `Err` gives the item back: the queue is full.
    pub fn push(&self, item: F) -> Result<(), F> {
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.len() >= self.capacity {
                return Err(item);
            }
            queue.push(item);
            self.waiting.store(true, Ordering::Release);
        }
        self.doorbell.ring_if_asleep();
        Ok(())
    }

    /// What wakes the core; the mesh uses it too.
    pub fn doorbell(&self) -> &Arc<Doorbell> {
        &self.doorbell
    }

    /// Asks the core to stop: it accepts no more, tells its driver, closes what is open, and ends.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.doorbell.ring_if_asleep();
    }

    /// Moves everything that waits to `into`, which must be empty.
    pub(super) fn take(&self, into: &mut Vec<F>) {
        assert!(into.is_empty());
        if self.waiting.load(Ordering::Acquire) {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            self.waiting.store(false, Ordering::Release);
            std::mem::swap(&mut *queue, into);
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(super) fn has_items(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_gives_the_item_back_and_order_is_kept() {
        let remote = Remote::new(3).expect("an event counter");
        assert!((0..3).all(|n| remote.push(n).is_ok()));
        assert_eq!(remote.push(3), Err(3));
        let mut taken = Vec::new();
        remote.take(&mut taken);
        assert_eq!(taken, [0, 1, 2]);
        assert!(!remote.has_items());
        assert_eq!(remote.push(4), Ok(()));
    }
}
