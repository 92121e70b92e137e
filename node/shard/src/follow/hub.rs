//! At the home of conversations: which shards follow them.

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::AHashMap;
use bytes::Bytes;
use wire::{ConversationId, ShardAddress};

use crate::bugs::Bug;
use crate::core::Core;
use crate::limits::HUB_MAX;
use crate::mesh::{FollowFrame, MeshFrame, PushEvent};
use crate::stats::TableStats;

use super::{Followed, NoticeHead};

/// One shard that follows a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Follower {
    shard: u16,
    /// There was no room for what is new: the head is told when there is.
    unsent: bool,
}

/// One conversation that is followed.
#[derive(Debug)]
struct Audience {
    at: NoticeHead,
    followers: Vec<Follower>,
}

/// Followed conversations of this shard. In memory only: shards subscribe anew when they start.
#[derive(Debug)]
pub(crate) struct Hub {
    audiences: AHashMap<ConversationId, Audience>,
    /// What waits for room, by shard. Each conversation is there once at most, and may be stale.
    unsent: Vec<VecDeque<ConversationId>>,
    /// Shards that could not be answered, since the conversation could not be read. At most one per subscription.
    postponed: Vec<(ShardAddress, ConversationId)>,
}

impl Hub {
    pub fn new(core: &mut Core) -> Self {
        Self {
            audiences: AHashMap::with_hasher(core.rng.hasher()),
            unsent: (0..core.ownership.shards()).map(|_| VecDeque::new()).collect(),
            postponed: Vec::new(),
        }
    }

    pub fn table(&self) -> TableStats {
        TableStats::new("followed_here", self.audiences.len(), HUB_MAX)
    }

    /// A shard follows from now on, and is told the head.
    pub fn join(&mut self, core: &mut Core, from: ShardAddress, id: ConversationId, at: NoticeHead) {
        let audience = self.audiences.entry(id).or_insert_with(|| Audience { at, followers: Vec::new() });
        let followers = &mut audience.followers;
        if !followers.iter().any(|follower| follower.shard == from.shard) {
            followers.push(Follower { shard: from.shard, unsent: false });
        }
        let index = followers.iter().position(|follower| follower.shard == from.shard);
        let follower = &mut followers[index.expect("it is there now")];
        send(
            core,
            &mut self.unsent,
            follower,
            Followed { conversation: id, at: audience.at, events: Arc::new([]) },
        );
    }

    pub fn leave(&mut self, from: ShardAddress, id: ConversationId) {
        self.postponed.retain(|postponed| *postponed != (from, id));
        let Some(audience) = self.audiences.get_mut(&id) else { return };
        audience.followers.retain(|follower| follower.shard != from.shard);
        self.unsent[from.shard as usize].retain(|unsent| *unsent != id);
        if audience.followers.is_empty() {
            self.audiences.remove(&id);
        }
    }

    /// The conversation could not be read now.
    pub fn postpone(&mut self, from: ShardAddress, id: ConversationId) {
        self.postponed.push((from, id));
    }

    pub fn take_postponed(&mut self) -> Vec<(ShardAddress, ConversationId)> {
        std::mem::take(&mut self.postponed)
    }

    /// Entries are on disk: one frame for each shard.
    pub fn tell(&mut self, core: &mut Core, id: ConversationId, at: NoticeHead, events: &Arc<[PushEvent]>) {
        let Some(audience) = self.audiences.get_mut(&id) else { return };
        audience.at = at;
        for follower in &mut audience.followers {
            let events = events.clone();
            send(core, &mut self.unsent, follower, Followed { conversation: id, at, events });
        }
    }

    /// Something that is in no log. Where there is no room for it, it is dropped.
    pub fn announce(&mut self, core: &mut Core, id: ConversationId, frame: Bytes) {
        let Some(audience) = self.audiences.get(&id) else { return };
        let events: Arc<[PushEvent]> =
            Arc::new([PushEvent { frames: frame, messages: 0, except: None, only: None }]);
        for follower in &audience.followers {
            let to = ShardAddress { node: core.address.node, shard: follower.shard };
            let followed = Followed { conversation: id, at: audience.at, events: events.clone() };
            // Behind a head that waits it would overtake what is in the log; that does no harm.
            let _ = core.deliver(to, MeshFrame::Follow(FollowFrame::Followed(followed)));
        }
    }

    /// There may be room for what waits.
    pub fn handle_credit(&mut self, core: &mut Core) {
        for shard in 0..self.unsent.len() {
            let to = ShardAddress { node: core.address.node, shard: shard as u16 };
            while core.lanes.has_credit(to) {
                let Some(id) = self.unsent[shard].pop_front() else { break };
                let Some(Audience { at, followers }) = self.audiences.get_mut(&id) else { continue };
                let waits = |follower: &&mut Follower| follower.shard == to.shard && follower.unsent;
                let Some(follower) = followers.iter_mut().find(waits) else { continue };
                follower.unsent = false;
                let followed = Followed { conversation: id, at: *at, events: Arc::new([]) };
                let sent = core.deliver(to, MeshFrame::Follow(FollowFrame::Followed(followed)));
                assert!(sent.is_ok(), "there was credit a moment ago");
            }
        }
    }

    pub fn check_invariants(&self, core: &Core) {
        assert!(self.audiences.len() <= HUB_MAX);
        for (id, audience) in &self.audiences {
            assert!(core.is_home(id.slot()) && id.is_followed());
            assert!(!audience.followers.is_empty());
            for follower in audience.followers.iter().filter(|follower| follower.unsent) {
                assert!(self.unsent[follower.shard as usize].contains(id), "the head of {id:?} is forgotten");
            }
        }
    }
}

fn send(
    core: &mut Core,
    unsent: &mut [VecDeque<ConversationId>],
    follower: &mut Follower,
    followed: Followed,
) {
    let id = followed.conversation;
    let to = ShardAddress { node: core.address.node, shard: follower.shard };
    // What waits has lost its events already; the head that is told then is the newest.
    if follower.unsent || core.deliver(to, MeshFrame::Follow(FollowFrame::Followed(followed))).is_ok() {
        return;
    }
    if !core.bug(Bug::ForgetLaneMark) {
        follower.unsent = true;
        unsent[follower.shard as usize].push_back(id);
    }
}
