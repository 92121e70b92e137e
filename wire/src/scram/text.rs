//! SCRAM's messages as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{BindingFlag, KEY_LEN, ScramError};

const END_POINT_HEADER: &str = "p=tls-server-end-point,,";

/// The client-first-message, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFirst {
    pub flag: BindingFlag,
    /// As typed, not in its comparable form.
    pub name: String,
    pub nonce: String,
    /// The message behind its gs2 header, as it came.
    pub bare: String,
}

impl ClientFirst {
    pub fn parse(message: &str) -> Result<Self, ScramError> {
        let (flag, rest) = message.split_once(',').ok_or(ScramError::Malformed)?;
        let flag = match flag {
            "n" => BindingFlag::Unsupported,
            "y" => BindingFlag::NotOffered,
            "p=tls-server-end-point" => BindingFlag::EndPoint,
            _ if flag.starts_with("p=") => return Err(ScramError::Mechanism),
            _ => return Err(ScramError::Malformed),
        };
        let (other_user, bare) = rest.split_once(',').ok_or(ScramError::Malformed)?;
        if !other_user.is_empty() {
            return Err(ScramError::OtherUser);
        }
        let mut fields = bare.split(',');
        let name = unescape(field(&mut fields, "n=")?)?;
        let nonce = field(&mut fields, "r=")?;
        check_nonce(nonce)?;
        check_extensions(fields)?;
        Ok(Self { flag, name, nonce: nonce.to_owned(), bare: bare.to_owned() })
    }

    pub(super) fn write(flag: BindingFlag, name: &str, nonce: &str) -> (String, String) {
        let bare = format!("n={},r={nonce}", escape(name));
        (format!("{}{bare}", gs2_header(flag)), bare)
    }
}

/// The server-first-message, taken apart.
pub(super) struct ServerFirst {
    pub nonce: String,
    pub salt: Vec<u8>,
    pub iterations: u32,
}

impl ServerFirst {
    pub fn parse(message: &str) -> Result<Self, ScramError> {
        let mut fields = message.split(',');
        let nonce = field(&mut fields, "r=")?;
        check_nonce(nonce)?;
        let salt = decode(field(&mut fields, "s=")?)?;
        let iterations = field(&mut fields, "i=")?;
        if iterations.starts_with(['0', '+']) {
            return Err(ScramError::Malformed);
        }
        let iterations = iterations.parse().map_err(|_| ScramError::Malformed)?;
        check_extensions(fields)?;
        Ok(Self { nonce: nonce.to_owned(), salt, iterations })
    }

    pub fn write(nonce: &str, salt: &[u8], iterations: u32) -> String {
        format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt))
    }
}

/// The client-final-message, taken apart.
pub(super) struct ClientFinal<'a> {
    pub binding: Vec<u8>,
    pub nonce: &'a str,
    pub proof: [u8; KEY_LEN],
    pub without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    pub fn parse(message: &'a str) -> Result<Self, ScramError> {
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut fields = without_proof.split(',');
        let binding = decode(field(&mut fields, "c=")?)?;
        let nonce = field(&mut fields, "r=")?;
        check_extensions(fields)?;
        Ok(Self { binding, nonce, proof: decode_key(proof)?, without_proof })
    }
}

/// The part of the client-final-message that the proof covers.
pub(super) fn without_proof(flag: BindingFlag, binding: &[u8], nonce: &str) -> String {
    format!("c={},r={nonce}", STANDARD.encode(binding_input(flag, binding)))
}

pub(super) fn with_proof(without_proof: &str, proof: &[u8; KEY_LEN]) -> String {
    format!("{without_proof},p={}", STANDARD.encode(proof))
}

/// What `c=` must hold: the gs2 header and, with -PLUS, the channel's binding data.
pub(super) fn binding_input(flag: BindingFlag, binding: &[u8]) -> Vec<u8> {
    let header = gs2_header(flag).as_bytes();
    match flag {
        BindingFlag::EndPoint => [header, binding].concat(),
        BindingFlag::Unsupported | BindingFlag::NotOffered => header.to_vec(),
    }
}

pub(super) fn server_final(signature: &[u8; KEY_LEN]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

pub(super) fn parse_server_final(message: &str) -> Result<[u8; KEY_LEN], ScramError> {
    let mut fields = message.split(',');
    let signature = decode_key(field(&mut fields, "v=")?)?;
    check_extensions(fields)?;
    Ok(signature)
}

/// Random bytes as a nonce.
pub fn nonce_text(random: &[u8]) -> String {
    STANDARD.encode(random)
}

const fn gs2_header(flag: BindingFlag) -> &'static str {
    match flag {
        BindingFlag::Unsupported => "n,,",
        BindingFlag::NotOffered => "y,,",
        BindingFlag::EndPoint => END_POINT_HEADER,
    }
}

fn field<'a>(fields: &mut impl Iterator<Item = &'a str>, prefix: &str) -> Result<&'a str, ScramError> {
    fields.next().and_then(|field| field.strip_prefix(prefix)).ok_or(ScramError::Malformed)
}

/// Optional extensions may follow; mandatory ones (`m=`) may not, for none is known.
fn check_extensions<'a>(fields: impl Iterator<Item = &'a str>) -> Result<(), ScramError> {
    for field in fields {
        match field.as_bytes() {
            [b'm', b'=', ..] => return Err(ScramError::Malformed),
            [letter, b'=', _, ..] if letter.is_ascii_alphabetic() => {}
            _ => return Err(ScramError::Malformed),
        }
    }
    Ok(())
}

fn check_nonce(nonce: &str) -> Result<(), ScramError> {
    let printable = |byte: u8| matches!(byte, 0x21..=0x2b | 0x2d..=0x7e);
    if nonce.is_empty() || !nonce.bytes().all(printable) {
        return Err(ScramError::Malformed);
    }
    Ok(())
}

fn decode(text: &str) -> Result<Vec<u8>, ScramError> {
    STANDARD.decode(text).map_err(|_| ScramError::Malformed)
}

fn decode_key(text: &str) -> Result<[u8; KEY_LEN], ScramError> {
    decode(text)?.try_into().map_err(|_| ScramError::Malformed)
}

fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn unescape(name: &str) -> Result<String, ScramError> {
    let mut parts = name.split('=');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = [("2C", ','), ("3D", '=')]
            .into_iter()
            .find_map(|(code, c)| part.strip_prefix(code).map(|rest| (c, rest)))
            .ok_or(ScramError::Malformed)?;
        out.push(escaped);
        out.push_str(rest);
    }
    if out.is_empty() {
        return Err(ScramError::Malformed);
    }
    Ok(out)
}
