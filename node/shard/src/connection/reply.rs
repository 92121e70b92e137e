//! What the home says to a step of registration or login.

use wire::limits::CHALLENGE_MS_MAX;
use wire::message::{LoggedIn, Resumed};
use wire::ticket::{self, Contents};
use wire::{ConnectionId, ConnectionPhase, Refusal, scram};

use super::state::{Challenge, Connection, Session, Start, State, Step, TokenSession};
use super::{Connections, No};
use crate::core::Core;
use crate::input::{CloseReason, Effect, Security, SendClass};
use crate::limits::FAILURES_PER_CONNECTION_MAX;
use crate::login::{Grant, LoginReply, NewSession};
use crate::mesh::{MeshFrame, SessionFrame, SessionPlace};

impl Connections {
    pub(crate) fn handle_login_reply(&mut self, core: &mut Core, id: ConnectionId, reply: LoginReply) {
        let Some(before) = self.table.find(id).and_then(Connection::before) else {
            self.on_too_late(core, id, &reply);
            return;
        };
        match (std::mem::replace(&mut before.step, Step::Ready), reply) {
            (Step::Registering { request }, LoginReply::Registered { user }) => {
                let frame = core.encoder.registered(request, user);
                core.send(id, frame, SendClass::Reply);
            }
            (Step::Registering { request }, LoginReply::Redeemed { user }) => {
                let frame = core.encoder.code_redeemed(request, user);
                core.send(id, frame, SendClass::Reply);
            }
            (Step::Starting(start), LoginReply::Salt { salt, iterations }) => {
                let nonce = scram::nonce_text(&core.rng.bytes::<{ scram::NONCE_LEN }>());
                let exchange = scram::server_first(&start.client_first, &salt, iterations, &nonce);
                let server_first = exchange.server_first.clone();
                let (name, issued_ms) = (start.name, core.now.mono_ms);
                before.step = Step::Challenged(Box::new(Challenge { name, exchange, issued_ms }));
                let challenge = wire::message::Challenge { server_first, valid_ms: CHALLENGE_MS_MAX as u32 };
                let frame = core.encoder.challenge(start.request, &challenge);
                core.send(id, frame, SendClass::Reply);
            }
            (
                Step::Proving { request } | Step::ProvingToken { request },
                LoginReply::LoggedIn { session, server_final },
            ) => {
                core.counters.logins += 1;
                self.on_logged_in(core, id, request, *session, server_final);
            }
            (Step::Resuming { request, uver }, LoginReply::Resumed(session)) => {
                core.counters.resumes += 1;
                self.on_resumed(core, id, request, *session, uver);
            }
            (
                Step::Registering { request }
                | Step::Starting(Start { request, .. })
                | Step::Proving { request }
                | Step::Resuming { request, .. }
                | Step::ProvingToken { request },
                LoginReply::Refused { refusal, detail, retry_ms },
            ) => self.refuse_login(core, id, request, &No { refusal, detail, retry_ms }),
            (step, reply) => unreachable!("{reply:?} does not answer {step:?}"),
        }
    }

    /// The connection went away meanwhile: a session that was opened for it is closed again.
    fn on_too_late(&mut self, core: &mut Core, connection: ConnectionId, reply: &LoginReply) {
        let Some(NewSession { user, session, device, .. }) = reply.session() else { return };
        let place = SessionPlace { shard: core.address, connection, session: *session, device: *device };
        core.control(
            core.home(user.slot()),
            MeshFrame::Session(SessionFrame::SessionClosed { user: *user, place }),
        );
    }

    /// Refuses a step; a few failed logins end the connection.
    pub(super) fn refuse_login(&mut self, core: &mut Core, id: ConnectionId, request: u32, no: &No) {
        core.refuse(id, request, no.refusal, no.detail, no.retry_ms);
        let is_failure = matches!(
            no.refusal,
            Refusal::LoginFailed | Refusal::TicketRefused | Refusal::LoginDelayed | Refusal::CodeRefused
        );
        let before = self.table.find(id).and_then(Connection::before).expect("it is being answered");
        before.failures += u8::from(is_failure);
        if before.failures >= FAILURES_PER_CONNECTION_MAX {
            self.close(core, id, CloseReason::TooManyFailures, None);
        }
    }

    fn on_logged_in(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        request: u32,
        new: NewSession,
        server_final: String,
    ) {
        let ticket = self.open_session(core, id, &new);
        let logged_in = LoggedIn {
            server_final,
            user: new.user,
            name: new.name,
            device: new.device,
            session: new.session,
            ticket_ms: if ticket.is_empty() { 0 } else { core.config.ticket_ms },
            ticket,
            reconnect_ms: reconnect_ms(core),
            idle_ms_max: core.config.idle.of(new.class) as u32,
            uver: 0, // the home does not read the list for a login
        };
        let frame = core.encoder.logged_in(request, &logged_in);
        core.send(id, frame, SendClass::Reply);
    }

    fn on_resumed(&mut self, core: &mut Core, id: ConnectionId, request: u32, new: NewSession, uver: u64) {
        let ticket = self.open_session(core, id, &new);
        let resumed = Resumed {
            user: new.user,
            name: new.name,
            device: new.device,
            session: new.session,
            ticket,
            ticket_ms: core.config.ticket_ms,
            reconnect_ms: reconnect_ms(core),
            idle_ms_max: core.config.idle.of(new.class) as u32,
            afresh: uver == 0,
            from: uver,
        };
        let frame = core.encoder.resumed(request, &resumed);
        core.send(id, frame, SendClass::Reply);
    }

    /// The connection is a session's from now on. Gives the session's next ticket.
    fn open_session(&mut self, core: &mut Core, id: ConnectionId, new: &NewSession) -> Vec<u8> {
        let connection = self.table.find(id).expect("it logs in");
        let mut session = Session::new(new);
        session.token = new.grant.map(|grant| Box::new(token_session(core, grant)));
        let ends_ms = session.ends_ms().unwrap_or(u64::MAX);
        let State::Before(before) = std::mem::replace(&mut connection.state, State::LoggedIn(session)) else {
            unreachable!("it was logging in a moment ago");
        };
        let is_exposed = before.security == (Security::Plain { loopback: false });
        self.before_login -= 1;
        self.sessions += 1;
        connection.session(new.session).expect("opened a moment ago").is_exposed = is_exposed;
        let now_ms = core.now.mono_ms;
        self.wheel.set(now_ms, id.index, ends_ms.min(now_ms + core.config.idle.of(new.class)));
        if let Some(placement) = before.placement {
            core.control(core.login_shard(), MeshFrame::Session(SessionFrame::PlacementDone { placement }));
        }
        let len_max = ConnectionPhase::LoggedIn.frame_len_max();
        core.effects.push(Effect::FrameLenMax { connection: id, len_max });
        if new.grant.is_some() {
            return Vec::new(); // the token itself is what it comes back with
        }
        let contents = Contents {
            user: new.user,
            device: new.device,
            generation: new.generation,
            session: new.session,
            expiry_ms: core.now.wall_ms + core.config.ticket_ms,
        };
        let nonce = core.rng.bytes();
        ticket::seal(&core.config.ticket_keys, nonce, &contents)
    }
}

fn token_session(core: &Core, grant: Grant) -> TokenSession {
    let left_ms = grant.expires_ms.saturating_sub(core.now.wall_ms);
    let ends_ms = (grant.expires_ms != 0).then(|| core.now.mono_ms.saturating_add(left_ms));
    TokenSession { scopes: grant.scopes, ends_ms }
}

/// Drawn anew for each, so that not all come back at once.
pub(super) fn reconnect_ms(core: &mut Core) -> u32 {
    core.rng.below(u64::from(core.config.reconnect_ms_max) + 1) as u32
}
