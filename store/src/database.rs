//! One store shard's fjall database: the only file that writes to it and reads from it.
//!
//! fjall holds what was fed to it, as sorted batches that go straight into its tables: its journal and memtables are
//! not used. It has no threads of its own either; see [`crate::compactor`].

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::compaction::filter::Factory;
use fjall::{AbstractTree, KeyspaceCreateOptions, Readable, Slice};
use lsm_tree::compaction::{CompactionStrategy, MoveDown, PullDown};
use record::kv::KEY_LEN_MAX;

use crate::options::Tuning;
use crate::pace::{MergePace, Pace, PacedMerges};
use crate::priority::Priority;
use crate::table::Row;
use crate::tiers::{LEVELS, Step, next_step};

/// How much the thread that merges yields to the threads that somebody waits for.
const MERGE_NICENESS: i32 = 15;
/// Where fjall has its tables, in the folder of a keyspace.
const TABLES: &str = "tables";
/// Key of the row that says which commit a database holds everything up to. Longer than any key may be and behind all
/// of them, so that it can be in one batch with the rows and no query ever meets it.
const FED_KEY: [u8; KEY_LEN_MAX + 1] = [0xff; KEY_LEN_MAX + 1];
/// Key of the row that did the same in the format before, where every commit began with it.
pub(crate) const STAMP_KEY: &[u8; 8] = b"rtcommit";
pub(crate) const STAMP_BYTES: usize = 16;
const DATA: &str = "data";
/// The keyspace of [`STAMP_KEY`].
const META: &str = "meta";

/// Which commit of which data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Rises by one with each commit of this store shard.
    pub number: u64,
    /// The data folder's tag.
    pub tag: u64,
}

impl Stamp {
    pub(crate) fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..].copy_from_slice(&self.tag.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; STAMP_BYTES] = bytes.try_into().ok()?;
        let (number, tag) = bytes.split_at(8);
        Some(Self {
            number: u64::from_le_bytes(number.try_into().ok()?),
            tag: u64::from_le_bytes(tag.try_into().ok()?),
        })
    }
}

/// Why fjall did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another process has this database open.
    Locked,
    /// The operating system refused.
    Io(io::Error),
    /// Everything else, in words.
    Other(String),
}

impl Failure {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Locked => "it is open in another process".to_owned(),
            Self::Io(error) => error.to_string(),
            Self::Other(text) => text,
        }
    }
}

impl From<fjall::Error> for Failure {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Locked,
            fjall::Error::Io(e) => Self::Io(e),
            fjall::Error::Poisoned => Self::Other("an earlier write failed".to_owned()),
            fjall::Error::JournalRecovery(e) => Self::Other(format!("journal: {e:?}")),
            other => Self::Other(format!("{other:?}")),
        }
    }
}

impl From<fjall::LsmError> for Failure {
    fn from(error: fjall::LsmError) -> Self {
        fjall::Error::from(error).into()
    }
}

/// A handle; clones share the database.
#[derive(Clone)]
pub(crate) struct Database {
    fjall: fjall::Database,
    data: fjall::Keyspace,
    merges: Arc<MergePace>,
}

/// A moment of a database.
pub(crate) struct Snapshot<'a> {
    fjall: fjall::Snapshot,
    data: &'a fjall::Keyspace,
}

impl Database {
    /// Opens the database in `dir`, making it if it does not exist.
    pub(crate) fn open(dir: &Path, tuning: Tuning) -> Result<Self, Failure> {
        guarded(|| {
            let merges = Arc::new(MergePace::new(MERGE_NICENESS));
            let filters: Arc<dyn Factory> = Arc::new(PacedMerges(merges.clone()));
            let fjall = fjall::Database::builder(dir)
                .with_compaction_filter_factories(Arc::new(move |keyspace| {
                    (keyspace == DATA).then(|| filters.clone())
                }))
                // With one worker or more, fjall compacts when it likes, and a worker that waits for another one
                // takes a whole processor.
                .worker_threads_unchecked(0)
                .cache_size(tuning.cache_bytes)
                .max_cached_files(Some(tuning.table_files_max))
                .open()?;
            let data = fjall.keyspace(DATA, keyspace_options)?;
            let database = Self { fjall, data, merges };
            database.merges.tables.get_or_init(|| database.tables_folder());
            Ok(database)
        })
    }

    /// Up to which commit everything is in the database; `None` if nothing was ever fed.
    pub(crate) fn fed(&self) -> Result<Option<Stamp>, Failure> {
        guarded(|| self.data.get(FED_KEY)?.map(|value| readable(&value)).transpose())
    }

    /// The last commit that a program of the format before made, if one did.
    pub(crate) fn last_commit_of_format_1(&self) -> Result<Option<Stamp>, Failure> {
        guarded(|| {
            if !self.fjall.keyspace_exists(META) {
                return Ok(None);
            }
            let meta = self.fjall.keyspace(META, KeyspaceCreateOptions::default)?;
            meta.get(STAMP_KEY)?.map(|value| readable(&value)).transpose()
        })
    }

    /// The stamp alone.
    pub(crate) fn put_stamp(&self, stamp: Stamp) -> Result<(), Failure> {
        let no_rows = std::iter::empty::<Result<std::iter::Empty<Row<'_>>, Failure>>();
        self.feed(no_rows, stamp, &self.merges.priority).map(drop)
    }

    /// Adds rows in the order of their keys, part by part, as one step with the stamp, and tells how many. When this returns without a failure, they
    /// survive a power cut and readers see them; after a failure nothing of them may be there or all.
    ///
    /// Table files, their folder and the file that names them are synced by fjall before it says so (`Writer::finish`
    /// and `persist_version` of lsm-tree 3.1.10).
    pub(crate) fn feed<'a, R: Iterator<Item = Row<'a>>>(
        &self,
        parts: impl Iterator<Item = Result<R, Failure>>,
        stamp: Stamp,
        priority: &Arc<Priority>,
    ) -> Result<u64, Failure> {
        guarded(|| {
            let mut rows = 0;
            let mut pace = Pace::begin(priority.clone(), self.tables_folder());
            let mut ingestion = self.data.start_ingestion()?;
            for part in parts {
                for (key, value) in part? {
                    rows += 1;
                    pace.on_row(key.len() + value.map_or(0, <[u8]>::len)).map_err(Failure::Io)?;
                    match value {
                        Some(value) => ingestion.write(key, value)?,
                        None => ingestion.write_tombstone(key)?,
                    }
                }
            }
            ingestion.write(FED_KEY, stamp.to_bytes())?;
            ingestion.finish()?;
            Ok(rows)
        })
    }

    /// How its merges go.
    pub(crate) fn merges(&self) -> &Arc<MergePace> {
        &self.merges
    }

    fn tables_folder(&self) -> PathBuf {
        self.data.path().join(TABLES)
    }

    /// Keys of rows with `first <= key <= last`, at most `limit` of them.
    pub(crate) fn keys(&self, first: &[u8], last: &[u8], limit: usize) -> Result<Vec<Slice>, Failure> {
        guarded(|| {
            let range = self.data.range(first..=last).take(limit);
            range.map(|row| Ok(row.key()?)).collect()
        })
    }

    /// Merges tables once, if that is worth it. False if there was nothing to do. `has_space`: whether a merge may be
    /// begun that will write so many bytes before it removes as many.
    pub(crate) fn compact(&self, has_space: impl Fn(u64) -> bool) -> Result<bool, Failure> {
        guarded(|| {
            let levels = self.data.tree.current_version();
            let before = self.fjall.seqno();
            let runs = |level: usize| levels.level(level).map_or(0, |level| level.run_count());
            let bytes = |level: usize| levels.level(level).map_or(0, |level| level.size());
            let fits = |from: usize| has_space(bytes(from) + bytes(from + 1));
            let step = next_step(std::array::from_fn::<_, LEVELS, _>(runs), fits);
            let Some(step) = step else { return Ok(false) };
            drop(levels);
            let strategy: Arc<dyn CompactionStrategy> = match step {
                Step::Move { from } => Arc::new(MoveDown(from as u8, from as u8 + 1)),
                Step::Merge { from } => Arc::new(PullDown(from as u8, from as u8 + 1)),
            };
            let unseen_below = self.fjall.supervisor.snapshot_tracker.get_seqno_safe_to_gc();
            self.data.tree.compact(strategy, unseen_below)?;
            // Each change of the tables takes a number. A feed in between makes this look once more than it must.
            Ok(self.fjall.seqno() != before)
        })
    }

    /// How many sorted runs a read has to look at on top of the levels below.
    pub(crate) fn level0_runs(&self) -> usize {
        self.data.tree.l0_run_count()
    }

    pub(crate) fn tables(&self) -> usize {
        self.data.table_count()
    }

    /// Bytes of live tables.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.data.disk_space()
    }

    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { fjall: self.fjall.snapshot(), data: &self.data }
    }
}

impl Snapshot<'_> {
    pub(crate) fn value_of(&self, key: &[u8]) -> Result<Option<Slice>, Failure> {
        Ok(self.fjall.get(self.data, key)?)
    }

    /// Rows with `from <= key < to`; `from` must be below `to`.
    pub(crate) fn range(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Slice, Slice), Failure>> + use<> {
        let to = to.min(&FED_KEY);
        let range = self.fjall.range(self.data, from.min(to)..to);
        range.map(|row| row.into_inner().map_err(Failure::from))
    }

    /// All rows.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = Result<(Slice, Slice), Failure>> + use<> {
        self.range(&[], &FED_KEY)
    }
}

fn readable(value: &[u8]) -> Result<Stamp, Failure> {
    Stamp::from_bytes(value)
        .ok_or_else(|| Failure::Other("the row with the last commit is not readable".into()))
}

/// Part of the disk format of folders made from now on; fjall keeps it with the keyspace.
fn keyspace_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
}

/// fjall asserts where it meets damage that it does not expect. That must end in a failure with a name, not in a
/// thread that is gone and batches that are never answered.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.unwrap_or_else(|panic| Err(Failure::Other(panic_text(&*panic))))
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, is taken for damage of the database and told as a failure. A panic hook that
/// ends the process must ask, and leave such a panic alone.
pub fn catches_panics() -> bool {
    GUARDED.get()
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a broken assertion ({})", text.unwrap_or_default().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use lsm_tree::compaction::Leveled;

    use super::*;

    #[test]
    fn a_broken_assertion_is_a_failure_and_said_to_be_caught() {
        let mut seen = Vec::new();
        let result: Result<(), Failure> = guarded(|| {
            let inner: Result<(), Failure> = guarded(|| panic!("a block is too short"));
            seen.push(catches_panics());
            inner
        });
        let Err(Failure::Other(text)) = result else { panic!("not a failure") };
        assert!(text.contains("broken assertion (a block is too short)"), "{text}");
        assert_eq!((&seen[..], catches_panics()), (&[true][..], false));
    }
    use crate::tiers::FED_RUNS_MERGED;

    fn open(dir: &Path) -> Database {
        Database::open(dir, Tuning::new(1 << 20, 1 << 20, 1)).unwrap()
    }

    /// A feed of every second key up to `keys`, and deletes of some that the feed before wrote.
    fn feed(database: &Database, number: u64, keys: u64) {
        let key = |n: u64| format!("{n:06}").into_bytes();
        let value = number.to_le_bytes();
        let rows: Vec<_> = (number % 2..keys).step_by(2).map(|n| (key(n), (n % 10 != number % 10))).collect();
        let rows = rows.iter().map(|(key, put)| (&key[..], put.then_some(&value[..])));
        let priority = Arc::new(Priority::new(0));
        database.feed(std::iter::once(Ok(rows)), Stamp { number, tag: 7 }, &priority).unwrap();
    }

    fn rows(database: &Database) -> Vec<(Slice, Slice)> {
        database.snapshot().rows().map(Result::unwrap).collect()
    }

    fn compact_all(database: &Database) {
        while database.compact(|_| true).unwrap() {}
    }

    /// The database of a program that merged by levels: its rows, and deletes of them, go on in tiers.
    #[test]
    fn levels_become_tiers_and_no_row_changes() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path());
        (1..=9).for_each(|number| feed(&database, number, 500));
        let by_levels = Arc::new(Leveled::default().with_table_target_size(4_096));
        database.data.tree.compact(by_levels, 0).unwrap();
        assert_eq!(database.level0_runs(), 0, "they are merged by levels");
        drop(database);

        let database = open(folder.path());
        for number in 10..=300 {
            feed(&database, number, 500);
            if number % 20 == 0 {
                let before = rows(&database);
                compact_all(&database);
                assert!(rows(&database) == before, "{number}");
            }
        }
        compact_all(&database);
        let expected = |n: u64| (1..=300).rev().find(|number| number % 2 == n % 2).map(|number| (n, number));
        let expected = (0..500).filter_map(expected).filter(|(n, number)| n % 10 != number % 10);
        let expected: Vec<_> =
            expected.map(|(n, number)| (format!("{n:06}").into_bytes(), number.to_le_bytes())).collect();
        let found = rows(&database);
        assert!(
            found.iter().map(|(k, v)| (&k[..], &v[..])).eq(expected.iter().map(|(k, v)| (&k[..], &v[..])))
        );
        assert_eq!(database.fed().unwrap(), Some(Stamp { number: 300, tag: 7 }));
        let version = database.data.tree.current_version();
        let runs = version.iter_levels().map(|level| level.run_count()).sum::<usize>();
        assert!(runs < 40, "{runs} runs");
    }

    #[test]
    fn a_merge_that_is_given_up_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path());
        (1..=FED_RUNS_MERGED as u64).for_each(|number| feed(&database, number, 500));
        let before = rows(&database);
        assert!(!database.compact(|_| false).unwrap(), "without space nothing is begun");
        database.merges().end();
        assert!(database.compact(|_| true).is_err());
        assert!(rows(&database) == before);
        drop(database);
        let database = open(folder.path());
        assert!(rows(&database) == before);
        compact_all(&database);
        assert_eq!(database.level0_runs(), 0);
        assert!(rows(&database) == before);
    }
}
