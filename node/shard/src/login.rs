//! The home's side of registration and login: accounts, sessions by user, failures.

use record::{Rows, StoreShardId};
use wire::{ConnectionId, Refusal, ShardAddress, UserId};

use crate::core::Core;
use crate::mesh::{Caller, SessionPlace};

/// A step on its way to the user's home.
#[derive(Debug)]
pub enum LoginCommand {}

/// The home's answer.
#[derive(Debug)]
pub enum LoginReply {
    Refused { refusal: Refusal, detail: u64, retry_ms: u32 },
}

impl LoginReply {
    pub(crate) fn refused(self, refusal: Refusal) -> Self {
        Self::Refused { refusal, detail: 0, retry_ms: 0 }
    }
}

/// What is read for a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LoadKey {}

/// Waits for its batch.
#[derive(Debug)]
pub(crate) enum Written {}

/// The step was not written.
pub(crate) fn refuse_full(_: &mut Core, _: Written) {}

#[derive(Debug)]
pub struct Logins {}

impl Logins {
    pub(crate) fn new(_: &mut Core) -> Self {
        Self {}
    }
    /// Where the sessions of a user are whose home is here; in the order of their logins.
    pub(crate) fn sessions(&self, _: UserId) -> &[SessionPlace] {
        &[]
    }
    pub(crate) fn handle(&mut self, _: &mut Core, _: ConnectionId, _: ShardAddress, _: LoginCommand) {}
    pub(crate) fn handle_loaded(&mut self, _: &mut Core, _: LoadKey, _: Vec<Rows>) {}
    pub(crate) fn handle_written(&mut self, _: &mut Core, _: Written) {}
    pub(crate) fn handle_session_closed(&mut self, _: &mut Core, _: UserId, _: SessionPlace) {}
    pub(crate) fn handle_find_user(&mut self, _: &mut Core, _: Caller, _: String) {}
    pub(crate) fn handle_name_user(&mut self, _: &mut Core, _: Caller, _: UserId) {}
    pub(crate) fn handle_logout(&mut self, _: &mut Core, _: Caller, _: bool) {}
    pub(crate) fn forget(&mut self, _: &mut Core, _: StoreShardId) {}
    pub(crate) fn check_invariants(&self, _: &Core) {}
}
