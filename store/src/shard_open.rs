//! Opens one store shard, and refuses to if anything acknowledged could be missing.

use std::fs;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use record::kv::StoreShardId;

use crate::database::{Database, Failure, Stamp};
use crate::error::OpenError;
use crate::folder::{FORMAT_WITHOUT_LOG, Folder, Manifest};
use crate::journal::{self, JournalScan, Verdict};
use crate::log::{self, LogDamage, LogId, LogKeeper, LogScan, LogWriter};
use crate::mark::{Mark, Marked};
use crate::options::Tuning;
use crate::table::{Run, Table, merge_small};
use crate::view::View;

/// With more log segments than this a start moves their rows to tables at once. Each start begins a segment, and without
/// this a node that is started often and has little to do would have many.
const SEGMENTS_FED_AT_START: usize = 8;

/// A store shard that holds everything it has acknowledged, as far as can be known.
pub(crate) struct OpenShard {
    pub view: View,
    pub log: LogWriter,
    pub log_keeper: LogKeeper,
    pub mark: Mark,
    /// Number of the last commit; 0 before the first.
    pub last: u64,
}

/// One store shard of a folder that is held.
#[derive(Clone, Copy)]
pub(crate) struct ShardPlace<'a> {
    pub folder: &'a Folder,
    pub manifest: &'a Manifest,
    pub shard: StoreShardId,
}

/// What is on disk, read and found whole, with nothing changed by it yet.
pub(crate) struct Found {
    pub database: Database,
    /// Rows that the log holds beyond the database.
    pub table: Table,
    log: LogScan,
    /// Everything up to this commit is in the database.
    fed: u64,
    /// Number of the last commit.
    pub last: u64,
}

/// Opens the shard, making it at the first start. Nothing on disk is changed when it refuses because of the log, the
/// journals or the mark.
pub(crate) fn open_shard(place: ShardPlace<'_>, tuning: Tuning) -> Result<OpenShard, OpenError> {
    let marked = place.marked()?;
    if !place.database_exists()? && place.manifest.complete {
        return Err(place.damaged("its folder is missing or empty"));
    }
    if place.has_log() {
        let dir = place.folder.shard_dir(place.shard);
        journal::remove_sealed(&dir).map_err(|e| place.unusable("removing old journals of", e))?;
    }
    let found = place.find(marked, tuning)?;
    if let Marked::At(mark) = marked
        && mark > found.last
    {
        return Err(place.behind_mark(found.last, mark));
    }
    place.open_found(marked, found, tuning)
}

impl ShardPlace<'_> {
    pub(crate) fn marked(self) -> Result<Marked, OpenError> {
        Mark::read(&self.folder.mark_path(self.shard)).map_err(|e| self.unusable("reading the mark of", e))
    }

    pub(crate) fn has_log(self) -> bool {
        self.manifest.format > FORMAT_WITHOUT_LOG
    }

    pub(crate) fn database_exists(self) -> Result<bool, OpenError> {
        fs::exists(self.folder.shard_dir(self.shard).join("version"))
            .map_err(|e| self.unusable("looking for", e))
    }

    /// Reads what is there. In a folder of format 1 only what its journals are known to be whole of.
    pub(crate) fn find(self, marked: Marked, tuning: Tuning) -> Result<Found, OpenError> {
        if self.has_log() { self.find_with_log(tuning) } else { self.find_without_log(marked, tuning) }
    }

    fn find_with_log(self, tuning: Tuning) -> Result<Found, OpenError> {
        let database = self.open_database(tuning)?;
        let fed = database.fed();
        if self.manifest.complete && matches!(fed, Ok(None)) {
            return Err(self.damaged("it does not say which data folder it is of"));
        }
        let fed = self.stamp(fed)?.number;
        let mut runs = Vec::new();
        let on_commit = |run: Run| {
            let (kept, run) = merge_small(&runs, run);
            runs.truncate(kept);
            runs.push(Arc::new(run));
        };
        let log = match log::scan(&self.folder.log_dir(self.shard), self.log_id(), fed, on_commit) {
            Err(LogDamage::Io(e)) if e.kind() == ErrorKind::NotFound => LogScan::default(),
            Err(LogDamage::Io(e)) => return Err(self.unusable("reading the log of", e)),
            Err(LogDamage::Damaged(what)) => return Err(self.damaged(what)),
            Ok(log) => log,
        };
        if log.segments.is_empty() && self.manifest.complete {
            return Err(self.damaged("its log is missing"));
        }
        let last = log.last.unwrap_or(0).max(fed);
        Ok(Found { database, table: Table::new(tuning.freeze_bytes, runs, last), log, fed, last })
    }

    fn find_without_log(self, marked: Marked, tuning: Tuning) -> Result<Found, OpenError> {
        let scan = self.scan_journals()?;
        if let (Marked::At(mark), Some(last)) = (marked, scan.last_commit())
            && last < mark
        {
            return Err(self.behind_mark(last, mark));
        }
        if let Verdict::LastCommit(what) | Verdict::Inner(what) = scan.verdict() {
            return Err(self.damaged(what));
        }
        let database = self.open_without_log(&scan, tuning)?;
        let last = self.stamp(database.last_commit_of_format_1())?.number;
        if let Some(expected) = scan.last_commit().filter(|expected| *expected != last) {
            return Err(
                self.damaged(format!("its journals end with commit {expected}, but it opened with {last}"))
            );
        }
        let table = Table::new(tuning.freeze_bytes, Vec::new(), last);
        Ok(Found { database, table, log: LogScan::default(), fed: last, last })
    }

    fn open_found(self, marked: Marked, found: Found, tuning: Tuning) -> Result<OpenShard, OpenError> {
        let Found { database, table, log, fed, last } = found;
        let dir = self.folder.log_dir(self.shard);
        if !self.has_log() {
            log::discard_empty(&dir).map_err(|e| self.unusable("making the log of", e))?;
        }
        if !self.has_log() || !self.manifest.complete {
            // Says whose the database is, and moves what fjall has in memory to tables: its journals are of no use
            // from now on.
            let stamp = Stamp { number: fed, tag: self.manifest.tag };
            database.put_stamp(stamp).map_err(|failure| self.failed(failure))?;
        }
        if log.segments.len() > SEGMENTS_FED_AT_START {
            table.feed_now();
        }
        let path = self.folder.mark_path(self.shard);
        let mark = match marked {
            Marked::At(_) => Mark::open(&path),
            Marked::Missing if last == 0 => Mark::create(&path, 0),
            Marked::Missing => return Err(self.damaged("its mark is missing")),
            Marked::Damaged => return Err(self.damaged("its mark is not readable")),
        };
        let mark = mark.map_err(|e| self.unusable("opening the mark of", e))?;
        let opened = log::open(&dir, self.log_id(), log, fed, tuning.segment_bytes);
        let (log, log_keeper) = opened.map_err(|e| self.unusable("opening the log of", e))?;
        let view = View { database, table: Arc::new(table) };
        Ok(OpenShard { view, log, log_keeper, mark, last })
    }

    pub(crate) fn scan_journals(self) -> Result<JournalScan, OpenError> {
        JournalScan::of(&self.folder.shard_dir(self.shard), self.manifest.tag)
            .map_err(|e| self.unusable("reading the journals of", e))
    }

    /// Opens a database of format 1 whose journals were found sound. A commit that was being written when the power
    /// went is cut off first: fjall would do that too, but not without tripping over some of them.
    fn open_without_log(self, scan: &JournalScan, tuning: Tuning) -> Result<Database, OpenError> {
        scan.cut_torn_end().map_err(|e| self.unusable("cutting a journal of", e))?;
        self.open_database(tuning)
    }

    fn open_database(self, tuning: Tuning) -> Result<Database, OpenError> {
        let dir = self.folder.shard_dir(self.shard);
        if let Err(e) = fs::read_dir(&dir)
            && e.kind() != ErrorKind::NotFound
        {
            return Err(self.unusable("reading", e));
        }
        Database::open(&dir, tuning).map_err(|failure| self.failed(failure))
    }

    /// The stamp, if it is of this folder; number 0 if there is none.
    fn stamp(self, found: Result<Option<Stamp>, Failure>) -> Result<Stamp, OpenError> {
        match found.map_err(|failure| self.damaged(failure.into_text()))? {
            Some(stamp) if stamp.tag != self.manifest.tag => {
                Err(self.damaged("it is of another data folder"))
            }
            Some(stamp) => Ok(stamp),
            None => Ok(Stamp { number: 0, tag: self.manifest.tag }),
        }
    }

    fn log_id(self) -> LogId {
        LogId { shard: self.shard, tag: self.manifest.tag }
    }

    fn failed(self, failure: Failure) -> OpenError {
        match failure {
            Failure::Locked => OpenError::InUse { dir: self.folder.dir().to_owned(), process: None },
            Failure::Io(e) => self.unusable("opening", e),
            Failure::Other(what) => self.damaged(what),
        }
    }

    pub(crate) fn damaged(self, what: impl Into<String>) -> OpenError {
        OpenError::damaged(self.folder.dir(), self.shard, what)
    }

    pub(crate) fn behind_mark(self, last: u64, mark: u64) -> OpenError {
        OpenError::BehindMark { dir: self.folder.dir().to_owned(), shard: self.shard, last, mark }
    }

    fn unusable(self, doing: &str, e: io::Error) -> OpenError {
        OpenError::unusable(self.folder.dir(), format!("{doing} store shard {}", self.shard.0), e)
    }
}
