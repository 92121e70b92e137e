//! What is known of a device beside its account: where it was last, and when somebody used it.

use std::net::{IpAddr, Ipv6Addr};

use rkyv::{Archive, Deserialize, Serialize};

use crate::records::{Record, RecordError, record};

/// The last activity of a device, as of its last login or the end of a session, and once an hour in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DeviceSeen {
    /// Unix milliseconds.
    pub active_ms: u64,
    /// As [`octets_of`] gives it.
    pub address: [u8; 16],
}
record!(DeviceSeen, DeviceSeen, 1);

/// An address in 16 bytes: one of IPv4 as one of IPv6 that maps it.
pub fn octets_of(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The address that [`octets_of`] made these bytes of.
pub fn address_of(octets: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(octets).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        for text in ["127.0.0.1", "203.0.113.9", "2001:db8::", "::1"] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(address_of(octets_of(address)), address);
        }
    }

    /// The bytes on disk of version 1. They never change; a new version gets bytes of its own beside these.
    #[test]
    fn golden_bytes() {
        let seen = DeviceSeen {
            active_ms: 0x0102_0304_0506,
            address: octets_of("10.1.2.3".parse().expect("an address")),
        };
        let value = seen.encode();
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "110106050403020100000000000000000000 0000ffff0a010203".replace(' ', ""));
        assert_eq!(DeviceSeen::decode(&value), Ok(seen));
    }
}
