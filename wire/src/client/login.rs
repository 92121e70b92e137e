//! From an open connection to a session.

use super::effect::{ClientEvent, Effect, Reason, SendFailure};
use super::link::{Intent, Link};
use super::requests::Pending;
use super::session::{Session, is_transient};
use super::stored::{Account, KeptKeys, PersistOp};
use crate::decode::EventBody;
use crate::ids::DeviceId;
use crate::limits::{VERSION_MAX, VERSION_MIN, WINDOW_MAX};
use crate::message::{Challenge, LoggedIn, LoginProof, Refused, RegisterTerms, Resumed, Welcome};
use crate::refusal::Refusal;
use crate::scram::{self, ClientChallenged, ClientKeys, ClientProved, ClientStart, NONCE_LEN};

impl Session {
    /// Logs in with a name and the password that [`Effect::NeedStretch`] asks for; at once when connected, else after
    /// the next connect. `nonce`: fresh randomness.
    pub fn log_in(&mut self, now_ms: u64, name: &str, nonce: [u8; NONCE_LEN]) {
        self.begin(now_ms, Intent::LogIn { name: name.to_owned() }, nonce);
    }

    /// Creates an account with a name and the password that [`Effect::NeedStretch`] asks for, then logs in.
    pub fn register(&mut self, now_ms: u64, name: &str, nonce: [u8; NONCE_LEN]) {
        self.begin(now_ms, Intent::Register { name: name.to_owned(), attempted: false }, nonce);
    }

    /// Sets the password that [`Effect::NeedStretch`] asks for with a one-time code of the operator, then logs in. An answer
    /// that is lost shows as a code that is refused: the new password may be set all the same.
    pub fn redeem(&mut self, now_ms: u64, name: &str, code: &str, nonce: [u8; NONCE_LEN]) {
        self.begin(now_ms, Intent::Redeem { name: name.to_owned(), code: code.to_owned() }, nonce);
    }

    fn begin(&mut self, now_ms: u64, intent: Intent, nonce: [u8; NONCE_LEN]) {
        self.intent = intent;
        self.token = None;
        self.wanted = true;
        if matches!(self.link, Link::Welcomed) {
            self.nonce = Some(nonce);
            self.start_login(now_ms);
        }
        self.finish(now_ms);
    }

    /// Ends the session and its ticket.
    pub fn log_out(&mut self, now_ms: u64) {
        self.wanted = false;
        if self.is_ready() {
            self.enter(Link::LoggingOut, now_ms);
            self.transmit(now_ms, Pending::Logout, |encoder, request| encoder.logout(request, true));
        } else {
            self.forget_ticket();
            if !matches!(self.link, Link::Down) {
                self.drop_link(now_ms, Reason::Asked);
            }
        }
        self.finish(now_ms);
    }

    pub(super) fn on_login_reply(
        &mut self,
        now_ms: u64,
        pending: Pending,
        event: EventBody,
    ) -> Result<(), Reason> {
        match (pending, event) {
            (Pending::Hello, EventBody::Welcome(welcome)) => self.on_welcome(now_ms, welcome),
            (Pending::Hello, EventBody::Refused(refused)) => {
                let version = refused.code == Refusal::UnsupportedVersion.code();
                Err(if version { Reason::Version } else { Reason::Closed(refused) })
            }
            (Pending::RegisterStart, EventBody::RegisterTerms(terms)) => self.on_terms(now_ms, terms),
            (Pending::Register, EventBody::Registered { user }) => {
                self.tell(ClientEvent::Registered { user });
                if let Intent::Register { name, .. } = self.intent.clone() {
                    self.intent = Intent::LogIn { name };
                }
                self.start_login(now_ms);
                Ok(())
            }
            (Pending::Register, EventBody::CodeRedeemed { .. }) => {
                if let Intent::Redeem { name, .. } = self.intent.clone() {
                    self.intent = Intent::LogIn { name };
                }
                self.start_login(now_ms);
                Ok(())
            }
            (Pending::RegisterStart | Pending::Register, EventBody::Refused(refused)) => {
                self.on_register_refused(now_ms, refused)
            }
            (Pending::LoginStart, EventBody::Challenge(challenge)) => self.on_challenge(now_ms, &challenge),
            (Pending::LoginProof, EventBody::LoggedIn(logged_in)) => self.on_logged_in(now_ms, logged_in),
            (Pending::TokenLogin, EventBody::LoggedIn(logged_in)) => {
                self.on_token_logged_in(now_ms, logged_in)
            }
            (
                Pending::LoginStart | Pending::LoginProof | Pending::TokenLogin,
                EventBody::Refused(refused),
            ) => self.on_login_refused(now_ms, refused),
            (Pending::Resume, EventBody::Resumed(resumed)) => self.on_resumed(now_ms, resumed),
            (Pending::Resume, EventBody::Refused(refused)) => self.on_resume_refused(now_ms, refused),
            (Pending::Logout, EventBody::LoggedOut | EventBody::Refused(_)) => {
                self.forget_ticket();
                self.tell(ClientEvent::LoggedOut);
                Err(Reason::Asked)
            }
            _ => Err(Reason::Misbehaved("an answer that does not fit its request")),
        }
    }

    fn on_welcome(&mut self, now_ms: u64, welcome: Welcome) -> Result<(), Reason> {
        if !(VERSION_MIN..=VERSION_MAX).contains(&welcome.version) {
            return Err(Reason::Version);
        }
        self.heartbeat.idle_ms_max = u64::from(welcome.idle_ms_max);
        self.window = usize::from(welcome.window.clamp(1, WINDOW_MAX));
        self.mechanisms = welcome.mechanisms.clone();
        self.tell(ClientEvent::Welcomed(welcome));
        self.enter(Link::Welcomed, now_ms);
        self.start_login(now_ms);
        Ok(())
    }

    /// The first step towards what is wanted.
    pub(super) fn start_login(&mut self, now_ms: u64) {
        if let (Intent::Resume, Some(token)) = (&self.intent, self.token.clone()) {
            return self.start_token_login(now_ms, &token);
        }
        match (self.intent.clone(), &self.account) {
            (Intent::Resume, Some(account)) if !account.ticket.is_empty() => {
                let (ticket, uver) = (account.ticket.clone(), self.uver);
                self.enter(Link::Resuming, now_ms);
                self.transmit(now_ms, Pending::Resume, |e, request| e.resume(request, &ticket, uver));
            }
            (Intent::Resume, Some(account)) => {
                let name = account.name.clone();
                self.start_scram(now_ms, &name);
            }
            (Intent::Resume, None) | (Intent::Ask, _) => self.need_login(now_ms),
            (Intent::LogIn { name }, _) => self.start_scram(now_ms, &name),
            (Intent::Register { name, .. }, _) => {
                self.enter(Link::RegisterStarted, now_ms);
                self.transmit(now_ms, Pending::RegisterStart, |e, r| e.register_start(r, &name));
            }
            (Intent::Redeem { name, .. }, _) => {
                self.enter(Link::RegisterStarted, now_ms);
                self.transmit(now_ms, Pending::RegisterStart, |e, r| e.code_start(r, &name));
            }
        }
    }

    fn need_login(&mut self, now_ms: u64) {
        self.enter(Link::Welcomed, now_ms);
        self.tell(ClientEvent::LoginNeeded);
    }

    fn start_scram(&mut self, now_ms: u64, name: &str) {
        let Some(nonce) = self.nonce.take() else { return self.need_login(now_ms) };
        let binding_possible = !self.binding.is_empty();
        let nonce = scram::nonce_text(&nonce);
        match ClientStart::new(&self.mechanisms, binding_possible, name, nonce) {
            Ok((mechanism, start)) => {
                let message = start.message().to_owned();
                self.enter(Link::LoginStarted(start), now_ms);
                self.transmit(now_ms, Pending::LoginStart, |encoder, request| {
                    encoder.login_start(request, mechanism.name(), &message)
                });
            }
            Err(_) => self.drop_link(now_ms, Reason::Misbehaved("no known login mechanism is offered")),
        }
    }

    fn on_terms(&mut self, now_ms: u64, terms: RegisterTerms) -> Result<(), Reason> {
        let RegisterTerms { salt, iterations } = terms;
        scram::check_terms(&salt, iterations)
            .map_err(|_| Reason::Misbehaved("terms of registration out of bounds"))?;
        let effect = Effect::NeedStretch { salt: salt.clone(), iterations };
        self.enter(Link::RegisterStretch { salt, iterations }, now_ms);
        self.effects.push_back(effect);
        Ok(())
    }

    fn on_challenge(&mut self, now_ms: u64, challenge: &Challenge) -> Result<(), Reason> {
        let Link::LoginStarted(start) = std::mem::replace(&mut self.link, Link::Welcomed) else {
            return Err(Reason::Misbehaved("a challenge out of turn"));
        };
        let challenged = start
            .handle_server_first(&challenge.server_first)
            .map_err(|_| Reason::Misbehaved("a challenge that is not acceptable"))?;
        let kept = self
            .kept
            .as_ref()
            .filter(|kept| kept.salt == challenged.salt() && kept.iterations == challenged.iterations());
        match kept.map(|kept| kept.keys.clone()) {
            Some(keys) => self.prove(now_ms, challenged, &keys),
            None => {
                let (salt, iterations) = (challenged.salt().to_vec(), challenged.iterations());
                self.enter(Link::LoginStretch(challenged), now_ms);
                self.effects.push_back(Effect::NeedStretch { salt, iterations });
            }
        }
        Ok(())
    }

    pub(super) fn on_stretched(&mut self, now_ms: u64, keys: ClientKeys) {
        match std::mem::replace(&mut self.link, Link::Welcomed) {
            Link::RegisterStretch { salt, iterations } => {
                let new = keys.credentials();
                let (stored_key, server_key) = (&new.stored_key, &new.server_key);
                let intent = self.intent.clone();
                if !matches!(intent, Intent::Register { .. } | Intent::Redeem { .. }) {
                    return;
                }
                self.kept = Some(KeptKeys { salt, iterations, keys });
                self.enter(Link::Registering, now_ms);
                self.transmit(now_ms, Pending::Register, |encoder, request| match &intent {
                    Intent::Redeem { name, code } => {
                        encoder.redeem_code(request, name, code, stored_key, server_key)
                    }
                    Intent::Register { name, .. } => encoder.register(request, name, stored_key, server_key),
                    _ => unreachable!("it was looked at a moment ago"),
                });
            }
            Link::LoginStretch(challenged) => {
                let (salt, iterations) = (challenged.salt().to_vec(), challenged.iterations());
                self.kept = Some(KeptKeys { salt, iterations, keys: keys.clone() });
                self.prove(now_ms, challenged, &keys);
            }
            other => self.link = other, // the connection it was for is gone
        }
    }

    fn prove(&mut self, now_ms: u64, challenged: ClientChallenged, keys: &ClientKeys) {
        let proved: ClientProved = challenged.prove(keys, &self.binding);
        let message = proved.message().to_owned();
        let device = self.device();
        let (device_name, device_class) = (self.config.device_name.clone(), self.config.device_class);
        self.enter(Link::Proving(proved), now_ms);
        self.transmit(now_ms, Pending::LoginProof, |encoder, request| {
            let proof =
                LoginProof { client_final: &message, device, device_name: &device_name, device_class };
            encoder.login_proof(request, &proof)
        });
    }

    fn on_logged_in(&mut self, now_ms: u64, logged_in: LoggedIn) -> Result<(), Reason> {
        let Link::Proving(proved) = std::mem::replace(&mut self.link, Link::Welcomed) else {
            return Err(Reason::Misbehaved("a login out of turn"));
        };
        let session_key =
            proved.handle_server_final(&logged_in.server_final).map_err(|_| Reason::NodeUnproven)?;
        self.session_key = Some(session_key);
        let keys = self.kept.clone().filter(|_| self.config.keep_keys);
        let LoggedIn { user, name, device, ticket, reconnect_ms, idle_ms_max, .. } = logged_in;
        self.on_session(now_ms, Account { user, name, device, ticket }, reconnect_ms, idle_ms_max, false)?;
        self.journal.write(PersistOp::Keys(keys));
        Ok(())
    }

    fn on_resumed(&mut self, now_ms: u64, resumed: Resumed) -> Result<(), Reason> {
        let Resumed { user, name, device, ticket, reconnect_ms, idle_ms_max, afresh, from, .. } = resumed;
        self.uver = if afresh { 0 } else { self.uver.min(from) };
        self.on_session(now_ms, Account { user, name, device, ticket }, reconnect_ms, idle_ms_max, true)
    }

    pub(super) fn on_session(
        &mut self,
        now_ms: u64,
        account: Account,
        reconnect_ms: u32,
        idle_ms_max: u32,
        resumed: bool,
    ) -> Result<(), Reason> {
        let Account { user, device, .. } = account;
        if device == DeviceId(0) || !user.is_valid() {
            return Err(Reason::Misbehaved("a session without user or device"));
        }
        if self.account.as_ref().is_some_and(|known| known.user != user) {
            return Err(Reason::OtherAccount);
        }
        if self.account.as_ref().is_some_and(|known| known.device != device) {
            self.on_device_changed(now_ms);
        }
        let name = account.name.clone();
        self.journal.write(PersistOp::Account(account.clone()));
        self.account = Some(account);
        self.intent = Intent::Resume;
        self.attempts = 0;
        self.reconnect_ms = u64::from(reconnect_ms);
        self.heartbeat.idle_ms_max = u64::from(idle_ms_max);
        self.enter(Link::Ready, now_ms);
        self.tell(ClientEvent::LoggedIn { user, name, device, resumed });
        self.outbox.on_connected(now_ms);
        self.start_chat();
        Ok(())
    }

    /// Counters belong to a device: what was on its way under the old one cannot be told apart any more.
    fn on_device_changed(&mut self, now_ms: u64) {
        for counter in self.outbox.counters() {
            self.fail_send(now_ms, counter, SendFailure::DeviceChanged);
        }
        for (conversation, feed) in &mut self.feeds {
            if feed.state.last_taken != 0 {
                feed.state.last_taken = 0;
                self.journal.touch(*conversation);
            }
        }
    }

    fn on_register_refused(&mut self, now_ms: u64, refused: Refused) -> Result<(), Reason> {
        if is_transient(&refused) {
            return Err(Reason::Closed(refused));
        }
        if let Intent::Register { name, attempted: true } = self.intent.clone()
            && refused.code == Refusal::NameTaken.code()
        {
            self.intent = Intent::LogIn { name }; // perhaps by the first attempt, whose answer was lost
            self.start_login(now_ms);
            return Ok(());
        }
        self.intent = Intent::Ask;
        self.enter(Link::Welcomed, now_ms);
        self.tell(ClientEvent::RegisterRefused(refused));
        Ok(())
    }

    fn on_login_refused(&mut self, now_ms: u64, refused: Refused) -> Result<(), Reason> {
        if is_transient(&refused) {
            return Err(Reason::Closed(refused));
        }
        (self.kept, self.token) = (None, None);
        self.journal.write(PersistOp::Keys(None));
        self.intent = Intent::Ask;
        self.enter(Link::Welcomed, now_ms);
        self.tell(ClientEvent::LoginRefused(refused));
        Ok(())
    }

    fn on_resume_refused(&mut self, now_ms: u64, refused: Refused) -> Result<(), Reason> {
        if is_transient(&refused) {
            return Err(Reason::Closed(refused));
        }
        self.forget_ticket();
        self.start_login(now_ms);
        Ok(())
    }

    /// The session's ticket of before is void, and so are kept keys of the old password.
    pub(super) fn on_password_changed(&mut self, ticket: Vec<u8>, keys: Option<Box<KeptKeys>>) {
        if let Some(account) = &mut self.account {
            account.ticket = ticket;
            self.journal.write(PersistOp::Account(account.clone()));
        }
        self.keep(keys.map(|keys| *keys));
    }

    fn keep(&mut self, keys: Option<KeptKeys>) {
        self.kept = keys;
        let keys = self.kept.clone().filter(|_| self.config.keep_keys);
        self.journal.write(PersistOp::Keys(keys));
    }

    pub(super) fn on_account_deleted(&mut self) {
        self.forget_ticket();
        self.keep(None);
    }

    fn forget_ticket(&mut self) {
        if let Some(account) = &mut self.account {
            account.ticket.clear();
            self.journal.write(PersistOp::Account(account.clone()));
        }
    }
}
