//! Some shards of one node, a store, frames between them in order, and sessions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use record::verify::Verifier;
use record::{Act, Batch, CommitOutcome, Key, Query, Record, Table};
use wire::message::{BodyKind, Entry, MarkKind, Pulled, Sent, Synced};
use wire::ticket::{TicketKey, TicketKeys};
use wire::{
    Command, ConnectionId, ConversationId, DeviceId, Encoder, EventBody, Refusal, SessionId, ShardAddress,
    Slot, UserId, Verified, body, decode_event,
};

use crate::commits::Freed;
use crate::config::{Config, ContactPolicy, IdleTimes, PlacementPolicy, SessionPolicy, StrangerPolicy};
use crate::contact::Contacts;
use crate::conversation::Conversations;
use crate::core::{After, Core, LoadFor};
use crate::input::{Effect, Now};
use crate::list::Lists;
use crate::login::OpenSession;
use crate::mesh::{Caller, FollowFrame, Lane, MarkFor, MeshFrame, SessionPlace};
use crate::ownership::Ownership;
use crate::rng::Rng;
use crate::testing::Disk;

/// What of one shard is needed here.
pub(super) struct Unit {
    pub core: Core,
    pub conversations: Conversations,
    pub lists: Lists,
    pub contacts: Contacts,
}

/// What a session got, in order.
pub(super) type Received = Vec<(u32, EventBody)>;

pub(super) struct World {
    pub units: Vec<Unit>,
    pub disk: Disk,
    pub now: Now,
    config: Arc<Config>,
    sessions: BTreeMap<UserId, Vec<SessionPlace>>,
    received: BTreeMap<SessionId, Received>,
    mesh: VecDeque<(ShardAddress, ShardAddress, MeshFrame)>,
    loads: VecDeque<(u16, u64, Vec<Query>)>,
    commits: VecDeque<(u16, Batch)>,
    /// Nothing of this kind happens while these are set.
    pub loads_held: bool,
    pub commits_held: bool,
    pub mesh_held: bool,
    pub time_held: bool,
    /// The store says that it is full.
    pub full: bool,
    pub batches: u64,
    /// Bounds per shard, from the next start on: conversations and lists in memory, changes that other homes have not
    /// confirmed, conversations of sessions whose pushes found no room.
    pub cached_max: usize,
    pub outbox_max: usize,
    pub missed_max: usize,
    encoder: Encoder,
    last_request: u32,
}

pub(super) const STORE_SHARDS: u16 = 4;

impl World {
    pub fn new(shards: u16) -> Self {
        Self::with_credits(shards, crate::limits::DELIVERY_CREDITS)
    }

    pub fn with_credits(shards: u16, delivery_credits: u64) -> Self {
        let mut world = Self {
            units: Vec::new(),
            disk: Disk::default(),
            now: Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 },
            config: Arc::new(config(delivery_credits)),
            sessions: BTreeMap::new(),
            received: BTreeMap::new(),
            mesh: VecDeque::new(),
            loads: VecDeque::new(),
            commits: VecDeque::new(),
            loads_held: false,
            commits_held: false,
            mesh_held: false,
            time_held: false,
            full: false,
            batches: 0,
            cached_max: 2_000,
            outbox_max: crate::limits::OUTBOX_MAX,
            missed_max: crate::limits::MISSED_MAX,
            encoder: Encoder::new(),
            last_request: 0,
        };
        world.start(shards);
        world
    }

    pub fn with_policies(shards: u16, contacts: ContactPolicy, strangers: StrangerPolicy) -> Self {
        let mut world = Self::new(shards);
        world.set_policies(contacts, strangers);
        world.crash(0, shards);
        world
    }

    /// From the next start on.
    pub fn set_policies(&mut self, contacts: ContactPolicy, strangers: StrangerPolicy) {
        self.config = Arc::new(Config { contacts, strangers, ..(*self.config).clone() });
    }

    fn start(&mut self, shards: u16) {
        let ownership = Arc::new(Ownership::new(shards, STORE_SHARDS));
        self.units = (0..shards)
            .map(|shard| {
                let address = ShardAddress { node: 0, shard };
                let rng = Rng::new([shard as u8; 32]);
                let mut core = Core::new(self.config.clone(), address, ownership.clone(), rng);
                core.now = self.now;
                let conversations =
                    Conversations::new(&mut core).with_bounds(self.cached_max, self.outbox_max);
                let lists = Lists::new(&mut core).with_bounds(self.cached_max, self.missed_max);
                let contacts = Contacts::new(&mut core);
                Unit { core, conversations, lists, contacts }
            })
            .collect();
        for shard in 0..shards {
            self.step(shard, |unit, _| unit.conversations.start(&mut unit.core));
        }
    }

    /// Everything on disk fits together. Names and slots' counters are not made here, so they are not missed.
    pub fn verify_disk(&self) {
        let mut verifier = Verifier::new(crate::limits::LIST_ENTRIES_MAX);
        for store_shard in (0..STORE_SHARDS).map(record::StoreShardId) {
            for (key, value) in &self.disk.rows {
                let parsed = Key::parse(key).expect("a key");
                if record::StoreShardId::of_slot(parsed.slot(), STORE_SHARDS) == store_shard {
                    let fine = verifier.handle_row(store_shard, key, value);
                    assert!(fine.is_ok() || parsed.table() == Table::Account, "{parsed:?}: {fine:?}");
                }
            }
            let findings = verifier.handle_shard_end(store_shard);
            let made_here = |line: &String| line.contains("were handed out");
            assert!(findings.iter().all(made_here), "{findings:?}");
        }
        let (findings, _) = verifier.finish(STORE_SHARDS);
        assert!(findings.is_empty(), "{findings:?}");
    }

    /// The node dies and starts again with this many shards. Of the batches on their way, the first `survivors` are on
    /// disk. Sessions stay, but what they got is kept only with the test.
    pub fn crash(&mut self, survivors: usize, shards: u16) {
        for (_, batch) in self.commits.drain(..).take(survivors) {
            self.disk.write(&batch.ops);
        }
        self.verify_disk();
        self.mesh.clear();
        self.loads.clear();
        for places in self.sessions.values_mut() {
            for place in places {
                place.shard.shard %= shards;
                place.connection.shard = place.shard.shard;
            }
        }
        self.start(shards);
    }

    // ---- people ----------------------------------------------------------------------------------------------------

    /// A user with an account in this slot.
    pub fn user(&mut self, slot: u16, number: u32) -> UserId {
        let slot = Slot::new(slot).expect("a slot");
        let user = UserId::from_parts(slot, number).expect("a user");
        let name = format!("user-{}", user.0);
        let credential = record::Credential::ScramSha256 {
            salt: [0; 16],
            iterations: 4_096,
            stored_key: [0; 32],
            server_key: [0; 32],
        };
        let account = record::Account {
            state: record::AccountState::Active,
            state_ms: 0,
            code: None,
            name,
            created_ms: 0,
            credentials: vec![credential],
            devices_issued: 9,
            devices: Vec::new(),
        };
        self.disk.rows.insert(Key::Account(user).bytes(), account.encode());
        user
    }

    /// A session of this user on this shard.
    pub fn session(&mut self, user: UserId, device: u32, shard: u16) -> (UserId, SessionPlace) {
        let number = self.received.len() as u64 + 1;
        let connection = ConnectionId { shard, index: number as u32, generation: 1 };
        let place = SessionPlace {
            shard: ShardAddress { node: 0, shard },
            connection,
            session: SessionId(number),
            device: DeviceId(device),
        };
        self.sessions.entry(user).or_default().push(place);
        self.received.insert(place.session, Vec::new());
        (user, place)
    }

    /// The session goes on with another connection, on the same shard.
    pub fn reconnect(&mut self, (user, place): (UserId, SessionPlace)) {
        let of_user = self.sessions.get_mut(&user).expect("a user with sessions");
        let now = of_user.iter_mut().find(|now| now.session == place.session).expect("a session");
        now.connection.generation += 1;
    }

    /// All that this session got since the last call.
    pub fn take(&mut self, session: (UserId, SessionPlace)) -> Received {
        std::mem::take(self.received.get_mut(&session.1.session).expect("a session"))
    }

    // ---- commands --------------------------------------------------------------------------------------------------

    fn caller(&mut self, (user, place): (UserId, SessionPlace), command: Command) -> Caller {
        self.last_request += 1;
        // Where it is now: a restart may have moved it.
        let of_user = &self.sessions[&user];
        let place = *of_user.iter().find(|now| now.session == place.session).expect("a session");
        Caller { user, place, request: self.last_request, command }
    }

    /// Gives the request number.
    pub fn send(
        &mut self,
        session: (UserId, SessionPlace),
        chat: ConversationId,
        counter: u64,
        previous: u64,
        text: &[u8],
    ) -> u32 {
        self.send_with(session, chat, wire::message::Send::plain(counter, previous, BodyKind::Text, text))
    }

    pub fn send_with(
        &mut self,
        session: (UserId, SessionPlace),
        chat: ConversationId,
        send: wire::message::Send<'_>,
    ) -> u32 {
        let caller = self.caller(session, Command::Send);
        self.at_home(chat, |unit| unit.conversations.handle_send(&mut unit.core, caller, chat, send));
        caller.request
    }

    pub fn pull(
        &mut self,
        session: (UserId, SessionPlace),
        chat: ConversationId,
        pull: wire::message::Pull,
    ) -> u32 {
        let caller = self.caller(session, Command::Pull);
        let frame = self.encoder.pull(caller.request, chat, &pull);
        let body = Verified::<body::Pull>::new(body_of(&frame, 16)).expect("a body");
        self.at_home(chat, |unit| unit.conversations.handle_pull(&mut unit.core, caller, chat, body));
        caller.request
    }

    pub fn mark(
        &mut self,
        session: (UserId, SessionPlace),
        chat: ConversationId,
        kind: MarkKind,
        seq: u64,
    ) -> u32 {
        self.mark_for(session, chat, kind, seq, MarkFor::Both)
    }

    pub fn mark_for(
        &mut self,
        session: (UserId, SessionPlace),
        chat: ConversationId,
        kind: MarkKind,
        seq: u64,
        shown_to: MarkFor,
    ) -> u32 {
        let caller = self.caller(session, Command::Mark);
        self.at_home(chat, |unit| {
            unit.conversations.handle_mark(&mut unit.core, caller, chat, kind, seq, shown_to)
        });
        caller.request
    }

    pub fn sync(&mut self, session: (UserId, SessionPlace), uver: u64, changes_max: u32) -> u32 {
        let caller = self.caller(session, Command::Sync);
        let frame = self.encoder.sync(caller.request, uver, changes_max);
        let body = Verified::<body::Sync>::new(body_of(&frame, 0)).expect("a body");
        let home = self.units[0].core.home(session.0.slot()).shard;
        self.step(home, |unit, _| unit.lists.handle_sync(&mut unit.core, caller, body));
        caller.request
    }

    pub fn act(&mut self, session: (UserId, SessionPlace), chat: ConversationId, act: Act) -> u32 {
        let caller = self.caller(session, Command::Block);
        self.at_home(chat, |unit| unit.conversations.handle_act(&mut unit.core, caller, chat, act));
        caller.request
    }

    pub fn set_contact(
        &mut self,
        session: (UserId, SessionPlace),
        contact: UserId,
        remark: &str,
        group: &str,
    ) -> u32 {
        let caller = self.caller(session, Command::SetContact);
        let (remark, group) = (remark.to_owned(), group.to_owned());
        let home = self.units[0].core.home(session.0.slot()).shard;
        self.step(home, |unit, _| unit.contacts.handle_set(&mut unit.core, caller, contact, remark, group));
        caller.request
    }

    pub fn sync_contacts(&mut self, session: (UserId, SessionPlace), cver: u64, changes_max: u32) -> u32 {
        let caller = self.caller(session, Command::SyncContacts);
        let home = self.units[0].core.home(session.0.slot()).shard;
        self.step(home, |unit, _| unit.contacts.handle_sync(&mut unit.core, caller, cver, changes_max));
        caller.request
    }

    /// Reads of all shards since their start.
    pub fn loads_seen(&self) -> u64 {
        self.units.iter().map(|unit| unit.core.counters.loads).sum()
    }

    fn at_home(&mut self, chat: ConversationId, work: impl FnOnce(&mut Unit)) {
        let home = self.units[0].core.home(chat.slot()).shard;
        self.step(home, |unit, _| work(unit));
    }

    // ---- what happens ----------------------------------------------------------------------------------------------

    /// Until nothing more happens by itself.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.advance() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// One thing, any that can happen now. Frames of one lane from one shard to another keep their order.
    pub fn advance_at_random(&mut self, rng: &mut Rng) {
        match rng.below(8) {
            0..4 if !self.mesh.is_empty() => {
                let index = rng.below(self.mesh.len() as u64) as usize;
                let (from, to, lane) = (self.mesh[index].0, self.mesh[index].1, self.mesh[index].2.lane());
                let first = |frame: &(ShardAddress, ShardAddress, MeshFrame)| {
                    (frame.0, frame.1, frame.2.lane()) == (from, to, lane)
                };
                let index = self.mesh.iter().position(first).expect("at least this one");
                self.take_frame(index);
            }
            4 if !self.loads.is_empty() => self.take_load(rng.below(self.loads.len() as u64) as usize),
            // Batches of one shard to one store shard are one at a time, so any may be next.
            5 if !self.commits.is_empty() => {
                self.take_commit(rng.below(self.commits.len() as u64) as usize);
            }
            _ => {
                let shard = rng.below(self.units.len() as u64) as u16;
                self.step(shard, |unit, _| unit.end_turn());
            }
        }
    }

    /// One thing; false when there is none.
    pub fn advance(&mut self) -> bool {
        if !self.mesh_held && !self.mesh.is_empty() {
            self.take_frame(0);
        } else if !self.loads_held && !self.loads.is_empty() {
            self.take_load(0);
        } else if !self.turns() {
            if self.commits_held || self.commits.is_empty() {
                return self.pass_time();
            }
            self.take_commit(0);
        }
        true
    }

    /// Until something that is in no hurry is due; false when there is nothing.
    fn pass_time(&mut self) -> bool {
        let due = |unit: &Unit| [unit.core.commits.next_deadline(), unit.lists.next_deadline()];
        let due_ms = self.units.iter().flat_map(due).flatten().min();
        let Some(due_ms) = due_ms.filter(|_| !self.time_held) else { return false };
        self.now.mono_ms = self.now.mono_ms.max(due_ms);
        true
    }

    fn take_frame(&mut self, index: usize) {
        let (from, to, frame) = self.mesh.remove(index).expect("a frame");
        self.step(to.shard, |unit, people| unit.on_mesh(from, frame, people));
    }

    fn take_load(&mut self, index: usize) {
        let (shard, token, queries) = self.loads.remove(index).expect("a load");
        let rows = self.disk.read(&queries);
        self.step(shard, |unit, _| match unit.core.take_load(token) {
            LoadFor::Conversation(key) => unit.conversations.handle_loaded(&mut unit.core, key, rows),
            LoadFor::List(key) => unit.lists.handle_loaded(&mut unit.core, key, rows),
            LoadFor::Contacts(user) => unit.contacts.handle_loaded(&mut unit.core, user, rows),
            LoadFor::ContactOutbox(slots) => {
                unit.conversations.handle_contact_outbox_loaded(&mut unit.core, &slots, &rows);
            }
            other => panic!("nobody here reads {other:?}"),
        });
    }

    fn take_commit(&mut self, index: usize) {
        let (shard, batch) = self.commits.remove(index).expect("a batch");
        let outcome = if self.full { CommitOutcome::Full } else { CommitOutcome::Committed };
        if outcome == CommitOutcome::Committed {
            self.disk.write(&batch.ops);
        }
        self.step(shard, |unit, people| unit.on_outcome(&batch, outcome, people));
    }

    /// The ends of one turn of each shard; true when anything came out.
    fn turns(&mut self) -> bool {
        let before = (self.mesh.len(), self.loads.len(), self.commits.len());
        for shard in 0..self.units.len() as u16 {
            self.step(shard, |unit, _| unit.end_turn());
        }
        before != (self.mesh.len(), self.loads.len(), self.commits.len())
    }

    fn step(&mut self, shard: u16, work: impl FnOnce(&mut Unit, &mut People<'_>)) {
        let unit = &mut self.units[shard as usize];
        unit.core.now = self.now;
        let mut people = People { sessions: &self.sessions, told: Vec::new() };
        work(unit, &mut people);
        while let Some(frame) = unit.core.local.pop_front() {
            unit.on_mesh(unit.core.address, frame, &mut people);
        }
        for (session, frames) in people.told {
            for frame in wire::frame::frames(&frames) {
                let event = decode_event(frame).expect("an event");
                self.received.get_mut(&session).expect("a session").push((event.request, event.event));
            }
        }
        for effect in std::mem::take(&mut unit.core.effects) {
            match effect {
                Effect::Mesh { to, lane, frame } => {
                    assert_eq!(lane, frame.lane());
                    self.mesh.push_back((unit.core.address, to, frame));
                }
                Effect::Load { token, queries, .. } => {
                    self.loads.push_back((shard, token, queries));
                }
                Effect::Commit(batch) => {
                    self.batches += 1;
                    self.commits.push_back((shard, batch));
                }
                other => panic!("{other:?}"),
            }
        }
        unit.conversations.check_invariants(&unit.core);
        unit.lists.check_invariants(&unit.core);
        unit.contacts.check_invariants(&unit.core);
        unit.core.lanes.check_invariants();
    }
}

/// Where sessions are, and what they get in one step.
struct People<'a> {
    sessions: &'a BTreeMap<UserId, Vec<SessionPlace>>,
    told: Vec<(SessionId, Bytes)>,
}

impl People<'_> {
    fn of(&self, user: UserId) -> Vec<OpenSession> {
        self.sessions.get(&user).into_iter().flatten().map(|place| OpenSession::at(*place)).collect()
    }
}

impl Unit {
    /// As the shard does it, for the frames that come here.
    fn on_mesh(&mut self, from: ShardAddress, frame: MeshFrame, people: &mut People<'_>) {
        let core = &mut self.core;
        if frame.lane() == Lane::Delivery && from != core.address {
            core.lanes.on_received(from, frame.credits());
        }
        match frame {
            MeshFrame::Answer { caller, frame }
            | MeshFrame::Follow(FollowFrame::AnswerFollowing { caller, frame, .. }) => {
                people.told.push((caller.place.session, frame));
            }
            MeshFrame::Sent { caller, frames, .. } => people.told.push((caller.place.session, frames)),
            MeshFrame::Push { connection, session, frames, .. } => {
                assert_eq!(connection.shard, core.address.shard);
                let mut places = people.sessions.values().flatten();
                if places.any(|place| (place.connection, place.session) == (connection, session)) {
                    people.told.push((session, frames));
                }
            }
            MeshFrame::Changed(changed) => {
                let sessions = people.of(changed.user);
                self.lists.handle_changed(core, &sessions, from, changed);
            }
            MeshFrame::Unanswered { .. } => {}
            MeshFrame::ContactView { user, conversation, version, view } => {
                self.contacts.handle_view(core, from, user, conversation, version, *view);
            }
            MeshFrame::ContactViewDone { user, conversation, version } => {
                self.conversations.handle_contact_view_done(core, user, conversation, version);
            }
            MeshFrame::Introduce { conversation, peer } => {
                self.conversations.handle_introduce(core, from, conversation, peer);
            }
            MeshFrame::Introduced { conversation, found } => {
                self.conversations.handle_introduced(core, conversation, found);
            }
            MeshFrame::ChangedDone { user, conversation, change } => {
                self.conversations.handle_changed_done(core, user, conversation, change);
            }
            MeshFrame::Credit { taken } => {
                core.lanes.handle_credit(from, taken);
                self.conversations.handle_credit(core);
                self.lists.handle_credit(core);
            }
            other => panic!("{other:?}"),
        }
    }

    fn on_outcome(&mut self, batch: &Batch, outcome: CommitOutcome, people: &People<'_>) {
        let core = &mut self.core;
        match core.commits.handle_outcome(batch.store_shard, batch.number, outcome) {
            Freed::Committed(list) => {
                for after in list {
                    match core.release(after) {
                        Some(After::Conversation(written)) => {
                            self.conversations.handle_written(core, written)
                        }
                        Some(After::List(written)) => self.lists.handle_written(core, written),
                        Some(After::Relation(written)) => {
                            self.conversations.handle_relation_written(core, written);
                        }
                        Some(After::Contact(written)) => {
                            let sessions = people.of(written.user);
                            self.contacts.handle_written(core, &sessions, &mut self.lists, written);
                        }
                        _ => {}
                    }
                }
            }
            Freed::Full(list) => {
                core.on_store_full(batch.store_shard);
                self.conversations.forget(core, batch.store_shard);
                self.lists.forget(core, batch.store_shard);
                self.contacts.forget(core, batch.store_shard);
                for after in list {
                    match after {
                        After::List(written) => self.lists.handle_refused(core, written),
                        After::Contact(written) => self.contacts.handle_refused(core, written),
                        after => core.refuse_full(after),
                    }
                }
            }
            Freed::Fatal(reason) => panic!("{reason}"),
        }
    }

    fn end_turn(&mut self) {
        let core = &mut self.core;
        self.conversations.end_turn(core, &mut self.lists);
        self.lists.end_turn(core);
        self.contacts.end_turn(core);
        let (effects, node) = (&mut core.effects, core.address.node);
        core.commits.take_batches(core.now.mono_ms, |batch| effects.push(Effect::Commit(batch)));
        core.lanes.credits_to_tell(true, |shard, taken| {
            let (to, frame) = (ShardAddress { node, shard }, MeshFrame::Credit { taken });
            effects.push(Effect::Mesh { to, lane: Lane::Control, frame });
        });
    }
}

fn body_of(frame: &Bytes, owner: usize) -> Bytes {
    frame.slice(wire::frame::LENGTH_LEN + wire::frame::HEADER_LEN + owner..)
}

fn config(delivery_credits: u64) -> Config {
    Config {
        term: 1,
        software: "test".into(),
        addresses: Vec::new(),
        registration_open: true,
        scram_iterations: 4_096,
        fake_salt_secret: [1; 32],
        ticket_keys: TicketKeys { current: TicketKey { id: 1, key: [2; 32] }, previous: None },
        ticket_ms: 1,
        code_ms: 60_000,
        recall_ms: 120_000,
        name_reserved_ms: 0,
        placement: PlacementPolicy::Home,
        placement_excess_percent: 10,
        login_ms_max: 1,
        idle: IdleTimes::all(1),
        sessions: SessionPolicy::Any,
        reconnect_ms_max: 1,
        connections_per_address_max: 1,
        unauthenticated_max: 1,
        messages_per_s_max: 0,
        queries_per_s_max: 0,
        light_per_s_max: 0,
        logins_per_s_max: 0,
        contacts: ContactPolicy::Open,
        strangers: StrangerPolicy::Silent,
        delivery_credits,
        ephemeral: crate::config::EphemeralBounds::default(),
    }
}

// ---- reading what came -------------------------------------------------------------------------------------------------

/// What was answered to this request.
pub(super) fn answer(received: &Received, request: u32) -> &EventBody {
    let mut answers = received.iter().filter(|(of, _)| *of == request);
    let answer = answers.next().unwrap_or_else(|| panic!("no answer to {request} in {received:?}"));
    assert!(answers.next().is_none(), "two answers to {request}");
    &answer.1
}

pub(super) fn sent(received: &Received, request: u32) -> Sent {
    let EventBody::Sent(sent) = answer(received, request) else { panic!("{received:?}") };
    *sent
}

pub(super) fn refused(received: &Received, request: u32) -> (Refusal, u64) {
    let EventBody::Refused(refused) = answer(received, request) else { panic!("{received:?}") };
    (Refusal::from_code(refused.code).expect("a known refusal"), refused.detail)
}

pub(super) fn pulled(received: &Received, request: u32) -> Pulled {
    let EventBody::Pulled(pulled) = answer(received, request) else { panic!("{received:?}") };
    pulled.clone()
}

pub(super) fn synced(received: &Received, request: u32) -> Synced {
    let EventBody::Synced(synced) = answer(received, request) else { panic!("{received:?}") };
    synced.clone()
}

/// The entries that were pushed.
pub(super) fn messages(received: &Received) -> Vec<Entry> {
    received
        .iter()
        .filter_map(|(_, event)| match event {
            EventBody::Message(message) => Some(message.entry.clone()),
            _ => None,
        })
        .collect()
}
