//! The login shard: which shard a new session lives on.

use wire::{ConnectionId, ShardAddress};

use crate::core::Core;

/// Load of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Load {
    pub sessions: u32,
}

/// A session that is counted on a shard before it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Rises; 0 is one that is not counted.
    pub number: u64,
    pub shard: ShardAddress,
}

#[derive(Debug)]
pub struct LoginShard {}

impl LoginShard {
    pub(crate) fn new(_: &mut Core) -> Self {
        Self {}
    }
    pub(crate) fn handle_place(&mut self, _: &mut Core, _: ConnectionId, _: ShardAddress, _: ShardAddress) {}
    pub(crate) fn handle_done(&mut self, _: Placement) {}
    pub(crate) fn handle_load(&mut self, _: ShardAddress, _: Load) {}
    pub(crate) fn handle_tick(&mut self, _: &mut Core) {}
    pub(crate) fn check_invariants(&self) {}
}
