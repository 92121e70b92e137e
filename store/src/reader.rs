//! The read pool: threads that may wait for the disk so that no core has to.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::answer::{Answers, LoadRequest, StoreAnswer};
use crate::queue::Queue;
use crate::stats::{ReadCounters, micros};
use crate::view::View;

pub(crate) struct Reader {
    pub views: Arc<[View]>,
    pub counters: Arc<ReadCounters>,
    pub answers: Arc<dyn Answers>,
}

impl Reader {
    /// Until the queue is closed and empty.
    pub(crate) fn run(self, queue: &Queue<LoadRequest>) {
        while let Some(request) = queue.take_one() {
            let answer = self.handle_load(&request);
            self.answers.deliver(request.from_shard, vec![answer]);
        }
    }

    fn handle_load(&self, request: &LoadRequest) -> StoreAnswer {
        let begun = Instant::now();
        let read = self.views[usize::from(request.store_shard.0)].read(&request.queries);
        let elapsed_us = micros(begun.elapsed());
        let counters = &self.counters;
        counters.loads.fetch_add(1, Relaxed);
        counters.queries.fetch_add(request.queries.len() as u64, Relaxed);
        counters.load.add(elapsed_us);
        counters.load_us_max.fetch_max(elapsed_us, Relaxed);
        match read {
            Ok(rows) => {
                counters.rows.fetch_add(rows.iter().map(|rows| rows.rows.len() as u64).sum(), Relaxed);
                StoreAnswer::Loaded { token: request.token, rows }
            }
            Err(failure) => {
                counters.failed.fetch_add(1, Relaxed);
                let what = format!("store shard {}: {}", request.store_shard.0, failure.into_text());
                tracing::error!(%what, "rows could not be read");
                StoreAnswer::LoadFailed { token: request.token, what }
            }
        }
    }
}
