//! Counts by size, in plain numbers: for one thread that records and hands out copies.

/// Most bounds of one histogram.
const BOUNDS_MAX: usize = 16;

/// How many values fell between fixed bounds, and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One per bound, and one more for what is above the last. Not cumulative.
    counts: [u64; BOUNDS_MAX + 1],
    sum: u64,
}

impl Histogram {
    /// `bounds` rise; a value that equals one falls below it.
    pub fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() <= BOUNDS_MAX && bounds.is_sorted());
        Self { bounds, counts: [0; BOUNDS_MAX + 1], sum: 0 }
    }

    /// One that was counted elsewhere: a count per bound and one above, not cumulative.
    pub fn counted(bounds: &'static [u64], counts: &[u64], sum: u64) -> Self {
        assert_eq!(counts.len(), bounds.len() + 1);
        let mut histogram = Self { sum, ..Self::new(bounds) };
        histogram.counts[..counts.len()].copy_from_slice(counts);
        histogram
    }

    pub fn record(&mut self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    pub fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// Values at most this bound and above the one before; the last count is of those above all bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts[..=self.bounds.len()]
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }

    pub fn count(&self) -> u64 {
        self.counts().iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_at_or_below_its_bound() {
        let mut histogram = Histogram::new(&[10, 100]);
        [0, 10, 11, 100, 101, u64::MAX].iter().for_each(|value| histogram.record(*value));
        assert_eq!(histogram.counts(), [2, 2, 2]);
        assert_eq!((histogram.count(), histogram.sum()), (6, u64::MAX));
    }
}
