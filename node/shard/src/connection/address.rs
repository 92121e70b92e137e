//! Limits per address. Each shard keeps its share of them, so more cores do not mean more for one address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ahash::AHashMap;

use super::allowance::{Allowance, Cost};
use crate::limits::ADDRESSES_MAX;
use crate::rng::Rng;

#[derive(Debug, Default)]
struct Address {
    connections: u32,
    logins: Allowance,
    /// Place in `idle`; 0 while it has connections.
    idle: u64,
}

/// Addresses with connections here, and those whose allowance of login steps is not whole again.
#[derive(Debug)]
pub(super) struct Addresses {
    map: AHashMap<IpAddr, Address>,
    /// Those without connections, oldest first.
    idle: BTreeMap<u64, IpAddr>,
    last_idle: u64,
}

/// Who an address is taken for: of IPv6, a network of 64 bits, since one machine can use all of it.
pub(super) fn whom(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

impl Addresses {
    pub fn new(rng: &mut Rng) -> Self {
        Self { map: AHashMap::with_hasher(rng.hasher()), idle: BTreeMap::new(), last_idle: 0 }
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn connections(&self, address: IpAddr) -> u32 {
        self.map.get(&address).map_or(0, |entry| entry.connections)
    }

    /// Counts a connection; false when there is no room for another address.
    #[must_use]
    pub fn open(&mut self, now_ms: u64, address: IpAddr) -> bool {
        self.forget_whole(now_ms);
        if self.map.len() >= ADDRESSES_MAX && !self.map.contains_key(&address) {
            let Some((_, oldest)) = self.idle.pop_first() else { return false };
            self.map.remove(&oldest);
        }
        let entry = self.map.entry(address).or_default();
        if entry.connections == 0 && entry.idle != 0 {
            self.idle.remove(&entry.idle);
            entry.idle = 0;
        }
        entry.connections += 1;
        true
    }

    pub fn close(&mut self, now_ms: u64, address: IpAddr) {
        let entry = self.map.get_mut(&address).expect("an open connection is counted");
        entry.connections -= 1;
        if entry.connections == 0 {
            self.last_idle += 1;
            entry.idle = self.last_idle;
            self.idle.insert(self.last_idle, address);
        }
        self.forget_whole(now_ms);
    }

    /// A step of a login from this address; otherwise says after how many milliseconds it may come.
    pub fn take_login(&mut self, now_ms: u64, address: IpAddr, cost: Cost) -> Result<(), u32> {
        self.map.get_mut(&address).expect("an open connection is counted").logins.take(now_ms, cost)
    }

    fn forget_whole(&mut self, now_ms: u64) {
        while let Some(first) = self.idle.first_entry() {
            if !self.map[first.get()].logins.is_whole(now_ms) {
                return;
            }
            self.map.remove(&first.remove());
        }
    }

    pub fn check_invariants(&self, connections: usize) {
        assert!(self.map.len() <= ADDRESSES_MAX);
        let counted: usize = self.map.values().map(|entry| entry.connections as usize).sum();
        assert_eq!(counted, connections);
        assert_eq!(self.map.values().filter(|entry| entry.connections == 0).count(), self.idle.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_remembered_while_its_allowance_is_not_whole() {
        let mut addresses = Addresses::new(&mut Rng::new([1; 32]));
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let cost = Cost::new(1, 1);
        assert!(addresses.open(0, one) && addresses.open(0, two));
        assert_eq!(
            (addresses.take_login(0, one, cost), addresses.take_login(0, one, cost)),
            (Ok(()), Ok(()))
        );
        assert!(addresses.take_login(0, one, cost).is_err());
        addresses.close(0, one);
        addresses.close(0, two);
        assert!(addresses.open(10, one), "the allowance outlives the connection");
        assert!(addresses.take_login(10, one, cost).is_err());
        addresses.check_invariants(1);
        addresses.close(10, one);
        assert!(addresses.open(2_000, two));
        assert_eq!(addresses.map.len(), 1, "whole again, so it is forgotten");
        addresses.check_invariants(1);
    }

    #[test]
    fn one_machine_is_one_address() {
        let same = [("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::ffff:1")];
        for (a, b) in same.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())) {
            assert_eq!(whom(a), whom(b));
        }
        assert_ne!(whom("2001:db8::1".parse().unwrap()), whom("2001:db8:0:1::1".parse().unwrap()));
    }
}
