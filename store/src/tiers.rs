//! When which tables are merged: tiers, so that a row is written again only a few times.
//!
//! Conversations lie over the whole range of keys, and so does each feed: what is merged into a level that holds much
//! writes all of that level anew. So nothing is merged into what is there. Runs of about the same size gather side by
//! side, and when there are many of them they become one run of the next tier. A row is written once more per tier, and
//! tiers grow by factors of 16, 8 and 8. The price is that a read looks at more runs; their number is bounded.
//!
//! ```text
//! level 0   runs as they were fed            up to 16, 32 if the compactor is behind
//! level 2   runs of 16 feeds                 up to 8
//! level 4   runs of 128 feeds                up to 8
//! level 6   runs of 1,024 feeds              up to 8, then one of all, in which deletes are gone for good
//! ```
//! The levels between them are empty, but for a moment: fjall merges all of one level and all of the next, which has to
//! be empty therefore, and what was merged then moves down beside the others, which writes no table. A database of a
//! program that merged by levels has its tables in the last ones; they are in order and stay there.

/// fjall's levels, the newest rows first.
pub(crate) const LEVELS: usize = 7;
/// Runs of level 0 that are merged at a time.
pub(crate) const FED_RUNS_MERGED: usize = 16;
/// Runs of the other tiers that are merged at a time.
const TIER_RUNS_MERGED: usize = 8;
const LAST: usize = LEVELS - 1;

/// What is to be done next. Levels are next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// All runs of a level become part of the next one as they are.
    Move { from: usize },
    /// All runs of a level and of the next one become one run there.
    Merge { from: usize },
}

/// `runs`: how many each level has. `fits`: whether the disk has room to merge a level and the next one. Without it,
/// there are more runs for a while.
pub(crate) fn next_step(runs: [usize; LEVELS], fits: impl Fn(usize) -> bool) -> Option<Step> {
    // From below, so that there is room for what comes from above.
    for from in (0..LAST).rev() {
        let (here, below) = (runs[from], runs[from + 1]);
        let step = match from {
            0 if here >= FED_RUNS_MERGED && below == 0 && fits(from) => Step::Merge { from },
            2 | 4 if here >= TIER_RUNS_MERGED && below == 0 && fits(from) => Step::Merge { from },
            5 if here > 0 && below >= TIER_RUNS_MERGED && fits(from) => Step::Merge { from },
            1 | 3 | 5 if here > 0 => Step::Move { from },
            _ => continue,
        };
        return Some(step);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that only counts: each run is the number of feeds in it.
    #[derive(Default)]
    struct Model {
        levels: [Vec<u64>; LEVELS],
        written: u64,
    }

    impl Model {
        fn feed(&mut self) {
            self.levels[0].insert(0, 1);
            while let Some(step) = self.next_step() {
                let (Step::Move { from } | Step::Merge { from }) = step;
                let moved = std::mem::take(&mut self.levels[from]);
                self.levels[from + 1].splice(0..0, moved);
                if matches!(step, Step::Merge { .. }) {
                    let merged = self.levels[from + 1].drain(..).sum();
                    self.levels[from + 1].push(merged);
                    self.written += merged;
                }
            }
        }

        fn next_step(&self) -> Option<Step> {
            next_step(std::array::from_fn(|level| self.levels[level].len()), |_| true)
        }

        fn runs(&self) -> usize {
            self.levels.iter().map(Vec::len).sum()
        }
    }

    #[test]
    fn rows_are_written_once_per_tier_and_runs_are_few() {
        let mut model = Model::default();
        for feeds in 1..=7 * 1_024_u64 {
            model.feed();
            assert_eq!(model.levels.iter().flatten().sum::<u64>(), feeds, "nothing is lost");
            assert!(model.runs() < FED_RUNS_MERGED + 3 * TIER_RUNS_MERGED);
            let tiers = [16, 128, 1_024].iter().filter(|tier| feeds >= **tier).count() as u64;
            assert!(model.written <= feeds * tiers, "{feeds} feeds, {} written", model.written);
        }
        for _ in 0..4 * 1_024 {
            model.feed();
            assert!(model.runs() < FED_RUNS_MERGED + 3 * TIER_RUNS_MERGED);
        }
        assert!(model.levels[LAST].iter().any(|run| *run >= 8 * 1_024), "the last tier became one");
    }

    #[test]
    fn what_was_merged_by_levels_stays_where_it_is() {
        let next = |runs| next_step(runs, |_| true);
        assert_eq!(next([15, 0, 0, 0, 0, 0, 1]), None);
        assert_eq!(next([16, 0, 0, 0, 0, 0, 1]), Some(Step::Merge { from: 0 }));
        assert_eq!(next([3, 0, 0, 0, 0, 1, 1]), Some(Step::Move { from: 5 }));
        assert_eq!(next([16, 1, 1, 1, 1, 0, 1]), Some(Step::Move { from: 3 }));
    }

    #[test]
    fn what_does_not_fit_on_the_disk_is_not_merged() {
        let next = |runs| next_step(runs, |from| from < 2);
        assert_eq!(next([16, 0, 9, 0, 9, 0, 9]), Some(Step::Merge { from: 0 }));
        assert_eq!(
            next([3, 0, 9, 0, 9, 1, 9]),
            Some(Step::Move { from: 5 }),
            "the last tier has one run more"
        );
        assert_eq!(next([3, 0, 9, 0, 9, 0, 9]), None);
        assert_eq!(next_step([40, 0, 0, 0, 0, 0, 0], |_| false), None);
    }
}
