//! The node's side.

use subtle::ConstantTimeEq;

use super::keys::{self, Credentials, SessionKey};
use super::text::{self, ClientFinal, ClientFirst, ServerFirst};
use super::{BindingFlag, KEY_LEN, Mechanism, ScramError};

/// What was said before the proof: all that [`verify`] needs of the earlier steps. Kept with the connection, used once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub flag: BindingFlag,
    pub client_first_bare: String,
    pub server_first: String,
    /// The client's nonce and the node's behind it.
    pub nonce: String,
}

/// A login that was proven.
#[derive(Clone, Debug)]
pub struct Proven {
    pub server_final: String,
    pub client_key: [u8; KEY_LEN],
    pub session_key: SessionKey,
}

/// Whether a mechanism and the client's flag fit each other and what this connection offers. `plus_offered`: the
/// connection has channel binding.
pub fn check_mechanism(
    mechanism: Mechanism,
    flag: BindingFlag,
    plus_offered: bool,
) -> Result<(), ScramError> {
    match (mechanism, flag) {
        (Mechanism::Sha256Plus, BindingFlag::EndPoint) if plus_offered => Ok(()),
        (Mechanism::Sha256, BindingFlag::NotOffered) if plus_offered => Err(ScramError::Downgrade),
        (Mechanism::Sha256, BindingFlag::Unsupported | BindingFlag::NotOffered) => Ok(()),
        (Mechanism::Sha256 | Mechanism::Sha256Plus, _) => Err(ScramError::Mechanism),
    }
}

/// The server-first-message (in [`Exchange::server_first`]). `server_nonce` is fresh randomness as
/// [`nonce_text`](super::nonce_text) writes it.
pub fn server_first(
    client_first: &ClientFirst,
    salt: &[u8],
    iterations: u32,
    server_nonce: &str,
) -> Exchange {
    let nonce = format!("{}{server_nonce}", client_first.nonce);
    Exchange {
        flag: client_first.flag,
        client_first_bare: client_first.bare.clone(),
        server_first: ServerFirst::write(&nonce, salt, iterations),
        nonce,
    }
}

/// Checks the client-final-message. `binding` is the hash of the certificate of the connection the message came on;
/// empty on a connection without TLS.
pub fn verify(
    exchange: &Exchange,
    client_final: &str,
    credentials: &Credentials,
    binding: &[u8],
) -> Result<Proven, ScramError> {
    let message = ClientFinal::parse(client_final)?;
    if !bool::from(message.nonce.as_bytes().ct_eq(exchange.nonce.as_bytes())) {
        return Err(ScramError::Nonce);
    }
    if exchange.flag == BindingFlag::EndPoint && binding.is_empty() {
        return Err(ScramError::Binding);
    }
    if message.binding != text::binding_input(exchange.flag, binding) {
        return Err(ScramError::Binding);
    }
    let auth_message =
        format!("{},{},{}", exchange.client_first_bare, exchange.server_first, message.without_proof);
    let client_key = credentials.client_key(&auth_message, &message.proof).ok_or(ScramError::Proof)?;
    let signature = keys::server_signature(&credentials.server_key, &auth_message);
    Ok(Proven {
        server_final: text::server_final(&signature),
        client_key,
        session_key: keys::session_key(&client_key, &credentials.server_key, &auth_message),
    })
}
