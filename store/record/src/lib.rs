//! Durable records and their keys. Pure: no I/O, no store engine. The only package that knows the record encoding.

pub mod kv;

pub use kv::{Batch, CommitOutcome, Op, Query, Row, Rows, StoreShardId};
