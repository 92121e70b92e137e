//! The two clocks of a shard, read once per turn.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shard::Now;

pub(super) struct Clock {
    start: Instant,
    /// When they were read last.
    last: Instant,
    now: Now,
}

impl Clock {
    pub fn new() -> Self {
        let start = Instant::now();
        Self { start, last: start, now: Now { mono_ms: 0, wall_ms: wall_ms() } }
    }

    /// Both clocks at the start of this turn.
    pub fn now(&mut self, turn: Instant) -> Now {
        if turn > self.last {
            self.last = turn;
            let mono_ms = u64::try_from(turn.duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
            self.now = Now { mono_ms, wall_ms: wall_ms() };
        }
        self.now
    }

    /// The start of the last turn in which something happened.
    pub fn last(&self) -> Instant {
        self.last
    }

    /// When a number of milliseconds of `Now::mono_ms` is reached.
    pub fn instant(&self, mono_ms: u64) -> Instant {
        // A deadline that no clock can express is as far away as matters.
        self.start
            .checked_add(Duration::from_millis(mono_ms))
            .unwrap_or(self.start + Duration::from_secs(1 << 30))
    }
}

fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_when_the_clock_says_its_number() {
        let mut clock = Clock::new();
        let at = clock.instant(25);
        assert_eq!(clock.now(at).mono_ms, 25);
        assert_eq!(clock.now(at - Duration::from_millis(1)).mono_ms, 25, "it never goes back");
        assert_eq!(clock.now(at + Duration::from_micros(999)).mono_ms, 25);
        assert!(clock.instant(u64::MAX) > at);
    }
}
