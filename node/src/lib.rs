//! A node: the pure shards with everything around them.
//!
//! `ring` does the I/O of sockets and `mesh` carries frames between shards; `admin` is the operator's way in, `metrics`
//! what the node tells of itself; `boot` puts it all together, from the options in `config`. What a node does with a
//! message is none of this package's business: that is in the package `shard`.

pub mod admin;
pub mod boot;
pub mod calendar;
pub mod cli;
pub mod config;
pub mod entropy;
mod hex;
pub mod keys;
pub mod machine;
pub mod mesh;
pub mod metrics;
pub mod org;
pub mod ring;
pub mod serve;
