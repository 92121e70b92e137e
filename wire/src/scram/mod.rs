//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), both sides.
//!
//! The node's side is three pure steps, because the first two run where the connection is and the third at the user's
//! home: [`ClientFirst::parse`], [`server_first`], [`verify`]. The client's side is a chain of states, each of which
//! can only become the next: [`ClientStart`], [`ClientChallenged`], [`ClientProved`].

mod client;
mod keys;
mod server;
#[cfg(test)]
mod tests;
mod text;

pub use client::{ClientChallenged, ClientProved, ClientStart};
pub(crate) use keys::check_terms;
pub use keys::{ClientKeys, Credentials, SessionKey, fake_credentials, fake_salt, stretch};
pub use server::{Exchange, Proven, check_mechanism, server_first, verify};
pub use text::{ClientFirst, nonce_text};

/// Bytes of every key and hash.
pub const KEY_LEN: usize = 32;
/// Bytes of a salt that a node hands out.
pub const SALT_LEN: usize = 16;
/// Bytes of a salt that a client takes.
pub const SALT_LEN_MAX: usize = 64;
/// Random bytes in a nonce of either side; written as 24 characters.
pub const NONCE_LEN: usize = 18;
/// Fewer are refused by both sides: RFC 7677's floor.
pub const ITERATIONS_MIN: u32 = 4_096;
/// What a node hands out unless configured otherwise.
pub const ITERATIONS_DEFAULT: u32 = 600_000;
/// More are refused by a client, which a hostile node could otherwise keep busy for hours.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// How a client proves its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    Sha256,
    /// With channel binding.
    Sha256Plus,
}

impl Mechanism {
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::Sha256 => "SCRAM-SHA-256",
            Mechanism::Sha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Mechanism::Sha256, Mechanism::Sha256Plus].into_iter().find(|mechanism| mechanism.name() == name)
    }
}

/// What the client says about channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BindingFlag {
    /// `n`: it cannot.
    Unsupported,
    /// `y`: it could, but saw no -PLUS mechanism offered. Where one was offered, somebody hid it.
    NotOffered,
    /// `p=tls-server-end-point`: it binds to the hash of the node's certificate (RFC 5929).
    EndPoint,
}

/// Why a login cannot go on. A node answers every one of them but `Mechanism` with the same refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    #[error("a SCRAM message is not as RFC 5802 writes it")]
    Malformed,
    #[error("acting for another user is not supported")]
    OtherUser,
    #[error("the mechanism and what the client says about channel binding do not fit")]
    Mechanism,
    #[error("somebody between client and node hid the mechanism with channel binding")]
    Downgrade,
    #[error("the login is bound to another connection or certificate")]
    Binding,
    #[error("the nonce is not the one of this login")]
    Nonce,
    #[error("the iteration count {0} is out of bounds")]
    Iterations(u32),
    #[error("the salt has a length that is not allowed")]
    Salt,
    #[error("the proof does not fit the password")]
    Proof,
    #[error("the node could not prove that it knows this account")]
    Server,
}
