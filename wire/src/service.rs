//! Service accounts: what the bodies about their tokens say, and their frames.

use bytes::Bytes;

use crate::body;
use crate::encode::Encoder;
use crate::generated as fb;
use crate::ids::{ConversationId, DeviceId, UserId};
use crate::message::DeviceClass;
use crate::token::{Scopes, Token};

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLine {
    /// Of the account's tokens, from 1; never used twice.
    pub number: u32,
    pub scopes: Scopes,
    /// What it is for, in the operator's words.
    pub label: String,
    pub created_ms: u64,
    /// Unix milliseconds; 0: never.
    pub expires_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenCreated {
    /// The service account.
    pub user: UserId,
    pub number: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensListed {
    pub user: UserId,
    /// The oldest first.
    pub tokens: Vec<TokenLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRevoked {
    pub user: UserId,
    pub number: u32,
    pub sessions_ended: u32,
}

/// What came of pairs that were to become contacts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairsRelated {
    pub changed: u32,
    /// They were contacts.
    pub unchanged: u32,
    /// Not written, since the disk is nearly full: to be asked again.
    pub refused: u32,
}

/// A token to be made. The secret stays with who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewToken<'a> {
    pub name: &'a str,
    /// SHA-256 of the secret.
    pub hash: &'a [u8; 32],
    pub scopes: Scopes,
    pub expires_ms: u64,
    pub label: &'a str,
}

/// Events.
impl Encoder {
    pub fn pairs_related(&mut self, request: u32, related: &PairsRelated) -> Bytes {
        self.event::<body::PairsRelated>(request, |b| {
            let PairsRelated { changed, unchanged, refused } = *related;
            fb::PairsRelated::create(b, &fb::PairsRelatedArgs { changed, unchanged, refused })
        })
    }

    pub fn token_created(&mut self, request: u32, created: &TokenCreated) -> Bytes {
        self.event::<body::TokenCreated>(request, |b| {
            let args = fb::TokenCreatedArgs { user: created.user.0, number: created.number };
            fb::TokenCreated::create(b, &args)
        })
    }

    pub fn tokens_listed(&mut self, request: u32, listed: &TokensListed) -> Bytes {
        self.event::<body::TokensListed>(request, |b| {
            let lines = listed.tokens.iter().map(|line| {
                let label = Some(b.create_string(&line.label));
                let args = fb::TokenLineArgs {
                    number: line.number,
                    scopes: line.scopes.bits(),
                    label,
                    created_ms: line.created_ms,
                    expires_ms: line.expires_ms,
                };
                fb::TokenLine::create(b, &args)
            });
            let lines: Vec<_> = lines.collect();
            let tokens = Some(b.create_vector(&lines));
            fb::TokensListed::create(b, &fb::TokensListedArgs { user: listed.user.0, tokens })
        })
    }

    pub fn token_revoked(&mut self, request: u32, revoked: &TokenRevoked) -> Bytes {
        self.event::<body::TokenRevoked>(request, |b| {
            let TokenRevoked { user, number, sessions_ended } = *revoked;
            fb::TokenRevoked::create(b, &fb::TokenRevokedArgs { user: user.0, number, sessions_ended })
        })
    }
}

/// Commands.
impl Encoder {
    /// At most [`crate::limits::PAIRS_MAX`] pairs, of ids of accounts.
    pub fn relate_pairs(&mut self, request: u32, pairs: &[ConversationId]) -> Bytes {
        self.command::<body::RelatePairs>(request, &[], |b| {
            let pairs: Vec<fb::Conversation> = pairs.iter().map(|pair| (*pair).into()).collect();
            let pairs = Some(b.create_vector(&pairs));
            fb::RelatePairs::create(b, &fb::RelatePairsArgs { pairs })
        })
    }

    /// `device` 0 asks for a new one.
    pub fn token_login(&mut self, request: u32, token: &Token, device: DeviceId, device_name: &str) -> Bytes {
        self.command::<body::TokenLogin>(request, &token.user.0.to_le_bytes(), |b| {
            let secret = Some(b.create_vector(&token.secret.0));
            let device_name = Some(b.create_string(device_name));
            let args = fb::TokenLoginArgs {
                number: token.number,
                secret,
                device: device.0,
                device_name,
                device_class: DeviceClass::Bot,
            };
            fb::TokenLogin::create(b, &args)
        })
    }

    pub fn create_token(&mut self, request: u32, new: &NewToken<'_>) -> Bytes {
        self.command::<body::CreateToken>(request, &[], |b| {
            let name = Some(b.create_string(new.name));
            let hash = Some(b.create_vector(new.hash));
            let label = Some(b.create_string(new.label));
            let args = fb::CreateTokenArgs {
                name,
                hash,
                scopes: new.scopes.bits(),
                expires_ms: new.expires_ms,
                label,
            };
            fb::CreateToken::create(b, &args)
        })
    }

    pub fn list_tokens(&mut self, request: u32, name: &str) -> Bytes {
        self.command::<body::ListTokens>(request, &[], |b| {
            let name = Some(b.create_string(name));
            fb::ListTokens::create(b, &fb::ListTokensArgs { name })
        })
    }

    pub fn revoke_token(&mut self, request: u32, name: &str, number: u32) -> Bytes {
        self.command::<body::RevokeToken>(request, &[], |b| {
            let name = Some(b.create_string(name));
            fb::RevokeToken::create(b, &fb::RevokeTokenArgs { name, number })
        })
    }
}

pub(crate) fn pairs_related(view: fb::PairsRelated<'_>) -> PairsRelated {
    PairsRelated { changed: view.changed(), unchanged: view.unchanged(), refused: view.refused() }
}

pub(crate) fn token_created(view: fb::TokenCreated<'_>) -> TokenCreated {
    TokenCreated { user: UserId(view.user()), number: view.number() }
}

pub(crate) fn tokens_listed(view: fb::TokensListed<'_>) -> TokensListed {
    let line = |line: fb::TokenLine<'_>| TokenLine {
        number: line.number(),
        // Scopes of a later version are nothing that this client could use.
        scopes: Scopes::from_bits(line.scopes() & Scopes::ALL.bits()).unwrap_or_default(),
        label: line.label().unwrap_or_default().to_owned(),
        created_ms: line.created_ms(),
        expires_ms: line.expires_ms(),
    };
    let tokens = view.tokens().map(|lines| lines.iter().map(line).collect()).unwrap_or_default();
    TokensListed { user: UserId(view.user()), tokens }
}

pub(crate) fn token_revoked(view: fb::TokenRevoked<'_>) -> TokenRevoked {
    TokenRevoked { user: UserId(view.user()), number: view.number(), sessions_ended: view.sessions_ended() }
}
