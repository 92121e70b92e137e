//! Durable state: the only crate that knows fjall.
//!
//! A data folder holds a fixed number of **store shards**, each one fjall database. [`Store::open`] takes the folder,
//! raises its term and opens them. Shards hand in batches with [`Store::submit`] and ask for rows with
//! [`Store::load`]; neither waits. Outcomes and rows come back through [`Answers`].
//!
//! What is promised: a batch that was answered `Committed` is on disk as a whole and survives a power cut; loads see
//! nothing that is not; a folder that has lost what it acknowledged is not opened without saying so. What is not: there
//! is no order between store shards, and a batch that was not answered may be on disk or not.
//!
//! # Threads
//! | name | number | does |
//! |---|---|---|
//! | `store-NN` | one per store shard | the committer: all that waits becomes one commit and one sync |
//! | `fjall:worker` | two per store shard | flush memtables and compact tables |
//! | `store-read-NN` | `read_threads` | answer loads, and may wait for the disk |
//! | `store-keeper` | one | writes the marks, at most twice a second and not at all when idle; notices a database that failed |
//!
//! All of them keep to [`StoreOptions::placement`].
//!
//! # Absent
//! No async, no knowledge of cores, sockets or records: keys and values are bytes here, and [`check()`] takes a visitor
//! that knows them. No timer for group commit. No retry of a failed write: it poisons the store, and the node stops.

mod answer;
mod check;
mod committer;
mod database;
mod error;
#[cfg(feature = "fault-injection")]
pub mod fault;
mod folder;
mod journal;
mod keeper;
mod mark;
pub mod memory;
mod options;
mod poison;
mod query;
mod queue;
mod reader;
mod repair;
mod shard_open;
mod space;
mod stats;
mod store;

pub use answer::{Answers, LoadRequest, StoreAnswer};
pub use check::{CheckReport, FINDINGS_PER_SHARD_MAX, RowVisitor, check};
pub use error::OpenError;
pub use folder::FORMAT_VERSION;
pub use memory::MemoryStore;
pub use options::*;
pub use record;
pub use repair::{RepairReport, repair};
pub use stats::{ReadStats, ShardStats, StoreStats};
pub use store::{CloseError, LoadRefused, RefusedReason, Store, SubmitRefused};
