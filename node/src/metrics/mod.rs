//! Figures of the running node, gathered when somebody asks.
//!
//! Nobody counts twice: a shard and its ring add to plain numbers of their own, the store keeps its counters, the kernel
//! knows the process. A [`Snapshot`] takes them once; [`families`] names them. What `GET /metrics` shows and what
//! `ringtalk stats` prints are these same figures.

mod encode;
mod family;
mod histogram;
mod process;
mod scrape;
mod shards;
mod snapshot;
mod store;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::store::{Store, StoreStats};

pub use encode::{CONTENT_TYPE, encode};
pub use family::{Families, Family, Kind, Sample, Unit, Value};
pub use histogram::Histogram;
pub use scrape::Scraper;
pub use snapshot::{CommitStats, LaneStats, ShardSnapshot, Snapshot, StoreView};

/// How long the shards have to answer, all together. One that has not answered by then is shown as silent.
pub const ANSWER_MAX: Duration = Duration::from_secs(1);

/// The store, as far as figures need it. Neither waits for the disk.
pub trait LookAtStore: Send + Sync {
    fn stats(&self) -> StoreStats;
    /// Why it can take nothing any more.
    fn poisoned(&self) -> Option<String>;
}

impl LookAtStore for Store {
    fn stats(&self) -> StoreStats {
        Store::stats(self)
    }

    fn poisoned(&self) -> Option<String> {
        Store::poisoned(self)
    }
}

/// Takes snapshots of the running node.
pub struct Metrics {
    /// One snapshot at a time: a shard is never asked again before it has answered.
    scraper: Mutex<Scraper>,
    store: Arc<dyn LookAtStore>,
    started: Instant,
}

impl Metrics {
    pub fn new(scraper: Scraper, store: Arc<dyn LookAtStore>) -> Self {
        Self { scraper: Mutex::new(scraper), store, started: Instant::now() }
    }

    /// Asks all shards; waits for them, at most [`ANSWER_MAX`], and longer while others take a snapshot.
    pub fn snapshot(&self) -> Snapshot {
        // A scraper that was left in the middle has asked some shards, which is a state like any other.
        let mut scraper = self.scraper.lock().unwrap_or_else(PoisonError::into_inner);
        let shards = scraper.ask(ANSWER_MAX);
        drop(scraper);
        let store = StoreView { stats: self.store.stats(), poisoned: self.store.poisoned() };
        Snapshot { shards, store, uptime: self.started.elapsed() }
    }

    /// Why the store can take nothing any more, if so. Asks no shard.
    pub fn store_poisoned(&self) -> Option<String> {
        self.store.poisoned()
    }
}

/// All figures of a snapshot, and those of the process.
pub fn families(snapshot: Option<&Snapshot>) -> Vec<Family> {
    let mut families = Families::default();
    process::add(&mut families);
    if let Some(snapshot) = snapshot {
        process::add_uptime(&mut families, snapshot.uptime);
        shards::add(&mut families, &snapshot.shards);
        store::add(&mut families, &snapshot.store);
    }
    families.list
}
