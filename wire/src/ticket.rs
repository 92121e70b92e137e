//! Resume tickets: what a node gives a client so that it need not prove its password again. Sealed under a key that
//! only the node has; a session generation in it lets the user's home revoke it.
//!
//! ```text
//! u8 version 1 | u32 key id | 24 bytes nonce | XChaCha20-Poly1305 over 36 bytes, with version and key id as associated data
//! ```

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{DeviceId, SessionId, UserId};

pub const NONCE_LEN: usize = 24;
/// Bytes of every ticket.
pub const TICKET_LEN: usize = HEADER_LEN + NONCE_LEN + CONTENTS_LEN + TAG_LEN;

const VERSION: u8 = 1;
const HEADER_LEN: usize = 5;
const CONTENTS_LEN: usize = 36;
const TAG_LEN: usize = 16;

const _: () = assert!(TICKET_LEN <= crate::limits::LOGIN_FIELD_LEN_MAX);

/// Whom a ticket logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    pub user: UserId,
    pub device: DeviceId,
    /// Valid as long as the user's home holds the same one for this device.
    pub generation: u64,
    pub session: SessionId,
    /// Unix milliseconds; at and after it the ticket serves no more.
    pub expiry_ms: u64,
}

/// A key of the node, from a source of true randomness.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TicketKey {
    pub id: u32,
    pub key: [u8; 32],
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ticket key {}", self.id)
    }
}

/// The key that seals and, while keys rotate, the one before it, which only opens.
#[derive(Clone, Debug)]
pub struct TicketKeys {
    pub current: TicketKey,
    pub previous: Option<TicketKey>,
}

/// Why a ticket does not open. To the client they are all one refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error("the ticket is not of a known form")]
    Malformed,
    #[error("the ticket was sealed under a key that is gone")]
    UnknownKey,
    #[error("the ticket was not sealed by this node")]
    Forged,
    #[error("the ticket has expired")]
    Expired,
}

/// Seals with the current key. `nonce` must be random: it must never come twice under one key.
pub fn seal(keys: &TicketKeys, nonce: [u8; NONCE_LEN], contents: &Contents) -> Vec<u8> {
    let mut ticket = Vec::with_capacity(TICKET_LEN);
    ticket.push(VERSION);
    ticket.extend_from_slice(&keys.current.id.to_le_bytes());
    let payload = Payload { msg: &contents.to_bytes(), aad: &ticket };
    let sealed = cipher(&keys.current)
        .encrypt(&XNonce::from(nonce), payload)
        .expect("36 bytes are not too many to seal");
    ticket.extend_from_slice(&nonce);
    ticket.extend_from_slice(&sealed);
    assert_eq!(ticket.len(), TICKET_LEN);
    ticket
}

/// Opens what [`seal`] made under the current or the previous key.
pub fn open(keys: &TicketKeys, ticket: &[u8], now_ms: u64) -> Result<Contents, TicketError> {
    if ticket.len() != TICKET_LEN || ticket[0] != VERSION {
        return Err(TicketError::Malformed);
    }
    let (header, rest) = ticket.split_at(HEADER_LEN);
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(TicketError::Malformed)?;
    let id = u32::from_le_bytes(*header.last_chunk().ok_or(TicketError::Malformed)?);
    let key = [Some(&keys.current), keys.previous.as_ref()]
        .into_iter()
        .flatten()
        .find(|key| key.id == id)
        .ok_or(TicketError::UnknownKey)?;
    let payload = Payload { msg: sealed, aad: header };
    let opened = cipher(key).decrypt(&XNonce::from(*nonce), payload).map_err(|_| TicketError::Forged)?;
    let contents = Contents::from_bytes(&opened).ok_or(TicketError::Malformed)?;
    if now_ms >= contents.expiry_ms {
        return Err(TicketError::Expired);
    }
    Ok(contents)
}

fn cipher(key: &TicketKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(key.key))
}

impl Contents {
    fn to_bytes(self) -> [u8; CONTENTS_LEN] {
        let mut bytes = [0; CONTENTS_LEN];
        bytes[0..8].copy_from_slice(&self.user.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.device.0.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.generation.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.session.0.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.expiry_ms.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (user, rest) = bytes.split_first_chunk()?;
        let (device, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (session, rest) = rest.split_first_chunk()?;
        let (expiry_ms, rest) = rest.split_first_chunk()?;
        rest.is_empty().then(|| Self {
            user: UserId(u64::from_le_bytes(*user)),
            device: DeviceId(u32::from_le_bytes(*device)),
            generation: u64::from_le_bytes(*generation),
            session: SessionId(u64::from_le_bytes(*session)),
            expiry_ms: u64::from_le_bytes(*expiry_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> TicketKeys {
        TicketKeys {
            current: TicketKey { id: 7, key: [7; 32] },
            previous: Some(TicketKey { id: 6, key: [6; 32] }),
        }
    }

    fn contents() -> Contents {
        Contents {
            user: UserId(0x1234_5678),
            device: DeviceId(9),
            generation: 3,
            session: SessionId(0xaabb_ccdd_0011),
            expiry_ms: 1_000,
        }
    }

    #[test]
    fn opens_until_it_expires() {
        let ticket = seal(&keys(), [1; NONCE_LEN], &contents());
        assert_eq!(open(&keys(), &ticket, 999), Ok(contents()));
        assert_eq!(open(&keys(), &ticket, 1_000), Err(TicketError::Expired));
    }

    #[test]
    fn opens_under_the_previous_key_and_not_under_an_older_one() {
        let ticket = seal(&keys(), [1; NONCE_LEN], &contents());
        let rotated = TicketKeys {
            current: TicketKey { id: 8, key: [8; 32] },
            previous: Some(TicketKey { id: 7, key: [7; 32] }),
        };
        assert_eq!(open(&rotated, &ticket, 0), Ok(contents()));
        let gone = TicketKeys { previous: None, ..rotated };
        assert_eq!(open(&gone, &ticket, 0), Err(TicketError::UnknownKey));
        let same_id = TicketKeys { current: TicketKey { id: 7, key: [9; 32] }, previous: None };
        assert_eq!(open(&same_id, &ticket, 0), Err(TicketError::Forged));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let mut ticket = seal(&keys(), [1; NONCE_LEN], &contents());
        for bit in 0..ticket.len() * 8 {
            ticket[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&keys(), &ticket, 0).is_err(), "bit {bit}");
            ticket[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..ticket.len() {
            assert_eq!(open(&keys(), &ticket[..len], 0), Err(TicketError::Malformed));
        }
        assert_eq!(open(&keys(), &[&ticket[..], &[0]].concat(), 0), Err(TicketError::Malformed));
    }

    #[test]
    fn the_key_id_cannot_be_swapped() {
        let two = TicketKeys {
            current: TicketKey { id: 7, key: [7; 32] },
            previous: Some(TicketKey { id: 6, key: [7; 32] }), // the same key under another id
        };
        let mut ticket = seal(&two, [1; NONCE_LEN], &contents());
        ticket[1] = 6;
        assert_eq!(open(&two, &ticket, 0), Err(TicketError::Forged));
    }
}
