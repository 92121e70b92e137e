//! The client's side.

use subtle::ConstantTimeEq;

use super::keys::{self, ClientKeys, SessionKey};
use super::text::{self, ClientFirst, ServerFirst};
use super::{BindingFlag, KEY_LEN, Mechanism, ScramError};

/// The client-first-message is written.
#[derive(Clone, Debug)]
pub struct ClientStart {
    flag: BindingFlag,
    bare: String,
    message: String,
    nonce: String,
}

impl ClientStart {
    /// Chooses the strongest mechanism that the node offers and this connection can have. `binding_possible`: the
    /// connection has TLS and its certificate's hash is known. `nonce` is fresh randomness as
    /// [`nonce_text`](super::nonce_text) writes it.
    pub fn new<S: AsRef<str>>(
        offered: &[S],
        binding_possible: bool,
        name: &str,
        nonce: String,
    ) -> Result<(Mechanism, Self), ScramError> {
        let offers = |mechanism: Mechanism| offered.iter().any(|offer| offer.as_ref() == mechanism.name());
        let (mechanism, flag) = if binding_possible && offers(Mechanism::Sha256Plus) {
            (Mechanism::Sha256Plus, BindingFlag::EndPoint)
        } else if !offers(Mechanism::Sha256) {
            return Err(ScramError::Mechanism);
        } else if binding_possible {
            (Mechanism::Sha256, BindingFlag::NotOffered)
        } else {
            (Mechanism::Sha256, BindingFlag::Unsupported)
        };
        Ok((mechanism, Self::with_flag(flag, name, nonce)))
    }

    /// For the proof of a password within a session, which is not bound to the connection.
    pub fn unbound(name: &str, nonce: String) -> Self {
        Self::with_flag(BindingFlag::Unsupported, name, nonce)
    }

    pub(crate) fn with_flag(flag: BindingFlag, name: &str, nonce: String) -> Self {
        let (message, bare) = ClientFirst::write(flag, name, &nonce);
        Self { flag, bare, message, nonce }
    }

    /// The client-first-message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Takes the server-first-message; the password is to be stretched next.
    pub fn handle_server_first(self, message: &str) -> Result<ClientChallenged, ScramError> {
        let server_first = ServerFirst::parse(message)?;
        if !server_first.nonce.starts_with(&self.nonce) || server_first.nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        keys::check_terms(&server_first.salt, server_first.iterations)?;
        Ok(ClientChallenged {
            flag: self.flag,
            said: format!("{},{message}", self.bare),
            nonce: server_first.nonce,
            salt: server_first.salt,
            iterations: server_first.iterations,
        })
    }
}

/// The node named salt and iterations.
#[derive(Clone, Debug)]
pub struct ClientChallenged {
    flag: BindingFlag,
    said: String,
    nonce: String,
    salt: Vec<u8>,
    iterations: u32,
}

impl ClientChallenged {
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Proves with stretched keys. `binding` is the hash of the certificate this connection showed; empty without TLS.
    pub fn prove(self, keys: &ClientKeys, binding: &[u8]) -> ClientProved {
        let without_proof = text::without_proof(self.flag, binding, &self.nonce);
        let auth_message = format!("{},{without_proof}", self.said);
        ClientProved {
            message: text::with_proof(&without_proof, &keys.proof(&auth_message)),
            signature: keys::server_signature(&keys.server_key, &auth_message),
            session_key: keys::session_key(&keys.client_key, &keys.server_key, &auth_message),
        }
    }
}

/// The proof is written; the node must prove itself now.
#[derive(Clone, Debug)]
pub struct ClientProved {
    message: String,
    signature: [u8; KEY_LEN],
    session_key: SessionKey,
}

impl ClientProved {
    /// The client-final-message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Takes the server-final-message. An error means that the node does not know this account's keys: leave it.
    pub fn handle_server_final(self, message: &str) -> Result<SessionKey, ScramError> {
        let signature = text::parse_server_final(message)?;
        if !bool::from(signature.ct_eq(&self.signature)) {
            return Err(ScramError::Server);
        }
        Ok(self.session_key)
    }
}
