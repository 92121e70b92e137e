//! What a shard knows of one connection. Small once it has logged in; what the login needs is boxed and freed by then.

use std::net::IpAddr;

use record::OrgPlace;
use wire::message::MarkKind;
use wire::scram::{ClientFirst, Exchange};
use wire::ticket::Contents;
use wire::{ConnectionPhase, ConversationId, DeviceId, Scopes, SessionId, ShardAddress, UserId, UserName};

use super::allowance::Allowance;
use crate::input::Security;
use crate::login::{NewSession, TokenProof};
use crate::mesh::{Caller, MarkFor};
use crate::placement::Placement;

#[derive(Debug)]
pub(super) struct Connection {
    /// Counted at this address; `None` for one that was turned away at once.
    pub address: Option<IpAddr>,
    /// When the last frame came, on the monotonic clock.
    pub heard_ms: u64,
    /// Frames that did not verify.
    pub malformed: u8,
    pub state: State,
}

#[derive(Debug)]
pub(super) enum State {
    Before(Box<BeforeLogin>),
    LoggedIn(Session),
    /// Ended here; the socket is not gone yet.
    Closing,
}

/// Until login.
#[derive(Debug)]
pub(super) struct BeforeLogin {
    pub security: Security,
    pub opened_ms: u64,
    pub step: Step,
    /// It is where it will stay.
    pub settled: bool,
    /// Counted at the login shard until its session exists.
    pub placement: Option<Placement>,
    /// Handed out by `RegisterStart`.
    pub salt: Option<[u8; 16]>,
    /// Failed logins.
    pub failures: u8,
    /// That came on this connection.
    pub frames: u16,
    pub light: Allowance,
}

#[derive(Debug)]
pub(super) enum Step {
    /// Nothing came yet.
    Greeting,
    Ready,
    Registering {
        request: u32,
    },
    /// Waits to be told where to live.
    Parked(Held),
    /// Waits for the salt.
    Starting(Start),
    Challenged(Box<Challenge>),
    Proving {
        request: u32,
    },
    Resuming {
        request: u32,
        uver: u64,
    },
    ProvingToken {
        request: u32,
    },
}

/// The command that a connection was parked with.
#[derive(Debug)]
pub(super) enum Held {
    Start(Start),
    Resume { request: u32, contents: Contents, uver: u64 },
    Token { request: u32, proof: Box<TokenProof> },
}

#[derive(Debug)]
pub(super) struct Start {
    pub request: u32,
    pub name: UserName,
    pub client_first: Box<ClientFirst>,
}

/// A challenge that was sent: valid for a while, and for one proof.
#[derive(Debug)]
pub(super) struct Challenge {
    pub name: UserName,
    pub exchange: Exchange,
    pub issued_ms: u64,
}

/// A logged-in device.
#[derive(Debug)]
pub(super) struct Session {
    pub user: UserId,
    pub session: SessionId,
    pub device: DeviceId,
    /// Of a session that logged in with a token.
    pub token: Option<Box<TokenSession>>,
    /// Of the device.
    pub class: u8,
    /// Until when the home need not be told of another activity, in seconds of the monotonic clock.
    pub active_told_s: u32,
    /// Commands without an answer, and of those the sends, pulls and syncs.
    pub in_flight: u16,
    pub sends: u16,
    pub pulls: u8,
    pub syncs: u8,
    /// It reads too slowly: pushes are dropped until it has caught up.
    pub slow: bool,
    /// Who may see its marks; `None` until the user's home has told. In memory here, and the home's to say.
    pub marks_for: Option<MarkFor>,
    /// Marks that wait for that, among the commands in flight.
    pub held_marks: Option<Box<HeldMarks>>,
    /// Whether it wants adverts. Not known before its first `Sync`.
    pub adverts: Option<bool>,
    /// What it follows beside the notices for everybody. Most follow nothing.
    pub follows: Option<Box<SessionFollows>>,
    /// On a connection without encryption from another machine.
    pub is_exposed: bool,
    pub messages: Allowance,
    pub queries: Allowance,
    pub light: Allowance,
}

/// In a box, since hardly any session ever has some.
#[derive(Debug, Default)]
pub(super) struct HeldMarks(pub Vec<HeldMark>);

/// A mark on its way to the home of a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldMark {
    pub caller: Caller,
    pub to: ShardAddress,
    pub conversation: ConversationId,
    pub kind: MarkKind,
    pub seq: u64,
}

/// What one session follows.
#[derive(Debug, Default)]
pub(super) struct SessionFollows {
    /// The user's own departments, as his home told them last.
    pub place: OrgPlace,
    /// Each once.
    pub conversations: Vec<ConversationId>,
}

impl Connection {
    /// The phase for [`wire::classify`]; `None` when it has ended.
    pub fn phase(&self) -> Option<ConnectionPhase> {
        match &self.state {
            State::Before(before) => Some(before.phase()),
            State::LoggedIn(Session { token: Some(token), .. }) => {
                Some(ConnectionPhase::WithToken(token.scopes))
            }
            State::LoggedIn(_) => Some(ConnectionPhase::LoggedIn),
            State::Closing => None,
        }
    }

    pub fn before(&mut self) -> Option<&mut BeforeLogin> {
        match &mut self.state {
            State::Before(before) => Some(before),
            State::LoggedIn(_) | State::Closing => None,
        }
    }

    /// The session, if it is this one.
    pub fn session(&mut self, session: SessionId) -> Option<&mut Session> {
        match &mut self.state {
            State::LoggedIn(state) if state.session == session => Some(state),
            _ => None,
        }
    }
}

impl BeforeLogin {
    pub fn new(security: Security, opened_ms: u64) -> Self {
        Self {
            security,
            opened_ms,
            step: Step::Greeting,
            settled: false,
            placement: None,
            salt: None,
            failures: 0,
            frames: 0,
            light: Allowance::default(),
        }
    }

    fn phase(&self) -> ConnectionPhase {
        match self.step {
            Step::Greeting => ConnectionPhase::Greeting,
            Step::Ready => ConnectionPhase::BeforeLogin,
            Step::Challenged(_) => ConnectionPhase::Challenged,
            Step::Registering { .. }
            | Step::Parked(_)
            | Step::Starting(_)
            | Step::Proving { .. }
            | Step::Resuming { .. }
            | Step::ProvingToken { .. } => ConnectionPhase::Deciding,
        }
    }
}

/// What a token allows its session.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenSession {
    pub scopes: Scopes,
    /// When it ends, on the monotonic clock.
    pub ends_ms: Option<u64>,
}

impl Session {
    /// Of its token; none without one.
    pub fn scopes(&self) -> Scopes {
        self.token.as_ref().map_or(Scopes::NONE, |token| token.scopes)
    }

    /// When its token ends, on the monotonic clock.
    pub fn ends_ms(&self) -> Option<u64> {
        self.token.as_ref().and_then(|token| token.ends_ms)
    }

    pub fn new(new: &NewSession) -> Self {
        Self {
            user: new.user,
            session: new.session,
            device: new.device,
            token: None,
            class: new.class,
            active_told_s: 0,
            in_flight: 0,
            sends: 0,
            pulls: 0,
            syncs: 0,
            slow: false,
            marks_for: None,
            held_marks: None,
            adverts: None,
            follows: None,
            is_exposed: false,
            messages: Allowance::default(),
            queries: Allowance::default(),
            light: Allowance::default(),
        }
    }
}

// Idle sessions are what a node has most of.
const _: () = assert!(size_of::<Connection>() <= 128);
