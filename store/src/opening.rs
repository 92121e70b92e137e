//! How a store comes to life: every store shard is opened on its committer's thread, all at once, and then the other
//! threads are started.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use record::kv::StoreShardId;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::answer::Answers;
use crate::committer::Committer;
use crate::compactor::{Compactor, CompactorSignal};
use crate::error::OpenError;
use crate::feeder::Feeder;
use crate::folder::{Folder, Manifest};
use crate::keeper::{self, KeeperSignal, Kept};
use crate::log::LogKeeper;
use crate::mark::Mark;
use crate::options::{
    COMMIT_QUEUE_BATCHES_MAX, COMMIT_QUEUE_BYTES_MAX, LOAD_QUEUE_MAX, Placement, StoreOptions,
};
use crate::poison::Poison;
use crate::queue::Queue;
use crate::reader::Reader;
use crate::shard_open::{OpenShard, ShardPlace, open_shard};
use crate::space::{MergeSpace, SpaceFloor};
use crate::stats::{ReadCounters, ShardCounters};
use crate::store::{Line, Store, Threads};
use crate::view::View;

/// A store whose committer threads are opening their store shards.
pub(crate) struct Opening {
    committers: Vec<Line>,
    threads: Vec<JoinHandle<()>>,
    results: Vec<Receiver<Result<Opened, OpenError>>>,
    keeper: Arc<KeeperSignal>,
    poison: Arc<Poison>,
}

/// What the other threads need of an open store shard.
pub(crate) struct Opened {
    view: View,
    log_keeper: LogKeeper,
    mark: Mark,
}

impl Opening {
    pub(crate) fn start(
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
            let start = Start {
                shard,
                options: options.clone(),
                folder: folder.clone(),
                manifest,
                answers: answers.clone(),
                counters: counters.clone(),
                keeper: opening.keeper.clone(),
                poison: opening.poison.clone(),
            };
            let body = {
                let queue = queue.clone();
                move || {
                    if let Some(committer) = start.committer(sender) {
                        committer.run(&queue);
                    }
                }
            };
            opening.threads.push(spawn(format!("store-{:02}", shard.0), body));
            opening.committers.push(Line { queue, counters });
            opening.results.push(result);
        }
        opening
    }

    /// All store shards, or the first error after every thread has ended.
    pub(crate) fn wait(&mut self) -> Result<Vec<Opened>, OpenError> {
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

    pub(crate) fn finish(
        self,
        options: &StoreOptions,
        folder: Arc<Folder>,
        manifest: Manifest,
        opened: Vec<Opened>,
        answers: Arc<dyn Answers>,
    ) -> Store {
        let loads = Arc::new(Queue::new(LOAD_QUEUE_MAX, usize::MAX));
        let read_counters: Arc<ReadCounters> = Arc::default();
        let views: Arc<[View]> = opened.iter().map(|opened| opened.view.clone()).collect();
        let mut threads = Threads { serving: self.threads, ..Threads::default() };
        for reader in 0..options.read_threads {
            let body =
                Reader { views: views.clone(), counters: read_counters.clone(), answers: answers.clone() };
            let loads = loads.clone();
            let body = placed(options, move || body.run(&loads));
            threads.serving.push(spawn(format!("store-read-{reader:02}"), body));
        }
        let mut kept = Vec::new();
        let mut compactors = Vec::new();
        let reserved_bytes: Arc<Mutex<u64>> = Arc::default();
        for ((shard, opened), line) in manifest.shards().zip(opened).zip(&self.committers) {
            let Opened { view: View { database, table }, log_keeper: log, mark } = opened;
            let (counters, poison) = (line.counters.clone(), self.poison.clone());
            kept.push(Kept { shard, mark, counters: counters.clone() });
            let signal = Arc::new(CompactorSignal::new(database.merges().clone()));
            let compactor = Compactor {
                shard,
                database: database.clone(),
                table: table.clone(),
                signal: signal.clone(),
                space: MergeSpace::new(
                    options.dir.clone(),
                    options.free_space.clone(),
                    options.free_floor_bytes,
                    reserved_bytes.clone(),
                ),
                poison: poison.clone(),
                counters: counters.clone(),
            };
            let compactor = placed(options, move || compactor.run());
            threads.compactors.push(spawn(format!("store-merge-{:02}", shard.0), compactor));
            let (tag, feeding) = (manifest.tag, signal.clone());
            let feeder = Feeder { shard, tag, database, table, log, compactor: feeding, poison, counters };
            let feeder = placed(options, move || feeder.run());
            threads.feeders.push(spawn(format!("store-feed-{:02}", shard.0), feeder));
            signal.wake(0);
            compactors.push(signal);
        }
        let signal = self.keeper.clone();
        let keeper = placed(options, move || keeper::run(&signal, kept));
        threads.keeper.push(spawn("store-keeper".to_owned(), keeper));
        Store::new(
            (manifest, folder),
            self.committers,
            (loads, read_counters),
            (self.keeper, self.poison),
            (views, compactors),
            threads,
        )
    }
}

/// What a committer's thread begins with.
struct Start {
    shard: StoreShardId,
    options: StoreOptions,
    folder: Arc<Folder>,
    manifest: Manifest,
    answers: Arc<dyn Answers>,
    counters: Arc<ShardCounters>,
    keeper: Arc<KeeperSignal>,
    poison: Arc<Poison>,
}

impl Start {
    /// Opens the store shard and says what came of it.
    fn committer(self, sender: Sender<Result<Opened, OpenError>>) -> Option<Committer> {
        let Self { shard, options, folder, manifest, answers, counters, keeper, poison } = self;
        let tuning = options.tuning(manifest.store_shards);
        let place_of_shard = ShardPlace { folder: &folder, manifest: &manifest, shard };
        let opened = place(&options.placement).and_then(|()| open_shard(place_of_shard, tuning));
        let OpenShard { view, log, log_keeper, mark, last } = match opened {
            Ok(opened) => opened,
            Err(e) => {
                drop(sender.send(Err(e)));
                return None;
            }
        };
        counters.last_commit.store(last, Relaxed);
        counters.marked.store(mark.number(), Relaxed);
        let committer = Committer {
            shard,
            log,
            table: view.table.clone(),
            term: manifest.term,
            last,
            space: SpaceFloor::new(options.dir.clone(), options.free_space.clone(), options.free_floor_bytes),
            poison,
            counters,
            keeper,
            answers,
            #[cfg(feature = "fault-injection")]
            fault: options.fault,
        };
        // A failed start has no receiver any more, and its queue is closed: the committer ends at once.
        drop(sender.send(Ok(Opened { view, log_keeper, mark })));
        Some(committer)
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name).spawn(body).expect("the operating system gives the store its threads")
}

/// Runs on the processors that the options name.
fn placed(options: &StoreOptions, body: impl FnOnce() + Send + 'static) -> impl FnOnce() + Send + 'static {
    let placement = options.placement.clone();
    move || {
        if let Err(e) = place(&placement) {
            tracing::warn!(error = %e, "a thread runs where it should not");
        }
        body();
    }
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
