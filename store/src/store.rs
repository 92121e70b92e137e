//! The store of one node: a data folder with its committers, its readers and its marks.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use record::kv::{Batch, KEY_LEN_MAX, Query, Rows, StoreShardId, VALUE_LEN_MAX};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::answer::{Answers, LoadRequest};
use crate::committer::{Committer, Submitted};
use crate::database::Database;
use crate::error::OpenError;
use crate::folder::{Folder, Manifest};
use crate::keeper::{self, KeeperSignal, Kept};
use crate::mark::Mark;
use crate::options::{
    ANSWERED_SHARDS_MAX, COMMIT_QUEUE_BATCHES_MAX, COMMIT_QUEUE_BYTES_MAX, LOAD_QUEUE_MAX, Placement,
    StoreOptions,
};
use crate::poison::Poison;
use crate::queue::{Queue, Refused};
use crate::reader::Reader;
use crate::shard_open::{OpenShard, open_shard};
use crate::space::SpaceFloor;
use crate::stats::{ReadCounters, ShardCounters, StoreStats};

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
    databases: RwLock<Option<Arc<[Database]>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held until everything else is gone.
    folder: Mutex<Option<Arc<Folder>>>,
}

/// What the shards see of one committer.
struct Line {
    queue: Arc<Queue<Submitted>>,
    counters: Arc<ShardCounters>,
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
        if !manifest.complete {
            manifest.complete = true;
            folder.write_manifest(&manifest)?;
        }
        Ok(opening.finish(&options, folder, manifest, opened, answers))
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
    /// If the batch breaks the contract: a store shard that does not exist, a term that was never given, a key that is
    /// empty or longer than [`KEY_LEN_MAX`], a value longer than [`VALUE_LEN_MAX`].
    pub fn submit(&self, from_shard: u16, batch: Batch) -> Result<(), SubmitRefused> {
        assert!(from_shard < ANSWERED_SHARDS_MAX, "shard {from_shard} cannot be answered");
        let bytes = checked_bytes(&batch, self.manifest.term);
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
        let databases = self.databases();
        let databases = databases.ok_or_else(|| "the store is closed".to_owned())?;
        let read = databases[usize::from(store_shard.0)].read(queries);
        read.map_err(|failure| format!("store shard {}: {}", store_shard.0, failure.into_text()))
    }

    /// Why no batch will be committed any more, if so. The node must stop: at its next start it finds out what is on
    /// disk. Look at it once a second or so, because a commit that waits for a flush that failed is never answered.
    pub fn poisoned(&self) -> Option<String> {
        self.poison.reason()
    }

    /// Counts that may be a moment old. Does not wait for the disk.
    pub fn stats(&self) -> StoreStats {
        let mut stats = StoreStats {
            shards: self.committers.iter().map(|line| line.counters.snapshot()).collect(),
            reads: self.read_counters.snapshot(),
        };
        let databases = self.databases();
        for (index, shard) in stats.shards.iter_mut().enumerate() {
            shard.queued = self.committers[index].queue.len() as u64;
            shard.table_bytes = databases.as_ref().map_or(0, |databases| databases[index].table_bytes());
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
        for line in &self.committers {
            line.queue.close();
        }
        self.loads.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        // The keeper is the last in the list and ends last, so that the marks are of the last commits.
        while let Some(busy) = threads.iter().position(|thread| !thread.is_finished()) {
            if busy + 1 == threads.len() {
                self.keeper.close();
            }
            if Instant::now() >= deadline {
                let name = threads[busy].thread().name().unwrap_or("a thread").to_owned();
                return Err(CloseError(name));
            }
            thread::sleep(Duration::from_millis(1));
        }
        for thread in threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        *self.databases.write().unwrap_or_else(PoisonError::into_inner) = None;
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn databases(&self) -> Option<Arc<[Database]>> {
        self.databases.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
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

/// Keys and values of a batch, which must keep the contract.
pub(crate) fn checked_bytes(batch: &Batch, term: u64) -> usize {
    assert!(batch.term <= term, "term {} was never given, the store is at {term}", batch.term);
    let mut bytes = 0;
    for op in &batch.ops {
        assert!(!op.key.is_empty() && op.key.len() <= KEY_LEN_MAX, "a key of {} bytes", op.key.len());
        let value_len = op.value.map_or(0, <[u8]>::len);
        assert!(value_len <= VALUE_LEN_MAX, "a value of {value_len} bytes");
        bytes += op.key.len() + value_len;
    }
    bytes
}

/// A store whose committer threads are opening their store shards, all at once.
///
/// Each thread opens its own, so that fjall's workers inherit where it may run.
struct Opening {
    committers: Vec<Line>,
    threads: Vec<JoinHandle<()>>,
    results: Vec<Receiver<Result<Opened, OpenError>>>,
    keeper: Arc<KeeperSignal>,
    poison: Arc<Poison>,
}

struct Opened {
    database: Database,
    mark: Mark,
}

impl Opening {
    fn start(
        options: &StoreOptions,
        folder: &Arc<Folder>,
        manifest: Manifest,
        answers: &Arc<dyn Answers>,
    ) -> Self {
        let mut opening = Self {
            committers: Vec::new(),
            threads: Vec::new(),
            results: Vec::new(),
            keeper: Arc::default(),
            poison: Arc::default(),
        };
        for shard in manifest.shards() {
            let queue = Arc::new(Queue::new(COMMIT_QUEUE_BATCHES_MAX, COMMIT_QUEUE_BYTES_MAX));
            let counters: Arc<ShardCounters> = Arc::default();
            let (sender, result) = channel();
            let body = {
                let (options, folder, answers) = (options.clone(), folder.clone(), answers.clone());
                let (queue, counters) = (queue.clone(), counters.clone());
                let (keeper, poison) = (opening.keeper.clone(), opening.poison.clone());
                move || {
                    let opened = place(&options.placement).and_then(|()| {
                        open_shard(&folder, &manifest, shard, options.tuning(manifest.store_shards))
                    });
                    let OpenShard { database, mark, stamp } = match opened {
                        Ok(opened) => opened,
                        Err(e) => return drop(sender.send(Err(e))),
                    };
                    counters.last_commit.store(stamp.number, Relaxed);
                    counters.marked.store(mark.number(), Relaxed);
                    let committer = Committer {
                        shard,
                        database: database.clone(),
                        term: manifest.term,
                        stamp,
                        space: SpaceFloor::new(
                            options.dir.clone(),
                            options.free_space.clone(),
                            options.free_floor_bytes,
                        ),
                        poison,
                        counters,
                        keeper,
                        answers,
                        #[cfg(feature = "fault-injection")]
                        fault: options.fault,
                    };
                    // A failed start has no receiver any more, and its queue is closed: the committer ends at once.
                    drop(sender.send(Ok(Opened { database, mark })));
                    drop((sender, folder, options));
                    committer.run(&queue);
                }
            };
            opening.threads.push(spawn(format!("store-{:02}", shard.0), body));
            opening.committers.push(Line { queue, counters });
            opening.results.push(result);
        }
        opening
    }

    /// All store shards, or the first error after every thread has ended.
    fn wait(&mut self) -> Result<Vec<Opened>, OpenError> {
        let results = std::mem::take(&mut self.results);
        let results = results.into_iter().map(|result| result.recv());
        let mut opened = Vec::new();
        let mut error = None;
        for (shard, result) in results.enumerate() {
            match result {
                Ok(Ok(shard)) => opened.push(shard),
                Ok(Err(e)) => error = error.or(Some(e)),
                Err(_) => panic!("the thread that opens store shard {shard} is gone"),
            }
        }
        let Some(error) = error else { return Ok(opened) };
        drop(opened);
        for line in &self.committers {
            line.queue.close();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        Err(error)
    }

    fn finish(
        mut self,
        options: &StoreOptions,
        folder: Arc<Folder>,
        manifest: Manifest,
        opened: Vec<Opened>,
        answers: Arc<dyn Answers>,
    ) -> Store {
        let loads = Arc::new(Queue::new(LOAD_QUEUE_MAX, usize::MAX));
        let read_counters: Arc<ReadCounters> = Arc::default();
        let databases: Arc<[Database]> = opened.iter().map(|opened| opened.database.clone()).collect();
        for reader in 0..options.read_threads {
            let body = Reader {
                databases: databases.clone(),
                counters: read_counters.clone(),
                answers: answers.clone(),
            };
            let (loads, placement) = (loads.clone(), options.placement.clone());
            self.threads.push(spawn(format!("store-read-{reader:02}"), move || {
                place_or_warn(&placement);
                body.run(&loads);
            }));
        }
        let kept = manifest.shards().zip(opened).zip(&self.committers);
        let kept: Vec<_> = kept
            .map(|((shard, opened), line)| {
                Kept::new(shard, opened.mark, opened.database, line.counters.clone())
            })
            .collect();
        let (signal, poison) = (self.keeper.clone(), self.poison.clone());
        let placement = options.placement.clone();
        self.threads.push(spawn("store-keeper".to_owned(), move || {
            place_or_warn(&placement);
            keeper::run(&signal, kept, &poison);
        }));
        Store {
            manifest,
            committers: self.committers.into(),
            loads,
            read_counters,
            keeper: self.keeper,
            poison: self.poison,
            databases: RwLock::new(Some(databases)),
            threads: Mutex::new(self.threads),
            folder: Mutex::new(Some(folder)),
        }
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name).spawn(body).expect("the operating system gives the store its threads")
}

/// Binds the current thread, and the threads that it starts later.
fn place(placement: &Placement) -> Result<(), OpenError> {
    let Placement::Within(processors) = placement else { return Ok(()) };
    let wrong = |what: String| OpenError::Option(format!("processors for the store: {what}"));
    let mut set = CpuSet::new();
    for processor in processors {
        if *processor >= CpuSet::MAX_CPU {
            return Err(wrong(format!("{processor} is not the number of one")));
        }
        set.set(*processor);
    }
    sched_setaffinity(None, &set).map_err(|e| wrong(format!("{processors:?}: {e}")))
}

fn place_or_warn(placement: &Placement) {
    if let Err(e) = place(placement) {
        tracing::warn!(error = %e, "a thread runs where it should not");
    }
}
