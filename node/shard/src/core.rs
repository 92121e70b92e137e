//! What every handler gets: the clocks, the random stream, the way to the store and to the other shards. A handler says
//! what it wants done; nothing here waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ahash::AHashMap;
use bytes::Bytes;
use record::{AuditClass, Key, Query, Record, StoreShardId};
use wire::encode::Encoder;
use wire::{ConnectionId, ConversationId, Notices, Refusal, ShardAddress, Slot, UserId, frame};

use crate::admin::AdminReply;
use crate::bugs::{Bug, Bugs};
use crate::commits::{Commits, Stamp};
use crate::config::Config;
use crate::counters::Counters;
use crate::follow::{Following, NoticeHead};
use crate::input::{CloseReason, Effect, Now, SendClass};
use crate::lanes::Lanes;
use crate::limits;
use crate::mesh::{Caller, FollowFrame, Lane, MeshFrame};
use crate::ownership::Ownership;
use crate::parts::{PartAnswer, PartNumber};
use crate::rng::Rng;

/// Waits for a commit, then happens.
#[derive(Debug)]
pub(crate) enum After {
    /// The answer of a command, wherever its connection is.
    Answer {
        caller: Caller,
        frame: Bytes,
    },
    /// The answers of so many sends of one session: whole `Sent` frames.
    Sent {
        caller: Caller,
        sends: u16,
        frames: Bytes,
    },
    /// The answer of a command, and what the session follows from now on.
    AnswerFollowing {
        caller: Caller,
        frame: Bytes,
        following: Following,
    },
    /// What a user follows has changed, and his devices are told.
    Followed(crate::list::Told),
    /// What a login step changed is on disk.
    Logins(crate::login::Written),
    Reply {
        token: u64,
        reply: AdminReply,
    },
    /// The answer to a part of a command for many homes.
    Part {
        to: ShardAddress,
        number: PartNumber,
        answer: PartAnswer,
    },
    /// Entries or marks of a conversation are on disk.
    Conversation(crate::conversation::Written),
    /// A user's list is on disk.
    List(crate::list::Written),
    /// What two users are to each other is on disk.
    Relation(crate::conversation::RelationWritten),
    /// A row of a user's contacts is on disk.
    Contact(crate::contact::Written),
    /// A piece of edits of the directory is on disk.
    Org(Box<crate::org::Written>),
    /// The departments of a user are on disk at his home.
    OrgPlace(crate::org::Placed),
    /// A user's own state is on disk.
    Presence(crate::presence::Written),
    /// A profile is on disk.
    Profile(crate::profile::Written),
}

/// The peer has not taken enough of what was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoCredit;

/// Whose load came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoadFor {
    Login(Vec<crate::login::LoadKey>),
    Conversation(crate::conversation::LoadKey),
    List(crate::list::LoadKey),
    Admin(crate::operator::LoadKey),
    Audit(crate::audit::LoadKey),
    Profile(crate::profile::LoadKey),
    /// The contacts of this user.
    Contacts(UserId),
    /// Views of relations that other homes may not have, of these slots.
    ContactOutbox(Vec<Slot>),
    Org(crate::org::LoadKey),
    /// Contacts of these users, who came online.
    Presence(Vec<crate::presence::Arrival>),
    /// The state of this user, for somebody who asks.
    PresenceOf(Box<Caller>, UserId),
}

/// Shared by all concerns of one shard.
#[derive(Debug)]
pub(crate) struct Core {
    pub now: Now,
    pub rng: Rng,
    pub config: Arc<Config>,
    pub address: ShardAddress,
    pub ownership: Arc<Ownership>,
    pub encoder: Encoder,
    pub counters: Counters,
    pub commits: Commits<After>,
    pub lanes: Lanes,
    /// How far the notices have come that everybody may follow, as far as this shard was told.
    pub notice_heads: [(ConversationId, Option<NoticeHead>); 2],
    pub stopping: bool,
    pub bugs: Bugs,
    /// Until when commits to a store shard are refused, since it said that it is full.
    full_until_ms: Vec<u64>,
    /// The latest of them.
    full_latest_ms: u64,
    loads: AHashMap<u64, LoadFor>,
    last_load: u64,
    /// Frames to this very shard: they take the same way as those to others.
    pub(crate) local: VecDeque<MeshFrame>,
    /// Acts noted since the start.
    pub(crate) audited: u64,
    /// Acts noted since older ones were last deleted. At most two per slot.
    pub(crate) audited_since_sweep: BTreeMap<(Slot, AuditClass), u32>,
    /// Of one of them there may be so many that older ones are deleted.
    pub(crate) audit_sweep_due: bool,
    pub(crate) effects: Vec<Effect>,
}

/// How long a full store shard is left alone before the next attempt.
pub(crate) const FULL_RETRY_MS: u64 = 500;

impl Core {
    pub fn new(config: Arc<Config>, address: ShardAddress, ownership: Arc<Ownership>, mut rng: Rng) -> Self {
        Self {
            now: Now::default(),
            address,
            encoder: Encoder::new(),
            counters: Counters::default(),
            commits: Commits::new(ownership.store_shards(), config.term),
            lanes: Lanes::new(ownership.shards(), config.delivery_credits),
            notice_heads: [Notices::All, Notices::Adverts]
                .map(|notices| (ConversationId::of_notices(notices), None)),
            stopping: false,
            bugs: Bugs::default(),
            full_until_ms: vec![0; ownership.store_shards() as usize],
            full_latest_ms: 0,
            loads: AHashMap::with_hasher(rng.hasher()),
            last_load: 0,
            local: VecDeque::new(),
            audited: 0,
            audited_since_sweep: BTreeMap::new(),
            audit_sweep_due: false,
            effects: Vec::new(),
            rng,
            config,
            ownership,
        }
    }

    // ---- where things are ------------------------------------------------------------------------------------------

    pub fn home(&self, slot: Slot) -> ShardAddress {
        ShardAddress { node: self.address.node, shard: self.ownership.shard_of(slot) }
    }

    pub fn is_home(&self, slot: Slot) -> bool {
        self.home(slot) == self.address
    }

    pub fn login_shard(&self) -> ShardAddress {
        ShardAddress { node: self.address.node, shard: 0 }
    }

    pub fn store_shard(&self, slot: Slot) -> StoreShardId {
        self.ownership.store_shard_of(slot)
    }

    /// Always false but in tests that plant bugs.
    pub fn bug(&self, bug: Bug) -> bool {
        self.bugs.has(bug)
    }

    // ---- to clients ------------------------------------------------------------------------------------------------

    pub fn send(&mut self, connection: ConnectionId, frame: Bytes, class: SendClass) {
        self.counters.frames_out += frame::frames(&frame).count() as u64;
        self.effects.push(Effect::Send { connection, frame, class });
    }

    pub fn refuse(
        &mut self,
        connection: ConnectionId,
        request: u32,
        refusal: Refusal,
        detail: u64,
        retry_ms: u32,
    ) {
        self.counters.refused(refusal);
        let frame = self.encoder.refused(request, refusal, detail, retry_ms);
        self.send(connection, frame, SendClass::Reply);
    }

    pub fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.counters.closed(reason);
        self.effects.push(Effect::Close { connection, reason });
    }

    /// Sends the answer of a command to where its connection is. The frame is a whole one.
    pub fn answer(&mut self, caller: Caller, frame: Bytes) {
        self.control(caller.place.shard, MeshFrame::Answer { caller, frame });
    }

    pub fn refuse_caller(&mut self, caller: Caller, refusal: Refusal, detail: u64, retry_ms: u32) {
        self.counters.refused(refusal);
        let frame = self.encoder.refused(caller.request, refusal, detail, retry_ms);
        self.answer(caller, frame);
    }

    /// The answers of so many commands came back from this shard.
    pub fn end_forwards(&mut self, from: ShardAddress, count: u32) {
        if from != self.address {
            self.lanes.end_forwards(from, count);
        }
    }

    // ---- to shards -------------------------------------------------------------------------------------------------

    /// Control lane: never full. What goes here is bounded by its own kind (see [`MeshFrame`]).
    pub fn control(&mut self, to: ShardAddress, frame: MeshFrame) {
        if to == self.address {
            self.local.push_back(frame);
        } else {
            self.effects.push(Effect::Mesh { to, lane: Lane::Control, frame });
        }
    }

    /// Delivery lane: drops the frame when the peer has no room for it.
    pub fn deliver(&mut self, to: ShardAddress, frame: MeshFrame) -> Result<(), NoCredit> {
        if to == self.address {
            self.local.push_back(frame);
            return Ok(());
        }
        if !self.lanes.take_credits(to, frame.credits()) {
            self.counters.lane_full += 1;
            return Err(NoCredit);
        }
        self.effects.push(Effect::Mesh { to, lane: Lane::Delivery, frame });
        Ok(())
    }

    /// Ephemeral lane. Who sends keeps to the credits that presence counts.
    pub fn ephemeral(&mut self, to: ShardAddress, frame: MeshFrame) {
        if to == self.address {
            self.local.push_back(frame);
        } else {
            self.effects.push(Effect::Mesh { to, lane: Lane::Ephemeral, frame });
        }
    }

    /// Answers the operator.
    pub fn reply(&mut self, token: u64, reply: AdminReply) {
        self.effects.push(Effect::Reply { token, reply });
    }

    // ---- to the store ----------------------------------------------------------------------------------------------

    /// Why nothing may be written to this slot now; `None` when it may. Asked before any change in memory.
    pub fn write_refusal(&self, slot: Slot) -> Option<Refusal> {
        let store_shard = self.store_shard(slot);
        if self.now.mono_ms < self.full_until_ms[store_shard.0 as usize] {
            Some(Refusal::StorageFull)
        } else if self.commits.building_len(store_shard) >= limits::BATCH_OPS_MAX {
            Some(Refusal::Busy)
        } else {
            None
        }
    }

    pub fn on_store_full(&mut self, store_shard: StoreShardId) {
        self.full_latest_ms = self.now.mono_ms + FULL_RETRY_MS;
        self.full_until_ms[store_shard.0 as usize] = self.full_latest_ms;
    }

    pub fn put(&mut self, key: &Key, record: &impl Record) {
        let store_shard = self.store_shard(key.slot());
        self.commits.put(store_shard, key, record);
    }

    pub fn delete(&mut self, key: &Key) {
        let store_shard = self.store_shard(key.slot());
        self.commits.delete(store_shard, key);
    }

    /// The batch that a change made now to this slot goes with.
    pub fn stamp(&self, slot: Slot) -> Stamp {
        self.commits.stamp(self.store_shard(slot))
    }

    pub fn is_committed(&self, slot: Slot, stamp: Stamp) -> bool {
        self.commits.is_committed(self.store_shard(slot), stamp)
    }

    /// Does it when the batch is on disk: now, or when the store says so.
    pub fn after(&mut self, slot: Slot, stamp: Stamp, after: After) {
        let store_shard = self.store_shard(slot);
        if let Some(ready) = self.commits.wait(store_shard, stamp, after) {
            let rest = self.release(ready);
            assert!(rest.is_none(), "what a concern wrote a moment ago cannot be on disk");
        }
    }

    /// The same for what may as well happen a little later.
    pub fn after_unhurried(&mut self, slot: Slot, stamp: Stamp, after: After) {
        let store_shard = self.store_shard(slot);
        let ready = self.commits.wait_unhurried(store_shard, stamp, after);
        assert!(ready.is_none(), "what a concern wrote a moment ago cannot be on disk");
    }

    /// Whether rows of both slots go with the same batches.
    pub fn share_batches(&self, one: Slot, other: Slot) -> bool {
        self.home(one) == self.home(other) && self.store_shard(one) == self.store_shard(other)
    }

    /// Carries out what needs no state of a concern; gives the rest back.
    pub fn release(&mut self, after: After) -> Option<After> {
        match after {
            After::Answer { caller, frame } => self.answer(caller, frame),
            After::Sent { caller, sends, frames } => {
                self.control(caller.place.shard, MeshFrame::Sent { caller, sends, frames });
            }
            After::Reply { token, reply } => self.reply(token, reply),
            After::Part { to, number, answer } => answer.send(self, to, number),
            After::AnswerFollowing { caller, frame, following } => {
                self.control(
                    caller.place.shard,
                    MeshFrame::Follow(FollowFrame::AnswerFollowing { caller, frame, following }),
                );
            }
            After::Logins(_)
            | After::Conversation(_)
            | After::List(_)
            | After::Followed(_)
            | After::Relation(_)
            | After::Contact(_)
            | After::Profile(_)
            | After::Org(_)
            | After::OrgPlace(_)
            | After::Presence(_) => return Some(after),
        }
        None
    }

    /// The change was not written: everybody who waits is told.
    pub fn refuse_full(&mut self, after: After) {
        let refusal = Refusal::StorageFull;
        match after {
            After::Answer { caller, .. } | After::AnswerFollowing { caller, .. } => {
                self.refuse_caller(caller, refusal, 0, FULL_RETRY_MS as u32)
            }
            After::Sent { caller, frames, .. } => {
                for frame in frame::frames(&frames) {
                    let (header, _) = frame::split(frame).expect("this shard built it");
                    let caller = Caller { request: header.request, ..caller };
                    self.refuse_caller(caller, refusal, 0, FULL_RETRY_MS as u32);
                }
            }
            After::Logins(written) => crate::login::refuse_full(self, written),
            After::Reply { token, .. } => {
                let reply = AdminReply::Refused { reason: refusal.reason().into() };
                self.effects.push(Effect::Reply { token, reply });
            }
            After::Part { to, number, .. } => {
                let answer = PartAnswer::Refused { refusal, retry_ms: FULL_RETRY_MS as u32 };
                answer.send(self, to, number);
            }
            After::Org(written) => crate::org::Org::handle_refused(self, &written),
            After::Conversation(_)
            | After::List(_)
            | After::Followed(_)
            | After::Relation(_)
            | After::Contact(_)
            | After::Profile(_)
            | After::OrgPlace(_)
            | After::Presence(_) => {}
        }
    }

    /// What was read cannot be right: the node stops before it builds on it.
    pub fn damaged(&mut self, slot: Slot, reason: &str) {
        let store_shard = self.store_shard(slot).0;
        self.effects
            .push(Effect::Fatal { reason: format!("store shard {store_shard} is damaged: {reason}") });
    }

    /// When a store shard that said it is full is tried again, if one is left alone now.
    pub fn full_deadline(&self) -> Option<u64> {
        if self.full_latest_ms <= self.now.mono_ms {
            return None;
        }
        self.full_until_ms.iter().copied().filter(|until| *until > self.now.mono_ms).min()
    }

    /// Whether one more read may be in flight.
    pub fn may_load(&self) -> bool {
        self.loads.len() < limits::LOADS_IN_FLIGHT_MAX
    }

    /// Reads from one snapshot of the slot's store shard. False when too many reads are in flight.
    #[must_use]
    pub fn load(&mut self, slot: Slot, queries: Vec<Query>, load_for: LoadFor) -> bool {
        if !self.may_load() {
            return false;
        }
        self.last_load += 1;
        self.counters.loads += 1;
        let token = self.last_load;
        self.loads.insert(token, load_for);
        let store_shard = self.store_shard(slot);
        self.effects.push(Effect::Load { token, store_shard, queries });
        true
    }

    pub fn take_load(&mut self, token: u64) -> LoadFor {
        self.loads.remove(&token).expect("an answer belongs to a load")
    }

    pub fn loads_in_flight(&self) -> usize {
        self.loads.len()
    }
}
