//! Durable state: the only crate that knows fjall.
//!
//! A data folder holds a fixed number of **store shards**, each one a log and a fjall database. [`Store::open`] takes the folder,
//! raises its term and opens them. Shards hand in batches with [`Store::submit`] and ask for rows with
//! [`Store::load`]; neither waits. Outcomes and rows come back through [`Answers`].
//!
//! What is promised: a batch that was answered `Committed` is on disk as a whole and survives a power cut; loads see
//! nothing that is not; a folder that has lost what it acknowledged is not opened without saying so. What is not: there
//! is no order between store shards, and a batch that was not answered may be on disk or not.
//!
//! # The way of a batch
//! The committer writes all batches that wait as one frame to the **log** and syncs it: that is the commit. Then the rows
//! go to the **table** in memory, where readers see them on top of fjall, and the batches are answered. When the table is
//! large enough the feeder moves it to fjall as one sorted batch, in which rows that were written over and over are
//! there once; then that part of the log is given up. A start reads what is left of the log into the table.
//!
//! # Threads
//! | name | number | does |
//! |---|---|---|
//! | `store-NN` | one per store shard | the committer: all that waits becomes one commit and one sync |
//! | `store-feed-NN` | one per store shard | moves rows from memory to fjall, makes log segments ready; yields to others while it keeps up |
//! | `store-merge-NN` | one per store shard | compacts fjall's tables; yields to others while it keeps up |
//! | `store-read-NN` | `read_threads` | answer loads, and may wait for the disk |
//! | `store-keeper` | one | writes the marks, at most twice a second and not at all when idle |
//!
//! All of them keep to [`StoreOptions::placement`].
//!
//! # Absent
//! No async, no knowledge of cores, sockets or records: keys and values are bytes here, and [`check()`] takes a visitor
//! that knows them. No timer for group commit. No retry of a failed write: it poisons the store, and the node stops.

mod answer;
mod check;
mod committer;
mod compactor;
mod database;
mod error;
#[cfg(feature = "fault-injection")]
pub mod fault;
mod feeder;
mod folder;
mod journal;
mod keeper;
mod log;
mod mark;
pub mod memory;
mod opening;
mod options;
mod pace;
mod poison;
mod priority;
mod query;
mod queue;
mod reader;
mod repair;
mod shard_open;
mod space;
mod stats;
mod store;
mod table;
mod tiers;
mod view;

pub use answer::{Answers, LoadRequest, StoreAnswer};
pub use check::{CheckReport, FINDINGS_PER_SHARD_MAX, RowVisitor, check};
pub use database::catches_panics;
pub use error::OpenError;
pub use folder::FORMAT_VERSION;
pub use memory::MemoryStore;
pub use options::*;
pub use record;
pub use repair::{RepairReport, repair};
pub use stats::{
    LATENCY_BOUNDS_US, LatencyHistogram, ReadStats, SIZE_BOUNDS, ShardStats, SizeHistogram, StoreStats,
};
pub use store::{CloseError, LoadRefused, RefusedReason, Store, SubmitRefused};
