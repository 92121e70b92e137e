//! What needs the password of a user who is logged in: a new password, and the end of the account. SCRAM once more, both steps
//! at the user's home.

use std::net::IpAddr;

use ahash::AHashMap;
use record::{Account, AuditAct, Credential};
use wire::account::{PasswordChanged, ProofTerms};
use wire::limits::CHALLENGE_MS_MAX;
use wire::scram::{self, ClientFirst, Exchange};
use wire::ticket::{self, Contents};
use wire::{Refusal, SessionId, UserId, UserName};

use super::standing::may_log_in;
use super::start::secrets_of;
use super::{Ending, Logins, Written};
use crate::core::{After, Core, FULL_RETRY_MS};
use crate::limits::{BUSY_RETRY_MS, PROOFS_MAX};
use crate::mesh::Caller;
use crate::rng::Rng;

/// A challenge that was sent to a session: valid for a while, and for one proof.
#[derive(Debug)]
struct Pending {
    exchange: Exchange,
    /// Of a new password.
    salt: [u8; 16],
    issued_ms: u64,
}

/// The challenges of sessions, at most one of each. In memory only.
#[derive(Debug)]
pub(super) struct Proofs {
    pending: AHashMap<(UserId, SessionId), Pending>,
}

/// What is to be done when the password is proved.
#[derive(Clone, Debug)]
pub enum Confirmed {
    ChangePassword { stored_key: [u8; 32], server_key: [u8; 32] },
    DeleteAccount,
}

impl Proofs {
    pub fn new(rng: &mut Rng) -> Self {
        Self { pending: AHashMap::with_hasher(rng.hasher()) }
    }

    /// False when there are too many that still serve.
    fn put(&mut self, now_ms: u64, session: (UserId, SessionId), pending: Pending) -> bool {
        if self.pending.len() >= PROOFS_MAX {
            self.pending.retain(|_, old| now_ms - old.issued_ms <= CHALLENGE_MS_MAX);
        }
        let has_room = self.pending.len() < PROOFS_MAX || self.pending.contains_key(&session);
        if has_room {
            self.pending.insert(session, pending);
        }
        has_room
    }

    /// It serves once, and for a while.
    fn take(&mut self, now_ms: u64, session: (UserId, SessionId)) -> Option<Pending> {
        self.pending.remove(&session).filter(|pending| now_ms - pending.issued_ms <= CHALLENGE_MS_MAX)
    }

    pub fn check_invariants(&self) {
        assert!(self.pending.len() <= PROOFS_MAX);
    }
}

impl Logins {
    pub(super) fn start_proof(
        &mut self,
        core: &mut Core,
        caller: Caller,
        client_first: &ClientFirst,
        address: IpAddr,
    ) {
        let (account, stamp) = self.accounts.find(&caller.user).expect("the account was read");
        let account = account.clone();
        let secrets = match self.secrets_of_caller(core, caller, account.as_ref(), address) {
            Ok((_, secrets)) => secrets,
            Err((refusal, retry_ms)) => return core.refuse_caller(caller, refusal, 0, retry_ms),
        };
        let nonce = scram::nonce_text(&core.rng.bytes::<{ scram::NONCE_LEN }>());
        let exchange = scram::server_first(client_first, &secrets.salt, secrets.iterations, &nonce);
        let salt = core.rng.bytes();
        let terms = ProofTerms {
            server_first: exchange.server_first.clone(),
            valid_ms: CHALLENGE_MS_MAX as u32,
            salt: salt.to_vec(),
            iterations: core.config.scram_iterations,
        };
        let now_ms = core.now.mono_ms;
        let pending = Pending { exchange, salt, issued_ms: now_ms };
        if !self.proofs.put(now_ms, (caller.user, caller.place.session), pending) {
            return core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
        let frame = core.encoder.proof_terms(caller.request, &terms);
        core.after(caller.user.slot(), stamp, After::Answer { caller, frame });
    }

    pub(super) fn confirm(
        &mut self,
        core: &mut Core,
        caller: Caller,
        client_final: &str,
        address: IpAddr,
        what: Confirmed,
    ) {
        if let Err((refusal, retry_ms)) = self.try_confirm(core, caller, client_final, address, what) {
            core.refuse_caller(caller, refusal, 0, retry_ms);
        }
    }

    fn try_confirm(
        &mut self,
        core: &mut Core,
        caller: Caller,
        client_final: &str,
        address: IpAddr,
        what: Confirmed,
    ) -> Result<(), (Refusal, u32)> {
        let user = caller.user;
        let pending = self.proofs.take(core.now.mono_ms, (user, caller.place.session));
        let (account, _) = self.accounts.find(&user).expect("the account was read");
        let mut account = account.clone().ok_or((Refusal::SessionEnded, 0))?;
        let (name, secrets) = self.secrets_of_caller(core, caller, Some(&account), address)?;
        let pending = pending.ok_or((Refusal::ProofExpired, 0))?;
        let Ok(proven) = scram::verify(&pending.exchange, client_final, &secrets.credentials, &[]) else {
            self.failures.note(core.now.mono_ms, name.as_str(), address);
            return Err((Refusal::WrongPassword, 0));
        };
        self.failures.clear(name.as_str(), address);
        if let Some(refusal) = core.write_refusal(user.slot()) {
            return Err((refusal, FULL_RETRY_MS as u32));
        }
        let server_final = proven.server_final;
        let audited = match what {
            Confirmed::DeleteAccount => AuditAct::Deleted,
            Confirmed::ChangePassword { .. } => AuditAct::PasswordChanged,
        };
        core.audit(user.slot(), audited, user, user, &account.name, String::new());
        let (stamp, written) = match what {
            Confirmed::DeleteAccount => {
                (self.erase(core, user, account), Written::Deleted { caller, server_final })
            }
            Confirmed::ChangePassword { stored_key, server_key } => {
                let (salt, iterations) = (pending.salt, core.config.scram_iterations);
                account.credentials =
                    vec![Credential::ScramSha256 { salt, iterations, stored_key, server_key }];
                account.code = None;
                Ending::All.revoke(&mut account);
                let ticket = ticket_of(core, caller, &account);
                let changed = PasswordChanged { server_final, ticket, ticket_ms: core.config.ticket_ms };
                (self.put_account(core, user, account), Written::PasswordChanged { caller, changed })
            }
        };
        self.when_written(core, user.slot(), stamp, written);
        Ok(())
    }

    /// What to check a proof of this session's user with. Who guesses is slowed down as at login.
    fn secrets_of_caller(
        &mut self,
        core: &Core,
        caller: Caller,
        account: Option<&Account>,
        address: IpAddr,
    ) -> Result<(UserName, super::start::Secrets), (Refusal, u32)> {
        let account =
            account.filter(|account| self.is_current(account, &caller)).ok_or((Refusal::SessionEnded, 0))?;
        may_log_in(account).map_err(|refusal| (refusal, 0))?;
        let name = UserName::parse(&account.name).map_err(|_| (Refusal::BadName, 0))?;
        if let Some(delay_ms) = self.failures.delay_ms(core.now.mono_ms, name.as_str(), address) {
            return Err((Refusal::LoginDelayed, delay_ms as u32));
        }
        Ok((name, secrets_of(account).ok_or((Refusal::WrongPassword, 0))?))
    }

    /// The new password is on disk: the others are out, and this session goes on with its new ticket.
    pub(super) fn finish_password(&mut self, core: &mut Core, caller: Caller, changed: &PasswordChanged) {
        // All devices have the next generation, this one too: its session is still the current one.
        if let Some(session) = self.sessions.find(caller.user, caller.place) {
            session.generation = session.generation.wrapping_add(1);
        }
        let others = Ending::AllBut(caller.place.device);
        self.close_sessions(core, caller.user, others, Refusal::PasswordChanged);
        let frame = core.encoder.password_changed(caller.request, changed);
        core.answer(caller, frame);
    }

    pub(super) fn finish_deletion(&mut self, core: &mut Core, caller: Caller, server_final: &str) {
        let frame = core.encoder.account_deleted(caller.request, server_final);
        core.answer(caller, frame);
        self.close_sessions(core, caller.user, Ending::All, Refusal::AccountDeleted);
    }
}

/// For a session whose device has another generation now.
fn ticket_of(core: &mut Core, caller: Caller, account: &Account) -> Vec<u8> {
    let device = account.devices.iter().find(|device| device.device == caller.place.device.0);
    let contents = Contents {
        user: caller.user,
        device: caller.place.device,
        generation: device.map_or(0, |device| u64::from(device.generation)),
        session: caller.place.session,
        expiry_ms: core.now.wall_ms + core.config.ticket_ms,
    };
    let nonce = core.rng.bytes();
    ticket::seal(&core.config.ticket_keys, nonce, &contents)
}
