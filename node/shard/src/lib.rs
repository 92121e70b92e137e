//! The logic of one core, as a pure struct: [`Input`] in, [`Effect`]s out, deadlines out. It never waits, reads no clock,
//! draws no randomness that was not seeded, and does no I/O, so the simulator runs exactly what the node runs.

pub mod admin;
mod asker;
mod audit;
#[cfg(test)]
mod audit_tests;
pub mod bugs;
mod cache;
#[cfg(test)]
mod chat_tests;
mod commits;
pub mod config;
pub mod connection;
mod contact;
mod conversation;
mod core;
mod counters;
#[cfg(test)]
mod end_to_end;
mod follow;
pub mod input;
mod lanes;
pub mod limits;
mod list;
pub mod login;
pub mod mesh;
mod operator;
mod org;
pub mod ownership;
pub mod pages;
pub mod parts;
#[cfg(test)]
mod parts_tests;
pub mod placement;
mod presence;
mod profile;
mod recovery;
mod rng;
pub mod stats;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use record::{CommitOutcome, OrgPlace, StoreShardId};
use wire::{ConversationId, ShardAddress, UserId};

use crate::admin::{AdminReply, AdminRequest};
use crate::asker::Asker;
use crate::commits::Freed;
pub use crate::config::Config;
use crate::core::{After, Core, LoadFor};
pub use crate::counters::{Counters, FIGURES, Figure, FigureKind};
pub use crate::follow::{Followed, Following, NoticeHead};
pub use crate::input::{CloseReason, Effect, Effects, Input, Now, Security, SendClass};
use crate::mesh::{FollowFrame, Lane, MeshFrame, OrgFrame, PresenceFrame, SessionFrame};
pub use crate::ownership::Ownership;
use crate::parts::PartAsk;
use crate::rng::Rng;
use crate::stats::{ShardStats, TableStats};

/// Everything one core owns.
#[derive(Debug)]
pub struct Shard {
    core: Core,
    connections: connection::Connections,
    logins: login::Logins,
    login_shard: placement::LoginShard,
    conversations: conversation::Conversations,
    lists: list::Lists,
    contacts: contact::Contacts,
    presences: presence::Presences,
    profiles: profile::Profiles,
    operator: operator::Operator,
    org: org::Org,
    parts: parts::Parts,
    audits: audit::Audits,
}

impl Shard {
    /// `seed` must be unpredictable in a node: nonces come from it.
    pub fn new(
        config: Arc<Config>,
        address: ShardAddress,
        ownership: Arc<Ownership>,
        seed: [u8; 32],
    ) -> Self {
        let mut core = Core::new(config, address, ownership, Rng::new(seed));
        Self {
            connections: connection::Connections::new(&mut core),
            logins: login::Logins::new(&mut core),
            login_shard: placement::LoginShard::new(&mut core),
            conversations: conversation::Conversations::new(&mut core),
            lists: list::Lists::new(&mut core),
            contacts: contact::Contacts::new(&mut core),
            presences: presence::Presences::new(&mut core),
            profiles: profile::Profiles::new(&mut core),
            operator: operator::Operator::default(),
            org: org::Org::new(&core),
            parts: parts::Parts::default(),
            audits: audit::Audits::default(),
            core,
        }
    }

    /// The first step of a shard's life: reads what a crash may have left undone.
    pub fn start(&mut self, now: Now, effects: &mut Effects) {
        self.within(now, effects, |shard| {
            shard.conversations.start(&mut shard.core);
            shard.connections.start(&mut shard.core);
            shard.org.start(&mut shard.core);
        });
    }

    /// The only way in.
    pub fn step(&mut self, now: Now, input: Input<'_>, effects: &mut Effects) {
        self.within(now, effects, |shard| shard.dispatch(input));
    }

    /// When [`Input::Tick`] is due at the latest, in `Now::mono_ms`.
    pub fn next_deadline(&self) -> Option<u64> {
        let deadlines = [
            self.connections.next_deadline(),
            self.core.full_deadline(),
            self.core.commits.next_deadline(),
            self.lists.next_deadline(),
            self.org.next_deadline(&self.core),
            self.connections.org_deadline(self.core.now.mono_ms),
            self.presences.next_deadline(self.core.now.mono_ms),
        ];
        deadlines.into_iter().flatten().min()
    }

    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// How it is now. Takes a moment: for whoever asks, not for every turn.
    pub fn stats(&self) -> ShardStats {
        let tables: [&[TableStats]; 7] = [
            &self.conversations.tables(),
            &self.lists.tables(),
            &self.contacts.tables(),
            &self.presences.tables(),
            &self.logins.tables(),
            &self.connections.tables(),
            &self.org.tables(),
        ];
        ShardStats {
            counters: self.core.counters.clone(),
            tables: tables.concat(),
            delivery_credits_used: self.core.lanes.credits_used(),
            delivery_credits_max: self.core.config.delivery_credits,
            forwards_in_flight: u64::from(self.core.lanes.forwards_in_flight()),
            loads_in_flight: self.core.loads_in_flight() as u64,
        }
    }

    /// Plants a bug that the simulator must find.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: bugs::Bug) {
        self.core.bugs.planted = Some(bug);
    }

    fn within(&mut self, now: Now, effects: &mut Effects, work: impl FnOnce(&mut Self)) {
        assert!(now.mono_ms >= self.core.now.mono_ms, "the monotonic clock went back");
        self.core.now = now;
        std::mem::swap(&mut self.core.effects, &mut effects.list);
        work(self);
        while let Some(frame) = self.core.local.pop_front() {
            self.on_mesh(self.core.address, frame);
        }
        std::mem::swap(&mut self.core.effects, &mut effects.list);
    }

    fn dispatch(&mut self, input: Input<'_>) {
        let core = &mut self.core;
        match input {
            Input::Opened { connection, peer, security } => {
                self.connections.handle_opened(core, connection, peer, security);
            }
            Input::Adopted { connection, transfer } => {
                self.connections.handle_adopted(core, connection, *transfer)
            }
            Input::Frame { connection, frame } => {
                if let Some(local) = self.connections.handle_frame(core, connection, frame) {
                    self.conversations.handle_send(core, local.caller, local.conversation, local.send);
                }
            }
            Input::FrameTooLong { connection, length } => {
                self.connections.handle_frame_too_long(core, connection, length);
            }
            Input::Closed { connection } => self.connections.handle_closed(core, connection),
            Input::Overflowed { connection } => self.connections.handle_overflowed(core, connection),
            Input::Drained { connection } => self.connections.handle_drained(core, connection),
            Input::Mesh { from, frame } => {
                self.note_delivery(from, &frame);
                self.on_mesh(from, frame);
            }
            Input::Loaded { token, rows } => match core.take_load(token) {
                LoadFor::Login(keys) => self.logins.handle_loaded(core, &keys, &rows),
                LoadFor::Conversation(key) => self.conversations.handle_loaded(core, key, rows),
                LoadFor::List(key) => self.lists.handle_loaded(core, key, rows),
                LoadFor::Admin(key) => self.operator.handle_loaded(core, key, rows),
                LoadFor::Profile(key) => self.profiles.handle_loaded(core, key, &rows),
                LoadFor::Audit(key) => self.audits.handle_loaded(core, key, &rows),
                LoadFor::Contacts(user) => self.contacts.handle_loaded(core, user, rows),
                LoadFor::Presence(arrivals) => {
                    self.presences.handle_loaded(core, &self.logins, &arrivals, &rows);
                }
                LoadFor::PresenceOf(caller, user) => self.presences.handle_found(core, *caller, user, &rows),
                LoadFor::ContactOutbox(slots) => {
                    self.conversations.handle_contact_outbox_loaded(core, &slots, &rows);
                }
                LoadFor::Org(key) => self.org.handle_loaded(core, key, rows),
            },
            Input::Committed { store_shard, number, outcome } => {
                self.on_outcome(store_shard, number, outcome)
            }
            Input::Tick => {
                self.connections.handle_tick(core);
                self.login_shard.handle_tick(core);
            }
            Input::Admin { token, request } => self.on_admin(token, request),
            Input::Stop => {
                core.stopping = true;
                self.connections.handle_stop(core);
            }
            Input::TurnEnd => self.end_turn(),
        }
    }

    fn on_admin(&mut self, token: u64, request: AdminRequest) {
        let core = &mut self.core;
        match request {
            AdminRequest::Stats => {
                let stats = AdminReply::Stats(Box::new(self.stats()));
                self.core.reply(token, stats);
            }
            AdminRequest::ReadAudit { after, rows_max } => {
                self.audits.handle_read(core, Asker::Socket(token), after, rows_max)
            }
            AdminRequest::EditOrg { expected, edits } => {
                self.org.handle_edit(core, Asker::Socket(token), expected, edits);
            }
            AdminRequest::OrgPage { position, rows_max } => {
                self.org.handle_sync(core, org::Asker::Operator { token }, position, rows_max);
            }
            AdminRequest::FindUsers { names } => self.org.handle_find(core, token, names),
            AdminRequest::Issue { conversation, notice } => {
                self.handle_issue(Asker::Socket(token), conversation, notice);
            }
            request => self.operator.handle(core, &mut self.logins, token, request),
        }
    }

    /// A notice of the operator. Every shard has the tree of departments.
    fn handle_issue(&mut self, asker: Asker, conversation: ConversationId, notice: admin::Notice) {
        match self.org.check_notices(conversation) {
            Ok(()) => self.conversations.handle_issue(&mut self.core, asker, conversation, notice),
            Err(refusal) => asker.refuse(&mut self.core, refusal, 0, 0),
        }
    }

    fn note_delivery(&mut self, from: ShardAddress, frame: &MeshFrame) {
        if frame.lane() == Lane::Delivery {
            self.core.lanes.on_received(from, frame.credits());
        }
    }

    fn on_mesh(&mut self, from: ShardAddress, frame: MeshFrame) {
        let core = &mut self.core;
        match frame {
            MeshFrame::Forward { caller, command } => self.on_forward(caller, command),
            MeshFrame::Answer { caller, frame } => {
                core.end_forwards(from, 1);
                self.connections.handle_answer(core, caller, frame);
            }
            MeshFrame::Sent { caller, sends, frames } => {
                core.end_forwards(from, u32::from(sends));
                self.connections.handle_sent(core, caller, sends, frames);
            }
            MeshFrame::Unanswered { caller } => {
                core.end_forwards(from, 1);
                self.connections.handle_unanswered(core, caller);
            }
            MeshFrame::Session(frame) => self.on_session(from, frame),
            MeshFrame::Introduce { conversation, peer } => {
                self.conversations.handle_introduce(core, from, conversation, peer);
            }
            MeshFrame::Introduced { conversation, found } => {
                self.conversations.handle_introduced(core, conversation, found);
            }
            MeshFrame::Changed(changed) => {
                let sessions = self.logins.sessions(changed.user);
                self.lists.handle_changed(core, sessions, from, changed);
            }
            MeshFrame::ChangedDone { user, conversation, change } => {
                self.conversations.handle_changed_done(core, user, conversation, change);
            }
            MeshFrame::ContactView { user, conversation, version, view } => {
                self.contacts.handle_view(core, from, user, conversation, version, *view);
            }
            MeshFrame::ContactViewDone { user, conversation, version } => {
                self.conversations.handle_contact_view_done(core, user, conversation, version);
            }
            MeshFrame::Org(frame) => self.on_org_frame(from, frame),
            MeshFrame::Part { number, ask } => self.on_part(from, number, ask),
            MeshFrame::PartDone { number, answer } => self.parts.handle_done(core, number, answer),
            MeshFrame::Push { connection, session, frames, messages } => {
                self.connections.handle_push(core, connection, session, frames, messages);
            }
            MeshFrame::Presence(frame) => self.on_presence(from, frame),
            MeshFrame::Follow(frame) => self.on_follow(from, frame),
            MeshFrame::Credit { taken } => self.on_credit(from, taken),
        }
    }

    /// A part of what concerns many shards.
    fn on_part(&mut self, from: ShardAddress, number: parts::PartNumber, ask: PartAsk) {
        let (core, asker) = (&mut self.core, Asker::Shard(from, number, UserId::NOBODY));
        match ask {
            PartAsk::Relate(pairs) => self.conversations.handle_part(core, from, number, pairs),
            PartAsk::Users { after, users_max } => self.operator.handle_list(core, asker, after, users_max),
            PartAsk::Notify { by, users, notice } => {
                let asker = Asker::Shard(from, number, by);
                for user in users {
                    self.logins.handle_issue_to(core, asker, user, notice.clone());
                }
            }
            PartAsk::Audit { after, rows_max } => self.audits.handle_read(core, asker, after, rows_max),
        }
    }

    /// A peer has taken what was sent to it: what found no room before may go.
    fn on_credit(&mut self, from: ShardAddress, taken: u64) {
        let core = &mut self.core;
        core.lanes.handle_credit(from, taken);
        self.conversations.handle_credit(core);
        self.lists.handle_credit(core);
    }

    /// About sessions: how they are opened and placed, and how they end.
    fn on_session(&mut self, from: ShardAddress, frame: SessionFrame) {
        let core = &mut self.core;
        match frame {
            SessionFrame::Login { connection, reply_to, command } => {
                self.logins.handle(core, connection, reply_to, command);
            }
            SessionFrame::LoginReply { connection, reply } => {
                self.connections.handle_login_reply(core, connection, reply);
            }
            SessionFrame::Active { user, place } => self.logins.handle_active(core, user, place),
            SessionFrame::SessionClosed { user, place } => {
                self.logins.handle_session_closed(core, user, place)
            }
            SessionFrame::EndSession { connection, session, why } => {
                self.connections.handle_end_session(core, connection, session, why);
            }
            SessionFrame::Place { connection, reply_to, home } => {
                self.login_shard.handle_place(core, connection, reply_to, home);
            }
            SessionFrame::Placed { connection, placement } => {
                self.connections.handle_placed(core, connection, placement);
            }
            SessionFrame::PlacementDone { placement } => self.login_shard.handle_done(placement),
            SessionFrame::LoadReport { load } => self.login_shard.handle_load(from, load),
        }
    }

    fn on_presence(&mut self, from: ShardAddress, frame: PresenceFrame) {
        let core = &mut self.core;
        match frame {
            PresenceFrame::Told { lost, told } => self.presences.handle_told(core, from, lost, &told),
            PresenceFrame::Push(pushes) => {
                self.presences.on_pushes_received(core, from);
                for mesh::PresencePush { connection, session, frames } in pushes {
                    self.connections.handle_push(core, connection, session, frames, 0);
                }
            }
            PresenceFrame::Credit { taken } => self.presences.handle_credit(from, taken),
            PresenceFrame::Standing { connection, session, hidden } => {
                self.connections.handle_standing(core, connection, session, hidden);
            }
        }
    }

    /// About conversations that are followed, and what the system writes.
    fn on_follow(&mut self, from: ShardAddress, frame: FollowFrame) {
        let core = &mut self.core;
        match frame {
            FollowFrame::Subscribe { conversation } => {
                self.conversations.handle_subscribe(core, from, conversation);
            }
            FollowFrame::Unsubscribe { conversation } => {
                self.conversations.handle_unsubscribe(from, conversation);
            }
            FollowFrame::Followed(followed) => self.connections.handle_followed(core, followed),
            FollowFrame::AnswerFollowing { caller, frame, following } => {
                let above = |direct: &[u32]| self.org.above(direct);
                core.end_forwards(from, 1);
                self.connections.handle_answer_following(core, caller, frame, following, &above);
            }
            FollowFrame::Refollow { connection, session, following, frame } => {
                let above = |direct: &[u32]| self.org.above(direct);
                self.connections.handle_refollow(core, connection, session, *following, frame, &above);
            }
            FollowFrame::Announce { user, frame } => {
                self.lists.announce(core, self.logins.sessions(user), &frame);
            }
            FollowFrame::Issue { asker, user, notice } => {
                self.conversations.handle_issue(core, asker, ConversationId::system(user), *notice);
            }
        }
    }

    /// About the directory of the organisation.
    fn on_org_frame(&mut self, from: ShardAddress, frame: OrgFrame) {
        let core = &mut self.core;
        match frame {
            OrgFrame::Version { version } => self.connections.handle_org_version(version),
            OrgFrame::Tree { afresh, changes } => {
                self.org.handle_tree(afresh, &changes);
                self.connections.handle_tree();
            }
            OrgFrame::Place { user, version, departments } => {
                self.org.handle_place(core, from, user, version, departments);
            }
            OrgFrame::PlaceDone { user, version } => self.org.handle_place_done(core, user, version),
        }
    }

    /// A command of a logged-in client has reached the home of its owner key.
    fn on_forward(&mut self, caller: mesh::Caller, command: mesh::HomeCommand) {
        use mesh::HomeCommand as H;
        let core = &mut self.core;
        match command {
            H::Send(conversation, send) => {
                self.conversations.handle_send(core, caller, conversation, send.borrowed());
            }
            H::Pull(conversation, body) => self.conversations.handle_pull(core, caller, conversation, body),
            H::Mark(conversation, kind, seq, shown_to) => {
                self.conversations.handle_mark(core, caller, conversation, kind, seq, shown_to);
            }
            H::Sync(body) => self.lists.handle_sync(core, caller, body),
            H::MarkNotice { conversation, at, seq } => {
                self.lists.handle_mark_notice(core, caller, conversation, at, seq);
            }
            H::SetAdverts { off, adverts } => self.lists.handle_set_adverts(core, caller, off, adverts),
            H::Relate(conversation, act) => self.conversations.handle_act(core, caller, conversation, act),
            H::SetContact { contact, remark, group } => {
                self.contacts.handle_set(core, caller, contact, remark, group);
            }
            H::SyncContacts { cver, changes_max } => {
                self.contacts.handle_sync(core, caller, cver, changes_max);
            }
            H::RelatePairs(pairs) => self.parts.handle_relate(core, caller, pairs),
            H::SetPresence(wish) => self.presences.handle_set(core, caller, wish),
            H::SyncPresence { after, contacts_max } => {
                self.presences.handle_sync(core, caller, after, contacts_max);
            }
            H::GetPresence(user) => self.presences.handle_get(core, caller, user),
            H::CreateToken { name, written, new } => {
                self.logins.handle_create_token(core, Asker::Session(caller), name, written, new);
            }
            H::ListTokens(name) => self.logins.handle_list_tokens(core, Asker::Session(caller), name),
            H::RevokeToken { name, number } => {
                self.logins.handle_revoke_token(core, Asker::Session(caller), name, number);
            }
            H::ProofStart { client_first, address } => {
                self.logins.handle_proof_start(core, caller, client_first, address);
            }
            H::Confirm { client_final, address, what } => {
                self.logins.handle_confirm(core, caller, client_final, address, what);
            }
            H::Operate(command) => self.on_operate(caller, *command),
            H::SetProfile(profile) => self.profiles.handle_set(core, caller, profile),
            H::GetProfile(user) => self.profiles.handle_get(core, caller, user),
            H::FindUser(name) => self.logins.handle_find_user(core, caller, name),
            H::NameUser(user) => self.logins.handle_name_user(core, caller, user),
            H::Devices(command) => self.logins.handle_devices(core, caller, command),
            H::Logout { forget_ticket } => self.logins.handle_logout(core, caller, forget_ticket),
            H::SyncOrg { position, rows_max } => {
                self.org.handle_sync(core, org::Asker::Caller(caller), position, rows_max);
            }
        }
    }

    fn on_outcome(&mut self, store_shard: StoreShardId, number: u64, outcome: CommitOutcome) {
        match self.core.commits.handle_outcome(store_shard, number, outcome) {
            Freed::Committed(mut list) => {
                for after in list.drain(..) {
                    match self.core.release(after) {
                        Some(After::Logins(written)) => {
                            if let Some(user) = written.deleted() {
                                self.profiles.on_deleted(&mut self.core, user);
                                self.presences.on_deleted(&mut self.core, user);
                            }
                            self.logins.handle_written(&mut self.core, written);
                        }
                        Some(After::Conversation(written)) => {
                            self.conversations.handle_written(&mut self.core, written);
                        }
                        Some(After::List(written)) => {
                            self.lists.handle_written(&mut self.core, written);
                        }
                        Some(After::Followed(told)) => {
                            let sessions = self.logins.sessions(told.user);
                            self.lists.handle_told(&mut self.core, sessions, told);
                        }
                        Some(After::Relation(written)) => {
                            self.conversations.handle_relation_written(&mut self.core, written);
                        }
                        Some(After::Contact(written)) => {
                            let sessions = self.logins.sessions(written.user);
                            for (other, stays) in written.contacts() {
                                self.presences.handle_contact(&mut self.core, written.user, other, stays);
                            }
                            self.contacts.handle_written(&mut self.core, sessions, &mut self.lists, written);
                        }
                        Some(After::Org(written)) => self.org.handle_written(&mut self.core, *written),
                        Some(After::OrgPlace(placed)) => {
                            self.org.handle_place_written(&mut self.core, &placed);
                            let org::Placed { user, version, departments, .. } = placed;
                            let place = OrgPlace { version, departments };
                            let sessions = self.logins.sessions(user);
                            self.lists.on_place_changed(&mut self.core, sessions, user, &place);
                        }
                        Some(After::Presence(written)) => {
                            let sessions = self.logins.sessions(written.user);
                            self.presences.handle_written(&mut self.core, sessions, &mut self.lists, written);
                        }
                        Some(After::Profile(written)) => {
                            let sessions = self.logins.sessions(written.user);
                            self.profiles.handle_written(&mut self.core, sessions, &mut self.lists, written);
                        }
                        _ => {}
                    }
                }
                self.core.commits.take_back(list);
            }
            Freed::Full(list) => self.on_full(store_shard, list),
            Freed::Fatal(reason) => self.core.effects.push(Effect::Fatal { reason }),
        }
    }

    /// A batch was refused, since the disk is full.
    fn on_full(&mut self, store_shard: StoreShardId, list: Vec<After>) {
        self.core.on_store_full(store_shard);
        // What is in memory may build on what was not written: it is read anew when it is needed.
        self.conversations.forget(&mut self.core, store_shard);
        self.lists.forget(&mut self.core, store_shard);
        self.contacts.forget(&mut self.core, store_shard);
        self.profiles.forget(&self.core, store_shard);
        self.logins.forget(&mut self.core, store_shard);
        self.org.forget(&mut self.core, store_shard);
        for after in list {
            match after {
                After::List(written) => self.lists.handle_refused(&mut self.core, written),
                After::Contact(written) => self.contacts.handle_refused(&mut self.core, written),
                After::OrgPlace(placed) => self.org.handle_place_refused(placed),
                After::Presence(written) => self.presences.handle_refused(&mut self.core, written),
                after => self.core.refuse_full(after),
            }
        }
    }

    /// Conversations and lists write what they coalesced, then the turn's changes go to the committers.
    fn end_turn(&mut self) {
        self.presences.start_turn_end();
        loop {
            self.conversations.end_turn(&mut self.core, &mut self.lists);
            self.lists.end_turn(&mut self.core);
            self.contacts.end_turn(&mut self.core);
            self.logins.end_turn(&mut self.core);
            self.audits.end_turn(&mut self.core);
            self.org.end_turn(&mut self.core);
            while let Some((user, opened)) = self.logins.take_come_or_gone() {
                match opened {
                    Some(place) => self.presences.handle_opened(&mut self.core, user, place),
                    None => self.presences.handle_gone(&mut self.core, user),
                }
            }
            self.presences.end_turn(&mut self.core, &self.logins);
            let above = |direct: &[u32]| self.org.above(direct);
            self.connections.end_turn(&mut self.core, &above);
            if self.core.local.is_empty() {
                break;
            }
            // A frame to this shard may change a conversation: what belongs to it must be in the same batch.
            while let Some(frame) = self.core.local.pop_front() {
                self.on_mesh(self.core.address, frame);
            }
        }
        let core = &mut self.core;
        let (effects, batches) = (&mut core.effects, &mut core.counters.batches);
        if core.stopping {
            core.commits.hurry();
        }
        core.commits.take_batches(core.now.mono_ms, |batch| {
            *batches += 1;
            effects.push(Effect::Commit(batch));
        });
        let node = core.address.node;
        core.lanes.credits_to_tell(true, |shard, taken| {
            let (to, frame) = (ShardAddress { node, shard }, MeshFrame::Credit { taken });
            effects.push(Effect::Mesh { to, lane: Lane::Control, frame });
        });
        self.presences.credits_to_tell(|shard, taken| {
            let (to, frame) =
                (ShardAddress { node, shard }, MeshFrame::Presence(PresenceFrame::Credit { taken }));
            effects.push(Effect::Mesh { to, lane: Lane::Control, frame });
        });
        if core.stopping
            && self.connections.is_empty()
            && core.commits.is_idle()
            && core.loads_in_flight() == 0
            && core.lanes.forwards_in_flight() == 0
        {
            core.effects.push(Effect::Stopped);
        }
    }

    /// Asserts what must hold between two steps. The simulator calls it after each.
    pub fn check_invariants(&self) {
        assert!(self.core.local.is_empty() && self.core.effects.is_empty());
        self.core.lanes.check_invariants();
        self.connections.check_invariants(&self.core);
        self.logins.check_invariants(&self.core);
        self.login_shard.check_invariants();
        self.operator.check_invariants();
        self.audits.check_invariants();
        self.parts.check_invariants(&self.core);
        self.conversations.check_invariants(&self.core);
        self.lists.check_invariants(&self.core);
        self.contacts.check_invariants(&self.core);
        self.org.check_invariants();
        self.presences.check_invariants(&self.core);
        self.profiles.check_invariants(&self.core);
    }
}
