//! Contacts: what a user is shown of a relation is what he may see of the record on disk, both lists follow it, and no
//! message is written of somebody who may not write.

use std::collections::BTreeSet;

use record::{Batch, ContactState as Stored, Key, Record, Relation, Table, Tie, View};
use store::MemoryStore;
use wire::contact::{Contact, ContactState, ContactsSynced, Related};
use wire::{ConversationId, Refusal, UserId};

use super::{Model, SendKey, disk};
use crate::sim::network::LinkId;

fn state(stored: Stored) -> ContactState {
    match stored {
        Stored::None => ContactState::None,
        Stored::Requested => ContactState::Requested,
        Stored::Asked => ContactState::Asked,
        Stored::Contact => ContactState::Contact,
    }
}

/// What this user may see of the relation on disk.
fn view(store: &MemoryStore, user: UserId, conversation: ConversationId) -> View {
    let relation = disk::record::<Relation>(store, &Key::Relation(conversation)).unwrap_or_default();
    relation.view(usize::from(user == conversation.high))
}

impl Model {
    /// What is answered is on disk, or was: an answer to another shard may be overtaken by the next change.
    pub fn check_related(&mut self, store: &MemoryStore, link: LinkId, related: &Related) {
        let Some(user) = self.identities.get(&link).map(|identity| identity.user) else {
            return self.violate(format!("{related:?} is shown to nobody"));
        };
        let Some(conversation) = ConversationId::private(user, related.user) else {
            return self.violate(format!("{related:?} of {user:?} cannot be"));
        };
        let side = usize::from(user == conversation.high);
        let now = disk::record::<Relation>(store, &Key::Relation(conversation)).unwrap_or_default();
        let shows = |relation: &Relation| {
            let View { state: stored, blocked, since_ms, .. } = relation.view(side);
            (state(stored), blocked, since_ms) == (related.state, related.blocked, related.since_ms)
        };
        let written = self.relations.get(&conversation).map(Vec::as_slice).unwrap_or_default();
        let same = shows(&now)
            || shows(&Relation::default())
            || written.iter().any(|known| known.version <= now.version && shows(known));
        self.violation_if(!same, || format!("{related:?} is shown to {user:?} and was never so on disk"));
    }

    pub fn check_contact(&mut self, store: &MemoryStore, link: LinkId, contact: &Contact) {
        let Some(user) = self.identities.get(&link).map(|identity| identity.user) else {
            return self.violate(format!("{contact:?} is shown to nobody"));
        };
        let row = disk::record::<record::Contact>(store, &Key::Contact(user, contact.user));
        let shown = row.is_some_and(|row| {
            let same = state(row.view.state) == contact.state
                && row.view.blocked == contact.blocked
                && row.view.since_ms == contact.since_ms
                && row.view.text == contact.text
                && row.remark == contact.remark
                && row.group == contact.group;
            row.cver > contact.cver || (row.cver == contact.cver && same)
        });
        self.violation_if(!shown, || format!("{contact:?} is shown to {user:?} and not on disk"));
    }

    pub fn check_contacts_synced(&mut self, store: &MemoryStore, link: LinkId, synced: &ContactsSynced) {
        let mut last = synced.from;
        for contact in &synced.contacts {
            self.violation_if(contact.cver <= last || contact.cver > synced.to, || {
                format!("cver {} out of order behind {last}", contact.cver)
            });
            last = contact.cver;
            self.check_contact(store, link, contact);
        }
        let Some(user) = self.identities.get(&link).map(|identity| identity.user) else { return };
        let told = |other| synced.contacts.iter().any(|contact| contact.user == other);
        for (other, row) in contacts(store, user) {
            if row.cver > synced.from && row.cver <= synced.to && !told(other) {
                self.violate(format!(
                    "{other:?} at cver {} is missing in the contacts of {user:?}",
                    row.cver
                ));
            }
        }
    }

    /// A batch goes to the disk: entries in it are of people who may write. All that was decided before is on disk.
    pub fn check_batch(&mut self, store: &MemoryStore, batch: &Batch, open: bool, now_us: u64) {
        self.note_presence_batch(store, batch);
        self.note_profiles(batch);
        let keys = || batch.ops.iter().filter_map(|op| Some((Key::parse(op.key)?, op.value?)));
        let mut changed = BTreeSet::new();
        for (key, value) in keys() {
            if let Key::Relation(conversation) = key {
                changed.insert(conversation);
                let relation = Relation::decode(value).expect("the shard writes records that can be read");
                self.relations.entry(conversation).or_default().push(relation);
                self.related_us.insert(conversation, now_us);
            }
        }
        for (key, value) in keys() {
            let Key::Entry(conversation, seq) = key else { continue };
            if changed.contains(&conversation) || !conversation.is_private() {
                continue; // the system needs no leave; or it is before or behind it: nobody can say
            }
            let relation = disk::record::<Relation>(store, &Key::Relation(conversation)).unwrap_or_default();
            let sender = record::Entry::decode(value).map(|entry| entry.sender);
            self.violation_if(!relation.may_write(open), || {
                format!("{conversation:?} seq {seq} of {sender:?} is written, and they are {relation:?}")
            });
        }
    }

    /// Whether an honest device may be told so of a send, which then is in no log.
    pub fn may_fail(&self, refusal: Option<Refusal>) -> bool {
        match refusal {
            Some(Refusal::NotContact) => self.is_honest,
            // Two devices may take the same message back, or too late.
            Some(refusal) => refusal.code() >= Refusal::AlreadyRecalled.code(),
            None => false,
        }
    }

    /// A send is refused: whoever may not write learns no more than the node's policy allows.
    pub fn check_turned_away(&mut self, store: &MemoryStore, key: &SendKey, refusal: Refusal) {
        let relation = disk::record::<Relation>(store, &Key::Relation(key.conversation)).unwrap_or_default();
        let is_told = match refusal {
            Refusal::NotContact => self.is_honest,
            // Only of somebody to whom he may write, which also holds for all where that is open.
            Refusal::UnknownUser => !self.is_closed || relation.tie == Tie::Contacts || self.was_related(key),
            _ => true,
        };
        self.violation_if(!is_told, || format!("{key:?} is refused {refusal:?}, they are {relation:?}"));
        if self.may_fail(Some(refusal)) {
            self.refused.insert(*key);
        }
    }

    /// Something about the two changed after the send went out.
    fn was_related(&self, key: &SendKey) -> bool {
        let related_us = self.related_us.get(&key.conversation).copied().unwrap_or(0);
        self.transmitted.get(key).is_some_and(|sent| sent.first_us <= related_us)
    }

    /// Whether this send may have no answer for ever: the two may not write, or it went out before they might.
    pub fn may_stay_unanswered(&self, store: &MemoryStore, open: bool, key: &SendKey) -> bool {
        let conversation = key.conversation;
        let relation = disk::record::<Relation>(store, &Key::Relation(conversation)).unwrap_or_default();
        if !relation.may_write(open) {
            return !self.is_honest;
        }
        !self.is_honest && self.was_related(key)
    }

    /// At rest both lists show each relation.
    pub fn check_relations(&mut self, store: &MemoryStore) {
        for key in disk::keys(store, Table::Relation) {
            let Key::Relation(conversation) = key else { continue };
            let shown = conversation.users().map(|user| {
                let other = conversation.peer_of(user).expect("one of two");
                let row = disk::record::<record::Contact>(store, &Key::Contact(user, other));
                (view(store, user, conversation), row.map(|row| row.view).unwrap_or_default())
            });
            for (user, (wanted, shown)) in conversation.users().into_iter().zip(&shown) {
                self.violation_if(wanted != shown, || {
                    format!("{conversation:?}: {user:?} is shown {shown:?}, it is {wanted:?}")
                });
            }
            let [low, high] = shown.map(|(_, shown)| shown.state);
            let agree = (low == Stored::Contact) == (high == Stored::Contact)
                && (low != Stored::Asked || high == Stored::Requested)
                && (high != Stored::Asked || low == Stored::Requested);
            self.violation_if(!agree, || {
                format!("{conversation:?} is {low:?} for one and {high:?} for the other")
            });
        }
    }
}

fn contacts(store: &MemoryStore, user: UserId) -> Vec<(UserId, record::Contact)> {
    let found = disk::rows(store, user.slot(), record::keys::contact_range(user)).into_iter().map(|row| {
        let Some(Key::Contact(_, other)) = Key::parse(&row.key) else { panic!("a key of another table") };
        (other, record::Contact::decode(&row.value).expect("a readable contact"))
    });
    found.collect()
}
