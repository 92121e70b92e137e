//! A node of a few hundred lines: right about logs, marks and lists, and unfriendly where a test wants it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::frame::LENGTH_LEN;
use crate::ids::{ConversationId, DeviceId, SessionId, UserId};
use crate::message::{
    Challenge, Entry, EntryKind, HeadMoved, LoggedIn, MarkKind, Marked, Move, Place, PulledRange, Range,
    RangeKind, RegisterTerms, Resumed, Sent, Summary, Synced, UserFound, Welcome,
};
use crate::scram::{self, ClientFirst, Credentials, Exchange, Mechanism};
use crate::{
    Command, ConnectionPhase, Encoder, Incoming, OwnerKey, Refusal, UserName, body, classify, verified,
};

const SALT: [u8; 16] = [3; 16];
const ITERATIONS: u32 = scram::ITERATIONS_MIN;

#[derive(Default)]
pub struct Log {
    pub entries: Vec<Entry>,
    /// Delivered and read per user.
    marks: BTreeMap<UserId, [Place; 2]>,
    /// Per sender and device: counter to seq, and the last counter.
    taken: BTreeMap<(UserId, DeviceId), BTreeMap<u64, u64>>,
    pub epoch: u32,
}

impl Log {
    /// As restored from a state in which the log ended here.
    pub fn forget_after(&mut self, seq: u64) {
        for taken in self.taken.values_mut() {
            taken.retain(|_, taken_seq| *taken_seq <= seq);
        }
    }
}

/// One connection.
pub struct Peer {
    pub user: UserId,
    pub device: DeviceId,
    pub phase: ConnectionPhase,
    exchange: Option<(UserName, Exchange)>,
    /// Frames on their way to the client, without their length fields.
    pub out: VecDeque<Bytes>,
}

/// How a node treats the next commands of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Refuse {
        refusal: Refusal,
        retry_ms: u32,
    },
    /// Taken, but the answer is lost with the connection.
    Ignore,
}

#[derive(Default)]
pub struct Node {
    pub logs: BTreeMap<ConversationId, Log>,
    accounts: BTreeMap<String, (UserId, Credentials)>,
    next_device: u32,
    /// Per user: the version at which each conversation changed last.
    lists: BTreeMap<UserId, BTreeMap<ConversationId, u64>>,
    uver: u64,
    pub peers: BTreeMap<u64, Peer>,
    last_peer: u64,
    pub faults: BTreeMap<Command, VecDeque<Fault>>,
    /// Pushes are dropped and become `HeadMoved`.
    pub drop_pushes: bool,
    pub forget_counters: bool,
    pub pull_entries_max: usize,
    pub commands: Vec<Command>,
    pub plain: bool,
    encoder: Encoder,
}

impl Node {
    pub fn new() -> Self {
        Node { pull_entries_max: 3, next_device: 100, ..Node::default() }
    }

    pub fn connect(&mut self) -> u64 {
        self.last_peer += 1;
        let peer = Peer {
            user: UserId::NOBODY,
            device: DeviceId(0),
            phase: ConnectionPhase::Greeting,
            exchange: None,
            out: VecDeque::new(),
        };
        self.peers.insert(self.last_peer, peer);
        self.last_peer
    }

    pub fn disconnect(&mut self, peer: u64) {
        self.peers.remove(&peer);
    }

    /// Frames of one client's bytes; each is whole.
    pub fn handle(&mut self, peer: u64, frame: &[u8], now_ms: u64) {
        let at = self.peers[&peer].phase;
        let Incoming { command, request, owner, body } =
            classify(&frame[LENGTH_LEN..], at).unwrap_or_else(|misfit| panic!("{misfit:?} at {at:?}"));
        self.commands.push(command);
        match self.faults.get_mut(&command).and_then(VecDeque::pop_front) {
            Some(Fault::Refuse { refusal, retry_ms }) => {
                let frame = self.encoder.refused(request, refusal, 0, retry_ms);
                return self.answer(peer, frame);
            }
            Some(Fault::Ignore) => return,
            None => {}
        }
        let answer = match (command, owner) {
            (Command::Send, OwnerKey::Conversation(id)) => self.send(peer, request, id, body, now_ms),
            (Command::Pull, OwnerKey::Conversation(id)) => self.pull(request, id, body),
            (Command::Mark, OwnerKey::Conversation(id)) => self.mark(peer, request, id, body),
            (Command::Sync, _) => self.sync(peer, request, body),
            (Command::FindUser, _) => self.find(request, body),
            (Command::Ping, _) => self.encoder.pong(request, now_ms),
            _ => self.log_in(peer, command, request, body),
        };
        self.answer(peer, answer);
    }

    pub fn move_away(&mut self, peer: u64, reconnect_ms: u32) {
        let to = Move { addresses: vec!["other:1".to_owned()], reconnect_ms, deadline_ms: 9_000 };
        let frame = self.encoder.move_away(&to);
        self.answer(peer, frame);
    }

    pub fn sync_needed(&mut self, peer: u64) {
        let frame = self.encoder.sync_needed();
        self.answer(peer, frame);
    }

    pub fn closing(&mut self, peer: u64, refusal: Refusal) {
        let frame = self.encoder.closing(refusal);
        self.answer(peer, frame);
    }

    fn answer(&mut self, peer: u64, frame: Bytes) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.out.push_back(frame.slice(LENGTH_LEN..));
        }
    }

    fn log_in(&mut self, peer: u64, command: Command, request: u32, body: &[u8]) -> Bytes {
        match command {
            Command::Hello => {
                self.peers.get_mut(&peer).expect("a peer").phase = ConnectionPhase::BeforeLogin;
                let plus = (!self.plain).then(|| Mechanism::Sha256Plus.name().to_owned());
                let welcome = Welcome {
                    version: 1,
                    features: 0,
                    software: "fake".to_owned(),
                    time_ms: 0,
                    registration_open: true,
                    mechanisms: plus.into_iter().chain([Mechanism::Sha256.name().to_owned()]).collect(),
                    idle_ms_max: 60_000,
                    body_bytes_max: 65_536,
                    window: 4,
                };
                self.encoder.welcome(request, &welcome)
            }
            Command::RegisterStart => {
                let terms = RegisterTerms { salt: SALT.to_vec(), iterations: ITERATIONS };
                self.encoder.register_terms(request, &terms)
            }
            Command::Register => self.register(request, body),
            Command::LoginStart => self.login_start(peer, request, body),
            Command::LoginProof => self.login_proof(peer, request, body),
            Command::Resume => self.resume(peer, request, body),
            Command::Logout => self.encoder.logged_out(request),
            other => panic!("{other:?} is not faked"),
        }
    }

    fn register(&mut self, request: u32, body: &[u8]) -> Bytes {
        let register = verified::view::<body::Register>(body).expect("verifies");
        let key = |bytes: Option<flatbuffers::Vector<'_, u8>>| {
            <[u8; 32]>::try_from(bytes.expect("a key").bytes()).expect("32 bytes")
        };
        let name = UserName::parse(register.name().expect("a name")).expect("allowed").into_string();
        let credentials =
            Credentials { stored_key: key(register.stored_key()), server_key: key(register.server_key()) };
        if self.accounts.contains_key(&name) {
            return self.encoder.refused(request, Refusal::NameTaken, 0, 0);
        }
        let user = UserId((self.accounts.len() as u64 + 1) << 10);
        self.accounts.insert(name, (user, credentials));
        self.encoder.registered(request, user)
    }

    fn login_start(&mut self, peer: u64, request: u32, body: &[u8]) -> Bytes {
        let start = verified::view::<body::LoginStart>(body).expect("verifies");
        let first = ClientFirst::parse(start.client_first().expect("a message")).expect("well-formed");
        let mechanism = Mechanism::from_name(start.mechanism().expect("a mechanism")).expect("known");
        scram::check_mechanism(mechanism, first.flag, !self.plain).expect("they fit");
        let exchange = scram::server_first(&first, &SALT, ITERATIONS, "servernonce");
        let challenge = Challenge { server_first: exchange.server_first.clone(), valid_ms: 60_000 };
        let peer = self.peers.get_mut(&peer).expect("a peer");
        peer.phase = ConnectionPhase::Challenged;
        peer.exchange = Some((UserName::parse(&first.name).expect("allowed"), exchange));
        self.encoder.challenge(request, &challenge)
    }

    fn login_proof(&mut self, peer: u64, request: u32, body: &[u8]) -> Bytes {
        let proof = verified::view::<body::LoginProof>(body).expect("verifies");
        let (name, exchange) =
            self.peers.get_mut(&peer).expect("a peer").exchange.take().expect("challenged");
        self.peers.get_mut(&peer).expect("a peer").phase = ConnectionPhase::BeforeLogin;
        let binding: &[u8] = if self.plain { &[] } else { &[9; 32] };
        let account = self.accounts.get(name.as_str()).cloned();
        let proven = account.and_then(|(user, credentials)| {
            let message = proof.client_final().expect("a message");
            let proven = scram::verify(&exchange, message, &credentials, binding).ok()?;
            Some((user, proven))
        });
        let Some((user, proven)) = proven else {
            return self.encoder.refused(request, Refusal::LoginFailed, 0, 0);
        };
        let device = match proof.device() {
            0 => {
                self.next_device += 1;
                DeviceId(self.next_device)
            }
            device => DeviceId(device),
        };
        self.enter(peer, user, device);
        let logged_in = LoggedIn {
            server_final: proven.server_final,
            user,
            name: name.into_string(),
            device,
            session: SessionId(peer),
            ticket: ticket(user, device),
            ticket_ms: 1_000_000,
            reconnect_ms: 40,
            idle_ms_max: 60_000,
            uver: 0,
        };
        self.encoder.logged_in(request, &logged_in)
    }

    fn resume(&mut self, peer: u64, request: u32, body: &[u8]) -> Bytes {
        let resume = verified::view::<body::Resume>(body).expect("verifies");
        let ticket_bytes = resume.ticket().expect("a ticket").bytes().to_vec();
        let (user, device) = ticket_bytes.split_at(8);
        let user = UserId(u64::from_le_bytes(user.try_into().expect("8 bytes")));
        let device = DeviceId(u32::from_le_bytes(device.try_into().expect("4 bytes")));
        self.enter(peer, user, device);
        let afresh = resume.uver() > self.uver;
        let resumed = Resumed {
            user,
            name: "anna".to_owned(),
            device,
            session: SessionId(peer),
            ticket: ticket_bytes,
            ticket_ms: 1_000_000,
            reconnect_ms: 40,
            idle_ms_max: 60_000,
            afresh,
            from: if afresh { 0 } else { resume.uver() },
        };
        self.encoder.resumed(request, &resumed)
    }

    fn enter(&mut self, peer: u64, user: UserId, device: DeviceId) {
        let peer = self.peers.get_mut(&peer).expect("a peer");
        (peer.user, peer.device, peer.phase) = (user, device, ConnectionPhase::LoggedIn);
    }

    fn send(&mut self, peer: u64, request: u32, id: ConversationId, body: &[u8], now_ms: u64) -> Bytes {
        let send = verified::view::<body::Send>(body).expect("verifies");
        let (user, device) = (self.peers[&peer].user, self.peers[&peer].device);
        let log = self.logs.entry(id).or_insert_with(|| Log { epoch: 1, ..Log::default() });
        let taken = log.taken.entry((user, device)).or_default();
        let last = taken.keys().next_back().copied().unwrap_or(0);
        let counter = send.counter();
        let repeated = taken.get(&counter).copied();
        if counter <= last && (repeated.is_none() || self.forget_counters) {
            return self.encoder.refused(request, Refusal::SyncFirst, 0, 0);
        }
        if repeated.is_none() && send.previous() != last {
            return self.encoder.refused(request, Refusal::OutOfOrder, last, 0);
        }
        let is_new = repeated.is_none();
        let seq = repeated.unwrap_or(log.entries.len() as u64 + 1);
        let place = Place { seq, ord: seq };
        let sent = Sent { conversation: id, counter, place, time_ms: now_ms, epoch: log.epoch };
        if is_new {
            taken.insert(counter, seq);
            let entry = Entry {
                place,
                time_ms: now_ms,
                sender: user,
                device,
                counter,
                kind: EntryKind::Message,
                body_kind: send.body_kind(),
                body: Bytes::copy_from_slice(send.body().expect("a body").bytes()),
                extras: None,
            };
            log.entries.push(entry.clone());
            log.marks.insert(user, [place, place]);
            self.changed(id);
            self.push_entry(peer, id, &entry);
        }
        self.encoder.sent(request, &sent)
    }

    fn push_entry(&mut self, except: u64, id: ConversationId, entry: &Entry) {
        let epoch = self.logs[&id].epoch;
        let frame = if self.drop_pushes {
            self.encoder.head_moved(&HeadMoved { conversation: id, epoch, head: entry.place })
        } else {
            self.encoder.message(id, epoch, &entry.view())
        };
        self.push(except, id, &frame);
    }

    fn push(&mut self, except: u64, id: ConversationId, frame: &Bytes) {
        for (number, peer) in &mut self.peers {
            if *number != except && id.has(peer.user) {
                peer.out.push_back(frame.slice(LENGTH_LEN..));
            }
        }
    }

    fn changed(&mut self, id: ConversationId) {
        for user in id.users() {
            self.uver += 1;
            self.lists.entry(user).or_default().insert(id, self.uver);
        }
    }

    fn pull(&mut self, request: u32, id: ConversationId, body: &[u8]) -> Bytes {
        let pull = verified::view::<body::Pull>(body).expect("verifies");
        assert!(pull.from() >= 1 && pull.to() >= pull.from());
        let empty = Log::default();
        let log = self.logs.get(&id).unwrap_or(&empty);
        let head = log.entries.last().map_or(Place::START, |entry| entry.place);
        let to = pull.to().min(head.seq).max(pull.from() - 1);
        let range = PulledRange { conversation: id, from: pull.from(), to, epoch: log.epoch, head };
        if pull.epoch() != 0 && pull.epoch() != log.epoch && to >= pull.from() {
            let changed = Range { from: pull.from(), to, kind: RangeKind::EpochChanged };
            return self.encoder.pulled(request, &range, [], &[changed]);
        }
        let count = self.pull_entries_max.min((to + 1 - pull.from()) as usize);
        let entries = log.entries.iter().skip(pull.from() as usize - 1).take(count).map(Entry::view);
        let next = pull.from() + count as u64;
        let more = (next <= to).then_some(Range { from: next, to, kind: RangeKind::More });
        self.encoder.pulled(request, &range, entries, more.as_slice())
    }

    fn mark(&mut self, peer: u64, request: u32, id: ConversationId, body: &[u8]) -> Bytes {
        let mark = verified::view::<body::Mark>(body).expect("verifies");
        let user = self.peers[&peer].user;
        let log = self.logs.get_mut(&id).expect("a conversation");
        assert!(mark.seq() >= 1 && mark.seq() <= log.entries.len() as u64, "a mark of what is not there");
        let place = log.entries[mark.seq() as usize - 1].place;
        let marks = log.marks.entry(user).or_default();
        let before = *marks;
        marks[0] = marks[0].max(place);
        if mark.kind() == MarkKind::Read {
            marks[1] = marks[1].max(place);
        }
        let now = if mark.kind() == MarkKind::Read { marks[1] } else { marks[0] };
        let moved = before != *marks;
        let marked = Marked { conversation: id, user, kind: mark.kind(), place: now };
        if moved {
            self.changed(id);
            let frame = self.encoder.marked(0, &marked);
            self.push(peer, id, &frame);
        }
        self.encoder.marked(request, &marked)
    }

    fn sync(&mut self, peer: u64, request: u32, body: &[u8]) -> Bytes {
        let sync = verified::view::<body::Sync>(body).expect("verifies");
        let user = self.peers[&peer].user;
        let list = self.lists.entry(user).or_default();
        let mut newer: Vec<(u64, ConversationId)> =
            list.iter().map(|(id, uver)| (*uver, *id)).filter(|(uver, _)| *uver > sync.uver()).collect();
        newer.sort();
        let more = newer.len() > 2;
        newer.truncate(2);
        let to = newer.last().map_or(sync.uver(), |(uver, _)| *uver);
        let changes: Vec<Summary> = newer.iter().map(|(uver, id)| self.summary(user, *id, *uver)).collect();
        self.encoder.synced(request, &Synced { from: sync.uver(), to, more, changes, adverts_off: false })
    }

    pub fn summary(&self, user: UserId, id: ConversationId, uver: u64) -> Summary {
        let log = &self.logs[&id];
        let head = log.entries.last().expect("an entry");
        let marks = |user| log.marks.get(&user).copied().unwrap_or_default();
        let [delivered, read] = marks(user);
        let [peer_delivered, peer_read] = marks(id.peer_of(user).expect("one of two"));
        Summary {
            conversation: id,
            uver,
            epoch: log.epoch,
            head: head.place,
            read,
            delivered,
            peer_read,
            peer_delivered,
            time_ms: head.time_ms,
            mentioned: 0,
        }
    }

    fn find(&mut self, request: u32, body: &[u8]) -> Bytes {
        let find = verified::view::<body::FindUser>(body).expect("verifies");
        let name = UserName::parse(find.name().expect("a name")).expect("allowed");
        match self.accounts.get(name.as_str()) {
            Some((user, _)) => {
                let found = UserFound { user: *user, name: name.into_string(), deleted: false };
                self.encoder.user_found(request, &found)
            }
            None => self.encoder.refused(request, Refusal::UnknownUser, 0, 0),
        }
    }
}

/// A ticket that says whom it is for.
pub fn ticket(user: UserId, device: DeviceId) -> Vec<u8> {
    [&user.0.to_le_bytes()[..], &device.0.to_le_bytes()].concat()
}
