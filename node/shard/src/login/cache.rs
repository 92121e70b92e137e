//! Records in memory, with the batch that each was last changed in.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::Hash;

use ahash::AHashMap;

use crate::commits::Stamp;
use crate::rng::Rng;

#[derive(Debug)]
struct Cached<V> {
    value: V,
    /// The default stamp, on disk since ever, for what was loaded.
    stamp: Stamp,
    used: u64,
}

/// At most `len_max` records, and beyond that those whose change is not on disk yet. The least recently used leave.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    map: AHashMap<K, Cached<V>>,
    by_use: BTreeMap<u64, K>,
    uses: u64,
    len_max: usize,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    pub fn new(rng: &mut Rng, len_max: usize) -> Self {
        Self { map: AHashMap::with_hasher(rng.hasher()), by_use: BTreeMap::new(), uses: 0, len_max }
    }

    /// The record and the batch it was last changed in. Counts as a use.
    pub fn find<Q>(&mut self, key: &Q) -> Option<(&V, Stamp)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let cached = self.map.get_mut(key)?;
        self.uses += 1;
        let key = self.by_use.remove(&cached.used).expect("every record has its use");
        cached.used = self.uses;
        self.by_use.insert(self.uses, key);
        Some((&cached.value, cached.stamp))
    }

    /// Puts or replaces a record. `is_committed` says which of the others may leave for it.
    pub fn put(&mut self, key: K, value: V, stamp: Stamp, is_committed: impl Fn(&K, Stamp) -> bool) {
        self.uses += 1;
        let cached = Cached { value, stamp, used: self.uses };
        if let Some(old) = self.map.insert(key.clone(), cached) {
            self.by_use.remove(&old.used);
        }
        self.by_use.insert(self.uses, key);
        let last = self.uses; // the one just put stays
        while self.map.len() > self.len_max {
            let may_leave = |(_, key): &(&u64, &K)| is_committed(key, self.map[*key].stamp);
            let Some((used, key)) = self.by_use.range(..last).find(may_leave) else { return };
            let (used, key) = (*used, key.clone());
            self.by_use.remove(&used);
            self.map.remove(&key);
        }
    }

    /// Puts a record that was read. One that is here already stays: it may have been changed since the read began.
    pub fn put_loaded(&mut self, key: K, value: V, is_committed: impl Fn(&K, Stamp) -> bool) {
        if !self.map.contains_key(&key) {
            self.put(key, value, Stamp::default(), is_committed);
        }
    }

    /// Drops a record that is not needed soon, if its last change is on disk.
    pub fn release(&mut self, key: &K, is_committed: impl Fn(Stamp) -> bool) {
        if self.map.get(key).is_some_and(|cached| is_committed(cached.stamp))
            && let Some(cached) = self.map.remove(key)
        {
            self.by_use.remove(&cached.used);
        }
    }

    /// Drops those whose key is like that.
    pub fn forget(&mut self, is_like: impl Fn(&K) -> bool) {
        self.map.retain(|key, _| !is_like(key));
        self.by_use.retain(|_, key| !is_like(key));
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn check_invariants(&self) {
        assert_eq!(self.map.len(), self.by_use.len());
        for (used, key) in &self.by_use {
            assert_eq!(self.map.get(key).map(|cached| cached.used), Some(*used));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_committed_record_leaves() {
        let mut cache = Cache::new(&mut Rng::new([1; 32]), 3);
        let committed = |_: &u32, stamp: Stamp| stamp == Stamp(0);
        cache.put(1, "dirty", Stamp(5), committed);
        cache.put(2, "two", Stamp(0), committed);
        cache.put(3, "three", Stamp(0), committed);
        assert_eq!(cache.find(&2), Some((&"two", Stamp(0))));
        cache.put(4, "four", Stamp(0), committed);
        cache.check_invariants();
        assert_eq!(cache.find(&3), None);
        assert_eq!(cache.find(&1), Some((&"dirty", Stamp(5))));
        cache.forget(|key| *key == 1);
        cache.check_invariants();
        assert_eq!(cache.find(&1), None);
    }

    #[test]
    fn only_a_record_that_is_on_disk_is_released() {
        let mut cache = Cache::new(&mut Rng::new([1; 32]), 3);
        let committed = |stamp: Stamp| stamp <= Stamp(4);
        cache.put(1, "dirty", Stamp(5), |_, stamp| committed(stamp));
        cache.put(2, "two", Stamp(4), |_, stamp| committed(stamp));
        (1..=3).for_each(|key| cache.release(&key, committed));
        cache.check_invariants();
        assert_eq!(cache.find(&1), Some((&"dirty", Stamp(5))));
        assert_eq!(cache.find(&2), None);
    }
}
