//! The reference model: what was asked, what was promised, what was shown, and what must follow from it.

mod contacts;
pub mod disk;
pub mod notices;
mod operators;
mod order;
mod org;
pub mod presence;
mod profiles;
pub mod sessions;
mod settled;
mod shown;
pub mod tickets;
mod tokens;
pub mod verbs;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wire::command::Command;
use wire::message::{Entry, MarkKind, Place};
use wire::{ConversationId, DeviceId, UserId};

use super::network::LinkId;

/// Who is logged in at one end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub user: UserId,
    pub device: DeviceId,
}

/// Names a send. An honest device gives a counter to one message only, whatever the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SendKey {
    pub conversation: ConversationId,
    pub sender: Identity,
    pub counter: u64,
}

/// A message that was handed to the network at least once.
#[derive(Clone, Debug)]
pub struct Transmitted {
    /// More than one only from a hostile client.
    pub bodies: Vec<Bytes>,
    pub acked: Option<Place>,
    /// When it was handed over first, in microseconds of virtual time.
    pub first_us: u64,
}

/// A pull that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub conversation: ConversationId,
    pub from: u64,
    pub to: u64,
    pub epoch: u32,
    /// When, in the count of [`verbs::Recalls`].
    pub moment: u64,
}

/// Highest marks that somebody asked for, and that the node has promised, as seqs.
#[derive(Clone, Copy, Debug, Default)]
pub struct MarkBounds {
    pub asked: u64,
    pub promised: u64,
}

/// The model of one world.
#[derive(Debug, Default)]
pub struct Model {
    /// Comparable names.
    pub users: BTreeMap<UserId, String>,
    pub identities: BTreeMap<LinkId, Identity>,
    pub transmitted: BTreeMap<SendKey, Transmitted>,
    /// Where honest devices used their counters.
    counters: BTreeMap<(Identity, u64), ConversationId>,
    pub logs: BTreeMap<ConversationId, BTreeMap<u64, Entry>>,
    pub places: BTreeMap<SendKey, Place>,
    pub marks: BTreeMap<(ConversationId, UserId, u8), MarkBounds>,
    pub pulls: BTreeMap<(LinkId, u32), Vec<Asked>>,
    pub syncs: BTreeMap<(LinkId, u32), Vec<u64>>,
    pub names_asked: BTreeMap<(LinkId, u32), Vec<NameAsked>>,
    pub requests: BTreeMap<(LinkId, u32), Requested>,
    pub order: order::Order,
    /// Relations that went to the disk, and perhaps not there.
    pub relations: BTreeMap<ConversationId, Vec<record::Relation>>,
    /// What may be shown of presence.
    pub watch: presence::Watch,
    /// When the last of them went there, in microseconds of virtual time.
    related_us: BTreeMap<ConversationId, u64>,
    pub tokens: tokens::Tokens,
    pub tickets: tickets::Tickets,
    /// Profiles that went to the disk, and perhaps not there.
    profiles: BTreeMap<(UserId, u64), Vec<record::Profile>>,
    pub notices: notices::IssuedNotices,
    pub recalls: verbs::Recalls,
    pub sessions: sessions::Sessions,
    /// Of the life of the node that runs: a login takes over from others of its class.
    pub one_per_class: bool,
    /// Sends that were refused for good. Their devices may crash before they tell it.
    pub refused: BTreeSet<SendKey>,
    /// Whoever may not write is told so.
    pub is_honest: bool,
    /// Only contacts may write.
    pub is_closed: bool,
    pub violations: Vec<String>,
}

/// What a request asked for, to hold its answer against the command's row. Hostile clients use a number twice.
#[derive(Clone, Debug, Default)]
pub struct Requested {
    pub commands: Vec<Command>,
    /// What was sent, if it was one send.
    pub send: Option<SendKey>,
    pub answers: usize,
    /// When the last of them was sent, in microseconds of virtual time.
    pub at_us: u64,
}

/// A question about a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameAsked {
    ByName(String),
    ById(UserId),
}

impl Model {
    pub fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    pub fn violation_if(&mut self, broken: bool, what: impl FnOnce() -> String) {
        if broken {
            self.violate(what());
        }
    }

    /// What was asked on a link before `before_us` and never answered.
    pub fn unanswered(
        &self,
        link: LinkId,
        before_us: u64,
        may_stay: impl Fn(&SendKey) -> bool,
    ) -> Option<String> {
        let requests = self.requests.range((link, 1)..(link + 1, 0));
        let open = |requested: &Requested| {
            requested.answers < requested.commands.len() && !requested.send.as_ref().is_some_and(&may_stay)
        };
        let mut open = requests.filter(|(_, requested)| open(requested) && requested.at_us < before_us);
        open.next().map(|(at, requested)| format!("{at:?} {requested:?}"))
    }

    /// A send is on its way, maybe again.
    pub fn on_transmitted(&mut self, key: SendKey, body: Bytes, honest: bool, now_us: u64) {
        let first = || Transmitted { bodies: Vec::new(), acked: None, first_us: now_us };
        let known = self.transmitted.entry(key).or_insert_with(first);
        if known.bodies.contains(&body) {
            return;
        }
        known.bodies.push(body);
        let twice = known.bodies.len() > 1;
        if honest {
            let elsewhere = self.counters.insert((key.sender, key.counter), key.conversation);
            let elsewhere = elsewhere.is_some_and(|conversation| conversation != key.conversation);
            self.violation_if(twice || elsewhere, || format!("{key:?} was given to two messages"));
        }
    }

    pub fn mark_bounds(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        kind: MarkKind,
    ) -> &mut MarkBounds {
        self.marks.entry((conversation, user, kind.0)).or_default()
    }

    /// An entry was shown to somebody: it must be the one that was shown before, sent once and in order.
    pub fn on_entry(&mut self, conversation: ConversationId, entry: &Entry) {
        let log = self.logs.entry(conversation).or_default();
        if let Some(before) = log.get(&entry.place.seq) {
            if !verbs::may_become(before, entry) && !verbs::may_become(entry, before) {
                let what =
                    format!("{conversation:?} seq {} was {before:?} and is {entry:?}", entry.place.seq);
                self.violate(what);
            }
            return;
        }
        if entry.sender == UserId::SYSTEM && !conversation.is_private() {
            log.insert(entry.place.seq, entry.clone());
            return self.on_issued_entry(conversation, entry);
        }
        let sender = Identity { user: entry.sender, device: entry.device };
        let of_device = |other: &&Entry| other.sender == entry.sender && other.device == entry.device;
        let below = log.range(..entry.place.seq).rev().map(|(_, other)| other).find(of_device);
        let above = log.range(entry.place.seq..).map(|(_, other)| other).find(of_device);
        let in_order = below.is_none_or(|other| other.counter < entry.counter)
            && above.is_none_or(|other| other.counter > entry.counter);
        log.insert(entry.place.seq, entry.clone());
        if !in_order {
            self.violate(format!("{conversation:?} seq {}: order of its device is broken", entry.place.seq));
        }
        let key = SendKey { conversation, sender, counter: entry.counter };
        if let Some(other) = self.places.insert(key, entry.place)
            && other != entry.place
        {
            self.violate(format!("{key:?} stands at {other:?} and at {:?}", entry.place));
        }
        let Some(sent) = self.transmitted.get(&key) else {
            return self.violate(format!("{conversation:?} holds {entry:?}, which nobody sent"));
        };
        let is_whole = entry.extras.as_ref().is_none_or(|extras| extras.edited == 0 && extras.recalled == 0);
        if is_whole && !sent.bodies.contains(&entry.body) {
            self.violate(format!("{conversation:?} holds {entry:?}, which was sent otherwise"));
        } else if !conversation.has(entry.sender) {
            self.violate(format!("{conversation:?} holds an entry of a stranger: {entry:?}"));
        }
    }
}
