//! When messages are due in an open loop.

use std::time::Duration;

/// Messages at a steady rate over all pairs, dealt to them in turn.
#[derive(Debug, Clone, Copy)]
pub struct Pacing {
    rate_per_s: f64,
    end_ns: u64,
    due: u64,
}

impl Pacing {
    /// For a round of this length, from its beginning on.
    ///
    /// # Panics
    /// If the rate is not positive.
    pub fn new(rate_per_s: f64, length: Duration) -> Self {
        assert!(rate_per_s > 0.0, "a rate of {rate_per_s}");
        Self { rate_per_s, end_ns: length.as_nanos() as u64, due: 0 }
    }

    /// When the next message is due, in nanoseconds from the beginning; `None` when the round has no more.
    pub fn next_ns(&self) -> Option<u64> {
        // From the number and not from the last time, so that no error adds up.
        let at_ns = (self.due as f64 * 1e9 / self.rate_per_s) as u64;
        (at_ns < self.end_ns).then_some(at_ns)
    }

    /// Takes the next message if it is due by `now_ns`: its number and its intended time.
    pub fn take(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let at_ns = self.next_ns().filter(|at_ns| *at_ns <= now_ns)?;
        self.due += 1;
        Some((self.due - 1, at_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_does_not_divide_a_second_is_kept_to_the_end() {
        for rate in [1.0, 3.0, 7_777.0, 33_333.3] {
            let mut pacing = Pacing::new(rate, Duration::from_secs(10));
            let taken = std::iter::from_fn(|| pacing.take(u64::MAX)).count();
            assert_eq!(taken, (rate * 10.0_f64).ceil() as usize, "at {rate} per second");
            assert_eq!(pacing.next_ns(), None);
        }
    }

    #[test]
    fn nothing_is_taken_before_it_is_due_and_what_is_late_keeps_its_time() {
        let mut pacing = Pacing::new(1_000.0, Duration::from_secs(1));
        assert_eq!(pacing.take(0), Some((0, 0)));
        assert_eq!(pacing.take(999_999), None);
        assert_eq!(pacing.next_ns(), Some(1_000_000));
        assert_eq!(pacing.take(5_000_000), Some((1, 1_000_000)));
        assert_eq!(pacing.take(5_000_000), Some((2, 2_000_000)));
    }
}
