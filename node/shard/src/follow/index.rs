//! At the shard of sessions: what they follow, and how far it has come. Changes by frames of the conversations' homes and of
//! the users' homes only. In memory only.

use std::collections::BTreeSet;
use std::ops::Bound;

use ahash::AHashMap;
use wire::{ConversationId, Notices};

use crate::core::Core;
use crate::limits::FOLLOWED_MAX;
use crate::mesh::{FollowFrame, MeshFrame};
use crate::stats::TableStats;

use super::{Followed, NoticeHead};

/// Followed by every session, or by those that say so themselves: this shard subscribes when it starts.
const PINNED: [ConversationId; 2] =
    [ConversationId::of_notices(Notices::All), ConversationId::of_notices(Notices::Adverts)];

/// What a frame from a home said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// Tell the events.
    Events,
    /// Tell the new head: the events did not find room, or the subscription is new.
    Head,
    /// Nothing that is not known.
    Nothing,
}

#[derive(Debug, Default)]
struct Entry {
    /// `None` until the home has answered.
    at: Option<NoticeHead>,
    /// By their index in the table of connections. Empty where it is pinned.
    followers: BTreeSet<u32>,
}

/// The followed conversations of one shard's sessions.
#[derive(Debug)]
pub(crate) struct Follows {
    entries: AHashMap<ConversationId, Entry>,
}

impl Follows {
    pub fn new(core: &mut Core) -> Self {
        Self { entries: AHashMap::with_hasher(core.rng.hasher()) }
    }

    pub fn table(&self) -> TableStats {
        TableStats::new("followed", self.entries.len(), FOLLOWED_MAX)
    }

    /// Subscribes to what everybody may follow.
    pub fn start(&mut self, core: &mut Core) {
        for id in PINNED {
            self.subscribe(core, id);
        }
    }

    /// How far a conversation has come, as far as this shard follows it.
    pub fn head(&self, id: ConversationId) -> Option<NoticeHead> {
        self.entries.get(&id)?.at
    }

    /// The session at this place of the table follows. False when there are too many conversations.
    pub fn add(&mut self, core: &mut Core, id: ConversationId, index: u32) -> bool {
        if !self.entries.contains_key(&id) {
            if self.entries.len() >= FOLLOWED_MAX {
                return false;
            }
            self.subscribe(core, id);
        }
        self.entries.get_mut(&id).expect("it is followed now").followers.insert(index);
        true
    }

    pub fn remove(&mut self, core: &mut Core, id: ConversationId, index: u32) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.followers.remove(&index);
        if entry.followers.is_empty() && !PINNED.contains(&id) {
            self.entries.remove(&id);
            core.control(
                core.home(id.slot()),
                MeshFrame::Follow(FollowFrame::Unsubscribe { conversation: id }),
            );
        }
    }

    /// The followers from this place on, in the order of the table.
    pub fn next_follower(&self, id: ConversationId, from: u32) -> Option<u32> {
        let followers = &self.entries.get(&id)?.followers;
        followers.range((Bound::Included(from), Bound::Unbounded)).next().copied()
    }

    pub fn handle_followed(&mut self, core: &mut Core, followed: &Followed) -> Update {
        let Some(entry) = self.entries.get_mut(&followed.conversation) else { return Update::Nothing };
        let known = entry.at.unwrap_or_default();
        let is_new = known.is_behind(&followed.at);
        if is_new || entry.at.is_none() {
            entry.at = Some(followed.at);
        }
        if let Some(index) = PINNED.iter().position(|pinned| *pinned == followed.conversation) {
            core.notice_heads[index] = (followed.conversation, entry.at);
        }
        if !followed.events.is_empty() {
            Update::Events
        } else if is_new && followed.at.head.seq > 0 {
            Update::Head
        } else {
            Update::Nothing
        }
    }

    pub fn check_invariants(&self, follows: usize) {
        assert!(self.entries.len() <= FOLLOWED_MAX);
        assert_eq!(follows, self.entries.values().map(|entry| entry.followers.len()).sum::<usize>());
        for (id, entry) in &self.entries {
            assert!(id.is_followed());
            assert!(!entry.followers.is_empty() || PINNED.contains(id), "nobody follows {id:?}");
        }
    }

    fn subscribe(&mut self, core: &mut Core, id: ConversationId) {
        self.entries.insert(id, Entry::default());
        core.control(core.home(id.slot()), MeshFrame::Follow(FollowFrame::Subscribe { conversation: id }));
    }
}
