//! Checks at the moment at which a frame leaves a shard for a client: nothing is shown that is not on disk, nothing to
//! a stranger, and every answer covers its question.

use record::Key;
use store::MemoryStore;
use wire::message::{Entry, MarkKind, Marked, Place, Pulled, RangeKind, Refused, Sent, Summary, Synced};
use wire::{ConversationId, EventBody, EventFrame, Refusal, UserId, UserName};

use super::verbs;
use super::{Asked, Identity, Model, NameAsked, SendKey, disk};
use crate::sim::network::LinkId;

fn place(place: record::Place) -> Place {
    Place { seq: place.seq, ord: place.ord }
}

impl Model {
    /// `frame` is about to leave for the client at `link`.
    pub fn check_shown(&mut self, store: &MemoryStore, link: LinkId, frame: &EventFrame) {
        let before = self.violations.len();
        self.check_event(store, link, frame);
        for violation in &mut self.violations[before..] {
            violation.push_str(&format!(" (shown to link {link})"));
        }
    }

    fn check_event(&mut self, store: &MemoryStore, link: LinkId, frame: &EventFrame) {
        self.check_answers(link, frame);
        self.check_told(link, matches!(frame.event, EventBody::Closing(_)));
        self.check_tickets(link, frame.request, &frame.event);
        match &frame.event {
            EventBody::LoggedIn(event) => {
                self.on_identity(store, (link, frame.request), event.user, event.device, &event.ticket);
            }
            EventBody::Resumed(event) => {
                self.on_identity(store, (link, frame.request), event.user, event.device, &event.ticket);
            }
            EventBody::Devices(_) | EventBody::Operator(_) | EventBody::SessionsEnded { .. } => {
                self.check_operator_event(store, link, frame);
            }
            EventBody::Registered { user } => self.check_registered(store, *user),
            EventBody::Refused(refused) => self.check_refused(store, link, frame.request, refused),
            EventBody::Sent(sent) => self.check_sent(store, link, sent),
            EventBody::Message(message) => {
                let member = self.check_member(link, message.conversation);
                member.inspect(|_| self.check_entry(store, message.conversation, &message.entry));
                self.check_wanted(link, message.conversation);
            }
            EventBody::Pulled(pulled) => self.check_pulled(store, link, frame.request, pulled),
            EventBody::Marked(marked) => self.check_marked(store, link, marked),
            EventBody::PresenceSet(own) => self.check_own_presence(store, link, own),
            EventBody::PresenceSynced(synced) => {
                self.check_own_presence(store, link, &synced.own);
                self.check_presences(store, link, &synced.contacts);
            }
            EventBody::PresenceFound(found) => self.check_presence_found(store, link, found),
            EventBody::PresenceChanged(contacts) => self.check_presences(store, link, contacts),
            EventBody::Synced(synced) => {
                self.on_adverts_told(link, synced.adverts_off);
                self.check_synced(store, link, frame.request, synced);
            }
            EventBody::AdvertsSet { off } => self.on_adverts_told(link, *off),
            EventBody::Announced(announced) => self.check_announced(link, announced),
            EventBody::Related(related) => self.check_related(store, link, related),
            EventBody::ContactChanged(contact) => self.check_contact(store, link, contact),
            EventBody::ContactsSynced(synced) => self.check_contacts_synced(store, link, synced),
            EventBody::OrgSynced(synced) => self.check_org_page(store, synced),
            EventBody::OrgChanged { version } => self.check_org_version(store, *version),
            EventBody::ProfileChanged(_) | EventBody::ProfileFound(_) => {
                self.check_profile_event(store, link, &frame.event);
            }
            EventBody::HeadMoved(moved) => {
                let member = self.check_member(link, moved.conversation);
                member.inspect(|_| self.check_head(store, moved.conversation, moved.head));
                self.check_wanted(link, moved.conversation);
            }
            EventBody::UserFound(found) => {
                let account = disk::record::<record::Account>(store, &Key::Account(found.user));
                let deleted = account.is_some_and(|account| account.state == record::AccountState::Deleted);
                self.violation_if(found.deleted && !deleted, || {
                    format!("{found:?} is shown and not so on disk")
                });
                let asked = self.names_asked.entry((link, frame.request)).or_default();
                let fits = asked.iter().any(|asked| match asked {
                    NameAsked::ById(user) => *user == found.user,
                    NameAsked::ByName(name) => comparable(name) == comparable(&found.name),
                });
                if !fits || self.users.get(&found.user).is_some_and(|name| *name != found.name) {
                    let what = format!("{asked:?} was answered {found:?}");
                    self.violate(what);
                }
            }
            _ => {}
        }
    }

    /// A request is answered by what its row says, or refused.
    fn check_answers(&mut self, link: LinkId, frame: &EventFrame) {
        if frame.request == 0 {
            return;
        }
        let Some(requested) = self.requests.get_mut(&(link, frame.request)) else { return };
        requested.answers += 1;
        if let Err(what) = self.order.on_answered(link, frame.request, &frame.event) {
            self.violations.push(what);
        }
        let refused = matches!(frame.event, EventBody::Refused(_));
        let name = event_name(&frame.event);
        if !refused && requested.commands.iter().all(|command| command.row().reply != name) {
            let what = format!("{requested:?} is answered with {name}");
            self.violate(what);
        }
    }

    fn check_registered(&mut self, store: &MemoryStore, user: UserId) {
        let account = disk::record::<record::Account>(store, &Key::Account(user));
        self.violation_if(account.is_none(), || {
            format!("{user:?} is told registered before the account is on disk")
        });
    }

    fn on_identity(
        &mut self,
        store: &MemoryStore,
        at: (LinkId, u32),
        user: UserId,
        device: wire::DeviceId,
        ticket: &[u8],
    ) {
        let identity = Identity { user, device };
        self.identities.insert(at.0, identity);
        self.on_session(at, identity, ticket, self.one_per_class);
        let account = disk::record::<record::Account>(store, &Key::Account(user));
        if !account.is_some_and(|account| account.devices.iter().any(|known| known.device == device.0)) {
            self.violate(format!("{device:?} of {user:?} is logged in before it is on disk"));
        }
    }

    /// Whoever is shown something of a conversation is one of its two people.
    pub fn check_member(&mut self, link: LinkId, conversation: ConversationId) -> Option<Identity> {
        let identity = self.identities.get(&link).copied();
        if identity.is_none_or(|identity| !conversation.is_of(identity.user)) {
            self.violate(format!("{conversation:?} is shown to {identity:?}"));
            return None;
        }
        identity
    }

    fn check_entry(&mut self, store: &MemoryStore, conversation: ConversationId, entry: &Entry) {
        let stored = disk::record::<record::Entry>(store, &Key::Entry(conversation, entry.place.seq));
        let same = stored.is_some_and(|stored| {
            stored.ord == entry.place.ord
                && stored.time_ms == entry.time_ms
                && stored.sender == entry.sender.0
                && stored.device == entry.device.0
                && stored.counter == entry.counter
                && stored.kind == entry.kind.0
                && verbs::is_shown_as_it_was(&stored, entry)
        });
        if !same {
            let seq = entry.place.seq;
            self.violate(format!("{conversation:?} seq {seq} is shown and not so on disk"));
        }
        self.on_entry(conversation, entry);
    }

    fn check_sent(&mut self, store: &MemoryStore, link: LinkId, sent: &Sent) {
        let Some(identity) = self.check_member(link, sent.conversation) else { return };
        let key = SendKey { conversation: sent.conversation, sender: identity, counter: sent.counter };
        let stored = disk::record::<record::Entry>(store, &Key::Entry(sent.conversation, sent.place.seq));
        let same = stored.is_some_and(|stored| {
            stored.ord == sent.place.ord
                && stored.time_ms == sent.time_ms
                && stored.sender == identity.user.0
                && stored.device == identity.device.0
                && stored.counter == sent.counter
        });
        if !same {
            self.violate(format!("{key:?} is acknowledged at {:?} and not so on disk", sent.place));
        }
        if let Some(stored) =
            disk::record::<record::Entry>(store, &Key::Entry(sent.conversation, sent.place.seq))
        {
            self.recalls.on_acknowledged(sent.conversation, &stored);
        }
        let Some(transmitted) = self.transmitted.get_mut(&key) else {
            return self.violate(format!("{key:?} is acknowledged and was never sent"));
        };
        if let Some(other) = transmitted.acked.replace(sent.place)
            && other != sent.place
        {
            self.violate(format!("{key:?} is acknowledged at {other:?} and at {:?}", sent.place));
        }
        if let Some(other) = self.places.get(&key)
            && *other != sent.place
        {
            self.violate(format!("{key:?} stands at {other:?} and is acknowledged at {:?}", sent.place));
        }
    }

    /// A refusal that tells of another send tells only what is on disk.
    fn check_refused(&mut self, store: &MemoryStore, link: LinkId, request: u32, refused: &Refused) {
        let Some(key) = self.requests.get(&(link, request)).and_then(|requested| requested.send) else {
            return;
        };
        let told = match Refusal::from_code(refused.code) {
            Some(Refusal::OutOfOrder) => refused.detail,
            Some(Refusal::CounterReused) => key.counter,
            _ => return,
        };
        if told > 0 && !disk::has_send(store, key.conversation, key.sender, told) {
            self.violate(format!(
                "{key:?} is refused {}, telling of {told}, which is not on disk",
                refused.name
            ));
        }
    }

    fn check_head(&mut self, store: &MemoryStore, conversation: ConversationId, head: Place) {
        if head.seq > 0 {
            let stored = disk::record::<record::Entry>(store, &Key::Entry(conversation, head.seq));
            if stored.is_none_or(|stored| stored.ord != head.ord) {
                self.violate(format!("{conversation:?}: head {head:?} is shown and not on disk"));
            }
        }
    }

    fn check_pulled(&mut self, store: &MemoryStore, link: LinkId, request: u32, pulled: &Pulled) {
        if self.check_member(link, pulled.conversation).is_none() {
            return;
        }
        let asked = self.pulls.get(&(link, request)).cloned().unwrap_or_default();
        let asked_first = asked.iter().map(|asked| asked.moment).min().unwrap_or(0);
        self.check_recalled(asked_first, pulled);
        self.check_head(store, pulled.conversation, pulled.head);
        for entry in &pulled.entries {
            self.check_entry(store, pulled.conversation, entry);
        }
        let answers: Vec<_> = asked.iter().map(|asked| covers(*asked, pulled)).collect();
        if !answers.contains(&Ok(())) {
            let outline = outline(pulled);
            self.violate(format!("{asked:?} is answered without covering it: {answers:?}: {outline}"));
        }
    }

    fn check_marked(&mut self, store: &MemoryStore, link: LinkId, marked: &Marked) {
        if self.check_member(link, marked.conversation).is_none() {
            return;
        }
        self.check_mark_shown(store, link, marked);
        let (stored, asked) = self.mark_facts(store, marked.conversation, marked.user, marked.kind);
        if stored < marked.place {
            self.violate(format!("{marked:?} is shown, on disk is {stored:?}"));
        }
        // A new user, and one who wants adverts again, has read what was told before.
        if marked.place.seq > asked
            && !marked.conversation.is_followed()
            && !sent_by(store, marked.conversation, marked.place, marked.user)
        {
            self.violate(format!("{marked:?} is shown, nobody marked beyond {asked}"));
        }
        let bounds = self.mark_bounds(marked.conversation, marked.user, marked.kind);
        bounds.promised = bounds.promised.max(marked.place.seq);
    }

    /// The mark on disk, and the highest seq that somebody asked for. A send of one's own needs no asking.
    pub fn mark_facts(
        &mut self,
        store: &MemoryStore,
        conversation: ConversationId,
        user: UserId,
        kind: MarkKind,
    ) -> (Place, u64) {
        let marks = disk::marks(store, conversation, user);
        let stored = if kind == MarkKind::Read { marks.read } else { marks.delivered };
        // A read mark carries the delivered one along.
        let asked = self.mark_bounds(conversation, user, MarkKind::Read).asked;
        let asked = asked.max(self.mark_bounds(conversation, user, kind).asked);
        (place(stored), asked)
    }

    fn check_synced(&mut self, store: &MemoryStore, link: LinkId, request: u32, synced: &Synced) {
        let asked = self.syncs.get(&(link, request)).cloned().unwrap_or_default();
        let Some(identity) = self.identities.get(&link).copied() else {
            return self.violate("a list is shown to nobody".into());
        };
        let mut last = synced.from;
        for summary in &synced.changes {
            if summary.uver <= last || summary.uver > synced.to {
                self.violate(format!("uver {} out of order behind {last}", summary.uver));
            }
            last = summary.uver;
            if self.check_member(link, summary.conversation).is_some() {
                self.check_summary(store, identity.user, summary);
            }
        }
        if synced.from != 0 && !asked.contains(&synced.from) || asked.is_empty() {
            self.violate(format!("a sync from {asked:?} is answered from {}", synced.from));
        }
        let told = |conversation| synced.changes.iter().any(|summary| summary.conversation == conversation);
        for (conversation, entry) in disk::list(store, identity.user) {
            if entry.uver > synced.from && entry.uver <= synced.to && !told(conversation) {
                self.violate(format!("{conversation:?} at uver {} is missing in a sync", entry.uver));
            }
        }
    }

    fn check_summary(&mut self, store: &MemoryStore, user: UserId, summary: &Summary) {
        let key = Key::List(user, summary.conversation);
        let Some(stored) = disk::record::<record::ListEntry>(store, &key) else {
            return self.violate(format!("{summary:?} is shown and not on disk"));
        };
        let digest = stored.digest;
        let covered = stored.uver >= summary.uver
            && place(digest.head) >= summary.head
            && place(digest.own.read) >= summary.read
            && place(digest.own.delivered) >= summary.delivered
            && place(digest.peer.read) >= summary.peer_read
            && place(digest.peer.delivered) >= summary.peer_delivered;
        if !covered {
            self.violate(format!("{summary:?} is shown, on disk is {stored:?}"));
        }
        self.check_head(store, summary.conversation, summary.head);
        let Some(peer) = summary.conversation.peer_of(user) else { return }; // a notice for many
        for place in [summary.peer_read, summary.peer_delivered] {
            self.check_place_shown(store, summary.conversation, peer, place);
        }
    }
}

fn outline(pulled: &Pulled) -> String {
    let seqs: Vec<_> = pulled.entries.iter().map(|entry| entry.place.seq).collect();
    format!(
        "{}..={} head {:?} entries {seqs:?} ranges {:?}",
        pulled.from, pulled.to, pulled.head, pulled.ranges
    )
}

/// One name in two spellings is one name.
fn comparable(name: &str) -> Option<UserName> {
    UserName::parse(name).ok()
}

/// Whether the entry at this place is his own: then his marks are there without his asking.
pub fn sent_by(store: &MemoryStore, conversation: ConversationId, place: Place, user: UserId) -> bool {
    let stored = disk::record::<record::Entry>(store, &Key::Entry(conversation, place.seq));
    stored.is_some_and(|stored| stored.sender == user.0)
}

/// The name of an event as the command table has it.
pub(super) fn event_name(event: &EventBody) -> &'static str {
    match event {
        EventBody::Welcome(_) => "Welcome",
        EventBody::Refused(_) => "Refused",
        EventBody::Closing(_) => "Closing",
        EventBody::RegisterTerms(_) => "RegisterTerms",
        EventBody::Registered { .. } => "Registered",
        EventBody::Challenge(_) => "Challenge",
        EventBody::LoggedIn(_) => "LoggedIn",
        EventBody::Resumed(_) => "Resumed",
        EventBody::Connect { .. } => "Connect",
        EventBody::Pong { .. } => "Pong",
        EventBody::LoggedOut => "LoggedOut",
        EventBody::Devices(_) => "Devices",
        EventBody::SessionsEnded { .. } => "SessionsEnded",
        EventBody::Move(_) => "Move",
        EventBody::UserFound(_) => "UserFound",
        EventBody::ProfileChanged(_) => "ProfileChanged",
        EventBody::ProfileFound(_) => "ProfileFound",
        EventBody::ProofTerms(_) => "ProofTerms",
        EventBody::PasswordChanged(_) => "PasswordChanged",
        EventBody::AccountDeleted { .. } => "AccountDeleted",
        EventBody::CodeRedeemed { .. } => "CodeRedeemed",
        EventBody::Sent(_) => "Sent",
        EventBody::Pulled(_) => "Pulled",
        EventBody::Marked(_) => "Marked",
        EventBody::Synced(_) => "Synced",
        EventBody::Message(_) => "Message",
        EventBody::HeadMoved(_) => "HeadMoved",
        EventBody::SyncNeeded => "SyncNeeded",
        EventBody::Related(_) => "Related",
        EventBody::ContactChanged(_) => "ContactChanged",
        EventBody::ContactsSynced(_) => "ContactsSynced",
        EventBody::PresenceSet(_) => "PresenceSet",
        EventBody::PresenceSynced(_) => "PresenceSynced",
        EventBody::PresenceFound(_) => "PresenceFound",
        EventBody::PresenceChanged(_) => "PresenceChanged",
        EventBody::AdvertsSet { .. } => "AdvertsSet",
        EventBody::Announced(_) => "Announced",
        EventBody::OrgSynced(_) => "OrgSynced",
        EventBody::OrgChanged { .. } => "OrgChanged",
        EventBody::Operator(answer) => answer.event().name(),
        EventBody::PairsRelated(_) => "PairsRelated",
        EventBody::TokenCreated(_) => "TokenCreated",
        EventBody::TokensListed(_) => "TokensListed",
        EventBody::TokenRevoked(_) => "TokenRevoked",
        EventBody::Unknown(_) => "Unknown",
    }
}

/// Entries and ranges together are what was asked, up to the head, once and in order.
fn covers(asked: Asked, pulled: &Pulled) -> Result<(), &'static str> {
    if pulled.conversation != asked.conversation {
        return Err("another conversation");
    }
    if pulled.from != asked.from
        || pulled.to != asked.to.min(pulled.head.seq).max(asked.from.saturating_sub(1))
    {
        return Err("another range");
    }
    let entries = pulled.entries.iter().map(|entry| (entry.place.seq, entry.place.seq));
    let mut parts: Vec<_> = entries.chain(pulled.ranges.iter().map(|range| (range.from, range.to))).collect();
    parts.sort_unstable();
    let mut next = pulled.from;
    for (first, last) in parts {
        if first != next || last < first {
            return Err("a hole or a repeat");
        }
        next = last + 1;
    }
    if next != pulled.to + 1 {
        return Err("the end is missing");
    }
    let possible = |kind| {
        kind == RangeKind::More
            || kind == RangeKind::TooLong
            || (kind == RangeKind::EpochChanged && asked.epoch > 1)
    };
    if pulled.ranges.iter().any(|range| !possible(range.kind)) {
        return Err("nothing was ever removed here");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::message::Range;

    fn pulled(from: u64, to: u64, head: u64, seqs: &[u64], ranges: &[(u64, u64)]) -> Pulled {
        let conversation = ConversationId::private(UserId(1 << 10), UserId(2 << 10)).expect("two users");
        let entry = |seq: &u64| Entry {
            place: Place { seq: *seq, ord: *seq },
            time_ms: 0,
            sender: UserId(1 << 10),
            device: wire::DeviceId(1),
            counter: *seq,
            kind: wire::message::EntryKind::Message,
            body_kind: wire::message::BodyKind::Text,
            body: bytes::Bytes::new(),
            extras: None,
        };
        let range = |(from, to): &(u64, u64)| Range { from: *from, to: *to, kind: RangeKind::More };
        Pulled {
            conversation,
            from,
            to,
            epoch: 1,
            head: Place { seq: head, ord: head },
            entries: seqs.iter().map(entry).collect(),
            ranges: ranges.iter().map(range).collect(),
        }
    }

    #[test]
    fn an_answer_covers_its_question_or_not() {
        let asked = |from, to| Asked {
            conversation: pulled(1, 1, 1, &[], &[]).conversation,
            from,
            to,
            epoch: 0,
            moment: 0,
        };
        let whole = pulled(2, 5, 9, &[2, 3], &[(4, 5)]);
        assert_eq!(covers(asked(2, 5), &whole), Ok(()));
        assert_eq!(covers(asked(2, 6), &whole), Err("another range"));
        assert_eq!(covers(asked(2, 5), &pulled(2, 5, 9, &[2, 4], &[(5, 5)])), Err("a hole or a repeat"));
        assert_eq!(covers(asked(2, 5), &pulled(2, 5, 9, &[2, 3], &[(3, 5)])), Err("a hole or a repeat"));
        assert_eq!(covers(asked(2, 5), &pulled(2, 5, 9, &[2, 3], &[])), Err("the end is missing"));
        assert_eq!(covers(asked(2, u64::MAX), &pulled(2, 3, 3, &[2, 3], &[])), Ok(()));
        assert_eq!(covers(asked(7, 9), &pulled(7, 6, 3, &[], &[])), Ok(()));
    }
}
