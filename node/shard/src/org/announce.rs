//! The home of the directory tells all shards that there is a new version: at once after a quiet time, then now and then.

use wire::ShardAddress;

use crate::core::Core;
use crate::limits::ORG_TOLD_MS;
use crate::mesh::{MeshFrame, OrgFrame};

#[derive(Debug, Default)]
pub(super) struct Announce {
    /// On disk and not told yet.
    untold: Option<u64>,
    /// Not before this moment, on the monotonic clock.
    next_ms: u64,
}

impl Announce {
    pub fn on_version(&mut self, version: u64) {
        self.untold = Some(version);
    }

    pub fn next_deadline(&self, core: &Core) -> Option<u64> {
        self.untold.map(|_| self.next_ms.max(core.now.mono_ms))
    }

    pub fn end_turn(&mut self, core: &mut Core) {
        if core.now.mono_ms < self.next_ms {
            return;
        }
        let Some(version) = self.untold.take() else { return };
        self.next_ms = core.now.mono_ms + ORG_TOLD_MS;
        for shard in 0..core.ownership.shards() {
            let to = ShardAddress { node: core.address.node, shard };
            core.control(to, MeshFrame::Org(OrgFrame::Version { version }));
        }
    }
}
