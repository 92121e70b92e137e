//! The operator's ways into a running node: a unix socket in the data folder, for `ringtalk user` and `ringtalk stats`,
//! and figures over HTTP ([`http`]).
//!
//! On the socket only processes of the node's own user and of root get an answer; the kernel says who is on the other side. One
//! request is one line of JSON, and so is its answer. What a request concerns is done by the shards; the threads here
//! only pass it on and wait. A password never comes this way: `ringtalk user add` derives the keys of SCRAM itself.

mod client;
mod desk;
mod figures;
pub mod http;
mod protocol;
mod replies;
mod server;
#[cfg(test)]
mod testing;

pub use client::{AdminClient, AdminError};
pub use desk::Desk;
pub use protocol::{
    AuditLine, Credential, Device, NewToken, OrgEntry, Recipients, Reply, Request, State, Status, Token,
    User, UserAct,
};
pub use replies::{Replies, ShardAnswer, Shards};
pub use server::{AdminListener, AdminServer, ListenError};

/// Longest request in bytes: a piece of 256 edits of the directory, each under 1,024 bytes. A longer one is answered with an
/// error, and its connection closed.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024;
/// Longest answer in bytes: a page of users of [`USERS_PER_PAGE_MAX`], each under 512 bytes.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;
/// Connections at a time, each with a thread. One more is closed at once.
pub const CONNECTIONS_MAX: usize = 8;
/// Users in one answer.
pub const USERS_PER_PAGE_MAX: u32 = 1_000;
/// A connection that sends nothing for so long is closed, in seconds.
pub const IDLE_SECONDS_MAX: u64 = 30;
/// A shard that has not answered by then is reported, in seconds.
pub const ANSWER_SECONDS_MAX: u64 = 15;

const _: () = assert!(USERS_PER_PAGE_MAX as usize * 512 < REPLY_BYTES_MAX);
