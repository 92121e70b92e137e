//! Connections of this shard: what each may do, where its commands go, and when it ends.

use std::net::IpAddr;

use bytes::Bytes;
use wire::{ConnectionId, SessionId};

use crate::core::Core;
use crate::input::Security;
use crate::login::LoginReply;
use crate::mesh::Caller;
use crate::placement::Placement;

/// A connection on its way to another shard.
#[derive(Debug)]
pub struct Transfer {}

#[derive(Debug)]
pub struct Connections {}

impl Connections {
    pub(crate) fn new(_: &mut Core) -> Self {
        Self {}
    }
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        None
    }
    pub(crate) fn is_empty(&self) -> bool {
        true
    }
    pub(crate) fn handle_opened(&mut self, _: &mut Core, _: ConnectionId, _: IpAddr, _: Security) {}
    pub(crate) fn handle_adopted(&mut self, _: &mut Core, _: ConnectionId, _: Transfer) {}
    pub(crate) fn handle_frame(&mut self, _: &mut Core, _: ConnectionId, _: &[u8]) {}
    pub(crate) fn handle_frame_too_long(&mut self, _: &mut Core, _: ConnectionId, _: usize) {}
    pub(crate) fn handle_closed(&mut self, _: &mut Core, _: ConnectionId) {}
    pub(crate) fn handle_overflowed(&mut self, _: &mut Core, _: ConnectionId) {}
    pub(crate) fn handle_drained(&mut self, _: &mut Core, _: ConnectionId) {}
    pub(crate) fn handle_answer(&mut self, _: &mut Core, _: Caller, _: Bytes) {}
    pub(crate) fn handle_login_reply(&mut self, _: &mut Core, _: ConnectionId, _: LoginReply) {}
    pub(crate) fn handle_end_session(&mut self, _: &mut Core, _: ConnectionId, _: SessionId) {}
    pub(crate) fn handle_placed(&mut self, _: &mut Core, _: ConnectionId, _: Placement) {}
    pub(crate) fn handle_push(&mut self, _: &mut Core, _: ConnectionId, _: SessionId, _: Bytes) {}
    pub(crate) fn handle_tick(&mut self, _: &mut Core) {}
    pub(crate) fn handle_stop(&mut self, _: &mut Core) {}
    pub(crate) fn end_turn(&mut self, _: &mut Core) {}
    pub(crate) fn check_invariants(&self, _: &Core) {}
}
