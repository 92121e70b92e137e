//! TLS handshakes that are not done. The driver does not know these connections yet, so their number is bounded here.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::close::CloseReason;
use super::limits::Limits;

/// Handshakes under way on one core.
#[derive(Default)]
pub(super) struct Handshakes {
    count: usize,
    /// Bounded by `handshakes_max`: addresses without handshakes are not kept.
    by_address: HashMap<IpAddr, u32>,
}

impl Handshakes {
    /// Counts one more; or says why there may be none.
    pub fn enter(&mut self, peer: SocketAddr, limits: &Limits) -> Result<(), CloseReason> {
        if self.count >= limits.handshakes_max {
            return Err(CloseReason::HandshakesFull);
        }
        let of_address = self.by_address.entry(peer.ip().to_canonical()).or_insert(0);
        if *of_address >= limits.handshakes_per_address_max {
            return Err(CloseReason::AddressFull);
        }
        *of_address += 1;
        self.count += 1;
        Ok(())
    }

    /// One is done, or has ended.
    pub fn leave(&mut self, peer: SocketAddr) {
        let address = peer.ip().to_canonical();
        let of_address = self.by_address.get_mut(&address).expect("who leaves has entered");
        *of_address -= 1;
        if *of_address == 0 {
            self.by_address.remove(&address);
        }
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_places_come_back() {
        let limits = Limits { handshakes_max: 3, handshakes_per_address_max: 2, ..Limits::default() };
        let peer = |address: &str| SocketAddr::new(address.parse().expect("an address"), 1);
        let (one, mapped, two) = (peer("10.0.0.1"), peer("::ffff:10.0.0.1"), peer("10.0.0.2"));
        let mut handshakes = Handshakes::default();
        assert_eq!(handshakes.enter(one, &limits), Ok(()));
        assert_eq!(handshakes.enter(mapped, &limits), Ok(()), "the same address in another form");
        assert_eq!(handshakes.enter(one, &limits), Err(CloseReason::AddressFull));
        assert_eq!(handshakes.enter(two, &limits), Ok(()));
        assert_eq!(handshakes.enter(two, &limits), Err(CloseReason::HandshakesFull));
        for peer in [one, mapped, two] {
            handshakes.leave(peer);
        }
        assert!(handshakes.count == 0 && handshakes.by_address.is_empty());
    }
}
