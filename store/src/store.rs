//! The store of one node: a data folder with its committers, its readers and its marks.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use record::kv::{Batch, Query, Rows, StoreShardId};

use crate::answer::{Answers, LoadRequest};
use crate::committer::Submitted;
use crate::compactor::CompactorSignal;
use crate::error::OpenError;
use crate::folder::{FORMAT_VERSION, Folder, Manifest};
use crate::keeper::KeeperSignal;
use crate::opening::Opening;
use crate::options::{ANSWERED_SHARDS_MAX, StoreOptions};
use crate::poison::Poison;
use crate::queue::{Queue, Refused};
use crate::stats::{ReadCounters, ShardCounters, StoreStats};
use crate::view::View;

/// A batch that was not taken, and why.
#[derive(Debug)]
pub struct SubmitRefused {
    pub batch: Batch,
    pub reason: RefusedReason,
}

/// A load that was not taken, and why.
#[derive(Debug)]
pub struct LoadRefused {
    pub request: LoadRequest,
    pub reason: RefusedReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// The queue has reached its bound. It gets shorter with the next answer.
    QueueFull,
    /// The store is closed.
    Closed,
}

impl From<Refused> for RefusedReason {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::QueueFull,
            Refused::Closed => Self::Closed,
        }
    }
}

/// Why a store did not close within its bound. What was not answered by then is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the store did not close in time: {0} is still busy")]
pub struct CloseError(String);

/// An open store. It is shared by all cores; no method but [`Store::read`] and [`Store::close`] waits for the disk.
pub struct Store {
    manifest: Manifest,
    committers: Box<[Line]>,
    loads: Arc<Queue<LoadRequest>>,
    read_counters: Arc<ReadCounters>,
    keeper: Arc<KeeperSignal>,
    poison: Arc<Poison>,
    /// Gone once the store is closed.
    views: RwLock<Option<Arc<[View]>>>,
    compactors: Vec<Arc<CompactorSignal>>,
    threads: Mutex<Threads>,
    /// Held until everything else is gone.
    folder: Mutex<Option<Arc<Folder>>>,
}

/// What the shards see of one committer.
pub(crate) struct Line {
    pub queue: Arc<Queue<Submitted>>,
    pub counters: Arc<ShardCounters>,
}

/// In the order in which they end: nobody is gone while another one still needs it.
#[derive(Default)]
pub(crate) struct Threads {
    /// Committers and readers.
    pub serving: Vec<JoinHandle<()>>,
    pub feeders: Vec<JoinHandle<()>>,
    pub compactors: Vec<JoinHandle<()>>,
    /// After the committers, so that the marks are of the last commits.
    pub keeper: Vec<JoinHandle<()>>,
}

impl Store {
    /// Takes the data folder, raises its term durably, and opens every store shard.
    ///
    /// # Errors
    /// One line that says what is wrong and how to mend it; see [`OpenError`].
    pub fn open(options: StoreOptions, answers: Arc<dyn Answers>) -> Result<Self, OpenError> {
        options.validate()?;
        let folder = Arc::new(Folder::take_or_make(&options.dir)?);
        let mut manifest = match folder.read_manifest()? {
            Some(manifest) => manifest,
            None => folder.new_manifest(options.store_shards_if_new)?,
        };
        manifest.term += 1;
        folder.write_manifest(&manifest)?;
        let mut opening = Opening::start(&options, &folder, manifest, &answers);
        let opened = opening.wait()?;
        if !manifest.complete || manifest.format != FORMAT_VERSION {
            manifest.complete = true;
            manifest.format = FORMAT_VERSION;
            folder.write_manifest(&manifest)?;
        }
        Ok(opening.finish(&options, folder, manifest, opened, answers))
    }

    pub(crate) fn new(
        (manifest, folder): (Manifest, Arc<Folder>),
        committers: Vec<Line>,
        (loads, read_counters): (Arc<Queue<LoadRequest>>, Arc<ReadCounters>),
        (keeper, poison): (Arc<KeeperSignal>, Arc<Poison>),
        (views, compactors): (Arc<[View]>, Vec<Arc<CompactorSignal>>),
        threads: Threads,
    ) -> Self {
        Self {
            manifest,
            committers: committers.into(),
            loads,
            read_counters,
            keeper,
            poison,
            views: RwLock::new(Some(views)),
            compactors,
            threads: Mutex::new(threads),
            folder: Mutex::new(Some(folder)),
        }
    }

    /// Under which the shards write from now on. No store that was opened before on this folder has it.
    pub fn term(&self) -> u64 {
        self.manifest.term
    }

    /// How many store shards there are: their numbers are `0..store_shards()`.
    pub fn store_shards(&self) -> u16 {
        self.manifest.store_shards
    }

    /// Queues a batch for its store shard's committer. The outcome comes as an answer to `from_shard`.
    ///
    /// # Errors
    /// Gives the batch back if the queue is at its bound, or the store is closed.
    ///
    /// # Panics
    /// If the batch breaks the contract: a store shard that does not exist, a term that was never given.
    pub fn submit(&self, from_shard: u16, batch: Batch) -> Result<(), SubmitRefused> {
        assert!(from_shard < ANSWERED_SHARDS_MAX, "shard {from_shard} cannot be answered");
        check_term(&batch, self.manifest.term);
        let bytes = batch.ops.as_bytes().len();
        let line = &self.committers[usize::from(batch.store_shard.0)];
        line.queue.push(Submitted { from_shard, batch, bytes }, bytes).map_err(|(submitted, refused)| {
            line.counters.refused.fetch_add(1, Relaxed);
            SubmitRefused { batch: submitted.batch, reason: refused.into() }
        })
    }

    /// Queues a load for the read pool. The rows come as an answer to the shard that it names. All queries see one
    /// snapshot, and nothing that is not durable.
    ///
    /// # Errors
    /// Gives the load back if the queue is at its bound, or the store is closed.
    ///
    /// # Panics
    /// If the store shard does not exist.
    pub fn load(&self, request: LoadRequest) -> Result<(), LoadRefused> {
        assert!(request.from_shard < ANSWERED_SHARDS_MAX, "shard {} cannot be answered", request.from_shard);
        assert!(request.store_shard.0 < self.manifest.store_shards, "no such store shard");
        self.loads.push(request, 0).map_err(|(request, refused)| {
            self.read_counters.refused.fetch_add(1, Relaxed);
            LoadRefused { request, reason: refused.into() }
        })
    }

    /// Reads on the caller's thread, which may wait for the disk: for tools, tests and what a node reads before it
    /// starts, never for a core.
    ///
    /// # Errors
    /// In words, if rows cannot be read or the store is closed.
    pub fn read(&self, store_shard: StoreShardId, queries: &[Query]) -> Result<Vec<Rows>, String> {
        let views = self.views().ok_or_else(|| "the store is closed".to_owned())?;
        let read = views[usize::from(store_shard.0)].read(queries);
        read.map_err(|failure| format!("store shard {}: {}", store_shard.0, failure.into_text()))
    }

    /// Why no batch will be committed any more, if so. The node must stop: at its next start it finds out what is on
    /// disk. Look at it once a second or so: an idle store can find out too that it cannot go on.
    pub fn poisoned(&self) -> Option<String> {
        self.poison.reason()
    }

    /// Counts that may be a moment old. Does not wait for the disk.
    pub fn stats(&self) -> StoreStats {
        let mut stats = StoreStats {
            shards: self.committers.iter().map(|line| line.counters.snapshot()).collect(),
            reads: self.read_counters.snapshot(),
        };
        let views = self.views();
        for (index, shard) in stats.shards.iter_mut().enumerate() {
            shard.queued = self.committers[index].queue.len() as u64;
            let Some(View { database, table }) = views.as_ref().map(|views| &views[index]) else { continue };
            shard.memory_bytes = table.bytes();
            shard.table_bytes = database.table_bytes();
            shard.tables = database.tables() as u64;
            shard.level0_runs = database.level0_runs() as u64;
        }
        stats.reads.queued = self.loads.len() as u64;
        stats
    }

    /// Takes nothing more in, commits and answers what is queued, writes the marks, and ends all threads. Closing
    /// twice is allowed. The folder can be opened again when this returns without an error.
    ///
    /// # Errors
    /// If a thread is still busy when the bound is over. The store is then left to the end of the process, which loses
    /// nothing that was answered.
    pub fn close(&self, bound: Duration) -> Result<(), CloseError> {
        let deadline = Instant::now() + bound;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        self.committers.iter().for_each(|line| line.queue.close());
        self.loads.close();
        // A merge of tables is the longest there is to wait for, so it is told at once.
        self.compactors.iter().for_each(|signal| signal.close());
        end(&mut threads.serving, deadline)?;
        let views = self.views();
        views.iter().flat_map(|views| views.iter()).for_each(|view| view.table.close());
        drop(views);
        end(&mut threads.feeders, deadline)?;
        self.keeper.close();
        end(&mut threads.keeper, deadline)?;
        end(&mut threads.compactors, deadline)?;
        *self.views.write().unwrap_or_else(PoisonError::into_inner) = None;
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn views(&self) -> Option<Arc<[View]>> {
        self.views.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Waits for threads that were told to end.
fn end(threads: &mut Vec<JoinHandle<()>>, deadline: Instant) -> Result<(), CloseError> {
    while let Some(busy) = threads.iter().find(|thread| !thread.is_finished()) {
        if Instant::now() >= deadline {
            return Err(CloseError(busy.thread().name().unwrap_or("a thread").to_owned()));
        }
        thread::sleep(Duration::from_millis(1));
    }
    for thread in threads.drain(..) {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
    Ok(())
}

impl Drop for Store {
    /// Ends the threads, without waiting for long: whoever wants to know calls [`Store::close`].
    fn drop(&mut self) {
        const DROP_BOUND: Duration = Duration::from_secs(5);
        if !thread::panicking()
            && let Err(e) = self.close(DROP_BOUND)
        {
            tracing::warn!(error = %e, "the store was dropped while busy");
        }
    }
}

/// # Panics
/// If the batch names a term that was never given.
pub(crate) fn check_term(batch: &Batch, term: u64) {
    assert!(batch.term <= term, "term {} was never given, the store is at {term}", batch.term);
}
