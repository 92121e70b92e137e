//! What an operator or a test can choose, and the limits that nobody can.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::OpenError;
use crate::table::TABLES;

/// Most store shards of one data folder; each costs a database and three threads of its own.
pub const STORE_SHARDS_MAX: u16 = 64;
/// Most threads of the read pool.
pub const READ_THREADS_MAX: usize = 64;
/// Batches in one group commit.
pub const GROUP_BATCHES_MAX: usize = 1_024;
/// Bytes of keys and values in one group commit; the batch that crosses it is included.
pub const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Batches that wait for one committer. A full queue gives the batch back to its shard, which waits for an answer.
pub const COMMIT_QUEUE_BATCHES_MAX: usize = 4_096;
/// Bytes of keys and values that wait for one committer. A full queue gives the batch back.
pub const COMMIT_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Loads that wait for the read pool. A full queue gives the load back to its shard, which refuses or waits.
pub const LOAD_QUEUE_MAX: usize = 16_384;
/// Number of the highest shard that can be answered, plus one.
pub const ANSWERED_SHARDS_MAX: u16 = 1_024;

/// Rows in memory that are moved to fjall at once.
const FREEZE_BYTES: std::ops::RangeInclusive<u64> = 16 * 1024..=64 * 1024 * 1024;
/// Length of a log segment once a store shard is busy; about four of them fill between two feeds.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1024 * 1024..=16 * 1024 * 1024;
/// Cached descriptors of table files, over all store shards.
const TABLE_FILES_MAX: usize = 3_600;
const TABLE_FILES_PER_SHARD: std::ops::RangeInclusive<usize> = 32..=900;

/// How many bytes an unprivileged writer may still use on the file system of this folder.
pub type FreeSpace = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// Where the store's own threads may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Wherever the operating system likes.
    #[default]
    Anywhere,
    /// On these processors only, by the operating system's numbers.
    Within(Vec<usize>),
}

/// How to open a data folder. `new` gives the defaults; every field may be changed before opening.
#[derive(Clone)]
pub struct StoreOptions {
    /// The data folder. It is made, readable by its owner only, when it does not exist.
    pub dir: PathBuf,
    /// Store shards of a new data folder: a power of two, at most [`STORE_SHARDS_MAX`]. A folder that exists keeps
    /// the number it was made with.
    pub store_shards_if_new: u16,
    /// Below this much free space batches are answered `Full`, in bytes.
    ///
    /// The floor is room for what the store writes after it has stopped taking batches: the next log segments, and
    /// merges of tables that have begun (they write their output before they drop their input; one that does not fit
    /// is not begun). Rows that are in memory and not yet in tables are counted on top of it. If that room is missing,
    /// the store poisons itself, the node stops, and starts again once there is space; nothing acknowledged is lost
    /// either way. A test on a small image sets both lower.
    pub free_floor_bytes: u64,
    /// Block cache over all store shards, in bytes.
    pub cache_bytes: u64,
    /// Roughly the most that rows which are not yet in tables may take over all store shards, in bytes. The log on
    /// disk is up to four times as long.
    pub write_buffer_bytes: u64,
    /// Threads that answer loads, `1..=`[`READ_THREADS_MAX`].
    pub read_threads: usize,
    pub placement: Placement,
    /// Asked for the free space; a test puts its own here.
    pub free_space: FreeSpace,
    /// The promise to break. For tests only.
    #[cfg(feature = "fault-injection")]
    pub fault: crate::fault::Fault,
}

impl StoreOptions {
    pub const STORE_SHARDS_DEFAULT: u16 = 4;
    pub const FREE_FLOOR_BYTES_DEFAULT: u64 = 512 * 1024 * 1024;
    pub const CACHE_BYTES_DEFAULT: u64 = 256 * 1024 * 1024;
    pub const WRITE_BUFFER_BYTES_DEFAULT: u64 = 256 * 1024 * 1024;
    pub const READ_THREADS_DEFAULT: usize = 4;

    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            store_shards_if_new: Self::STORE_SHARDS_DEFAULT,
            free_floor_bytes: Self::FREE_FLOOR_BYTES_DEFAULT,
            cache_bytes: Self::CACHE_BYTES_DEFAULT,
            write_buffer_bytes: Self::WRITE_BUFFER_BYTES_DEFAULT,
            read_threads: Self::READ_THREADS_DEFAULT,
            placement: Placement::Anywhere,
            free_space: Arc::new(free_space_of_file_system),
            #[cfg(feature = "fault-injection")]
            fault: crate::fault::Fault::from_environment(),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), OpenError> {
        let shards = self.store_shards_if_new;
        if !valid_store_shards(shards) {
            return Err(OpenError::Option(format!(
                "the number of store shards is {shards}, but must be a power of two from 1 to {STORE_SHARDS_MAX}"
            )));
        }
        if !(1..=READ_THREADS_MAX).contains(&self.read_threads) {
            return Err(OpenError::Option(format!(
                "the number of read threads is {}, but must be 1 to {READ_THREADS_MAX}",
                self.read_threads
            )));
        }
        Ok(())
    }

    pub(crate) fn tuning(&self, store_shards: u16) -> Tuning {
        Tuning::new(self.cache_bytes, self.write_buffer_bytes, store_shards)
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("dir", &self.dir)
            .field("store_shards_if_new", &self.store_shards_if_new)
            .field("free_floor_bytes", &self.free_floor_bytes)
            .field("cache_bytes", &self.cache_bytes)
            .field("write_buffer_bytes", &self.write_buffer_bytes)
            .field("read_threads", &self.read_threads)
            .field("placement", &self.placement)
            .finish_non_exhaustive()
    }
}

pub(crate) fn valid_store_shards(store_shards: u16) -> bool {
    store_shards.is_power_of_two() && store_shards <= STORE_SHARDS_MAX
}

fn free_space_of_file_system(dir: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(dir)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// One store shard's part of the budgets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub cache_bytes: u64,
    /// Rows in memory that are moved to fjall at once.
    pub freeze_bytes: u64,
    pub segment_bytes: u64,
    pub table_files_max: usize,
}

impl Tuning {
    pub(crate) fn new(cache_bytes: u64, write_buffer_bytes: u64, store_shards: u16) -> Self {
        let shards = u64::from(store_shards);
        let freeze_bytes = write_buffer_bytes / (shards * TABLES);
        let freeze_bytes = freeze_bytes.clamp(*FREEZE_BYTES.start(), *FREEZE_BYTES.end());
        let files = TABLE_FILES_MAX / usize::from(store_shards);
        Self {
            cache_bytes: cache_bytes / shards,
            freeze_bytes,
            segment_bytes: (freeze_bytes / 2).clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end()),
            table_files_max: files.clamp(*TABLE_FILES_PER_SHARD.start(), *TABLE_FILES_PER_SHARD.end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_memory_stay_within_their_budget() {
        let tuning = Tuning::new(0, 256 << 20, 4);
        assert!(tuning.freeze_bytes * TABLES * 4 <= 256 << 20);
        assert_eq!(Tuning::new(0, 0, 64).freeze_bytes, *FREEZE_BYTES.start());
        assert_eq!(Tuning::new(0, u64::MAX, 1).freeze_bytes, *FREEZE_BYTES.end());
    }

    #[test]
    fn wrong_options_are_named() {
        let mut options = StoreOptions::new("unused");
        options.store_shards_if_new = 3;
        assert!(options.validate().unwrap_err().to_string().contains("store shards is 3"));
        options.store_shards_if_new = 4;
        options.read_threads = 0;
        assert!(options.validate().unwrap_err().to_string().contains("read threads is 0"));
    }
}
