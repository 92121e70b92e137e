//! Opens one store shard, and refuses to if anything acknowledged could be missing.

use std::fs;
use std::io::ErrorKind;

use record::kv::StoreShardId;

use crate::database::{Database, Failure, Stamp};
use crate::error::OpenError;
use crate::folder::{Folder, Manifest};
use crate::journal::{JournalScan, Verdict};
use crate::mark::{Mark, Marked};
use crate::options::Tuning;

/// A store shard that holds everything it has acknowledged, as far as can be known.
pub(crate) struct OpenShard {
    pub database: Database,
    pub mark: Mark,
    /// Of the last commit; number 0 before the first.
    pub stamp: Stamp,
}

/// Opens the shard. Nothing on disk is changed when it refuses because of the journals or the mark.
pub(crate) fn open_shard(
    folder: &Folder,
    manifest: &Manifest,
    shard: StoreShardId,
    tuning: Tuning,
) -> Result<OpenShard, OpenError> {
    let damaged = |what: String| OpenError::damaged(folder.dir(), shard, what);
    let marked = marked(folder, shard)?;
    let dir = folder.shard_dir(shard);
    let exists = fs::exists(dir.join("version"))
        .map_err(|e| OpenError::unusable(folder.dir(), format!("looking for store shard {}", shard.0), e))?;
    if !exists && manifest.complete {
        return Err(damaged("its folder is missing or empty".to_owned()));
    }
    let scan = look_at_journals(folder, manifest, shard, marked)?;
    let database = open_database(folder, shard, &scan, tuning)?;
    let stamp = last_stamp(folder, manifest, shard, &database)?;
    if let Some(expected) = scan.last_commit().filter(|expected| *expected != stamp.number) {
        return Err(damaged(format!(
            "its journals end with commit {expected}, but it opened with {}",
            stamp.number
        )));
    }
    let path = folder.mark_path(shard);
    let mark = match marked {
        Marked::At(mark) if mark > stamp.number => {
            return Err(behind_mark(folder, shard, stamp.number, mark));
        }
        Marked::At(_) => Mark::open(&path),
        Marked::Missing if stamp.number == 0 => Mark::create(&path, 0),
        Marked::Missing => return Err(damaged("its mark is missing".to_owned())),
        Marked::Damaged => return Err(damaged("its mark is not readable".to_owned())),
    };
    let mark =
        mark.map_err(|e| OpenError::unusable(folder.dir(), format!("opening the mark of {}", shard.0), e))?;
    Ok(OpenShard { database, mark, stamp })
}

pub(crate) fn marked(folder: &Folder, shard: StoreShardId) -> Result<Marked, OpenError> {
    Mark::read(&folder.mark_path(shard)).map_err(|e| {
        OpenError::unusable(folder.dir(), format!("reading the mark of store shard {}", shard.0), e)
    })
}

pub(crate) fn scan_journals(
    folder: &Folder,
    manifest: &Manifest,
    shard: StoreShardId,
) -> Result<JournalScan, OpenError> {
    JournalScan::of(&folder.shard_dir(shard), manifest.tag).map_err(|e| {
        OpenError::unusable(folder.dir(), format!("reading the journals of store shard {}", shard.0), e)
    })
}

/// Looks before fjall does, because fjall cuts off what it cannot read.
fn look_at_journals(
    folder: &Folder,
    manifest: &Manifest,
    shard: StoreShardId,
    marked: Marked,
) -> Result<JournalScan, OpenError> {
    let scan = scan_journals(folder, manifest, shard)?;
    if let (Marked::At(mark), Some(last)) = (marked, scan.last_commit())
        && last < mark
    {
        return Err(behind_mark(folder, shard, last, mark));
    }
    match scan.verdict() {
        Verdict::Sound => Ok(scan),
        Verdict::LastCommit(what) | Verdict::Inner(what) => {
            Err(OpenError::damaged(folder.dir(), shard, what))
        }
    }
}

/// Opens a database whose journals were found sound. A commit that was being written when the power went is cut off
/// first: fjall would do that too, but not without tripping over some of them.
pub(crate) fn open_database(
    folder: &Folder,
    shard: StoreShardId,
    scan: &JournalScan,
    tuning: Tuning,
) -> Result<Database, OpenError> {
    scan.cut_torn_end().map_err(|e| {
        OpenError::unusable(folder.dir(), format!("cutting a journal of store shard {}", shard.0), e)
    })?;
    let dir = folder.shard_dir(shard);
    if let Err(e) = fs::read_dir(&dir)
        && e.kind() != ErrorKind::NotFound
    {
        return Err(OpenError::unusable(folder.dir(), format!("reading store shard {}", shard.0), e));
    }
    Database::open(&dir, tuning).map_err(|failure| match failure {
        Failure::Locked => OpenError::InUse { dir: folder.dir().to_owned(), process: None },
        Failure::Io(e) => OpenError::unusable(folder.dir(), format!("opening store shard {}", shard.0), e),
        Failure::Other(what) => OpenError::damaged(folder.dir(), shard, what),
    })
}

pub(crate) fn last_stamp(
    folder: &Folder,
    manifest: &Manifest,
    shard: StoreShardId,
    database: &Database,
) -> Result<Stamp, OpenError> {
    let damaged = |what: String| OpenError::damaged(folder.dir(), shard, what);
    match database.last_stamp().map_err(|failure| damaged(failure.into_text()))? {
        Some(stamp) if stamp.tag != manifest.tag => Err(damaged("it is of another data folder".to_owned())),
        Some(stamp) => Ok(stamp),
        None => Ok(Stamp { number: 0, tag: manifest.tag }),
    }
}

fn behind_mark(folder: &Folder, shard: StoreShardId, last: u64, mark: u64) -> OpenError {
    OpenError::BehindMark { dir: folder.dir().to_owned(), shard, last, mark }
}
