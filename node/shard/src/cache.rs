//! Which cached thing was used longest ago. Costs one queue entry per thing and nothing per use.

use std::collections::VecDeque;

/// Things in use that one search meets before it gives up: then there is no room now. Those that may go but were used
/// since they were last looked at do not count: each costs one look per use.
const HELD_MAX: usize = 1_024;

/// What the owner of the things says about one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// It may go; it was last used at this [`UseOrder::tick`].
    Free { used: u64 },
    /// It holds what is not on disk, or somebody waits for it.
    Held,
    /// It is not there any more.
    Gone,
}

/// Keys in the order of their last use, as far as it is known: a key moves back when it is found to have been used.
#[derive(Debug)]
pub(crate) struct UseOrder<K> {
    queue: VecDeque<(K, u64)>,
    clock: u64,
}

impl<K> Default for UseOrder<K> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), clock: 0 }
    }
}

impl<K: Copy> UseOrder<K> {
    /// The number of a use: rises.
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Takes in a new key, used just now. Gives back the number of that use.
    pub fn add(&mut self, key: K) -> u64 {
        let used = self.tick();
        self.queue.push_back((key, used));
        used
    }

    /// Takes out the key that was used longest ago among those that may go. `None`: none of those looked at may.
    pub fn take_oldest(&mut self, mut look: impl FnMut(&K) -> Candidate) -> Option<K> {
        let mut held = 0;
        for _ in 0..2 * self.queue.len() {
            let (key, seen) = self.queue.pop_front()?;
            match look(&key) {
                Candidate::Free { used } if used <= seen => return Some(key),
                Candidate::Free { used } => self.queue.push_back((key, used)),
                Candidate::Held => {
                    self.queue.push_back((key, seen));
                    held += 1;
                    if held == HELD_MAX {
                        return None;
                    }
                }
                Candidate::Gone => {}
            }
        }
        None
    }

    /// Drops the keys of things that left by another way.
    pub fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.queue.retain(|(key, _)| keep(key));
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_used_longest_ago_goes_first_and_held_ones_stay() {
        let mut order = UseOrder::default();
        let mut used: Vec<u64> = (0..4usize).map(|key| order.add(key)).collect();
        used[0] = order.tick();
        let look = |used: &[u64], key: &usize| match *key {
            2 => Candidate::Held,
            key => Candidate::Free { used: used[key] },
        };
        assert_eq!(order.take_oldest(|key| look(&used, key)), Some(1));
        assert_eq!(order.take_oldest(|key| look(&used, key)), Some(3));
        assert_eq!(order.take_oldest(|key| look(&used, key)), Some(0));
        assert_eq!(order.take_oldest(|key| look(&used, key)), None, "only a held one is left");
        assert_eq!(order.take_oldest(|_| Candidate::Gone), None);
        assert_eq!(order.len(), 0);
    }
}
