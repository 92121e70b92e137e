//! Service accounts: accounts that log in with tokens. An account with this record is one; it has no password.

use rkyv::{Archive, Deserialize, Serialize};
use wire::limits::{TOKEN_LABEL_LEN_MAX, TOKENS_MAX};
use wire::token::Scopes;

use crate::records::{Record, RecordError, record};

/// One token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Token {
    pub number: u32,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// Bits of [`Scopes`].
    pub scopes: u16,
    /// What it is for, in the operator's words.
    pub label: String,
    pub created_ms: u64,
    /// Unix milliseconds; at and after it the token serves no more. 0: never.
    pub expires_ms: u64,
}

impl Token {
    pub fn has_expired(&self, wall_ms: u64) -> bool {
        self.expires_ms != 0 && self.expires_ms <= wall_ms
    }
}

/// The tokens of a service account. A revoked one leaves.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens numbered so far.
    pub issued: u32,
    /// The oldest first.
    pub tokens: Vec<Token>,
}
record!(Tokens, Tokens, 1);

impl Tokens {
    /// # Errors
    /// What cannot be, in words.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.tokens.len() > TOKENS_MAX {
            return Err("more tokens than there can be");
        }
        if !self.tokens.is_sorted_by(|one, next| one.number < next.number) {
            return Err("tokens out of order");
        }
        for token in &self.tokens {
            if token.number == 0 || token.number > self.issued {
                return Err("a token that was not numbered");
            }
            if Scopes::from_bits(token.scopes).is_none_or(Scopes::is_empty) {
                return Err("a token with scopes that are none");
            }
            if token.label.len() > TOKEN_LABEL_LEN_MAX {
                return Err("a label that is too long");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u32) -> Token {
        let label = "nightly import".to_owned();
        Token { number, hash: [number as u8; 32], scopes: 5, label, created_ms: 7, expires_ms: 9 }
    }

    /// The bytes on disk of version 1. They never change; a new version gets bytes of its own beside these.
    #[test]
    fn golden_bytes() {
        let tokens = Tokens { issued: 3, tokens: vec![token(2), token(3)] };
        let hex: String = tokens.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert_eq!(Tokens::decode(&tokens.encode()), Ok(tokens));
    }

    const GOLDEN: &str = concat!(
        "1a016e696768746c7920696d706f72746e696768746c7920696d706f727402000000020202020202020202",
        "020202020202020202020202020202020202020202020205008e000000beffffff07000000000000000900",
        "00000000000003000000030303030303030303030303030303030303030303030303030303030303030305",
        "008e0000008effffff070000000000000009000000000000000300000080ffffff02000000",
    );

    #[test]
    fn the_fullest_record_fits_and_what_cannot_be_is_found() {
        let long = Token { label: "l".repeat(TOKEN_LABEL_LEN_MAX), ..token(1) };
        let tokens = (1..=TOKENS_MAX as u32).map(|number| Token { number, ..long.clone() }).collect();
        let full = Tokens { issued: TOKENS_MAX as u32, tokens };
        assert_eq!(full.check(), Ok(()));
        assert!(full.encode().len() <= crate::kv::VALUE_LEN_MAX);
        let wrong = [
            Tokens { issued: 1, tokens: vec![token(2)] },
            Tokens { issued: 2, tokens: vec![token(2), token(1)] },
            Tokens { issued: 2, tokens: vec![Token { scopes: 0, ..token(1) }] },
            Tokens { issued: 2, tokens: vec![Token { scopes: 1 << 15, ..token(1) }] },
            Tokens { issued: 99, tokens: (1..=TOKENS_MAX as u32 + 1).map(token).collect() },
        ];
        assert!(wrong.iter().all(|tokens| tokens.check().is_err()));
        assert!(!token(1).has_expired(8) && token(1).has_expired(9));
        assert!(!Token { expires_ms: 0, ..token(1) }.has_expired(u64::MAX));
    }
}
