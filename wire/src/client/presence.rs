//! Who is online, as far as the node tells.
//!
//! Events and the answer to `SyncPresence` may overtake each other: a page of that answer can be older than an event that came
//! before it. So what events told while a page was on its way goes over the page. The other way round nothing is lost:
//! events keep their order, and the last one about a contact says how he is.

use std::collections::BTreeMap;

use super::PRESENCES_HELD_MAX;
use super::effect::{ClientEvent, QueryId, Reason};
use super::requests::Query;
use super::session::{QueryError, Session};
use crate::decode::EventBody;
use crate::ids::UserId;
use crate::presence::{Presence, PresenceQuery, PresenceState, PresenceSynced};

/// What events told while a page is on its way.
#[derive(Debug, Default)]
pub(super) struct Presences {
    told: Option<BTreeMap<UserId, Presence>>,
}

impl Presences {
    /// A page is asked for.
    pub fn begin(&mut self) {
        self.told = Some(BTreeMap::new());
    }

    /// False when there is no room to remember it.
    fn note(&mut self, contacts: &[Presence]) -> bool {
        let Some(told) = &mut self.told else { return true };
        told.extend(contacts.iter().map(|contact| (contact.user, contact.clone())));
        let has_room = told.len() <= PRESENCES_HELD_MAX;
        if !has_room {
            told.clear();
        }
        has_room
    }

    /// The page with what was told since it was asked for.
    fn merge(&mut self, mut page: PresenceSynced) -> PresenceSynced {
        let told = self.told.take().unwrap_or_default();
        let within = |user: &UserId| page.after < user.0 && user.0 <= page.to;
        let newer: Vec<_> = told.into_values().filter(|contact| within(&contact.user)).collect();
        page.contacts.retain(|contact| newer.iter().all(|newer| newer.user != contact.user));
        page.contacts.extend(newer.into_iter().filter(|contact| contact.state != PresenceState::Offline));
        page.contacts.sort_by_key(|contact| contact.user);
        page
    }
}

impl Session {
    /// Something about presence. `ClientEvent::PresenceSet`, `PresenceSynced` or `PresenceFound` answers.
    pub fn ask_presence(&mut self, now_ms: u64, query: PresenceQuery) -> Result<QueryId, QueryError> {
        self.ask(now_ms, Query::Presence(query))
    }

    pub(super) fn on_presence_changed(&mut self, contacts: Vec<Presence>) {
        let has_room = self.presences.note(&contacts);
        self.tell(ClientEvent::PresenceChanged { contacts });
        if !has_room {
            self.tell(ClientEvent::PresenceMissed);
        }
    }

    pub(super) fn on_presence_answer(&mut self, query: QueryId, event: EventBody) -> Result<(), Reason> {
        let event = match event {
            EventBody::PresenceSet(own) => ClientEvent::PresenceSet { query: Some(query), own },
            EventBody::PresenceFound(found) => ClientEvent::PresenceFound { query, found },
            EventBody::PresenceSynced(page) => {
                if page.more && page.to <= page.after {
                    return Err(Reason::Misbehaved("a page of who is online leads nowhere"));
                }
                ClientEvent::PresenceSynced { query, synced: self.presences.merge(page) }
            }
            EventBody::Refused(refused) => ClientEvent::QueryRefused { query, refused },
            _ => return Err(Reason::Misbehaved("another answer to a question about presence")),
        };
        self.tell(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::{LastSeenFor, OwnPresence};

    fn contact(number: u64, state: PresenceState) -> Presence {
        Presence { user: UserId(number), state, text: String::new() }
    }

    fn page(contacts: Vec<Presence>) -> PresenceSynced {
        let own = OwnPresence {
            state: PresenceState::Online,
            text: String::new(),
            last_seen: LastSeenFor::Contacts,
        };
        PresenceSynced { after: 10, to: 20, more: true, own, contacts }
    }

    #[test]
    fn what_was_told_since_the_question_goes_over_the_page() {
        let mut presences = Presences::default();
        assert!(presences.note(&[contact(12, PresenceState::Busy)]), "before the question");
        presences.begin();
        let told = [
            contact(13, PresenceState::Offline),
            contact(14, PresenceState::Away),
            contact(15, PresenceState::Online),
            contact(21, PresenceState::Online),
        ];
        assert!(presences.note(&told));
        let online = [12, 13, 14].map(|number| contact(number, PresenceState::Online)).to_vec();
        let merged = presences.merge(page(online.clone()));
        let wanted = [
            contact(12, PresenceState::Online),
            contact(14, PresenceState::Away),
            contact(15, PresenceState::Online),
        ];
        assert_eq!(merged.contacts, wanted);
        assert_eq!(presences.merge(page(online.clone())).contacts, online, "told before that question");
    }
}
