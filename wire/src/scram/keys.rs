//! SCRAM's keys: what is stretched, stored, proven and derived.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{ITERATIONS_MAX, ITERATIONS_MIN, KEY_LEN, SALT_LEN, SALT_LEN_MAX, ScramError};

/// What a client may keep instead of the password: it logs in with it, but cannot read the password from it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ClientKeys {
    pub client_key: [u8; KEY_LEN],
    pub server_key: [u8; KEY_LEN],
}

/// What a node stores of an account: enough to check a proof, not enough to log in.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Credentials {
    pub stored_key: [u8; KEY_LEN],
    pub server_key: [u8; KEY_LEN],
}

/// What both sides know after a login and nobody else.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SessionKey(pub [u8; KEY_LEN]);

macro_rules! opaque {
    ($($name:ident)+) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        })+
    };
}
opaque! { ClientKeys Credentials SessionKey }

/// Stretches a password. Takes time in proportion to `iterations` (0.2 s for 600,000 on a fast core): run it where
/// nothing waits. A password that SASLprep does not take is used as it is, byte for byte.
pub fn stretch(password: &str, salt: &[u8], iterations: u32) -> Result<ClientKeys, ScramError> {
    check_terms(salt, iterations)?;
    let prepared = Zeroizing::new(match stringprep::saslprep(password) {
        Ok(prepared) => prepared.into_owned(),
        Err(_) => password.to_owned(),
    });
    let mut salted = Zeroizing::new([0; KEY_LEN]);
    pbkdf2::pbkdf2_hmac::<Sha256>(prepared.as_bytes(), salt, iterations, &mut salted[..]);
    Ok(ClientKeys {
        client_key: hmac(&salted[..], &[b"Client Key"]),
        server_key: hmac(&salted[..], &[b"Server Key"]),
    })
}

/// Whether a client goes along with what a node asks for.
pub(crate) fn check_terms(salt: &[u8], iterations: u32) -> Result<(), ScramError> {
    if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
        return Err(ScramError::Iterations(iterations));
    }
    if salt.is_empty() || salt.len() > SALT_LEN_MAX {
        return Err(ScramError::Salt);
    }
    Ok(())
}

impl ClientKeys {
    /// What to register.
    pub fn credentials(&self) -> Credentials {
        Credentials { stored_key: hash(&self.client_key), server_key: self.server_key }
    }

    pub(super) fn proof(&self, auth_message: &str) -> [u8; KEY_LEN] {
        xor(&self.client_key, &hmac(&hash(&self.client_key), &[auth_message.as_bytes()]))
    }
}

impl Credentials {
    /// The client's key out of its proof, if it is the right one. Takes the same time for every wrong proof.
    pub(super) fn client_key(&self, auth_message: &str, proof: &[u8; KEY_LEN]) -> Option<[u8; KEY_LEN]> {
        let client_key = xor(proof, &hmac(&self.stored_key, &[auth_message.as_bytes()]));
        bool::from(hash(&client_key).ct_eq(&self.stored_key)).then_some(client_key)
    }
}

pub(super) fn server_signature(server_key: &[u8; KEY_LEN], auth_message: &str) -> [u8; KEY_LEN] {
    hmac(server_key, &[auth_message.as_bytes()])
}

/// HKDF-SHA-256 over both keys and everything that was said.
pub(super) fn session_key(
    client_key: &[u8; KEY_LEN],
    server_key: &[u8; KEY_LEN],
    auth_message: &str,
) -> SessionKey {
    let input = Zeroizing::new([&client_key[..], &server_key[..]].concat());
    let mut key = SessionKey([0; KEY_LEN]);
    Hkdf::<Sha256>::new(Some(b"ringtalk session key"), &input)
        .expand(auth_message.as_bytes(), &mut key.0)
        .expect("32 bytes are one block");
    key
}

/// The salt that a name without an account appears to have: always the same one. `secret` is the node's own.
pub fn fake_salt(secret: &[u8], comparable_name: &str) -> [u8; SALT_LEN] {
    let full = hmac(secret, &[b"salt", comparable_name.as_bytes()]);
    *full.first_chunk().expect("16 of 32 bytes")
}

/// Credentials that no proof fits, so that a name without an account goes through the same work.
pub fn fake_credentials(secret: &[u8], comparable_name: &str) -> Credentials {
    Credentials {
        stored_key: hmac(secret, &[b"stored", comparable_name.as_bytes()]),
        server_key: hmac(secret, &[b"server", comparable_name.as_bytes()]),
    }
}

pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_LEN] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn hash(bytes: &[u8]) -> [u8; KEY_LEN] {
    Sha256::digest(bytes).into()
}

fn xor(a: &[u8; KEY_LEN], b: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
    std::array::from_fn(|i| a[i] ^ b[i])
}
