//! The rows of many runs in one order, part by part.

use std::cmp::Ordering;
use std::sync::Arc;

use super::run::{Merged, Place, Run, compare};

/// All that [`Merged`] gives, in the same order and in small parts: sorting all at once keeps the processor for long, and
/// parts stay in its cache.
///
/// A tournament: the leaves of a tree are the runs with their next rows, each node knows which of the two below has
/// the smaller key, and after a row is taken only the nodes above its run play again (Knuth, The Art of Computer
/// Programming, volume 3, 5.4.1).
pub(crate) struct Parts<'a> {
    runs: &'a [Arc<Run>],
    rows: usize,
    /// How many rows of each run were taken.
    taken: Vec<usize>,
    /// The next row of each leaf; there may be more leaves than runs.
    next: Vec<Option<Place>>,
    /// Nodes from the root, which is the second; the leaves follow them. Each names the leaf that has won.
    winners: Vec<u32>,
    /// The last row given.
    last: Option<(u32, Place)>,
}

impl<'a> Parts<'a> {
    /// Parts of so many rows. Runs come oldest first.
    pub(crate) fn of(runs: &'a [Arc<Run>], rows: usize) -> Self {
        let leaves = runs.len().next_power_of_two();
        let next = (0..leaves).map(|leaf| runs.get(leaf)?.places.first().copied()).collect();
        let winners = (0..2 * leaves).map(|node| node.saturating_sub(leaves) as u32).collect();
        let mut parts = Self { runs, rows, taken: vec![0; leaves], next, winners, last: None };
        (1..leaves).rev().for_each(|node| parts.play(node));
        parts
    }

    fn play(&mut self, node: usize) {
        let (left, right) = (self.winners[2 * node], self.winners[2 * node + 1]);
        let order = match (&self.next[left as usize], &self.next[right as usize]) {
            (Some(a), Some(b)) => self.compare((left, a), (right, b)),
            (None, Some(_)) => Ordering::Greater,
            (_, None) => Ordering::Less,
        };
        // Of equal keys the newest comes first.
        self.winners[node] = if order.is_lt() { left } else { right };
    }

    fn compare(&self, (a_run, a): (u32, &Place), (b_run, b): (u32, &Place)) -> Ordering {
        compare(&self.runs[a_run as usize].bytes, a, &self.runs[b_run as usize].bytes, b)
    }

    /// The next row, of each run in turn; equal keys one after the other, the newest first.
    fn take(&mut self) -> Option<(u32, Place)> {
        let winner = self.winners[1];
        let leaf = winner as usize;
        let place = self.next[leaf].take()?;
        self.taken[leaf] += 1;
        self.next[leaf] = self.runs[leaf].places.get(self.taken[leaf]).copied();
        let mut node = (self.next.len() + leaf) / 2;
        while node > 0 {
            self.play(node);
            node /= 2;
        }
        Some((winner, place))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Merged<'a>;

    fn next(&mut self) -> Option<Merged<'a>> {
        let mut places = Vec::with_capacity(self.rows);
        while places.len() < self.rows
            && let Some((run, place)) = self.take()
        {
            let is_older = self
                .last
                .is_some_and(|(last_run, last)| self.compare((last_run, &last), (run, &place)).is_eq());
            if !is_older {
                self.last = Some((run, place));
                places.push((run, place));
            }
        }
        (!places.is_empty()).then_some(Merged { runs: self.runs, places })
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::{run, text};
    use super::*;

    #[test]
    fn parts_are_the_whole() {
        let keys = |step: usize, count: usize, value: &'static str| {
            let keys: Vec<_> = (0..count).map(|n| format!("{:05}", n * step)).collect();
            let rows: Vec<_> = keys.iter().map(|key| (&key[..], Some(value))).collect();
            run(&rows)
        };
        let all = |merged: &Merged<'_>| (0..merged.len()).map(|n| text(merged.row(n))).collect::<Vec<_>>();
        let runs = [keys(7, 900, "a"), keys(3, 2_000, "b"), run(&[]), keys(3, 30, "c"), run(&[("x", None)])];
        for runs in [&runs[..], &runs[..1], &runs[2..3], &[]] {
            for rows in [1, 7, 100, 10_000] {
                let parts: Vec<_> = Parts::of(runs, rows).collect();
                assert_eq!(parts.iter().flat_map(all).collect::<Vec<_>>(), all(&Merged::of(runs)));
                assert!(parts.iter().all(|part| (1..=rows).contains(&part.len())));
            }
        }
    }
}
