//! Failed logins, by name and address together, and by address alone: who guesses is slowed down, whether at one password or at
//! many; the owner at another address is not. Names without an account count alike.
//!
//! A home sees only its own names, so each has its share of what an address may fail.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ahash::AHashMap;

use crate::limits::{
    ADDRESS_FAILURES_FREE, FAILURE_DELAY_MS_FIRST, FAILURE_DELAY_MS_MAX, FAILURE_FORGIVEN_MS, FAILURE_MS_MAX,
    FAILURES_FREE, FAILURES_MAX,
};
use crate::rng::Rng;

type Who = (String, IpAddr);

/// No name is empty: stands for all of them.
const ANY_NAME: &str = "";

#[derive(Debug)]
struct Failure {
    count: u32,
    last_ms: u64,
    order: u64,
}

#[derive(Debug)]
pub(super) struct Failures {
    map: AHashMap<Who, Failure>,
    by_order: BTreeMap<u64, Who>,
    last_order: u64,
    /// Failures of one address that are free here.
    of_address_free: u32,
}

impl Failures {
    pub fn new(rng: &mut Rng, shards: u16) -> Self {
        Self {
            map: AHashMap::with_hasher(rng.hasher()),
            by_order: BTreeMap::new(),
            last_order: 0,
            of_address_free: (ADDRESS_FAILURES_FREE / u32::from(shards)).max(FAILURES_FREE),
        }
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// How long this one has to wait until the next attempt; `None`: not at all.
    pub fn delay_ms(&self, now_ms: u64, name: &str, address: IpAddr) -> Option<u64> {
        let of_pair = self.rest_ms(now_ms, name, address, FAILURES_FREE);
        of_pair.max(self.rest_ms(now_ms, ANY_NAME, address, self.of_address_free))
    }

    fn rest_ms(&self, now_ms: u64, name: &str, address: IpAddr, free: u32) -> Option<u64> {
        let failure = self.map.get(&(name.to_owned(), address))?;
        let doublings = failure.count.checked_sub(free)?;
        let delay_ms = (FAILURE_DELAY_MS_FIRST << doublings.min(16)).min(FAILURE_DELAY_MS_MAX);
        (failure.last_ms + delay_ms).checked_sub(now_ms).filter(|rest_ms| *rest_ms > 0)
    }

    /// Gives how many there are now of this name and address.
    pub fn note(&mut self, now_ms: u64, name: &str, address: IpAddr) -> u32 {
        self.forget_old(now_ms);
        let count = self.add(now_ms, name, address, |count, _| count);
        self.add(now_ms, ANY_NAME, address, |count, since_ms| {
            count.saturating_sub((since_ms / FAILURE_FORGIVEN_MS) as u32)
        });
        count
    }

    /// One failure more; `left` says what is left of the earlier ones, the last of which was so long ago.
    fn add(&mut self, now_ms: u64, name: &str, address: IpAddr, left: impl FnOnce(u32, u64) -> u32) -> u32 {
        let who = (name.to_owned(), address);
        self.last_order += 1;
        let mut count = 1;
        if let Some(before) = self.map.get(&who) {
            count = left(before.count, now_ms - before.last_ms).saturating_add(1);
            self.by_order.remove(&before.order);
        } else if self.map.len() >= FAILURES_MAX
            && let Some((_, oldest)) = self.by_order.pop_first()
        {
            self.map.remove(&oldest);
        }
        self.map.insert(who.clone(), Failure { count, last_ms: now_ms, order: self.last_order });
        self.by_order.insert(self.last_order, who);
        count
    }

    /// A success clears them.
    pub fn clear(&mut self, name: &str, address: IpAddr) {
        if let Some(failure) = self.map.remove(&(name.to_owned(), address)) {
            self.by_order.remove(&failure.order);
        }
    }

    fn forget_old(&mut self, now_ms: u64) {
        while let Some(first) = self.by_order.first_entry() {
            if self.map[first.get()].last_ms + FAILURE_MS_MAX > now_ms {
                return;
            }
            self.map.remove(&first.remove());
        }
    }

    pub fn check_invariants(&self) {
        assert_eq!(self.map.len(), self.by_order.len());
        assert!(self.map.len() <= FAILURES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_end() {
        let address = IpAddr::from([127, 0, 0, 1]);
        let elsewhere = IpAddr::from([127, 0, 0, 2]);
        let mut failures = Failures::new(&mut Rng::new([1; 32]), 1);
        let mut delays = Vec::new();
        for _ in 0..12 {
            failures.note(1_000, "ann", address);
            delays.push(failures.delay_ms(1_000, "ann", address).unwrap_or(0) / 1_000);
        }
        assert_eq!(delays, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(failures.delay_ms(1_000, "ann", elsewhere), None, "the owner is not locked out");
        assert_eq!(failures.delay_ms(61_000, "ann", address), None);
        failures.note(1_000 + FAILURE_MS_MAX, "bob", address);
        assert_eq!(failures.map.len(), 2, "old failures are forgotten");
        failures.clear("bob", address);
        failures.check_invariants();
        assert_eq!(failures.map.len(), 1, "a success on one name forgives no failure on others");
    }

    #[test]
    fn an_address_that_tries_many_names_is_slowed_down_too() {
        let (address, elsewhere) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let mut failures = Failures::new(&mut Rng::new([1; 32]), 1);
        let (mut now_ms, mut tries) = (0, 0);
        for number in 0..1_000 {
            let name = format!("user{number}");
            if failures.delay_ms(now_ms, &name, address).is_none() {
                failures.note(now_ms, &name, address);
                tries += 1;
            }
            now_ms += 100;
        }
        assert!((40..48).contains(&tries), "{tries} tries in {now_ms} ms");
        assert_eq!(failures.delay_ms(now_ms, "user0", elsewhere), None, "the owner is not locked out");
        assert_eq!(failures.delay_ms(now_ms + FAILURE_DELAY_MS_MAX, "user0", address), None);
        // A quiet address gets its failures back.
        now_ms += 14 * FAILURE_FORGIVEN_MS;
        for number in 0..5 {
            let name = format!("another{number}");
            assert_eq!(failures.delay_ms(now_ms, &name, address), None, "after {number}");
            failures.note(now_ms, &name, address);
        }
        failures.check_invariants();
    }
}
