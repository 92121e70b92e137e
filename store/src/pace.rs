//! Feeds and merges as good neighbours: in short pieces, on the processor and on the disk.
//!
//! Both compete with the commits. A low priority is not enough on the processor: it is a part of the time, given in
//! stretches of milliseconds, and a sync needs the kernel's own threads to run meanwhile. On the disk a table that is
//! synced at once, tens of MiB long, makes the log's syncs wait until all of it is there.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};

use crate::priority::Priority;

/// So long a thread works without a pause while it yields to others.
const STRETCH_MAX: Duration = Duration::from_micros(200);
/// The shortest pause there is: the kernel's slack of timers makes it some 60 us.
const PAUSE: Duration = Duration::from_micros(1);
/// A growing table is synced every so many bytes of rows.
const SYNCED_BYTES: usize = 1024 * 1024;
/// Rows between two looks at the clock.
const ROWS_PER_LOOK: u32 = 16;

/// The pace of one feed or merge.
pub(crate) struct Pace {
    priority: Arc<Priority>,
    begun: Instant,
    rows: u32,
    unsynced_bytes: usize,
    tables: GrowingTables,
}

impl Pace {
    /// `tables`: fjall's folder of them. To be made before the first table that it is about.
    pub(crate) fn begin(priority: Arc<Priority>, tables: PathBuf) -> Self {
        let tables = GrowingTables::begin(tables);
        Self { priority, begun: Instant::now(), rows: 0, unsynced_bytes: 0, tables }
    }

    /// A row of so many bytes was written. True from time to time.
    ///
    /// # Errors
    /// If a table cannot be synced.
    pub(crate) fn on_row(&mut self, bytes: usize) -> io::Result<bool> {
        self.rows += 1;
        self.unsynced_bytes += bytes;
        if !self.rows.is_multiple_of(ROWS_PER_LOOK) {
            return Ok(false);
        }
        if self.unsynced_bytes >= SYNCED_BYTES {
            self.unsynced_bytes = 0;
            self.tables.sync()?;
        }
        if self.begun.elapsed() >= STRETCH_MAX && self.priority.is_lowered() {
            std::thread::sleep(PAUSE);
            self.begun = Instant::now();
        }
        Ok(true)
    }
}

/// The tables that were begun after a moment.
struct GrowingTables {
    folder: PathBuf,
    /// The highest number that a table had then.
    last_before: u64,
}

impl GrowingTables {
    fn begin(folder: PathBuf) -> Self {
        // A folder that cannot be read is found out by the sync.
        let last_before = newest_of(&folder).unwrap_or(None).unwrap_or(0);
        Self { folder, last_before }
    }

    /// Syncs the newest one. With a feed and a merge at once it may be the other's, which does no harm.
    fn sync(&self) -> io::Result<()> {
        let Some(newest) = newest_of(&self.folder)?.filter(|newest| *newest > self.last_before) else {
            return Ok(());
        };
        match File::open(self.folder.join(newest.to_string())) {
            Ok(file) => file.sync_data(),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// Tables are named by their numbers, which rise.
fn newest_of(folder: &Path) -> io::Result<Option<u64>> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        newest = newest.max(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
    }
    Ok(newest)
}

/// How fjall's merges are paced and ended: it shows each row to a filter, which keeps all of them.
#[derive(Debug)]
pub(crate) struct MergePace {
    /// Of the compactor's thread.
    pub priority: Arc<Priority>,
    /// fjall's folder of tables, once it is known.
    pub tables: OnceLock<PathBuf>,
    ending: AtomicBool,
}

impl MergePace {
    /// For a thread that yields by so much.
    pub(crate) fn new(niceness: i32) -> Self {
        let priority = Arc::new(Priority::new(niceness));
        Self { priority, tables: OnceLock::new(), ending: AtomicBool::new(false) }
    }

    /// A merge that is on ends soon, with an error and without having changed anything.
    pub(crate) fn end(&self) {
        self.ending.store(true, Relaxed);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }
}

/// Makes the filters of [`MergePace`].
pub(crate) struct PacedMerges(pub Arc<MergePace>);

impl Factory for PacedMerges {
    fn name(&self) -> &str {
        "pace"
    }

    fn make_filter(&self, _context: &Context) -> Box<dyn CompactionFilter> {
        let tables = self.0.tables.get().cloned().unwrap_or_default();
        Box::new(PacedMerge { pace: Pace::begin(self.0.priority.clone(), tables), merges: self.0.clone() })
    }
}

struct PacedMerge {
    pace: Pace,
    merges: Arc<MergePace>,
}

impl CompactionFilter for PacedMerge {
    fn filter_item(&mut self, row: ItemAccessor<'_>, _context: &Context) -> CompactionFilterResult {
        let bytes = row.key().len() + row.value()?.len();
        if self.pace.on_row(bytes)? && self.merges.is_ending() {
            return Err(io::Error::from(ErrorKind::Interrupted).into());
        }
        Ok(Verdict::Keep)
    }
}
