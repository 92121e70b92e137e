//! Answers on their way from the shards to whoever asked.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shard::admin::{AdminReply, AdminRequest};

use crate::metrics::ShardSnapshot;

/// The running shards, as the threads outside them see them.
pub trait Shards: Send + Sync {
    /// Puts an [`AdminRequest`] in front of a shard and wakes it; false when it takes nothing any more. The answer
    /// comes through [`Replies::deliver`] with the same token.
    fn submit(&self, shard: u16, token: u64, request: AdminRequest) -> bool;
}

/// What a shard answers.
#[derive(Debug)]
pub enum ShardAnswer {
    /// To [`AdminRequest::Stats`].
    Stats(Box<ShardSnapshot>),
    /// To everything else.
    Done(AdminReply),
}

/// Answers that somebody waits for: at most one per shard and connection of the admin socket, and one per shard for
/// figures.
#[derive(Debug, Default)]
pub struct Replies {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    last_token: u64,
    senders: HashMap<u64, SyncSender<ShardAnswer>>,
}

impl Replies {
    /// Called by a shard's thread with the answer to a token. One that nobody waits for any more is dropped.
    pub fn deliver(&self, token: u64, answer: ShardAnswer) {
        let sender = self.lock().senders.remove(&token);
        if let Some(sender) = sender {
            // The channel has room for every answer that is awaited; a waiter that gave up has dropped its end.
            let _ = sender.try_send(answer);
        }
    }

    /// A new token, and where its answer comes.
    pub fn expect(&self) -> (u64, Receiver<ShardAnswer>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        let mut waiting = self.lock();
        waiting.last_token += 1;
        let token = waiting.last_token;
        waiting.senders.insert(token, sender);
        (token, receiver)
    }

    /// Nobody waits for this answer any more.
    pub fn forget(&self, token: u64) {
        self.lock().senders.remove(&token);
    }

    /// Answers that have not come.
    pub fn awaited(&self) -> usize {
        self.lock().senders.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds the lock can leave the map half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
