//! The session: its inputs and the end of each turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::chat::{Pulls, SyncState};
use super::effect::{ClientEvent, Effect, PersistToken, QueryId, Reason};
use super::feed::{Feed, HeldRoom};
use super::journal::{After, Journal};
use super::link::{Heartbeat, Intent, Link};
use super::outbox::Outbox;
use super::presence::Presences;
use super::requests::{Pending, Queries, Query, Requests};
use super::stored::{Account, KeptKeys, Stored};
use super::{
    LOGIN_STEP_MS_MAX, PERSISTS_MAX, QUERIES_IN_FLIGHT_MAX, RECONNECT_MS, RECONNECT_MS_MAX, RETRY_MS_MAX,
    RETRY_MS_MIN,
};
use crate::account::AccountQuery;
use crate::contact::ContactQuery;
use crate::decode::{EventBody, EventFrame, decode_event};
use crate::device::DeviceQuery;
use crate::encode::Encoder;
use crate::frame::Splitter;
use crate::ids::{ConversationId, DeviceId, UserId};
use crate::limits::{FRAME_LEN_MAX, PULL_BYTES_MAX, VERSION_MAX, VERSION_MIN, WINDOW_MAX};
use crate::message::{DeviceClass, Hello, Marked, Pull, Refused, UserFound};
use crate::org::OrgPosition;
use crate::refusal::Refusal;
use crate::scram::{ClientKeys, NONCE_LEN, SessionKey};
use crate::token::Token;

/// What a client says about itself and wants.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    pub software: String,
    pub device_name: String,
    pub device_class: DeviceClass,
    /// Newest entries that are fetched of a conversation that is new to this device; `u64::MAX` for all.
    pub catch_up_max: u64,
    /// Tell the node what arrived, so that the sender sees it.
    pub delivered_marks: bool,
    /// Persist the stretched keys, so that a login after the ticket's end needs no password.
    pub keep_keys: bool,
}

/// Why [`Session::send`] does not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("nobody has logged in on this device yet")]
    NotLoggedIn,
    #[error("not a conversation of this user")]
    NotMember,
    #[error("the message is longer than {} bytes", crate::limits::MESSAGE_BODY_LEN_MAX)]
    TooLong,
    #[error("the message is empty")]
    Empty,
    #[error("the text is not UTF-8")]
    NotText,
    #[error("the message mentions too many users")]
    TooManyMentions,
    #[error("too many messages wait to be sent")]
    QueueFull,
}

/// Why a question is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("not logged in at the moment")]
    NotReady,
    #[error("too many questions wait for an answer")]
    TooMany,
}

/// The client's side of one device's session, over any number of connections.
#[derive(Debug)]
pub struct Session {
    pub(super) config: SessionConfig,
    pub(super) encoder: Encoder,
    splitter: Splitter,
    pub(super) effects: VecDeque<Effect>,

    pub(super) link: Link,
    pub(super) link_since_ms: u64,
    pub(super) binding: Vec<u8>,
    pub(super) nonce: Option<[u8; NONCE_LEN]>,
    /// Of a service account; in place of a password and a ticket.
    pub(super) token: Option<Token>,
    pub(super) mechanisms: Vec<String>,
    pub(super) heartbeat: Heartbeat,
    pub(super) requests: Requests,
    pub(super) intent: Intent,
    /// The application wants to be connected.
    pub(super) wanted: bool,
    /// Connections lost or not opened since the last login.
    pub(super) attempts: u32,
    pub(super) reconnect_ms: u64,
    jitter: u64,
    moving: Option<Moving>,
    closing: Option<Refused>,
    pub(super) session_key: Option<SessionKey>,

    pub(super) account: Option<Account>,
    pub(super) kept: Option<KeptKeys>,
    pub(super) uver: u64,
    pub(super) next_counter: u64,
    pub(super) journal: Journal,

    pub(super) outbox: Outbox,
    pub(super) window: usize,
    pub(super) send_hold_until_ms: u64,
    /// Sends that are looked for in the log.
    pub(super) sought: BTreeSet<u64>,

    pub(super) feeds: BTreeMap<ConversationId, Feed>,
    /// Marks that came before their conversation was known.
    pub(super) early_marks: Vec<Marked>,
    pub(super) room: HeldRoom,
    pub(super) pulls: Pulls,
    pub(super) marks_due: BTreeSet<ConversationId>,
    pub(super) marks_in_flight: BTreeSet<ConversationId>,
    pub(super) marks_hold_until_ms: u64,
    pub(super) sync: SyncState,
    pub(super) queries: Queries,
    pub(super) presences: Presences,
    pub(super) told_caught_up: bool,
    /// As the application was told since the session began.
    pub(super) adverts_off: Option<bool>,
}

/// The node asked to connect elsewhere.
#[derive(Debug)]
struct Moving {
    at_ms: u64,
    addresses: Vec<String>,
}

impl Session {
    /// Goes on from what was persisted; `Stored::default()` for a new device.
    pub fn new(config: SessionConfig, stored: Stored) -> Self {
        let last_counter = stored.outgoing.last().map_or(0, |send| send.counter);
        let feeds = stored.conversations.iter().map(|state| (state.conversation, Feed::new(*state)));
        Self {
            config,
            encoder: Encoder::new(),
            splitter: Splitter::default(),
            effects: VecDeque::new(),
            link: Link::Down,
            link_since_ms: 0,
            binding: Vec::new(),
            nonce: None,
            token: None,
            mechanisms: Vec::new(),
            heartbeat: Heartbeat::default(),
            requests: Requests::default(),
            intent: Intent::Resume,
            wanted: true,
            attempts: 0,
            reconnect_ms: RECONNECT_MS,
            jitter: 0,
            moving: None,
            closing: None,
            session_key: None,
            feeds: feeds.collect(),
            account: stored.account,
            kept: stored.keys,
            uver: stored.uver,
            next_counter: stored.next_counter.max(last_counter + 1),
            journal: Journal::default(),
            outbox: Outbox::restore(stored.outgoing, &stored.unanswered),
            window: usize::from(WINDOW_MAX),
            send_hold_until_ms: 0,
            sought: BTreeSet::new(),
            early_marks: Vec::new(),
            room: HeldRoom::default(),
            pulls: Pulls::default(),
            marks_due: BTreeSet::new(),
            marks_in_flight: BTreeSet::new(),
            marks_hold_until_ms: 0,
            sync: SyncState::default(),
            queries: Queries::default(),
            presences: Presences::default(),
            told_caught_up: false,
            adverts_off: None,
        }
    }

    /// The next thing to do outside.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// A connection is open (TLS included). `binding`: the hash of the node's certificate as `tls-server-end-point`
    /// has it, empty without TLS. `nonce`: fresh randomness.
    pub fn handle_connected(&mut self, now_ms: u64, binding: Vec<u8>, nonce: [u8; NONCE_LEN]) {
        assert!(matches!(self.link, Link::Down), "the connection before it has not ended");
        self.splitter = Splitter::default();
        self.binding = binding;
        self.nonce = Some(nonce);
        self.jitter = xxhash_rust::xxh3::xxh3_64(&nonce);
        self.moving = None;
        self.closing = None;
        self.wanted = true;
        self.heartbeat.start(now_ms);
        self.enter(Link::Greeting, now_ms);
        let software = self.config.software.clone();
        let hello =
            Hello { version_min: VERSION_MIN, version_max: VERSION_MAX, features: 0, software: &software };
        self.transmit(now_ms, Pending::Hello, |encoder, request| encoder.hello(request, &hello));
        self.finish(now_ms);
    }

    /// A connection could not be opened.
    pub fn handle_connect_failed(&mut self, now_ms: u64) {
        self.on_link_down(now_ms, Reason::Unreachable);
        self.finish(now_ms);
    }

    /// The connection ended by itself.
    pub fn handle_disconnected(&mut self, now_ms: u64) {
        if !matches!(self.link, Link::Down) {
            let reason = self.closing.take().map_or(Reason::Lost, Reason::Closed);
            self.on_link_down(now_ms, reason);
        }
        self.finish(now_ms);
    }

    /// Bytes came, cut anyhow.
    pub fn handle_bytes(&mut self, now_ms: u64, bytes: &[u8]) {
        self.splitter.push(bytes);
        while !matches!(self.link, Link::Down) {
            match self.splitter.next_frame(FRAME_LEN_MAX) {
                Ok(Some(frame)) => self.on_frame(now_ms, &frame),
                Ok(None) => break,
                Err(_) => self.drop_link(now_ms, Reason::Misbehaved("a frame is too long")),
            }
        }
        self.finish(now_ms);
    }

    /// A whole frame came, without its length field.
    pub fn handle_frame(&mut self, now_ms: u64, frame: &[u8]) {
        if !matches!(self.link, Link::Down) {
            self.on_frame(now_ms, frame);
        }
        self.finish(now_ms);
    }

    /// All groups up to this one are on disk.
    pub fn handle_persisted(&mut self, now_ms: u64, token: PersistToken) {
        let due = self.journal.on_persisted(token);
        self.run_after(due);
        self.finish(now_ms);
    }

    /// The password is stretched.
    pub fn handle_stretched(&mut self, now_ms: u64, keys: ClientKeys) {
        self.on_stretched(now_ms, keys);
        self.finish(now_ms);
    }

    /// [`Session::next_deadline_ms`] has come.
    pub fn handle_tick(&mut self, now_ms: u64) {
        if !matches!(self.link, Link::Down) {
            self.on_tick(now_ms);
        }
        self.finish(now_ms);
    }

    /// When to call [`Session::handle_tick`] at the latest.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        if matches!(self.link, Link::Down) {
            return None;
        }
        let ready = self.may_transmit();
        let ready_send = ready && self.next_ready_send().is_some();
        let deadlines = [
            self.link.waits_for_node().then_some(self.link_since_ms + LOGIN_STEP_MS_MAX),
            self.requests.deadline_ms(),
            self.heartbeat.ping_due_ms(),
            self.heartbeat.dead_ms(),
            self.moving.as_ref().map(|moving| moving.at_ms),
            self.outbox.next_deadline_ms(),
            ready_send.then_some(self.send_hold_until_ms),
            if ready { self.marks_hold_until_ms() } else { None },
            if ready { self.pulls.hold_until_ms() } else { None },
            // While contacts are read, a list waits for their answer and for no time.
            if ready && !self.requests.reads_pages() { self.sync.hold_until_ms() } else { None },
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Ends the connection and opens no other; the session can be resumed.
    pub fn close(&mut self, now_ms: u64) {
        self.wanted = false;
        if !matches!(self.link, Link::Down) {
            self.drop_link(now_ms, Reason::Asked);
        }
        self.finish(now_ms);
    }

    /// The user with exactly this name.
    pub fn find_user(&mut self, now_ms: u64, name: &str) -> Result<QueryId, QueryError> {
        self.ask(now_ms, Query::Find { name: name.to_owned() })
    }

    /// The name of this user.
    pub fn name_user(&mut self, now_ms: u64, user: UserId) -> Result<QueryId, QueryError> {
        self.ask(now_ms, Query::Name { user })
    }

    /// Entries `from..=to` of a conversation once more. What is applied does not change by it.
    pub fn history(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        from: u64,
        to: u64,
    ) -> Result<QueryId, QueryError> {
        self.ask(now_ms, Query::History { conversation, from: from.max(1), to: to.max(from.max(1)) })
    }

    /// Something about a contact, or a part of their list. `ClientEvent::Related`, `ContactChanged` or `ContactsSynced` answers.
    pub fn ask_contact(&mut self, now_ms: u64, query: ContactQuery) -> Result<QueryId, QueryError> {
        self.ask(now_ms, Query::Contact(query))
    }

    /// The next page of changes of the directory behind this position, at most so many; `ClientEvent::OrgSynced` answers.
    pub fn ask_org(
        &mut self,
        now_ms: u64,
        position: OrgPosition,
        rows_max: u32,
    ) -> Result<QueryId, QueryError> {
        self.ask(now_ms, Query::Org { position, rows_max })
    }

    /// Asks something about an account. `ClientEvent::Account` answers.
    pub fn ask_account(&mut self, now_ms: u64, query: AccountQuery) -> Result<QueryId, QueryError> {
        self.ask(now_ms, Query::Account(query))
    }
    /// Something about the devices of the user. `ClientEvent::Devices` or `SessionsEnded` answers.
    pub fn ask_devices(&mut self, now_ms: u64, query: DeviceQuery) -> Result<QueryId, QueryError> {
        self.ask(now_ms, Query::Device(query))
    }

    /// Switches adverts off or on, for all devices of the user. `ClientEvent::AdvertsSet` answers.
    pub fn set_adverts(&mut self, now_ms: u64, off: bool) -> Result<QueryId, QueryError> {
        self.ask(now_ms, Query::SetAdverts { off })
    }

    pub(super) fn ask(&mut self, now_ms: u64, query: Query) -> Result<QueryId, QueryError> {
        if !self.is_ready() {
            return Err(QueryError::NotReady);
        }
        let id = self.queries.push(query).ok_or(QueryError::TooMany)?;
        self.finish(now_ms);
        Ok(id)
    }

    pub fn is_ready(&self) -> bool {
        matches!(self.link, Link::Ready)
    }

    /// True while so much waits to be persisted that the connection should not be read.
    pub fn is_backlogged(&self) -> bool {
        self.journal.outstanding() > PERSISTS_MAX
    }

    /// Sends that are not decided.
    pub fn undecided(&self) -> usize {
        self.outbox.len()
    }

    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// What both sides share since the last login with a password; nothing after a resume.
    pub fn session_key(&self) -> Option<&SessionKey> {
        self.session_key.as_ref()
    }

    pub(super) fn me(&self) -> UserId {
        self.account.as_ref().map_or(UserId::NOBODY, |account| account.user)
    }

    pub(super) fn device(&self) -> DeviceId {
        self.account.as_ref().map_or(DeviceId(0), |account| account.device)
    }

    pub(super) fn enter(&mut self, link: Link, now_ms: u64) {
        self.link = link;
        self.link_since_ms = now_ms;
    }

    pub(super) fn tell(&mut self, event: ClientEvent) {
        self.effects.push_back(Effect::Event(event));
    }

    pub(super) fn transmit(
        &mut self,
        now_ms: u64,
        pending: Pending,
        build: impl FnOnce(&mut Encoder, u32) -> Bytes,
    ) -> u32 {
        let request = self.requests.open(pending, now_ms);
        let frame = build(&mut self.encoder, request);
        self.heartbeat.sent_ms = now_ms;
        self.effects.push_back(Effect::Transmit(frame));
        request
    }

    pub(super) fn may_transmit(&self) -> bool {
        self.is_ready() && self.moving.is_none()
    }

    fn on_frame(&mut self, now_ms: u64, frame: &[u8]) {
        self.heartbeat.on_received(now_ms);
        let result = match decode_event(frame) {
            Ok(EventFrame { request: 0, event }) => self.on_push(now_ms, event),
            Ok(EventFrame { request, event }) => match self.requests.close(request) {
                Some(pending) => self.on_reply(now_ms, request, pending, event),
                None => Ok(()), // to a question given up
            },
            Err(_) => Err(Reason::Misbehaved("an event does not verify")),
        };
        if let Err(reason) = result {
            self.drop_link(now_ms, reason);
        }
    }

    fn on_push(&mut self, now_ms: u64, event: EventBody) -> Result<(), Reason> {
        match event {
            EventBody::Message(message) => return self.on_message(now_ms, message),
            EventBody::HeadMoved(moved) => return self.on_head_moved(now_ms, moved),
            EventBody::Marked(marked) => self.on_marked(marked),
            EventBody::SyncNeeded => {
                self.sync.need();
                self.tell(ClientEvent::ContactsMissed);
                self.tell(ClientEvent::PresenceMissed);
            }
            EventBody::OrgChanged { version } => self.tell(ClientEvent::OrgChanged { version }),
            EventBody::PresenceChanged(contacts) => self.on_presence_changed(contacts),
            EventBody::PresenceSet(own) => self.tell(ClientEvent::PresenceSet { query: None, own }),
            EventBody::ContactChanged(contact) => {
                self.tell(ClientEvent::ContactChanged { query: None, contact });
            }
            EventBody::ProfileChanged(changed) => {
                self.tell(ClientEvent::ProfileChanged(changed));
            }
            EventBody::AdvertsSet { off } => self.tell_adverts(off),
            EventBody::Announced(announced) => self.tell(ClientEvent::Announced(announced)),
            EventBody::Move(to) => {
                let delay_ms = u64::from(to.reconnect_ms.min(to.deadline_ms));
                let addresses = to.addresses.clone();
                self.tell(ClientEvent::MoveAsked { addresses, delay_ms });
                self.moving = Some(Moving { at_ms: now_ms + delay_ms, addresses: to.addresses });
            }
            EventBody::Closing(closing) => {
                self.closing = Some(Refused {
                    code: closing.code,
                    name: closing.name,
                    reason: closing.reason,
                    detail: 0,
                    retry_ms: 0,
                });
            }
            EventBody::Refused(refused) => self.closing = Some(refused),
            EventBody::Unknown(_) => {}
            _ => return Err(Reason::Misbehaved("an answer without a request")),
        }
        Ok(())
    }

    fn on_reply(
        &mut self,
        now_ms: u64,
        request: u32,
        pending: Pending,
        event: EventBody,
    ) -> Result<(), Reason> {
        match (pending, event) {
            (_, EventBody::Unknown(_)) => Err(Reason::Misbehaved("an answer of an unknown kind")),
            (Pending::Ping, EventBody::Pong { .. } | EventBody::Refused(_)) => Ok(()),
            (Pending::Send { counter }, EventBody::Sent(sent)) => self.on_sent(now_ms, counter, sent),
            (Pending::Send { counter }, EventBody::Refused(refused)) => {
                self.on_send_refused(now_ms, counter, request, refused);
                Ok(())
            }
            (Pending::CatchUp { conversation }, EventBody::Pulled(pulled)) => {
                self.on_caught_up(now_ms, conversation, pulled)
            }
            (Pending::CatchUp { conversation }, EventBody::Refused(refused)) => {
                self.on_catch_up_refused(now_ms, conversation, &refused);
                Ok(())
            }
            (Pending::Mark { conversation }, EventBody::Marked(marked)) => {
                self.marks_in_flight.remove(&conversation);
                self.marks_due.insert(conversation);
                self.on_marked(marked);
                Ok(())
            }
            (Pending::Mark { conversation }, EventBody::Refused(refused)) => {
                self.on_mark_refused(now_ms, conversation, &refused);
                Ok(())
            }
            (Pending::Sync, EventBody::Synced(synced)) => self.on_synced(now_ms, synced),
            (Pending::Sync, EventBody::Refused(refused)) => {
                let hold_ms = if is_transient(&refused) { retry_ms(&refused) } else { RETRY_MS_MAX };
                // A token without chat has no list, now and later.
                let is_hopeless = refused.code == Refusal::NotAllowed.code();
                let hold_ms = if is_hopeless { super::HOPELESS_MS } else { hold_ms };
                self.sync.on_refused(now_ms + hold_ms);
                Ok(())
            }
            (Pending::Find { query }, EventBody::UserFound(found)) => {
                let UserFound { user, name, deleted } = found;
                self.tell(ClientEvent::UserFound { query, user, name, deleted });
                Ok(())
            }
            (Pending::History { query }, EventBody::Pulled(pulled)) => {
                self.pulls.on_answered();
                self.tell(ClientEvent::History { query, pulled });
                Ok(())
            }
            (Pending::Contact { query, .. }, event) => self.on_contact_answer(query, event),
            (Pending::Presence { query, .. }, event) => self.on_presence_answer(query, event),
            (Pending::Adverts { query }, event) => self.on_adverts_answer(query, event),
            (Pending::Org { query }, event) => self.on_org_answer(query, event),
            (Pending::Device { query }, event) => self.on_device_answer(query, event),
            (Pending::Operator { query }, event) => self.on_operator_answer(query, event),
            (Pending::Find { query } | Pending::Account { query, .. }, EventBody::Refused(refused)) => {
                self.tell(ClientEvent::QueryRefused { query, refused });
                Ok(())
            }
            (Pending::Account { query, keys }, event) => self.on_account_answer(query, keys, event),
            (Pending::History { query }, EventBody::Refused(refused)) => {
                self.pulls.on_answered();
                self.tell(ClientEvent::QueryRefused { query, refused });
                Ok(())
            }
            (pending, event) => self.on_login_reply(now_ms, pending, event),
        }
    }

    fn on_adverts_answer(&mut self, query: QueryId, event: EventBody) -> Result<(), Reason> {
        let told = match event {
            EventBody::AdvertsSet { off } => {
                self.adverts_off = Some(off);
                ClientEvent::AdvertsSet { query: Some(query), off }
            }
            EventBody::Refused(refused) => ClientEvent::QueryRefused { query, refused },
            _ => return Err(Reason::Misbehaved("another answer to a question about adverts")),
        };
        self.tell(told);
        Ok(())
    }
    fn on_tick(&mut self, now_ms: u64) {
        let overdue = |deadline: Option<u64>| deadline.is_some_and(|deadline_ms| now_ms >= deadline_ms);
        let step = self.link.waits_for_node().then_some(self.link_since_ms + LOGIN_STEP_MS_MAX);
        if overdue(step) || overdue(self.requests.deadline_ms()) || overdue(self.heartbeat.dead_ms()) {
            self.drop_link(now_ms, Reason::Silent);
            return;
        }
        if overdue(self.moving.as_ref().map(|moving| moving.at_ms)) {
            self.drop_link(now_ms, Reason::Moved);
            return;
        }
        if overdue(self.heartbeat.ping_due_ms()) {
            self.transmit(now_ms, Pending::Ping, |encoder, request| encoder.ping(request, now_ms));
            self.heartbeat.on_ping(now_ms);
        }
        let unanswered = self.outbox.tick(now_ms);
        self.on_unanswered(unanswered);
    }

    pub(super) fn drop_link(&mut self, now_ms: u64, reason: Reason) {
        self.effects.push_back(Effect::Disconnect(reason.clone()));
        self.on_link_down(now_ms, reason);
    }

    fn on_link_down(&mut self, now_ms: u64, reason: Reason) {
        if let (Link::Registering, Intent::Register { attempted, .. }) = (&self.link, &mut self.intent) {
            *attempted = true;
        }
        self.link = Link::Down;
        for query in self.requests.clear() {
            self.tell(ClientEvent::QueryLost { query });
        }
        while let Some((query, _)) = self.queries.next(true, true) {
            self.tell(ClientEvent::QueryLost { query });
        }
        self.outbox.on_disconnected();
        self.reset_chat();
        let moving = self.moving.take();
        let transient = reason.is_transient();
        let retry_ms = match &reason {
            Reason::Closed(refused) => u64::from(refused.retry_ms),
            _ => 0,
        };
        self.tell(ClientEvent::Disconnected(reason));
        if !transient {
            self.wanted = false;
        }
        if !self.wanted {
            return;
        }
        let (delay_ms, addresses) = match moving {
            Some(moving) => (moving.at_ms.saturating_sub(now_ms), moving.addresses),
            None => (self.reconnect_delay_ms().max(retry_ms), Vec::new()),
        };
        self.attempts = self.attempts.saturating_add(1);
        self.effects.push_back(Effect::ReconnectAfter { delay_ms, addresses });
    }

    /// The node's delay at first, then twice as long each time, half of it by lot.
    fn reconnect_delay_ms(&self) -> u64 {
        if self.attempts == 0 {
            return self.reconnect_ms.min(RECONNECT_MS_MAX);
        }
        let doubled = RECONNECT_MS.max(self.reconnect_ms) << self.attempts.min(10);
        let longest = doubled.min(RECONNECT_MS_MAX);
        let lot = xxhash_rust::xxh3::xxh3_64_with_seed(&self.attempts.to_le_bytes(), self.jitter);
        longest / 2 + lot % (longest / 2 + 1)
    }

    pub(super) fn run_after(&mut self, due: Vec<After>) {
        for after in due {
            match after {
                After::Tell(event) => self.tell(event),
                After::Stored { counter } => self.outbox.on_stored(counter),
                After::Durable { conversation, seq } => {
                    if let Some(feed) = self.feeds.get_mut(&conversation) {
                        feed.durable_seq = feed.durable_seq.max(seq.min(feed.state.applied.seq));
                        self.marks_due.insert(conversation);
                    }
                }
            }
        }
    }

    /// The end of every turn: what changed is persisted, what may go goes.
    pub(super) fn finish(&mut self, now_ms: u64) {
        self.write_changes();
        let due = self.journal.flush(&mut self.effects);
        self.run_after(due);
        if self.may_transmit() {
            self.transmit_sends(now_ms);
            self.transmit_sync(now_ms);
            self.transmit_queries(now_ms);
            self.transmit_pulls(now_ms);
            self.transmit_marks(now_ms);
        }
    }

    /// What must hold between any two calls; for tests and simulators, which call it after each.
    pub fn check_invariants(&self) {
        self.outbox.check_invariants();
        assert!(self.effects.is_empty() || !matches!(self.link, Link::Ready) || self.account.is_some());
        assert!(self.marks_in_flight.len() <= super::MARKS_IN_FLIGHT_MAX);
        assert!(self.requests.queries() <= QUERIES_IN_FLIGHT_MAX);
        for (conversation, feed) in &self.feeds {
            assert!(conversation.is_of(self.me()), "{conversation:?} is of others");
            feed.check_invariants();
        }
    }

    fn transmit_queries(&mut self, now_ms: u64) {
        while self.requests.queries() < QUERIES_IN_FLIGHT_MAX {
            let sync_allowed = self.sync.is_idle() && !self.requests.reads_pages();
            let Some((id, query)) = self.queries.next(self.pulls.is_idle(), sync_allowed) else { return };
            match query {
                Query::Find { name } => {
                    let pending = Pending::Find { query: id };
                    self.transmit(now_ms, pending, |encoder, request| encoder.find_user(request, &name));
                }
                Query::Name { user } => {
                    let pending = Pending::Find { query: id };
                    self.transmit(now_ms, pending, |encoder, request| encoder.name_user(request, user));
                }
                Query::SetAdverts { off } => {
                    let pending = Pending::Adverts { query: id };
                    self.transmit(now_ms, pending, |encoder, request| encoder.set_adverts(request, off));
                }
                Query::Contact(query) => {
                    let pending = Pending::Contact { query: id, is_long: query.is_long() };
                    self.transmit(now_ms, pending, |encoder, request| query.encode(encoder, request));
                }
                Query::Org { position, rows_max } => {
                    let pending = Pending::Org { query: id };
                    self.transmit(now_ms, pending, |e, request| e.sync_org(request, position, rows_max));
                }
                Query::Presence(query) => {
                    let pending = Pending::Presence { query: id, is_long: query.is_long() };
                    if query.is_long() {
                        self.presences.begin();
                    }
                    self.transmit(now_ms, pending, |encoder, request| query.encode(encoder, request));
                }
                Query::Account(query) => {
                    let keys = match &query {
                        AccountQuery::ChangePassword { new, .. } => Some(new.clone()),
                        _ => None,
                    };
                    let pending = Pending::Account { query: id, keys };
                    self.transmit(now_ms, pending, |encoder, request| query.encode(encoder, request));
                }
                Query::Operator(query) => {
                    let pending = Pending::Operator { query: id };
                    self.transmit(now_ms, pending, |encoder, request| query.encode(encoder, request));
                }
                Query::Device(query) => {
                    let pending = Pending::Device { query: id };
                    self.transmit(now_ms, pending, |encoder, request| query.encode(encoder, request));
                }
                Query::History { conversation, from, to } => {
                    self.pulls.on_sent();
                    let epoch = self.feeds.get(&conversation).map_or(0, |feed| feed.state.epoch);
                    let pull = Pull { from, to, bytes_max: PULL_BYTES_MAX, epoch };
                    let pending = Pending::History { query: id };
                    self.transmit(now_ms, pending, |e, request| e.pull(request, conversation, &pull));
                }
            }
        }
    }
}

/// How long to wait before trying again.
pub(super) fn retry_ms(refused: &Refused) -> u64 {
    u64::from(refused.retry_ms).clamp(RETRY_MS_MIN, RETRY_MS_MAX)
}

/// Whether the same command may be taken a little later.
pub(super) fn is_transient(refused: &Refused) -> bool {
    match Refusal::from_code(refused.code) {
        Some(
            Refusal::TooManyRequests
            | Refusal::Busy
            | Refusal::TooManyFromAddress
            | Refusal::Stopping
            | Refusal::TimedOut
            | Refusal::LoginDelayed
            | Refusal::WindowFull
            | Refusal::StorageFull,
        ) => true,
        Some(_) => false,
        None => refused.retry_ms > 0, // of a later version
    }
}
