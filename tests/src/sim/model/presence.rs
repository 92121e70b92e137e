//! Presence: nobody is shown a state that its user did not have a moment ago, or that is not for him; nobody but his own
//! devices learns anything of an invisible user, his marks included.
//!
//! What is on disk is the truth. A frame may be a little behind it: what was true within [`LAG_US`] may still be shown.

use std::collections::BTreeMap;

use record::{Batch, Contact, ContactState, Key, LastSeenFor, Presence as Stored, Record, Status};
use store::MemoryStore;
use wire::message::{Marked, Place};
use wire::presence::{OwnPresence, Presence, PresenceFound, PresenceState};
use wire::{ConversationId, UserId};

use super::{Model, disk};
use crate::sim::network::LinkId;

/// How far what is shown may be behind the disk: the commit, the way between two homes, and a slow turn at each of them.
const LAG_US: u64 = 2_000_000;

/// What was written of presence, and when.
#[derive(Debug, Default)]
pub struct Watch {
    pub now_us: u64,
    /// States that went to the disk, and beside each the one that was there.
    written: BTreeMap<UserId, Vec<(u64, Stored)>>,
    /// When a row of contacts went to the disk last.
    rows: BTreeMap<(UserId, UserId), u64>,
    /// The highest mark that the other one may see: those asked for before the user was invisible for long.
    marks: BTreeMap<(ConversationId, UserId), u64>,
}

fn stored(store: &MemoryStore, user: UserId) -> Stored {
    disk::record(store, &Key::Presence(user)).unwrap_or_default()
}

fn row(store: &MemoryStore, user: UserId, other: UserId) -> Contact {
    disk::record(store, &Key::Contact(user, other)).unwrap_or_default()
}

pub fn is_contact(row: &Contact) -> bool {
    row.view.state == ContactState::Contact && !row.view.blocked
}

fn state(status: Status) -> PresenceState {
    match status {
        Status::Online => PresenceState::Online,
        Status::Away => PresenceState::Away,
        Status::Busy => PresenceState::Busy,
        Status::Invisible => PresenceState::Invisible,
    }
}

impl Watch {
    fn is_recent(&self, at_us: Option<u64>) -> bool {
        at_us.is_some_and(|at_us| at_us + LAG_US >= self.now_us)
    }
}

impl Model {
    pub fn note_presence_batch(&mut self, store: &MemoryStore, batch: &Batch) {
        // Of changes in one batch each follows the one before it.
        let mut last: BTreeMap<UserId, Stored> = BTreeMap::new();
        for op in batch.ops.iter() {
            match (Key::parse(op.key), op.value) {
                (Some(Key::Contact(user, other)), value) => {
                    let new = value.map(|value| Contact::decode(value).expect("a readable contact"));
                    if new.unwrap_or_default().view != row(store, user, other).view {
                        self.watch.rows.insert((user, other), self.watch.now_us);
                    }
                }
                (Some(Key::Presence(user)), Some(value)) => {
                    let new = Stored::decode(value).expect("the shard writes records that can be read");
                    if new.status != Status::Invisible {
                        self.show_marks(user);
                    }
                    let old = last.insert(user, new.clone()).unwrap_or_else(|| stored(store, user));
                    let is_hidden = [&old, &new].iter().all(|stored| stored.status == Status::Invisible);
                    self.violation_if(is_hidden && old.last_seen_ms != new.last_seen_ms, || {
                        format!(
                            "{user:?} is invisible, and when he was seen is written: {old:?}, now {new:?}"
                        )
                    });
                    let now_us = self.watch.now_us;
                    let written = self.watch.written.entry(user).or_default();
                    written.push((now_us, old));
                    written.push((now_us, new));
                }
                _ => {}
            }
        }
    }

    /// What a user may have been a moment ago.
    fn states(&self, store: &MemoryStore, user: UserId) -> Vec<Stored> {
        let written = self.watch.written.get(&user).map(Vec::as_slice).unwrap_or_default();
        let recent = written.iter().filter(|(at_us, _)| self.watch.is_recent(Some(*at_us)));
        recent.map(|(_, stored)| stored.clone()).chain([stored(store, user)]).collect()
    }

    /// Nobody else may learn anything of him now.
    fn is_hidden(&self, store: &MemoryStore, user: UserId) -> bool {
        self.states(store, user).iter().all(|stored| stored.status == Status::Invisible)
    }

    /// Whether the row of `user` about `other` was so, now or a moment ago.
    pub fn row_was(
        &self,
        store: &MemoryStore,
        user: UserId,
        other: UserId,
        is_so: impl Fn(&Contact) -> bool,
    ) -> bool {
        is_so(&row(store, user, other)) || self.watch.is_recent(self.watch.rows.get(&(user, other)).copied())
    }

    pub fn check_presences(&mut self, store: &MemoryStore, link: LinkId, contacts: &[Presence]) {
        for contact in contacts {
            self.check_presence(store, link, contact);
        }
    }

    fn check_presence(&mut self, store: &MemoryStore, link: LinkId, shown: &Presence) {
        let Some(observer) = self.identities.get(&link).map(|identity| identity.user) else {
            return self.violate(format!("{shown:?} is shown to nobody"));
        };
        if shown.state == PresenceState::Offline {
            return self.violation_if(!shown.text.is_empty(), || format!("{shown:?} shows a text"));
        }
        let are_contacts = self.row_was(store, observer, shown.user, is_contact)
            && self.row_was(store, shown.user, observer, is_contact);
        self.violation_if(!are_contacts, || format!("{shown:?} is shown to {observer:?}, who is no contact"));
        let states = self.states(store, shown.user);
        let fits = states.iter().any(|stored| {
            stored.status != Status::Invisible
                && (state(stored.status), &stored.text) == (shown.state, &shown.text)
        });
        self.violation_if(!fits, || format!("{shown:?} is shown to {observer:?}, of {states:?}"));
    }

    pub fn check_own_presence(&mut self, store: &MemoryStore, link: LinkId, own: &OwnPresence) {
        let Some(user) = self.identities.get(&link).map(|identity| identity.user) else {
            return self.violate(format!("{own:?} is shown to nobody"));
        };
        let states = self.states(store, user);
        let fits = states.iter().any(|stored| (state(stored.status), &stored.text) == (own.state, &own.text));
        self.violation_if(!fits, || format!("{own:?} is shown to {user:?}, of {states:?}"));
    }

    pub fn check_presence_found(&mut self, store: &MemoryStore, link: LinkId, found: &PresenceFound) {
        let Some(observer) = self.identities.get(&link).map(|identity| identity.user) else {
            return self.violate(format!("{found:?} is shown to nobody"));
        };
        let user = found.presence.user;
        if user == observer {
            return;
        }
        self.check_presence(store, link, &found.presence);
        if found.last_seen_ms == 0 {
            return;
        }
        let states = self.states(store, user);
        let may_know = |stored: &Stored| match stored.last_seen_for {
            LastSeenFor::Nobody => false,
            LastSeenFor::Contacts => self.row_was(store, user, observer, is_contact),
            LastSeenFor::Everybody => self.row_was(store, user, observer, |row| !row.view.blocked),
        };
        let told = states.iter().any(|stored| stored.last_seen_ms == found.last_seen_ms && may_know(stored));
        self.violation_if(!told, || format!("{found:?} is shown to {observer:?}, of {states:?}"));
    }

    /// A mark is on its way to the node.
    pub fn note_mark_for_both(&mut self, store: &MemoryStore, conversation: ConversationId, user: UserId) {
        if !self.is_hidden(store, user) {
            self.show_marks_in(conversation, user);
        }
    }

    fn show_marks(&mut self, user: UserId) {
        let of_user = self.marks.keys().filter(|(_, of, _)| *of == user);
        let conversations: Vec<_> = of_user.map(|(conversation, ..)| *conversation).collect();
        conversations.into_iter().for_each(|conversation| self.show_marks_in(conversation, user));
    }

    /// All marks asked for so far may be shown.
    fn show_marks_in(&mut self, conversation: ConversationId, user: UserId) {
        let asked = [wire::message::MarkKind::Delivered, wire::message::MarkKind::Read]
            .map(|kind| self.mark_bounds(conversation, user, kind).asked);
        let shown = self.watch.marks.entry((conversation, user)).or_default();
        *shown = asked.into_iter().fold(*shown, u64::max);
    }

    /// A mark of one user is shown to the other one.
    pub fn check_mark_shown(&mut self, store: &MemoryStore, link: LinkId, marked: &Marked) {
        let observer = self.identities.get(&link).map(|identity| identity.user);
        if observer != Some(marked.user) {
            self.check_place_shown(store, marked.conversation, marked.user, marked.place);
        }
    }

    pub fn check_place_shown(
        &mut self,
        store: &MemoryStore,
        conversation: ConversationId,
        user: UserId,
        place: Place,
    ) {
        let shown = self.watch.marks.get(&(conversation, user)).copied().unwrap_or(0);
        if place.seq <= shown {
            return;
        }
        // Whoever writes shows what he has read.
        let wrote = disk::last_entry_of(store, conversation, user);
        self.violation_if(place.seq > wrote, || {
            format!("{conversation:?}: the mark {place:?} of {user:?}, who is invisible, is shown")
        });
    }

    /// What this user's devices are to show when everything is at rest. All honest users are there.
    pub fn presence_at_rest(
        &self,
        store: &MemoryStore,
        user: UserId,
        honest: &[UserId],
    ) -> BTreeMap<UserId, Presence> {
        let mut online = BTreeMap::new();
        for other in honest.iter().copied().filter(|other| *other != user) {
            let are_contacts = is_contact(&row(store, user, other)) && is_contact(&row(store, other, user));
            let Stored { status, text, .. } = stored(store, other);
            if are_contacts && status != Status::Invisible {
                online.insert(other, Presence { user: other, state: state(status), text });
            }
        }
        online
    }
}
