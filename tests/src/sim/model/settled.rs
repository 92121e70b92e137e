//! Checks at the end of a world, when faults are over: everything has come to rest, and everybody sees the same.

use std::collections::BTreeSet;

use record::{Key, Table};
use store::MemoryStore;
use wire::client::{Account, StoredSend};
use wire::message::{Entry, EntryKind, MarkKind, Place};
use wire::{ConversationId, UserId};

use super::{Identity, Model, SendKey, disk, notices, shown};
use crate::sim::world::World;

fn same_place(place: Place, stored: record::Place) -> bool {
    place.seq == stored.seq && place.ord == stored.ord
}

impl Model {
    /// What was acknowledged and what was promised is on disk, whatever happened.
    pub fn check_promises(&mut self, store: &MemoryStore) {
        let mut broken = Vec::new();
        for (key, sent) in &self.transmitted {
            let Some(place) = sent.acked else { continue };
            let stored = disk::record::<record::Entry>(store, &Key::Entry(key.conversation, place.seq));
            let same = stored.is_some_and(|stored| {
                stored.counter == key.counter
                    && stored.sender == key.sender.user.0
                    && stored.device == key.sender.device.0
            });
            if !same {
                broken.push(format!("{key:?} was acknowledged at {place:?} and is lost"));
            }
        }
        for ((conversation, user, kind), bounds) in &self.marks {
            let marks = disk::marks(store, *conversation, *user);
            let stored = if *kind == MarkKind::Read.0 { marks.read } else { marks.delivered };
            if stored.seq < bounds.promised {
                broken.push(format!("mark {kind} of {user:?} in {conversation:?} went back to {stored:?}"));
            }
        }
        self.violations.append(&mut broken);
        self.check_issues(store);
    }

    /// The log on disk is dense, holds each send once and in order, and is what was shown.
    fn check_log(&mut self, store: &MemoryStore, conversation: ConversationId) -> Vec<Entry> {
        let mut log = Vec::new();
        let mut ord = 0;
        for (index, (seq, stored)) in disk::log(store, conversation).into_iter().enumerate() {
            ord += u64::from(stored.kind == record::KIND_MESSAGE);
            if seq != index as u64 + 1 || stored.ord != ord {
                self.violate(format!("{conversation:?}: seq {seq}, ord {} behind {index}", stored.ord));
                break;
            }
            let entry = Entry {
                place: Place { seq, ord: stored.ord },
                time_ms: stored.time_ms,
                sender: UserId(stored.sender),
                device: wire::DeviceId(stored.device),
                counter: stored.counter,
                kind: wire::message::EntryKind(stored.kind),
                body_kind: wire::message::BodyKind(stored.body_kind),
                body: stored.body.clone().into(),
                extras: disk::extras(&stored),
            };
            self.on_entry(conversation, &entry);
            log.push(entry);
        }
        if self.logs.get(&conversation).is_some_and(|shown| shown.len() > log.len()) {
            self.violate(format!("{conversation:?}: entries that were shown are gone"));
        }
        log
    }

    /// Both users' lists say what the conversation says.
    fn check_list(&mut self, store: &MemoryStore, conversation: ConversationId, head: Place) {
        let marks = |user| disk::marks(store, conversation, user);
        let shown = |user| disk::marks_shown(store, conversation, user);
        for user in conversation.users() {
            if user == UserId::SYSTEM || conversation.is_followed() {
                continue;
            }
            let peer = conversation.peer_of(user).expect("one of two");
            let Some(entry) = disk::record::<record::ListEntry>(store, &Key::List(user, conversation)) else {
                self.violate(format!("{conversation:?} is not in the list of {user:?}"));
                continue;
            };
            let digest = entry.digest;
            if !same_place(head, digest.head) || digest.own != marks(user) || digest.peer != shown(peer) {
                self.violate(format!(
                    "{conversation:?} in the list of {user:?} is {digest:?}, its head {head:?}, marks {:?} {:?}",
                    marks(user),
                    shown(peer)
                ));
            }
        }
    }

    /// No two entries of a list have one version.
    fn check_versions(&mut self, store: &MemoryStore, user: UserId) {
        let list = disk::list(store, user);
        let versions: BTreeSet<_> = list.iter().map(|(_, entry)| entry.uver).collect();
        if versions.len() != list.len() {
            self.violate(format!("the list of {user:?} holds one version twice"));
        }
    }
}

impl World {
    /// What is still on its way; `None` when everything is at rest.
    pub fn unsettled(&self) -> Option<String> {
        if self.node.is_none() {
            return Some("the node is down".into());
        }
        if !self.operator.is_idle() {
            return Some(format!("the operator waits: {:?}", self.operator));
        }
        let outbox = disk::keys(&self.store, Table::Outbox);
        if !outbox.is_empty() {
            return Some(format!("the outbox holds {outbox:?}"));
        }
        let outbox = disk::keys(&self.store, Table::ContactOutbox);
        if !outbox.is_empty() {
            return Some(format!("the outbox of contacts holds {outbox:?}"));
        }
        let outbox = disk::keys(&self.store, Table::OrgOutbox);
        if !outbox.is_empty() {
            return Some(format!("the outbox of the directory holds {outbox:?}"));
        }
        if let Some(what) = self.unsettled_directory() {
            return Some(what);
        }
        for (number, device) in self.devices.iter().enumerate() {
            let Some(session) = &device.session else { return Some(format!("device {number} is down")) };
            if !session.is_ready() {
                return Some(format!("device {number} is not logged in"));
            }
            if !device.unpersisted.is_empty() {
                return Some(format!("device {number} is writing"));
            }
            if let Some(send) = self.undecided(number) {
                return Some(format!("device {number} has a send undecided: {send:?}"));
            }
            if let Some(what) = self.unsettled_device(number).or_else(|| self.unsettled_presence(number)) {
                return Some(what);
            }
        }
        None
    }

    /// A send that waits for an answer that must come. Those behind it in its conversation wait with it.
    fn undecided(&self, number: usize) -> Option<&StoredSend> {
        let stored = &self.devices[number].disk.stored;
        let mut looked_at = BTreeSet::new();
        stored.outgoing.iter().find(|send| {
            let key = |account: &Account| SendKey {
                conversation: send.conversation,
                sender: Identity { user: account.user, device: account.device },
                counter: send.counter,
            };
            looked_at.insert(send.conversation)
                && !stored.account.as_ref().map(key).is_some_and(|key| self.may_stay_unanswered(&key))
        })
    }

    pub fn may_stay_unanswered(&self, key: &SendKey) -> bool {
        self.model.may_stay_unanswered(&self.store, self.machine.open, key)
    }

    fn unsettled_device(&self, number: usize) -> Option<String> {
        let device = &self.devices[number];
        let user = device.user_id()?;
        if let Some(what) = self.unsettled_notices(number) {
            return Some(what);
        }
        for (conversation, entry) in disk::list(&self.store, user) {
            if conversation.is_followed() {
                continue; // their heads stand in their logs only
            }
            let digest = entry.digest;
            let stored = &device.disk.stored.conversations;
            let Some(state) = stored.iter().find(|state| state.conversation == conversation) else {
                return Some(format!("device {number} does not know {conversation:?}"));
            };
            let agrees = same_place(state.head, digest.head)
                && same_place(state.applied, digest.head)
                && same_place(state.read, digest.own.read)
                && same_place(state.delivered, digest.own.delivered)
                && same_place(state.peer_read, digest.peer.read)
                && same_place(state.peer_delivered, digest.peer.delivered);
            if !agrees {
                return Some(format!(
                    "device {number} of {user:?} holds {state:?}, its list says {digest:?}"
                ));
            }
            if digest.own.delivered != digest.head {
                return Some(format!("device {number}: {conversation:?} is not delivered: {digest:?}"));
            }
            let wanted = state.read_wanted.max(self.own_last(conversation, user));
            if digest.own.read.seq < wanted {
                return Some(format!(
                    "device {number}: {conversation:?} is read up to {wanted}, not {digest:?}"
                ));
            }
        }
        None
    }

    /// Every device shows who of its user's contacts is online.
    fn unsettled_presence(&self, number: usize) -> Option<String> {
        let device = &self.devices[number];
        let user = device.user_id()?;
        let wanted = self.model.presence_at_rest(&self.store, user, &self.honest_users());
        (device.presence.online != wanted).then(|| {
            let shown = &device.presence.online;
            format!("device {number} of {user:?} shows {shown:?} as online, it is {wanted:?}")
        })
    }

    /// Whatever the devices asked on the links that they have was answered, but for what they asked a moment ago.
    fn check_answered(&mut self) {
        let before_us = self.queue.now_us().saturating_sub(2_000_000);
        for (number, device) in self.devices.iter().enumerate() {
            let may_stay = |key: &SendKey| self.may_stay_unanswered(key);
            let unanswered = device.link.and_then(|link| self.model.unanswered(link, before_us, may_stay));
            if let Some(what) = unanswered {
                self.model.violate(format!("device {number} was never answered: {what}"));
            }
        }
    }

    fn own_last(&self, conversation: ConversationId, user: UserId) -> u64 {
        let log = self.model.logs.get(&conversation);
        let is_own = |entry: &Entry| entry.sender == user && entry.kind == EntryKind::Message;
        let own = log.and_then(|log| log.iter().rev().find(|(_, entry)| is_own(entry)));
        own.map_or(0, |(seq, _)| *seq)
    }

    /// Everything is at rest: is it right?
    pub fn check_settled(&mut self) {
        self.model.check_promises(&self.store);
        let conversations: BTreeSet<_> = disk::keys(&self.store, Table::Entry)
            .into_iter()
            .filter_map(|key| if let Key::Entry(conversation, _) = key { Some(conversation) } else { None })
            .collect();
        for user in self.honest_users() {
            self.model.check_versions(&self.store, user);
        }
        for conversation in conversations {
            let log = self.model.check_log(&self.store, conversation);
            let head = log.last().map(|entry| entry.place).unwrap_or_default();
            self.model.check_list(&self.store, conversation, head);
            for user in conversation.users().into_iter().filter(|_| conversation.is_private()) {
                self.check_marks(conversation, user);
            }
            self.check_device_logs(conversation, &log);
        }
        self.model.check_relations(&self.store);
        self.check_directories();
        self.check_everything_sent();
        self.check_answered();
        self.check_ended();
    }

    /// No session is left that was ended.
    fn check_ended(&mut self) {
        let ended: Vec<_> = self.model.sessions.ended().collect();
        for link in ended {
            let stays = self.network.node_end(link).is_some_and(|end| !end.closing && !end.ended);
            self.model.violation_if(stays, || format!("link {link} still has a session that was ended"));
        }
    }

    /// Marks are not higher than anybody asked for.
    fn check_marks(&mut self, conversation: ConversationId, user: UserId) {
        for kind in [MarkKind::Read, MarkKind::Delivered] {
            let (stored, asked) = self.model.mark_facts(&self.store, conversation, user, kind);
            let own = shown::sent_by(&self.store, conversation, stored, user);
            self.model.violation_if(stored.seq > asked && !own, || {
                format!("{user:?} has {stored:?} in {conversation:?}, nobody asked for more than {asked}")
            });
        }
    }

    /// Every device of both users holds the log as it is.
    fn check_device_logs(&mut self, conversation: ConversationId, log: &[Entry]) {
        for (number, device) in self.devices.iter().enumerate() {
            let Some(user) = device.user_id().filter(|user| conversation.is_of(*user)) else { continue };
            let skips = !notices::follows(&self.store, user, conversation);
            let held = device.disk.logs.get(&conversation).map(Vec::as_slice).unwrap_or_default();
            if skips {
                self.model.violation_if(!log.starts_with(held), || {
                    format!("device {number} holds other notices than there are")
                });
                continue;
            }
            if held != log {
                let at = held.iter().zip(log).position(|(held, entry)| held != entry);
                let what = format!("{} entries, the log has {}, differing at {at:?}", held.len(), log.len());
                self.model.violate(format!("device {number} holds of {conversation:?}: {what}"));
            }
            let stored = &device.disk.stored.conversations;
            let state = stored.iter().find(|state| state.conversation == conversation);
            let read = disk::marks(&self.store, conversation, user).read;
            let unread = log
                .iter()
                .filter(|entry| entry.kind == EntryKind::Message && entry.place.seq > read.seq)
                .count() as u64;
            let shown = state.map(|state| state.unread());
            self.model.violation_if(shown != Some(unread), || {
                format!("device {number} shows {shown:?} unread in {conversation:?}, it is {unread}")
            });
        }
    }

    /// Every send that was ever on the disk of a device is in its conversation's log.
    fn check_everything_sent(&mut self) {
        for (number, device) in self.devices.iter().enumerate() {
            let Some(account) = &device.disk.stored.account else { continue };
            let sender = Identity { user: account.user, device: account.device };
            for (counter, (conversation, body)) in &device.disk.accepted {
                let key = SendKey { conversation: *conversation, sender, counter: *counter };
                if device.disk.stored.outgoing.iter().any(|send| send.counter == *counter) {
                    continue; // allowed at rest, or there would be none
                }
                if self.model.refused.contains(&key) {
                    continue;
                }
                let log = self.model.logs.get(conversation);
                let place = self.model.places.get(&key);
                let entry = place.and_then(|place| log?.get(&place.seq));
                let is_whole = |entry: &Entry| entry.body == *body || entry.extras.is_some();
                if !entry.is_some_and(is_whole) {
                    self.model.violate(format!(
                        "device {number}: {key:?} in {conversation:?} is decided and nowhere"
                    ));
                }
            }
        }
    }
}
