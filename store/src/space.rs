//! The floor of free space, asked for often enough to be true and seldom enough to be free.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::options::FreeSpace;

/// While there is room, the file system is asked this often at most.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// While there is none, a shorter time, so that writing goes on soon after space returns.
const ASK_EVERY_WHEN_FULL: Duration = Duration::from_millis(20);
/// A committed byte takes space in the log and again in a table.
const DISK_BYTES_PER_BYTE: u64 = 2;

/// Room for the merges of one store shard, which write all they make before they remove what it replaces. What the others
/// have begun is not room, though it may not be written yet, and neither is the floor.
pub(crate) struct MergeSpace {
    dir: PathBuf,
    free_space: FreeSpace,
    floor_bytes: u64,
    /// By the merges of all store shards.
    reserved_bytes: Arc<Mutex<u64>>,
    /// By the merge of this one.
    own_bytes: Cell<u64>,
}

impl MergeSpace {
    pub(crate) fn new(
        dir: PathBuf,
        free_space: FreeSpace,
        floor_bytes: u64,
        reserved_bytes: Arc<Mutex<u64>>,
    ) -> Self {
        Self { dir, free_space, floor_bytes, reserved_bytes, own_bytes: Cell::new(0) }
    }

    /// Takes room for a merge, if there is enough. If the file system does not say, the merge is begun.
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        assert_eq!(self.own_bytes.get(), 0, "one merge at a time");
        let mut reserved_bytes = self.reserved_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        // What the others have written of theirs counts twice: that errs to the safe side.
        let needed = self.floor_bytes.saturating_add(*reserved_bytes).saturating_add(bytes);
        let fits = (self.free_space)(&self.dir).map_or(true, |free_bytes| free_bytes >= needed);
        if fits {
            *reserved_bytes += bytes;
            self.own_bytes.set(bytes);
        }
        fits
    }

    /// The merge is over.
    pub(crate) fn release(&self) {
        let mut reserved_bytes = self.reserved_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *reserved_bytes -= self.own_bytes.take();
    }
}

pub(crate) struct SpaceFloor {
    dir: PathBuf,
    free_space: FreeSpace,
    floor_bytes: u64,
    asked: Option<Asked>,
}

struct Asked {
    at: Instant,
    free_bytes: u64,
    written_since_bytes: u64,
}

impl SpaceFloor {
    pub(crate) fn new(dir: PathBuf, free_space: FreeSpace, floor_bytes: u64) -> Self {
        Self { dir, free_space, floor_bytes, asked: None }
    }

    /// Whether these bytes may be written, when `unfed_bytes` of rows have yet to go from memory to tables.
    pub(crate) fn has_room_for(&mut self, bytes: u64, unfed_bytes: u64) -> bool {
        let now = Instant::now();
        if let Some(asked) = &self.asked {
            let age = now.saturating_duration_since(asked.at);
            if asked.free_bytes < self.floor_bytes.saturating_add(unfed_bytes) {
                if age < ASK_EVERY_WHEN_FULL {
                    return false;
                }
            } else if age < ASK_EVERY && self.fits(asked, bytes, unfed_bytes) {
                return true;
            }
        }
        self.ask(now);
        self.asked.as_ref().is_none_or(|asked| self.fits(asked, bytes, unfed_bytes))
    }

    pub(crate) fn on_written(&mut self, bytes: u64) {
        if let Some(asked) = &mut self.asked {
            asked.written_since_bytes += bytes;
        }
    }

    fn fits(&self, asked: &Asked, bytes: u64, unfed_bytes: u64) -> bool {
        let taken = (asked.written_since_bytes + bytes).saturating_mul(DISK_BYTES_PER_BYTE);
        asked.free_bytes.saturating_sub(taken) >= self.floor_bytes.saturating_add(unfed_bytes)
    }

    /// If the file system does not say, writing goes on: a full disk is then found by the write that fails.
    fn ask(&mut self, now: Instant) {
        self.asked = match (self.free_space)(&self.dir) {
            Ok(free_bytes) => Some(Asked { at: now, free_bytes, written_since_bytes: 0 }),
            Err(e) => {
                tracing::warn!(error = %e, "the free space of the data folder is not known");
                None
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_that_do_not_fit_together_are_not_begun_together() {
        let reserved: Arc<Mutex<u64>> = Arc::default();
        let space = || MergeSpace::new(PathBuf::new(), Arc::new(|_| Ok(100)), 10, reserved.clone());
        let (one, other) = (space(), space());
        assert!(!one.reserve(91), "the floor stays free");
        assert!(one.reserve(60));
        assert!(!other.reserve(31), "60 of the 90 are taken");
        assert!(other.reserve(30));
        one.release();
        one.release();
        assert!(!one.reserve(61) && one.reserve(60));
    }
}
