//! Clients, and what nearly every test wants of them: an account and a login.

use std::collections::VecDeque;

use bytes::Bytes;
use wire::limits::FRAME_LEN_MAX_BEFORE_LOGIN;
use wire::message::{DeviceClass, LoggedIn, LoginProof, Resumed};
use wire::scram::{self, ClientKeys, ClientStart};
use wire::token::{SECRET_LEN, Secret, Token};
use wire::{ConnectionId, DeviceId, EventBody, EventFrame, Refusal, Scopes, Slot, UserId};

use super::{ClientId, World};
use crate::CloseReason;
use crate::admin::{AdminReply, AdminRequest};
use crate::login::NewToken;

#[derive(Debug)]
pub(super) struct Client {
    pub connection: ConnectionId,
    pub is_open: bool,
    pub is_settled: bool,
    pub is_moving: bool,
    /// For an effect, before the next frame.
    pub is_waiting: bool,
    pub closed: Option<CloseReason>,
    pub frame_len_max: usize,
    pub outgoing: VecDeque<Bytes>,
    pub events: Vec<EventFrame>,
    last_request: u32,
}

impl Client {
    pub fn new(connection: ConnectionId) -> Self {
        Self {
            connection,
            is_open: true,
            is_settled: false,
            is_moving: false,
            is_waiting: false,
            closed: None,
            frame_len_max: FRAME_LEN_MAX_BEFORE_LOGIN,
            outgoing: VecDeque::new(),
            events: Vec::new(),
            last_request: 0,
        }
    }

    pub fn next_request(&mut self) -> u32 {
        self.last_request += 1;
        self.last_request
    }

    pub fn take_reply(&mut self, request: u32) -> Option<EventBody> {
        let index = self.events.iter().position(|event| event.request == request)?;
        Some(self.events.remove(index).event)
    }

    pub fn on_closed(&mut self, reason: Option<CloseReason>) {
        self.is_open = false;
        self.closed = reason;
        self.outgoing.clear();
    }
}

/// A login that succeeded.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub client: ClientId,
    pub user: UserId,
    pub device: DeviceId,
    pub ticket: Vec<u8>,
    pub logged_in: LoggedIn,
}

/// The refusal in an answer that must be one.
pub(crate) fn refusal_of(event: &EventBody) -> Refusal {
    match event {
        EventBody::Refused(refused) => Refusal::from_code(refused.code).expect("a known refusal"),
        other => panic!("not a refusal: {other:?}"),
    }
}

impl World {
    /// Registers over a greeted connection; the password is the name.
    pub fn register(&mut self, client: ClientId, name: &str) -> EventBody {
        let terms = self.reply(client, |encoder, request| encoder.register_start(request, name));
        let EventBody::RegisterTerms(terms) = terms else { return terms };
        let keys = self.stretched(name, &terms.salt, terms.iterations).credentials();
        self.reply(client, |encoder, request| {
            encoder.register(request, name, &keys.stored_key, &keys.server_key)
        })
    }

    /// Stretching is slow, and tests do it often with the same arguments.
    fn stretched(&mut self, password: &str, salt: &[u8], iterations: u32) -> ClientKeys {
        let arguments = (password.to_owned(), salt.to_owned());
        let stretch = || scram::stretch(password, salt, iterations).expect("good terms");
        self.stretched.entry(arguments).or_insert_with(stretch).clone()
    }

    /// The first two steps: the client-final-message, or what came instead of a challenge.
    pub fn prove(&mut self, client: ClientId, name: &str, password: &str) -> Result<String, EventBody> {
        let nonce = scram::nonce_text(&[client.0 as u8 + 1; scram::NONCE_LEN]);
        let (mechanism, start) =
            ClientStart::new(&["SCRAM-SHA-256"], false, name, nonce).expect("it is offered");
        let reply = self.reply(client, |encoder, request| {
            encoder.login_start(request, mechanism.name(), start.message())
        });
        let EventBody::Challenge(challenge) = reply else { return Err(reply) };
        let challenged = start.handle_server_first(&challenge.server_first).expect("a good challenge");
        let keys = self.stretched(password, challenged.salt(), challenged.iterations());
        Ok(challenged.prove(&keys, &[]).message().to_owned())
    }

    pub fn send_proof(&mut self, client: ClientId, client_final: &str, device: u32) -> EventBody {
        let proof = LoginProof {
            client_final,
            device: DeviceId(device),
            device_name: "test",
            device_class: DeviceClass::Bot,
        };
        self.reply(client, |encoder, request| encoder.login_proof(request, &proof))
    }

    /// All four steps over a greeted connection.
    pub fn log_in(&mut self, client: ClientId, name: &str, password: &str, device: u32) -> EventBody {
        match self.prove(client, name, password) {
            Ok(client_final) => self.send_proof(client, &client_final, device),
            Err(reply) => reply,
        }
    }

    /// A new connection at this shard, logged in as `name` on a new device; the account is made if it is missing.
    pub fn login(&mut self, shard: u16, name: &str) -> Login {
        let client = self.connect(shard);
        let registered = self.register(client, name);
        assert!(
            matches!(registered, EventBody::Registered { .. })
                || refusal_of(&registered) == Refusal::NameTaken,
            "{registered:?}"
        );
        match self.log_in(client, name, name, 0) {
            EventBody::LoggedIn(logged_in) => Login {
                client,
                user: logged_in.user,
                device: logged_in.device,
                ticket: logged_in.ticket.clone(),
                logged_in,
            },
            other => panic!("not logged in: {other:?}"),
        }
    }

    /// Resumes on a new connection at this shard.
    pub fn resume(&mut self, shard: u16, ticket: &[u8], uver: u64) -> (ClientId, EventBody) {
        let client = self.connect(shard);
        let reply = self.reply(client, |encoder, request| encoder.resume(request, ticket, uver));
        (client, reply)
    }
}

/// The session that was resumed.
pub(crate) fn resumed(event: &EventBody) -> &Resumed {
    match event {
        EventBody::Resumed(resumed) => resumed,
        other => panic!("not resumed: {other:?}"),
    }
}

/// A session that logged in with a token.
#[derive(Clone, Debug)]
pub(crate) struct TokenLogin {
    pub client: ClientId,
    pub token: Token,
    pub logged_in: LoggedIn,
}

impl World {
    /// A new token of a service account, which is made too when it is missing.
    pub fn create_token(&mut self, name: &str, scopes: Scopes, expires_ms: u64) -> Token {
        let secret = Secret([self.now.mono_ms as u8 ^ scopes.bits() as u8; SECRET_LEN]);
        let home = self.home_of(UserId(u64::from(Slot::of_name(name).number())));
        let new = NewToken { hash: secret.hash(), scopes, expires_ms, label: "test".into() };
        match self.admin(home, AdminRequest::CreateToken { name: name.into(), new }) {
            AdminReply::TokenCreated { user, number } => Token { user: UserId(user), number, secret },
            other => panic!("no token: {other:?}"),
        }
    }

    /// The answer to a login with this token, over a new connection at this shard.
    pub fn log_in_with(&mut self, shard: u16, token: &Token) -> (ClientId, EventBody) {
        let client = self.connect(shard);
        let reply =
            self.reply(client, |encoder, request| encoder.token_login(request, token, DeviceId(0), "test"));
        (client, reply)
    }

    /// A session of a service account with a new token of these scopes.
    pub fn token_login(&mut self, shard: u16, name: &str, scopes: Scopes) -> TokenLogin {
        let token = self.create_token(name, scopes, 0);
        match self.log_in_with(shard, &token) {
            (client, EventBody::LoggedIn(logged_in)) => TokenLogin { client, token, logged_in },
            (_, other) => panic!("not logged in: {other:?}"),
        }
    }
}
