//! Sessions are told that the directory has a new version: some of them in each turn, so that many do not hold up the rest.

use super::Connections;
use super::state::State;
use crate::core::Core;
use crate::input::SendClass;
use crate::limits::ORG_TOLD_SESSIONS_MAX;

/// What is being told.
#[derive(Debug)]
pub(super) struct OrgTelling {
    version: u64,
    /// The next place of the table, and how many are still to be looked at.
    next: u32,
    left: u32,
}

impl Connections {
    /// A newer version while an older one is being told goes to all from there on, around the table.
    pub(crate) fn handle_org_version(&mut self, version: u64) {
        let next = self.org_telling.as_ref().map_or(0, |telling| telling.next);
        let left = self.table.end();
        self.org_telling = Some(OrgTelling { version, next, left });
    }

    /// When the next part is due, if one is.
    pub(crate) fn org_deadline(&self, now_ms: u64) -> Option<u64> {
        self.org_telling.as_ref().map(|_| now_ms)
    }

    pub(super) fn tell_org(&mut self, core: &mut Core) {
        let Some(telling) = &mut self.org_telling else { return };
        let (places, mut told) = (self.table.end(), 0);
        let frame = core.encoder.org_changed(telling.version);
        while telling.left > 0 && told < ORG_TOLD_SESSIONS_MAX {
            let index = telling.next % places.max(1);
            (telling.next, telling.left) = (index + 1, telling.left - 1);
            let Some(id) = self.table.id_of(core.address.shard, index) else { continue };
            let state = self.table.find(id).map(|connection| &connection.state);
            if matches!(state, Some(State::LoggedIn(session)) if !session.slow) {
                core.counters.pushes += 1;
                core.send(id, frame.clone(), SendClass::Push);
                told += 1;
            }
        }
        if telling.left == 0 {
            self.org_telling = None;
        }
    }
}
