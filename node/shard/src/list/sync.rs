//! `Sync`: what changed in the caller's conversations behind a version.

use record::ListEntry;
use wire::limits::SYNC_CHANGES_MAX;
use wire::message::Summary;
use wire::{ConversationId, Refusal, UserId, Verified, body};

use crate::bugs::Bug;
use crate::core::{After, Core};
use crate::limits::{QUEUED_PER_KEY_MAX, SESSIONS_PER_USER_MAX};
use crate::mesh::Caller;

use super::merge::merge_arrived;
use super::state::List;
use super::{Held, Lists, Phase};

/// When to try again what was refused for want of room.
const BUSY_RETRY_MS: u32 = 200;

/// One such command, its limits applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sync {
    caller: Caller,
    uver: u64,
    changes_max: usize,
}

impl Lists {
    pub fn handle_sync(&mut self, core: &mut Core, caller: Caller, body: Verified<body::Sync>) {
        let view = body.view();
        let changes_max = match view.changes_max() {
            0 => SYNC_CHANGES_MAX,
            changes_max => changes_max.min(SYNC_CHANGES_MAX),
        };
        let sync = Sync { caller, uver: view.uver(), changes_max: changes_max as usize };
        let user = caller.user;
        self.hold(core, user);
        let held = self.held.get_mut(&user).expect("held a moment ago");
        if held.phase == Phase::Ready {
            return sync.run(core, user, held, &mut self.entries);
        }
        if held.syncs.len() >= QUEUED_PER_KEY_MAX {
            return core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
        // Until it is read the command waits in its place.
        held.syncs.push_back(sync);
        self.read(core, user);
    }
}

impl Sync {
    /// Answers with what arrived in it: a client that was told to sync finds what it missed.
    pub fn run(self, core: &mut Core, user: UserId, held: &mut Held, entries: &mut usize) {
        if !merge_arrived(core, user, held, entries) {
            held.owed.retain(|place| place.session != self.caller.place.session);
            if held.owed.len() == SESSIONS_PER_USER_MAX {
                held.owed.remove(0); // more than there can be now: it is gone
            }
            held.owed.push(self.caller.place);
        }
        self.answer(core, user, &held.list);
    }

    /// Answers from the list, when all that the answer shows is on disk.
    fn answer(self, core: &mut Core, user: UserId, list: &List) {
        // A version that was never given: the client knows a list that was lost, and starts afresh.
        let from = if self.uver > list.uver() { 0 } else { self.uver };
        let mut changes = list.changes(from);
        let page: Vec<Summary> = changes.by_ref().take(self.changes_max).map(summary).collect();
        let more = changes.next().is_some();
        let to = page.last().filter(|_| more).map_or(list.uver(), |last| last.uver);
        let frame = core.encoder.synced(self.caller.request, from, to, more, &page);
        if core.bug(Bug::SyncUncommitted) {
            return core.answer(self.caller, frame);
        }
        core.after(user.slot(), list.stamp, After::Answer { caller: self.caller, frame });
    }
}

fn summary((conversation, entry): (ConversationId, &ListEntry)) -> Summary {
    let digest = &entry.digest;
    Summary {
        conversation,
        uver: entry.uver,
        epoch: digest.epoch,
        head: digest.head.into(),
        read: digest.own.read.into(),
        delivered: digest.own.delivered.into(),
        peer_read: digest.peer.read.into(),
        peer_delivered: digest.peer.delivered.into(),
        time_ms: digest.time_ms,
    }
}
