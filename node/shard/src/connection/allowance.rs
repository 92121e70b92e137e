//! A rate with a burst, in one number (the generic cell rate algorithm).

use crate::limits::BURST_MS_MAX;

/// How much of an allowance is used up: the time, in microseconds of the monotonic clock, at which all of it is back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowance(u64);

/// Time that one use costs; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    us: u64,
    /// A burst allows so many uses, however small the share of the rate is.
    burst_min: u64,
}

impl Cost {
    /// `per_s_max` uses per second, shared by `sharers`; 0 is no limit.
    pub fn new(per_s_max: u32, sharers: u16) -> Self {
        let us = (1_000_000 * u64::from(sharers)).checked_div(u64::from(per_s_max)).unwrap_or(0);
        Self { us, burst_min: 1 }
    }

    /// What takes `uses` in a row can be done at all, even by a small share.
    pub fn with_burst_min(self, uses: u64) -> Self {
        Self { burst_min: uses, ..self }
    }
}

impl Allowance {
    /// Uses it once; otherwise says after how many milliseconds that is possible.
    pub fn take(&mut self, now_ms: u64, cost: Cost) -> Result<(), u32> {
        if cost.us == 0 {
            return Ok(());
        }
        let now_us = now_ms * 1_000;
        let used_up_to = self.0.max(now_us) + cost.us;
        let burst_us = (BURST_MS_MAX * 1_000).max(cost.us * cost.burst_min);
        match (used_up_to - now_us).checked_sub(burst_us) {
            Some(over_us) if over_us > 0 => Err(over_us.div_ceil(1_000) as u32),
            _ => {
                self.0 = used_up_to;
                Ok(())
            }
        }
    }

    /// Nothing of it is used up.
    pub fn is_whole(&self, now_ms: u64) -> bool {
        self.0 <= now_ms * 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_two_seconds_then_the_rate() {
        let (mut allowance, cost) = (Allowance::default(), Cost::new(10, 1));
        let taken = (0..100).filter(|_| allowance.take(5_000, cost).is_ok()).count();
        assert_eq!(taken, 20);
        assert_eq!(allowance.take(5_000, cost), Err(100));
        assert_eq!(allowance.take(5_100, cost), Ok(()));
        assert_eq!(allowance.take(5_100, cost), Err(100));
        assert!(!allowance.is_whole(5_100) && allowance.is_whole(7_100));
    }

    #[test]
    fn a_share_of_a_rate_and_no_rate() {
        let (mut allowance, cost) = (Allowance::default(), Cost::new(10, 4));
        assert_eq!((0..100).filter(|_| allowance.take(0, cost).is_ok()).count(), 5);
        let (mut slow, cost) = (Allowance::default(), Cost::new(1, 64));
        assert_eq!((0..100).filter(|_| slow.take(0, cost).is_ok()).count(), 1, "never nothing at all");
        let (mut login, cost) = (Allowance::default(), Cost::new(5, 6).with_burst_min(4));
        assert_eq!((0..100).filter(|_| login.take(0, cost).is_ok()).count(), 4, "a whole login");
        assert_eq!(login.take(0, cost), Err(1_200));
        let (mut free, cost) = (Allowance::default(), Cost::new(0, 4));
        assert!((0..100_000).all(|_| free.take(0, cost).is_ok()));
    }
}
