//! What each user is told about his conversations, at the user's home.

use record::{Rows, StoreShardId};
use wire::{ShardAddress, UserId, Verified, body};

use crate::core::Core;
use crate::login::Logins;
use crate::mesh::{Caller, Changed};

/// What a load was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadKey(pub UserId);

/// Changes of one user's list that went into one batch.
#[derive(Debug)]
pub(crate) struct Written {}

/// The lists of the users of this shard.
#[derive(Debug)]
pub(crate) struct Lists {}

impl Lists {
    pub fn new(_core: &mut Core) -> Self {
        Self {}
    }
    pub fn handle_loaded(&mut self, _core: &mut Core, _key: LoadKey, _rows: Vec<Rows>) {}
    pub fn handle_changed(
        &mut self,
        _core: &mut Core,
        _logins: &Logins,
        _from: ShardAddress,
        _changed: Changed,
    ) {
    }
    pub fn handle_sync(&mut self, _core: &mut Core, _caller: Caller, _body: Verified<body::Sync>) {}
    pub fn handle_written(&mut self, _core: &mut Core, _written: Written) {}
    /// The batch was refused as full.
    pub fn handle_refused(&mut self, _core: &mut Core, _written: Written) {}
    pub fn handle_credit(&mut self, _core: &mut Core) {}
    pub fn end_turn(&mut self, _core: &mut Core) {}
    pub fn forget(&mut self, _core: &mut Core, _store_shard: StoreShardId) {}
    pub fn next_deadline(&self, _core: &Core) -> Option<u64> {
        None
    }
    pub fn check_invariants(&self, _core: &Core) {}
}
