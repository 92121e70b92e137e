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

use std::fmt;

use record::{Account, AuditAct};
use wire::{DeviceId, Refusal, UserId};

use super::task::Person;
use super::{Logins, Task, Written};
use crate::admin::AdminReply;
use crate::asker::Asker;
use crate::core::{Core, FULL_RETRY_MS};
use crate::mesh::{Caller, DeviceCommand, MeshFrame, SessionFrame, SessionPlace};

/// Which devices of a user lose their session and their ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    All,
    AllBut(DeviceId),
    Only(DeviceId),
    /// Those of this class but this one, which takes over.
    OthersOfClass {
        device: DeviceId,
        class: u8,
    },
}

/// What is to be ended, for whom, and why.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub asker: Asker,
    pub person: Person,
    pub ending: Ending,
    pub why: Refusal,
}

/// The tickets are void, on disk: now the sessions end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revoked {
    pub asker: Asker,
    pub user: UserId,
    pub ending: Ending,
    pub why: Refusal,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::All => f.write_str("of all devices"),
            Ending::AllBut(kept) => write!(f, "of all devices but {}", kept.0),
            Ending::Only(ended) => write!(f, "of device {}", ended.0),
            Ending::OthersOfClass { device, .. } => write!(f, "of the others of the class of {}", device.0),
        }
    }
}

impl Ending {
    pub fn covers(self, device: DeviceId, class: u8) -> bool {
        match self {
            Ending::All => true,
            Ending::AllBut(kept) => device != kept,
            Ending::Only(ended) => device == ended,
            Ending::OthersOfClass { device: kept, class: of } => device != kept && class == of,
        }
    }

    /// Makes the tickets of these devices void; gives how many there are.
    pub fn revoke(self, account: &mut Account) -> usize {
        let is_covered = |device: &&mut record::Device| self.covers(DeviceId(device.device), device.class);
        let covered = account.devices.iter_mut().filter(is_covered);
        covered.map(|device| device.generation += 1).count()
    }
}

impl Logins {
    /// Of a session: about the devices of its user.
    pub(crate) fn handle_devices(&mut self, core: &mut Core, caller: Caller, command: DeviceCommand) {
        let (asker, person) = (Asker::Session(caller), Person::Id(caller.user));
        let own = caller.place.device;
        let ending = match command {
            DeviceCommand::List => return self.submit(core, Task::Devices { asker, person }),
            DeviceCommand::End(device) if device == own => {
                return asker.refuse(core, Refusal::BadField, 0, 0);
            }
            DeviceCommand::End(device) => Ending::Only(device),
            DeviceCommand::EndOthers => Ending::AllBut(own),
        };
        let end = End { asker, person, ending, why: Refusal::EndedByUser };
        self.submit(core, Task::End(end));
    }

    /// The account was read.
    pub(super) fn end(&mut self, core: &mut Core, end: End) {
        let End { asker, person, ending, why } = end;
        let slot = person.slot();
        let Some((user, stamp)) = self.user_of(&person) else {
            return asker.refuse(core, Refusal::UnknownUser, 0, 0);
        };
        let (account, account_stamp) = self.accounts.find(&user).expect("the account was read");
        let stamp = stamp.max(account_stamp);
        let Some(mut account) = account.clone() else {
            return asker.refuse_after(core, slot, stamp, Refusal::UnknownUser, 0);
        };
        // Who was ended himself a moment ago must not end the others in turn.
        if why == Refusal::EndedByUser
            && let Asker::Session(caller) = asker
            && !self.is_current(&account, &caller)
        {
            return asker.refuse(core, Refusal::SessionEnded, 0, 0);
        }
        if let Some(refusal) = core.write_refusal(slot) {
            return asker.refuse(core, refusal, 0, FULL_RETRY_MS as u32);
        }
        let revoked = ending.revoke(&mut account);
        if revoked == 0 && matches!(ending, Ending::Only(_)) {
            return asker.refuse_after(core, slot, stamp, Refusal::UnknownDevice, 0);
        }
        let stamp = if revoked == 0 {
            stamp
        } else {
            core.audit(slot, AuditAct::SessionsEnded, asker.user(), user, &account.name, ending.to_string());
            self.put_account(core, user, account)
        };
        self.when_written(core, slot, stamp, Written::Ended(Revoked { asker, user, ending, why }));
    }

    /// Whether the session that asks is open and has not been ended by what was decided before. Ask it before a command
    /// that a stolen session must not be able to use for a moment longer.
    pub(super) fn is_current(&mut self, account: &Account, caller: &Caller) -> bool {
        let Some(session) = self.sessions.find(caller.user, caller.place) else { return false };
        let device = account.devices.iter().find(|device| device.device == caller.place.device.0);
        device.is_some_and(|device| device.generation as u16 == session.generation)
    }

    pub(super) fn finish_end(&mut self, core: &mut Core, revoked: Revoked) {
        let Revoked { asker, user, ending, why } = revoked;
        let count = self.close_sessions(core, user, ending, why);
        let reply = AdminReply::Ended { user: user.0, sessions_ended: count };
        asker.answer(core, reply, |encoder, request| encoder.sessions_ended(request, count));
    }

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
        for session in &ended {
            end_session(core, session.place, why);
            if why != Refusal::AccountDeleted {
                self.keep_seen(core, user, session);
            }
        }
        ended.len() as u32
    }
}

/// Tells the shard of a session that is not in the list any more.
pub(super) fn end_session(core: &mut Core, place: SessionPlace, why: Refusal) {
    let frame = MeshFrame::Session(SessionFrame::EndSession {
        connection: place.connection,
        session: place.session,
        why,
    });
    core.control(place.shard, frame);
}
