//! Histograms with fixed buckets: an atomic add per value, and no lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of latency buckets, in microseconds; each is part of its bucket.
pub const LATENCY_BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000,
];
/// Upper bounds of size buckets; each is part of its bucket.
pub const SIZE_BOUNDS: [u64; 9] = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536];

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyHistogram {
    /// By bucket of [`LATENCY_BOUNDS_US`], not cumulative; the last one is for all above.
    pub counts: [u64; LATENCY_BOUNDS_US.len() + 1],
    pub sum_us: u64,
}

/// How often something had which size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeHistogram {
    /// By bucket of [`SIZE_BOUNDS`], not cumulative; the last one is for all above.
    pub counts: [u64; SIZE_BOUNDS.len() + 1],
    pub sum: u64,
}

#[derive(Debug)]
struct Buckets<const N: usize> {
    counts: [AtomicU64; N],
    sum: AtomicU64,
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; N], sum: AtomicU64::new(0) }
    }
}

impl<const N: usize> Buckets<N> {
    fn add(&self, bounds: &[u64], value: u64) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    fn counts(&self) -> [u64; N] {
        std::array::from_fn(|bucket| self.counts[bucket].load(Relaxed))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Latencies(Buckets<{ LATENCY_BOUNDS_US.len() + 1 }>);

impl Latencies {
    pub(crate) fn add(&self, us: u64) {
        self.0.add(&LATENCY_BOUNDS_US, us);
    }

    pub(crate) fn snapshot(&self) -> LatencyHistogram {
        LatencyHistogram { counts: self.0.counts(), sum_us: self.0.sum.load(Relaxed) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Sizes(Buckets<{ SIZE_BOUNDS.len() + 1 }>);

impl Sizes {
    pub(crate) fn add(&self, size: u64) {
        self.0.add(&SIZE_BOUNDS, size);
    }

    pub(crate) fn snapshot(&self) -> SizeHistogram {
        SizeHistogram { counts: self.0.counts(), sum: self.0.sum.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_part_of_its_bucket() {
        let sizes = Sizes::default();
        for size in [0, 1, 2, 4, 5, 65_536, 65_537, 1 << 40] {
            sizes.add(size);
        }
        let found = sizes.snapshot();
        assert_eq!(found.counts, [2, 2, 1, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(found.sum, 1 + 2 + 4 + 5 + 65_536 + 65_537 + (1 << 40));
    }
}
