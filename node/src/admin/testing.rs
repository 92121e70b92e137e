//! What the tests of this folder share.

use std::sync::{Arc, Mutex};

use shard::admin::AdminRequest;
use store::StoreStats;

use super::{Replies, ShardAnswer, Shards};
use crate::metrics::{LookAtStore, Metrics, Scraper, ShardSnapshot};

/// A store with two store shards and nothing wrong.
pub(super) struct Whole;

impl LookAtStore for Whole {
    fn stats(&self) -> StoreStats {
        StoreStats { shards: vec![Default::default(); 2], ..StoreStats::default() }
    }

    fn poisoned(&self) -> Option<String> {
        None
    }
}

/// A store that tells why it failed, once it has.
#[derive(Default)]
pub(super) struct Failing(pub Mutex<Option<String>>);

impl LookAtStore for Failing {
    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }

    fn poisoned(&self) -> Option<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Shards that answer a request for figures at once, but for the silent ones.
pub(super) struct Answering {
    pub replies: Arc<Replies>,
    pub silent: Vec<u16>,
}

impl Shards for Answering {
    fn submit(&self, shard: u16, token: u64, request: AdminRequest) -> bool {
        assert_eq!(request, AdminRequest::Stats);
        if !self.silent.contains(&shard) {
            self.replies.deliver(token, ShardAnswer::Stats(Box::<ShardSnapshot>::default()));
        }
        true
    }
}

/// Figures of a node with three shards.
pub(super) fn metrics(silent: &[u16], store: Arc<dyn LookAtStore>) -> Arc<Metrics> {
    let replies = Arc::new(Replies::default());
    let shards = Answering { replies: replies.clone(), silent: silent.to_vec() };
    Arc::new(Metrics::new(Scraper::new(Arc::new(shards), replies, 3), store))
}
