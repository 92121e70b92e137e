//! One store shard's fjall database: the only file that commits to it and reads from it.

use std::any::Any;
use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use fjall::{CompressionType, KeyspaceCreateOptions, PersistMode, Readable};
use record::kv::{Batch, Query, Rows};

use crate::options::{JOURNAL_BYTES_MAX, Tuning};
use crate::query::{collect_range, one_row};

/// Key of the row that every commit begins with, in a keyspace of its own. Its value is a [`Stamp`].
pub(crate) const STAMP_KEY: &[u8; 8] = b"rtcommit";
pub(crate) const STAMP_BYTES: usize = 16;

/// Workers of one database. With one, flushes queue behind compactions and a write can wait forever (fjall#257).
const WORKERS: usize = 2;

/// What the first item of every commit says.
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
            fjall::Error::Poisoned => Self::Other("an earlier write or a flush failed".to_owned()),
            fjall::Error::JournalRecovery(e) => Self::Other(format!("journal: {e:?}")),
            other => Self::Other(format!("{other:?}")),
        }
    }
}

/// A handle; clones share the database.
#[derive(Clone)]
pub(crate) struct Database {
    fjall: fjall::Database,
    data: fjall::Keyspace,
    meta: fjall::Keyspace,
}

impl Database {
    /// Opens the database in `dir`, making it if it does not exist.
    pub(crate) fn open(dir: &Path, tuning: Tuning) -> Result<Self, Failure> {
        guarded(|| {
            let fjall = fjall::Database::builder(dir)
                .worker_threads(WORKERS)
                .cache_size(tuning.cache_bytes)
                .max_journaling_size(JOURNAL_BYTES_MAX)
                .max_cached_files(Some(tuning.table_files_max))
                // The journal's scanner knows plain items only, and values are too short for it to matter.
                .journal_compression(CompressionType::None)
                .open()?;
            let options = |bytes| move || KeyspaceCreateOptions::default().max_memtable_size(bytes);
            let data = fjall.keyspace("data", options(tuning.memtable_bytes))?;
            let meta = fjall.keyspace("meta", options(tuning.memtable_bytes_meta))?;
            Ok(Self { fjall, data, meta })
        })
    }

    /// The stamp of the last commit; `None` before the first.
    pub(crate) fn last_stamp(&self) -> Result<Option<Stamp>, Failure> {
        guarded(|| {
            let Some(value) = self.meta.get(STAMP_KEY)? else { return Ok(None) };
            let stamp = Stamp::from_bytes(&value);
            stamp
                .map(Some)
                .ok_or_else(|| Failure::Other("the row with the last commit is not readable".into()))
        })
    }

    /// Writes the batches as one commit. When it returns without a failure, they survive a power cut (unless `mode`
    /// says otherwise), and readers see them. After a failure they may or may not be on disk.
    pub(crate) fn commit<'a>(
        &self,
        stamp: Stamp,
        batches: impl Iterator<Item = &'a Batch>,
        mode: PersistMode,
    ) -> Result<(), Failure> {
        guarded(|| {
            let mut commit = self.fjall.batch().durability(Some(mode));
            commit.insert(&self.meta, STAMP_KEY.as_slice(), stamp.to_bytes().as_slice());
            let mut seen = HashSet::new();
            // From the last op to the first: the last one on a key wins, and earlier ones are not worth writing.
            let ops: Vec<_> = batches.flat_map(|batch| &batch.ops).collect();
            for op in ops.into_iter().rev() {
                if !seen.insert(op.key) {
                    continue;
                }
                match op.value {
                    Some(value) => commit.insert(&self.data, op.key, value),
                    None => commit.remove(&self.data, op.key),
                }
            }
            Ok(commit.commit()?)
        })
    }

    /// Answers all queries from one snapshot.
    pub(crate) fn read(&self, queries: &[Query]) -> Result<Vec<Rows>, Failure> {
        guarded(|| {
            let snapshot = self.fjall.snapshot();
            queries.iter().map(|query| self.read_one(&snapshot, query)).collect()
        })
    }

    fn read_one(&self, snapshot: &fjall::Snapshot, query: &Query) -> Result<Rows, Failure> {
        match query {
            Query::Get(key) => {
                let value = snapshot.get(&self.data, key)?;
                Ok(one_row(key, value.map(|value| Bytes::copy_from_slice(&value))))
            }
            Query::Range { from, to, .. } if from >= to => Ok(Rows::default()),
            Query::Range { from, to, reverse, rows_max, bytes_max } => {
                let range = snapshot.range(&self.data, &from[..]..&to[..]);
                if *reverse {
                    collect_range(range.rev().map(owned_row), *rows_max, *bytes_max)
                } else {
                    collect_range(range.map(owned_row), *rows_max, *bytes_max)
                }
            }
        }
    }

    /// Shows every row in key order; stops at the first that cannot be read.
    pub(crate) fn for_each_row(&self, mut visit: impl FnMut(&[u8], &[u8])) -> Result<u64, Failure> {
        guarded(|| {
            let mut rows = 0;
            for row in self.fjall.snapshot().iter(&self.data) {
                let (key, value) = row.into_inner()?;
                visit(&key, &value);
                rows += 1;
            }
            Ok(rows)
        })
    }

    /// Bytes of live tables.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.data.disk_space() + self.meta.disk_space()
    }

    /// Whether a write, a flush or a compaction has failed. May wait for a sync.
    pub(crate) fn has_failed(&self) -> bool {
        // Writes out nothing: every commit leaves fjall's own buffer empty.
        guarded(|| Ok(self.fjall.persist(PersistMode::Buffer)?)).is_err()
    }

    /// Moves everything from memory to tables, so that tests see both.
    #[cfg(test)]
    pub(crate) fn flush(&self) {
        self.data.rotate_memtable_and_wait().unwrap();
        self.meta.rotate_memtable_and_wait().unwrap();
    }
}

fn owned_row(row: fjall::Guard) -> Result<(Bytes, Bytes), Failure> {
    let (key, value) = row.into_inner()?;
    // Copied, because the original keeps a whole block of the cache alive.
    Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
}

/// fjall asserts where it meets damage that it does not expect. That must end in a failure with a name, not in a
/// thread that is gone and batches that are never answered.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Failure::Other(panic_text(&*panic))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a broken assertion ({})", text.unwrap_or_default().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use record::kv::{Row, StoreShardId};

    use super::*;

    fn ops(range: std::ops::Range<u32>, step: usize, value: Option<&str>) -> Batch {
        let op = |n: u32| (format!("key-{n:04}"), value.map(|value| format!("{value}-{n}")));
        Batch { store_shard: StoreShardId(0), number: 0, term: 0, ops: range.step_by(step).map(op).collect() }
    }

    /// Rows in tables, in sealed memtables and in the active one, with deletes and overwrites between them.
    #[test]
    fn reads_merge_memory_and_tables() {
        let dir = tempfile::tempdir().unwrap();
        let tuning = Tuning::new(0, 0, 1);
        let mut database = Database::open(dir.path(), tuning).unwrap();
        let mut model = BTreeMap::new();
        let rounds = [
            ops(0..300, 1, Some("first")),
            ops(0..300, 3, None),
            ops(100..400, 2, Some("second")),
            ops(250..260, 1, None),
            ops(255..300, 5, Some("third")),
        ];
        for (number, batch) in (1..).zip(rounds) {
            for op in &batch.ops {
                match op.value {
                    Some(value) => {
                        model.insert(Bytes::copy_from_slice(op.key), Bytes::copy_from_slice(value))
                    }
                    None => model.remove(op.key),
                };
            }
            database.commit(Stamp { number, tag: 9 }, [&batch].into_iter(), PersistMode::SyncData).unwrap();
            match number % 3 {
                0 => database.flush(),
                1 => {
                    drop(database);
                    database = Database::open(dir.path(), tuning).unwrap();
                }
                _ => {}
            }
            assert_eq!(database.last_stamp().unwrap(), Some(Stamp { number, tag: 9 }));
            let row = |(key, value): (&Bytes, &Bytes)| Row { key: key.clone(), value: value.clone() };
            let (from, to) = (Bytes::from("key-0050"), Bytes::from("key-0290"));
            let expected: Vec<Row> = model.range(from.clone()..to.clone()).map(row).collect();
            let query = |reverse| Query::Range {
                from: from.clone(),
                to: to.clone(),
                reverse,
                rows_max: 1_000,
                bytes_max: 1 << 20,
            };
            let mut rows = database.read(&[query(false), query(true)]).unwrap();
            rows[1].rows.reverse();
            assert_eq!(rows[0].rows, expected);
            assert_eq!(rows[1].rows, expected);
            assert_eq!(database.for_each_row(|_, _| {}).unwrap(), model.len() as u64);
        }
    }
}
