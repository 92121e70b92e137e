//! The home's side of registration and login: accounts, the sessions of each user, failed attempts. Owned by the shard
//! of the user's slot; accounts are durable, sessions and failures are not.
//!
//! A step waits until the records it needs are in memory, then is carried out at once; its answer leaves when
//! everything it could show is on disk.

mod cache;
mod confirm;
mod devices;
mod ending;
mod failures;
mod find;
mod logout;
mod proof;
mod redeem;
mod register;
mod reset;
mod resume;
mod sessions;
mod standing;
#[cfg(test)]
mod standing_tests;
mod start;
#[cfg(test)]
mod storm;
mod task;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_ending;
mod token;
#[cfg(test)]
mod token_tests;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::AHashMap;
use record::{
    Account, AuditAct, Credential, Key, NameEntry, Query, Record, RecordError, Rows, SlotState, StoreShardId,
    Tokens, keys,
};
use wire::account::PasswordChanged;
use wire::scram::{ClientFirst, Exchange};
use wire::ticket::Contents;
use wire::{ConnectionId, DeviceId, Refusal, SessionId, ShardAddress, Slot, UserId, UserName};

use crate::admin::{AdminReply, Notice, UserAct};
use crate::asker::Asker;
use crate::commits::Stamp;
use crate::core::{After, Core, FULL_RETRY_MS, LoadFor};
use crate::limits::{
    ACCOUNTS_CACHED_MAX, BUSY_RETRY_MS, FAILURES_FREE, FAILURES_MAX, LOGIN_RECORDS_PER_LOAD_MAX,
    LOGINS_POSTPONED_MAX, QUEUED_PER_KEY_MAX, SEEN_CACHED_MAX,
};
use crate::mesh::{Caller, MeshFrame, SessionFrame, SessionPlace};
use crate::stats::TableStats;
use cache::Cache;
pub use confirm::Confirmed;
use confirm::Proofs;
use devices::Seen;
pub(crate) use ending::Ending;
use ending::{End, Revoked, end_session};
use failures::Failures;
pub use redeem::Redeem;
pub(crate) use register::FirstKey;
pub(crate) use sessions::OpenSession;
use sessions::Sessions;
pub(crate) use task::LoadKey;
use task::{Person, Subject, Task};
use token::Granted;
pub use token::{Grant, NewToken, TokenProof};

/// A step on its way to the user's home.
#[derive(Debug)]
pub enum LoginCommand {
    Register(Box<Register>),
    /// Asks for the salt of a name, real or made up.
    Start {
        name: UserName,
        address: IpAddr,
    },
    Proof(Box<Proof>),
    Redeem(Box<Redeem>),
    /// What stood in a ticket of this node that has not expired.
    Resume {
        contents: Contents,
        address: IpAddr,
    },
    /// A token of a service account, real or made up.
    Token(Box<TokenProof>),
}

/// An account to be.
#[derive(Clone, Debug)]
pub struct Register {
    pub name: UserName,
    /// As the user typed it.
    pub written: String,
    pub credential: Credential,
}

/// A proof, with what the connection's shard knows of its challenge.
#[derive(Clone, Debug)]
pub struct Proof {
    pub name: UserName,
    pub address: IpAddr,
    pub exchange: Exchange,
    /// Of the challenge.
    pub age_ms: u64,
    pub client_final: String,
    /// Of the connection the proof came on.
    pub binding: Option<Arc<[u8]>>,
    /// 0 asks for a new one.
    pub device: DeviceId,
    pub device_name: String,
    pub device_class: u8,
}

/// The home's answer.
#[derive(Debug)]
pub enum LoginReply {
    Refused { refusal: Refusal, detail: u64, retry_ms: u32 },
    Registered { user: UserId },
    Redeemed { user: UserId },
    Salt { salt: [u8; 16], iterations: u32 },
    LoggedIn { session: Box<NewSession>, server_final: String },
    Resumed(Box<NewSession>),
}

/// A session that the home has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    pub user: UserId,
    /// As the user wrote it.
    pub name: String,
    pub device: DeviceId,
    pub generation: u64,
    pub session: SessionId,
    /// Of the token it was opened with, if it was one.
    pub grant: Option<Grant>,
    /// Of the device: 1 desktop, 2 mobile, 3 web, 4 bot.
    pub class: u8,
    pub address: IpAddr,
    /// With a password; otherwise it was resumed.
    pub is_login: bool,
}

impl LoginReply {
    /// The session it opens.
    pub(crate) fn session(&self) -> Option<&NewSession> {
        match self {
            LoginReply::LoggedIn { session, .. } | LoginReply::Resumed(session) => Some(session),
            LoginReply::Refused { .. }
            | LoginReply::Registered { .. }
            | LoginReply::Redeemed { .. }
            | LoginReply::Salt { .. } => None,
        }
    }
}

/// Done when all that it could show is on disk.
#[derive(Debug)]
pub(crate) enum Written {
    Step {
        connection: ConnectionId,
        reply_to: ShardAddress,
        reply: LoginReply,
    },
    Logout {
        caller: Caller,
    },
    Ended(Revoked),
    Reset {
        token: u64,
        user: UserId,
    },
    TokenRevoked {
        asker: Asker,
        user: UserId,
        number: u32,
    },
    PasswordChanged {
        caller: Caller,
        changed: PasswordChanged,
    },
    /// By the user himself.
    Deleted {
        caller: Caller,
        server_final: String,
    },
    /// An account of which the sessions end for this reason, if for one.
    Changed {
        asker: Asker,
        user: UserId,
        ended: Option<Refusal>,
    },
}

impl Written {
    /// Whose account is empty now.
    pub fn deleted(&self) -> Option<UserId> {
        match self {
            Written::Changed { user, ended: Some(Refusal::AccountDeleted), .. } => Some(*user),
            Written::Deleted { caller, .. } => Some(caller.user),
            _ => None,
        }
    }
}

/// Nothing was written: who waits is told.
pub(crate) fn refuse_full(core: &mut Core, written: Written) {
    let (refusal, retry_ms) = (Refusal::StorageFull, FULL_RETRY_MS as u32);
    match written {
        Written::Step { connection, reply_to, .. } => {
            let reply = LoginReply::Refused { refusal, detail: 0, retry_ms };
            core.control(reply_to, MeshFrame::Session(SessionFrame::LoginReply { connection, reply }));
        }
        Written::Logout { caller }
        | Written::PasswordChanged { caller, .. }
        | Written::Deleted { caller, .. } => core.refuse_caller(caller, refusal, 0, retry_ms),
        Written::Ended(revoked) => revoked.asker.refuse(core, refusal, 0, retry_ms),
        Written::Reset { token, .. } => {
            core.reply(token, AdminReply::Refused { reason: refusal.reason().into() });
        }
        Written::Changed { asker, .. } | Written::TokenRevoked { asker, .. } => {
            asker.refuse(core, refusal, 0, retry_ms)
        }
    }
}

/// Accounts, sessions and failures of the users whose home is here.
#[derive(Debug)]
pub struct Logins {
    names: Cache<String, Option<UserId>>,
    accounts: Cache<UserId, Option<Account>>,
    slots: Cache<Slot, SlotState>,
    tokens: Cache<UserId, Option<Tokens>>,
    /// What is kept of devices beside the accounts. Only in memory while somebody wants it.
    seen: Cache<UserId, Seen>,
    /// Tasks that wait for a record, in the order in which they came. Every key here is being loaded or postponed.
    waiting: AHashMap<LoadKey, VecDeque<Task>>,
    /// Records to be loaded at the end of the turn, or as soon as fewer loads are in flight.
    postponed: VecDeque<LoadKey>,
    sessions: Sessions,
    proofs: Proofs,
    granted: Granted,
    failures: Failures,
}

impl Logins {
    pub(crate) fn new(core: &mut Core) -> Self {
        let shards = core.ownership.shards();
        let rng = &mut core.rng;
        Self {
            names: Cache::new(rng, ACCOUNTS_CACHED_MAX),
            accounts: Cache::new(rng, ACCOUNTS_CACHED_MAX),
            slots: Cache::new(rng, ACCOUNTS_CACHED_MAX),
            tokens: Cache::new(rng, ACCOUNTS_CACHED_MAX),
            seen: Cache::new(rng, SEEN_CACHED_MAX),
            waiting: AHashMap::with_hasher(rng.hasher()),
            postponed: VecDeque::new(),
            sessions: Sessions::new(rng),
            proofs: Proofs::new(rng),
            granted: Granted::new(rng),
            failures: Failures::new(rng, shards),
        }
    }

    /// What is in memory.
    pub(crate) fn tables(&self) -> [TableStats; 6] {
        let cached = |name, entries| TableStats::new(name, entries, ACCOUNTS_CACHED_MAX);
        [
            cached("names", self.names.len()),
            cached("accounts", self.accounts.len()),
            cached("slots", self.slots.len()),
            cached("tokens", self.tokens.len()),
            TableStats::new("devices", self.seen.len(), SEEN_CACHED_MAX),
            TableStats::new("login_failures", self.failures.len(), FAILURES_MAX),
        ]
    }

    /// Where the sessions of a user are whose home is here, in the order in which they were opened.
    pub(crate) fn sessions(&self, user: UserId) -> &[OpenSession] {
        self.sessions.of(user)
    }

    /// The next session that was opened in this turn, or user whose last one is gone (`None`).
    pub(crate) fn take_come_or_gone(&mut self) -> Option<(UserId, Option<SessionPlace>)> {
        self.sessions.take_come_or_gone()
    }

    /// A step of registration or login.
    pub(crate) fn handle(
        &mut self,
        core: &mut Core,
        connection: ConnectionId,
        reply_to: ShardAddress,
        command: LoginCommand,
    ) {
        self.submit(core, Task::Step { connection, reply_to, command });
    }

    pub(crate) fn handle_find_user(&mut self, core: &mut Core, caller: Caller, name: String) {
        self.submit(core, Task::FindUser { caller, name });
    }

    pub(crate) fn handle_name_user(&mut self, core: &mut Core, caller: Caller, user: UserId) {
        self.submit(core, Task::NameUser { caller, user });
    }

    /// A challenge for the caller's own password.
    pub(crate) fn handle_proof_start(
        &mut self,
        core: &mut Core,
        caller: Caller,
        client_first: Box<ClientFirst>,
        address: IpAddr,
    ) {
        self.submit(core, Task::ProofStart { caller, client_first, address });
    }

    pub(crate) fn handle_confirm(
        &mut self,
        core: &mut Core,
        caller: Caller,
        client_final: String,
        address: IpAddr,
        what: Confirmed,
    ) {
        self.submit(core, Task::Confirm { caller, client_final, address, what });
    }

    /// Of the operator: a new account.
    pub(crate) fn handle_add(
        &mut self,
        core: &mut Core,
        asker: Asker,
        name: UserName,
        written: String,
        key: FirstKey,
    ) {
        self.submit(core, Task::Add { asker, name, written, key });
    }

    /// Of the operator: new credentials, and the end of all sessions and tickets.
    pub(crate) fn handle_reset(
        &mut self,
        core: &mut Core,
        token: u64,
        name: UserName,
        credential: Credential,
    ) {
        self.submit(core, Task::Reset { token, name, credential });
    }

    /// A token of a service account, which is made too when the name is free.
    pub(crate) fn handle_create_token(
        &mut self,
        core: &mut Core,
        asker: Asker,
        name: UserName,
        written: String,
        new: NewToken,
    ) {
        self.submit(core, Task::CreateToken { asker, name, written, new });
    }

    pub(crate) fn handle_list_tokens(&mut self, core: &mut Core, asker: Asker, name: UserName) {
        self.submit(core, Task::ListTokens { asker, name });
    }

    pub(crate) fn handle_revoke_token(&mut self, core: &mut Core, asker: Asker, name: UserName, number: u32) {
        self.submit(core, Task::RevokeToken { asker, name, number });
    }

    /// Of the operator: a notice to the user with this name.
    pub(crate) fn handle_issue(&mut self, core: &mut Core, token: u64, name: UserName, notice: Notice) {
        let notice = Box::new(notice);
        self.submit(core, Task::Issue { asker: Asker::Socket(token), person: Person::Name(name), notice });
    }

    /// The same to a user by his id.
    pub(crate) fn handle_issue_to(&mut self, core: &mut Core, asker: Asker, user: UserId, notice: Notice) {
        let notice = Box::new(notice);
        self.submit(core, Task::Issue { asker, person: Person::Id(user), notice });
    }

    /// Of the operator: an account is disabled, enabled or deleted.
    pub(crate) fn handle_change(&mut self, core: &mut Core, asker: Asker, name: UserName, act: UserAct) {
        self.submit(core, Task::Change { asker, name, act });
    }

    pub(crate) fn handle_show(&mut self, core: &mut Core, asker: Asker, name: UserName) {
        self.submit(core, Task::Show { asker, name });
    }

    /// The connection of a session is gone.
    pub(crate) fn handle_session_closed(&mut self, core: &mut Core, user: UserId, place: SessionPlace) {
        if let Some(session) = self.sessions.close(user, place) {
            self.keep_seen(core, user, &session);
        }
        if self.sessions.of(user).is_empty() {
            self.granted.close(user);
        }
    }

    /// Of the operator: the devices of a user.
    pub(crate) fn handle_list_devices(&mut self, core: &mut Core, asker: Asker, name: UserName) {
        self.submit(core, Task::Devices { asker, person: Person::Name(name) });
    }

    /// Of the operator: the end of sessions.
    pub(crate) fn handle_end(&mut self, core: &mut Core, asker: Asker, name: UserName, ending: Ending) {
        let person = Person::Name(name);
        let why = Refusal::EndedByOperator;
        self.submit(core, Task::End(End { asker, person, ending, why }));
    }

    fn submit(&mut self, core: &mut Core, task: Task) {
        match self.missing(&task) {
            None => self.execute(core, task),
            Some(key) => self.wait(core, key, task),
        }
    }

    /// The next record that has to be read for a task.
    fn missing(&mut self, task: &Task) -> Option<LoadKey> {
        self.missing_of_subject(task).or_else(|| {
            let Task::Devices { person, .. } = task else { return None };
            let (user, _) = self.user_of(person)?;
            self.seen.find(&user).is_none().then_some(LoadKey::Devices(user))
        })
    }

    /// The user who is meant, if there is one. His name was read.
    fn user_of(&mut self, person: &Person) -> Option<(UserId, Stamp)> {
        match person {
            Person::Id(user) => Some((*user, Stamp::default())),
            Person::Name(name) => {
                let (user, stamp) = self.names.find(name.as_str()).expect("the name was read");
                Some(((*user)?, stamp))
            }
        }
    }

    fn missing_of_subject(&mut self, task: &Task) -> Option<LoadKey> {
        let subject = task.subject();
        let name = match subject {
            Subject::User(user) => return self.missing_account(user),
            Subject::Tokens(user) => {
                return self.missing_account(user).or_else(|| self.missing_tokens(user));
            }
            Subject::NewName(name)
            | Subject::AnyName(name)
            | Subject::Name(name)
            | Subject::NewService(name)
            | Subject::Service(name) => name,
        };
        let Some((user, _)) = self.names.find(name) else { return Some(LoadKey::Name(name.to_owned())) };
        match (subject, *user) {
            // A name that is taken may be free again: its account says so.
            (Subject::NewService(_), Some(user))
                if self.tokens.find(&user).is_none_or(|(tokens, _)| tokens.is_some()) =>
            {
                self.missing_tokens(user)
            }
            (Subject::NewName(_) | Subject::NewService(_), Some(user)) => {
                let slot = Slot::of_name(name);
                let slot = self.slots.find(&slot).is_none().then_some(LoadKey::Slot(slot));
                self.missing_account(user).or(slot)
            }
            (Subject::NewName(_) | Subject::NewService(_), None) => {
                let slot = Slot::of_name(name);
                self.slots.find(&slot).is_none().then_some(LoadKey::Slot(slot))
            }
            (Subject::AnyName(_), user) => self.missing_account(user.unwrap_or(nobody_of(name))),
            (Subject::Name(_), Some(user)) => self.missing_account(user),
            (Subject::Service(_), Some(user)) => self.missing_tokens(user),
            _ => None,
        }
    }

    fn missing_account(&mut self, user: UserId) -> Option<LoadKey> {
        self.accounts.find(&user).is_none().then_some(LoadKey::User(user))
    }

    fn missing_tokens(&mut self, user: UserId) -> Option<LoadKey> {
        self.tokens.find(&user).is_none().then_some(LoadKey::Tokens(user))
    }

    fn wait(&mut self, core: &mut Core, key: LoadKey, task: Task) {
        if let Some(queue) = self.waiting.get_mut(&key) {
            if queue.len() >= QUEUED_PER_KEY_MAX {
                task.refuse(core, Refusal::Busy, BUSY_RETRY_MS);
            } else {
                queue.push_back(task);
            }
            return;
        }
        if self.postponed.len() < LOGINS_POSTPONED_MAX {
            self.postponed.push_back(key.clone());
            self.waiting.insert(key, VecDeque::from([task]));
        } else {
            task.refuse(core, Refusal::Busy, BUSY_RETRY_MS);
        }
    }

    /// Loads what is wanted, as far as there is room: records of one store shard together.
    pub(crate) fn end_turn(&mut self, core: &mut Core) {
        if self.postponed.is_empty() || !core.may_load() {
            return;
        }
        self.postponed.make_contiguous().sort_by_key(|key| core.store_shard(key.slot()));
        while let Some(first) = self.postponed.front().filter(|_| core.may_load()) {
            let (slot, store_shard) = (first.slot(), core.store_shard(first.slot()));
            let next = self.postponed.iter().take(LOGIN_RECORDS_PER_LOAD_MAX);
            let together = next.take_while(|key| core.store_shard(key.slot()) == store_shard);
            let keys: Vec<_> = together.cloned().collect();
            self.postponed.drain(..keys.len());
            let loads = core.load(slot, keys.iter().map(query).collect(), LoadFor::Login(keys));
            assert!(loads, "there was room a moment ago");
        }
    }

    /// Records were read: the tasks that waited for them go on.
    pub(crate) fn handle_loaded(&mut self, core: &mut Core, keys: &[LoadKey], rows: &[Rows]) {
        for (key, rows) in keys.iter().zip(rows) {
            let tasks = self.waiting.remove(key).expect("somebody waits for every record");
            if let Err(error) = self.keep(core, key, rows) {
                core.damaged(key.slot(), &format!("{key:?}: {error}"));
                return;
            }
            for task in tasks {
                self.submit(core, task);
            }
        }
    }

    fn keep(&mut self, core: &Core, key: &LoadKey, rows: &Rows) -> Result<(), RecordError> {
        let value = rows.rows.first().map(|row| &row.value[..]);
        match key {
            LoadKey::Devices(user) => {
                let is_committed = |user: &UserId, stamp| core.is_committed(user.slot(), stamp);
                self.seen.put_loaded(*user, Seen::decode(rows)?, is_committed);
            }
            LoadKey::Name(name) => {
                let user = value.map(NameEntry::decode).transpose()?.map(|entry| UserId(entry.user));
                let is_committed = |name: &String, stamp| core.is_committed(Slot::of_name(name), stamp);
                self.names.put_loaded(name.clone(), user, is_committed);
            }
            LoadKey::User(user) => {
                let account = value.map(Account::decode).transpose()?;
                let is_committed = |user: &UserId, stamp| core.is_committed(user.slot(), stamp);
                self.accounts.put_loaded(*user, account, is_committed);
            }
            LoadKey::Slot(slot) => {
                let state = value.map(SlotState::decode).transpose()?.unwrap_or_default();
                let is_committed = |slot: &Slot, stamp| core.is_committed(*slot, stamp);
                self.slots.put_loaded(*slot, state, is_committed);
            }
            LoadKey::Tokens(user) => {
                let tokens = value.map(Tokens::decode).transpose()?;
                let is_committed = |user: &UserId, stamp| core.is_committed(user.slot(), stamp);
                self.tokens.put_loaded(*user, tokens, is_committed);
            }
        }
        Ok(())
    }

    /// All records that the task needs are in memory.
    fn execute(&mut self, core: &mut Core, task: Task) {
        match task {
            Task::Step { connection, reply_to, command } => {
                let done = match command {
                    LoginCommand::Register(register) => Ok(self.register(core, *register)),
                    LoginCommand::Start { name, address } => Ok(self.start(core, &name, address)),
                    LoginCommand::Proof(proof) => {
                        self.prove(core, &proof).map_err(|key| (key, LoginCommand::Proof(proof)))
                    }
                    LoginCommand::Token(proof) => {
                        self.log_in_with_token(core, &proof).map_err(|key| (key, LoginCommand::Token(proof)))
                    }
                    LoginCommand::Redeem(redeem) => Ok(self.redeem(core, *redeem)),
                    LoginCommand::Resume { contents, address } => Ok(self.resume(core, contents, address)),
                };
                match done {
                    Ok((slot, stamp, reply)) => {
                        let written = Written::Step { connection, reply_to, reply };
                        self.when_written(core, slot, stamp, written);
                    }
                    Err((key, command)) => {
                        self.wait(core, key, Task::Step { connection, reply_to, command });
                    }
                }
            }
            Task::FindUser { caller, name } => self.find_user(core, caller, &name),
            Task::NameUser { caller, user } => self.name_user(core, caller, user),
            Task::Logout { caller } => self.forget_ticket(core, caller),
            Task::Issue { asker, person, notice } => self.issue(core, asker, &person, notice),
            Task::Devices { asker, person } => self.list_devices(core, asker, &person),
            Task::End(end) => self.end(core, end),
            Task::ProofStart { caller, client_first, address } => {
                self.start_proof(core, caller, &client_first, address);
            }
            Task::Confirm { caller, client_final, address, what } => {
                self.confirm(core, caller, &client_final, address, what);
            }
            Task::Add { asker, name, written, key } => self.add(core, asker, name, written, key),
            Task::Reset { token, name, credential } => self.reset(core, token, &name, credential),
            Task::Change { asker, name, act } => self.change_user(core, asker, &name, act),
            Task::Show { asker, name } => self.show_user(core, asker, &name),
            Task::CreateToken { asker, name, written, new } => {
                self.create_token(core, asker, name, written, new)
            }
            Task::ListTokens { asker, name } => self.list_tokens(core, asker, &name),
            Task::RevokeToken { asker, name, number } => self.revoke_token(core, asker, &name, number),
        }
    }

    /// A login failed. When the next one has to wait for the first time, the log says so, whether there is such an account or
    /// not. Gives the batch that the refusal waits for.
    fn note_failure(
        &mut self,
        core: &mut Core,
        slot: Slot,
        name: &str,
        address: IpAddr,
        stamp: Stamp,
    ) -> Stamp {
        let count = self.failures.note(core.now.mono_ms, name, address);
        if count != FAILURES_FREE || core.write_refusal(slot).is_some() {
            return stamp;
        }
        let detail = format!("from {address}");
        core.audit(slot, AuditAct::LoginSlowed, UserId::NOBODY, UserId::NOBODY, name, detail);
        core.stamp(slot)
    }

    fn when_written(&mut self, core: &mut Core, slot: Slot, stamp: Stamp, written: Written) {
        let store_shard = core.store_shard(slot);
        match core.commits.wait(store_shard, stamp, After::Logins(written)) {
            Some(After::Logins(written)) => self.handle_written(core, written),
            Some(_) => unreachable!("a waiter comes back as it was given"),
            None => {}
        }
    }

    /// A batch is on disk: what changed for sessions happens, and who waits is told.
    pub(crate) fn handle_written(&mut self, core: &mut Core, written: Written) {
        match written {
            Written::Step { connection, reply_to, reply } => {
                if let Some(new) = reply.session() {
                    let (session, device) = (new.session, new.device);
                    let place = SessionPlace { shard: reply_to, connection, session, device };
                    self.on_opened(core, place, new);
                    if let Some(grant) = &new.grant {
                        self.granted.open(new.user, session, grant.token, self.sessions.of(new.user));
                    }
                    self.release_account(core, new.user);
                }
                if let LoginReply::Redeemed { user } = reply {
                    self.close_sessions(core, user, Ending::All, Refusal::PasswordChanged);
                }
                core.control(reply_to, MeshFrame::Session(SessionFrame::LoginReply { connection, reply }));
            }
            Written::Logout { caller } => self.log_out(core, caller),
            Written::Ended(revoked) => self.finish_end(core, revoked),
            Written::PasswordChanged { caller, changed } => self.finish_password(core, caller, &changed),
            Written::Deleted { caller, server_final } => {
                self.finish_deletion(core, caller, &server_final);
            }
            Written::Reset { token, user } => self.finish_reset(core, token, user),
            Written::Changed { asker, user, ended } => self.finish_change(core, asker, user, ended),
            Written::TokenRevoked { asker, user, number } => {
                self.finish_revocation(core, asker, user, number)
            }
        }
    }

    /// Whoever is in needs his account rarely: idle sessions keep none in memory. One that is being read stays: what
    /// comes may be older, and must not take its place.
    fn release_account(&mut self, core: &Core, user: UserId) {
        if !self.waiting.contains_key(&LoadKey::User(user)) {
            self.accounts.release(&user, |stamp| core.is_committed(user.slot(), stamp));
        }
    }

    /// Puts a changed account, here and on disk.
    fn put_account(&mut self, core: &mut Core, user: UserId, account: Account) -> Stamp {
        core.put(&Key::Account(user), &account);
        let stamp = core.stamp(user.slot());
        self.accounts.put(user, Some(account), stamp, |user, stamp| core.is_committed(user.slot(), stamp));
        stamp
    }

    /// The store shard was full: what is in memory of it may never have been written. Sessions stay.
    pub(crate) fn forget(&mut self, core: &mut Core, store_shard: StoreShardId) {
        let is_there = |slot: Slot| core.store_shard(slot) == store_shard;
        self.names.forget(|name| is_there(Slot::of_name(name)));
        self.accounts.forget(|user| is_there(user.slot()));
        self.slots.forget(|slot| is_there(*slot));
        self.tokens.forget(|user| is_there(user.slot()));
        self.seen.forget(|user| is_there(user.slot()));
    }

    pub(crate) fn check_invariants(&self, core: &Core) {
        self.names.check_invariants();
        self.accounts.check_invariants();
        self.slots.check_invariants();
        self.tokens.check_invariants();
        self.granted.check_invariants();
        self.seen.check_invariants();
        self.sessions.check_invariants();
        self.failures.check_invariants();
        self.proofs.check_invariants();
        assert!(self.sessions.users().all(|user| core.is_home(user.slot())));
        assert!(self.postponed.len() <= LOGINS_POSTPONED_MAX);
        assert!(self.postponed.iter().all(|key| self.waiting.contains_key(key)));
        for (key, queue) in &self.waiting {
            assert!((1..=QUEUED_PER_KEY_MAX).contains(&queue.len()));
            assert!(core.is_home(key.slot()));
        }
    }
}

fn query(key: &LoadKey) -> Query {
    Query::Get(match key {
        LoadKey::Name(name) => Key::Name(name.clone()).bytes(),
        LoadKey::User(user) => Key::Account(*user).bytes(),
        LoadKey::Slot(slot) => Key::SlotState(*slot).bytes(),
        LoadKey::Tokens(user) => Key::Tokens(*user).bytes(),
        LoadKey::Devices(user) => {
            let (from, to) = keys::device_range(*user);
            return Query::Range { from, to, reverse: false, rows_max: u32::MAX, bytes_max: u32::MAX };
        }
    })
}

/// A user who cannot exist, in the slot of this name: reading his account is what a name without one costs.
fn nobody_of(name: &str) -> UserId {
    const NEVER_HANDED_OUT: u64 = 1 << 63;
    let slot = u64::from(Slot::of_name(name).number());
    let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    UserId(hash & !u64::from(wire::ids::SLOTS - 1) | NEVER_HANDED_OUT | slot)
}
