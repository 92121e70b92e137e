//! Service accounts: their tokens, and logins with them. An account with a record of tokens is one; it has no password.

use ahash::AHashMap;
use record::{AccountState, AuditAct, Token, Tokens};
use wire::limits::TOKENS_MAX;
use wire::service::{TokenCreated, TokenLine, TokenRevoked, TokensListed};
use wire::token::Scopes;
use wire::{DeviceId, Refusal, SessionId, Slot, UserId, UserName};

use super::ending::end_session;
use super::proof::{NewDevice, refused};
use super::start::delayed;
use super::{FirstKey, LoadKey, LoginReply, Logins, OpenSession, Written};
use crate::admin::AdminReply;
use crate::asker::Asker;
use crate::commits::Stamp;
use crate::core::{Core, FULL_RETRY_MS};
use crate::limits::{BUSY_RETRY_MS, SESSIONS_PER_USER_MAX};
use crate::mesh::SessionPlace;
use crate::rng::Rng;

/// A token as it came, with what the connection's shard knows.
#[derive(Clone, Debug)]
pub struct TokenProof {
    pub user: UserId,
    pub number: u32,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    pub address: std::net::IpAddr,
    /// 0 asks for a new one.
    pub device: DeviceId,
    pub device_name: String,
    pub device_class: u8,
}

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// SHA-256 of the secret, which stays with who made it.
    pub hash: [u8; 32],
    pub scopes: Scopes,
    /// Unix milliseconds; 0: never.
    pub expires_ms: u64,
    pub label: String,
}

/// What a session may do that logged in with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The token's number.
    pub token: u32,
    pub scopes: Scopes,
    /// When the token ends, Unix milliseconds; 0: never.
    pub expires_ms: u64,
}

/// Which sessions were opened with which tokens. Of service accounts that logged in since the start; in memory only.
#[derive(Debug)]
pub(super) struct Granted {
    by_user: AHashMap<UserId, Vec<(SessionId, u32)>>,
}

impl Granted {
    pub fn new(rng: &mut Rng) -> Self {
        Self { by_user: AHashMap::with_hasher(rng.hasher()) }
    }

    /// Notes a session; those that are not among the open ones any more are forgotten.
    pub fn open(&mut self, user: UserId, session: SessionId, token: u32, open: &[OpenSession]) {
        let list = self.by_user.entry(user).or_default();
        list.retain(|(known, _)| open.iter().any(|open| open.place.session == *known));
        list.push((session, token));
    }

    /// Those of the open sessions that logged in with this token.
    pub fn of(&self, user: UserId, token: u32, open: &[OpenSession]) -> Vec<SessionPlace> {
        let list = self.by_user.get(&user).map(Vec::as_slice).unwrap_or_default();
        let is_granted = |place: &&SessionPlace| list.contains(&(place.session, token));
        open.iter().map(|open| &open.place).filter(is_granted).copied().collect()
    }

    /// The user has no session any more.
    pub fn close(&mut self, user: UserId) {
        self.by_user.remove(&user);
    }

    pub fn check_invariants(&self) {
        assert!(self.by_user.values().all(|list| list.len() <= SESSIONS_PER_USER_MAX));
    }
}

impl Logins {
    /// Whatever is wrong with a token, the refusal is the same, and so are the reads. Gives what has to be read first,
    /// when it is right: then the same is asked once more.
    pub(super) fn log_in_with_token(
        &mut self,
        core: &mut Core,
        proof: &TokenProof,
    ) -> Result<(Slot, Stamp, LoginReply), LoadKey> {
        let (user, slot) = (proof.user, proof.user.slot());
        let who = format!("token of {user}");
        let (account, account_stamp) = self.accounts.find(&user).expect("the account was read");
        let has_account = account.is_some();
        let (tokens, stamp) = self.tokens.find(&user).expect("the tokens were read");
        let stamp = stamp.max(account_stamp);
        if let Some(delay_ms) = self.failures.delay_ms(core.now.mono_ms, &who, proof.address) {
            return Ok((slot, stamp, delayed(delay_ms)));
        }
        let list = tokens.as_ref().map(|tokens| &tokens.tokens[..]).unwrap_or_default();
        let token = list.iter().find(|token| token.number == proof.number);
        let hash = token.map_or([0; 32], |token| token.hash);
        let is_right = wire::token::is_same(&hash, &proof.hash);
        let grant = token.filter(|token| is_right && has_account && !token.has_expired(core.now.wall_ms));
        let grant = grant.map(|token| Grant {
            token: token.number,
            scopes: Scopes::from_bits(token.scopes).unwrap_or_default(),
            expires_ms: token.expires_ms,
        });
        let Some(grant) = grant else {
            let stamp = self.note_failure(core, slot, &who, proof.address, stamp);
            return Ok((slot, stamp, refused(Refusal::LoginFailed, 0)));
        };
        self.failures.clear(&who, proof.address);
        if let Some(key) = self.unread_devices(user, proof.device) {
            return Err(key);
        }
        let device = NewDevice {
            device: proof.device,
            name: &proof.device_name,
            class: proof.device_class,
            address: proof.address,
            is_service: true,
        };
        Ok(match self.open_device(core, user, &device) {
            Ok((stamp, mut session)) => {
                session.grant = Some(grant);
                let reply = LoginReply::LoggedIn { session: Box::new(session), server_final: String::new() };
                (slot, stamp, reply)
            }
            Err(reply) => (slot, stamp, reply),
        })
    }

    /// Makes a token, and its account when the name is free, in one batch.
    pub(super) fn create_token(
        &mut self,
        core: &mut Core,
        asker: Asker,
        name: UserName,
        written: String,
        new: NewToken,
    ) {
        let slot = name.slot();
        if let Some(refusal) = core.write_refusal(slot) {
            return asker.refuse(core, refusal, 0, FULL_RETRY_MS as u32);
        }
        let told_name = written.clone();
        let (owner, name_stamp) = self.names.find(name.as_str()).expect("the name was read");
        let owner = *owner;
        let service = owner.and_then(|user| Some((user, self.tokens.find(&user)?.0.clone()?)));
        let (user, mut tokens) = match service {
            Some(service) => service,
            None if owner.is_some_and(|user| self.is_in_use(user)) => {
                return asker.refuse_after(core, slot, name_stamp, Refusal::OtherKindOfAccount, 0);
            }
            // Nobody's, or of a deleted account, which keeps it for a while.
            None => match self.create(core, name, written, FirstKey::Tokens) {
                (_, Ok(user)) => (user, Tokens::default()),
                (stamp, Err((refusal, _))) => return asker.refuse_after(core, slot, stamp, refusal, 0),
            },
        };
        if tokens.tokens.len() >= TOKENS_MAX {
            return asker.refuse(core, Refusal::TooManyTokens, TOKENS_MAX as u64, 0);
        }
        let Some(number) = tokens.issued.checked_add(1) else {
            return asker.refuse(core, Refusal::Busy, 0, BUSY_RETRY_MS);
        };
        tokens.issued = number;
        let NewToken { hash, scopes, expires_ms, label } = new;
        let created_ms = core.now.wall_ms;
        let detail = format!("token {number}: {scopes}");
        core.audit(slot, AuditAct::TokenCreated, asker.user(), user, &told_name, detail);
        tokens.tokens.push(Token { number, hash, scopes: scopes.bits(), label, created_ms, expires_ms });
        let stamp = self.put_tokens(core, user, tokens);
        let reply = AdminReply::TokenCreated { user: user.0, number };
        asker.answer_after(core, slot, stamp, reply, |encoder, request| {
            encoder.token_created(request, &TokenCreated { user, number })
        });
    }

    fn is_in_use(&mut self, user: UserId) -> bool {
        let (account, _) = self.accounts.find(&user).expect("the account was read");
        account.as_ref().is_some_and(|account| account.state != AccountState::Deleted)
    }

    pub(super) fn list_tokens(&mut self, core: &mut Core, asker: Asker, name: &UserName) {
        let Some((user, tokens, stamp)) = self.service(core, asker, name) else { return };
        let line = |token: &Token| TokenLine {
            number: token.number,
            scopes: Scopes::from_bits(token.scopes).unwrap_or_default(),
            label: token.label.clone(),
            created_ms: token.created_ms,
            expires_ms: token.expires_ms,
        };
        let lines: Vec<_> = tokens.tokens.iter().map(line).collect();
        let reply = AdminReply::Tokens { user: user.0, tokens: lines.clone() };
        asker.answer_after(core, name.slot(), stamp, reply, |encoder, request| {
            encoder.tokens_listed(request, &TokensListed { user, tokens: lines })
        });
    }

    pub(super) fn revoke_token(&mut self, core: &mut Core, asker: Asker, name: &UserName, number: u32) {
        let slot = name.slot();
        let Some((user, mut tokens, stamp)) = self.service(core, asker, name) else { return };
        let before = tokens.tokens.len();
        tokens.tokens.retain(|token| token.number != number);
        if tokens.tokens.len() == before {
            return asker.refuse_after(core, slot, stamp, Refusal::UnknownToken, 0);
        }
        if let Some(refusal) = core.write_refusal(slot) {
            return asker.refuse(core, refusal, 0, FULL_RETRY_MS as u32);
        }
        let detail = format!("token {number}");
        core.audit(slot, AuditAct::TokenRevoked, asker.user(), user, name.as_str(), detail);
        let stamp = self.put_tokens(core, user, tokens);
        self.when_written(core, slot, stamp, Written::TokenRevoked { asker, user, number });
    }

    /// The token is gone from the disk: its sessions end, on whichever shards they are.
    pub(super) fn finish_revocation(&mut self, core: &mut Core, asker: Asker, user: UserId, number: u32) {
        let ended = self.granted.of(user, number, self.sessions.of(user));
        for place in &ended {
            self.sessions.close(user, *place);
        }
        let sessions_ended = ended.len() as u32;
        let reply = AdminReply::TokenRevoked { user: user.0, number, sessions_ended };
        asker.answer(core, reply, |encoder, request| {
            encoder.token_revoked(request, &TokenRevoked { user, number, sessions_ended })
        });
        // Behind the answer: it may be for one of them.
        ended.iter().for_each(|place| end_session(core, *place, Refusal::TokenRevoked));
    }

    /// The service account with this name; whoever asked is refused otherwise.
    fn service(&mut self, core: &mut Core, asker: Asker, name: &UserName) -> Option<(UserId, Tokens, Stamp)> {
        let slot = name.slot();
        let (user, stamp) = self.names.find(name.as_str()).expect("the name was read");
        let Some(user) = *user else {
            asker.refuse_after(core, slot, stamp, Refusal::UnknownUser, 0);
            return None;
        };
        match self.tokens.find(&user).expect("the tokens were read") {
            (Some(tokens), stamp) => Some((user, tokens.clone(), stamp)),
            (None, stamp) => {
                asker.refuse_after(core, slot, stamp, Refusal::OtherKindOfAccount, 0);
                None
            }
        }
    }

    fn put_tokens(&mut self, core: &mut Core, user: UserId, tokens: Tokens) -> Stamp {
        core.put(&record::Key::Tokens(user), &tokens);
        let stamp = core.stamp(user.slot());
        self.tokens.put(user, Some(tokens), stamp, |user, stamp| core.is_committed(user.slot(), stamp));
        stamp
    }
}
