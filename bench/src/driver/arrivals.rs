//! Bringing many clients in, and how long each of them took.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use super::{Driver, Entrance, PeerEvent};
use crate::measure::histogram;

/// How long nothing may happen while clients come in.
const STALL_MAX: Duration = Duration::from_secs(30);

/// How fast clients come.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many may be between connecting and being in at a time.
    pub starting_max: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { starting_max: 256 }
    }
}

/// How it went.
#[derive(Debug)]
pub struct Arrivals {
    pub elapsed: Duration,
    /// From connecting to being in, nanoseconds.
    pub entrance_ns: Histogram<u64>,
    /// When each was in, nanoseconds since the first connected, rising.
    pub entered_at_ns: Vec<u64>,
}

impl Driver {
    /// Brings these clients in. `entrance` tells how each does it.
    pub fn bring_in(
        &mut self,
        indices: impl IntoIterator<Item = usize>,
        pace: Pace,
        entrance: impl Fn(usize) -> Entrance,
    ) -> Result<Arrivals> {
        let begin = Instant::now();
        let mut indices = indices.into_iter().peekable();
        let mut starting: HashMap<usize, Instant> = HashMap::new();
        let (mut entrance_ns, mut entered_at_ns) = (histogram(), Vec::new());
        let mut last = begin;
        loop {
            while starting.len() < pace.starting_max
                && let Some(index) = indices.next()
            {
                starting.insert(index, Instant::now());
                self.connect(index, entrance(index))?;
            }
            if starting.is_empty() && indices.peek().is_none() {
                return Ok(Arrivals { elapsed: begin.elapsed(), entrance_ns, entered_at_ns });
            }
            let before = starting.len();
            self.turn(Duration::from_millis(100), |index, event| {
                if event == PeerEvent::Entered
                    && let Some(since) = starting.remove(&index)
                {
                    entrance_ns.saturating_record(since.elapsed().as_nanos() as u64);
                    entered_at_ns.push(begin.elapsed().as_nanos() as u64);
                }
                Ok(())
            })?;
            if starting.len() < before {
                last = Instant::now();
            } else if last.elapsed() > STALL_MAX {
                bail!("{} clients wait on their way in and nothing happens", starting.len());
            }
        }
    }
}
