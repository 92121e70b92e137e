//! Asks the shards for their figures.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use shard::admin::AdminRequest;

use super::ShardSnapshot;
use crate::admin::{Replies, ShardAnswer, Shards};

/// A request that was put in front of a shard.
type Asked = Receiver<ShardAnswer>;

/// Asks every shard at once and waits a bounded time. At most one request of a scraper is with each shard, however long
/// that takes to answer.
pub struct Scraper {
    shards: Arc<dyn Shards>,
    replies: Arc<Replies>,
    /// By shard: what is still to be answered.
    asked: Vec<Option<Asked>>,
}

impl Scraper {
    /// `count`: shards of the node.
    pub fn new(shards: Arc<dyn Shards>, replies: Arc<Replies>, count: u16) -> Self {
        Self { shards, replies, asked: (0..count).map(|_| None).collect() }
    }

    /// By shard; `None`: it takes no requests any more, or has not answered in `wait`.
    pub fn ask(&mut self, wait: Duration) -> Vec<Option<Box<ShardSnapshot>>> {
        let until = Instant::now() + wait;
        (0..self.asked.len()).for_each(|shard| self.submit(shard));
        self.asked.iter_mut().map(|asked| answer(asked, until)).collect()
    }

    fn submit(&mut self, shard: usize) {
        if let Some(asked) = &self.asked[shard] {
            match asked.try_recv() {
                // Its answer is on the way and as good as one to a new request.
                Err(TryRecvError::Empty) => return,
                // An answer to an earlier question is old.
                Ok(_) | Err(TryRecvError::Disconnected) => {}
            }
        }
        let (token, receiver) = self.replies.expect();
        let taken = self.shards.submit(shard as u16, token, AdminRequest::Stats);
        if !taken {
            self.replies.forget(token);
        }
        self.asked[shard] = taken.then_some(receiver);
    }
}

fn answer(asked: &mut Option<Asked>, until: Instant) -> Option<Box<ShardSnapshot>> {
    let received = asked.as_ref()?.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
    *asked = None;
    match received {
        ShardAnswer::Stats(snapshot) => Some(snapshot),
        ShardAnswer::Done(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Shards that answer at once, or when the test says so.
    struct Fake {
        replies: Arc<Replies>,
        asked: Mutex<Vec<(u16, u64)>>,
        prompt: Vec<u16>,
        stopped: bool,
    }

    impl Fake {
        fn new(prompt: &[u16], stopped: bool) -> (Arc<Self>, Scraper) {
            let replies = Arc::new(Replies::default());
            let fake =
                Self { replies: replies.clone(), asked: Mutex::default(), prompt: prompt.into(), stopped };
            let fake = Arc::new(fake);
            (fake.clone(), Scraper::new(fake, replies, 3))
        }
    }

    impl Shards for Fake {
        fn submit(&self, shard: u16, token: u64, _: AdminRequest) -> bool {
            let mut asked = self.asked.lock().unwrap();
            asked.push((shard, token));
            if self.prompt.contains(&shard) {
                self.replies.deliver(token, snapshot(asked.len() as u64));
            }
            !self.stopped
        }
    }

    fn snapshot(connections: u64) -> ShardAnswer {
        let mut snapshot = ShardSnapshot::default();
        snapshot.shard.counters.connections = connections;
        ShardAnswer::Stats(Box::new(snapshot))
    }

    fn ask(scraper: &mut Scraper) -> Vec<Option<u64>> {
        let connections = |shard: Box<ShardSnapshot>| shard.shard.counters.connections;
        scraper.ask(Duration::ZERO).into_iter().map(|shard| shard.map(connections)).collect()
    }

    #[test]
    fn a_silent_shard_has_one_request_and_the_others_are_asked_anew() {
        let (fake, mut scraper) = Fake::new(&[0, 2], false);
        assert_eq!(ask(&mut scraper), [Some(1), None, Some(3)]);
        assert_eq!(ask(&mut scraper), [Some(4), None, Some(5)]);
        // What it answers between two questions is old by the next one.
        let (shard, token) = fake.asked.lock().unwrap()[1];
        assert_eq!(shard, 1);
        fake.replies.deliver(token, snapshot(99));
        assert_eq!(ask(&mut scraper), [Some(6), None, Some(8)]);
        assert_eq!(fake.replies.awaited(), 1);
    }

    #[test]
    fn a_stopping_node_is_not_waited_for() {
        let (fake, mut scraper) = Fake::new(&[], true);
        let begin = Instant::now();
        assert!(scraper.ask(Duration::from_secs(3600)).iter().all(Option::is_none));
        assert!(begin.elapsed() < Duration::from_secs(3600));
        assert_eq!(fake.replies.awaited(), 0);
    }
}
