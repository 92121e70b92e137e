//! The end of sessions at their user's home, for a reason that their clients are told.
//!
//! It has two parts. First the tickets of the devices become void: [`Ending::revoke`] in the account, together with
//! whatever the reason is (a new password, say), in one record. When that is on disk, [`Logins::close_sessions`] ends the
//! sessions, on whichever shards they are.
//!
//! What of the same user was decided before is covered, and what comes later has seen the new account: steps of a login
//! wait for their batch in the order in which they were carried out, so a login that began earlier has opened its session
//! by the time the sessions are ended, and one that comes in between is checked against the new generations and the new
//! password. A connection that still waits for its place, or holds a challenge, has not been to the home yet.

use record::Account;
use wire::{DeviceId, Refusal, UserId};

use super::Logins;
use crate::core::Core;
use crate::mesh::{MeshFrame, SessionPlace};

/// Which devices of a user lose their session and their ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)] // until the commands that end sessions are there
pub(crate) enum Ending {
    All,
    AllBut(DeviceId),
    Only(DeviceId),
}

impl Ending {
    pub fn covers(self, device: DeviceId) -> bool {
        match self {
            Ending::All => true,
            Ending::AllBut(kept) => device != kept,
            Ending::Only(ended) => device == ended,
        }
    }

    /// Makes the tickets of these devices void.
    pub fn revoke(self, account: &mut Account) {
        let ended = account.devices.iter_mut().filter(|device| self.covers(DeviceId(device.device)));
        ended.for_each(|device| device.generation += 1);
    }
}

impl Logins {
    /// Ends sessions whose tickets are void on disk; gives their number. `why` is what their clients are told.
    pub(super) fn close_sessions(
        &mut self,
        core: &mut Core,
        user: UserId,
        ending: Ending,
        why: Refusal,
    ) -> u32 {
        assert!(why.ends_session(), "{why:?} is no reason to end a session");
        let ended = self.sessions.end(user, ending);
        ended.iter().for_each(|place| end_session(core, *place, why));
        ended.len() as u32
    }
}

/// Tells the shard of a session that is not in the list any more.
pub(super) fn end_session(core: &mut Core, place: SessionPlace, why: Refusal) {
    let frame = MeshFrame::EndSession { connection: place.connection, session: place.session, why };
    core.control(place.shard, frame);
}
