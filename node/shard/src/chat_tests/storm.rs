//! Everything at once, in random order: sends, marks, pulls, syncs, crashes, full disks and lanes without room. In the end
//! all that was sent is there once and in order, and everybody knows.

use std::collections::BTreeMap;

use wire::message::{Entry, MarkKind, Place, Pull};
use wire::{ConversationId, EventBody, Refusal};

use super::sends::Session;
use super::world::{Received, World, pulled, synced};
use crate::rng::Rng;

/// One send of one device, until it is decided.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    counter: u64,
    previous: u64,
    /// Of the last transmission, if that has not been answered.
    request: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Send(ConversationId, u64),
    Mark(ConversationId, u64),
    Sync,
    Pull,
}

/// A client as PROTOCOL.md wants it, without a connection.
struct Device {
    session: Session,
    counter: u64,
    outgoing: BTreeMap<ConversationId, Vec<Outgoing>>,
    acked: BTreeMap<ConversationId, BTreeMap<u64, Place>>,
    marked: BTreeMap<ConversationId, u64>,
    asked: BTreeMap<u32, Asked>,
    /// Of its list, as far as synced.
    uver: u64,
    heads: BTreeMap<ConversationId, u64>,
    peer_read: BTreeMap<ConversationId, u64>,
    /// It must sync before it knows.
    behind: bool,
    /// Since the last answer to a sync.
    told_to_sync: bool,
    entries: BTreeMap<(ConversationId, u64), Entry>,
}

struct Storm {
    world: World,
    rng: Rng,
    devices: Vec<Device>,
    chats: Vec<ConversationId>,
}

impl Storm {
    fn new(seed: u8) -> Self {
        let mut rng = Rng::new([seed; 32]);
        let credits = [1, 3, 50, 8_192][rng.below(4) as usize];
        let shards = 1 + rng.below(4) as u16;
        let mut world = World::with_credits(shards, credits);
        world.cached_max = 1 + rng.below(4) as usize;
        world.outbox_max = [4, 6, 100][rng.below(3) as usize];
        world.missed_max = [1, 3, 100][rng.below(3) as usize];
        world.crash(0, shards);
        let users: Vec<_> = [(3, 1), (700, 2), (3, 3), (512, 4)].map(|(slot, n)| world.user(slot, n)).into();
        let mut devices = Vec::new();
        for user in &users {
            for device in 1..=1 + rng.below(2) as u32 {
                let shard = rng.below(u64::from(shards)) as u16;
                devices.push(Device::new(world.session(*user, device, shard)));
            }
        }
        let pairs = [(0, 1), (0, 2), (1, 2), (1, 3)];
        let chat = |(a, b): (usize, usize)| ConversationId::private(users[a], users[b]).expect("two users");
        Self { world, rng, devices, chats: pairs.map(chat).into() }
    }

    fn act(&mut self) {
        let index = self.rng.below(self.devices.len() as u64) as usize;
        let device = &mut self.devices[index];
        let user = device.session.0;
        let own: Vec<_> = self.chats.iter().copied().filter(|chat| chat.has(user)).collect();
        let chat = own[self.rng.below(own.len() as u64) as usize];
        match self.rng.below(10) {
            0..5 => device.send(&mut self.world, chat),
            5 | 6 => {
                let seq = device.heads.get(&chat).copied().unwrap_or(0);
                if seq > 0 {
                    let seq = 1 + self.rng.below(seq);
                    let kind = [MarkKind::Read, MarkKind::Delivered][self.rng.below(2) as usize];
                    let request = self.world.mark(device.session, chat, kind, seq);
                    let read = if kind == MarkKind::Read { seq } else { 0 };
                    device.asked.insert(request, Asked::Mark(chat, read));
                }
            }
            7 => {
                let from = 1 + self.rng.below(30);
                let pull = Pull { from, to: from + self.rng.below(30), bytes_max: 0, epoch: 0 };
                let request = self.world.pull(device.session, chat, pull);
                device.asked.insert(request, Asked::Pull);
            }
            _ => device.sync(&mut self.world),
        }
    }

    fn disturb(&mut self, crashes: &mut u32) {
        match self.rng.below(40) {
            0 => {
                *crashes += 1;
                let (survivors, shards) = (self.rng.below(4) as usize, 1 + self.rng.below(4) as u16);
                // What was told before the crash has arrived.
                self.read();
                self.world.crash(survivors, shards);
                for device in &mut self.devices {
                    device.reconnect(&mut self.world);
                }
            }
            1 => self.world.full = true,
            2..5 => self.world.full = false,
            5 => self.world.now.wall_ms -= self.rng.below(100_000),
            _ => self.world.now.mono_ms += self.rng.below(200),
        }
        self.world.now.wall_ms += self.rng.below(20);
    }

    /// Clients read what came and go on.
    fn read(&mut self) {
        for device in &mut self.devices {
            let received = self.world.take(device.session);
            device.read(&received);
        }
    }

    fn resend(&mut self) -> bool {
        let mut resent = false;
        for device in &mut self.devices {
            resent |= device.resend(&mut self.world);
        }
        resent
    }

    fn calm_down(&mut self) {
        self.world.full = false;
        for round in 0.. {
            assert!(round < 1_000, "clients do not come to rest");
            self.world.now.mono_ms += 1_000;
            self.world.settle();
            self.read();
            if !self.resend() && self.devices.iter().all(|device| !device.behind) {
                return;
            }
        }
    }

    fn check(&mut self, seed: u8) {
        self.world.verify_disk();
        for chat in self.chats.clone() {
            let reader = self.devices.iter().position(|device| chat.has(device.session.0)).expect("a device");
            let entries = self.history(reader, chat);
            for (index, entry) in entries.iter().enumerate() {
                assert_eq!(entry.place, Place { seq: index as u64 + 1, ord: index as u64 + 1 });
                assert!(index == 0 || entries[index - 1].time_ms <= entry.time_ms, "seed {seed}");
            }
            let head = entries.len() as u64;
            for device in self.devices.iter().filter(|device| chat.has(device.session.0)) {
                device.check(chat, &entries, seed);
                let known = device.heads.get(&chat).copied().unwrap_or(0);
                assert_eq!(known, head, "seed {seed}: {:?} does not know all of {chat:?}", device.session);
            }
            self.check_marks(chat, &entries, seed);
        }
        for index in 0..self.devices.len() {
            self.check_list(index, seed);
        }
    }

    fn check_marks(&mut self, chat: ConversationId, entries: &[Entry], seed: u8) {
        for user in chat.users() {
            let own = |device: &&Device| device.session.0 == user;
            let last = entries.iter().filter(|entry| entry.sender == user).map(|entry| entry.place.seq);
            let marked =
                self.devices.iter().filter(own).filter_map(|device| device.marked.get(&chat).copied());
            let least = last.chain(marked).max().unwrap_or(0);
            for device in self.devices.iter().filter(|device| chat.has(device.session.0)) {
                if device.session.0 != user {
                    let known = device.peer_read.get(&chat).copied().unwrap_or(0);
                    assert!(
                        known >= least,
                        "seed {seed}: {user:?} has read {least} of {chat:?}, not {known}"
                    );
                }
            }
        }
    }

    /// The list as it was synced piece by piece is the one that a new client gets.
    fn check_list(&mut self, index: usize, seed: u8) {
        let session = self.devices[index].session;
        self.devices[index].sync(&mut self.world);
        self.world.settle();
        self.read();
        let request = self.world.sync(session, 0, 0);
        self.world.settle();
        let list = synced(&self.world.take(session), request);
        let device = &self.devices[index];
        assert_eq!(list.to, device.uver, "seed {seed}");
        for change in &list.changes {
            assert_eq!(device.heads[&change.conversation], change.head.seq, "seed {seed}");
            let read = device.peer_read.get(&change.conversation).copied().unwrap_or(0);
            assert_eq!(read, change.peer_read.seq, "seed {seed}");
            let uvers = list.changes.iter().filter(|other| other.uver == change.uver);
            assert_eq!(uvers.count(), 1, "seed {seed}");
        }
    }

    fn history(&mut self, reader: usize, chat: ConversationId) -> Vec<Entry> {
        let (session, mut entries) = (self.devices[reader].session, Vec::new());
        loop {
            let from = entries.len() as u64 + 1;
            let pull = Pull { from, to: u64::MAX, bytes_max: 0, epoch: 0 };
            let request = self.world.pull(session, chat, pull);
            self.world.settle();
            let part = pulled(&self.world.take(session), request);
            entries.extend(part.entries);
            if entries.len() as u64 == part.head.seq {
                return entries;
            }
        }
    }
}

impl Device {
    fn new(session: Session) -> Self {
        Self {
            session,
            counter: 0,
            outgoing: BTreeMap::new(),
            acked: BTreeMap::new(),
            marked: BTreeMap::new(),
            asked: BTreeMap::new(),
            uver: 0,
            heads: BTreeMap::new(),
            peer_read: BTreeMap::new(),
            behind: false,
            told_to_sync: false,
            entries: BTreeMap::new(),
        }
    }

    fn send(&mut self, world: &mut World, chat: ConversationId) {
        let outgoing = self.outgoing.entry(chat).or_default();
        // Not while something is to be sent again first.
        if outgoing.len() >= 10 || outgoing.iter().any(|send| send.request.is_none()) {
            return;
        }
        self.counter += 1;
        let before = outgoing.last().map(|send| send.counter);
        let acked = self.acked.get(&chat).and_then(|acked| acked.keys().last().copied());
        // One behind a refused one may be acknowledged before it, when that was taken long ago.
        let (counter, previous) = (self.counter, before.max(acked).unwrap_or(0));
        let request = world.send(self.session, chat, counter, previous, &body(counter));
        outgoing.push(Outgoing { counter, previous, request: Some(request) });
        self.asked.insert(request, Asked::Send(chat, counter));
    }

    /// Sends again, in order, what was refused and all behind it, once nothing of it is on its way.
    fn resend(&mut self, world: &mut World) -> bool {
        let mut resent = false;
        for (chat, outgoing) in &mut self.outgoing {
            let on_their_way =
                self.asked.values().any(|asked| matches!(asked, Asked::Send(of, _) if of == chat));
            if on_their_way || outgoing.is_empty() {
                continue;
            }
            for send in outgoing {
                let request =
                    world.send(self.session, *chat, send.counter, send.previous, &body(send.counter));
                send.request = Some(request);
                self.asked.insert(request, Asked::Send(*chat, send.counter));
                resent = true;
            }
        }
        if self.behind && !self.asked.values().any(|asked| *asked == Asked::Sync) {
            self.sync(world);
        }
        resent
    }

    /// One at a time.
    fn sync(&mut self, world: &mut World) {
        if self.asked.values().any(|asked| *asked == Asked::Sync) {
            self.told_to_sync = true;
            return;
        }
        let request = world.sync(self.session, self.uver, 3);
        self.asked.insert(request, Asked::Sync);
        self.behind = true;
    }

    fn reconnect(&mut self, world: &mut World) {
        self.asked.clear();
        for send in self.outgoing.values_mut().flatten() {
            send.request = None;
        }
        self.sync(world);
    }

    fn read(&mut self, received: &Received) {
        for (request, event) in received {
            let asked = if *request == 0 { None } else { self.asked.remove(request) };
            match (asked, event) {
                (Some(Asked::Send(chat, counter)), EventBody::Sent(sent)) => {
                    assert_eq!(sent.counter, counter);
                    let outgoing = self.outgoing.get_mut(&chat).expect("sends");
                    outgoing.retain(|send| send.counter != counter);
                    let before = self.acked.entry(chat).or_default().insert(counter, sent.place);
                    assert!(before.is_none_or(|before| before == sent.place), "another answer");
                    self.learn(chat, sent.place.seq);
                }
                (Some(Asked::Send(chat, counter)), EventBody::Refused(refused)) => {
                    let refusal = Refusal::from_code(refused.code).expect("a known one");
                    let passing = [Refusal::Busy, Refusal::StorageFull, Refusal::OutOfOrder];
                    assert!(passing.contains(&refusal), "{refusal:?}");
                    for send in self.outgoing.get_mut(&chat).expect("sends") {
                        if send.counter == counter {
                            send.request = None;
                        }
                    }
                }
                (Some(Asked::Mark(chat, read)), EventBody::Marked(marked)) => {
                    assert!(marked.place.seq >= read);
                    let known = self.marked.entry(chat).or_default();
                    *known = (*known).max(read);
                }
                (Some(Asked::Sync), EventBody::Synced(list)) => {
                    self.behind = list.more || std::mem::take(&mut self.told_to_sync);
                    assert!(list.from <= self.uver && list.to >= list.from);
                    self.uver = self.uver.max(list.to);
                    for change in &list.changes {
                        self.learn(change.conversation, change.head.seq);
                        self.learn_read(change.conversation, change.peer_read.seq);
                    }
                }
                (Some(Asked::Pull), EventBody::Pulled(pulled)) => {
                    for entry in &pulled.entries {
                        self.see(pulled.conversation, entry);
                    }
                    self.learn(pulled.conversation, pulled.head.seq);
                }
                (None, EventBody::Message(message)) => {
                    self.see(message.conversation, &message.entry);
                    self.learn(message.conversation, message.entry.place.seq);
                    if message.entry.sender != self.session.0 {
                        self.learn_read(message.conversation, message.entry.place.seq);
                    }
                }
                (None, EventBody::HeadMoved(moved)) => self.learn(moved.conversation, moved.head.seq),
                (None, EventBody::Marked(marked)) => {
                    if marked.kind == MarkKind::Read && marked.user != self.session.0 {
                        self.learn_read(marked.conversation, marked.place.seq);
                    }
                }
                (None, EventBody::SyncNeeded) => {
                    // An answer that is on its way may not have it.
                    (self.behind, self.told_to_sync) = (true, true);
                }
                (Some(_), EventBody::Refused(_)) => {}
                (asked, event) => panic!("{event:?} to {asked:?}"),
            }
        }
    }

    /// An entry never changes once it was seen.
    fn see(&mut self, chat: ConversationId, entry: &Entry) {
        let before = self.entries.insert((chat, entry.place.seq), entry.clone());
        assert!(before.is_none_or(|before| before == *entry), "{entry:?} was another one");
    }

    fn learn(&mut self, chat: ConversationId, seq: u64) {
        let head = self.heads.entry(chat).or_default();
        *head = (*head).max(seq);
    }

    fn learn_read(&mut self, chat: ConversationId, seq: u64) {
        let read = self.peer_read.entry(chat).or_default();
        *read = (*read).max(seq);
    }

    /// All that this device sent is there, once, in order, under the acknowledged place.
    fn check(&self, chat: ConversationId, entries: &[Entry], seed: u8) {
        let (user, place) = self.session;
        let own = entries.iter().filter(|entry| (entry.sender, entry.device) == (user, place.device));
        let stored: Vec<_> = own.map(|entry| (entry.counter, entry.place)).collect();
        let acked: Vec<_> =
            self.acked.get(&chat).into_iter().flatten().map(|(counter, place)| (*counter, *place)).collect();
        assert_eq!(stored, acked, "seed {seed}: {chat:?} of {user:?}");
        for ((_, seq), seen) in self.entries.iter().filter(|((of, _), _)| *of == chat) {
            assert_eq!(&entries[*seq as usize - 1], seen, "seed {seed}: what was seen is not what is there");
        }
        for entry in entries {
            assert_eq!(&entry.body[..], body(entry.counter));
        }
    }
}

fn body(counter: u64) -> Vec<u8> {
    counter.to_le_bytes().repeat(1 + usize::from(counter.is_multiple_of(11)) * 700)
}

fn storm(seed: u8) {
    let mut storm = Storm::new(seed);
    let mut crashes = 0;
    for _ in 0..400 {
        storm.act();
        for _ in 0..storm.rng.below(12) {
            storm.world.advance_at_random(&mut storm.rng);
        }
        storm.disturb(&mut crashes);
        if storm.rng.below(3) == 0 {
            storm.read();
            storm.resend();
        }
    }
    storm.calm_down();
    storm.check(seed);
}

#[test]
fn whatever_happens_everything_is_there_once_and_everybody_knows() {
    for seed in 0..30 {
        storm(seed);
    }
}
