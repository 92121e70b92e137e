//! How far a connection has come, and the heartbeat on it.

use super::SILENCE_MS_MAX;
use crate::scram::{ClientChallenged, ClientProved, ClientStart};

/// The steps of a connection. Each waits for one thing.
#[derive(Debug)]
pub(super) enum Link {
    Down,
    /// `Hello` was sent.
    Greeting,
    /// The application must say who logs in.
    Welcomed,
    RegisterStarted,
    /// The password is being stretched to register.
    RegisterStretch {
        salt: Vec<u8>,
        iterations: u32,
    },
    Registering,
    LoginStarted(ClientStart),
    /// The password is being stretched to log in.
    LoginStretch(ClientChallenged),
    Proving(ClientProved),
    TokenSent,
    Resuming,
    Ready,
    LoggingOut,
}

impl Link {
    /// Whether the node's answer is waited for, so that it can be overdue.
    pub fn waits_for_node(&self) -> bool {
        match self {
            Link::Greeting
            | Link::RegisterStarted
            | Link::Registering
            | Link::LoginStarted(_)
            | Link::Proving(_)
            | Link::TokenSent
            | Link::Resuming
            | Link::LoggingOut => true,
            Link::Down
            | Link::Welcomed
            | Link::RegisterStretch { .. }
            | Link::LoginStretch(_)
            | Link::Ready => false,
        }
    }
}

/// Who is to be logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// By ticket, if there is one.
    Resume,
    LogIn {
        name: String,
    },
    /// `attempted`: it was sent before, and the answer was lost.
    Register {
        name: String,
        attempted: bool,
    },
    /// Set a new password with a one-time code.
    Redeem {
        name: String,
        code: String,
    },
    /// What the application says: it was refused before.
    Ask,
}

/// Keeps a silent connection open and notices a dead one.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    pub idle_ms_max: u64,
    pub sent_ms: u64,
    received_ms: u64,
    ping_since_ms: Option<u64>,
}

impl Heartbeat {
    pub fn start(&mut self, now_ms: u64) {
        *self = Heartbeat { idle_ms_max: 0, sent_ms: now_ms, received_ms: now_ms, ping_since_ms: None };
    }

    pub fn on_received(&mut self, now_ms: u64) {
        self.received_ms = now_ms;
        self.ping_since_ms = None;
    }

    pub fn on_ping(&mut self, now_ms: u64) {
        self.ping_since_ms = Some(now_ms);
    }

    /// A ping is due when nothing was sent or nothing came for a third of the allowed time.
    pub fn ping_due_ms(&self) -> Option<u64> {
        if self.idle_ms_max == 0 || self.ping_since_ms.is_some() {
            return None;
        }
        Some(self.sent_ms.min(self.received_ms) + (self.idle_ms_max / 3).max(1_000))
    }

    /// When the connection counts as dead.
    pub fn dead_ms(&self) -> Option<u64> {
        self.ping_since_ms.map(|since_ms| since_ms + SILENCE_MS_MAX)
    }
}
