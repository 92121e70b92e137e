//! Conversations at their home: one log each, with one writer.

use record::{Rows, StoreShardId};
use wire::{ConversationId, ShardAddress, UserId, Verified, body};

use crate::core::Core;
use crate::list::Lists;
use crate::mesh::{Acquaintance, Caller};

/// What a load was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoadKey {
    State(ConversationId),
}

/// Changes of one conversation that went into one batch.
#[derive(Debug)]
pub(crate) struct Written {}

/// The conversations of this shard.
#[derive(Debug)]
pub(crate) struct Conversations {}

impl Conversations {
    pub fn new(_core: &mut Core) -> Self {
        Self {}
    }
    pub fn start(&mut self, _core: &mut Core) {}
    pub fn handle_loaded(&mut self, _core: &mut Core, _key: LoadKey, _rows: Vec<Rows>) {}
    pub fn handle_send(
        &mut self,
        _core: &mut Core,
        _caller: Caller,
        _conversation: ConversationId,
        _body: Verified<body::Send>,
    ) {
    }
    pub fn handle_pull(
        &mut self,
        _core: &mut Core,
        _caller: Caller,
        _conversation: ConversationId,
        _body: Verified<body::Pull>,
    ) {
    }
    pub fn handle_mark(
        &mut self,
        _core: &mut Core,
        _caller: Caller,
        _conversation: ConversationId,
        _body: Verified<body::Mark>,
    ) {
    }
    pub fn handle_introduce(
        &mut self,
        _core: &mut Core,
        _from: ShardAddress,
        _conversation: ConversationId,
        _peer: UserId,
    ) {
    }
    pub fn handle_introduced(
        &mut self,
        _core: &mut Core,
        _conversation: ConversationId,
        _found: Acquaintance,
    ) {
    }
    pub fn handle_written(&mut self, _core: &mut Core, _written: Written) {}
    pub fn handle_changed_done(
        &mut self,
        _core: &mut Core,
        _user: UserId,
        _conversation: ConversationId,
        _change: u64,
    ) {
    }
    pub fn handle_credit(&mut self, _core: &mut Core) {}
    pub fn end_turn(&mut self, _core: &mut Core, _lists: &mut Lists) {}
    pub fn forget(&mut self, _core: &mut Core, _store_shard: StoreShardId) {}
    pub fn check_invariants(&self, _core: &Core) {}
}
