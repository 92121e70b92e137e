//! Tokens of service accounts: what a program logs in with instead of a password, and what each allows.
//!
//! A token is `rtk_USER_NUMBER_SECRET`: the account's id, the token's number there, and 32 random bytes in base64 (RFC 4648,
//! for URLs, without padding). A node keeps SHA-256 of the secret only. Nobody can guess one, so nothing slower is needed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::UserId;

/// Bytes of a secret.
pub const SECRET_LEN: usize = 32;

const PREFIX: &str = "rtk_";

macro_rules! scopes {
    ($($(#[doc = $doc:literal])+ $bit:literal $name:ident $text:literal;)+) => {
        /// One thing that a token allows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Scope { $($(#[doc = $doc])+ $name = 1 << $bit,)+ }

        impl Scope {
            pub const ALL: &[Scope] = &[$(Scope::$name,)+];

            /// The name on the command line and in documents.
            pub const fn name(self) -> &'static str { match self { $(Scope::$name => $text,)+ } }

            /// One sentence for people.
            pub const fn about(self) -> &'static str { match self { $(Scope::$name => concat!($($doc),+).trim_ascii(),)+ } }
        }
    };
}

scopes! {
    /// Chat as any user may: send, read, ask, be a contact.
    0 Send "send";
    /// Make, change and end accounts.
    1 Accounts "accounts";
    /// Make others contacts.
    2 Relations "relations";
    /// Send notices.
    3 Notices "notices";
    /// Change the directory of the organisation.
    4 Org "org";
    /// Read the audit log.
    5 Audit "audit";
    /// Make and revoke tokens, with no more scopes than its own.
    6 Tokens "tokens";
}

/// A set of scopes, as the bits of [`Scope`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u16);

impl Scopes {
    pub const NONE: Scopes = Scopes(0);
    pub const ALL: Scopes = Scopes((1 << Scope::ALL.len()) - 1);

    /// `None` when there is a bit that no scope has.
    pub const fn from_bits(bits: u16) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }

    pub const fn bits(self) -> u16 {
        self.0
    }

    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope as u16 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `self` allows nothing that `other` does not.
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Names with commas between them.
    ///
    /// # Errors
    /// The first name that no scope has.
    pub fn parse(names: &str) -> Result<Self, String> {
        let mut scopes = Self::NONE;
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let scope =
                Scope::ALL.iter().find(|scope| scope.name() == name).ok_or_else(|| name.to_owned())?;
            scopes = scopes.with(*scope);
        }
        Ok(scopes)
    }

    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope as u16)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Scope::ALL.iter().filter(|scope| self.has(**scope)).map(|scope| scope.name());
        f.write_str(&names.collect::<Vec<_>>().join(","))
    }
}

/// What makes a token more than its number.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(pub [u8; SECRET_LEN]);

impl Secret {
    /// What a node keeps of it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Compares two hashes in the same time whatever is in them.
pub fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

/// A token as its owner has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The service account.
    pub user: UserId,
    /// Of the account's tokens.
    pub number: u32,
    pub secret: Secret,
}

/// The text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a token: rtk_, two numbers and a secret, with _ between them")]
pub struct NotToken;

impl Token {
    /// # Errors
    /// When the text is not of the form above.
    pub fn parse(text: &str) -> Result<Self, NotToken> {
        let parts: Vec<_> = text.strip_prefix(PREFIX).ok_or(NotToken)?.splitn(3, '_').collect();
        let [user, number, secret] = parts[..] else { return Err(NotToken) };
        let user = UserId(user.parse().map_err(|_| NotToken)?);
        let number = number.parse().map_err(|_| NotToken)?;
        let mut secret = URL_SAFE_NO_PAD.decode(secret).map_err(|_| NotToken)?;
        let bytes = secret.as_slice().try_into().map_err(|_| NotToken);
        secret.zeroize();
        if !user.is_valid() || number == 0 {
            return Err(NotToken);
        }
        Ok(Self { user, number, secret: Secret(bytes?) })
    }

    /// The text to keep: whoever has it may do what the token allows.
    pub fn text(&self) -> String {
        format!("{PREFIX}{}_{}_{}", self.user, self.number, URL_SAFE_NO_PAD.encode(self.secret.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_text() {
        let token = Token { user: UserId(5 << 10 | 3), number: 7, secret: Secret([0xfb; SECRET_LEN]) };
        let text = token.text();
        assert_eq!(text, "rtk_5123_7_-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s");
        assert_eq!(Token::parse(&text), Ok(token.clone()));
        assert!(!format!("{token:?}").contains("fb"), "a secret is not shown");
        let wrong = [
            "",
            "rtk_",
            "rtk_5123_7",
            "rtk_5123_0_AA",
            "rtk_3_7_AA",
            "rtk_5123_7_!",
            &text[..text.len() - 1],
        ];
        for wrong in wrong {
            assert_eq!(Token::parse(wrong), Err(NotToken), "{wrong}");
        }
        assert_ne!(token.secret.hash(), token.secret.0);
    }

    #[test]
    fn scopes_are_names_and_bits() {
        assert_eq!(Scopes::parse("send, org"), Ok(Scopes::NONE.with(Scope::Send).with(Scope::Org)));
        assert_eq!(Scopes::parse(&Scopes::ALL.to_string()), Ok(Scopes::ALL));
        assert_eq!(Scopes::parse("send,root"), Err("root".to_owned()));
        assert_eq!(Scopes::from_bits(1 << Scope::ALL.len()), None);
        assert_eq!(Scopes::from_bits(3).map(Scopes::bits), Some(3));
        let one = Scopes::NONE.with(Scope::Audit);
        assert!(one.is_within(Scopes::ALL) && !Scopes::ALL.is_within(one) && Scopes::NONE.is_within(one));
        for (index, scope) in Scope::ALL.iter().enumerate() {
            assert_eq!(*scope as u16, 1 << index);
        }
    }
}
