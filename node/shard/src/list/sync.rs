//! `Sync`: what changed in the caller's conversations behind a version.

use record::ListEntry;
use wire::limits::SYNC_CHANGES_MAX;
use wire::message::{Summary, Synced};
use wire::{ConversationId, Verified, body};

use crate::bugs::Bug;
use crate::core::{After, Core};
use crate::limits::SESSIONS_PER_USER_MAX;
use crate::mesh::{Caller, FollowFrame, MeshFrame};

use super::merge::merge_arrived;
use super::{Held, ListCommand, Lists};

/// One such command, its limits applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sync {
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
        let sync = Sync { uver: view.uver(), changes_max: changes_max as usize };
        self.submit(core, caller, ListCommand::Sync(sync));
    }
}

impl Sync {
    /// Answers with what arrived in it: a client that was told to sync finds what it missed.
    pub fn run(self, core: &mut Core, caller: Caller, held: &mut Held, entries: &mut usize) {
        if !merge_arrived(core, caller.user, held, entries) {
            held.owed.retain(|place| place.session != caller.place.session);
            if held.owed.len() == SESSIONS_PER_USER_MAX {
                held.owed.remove(0); // more than there can be now: it is gone
            }
            held.owed.push(caller.place);
        }
        self.answer(core, caller, held);
    }

    /// Answers from the list, when all that the answer shows is on disk.
    fn answer(self, core: &mut Core, caller: Caller, held: &Held) {
        let list = &held.list;
        // A version that was never given: the client knows a list that was lost, and starts afresh.
        let from = if self.uver > list.uver() { 0 } else { self.uver };
        let mut changes = list.changes(from);
        let page: Vec<Summary> = changes.by_ref().take(self.changes_max).map(summary).collect();
        let more = changes.next().is_some();
        let to = page.last().filter(|_| more).map_or(list.uver(), |last| last.uver);
        let adverts_off = held.wishes.following.adverts_off;
        let synced = Synced { from, to, more, changes: page, adverts_off };
        let frame = core.encoder.synced(caller.request, &synced);
        let following = held.wishes.following();
        if core.bug(Bug::SyncUncommitted) {
            return core.control(
                caller.place.shard,
                MeshFrame::Follow(FollowFrame::AnswerFollowing { caller, frame, following }),
            );
        }
        core.after(caller.user.slot(), list.stamp, After::AnswerFollowing { caller, frame, following });
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
        mentioned: digest.mentioned,
    }
}
