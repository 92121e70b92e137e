//! Tokens: a session has the scopes of its token and no others, and a token that was revoked serves no more.

use std::collections::BTreeMap;

use wire::command::Phase;
use wire::token::{Scope, Scopes, Secret, Token};
use wire::{Command, EventBody, UserId};

use super::Model;
use crate::sim::network::LinkId;

/// After so long without a word about its end, a session of a revoked token is one that was forgotten.
const ENDED_US_MAX: u64 = 5_000_000;

/// A token as it was asked for.
#[derive(Clone, Debug)]
struct Asked {
    hash: [u8; 32],
    scopes: Scopes,
}

#[derive(Clone, Debug)]
struct Known {
    hash: [u8; 32],
    scopes: Scopes,
    /// When somebody was told that it is revoked.
    revoked_us: Option<u64>,
}

/// A login as it was sent.
#[derive(Clone, Debug)]
struct Attempt {
    user: UserId,
    number: u32,
    hash: [u8; 32],
    /// Somebody knew by then that the token is revoked.
    revoked: bool,
}

/// What is known of tokens.
#[derive(Debug, Default)]
pub struct Tokens {
    secrets: BTreeMap<[u8; 32], Secret>,
    known: BTreeMap<(UserId, u32), Known>,
    asked: BTreeMap<(LinkId, u32), Vec<Asked>>,
    /// Logins by request.
    logins: BTreeMap<(LinkId, u32), Vec<Attempt>>,
    /// What each link logged in with.
    granted: BTreeMap<LinkId, (UserId, u32, Scopes)>,
}

impl Tokens {
    /// A secret that a token may be made of.
    pub fn on_made(&mut self, secret: Secret) {
        self.secrets.insert(secret.hash(), secret);
    }

    pub fn on_asked(&mut self, at: (LinkId, u32), hash: [u8; 32], scopes: Scopes) {
        self.asked.entry(at).or_default().push(Asked { hash, scopes });
    }

    pub fn on_login(&mut self, at: (LinkId, u32), user: UserId, number: u32, hash: [u8; 32]) {
        let revoked = self.known.get(&(user, number)).is_some_and(|known| known.revoked_us.is_some());
        self.logins.entry(at).or_default().push(Attempt { user, number, hash, revoked });
    }

    pub fn on_created(&mut self, user: UserId, number: u32, hash: [u8; 32], scopes: Scopes) {
        let known = Known { hash, scopes, revoked_us: None };
        self.known.entry((user, number)).or_insert(known);
    }

    pub fn on_revoked(&mut self, user: UserId, number: u32, now_us: u64) {
        if let Some(known) = self.known.get_mut(&(user, number)) {
            known.revoked_us.get_or_insert(now_us);
        }
    }

    /// Tokens that were told to be made, revoked ones included.
    pub fn known(&self) -> impl Iterator<Item = Token> + '_ {
        self.known.iter().filter_map(|((user, number), known)| {
            let secret = self.secrets.get(&known.hash)?.clone();
            Some(Token { user: *user, number: *number, secret })
        })
    }
}

impl Model {
    /// An answer is about to be shown: may whoever asked have it?
    pub fn check_scopes(&mut self, link: LinkId, request: u32, event: &EventBody, now_us: u64) {
        self.note_token_event(link, request, event, now_us);
        let Some(requested) = self.requests.get(&(link, request)) else { return };
        if matches!(event, EventBody::Refused(_)) {
            return;
        }
        let scopes = self.tokens.granted.get(&link).map(|(_, _, scopes)| *scopes);
        let name = super::shown::event_name(event);
        let mut answered = requested.commands.iter().filter(|command| command.row().reply == name).peekable();
        let may = |command: &Command| match (command.row().phase, scopes) {
            (Phase::Operator(scope), scopes) => scopes.is_some_and(|scopes| scopes.has(scope)),
            (Phase::AfterLogin, Some(scopes)) => scopes.has(Scope::Send),
            _ => true,
        };
        if answered.peek().is_some() && !answered.any(may) {
            let what = format!("{:?} is carried out with scopes {scopes:?}", requested.commands);
            self.violate(what);
        }
        let revoked_us = self.tokens.granted.get(&link).and_then(|(user, number, _)| {
            self.tokens.known.get(&(*user, *number)).and_then(|known| known.revoked_us)
        });
        if revoked_us.is_some_and(|revoked_us| revoked_us + ENDED_US_MAX < now_us) {
            self.violate(format!("{name} is shown to a session whose token was revoked long ago"));
        }
    }

    fn note_token_event(&mut self, link: LinkId, request: u32, event: &EventBody, now_us: u64) {
        let tokens = &mut self.tokens;
        match event {
            EventBody::TokenCreated(created) => {
                // Of several under one number, which one it was does not show: none of them is used.
                if let Some([asked]) = tokens.asked.get(&(link, request)).map(Vec::as_slice) {
                    let Asked { hash, scopes } = asked.clone();
                    tokens.on_created(created.user, created.number, hash, scopes);
                    let granted = tokens.granted.get(&link).map(|(_, _, granted)| *granted);
                    if granted.is_none_or(|granted| !scopes.is_within(granted)) {
                        self.violate(format!("a token with {scopes} is made by one with {granted:?}"));
                    }
                }
            }
            EventBody::TokenRevoked(revoked) => tokens.on_revoked(revoked.user, revoked.number, now_us),
            EventBody::LoggedIn(_) => {
                let Some(asked) = tokens.logins.get(&(link, request)) else { return };
                let right = asked.iter().find_map(|attempt| {
                    let Attempt { user, number, hash, revoked } = *attempt;
                    let known = tokens.known.get(&(user, number))?;
                    (known.hash == hash && !revoked).then_some((user, number, known.scopes))
                });
                match right {
                    Some(granted) => {
                        tokens.granted.insert(link, granted);
                    }
                    None => {
                        let what = format!("{asked:?} logged in");
                        self.violate(what);
                    }
                }
            }
            _ => {}
        }
    }
}
