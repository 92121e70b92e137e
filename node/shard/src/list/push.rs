//! Events to the sessions of a user, wherever they are. A push is a hint: what finds no room is told in short later.

use std::collections::{BTreeMap, VecDeque};

use ahash::AHashMap;
use bytes::Bytes;
use record::Digest;
use wire::message::{HeadMoved, MarkKind, Marked};
use wire::{ConnectionId, ConversationId, SessionId, ShardAddress, UserId};

use crate::bugs::Bug;
use crate::core::Core;
use crate::limits::MISSED_MAX;
use crate::login::OpenSession;
use crate::mesh::{Changed, MeshFrame, PushEvent, SessionPlace};

/// One conversation of one session whose pushes found no room: told the head and the marks.
#[derive(Debug)]
struct Missed {
    session: SessionId,
    user: UserId,
    digest: Digest,
    /// Parts of it that were told already.
    told: usize,
}

/// A session that is resumed keeps its number, and what its older connection missed is not told to the new one: that one
/// syncs.
type MissedKey = (ConnectionId, ConversationId);

/// What waits for room towards one shard.
#[derive(Debug, Default)]
struct Waiting {
    missed: AHashMap<MissedKey, Missed>,
    /// The keys of `missed`, each once.
    order: VecDeque<MissedKey>,
    /// Sessions that are told to sync, since too much was missed. One entry per connection of the peer shard.
    sync_needed: BTreeMap<ConnectionId, SessionId>,
}

/// Pushes of this shard's users to the shards of their sessions.
#[derive(Debug)]
pub(super) struct Pushes {
    by_shard: Vec<Waiting>,
    missed_max: usize,
}

impl Pushes {
    pub fn new(core: &mut Core) -> Self {
        let waiting = |_| Waiting {
            missed: AHashMap::with_hasher(core.rng.hasher()),
            order: VecDeque::new(),
            sync_needed: BTreeMap::new(),
        };
        Self { by_shard: (0..core.ownership.shards()).map(waiting).collect(), missed_max: MISSED_MAX }
    }

    #[cfg(test)]
    pub fn set_missed_max(&mut self, missed_max: usize) {
        self.missed_max = missed_max;
    }

    /// Sends the events of a change to all sessions, but not to the one that caused it.
    pub fn tell_sessions(&mut self, core: &mut Core, sessions: &[OpenSession], changed: &Changed) {
        for OpenSession { place: session, .. } in sessions {
            // Without events the change came late: there was no room for them on the way here.
            let mut complete = !changed.events.is_empty();
            let concerns = |event: &&PushEvent| {
                event.except != Some(session.session) && event.only.is_none_or(|user| user == changed.user)
            };
            for event in changed.events.iter().filter(concerns) {
                complete = complete && push(core, session, event);
            }
            if !complete {
                self.miss(core, session, changed);
            }
        }
    }

    fn miss(&mut self, core: &mut Core, session: &SessionPlace, changed: &Changed) {
        if core.bug(Bug::ForgetLaneMark) {
            return;
        }
        let waiting = &mut self.by_shard[session.shard.shard as usize];
        let SessionPlace { connection, session: number, .. } = *session;
        let key = (connection, changed.conversation);
        if let Some(missed) = waiting.missed.get_mut(&key) {
            (missed.digest, missed.told) = (missed.digest.max(changed.digest), 0);
        } else if waiting.missed.len() >= self.missed_max || waiting.sync_needed.contains_key(&connection) {
            waiting.sync_needed.insert(connection, number);
        } else {
            let missed = Missed { session: number, user: changed.user, digest: changed.digest, told: 0 };
            waiting.missed.insert(key, missed);
            waiting.order.push_back(key);
        }
        waiting.tell(core, session.shard);
    }

    /// Sends a frame, or tells the session to sync.
    pub fn push_or_sync(&mut self, core: &mut Core, session: &SessionPlace, frame: &Bytes) {
        let event = PushEvent { frames: frame.clone(), messages: 0, except: None, only: None };
        if !push(core, session, &event) && !core.bug(Bug::ForgetLaneMark) {
            self.need_sync(core, session);
        }
    }

    /// Tells a session to sync, now or when there is room.
    pub fn need_sync(&mut self, core: &mut Core, session: &SessionPlace) {
        let waiting = &mut self.by_shard[session.shard.shard as usize];
        waiting.sync_needed.insert(session.connection, session.session);
        waiting.tell(core, session.shard);
    }

    pub fn handle_credit(&mut self, core: &mut Core) {
        let node = core.address.node;
        for (shard, waiting) in self.by_shard.iter_mut().enumerate() {
            waiting.tell(core, ShardAddress { node, shard: shard as u16 });
        }
    }

    pub fn check_invariants(&self) {
        for waiting in &self.by_shard {
            assert!(waiting.missed.len() <= self.missed_max);
            assert_eq!(waiting.missed.len(), waiting.order.len());
        }
    }
}

impl Waiting {
    /// Sends what there is room for.
    fn tell(&mut self, core: &mut Core, to: ShardAddress) {
        while let Some((connection, session)) = self.sync_needed.first_key_value() {
            let (session, connection) = (*session, *connection);
            let frames = core.encoder.sync_needed();
            if core.deliver(to, MeshFrame::Push { connection, session, frames, messages: 0 }).is_err() {
                return;
            }
            self.sync_needed.remove(&connection);
        }
        while let Some(key) = self.order.front() {
            let missed = self.missed.get_mut(key).expect("each key in order is of one that was missed");
            if !missed.tell(core, to, *key) {
                return;
            }
            self.missed.remove(key);
            self.order.pop_front();
        }
    }
}

impl Missed {
    /// Tells the head and the four marks, one event each; false when the room ended before that.
    fn tell(&mut self, core: &mut Core, to: ShardAddress, (connection, conversation): MissedKey) -> bool {
        let peer = conversation.peer_of(self.user).unwrap_or_default(); // nobody has marks there then
        let Digest { epoch, head, own, peer: others, .. } = self.digest;
        let marks = [
            (self.user, MarkKind::Delivered, own.delivered),
            (self.user, MarkKind::Read, own.read),
            (peer, MarkKind::Delivered, others.delivered),
            (peer, MarkKind::Read, others.read),
        ];
        while self.told <= marks.len() {
            let frames = match self.told.checked_sub(1).map(|index| marks[index]) {
                None => Some(core.encoder.head_moved(&HeadMoved { conversation, epoch, head: head.into() })),
                Some((.., mark)) if mark.seq == 0 => None,
                Some((user, kind, mark)) => {
                    Some(core.encoder.marked(0, &Marked { conversation, user, kind, place: mark.into() }))
                }
            };
            let session = self.session;
            if let Some(frames) = frames
                && core.deliver(to, MeshFrame::Push { connection, session, frames, messages: 0 }).is_err()
            {
                return false;
            }
            self.told += 1;
        }
        true
    }
}

/// Sends a frame, if there is room for it.
pub(super) fn push_or_drop(core: &mut Core, place: &SessionPlace, frame: &Bytes) {
    push(core, place, &PushEvent { frames: frame.clone(), messages: 0, except: None, only: None });
}

fn push(core: &mut Core, place: &SessionPlace, event: &PushEvent) -> bool {
    let (connection, session) = (place.connection, place.session);
    let (frames, messages) = (event.frames.clone(), event.messages);
    let pushed = core.deliver(place.shard, MeshFrame::Push { connection, session, frames, messages });
    core.counters.pushes_missed += u64::from(pushed.is_err());
    pushed.is_ok()
}
