//! What the scripted node knows, shared by its connections, and the faults it commits when told to.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::message::{BodyKind, Entry, EntryKind, HeadMoved, MarkKind, Place, Summary};
use wire::scram::Credentials;
use wire::{ConversationId, DeviceId, Encoder, Refusal, UserId};

/// Faults still to be committed.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Sends that are taken, but whose connection ends before the answer.
    pub lost_acks: u32,
    /// Pushes left out.
    pub lost_pushes: u32,
    /// Pushes that come twice.
    pub double_pushes: u32,
    /// Answers to sends.
    pub refusals: Vec<Refusal>,
}

pub(super) struct User {
    pub id: UserId,
    pub name: String,
    pub credentials: Credentials,
}

pub(super) struct Connected {
    pub user: UserId,
    pub device: DeviceId,
    /// `None` closes the connection.
    pub pushes: mpsc::UnboundedSender<Option<Bytes>>,
}

#[derive(Default)]
pub(crate) struct World {
    pub(super) users: Vec<User>,
    pub(super) logs: BTreeMap<ConversationId, Vec<Entry>>,
    marks: HashMap<(ConversationId, UserId, u8), Place>,
    taken: HashMap<(ConversationId, DeviceId), BTreeMap<u64, Place>>,
    pub(super) tickets: HashMap<Vec<u8>, (UserId, DeviceId)>,
    pub(super) last_device: u32,
    uver: u64,
    changed: HashMap<(UserId, ConversationId), u64>,
    pub(super) connected: BTreeMap<u64, Connected>,
    pub(super) last_connection: u64,
    pub(crate) faults: Faults,
    /// Sends that were taken and sends that came at all, duplicates included.
    pub(crate) sends_seen: u64,
    encoder: Encoder,
}

/// Whether a fault is due; it is used up by that.
pub(super) fn is_due(fault: &mut u32) -> bool {
    let due = *fault > 0;
    *fault -= u32::from(due);
    due
}

impl World {
    pub(super) fn user_named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    pub(super) fn user(&self, id: UserId) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    pub(super) fn add_user(&mut self, name: &str, credentials: Credentials) -> UserId {
        let id = UserId((self.users.len() as u64 + 1) << 10);
        self.users.push(User { id, name: name.to_owned(), credentials });
        id
    }

    pub(super) fn ticket(&mut self, user: UserId, device: DeviceId) -> Vec<u8> {
        let ticket = format!("ticket {} {} {}", user, device.0, self.tickets.len()).into_bytes();
        self.tickets.insert(ticket.clone(), (user, device));
        ticket
    }

    pub(super) fn head(&self, conversation: ConversationId) -> Place {
        self.logs.get(&conversation).and_then(|log| log.last()).map_or(Place::START, |entry| entry.place)
    }

    /// Takes a message once; gives where it stands.
    pub(super) fn send(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        device: DeviceId,
        counter: u64,
        body: &[u8],
    ) -> Place {
        self.sends_seen += 1;
        if let Some(place) = self.taken.get(&(conversation, device)).and_then(|taken| taken.get(&counter)) {
            return *place;
        }
        let seq = self.head(conversation).seq + 1;
        let place = Place { seq, ord: seq };
        let entry = Entry {
            place,
            time_ms: 1_700_000_000_000 + seq,
            sender,
            device,
            counter,
            kind: EntryKind::Message,
            body_kind: BodyKind::Text,
            body: Bytes::copy_from_slice(body),
            extras: None,
        };
        self.logs.entry(conversation).or_default().push(entry.clone());
        self.taken.entry((conversation, device)).or_default().insert(counter, place);
        for kind in [MarkKind::Delivered, MarkKind::Read] {
            self.mark(conversation, sender, kind, place);
        }
        self.touch(conversation);
        self.push_entry(conversation, sender, device, &entry);
        place
    }

    /// The last counter of this device that was taken here.
    pub(super) fn last_taken(&self, conversation: ConversationId, device: DeviceId) -> u64 {
        let taken = self.taken.get(&(conversation, device));
        taken.and_then(|taken| taken.last_key_value()).map_or(0, |(counter, _)| *counter)
    }

    fn push_entry(&mut self, conversation: ConversationId, sender: UserId, device: DeviceId, entry: &Entry) {
        if is_due(&mut self.faults.lost_pushes) {
            return;
        }
        let times = if is_due(&mut self.faults.double_pushes) { 2 } else { 1 };
        let frame = self.encoder.message(conversation, 1, &entry.view());
        for connected in self.connected.values() {
            let is_own = connected.user == sender && connected.device == device;
            if conversation.has(connected.user) && !is_own {
                for _ in 0..times {
                    let _ = connected.pushes.send(Some(frame.clone()));
                }
            }
        }
    }

    /// Tells everybody in it that there is something to pull.
    pub(crate) fn push_head(&mut self, conversation: ConversationId) {
        let frame =
            self.encoder.head_moved(&HeadMoved { conversation, epoch: 1, head: self.head(conversation) });
        for connected in self.connected.values().filter(|connected| conversation.has(connected.user)) {
            let _ = connected.pushes.send(Some(frame.clone()));
        }
    }

    pub(crate) fn push_to_all(&mut self, build: impl FnOnce(&mut Encoder) -> Bytes) {
        let frame = build(&mut self.encoder);
        for connected in self.connected.values() {
            let _ = connected.pushes.send(Some(frame.clone()));
        }
    }

    pub(crate) fn close_all(&mut self) {
        for connected in self.connected.values() {
            let _ = connected.pushes.send(None);
        }
    }

    /// True when it moved.
    pub(super) fn mark(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        kind: MarkKind,
        place: Place,
    ) -> bool {
        let mark = self.marks.entry((conversation, user, kind.0)).or_default();
        let moves = place > *mark;
        *mark = place.max(*mark);
        moves
    }

    pub(super) fn marked(&self, conversation: ConversationId, user: UserId, kind: MarkKind) -> Place {
        self.marks.get(&(conversation, user, kind.0)).copied().unwrap_or_default()
    }

    pub(super) fn touch(&mut self, conversation: ConversationId) {
        self.uver += 1;
        for user in conversation.users() {
            self.changed.insert((user, conversation), self.uver);
        }
    }

    /// What changed for a user behind a uver.
    pub(super) fn changes(&self, user: UserId, behind: u64) -> (u64, Vec<Summary>) {
        let mut changes: Vec<Summary> = self
            .changed
            .iter()
            .filter(|((whose, _), uver)| *whose == user && **uver > behind)
            .map(|((_, conversation), uver)| self.summary(user, *conversation, *uver))
            .collect();
        changes.sort_by_key(|change| change.uver);
        (self.uver, changes)
    }

    fn summary(&self, user: UserId, conversation: ConversationId, uver: u64) -> Summary {
        let peer = conversation.peer_of(user).expect("one of the two");
        let log = &self.logs[&conversation];
        Summary {
            conversation,
            uver,
            epoch: 1,
            head: self.head(conversation),
            read: self.marked(conversation, user, MarkKind::Read),
            delivered: self.marked(conversation, user, MarkKind::Delivered),
            peer_read: self.marked(conversation, peer, MarkKind::Read),
            peer_delivered: self.marked(conversation, peer, MarkKind::Delivered),
            time_ms: log.last().map_or(0, |entry| entry.time_ms),
            mentioned: 0,
        }
    }

    /// A message of somebody who is not connected.
    pub(crate) fn say(&mut self, from: &str, to: &str, text: &str) -> ConversationId {
        let (from, to) = (self.user_named(from).expect("a user").id, self.user_named(to).expect("a user").id);
        let conversation = ConversationId::private(from, to).expect("two users");
        let counter = self.last_taken(conversation, DeviceId(999)) + 1;
        self.send(conversation, from, DeviceId(999), counter, text.as_bytes());
        conversation
    }

    /// Texts of a conversation as the node has them.
    pub(crate) fn texts(&self, conversation: ConversationId) -> Vec<String> {
        let text = |entry: &Entry| String::from_utf8_lossy(&entry.body).into_owned();
        self.logs.get(&conversation).map(|log| log.iter().map(text).collect()).unwrap_or_default()
    }
}
