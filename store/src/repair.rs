//! Makes a store that does not open open again, if nothing acknowledged is lost by it.
//!
//! A mark that is lost is made anew. What a power cut does to the log needs no repair: the commit that was being written
//! is left out at the next start. In a folder of format 1 it can leave that commit so that fjall refuses to open;
//! `repair` then puts the damaged journal aside and cuts it off behind the last whole commit. It refuses when whole
//! commits lie behind the damage, or when what is left would be behind the mark: then the store has lost what it
//! acknowledged, and a backup is needed.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::OpenError;
use crate::folder::{Folder, sync_folder};
use crate::journal::{FileScan, Verdict};
use crate::mark::{Mark, Marked};
use crate::options::Tuning;
use crate::shard_open::ShardPlace;

/// What a repair did and did not do, one line each, beginning with the store shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    pub store_shards: u16,
    pub repaired: Vec<String>,
    /// What needs a backup. Nothing was changed in these store shards.
    pub refused: Vec<String>,
}

impl RepairReport {
    /// Whether the store will open now.
    pub fn is_sound(&self) -> bool {
        self.refused.is_empty()
    }
}

impl fmt::Display for RepairReport {
    /// What was done and refused, and a last line that sums up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.repaired.iter().chain(&self.refused) {
            writeln!(f, "{line}")?;
        }
        let (repaired, refused) = (self.repaired.len(), self.refused.len());
        write!(f, "repair: store_shards={} repaired={repaired} refused={refused}", self.store_shards)
    }
}

/// Repairs what can be repaired in a data folder that is not in use.
///
/// # Errors
/// If the folder as a whole cannot be used.
pub fn repair(dir: &Path) -> Result<RepairReport, OpenError> {
    let folder = Folder::take(dir)?;
    let manifest = folder.read_manifest()?.ok_or_else(|| OpenError::NoManifest { dir: dir.to_owned() })?;
    let mut report = RepairReport { store_shards: manifest.store_shards, ..RepairReport::default() };
    for shard in manifest.shards() {
        let shard_repair = ShardRepair(ShardPlace { folder: &folder, manifest: &manifest, shard });
        match shard_repair.run() {
            Ok(done) => report.repaired.extend(done.map(|line| format!("store shard {}: {line}", shard.0))),
            Err(Refusal(why)) => report.refused.push(format!("store shard {}: {why}", shard.0)),
        }
    }
    Ok(report)
}

/// Why a store shard cannot be repaired.
struct Refusal(String);

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self(format!("{error}; nothing was changed"))
    }
}

struct ShardRepair<'a>(ShardPlace<'a>);

impl ShardRepair<'_> {
    /// What was done, or `None` if there was nothing to do.
    fn run(&self) -> Result<Option<String>, Refusal> {
        if self.0.has_log() {
            return self.mend_if_it_opens();
        }
        let scan = self.0.scan_journals()?;
        if let (Marked::At(mark), Some(last)) = (self.0.marked()?, scan.last_commit())
            && last < mark
        {
            return Err(behind(last, mark));
        }
        match scan.verdict() {
            Verdict::Inner(what) => Err(Refusal(format!("{what}; restore the folder from a backup"))),
            Verdict::LastCommit(what) => {
                let newest = scan.files.last().expect("only a journal can be damaged");
                self.cut(newest, &what).map(Some)
            }
            Verdict::Sound => self.mend_if_it_opens(),
        }
    }

    fn mend_if_it_opens(&self) -> Result<Option<String>, Refusal> {
        let last = self.opens().map_err(|Refusal(what)| {
            Refusal(format!("{what}; it cannot be repaired: restore the folder from a backup"))
        })?;
        self.mend_mark(last)
    }

    /// Cuts the newest journal off behind its last whole commit, or leaves everything as it was.
    fn cut(&self, file: &FileScan, what: &str) -> Result<String, Refusal> {
        let aside = self.put_aside(file)?;
        file.cut()?;
        let opened = self.reopens();
        match opened {
            Ok(mark) => {
                let mark = mark.map(|line| format!("; {line}")).unwrap_or_default();
                Ok(format!("{what}; cut off there, the damaged journal is kept in {}{mark}", aside.display()))
            }
            Err(Refusal(why)) => {
                copy_synced(&aside, &file.path)?;
                Err(Refusal(format!("{what}; cutting it off does not help: {why}; the journal is as it was")))
            }
        }
    }

    /// Copies a journal to where nothing will change it, and never over an older copy.
    fn put_aside(&self, file: &FileScan) -> Result<PathBuf, Refusal> {
        let damaged = self.0.folder.damaged_dir();
        fs::create_dir_all(&damaged)?;
        for copy in 1_u32.. {
            let aside = damaged.join(format!("shard-{:02}-{}-{copy}.jnl", self.0.shard.0, file.id));
            if !aside.try_exists()? {
                copy_synced(&file.path, &aside)?;
                sync_folder(self.0.folder.dir())?;
                return Ok(aside);
            }
        }
        unreachable!("a folder cannot hold that many copies")
    }

    /// Looks at everything again after a cut.
    fn reopens(&self) -> Result<Option<String>, Refusal> {
        let last = self.opens()?;
        self.mend_mark(last)
    }

    /// The number of the last commit, if the store shard opens and is not behind its mark.
    fn opens(&self) -> Result<u64, Refusal> {
        if !self.0.database_exists()? {
            let first_start = !self.0.manifest.complete;
            return if first_start {
                Ok(0)
            } else {
                Err(Refusal("its folder is missing or empty".to_owned()))
            };
        }
        let marked = self.0.marked()?;
        let found = self.0.find(marked, Tuning::new(0, 0, 1)).map_err(|e| match e {
            OpenError::Damaged { what, .. } => Refusal(what),
            other => other.into(),
        })?;
        match marked {
            Marked::At(mark) if mark > found.last => Err(behind(found.last, mark)),
            _ => Ok(found.last),
        }
    }

    /// A mark that is gone can be made again, because the store shard itself is whole.
    fn mend_mark(&self, last: u64) -> Result<Option<String>, Refusal> {
        match self.0.marked()? {
            Marked::At(_) => Ok(None),
            Marked::Missing if !self.0.manifest.complete => Ok(None),
            Marked::Missing | Marked::Damaged => {
                Mark::create(&self.0.folder.mark_path(self.0.shard), last)?;
                Ok(Some(format!("its mark was not readable and is now at commit {last}")))
            }
        }
    }
}

fn behind(last: u64, mark: u64) -> Refusal {
    Refusal(format!(
        "commit {mark} was acknowledged and only {last} would be left; restore the folder from a backup"
    ))
}

/// Journals are mostly holes, and a copy of one may be as long as it is.
fn copy_synced(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()?;
    sync_folder(to.parent().expect("a file lies in a folder"))
}
