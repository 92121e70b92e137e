//! The place where one shard leaves items for another.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::lanes::{Batch, Lane};

/// From one shard to another. Both sides only try the lock: it is held for a few moves of vectors.
pub(super) struct Crossing<T> {
    batch: Mutex<Batch<T>>,
    filled: AtomicBool,
    /// The receiver has ended; what is left is dropped by the sender.
    closed: AtomicBool,
    /// Items ever taken by the receiver, by lane.
    taken: [AtomicU64; 3],
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    There,
    /// The receiver is just taking; the batch is still with the sender.
    NotYet,
    /// The receiver has ended; the batch is still with the sender.
    Closed,
}

impl<T> Default for Crossing<T> {
    fn default() -> Self {
        let (filled, closed) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { batch: Mutex::default(), filled, closed, taken: Default::default() }
    }
}

impl<T> Crossing<T> {
    fn try_lock(&self) -> Option<MutexGuard<'_, Batch<T>>> {
        match self.batch.try_lock() {
            Ok(batch) => Some(batch),
            Err(TryLockError::WouldBlock) => None,
            // Moving vectors does not panic, and a half of it would still be whole items.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        }
    }

    /// Leaves a batch behind what is there; it is empty afterwards.
    pub fn leave(&self, batch: &mut Batch<T>) -> Left {
        if self.closed.load(Ordering::Acquire) {
            return Left::Closed;
        }
        let Some(mut there) = self.try_lock() else { return Left::NotYet };
        there.append(batch);
        self.filled.store(true, Ordering::Release);
        Left::There
    }

    /// Takes all that is there. `None`: nothing, or the sender is just leaving something.
    pub fn take(&self) -> Option<Batch<T>> {
        if !self.is_filled() {
            return None;
        }
        let mut there = self.try_lock()?;
        self.filled.store(false, Ordering::Release);
        Some(std::mem::take(&mut *there))
    }

    pub fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Items ever taken.
    pub fn taken(&self, lane: Lane) -> u64 {
        self.taken[lane as usize].load(Ordering::Acquire)
    }

    pub fn set_taken(&self, lane: Lane, count: u64) {
        self.taken[lane as usize].store(count, Ordering::Release);
    }
}
