//! The state of one user, and when he was last seen, for whoever asks.

use record::{Contact, Key, LastSeenFor, Query, Record, RecordError, Rows};
use wire::presence::{Presence, PresenceFound, PresenceState};
use wire::{Refusal, UserId};

use super::own::own;
use super::watched::Seen;
use super::{Presences, id_of};
use crate::contact::is_contact;
use crate::core::{Core, LoadFor};
use crate::limits::BUSY_RETRY_MS;
use crate::mesh::Caller;

impl Presences {
    /// Costs the same reads whoever asks, and whether or not there is such a user.
    pub fn handle_get(&mut self, core: &mut Core, caller: Caller, user: UserId) {
        let queries = vec![
            Query::Get(Key::Presence(user).bytes()),
            Query::Get(Key::Contact(user, caller.user).bytes()),
        ];
        if !core.load(user.slot(), queries, LoadFor::PresenceOf(Box::new(caller), user)) {
            core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
    }

    pub fn handle_found(&mut self, core: &mut Core, caller: Caller, user: UserId, rows: &[Rows]) {
        let [stored, contact] = rows else { panic!("{} answers to two queries", rows.len()) };
        let read = || -> Result<_, RecordError> {
            let stored = stored.rows.first().map(|row| record::Presence::decode(&row.value));
            let contact = contact.rows.first().map(|row| Contact::decode(&row.value));
            Ok((stored.transpose()?.unwrap_or_default(), contact.transpose()?.unwrap_or_default()))
        };
        let Ok((stored, contact)) = read() else {
            return core.damaged(user.slot(), &format!("what {user:?} shows of himself cannot be read"));
        };
        let person = id_of(user).and_then(|id| self.people.get(&id)).filter(|person| person.here);
        let here = person.and_then(|person| person.own.as_deref());
        let presence = here.unwrap_or(&stored);
        let found = if caller.user == user {
            let own = own(presence);
            let presence = Presence { user, state: own.state, text: own.text };
            PresenceFound { presence, last_seen_ms: stored.last_seen_ms }
        } else {
            // Where the asking one has blocked him, his home does not say that he is here.
            let asks = id_of(caller.user).and_then(|id| person?.watched.mark(id));
            let is_mutual = is_contact(&contact) && asks.is_some_and(|mark| mark.seen() != Seen::Offline);
            match here.filter(|_| is_mutual).map(|own| (Seen::of(own.status).shown(), &own.text)) {
                Some((state, text)) if state != PresenceState::Offline => {
                    PresenceFound { presence: Presence { user, state, text: text.clone() }, last_seen_ms: 0 }
                }
                _ => PresenceFound {
                    presence: Presence { user, state: PresenceState::Offline, text: String::new() },
                    last_seen_ms: last_seen_ms(presence, &contact),
                },
            }
        };
        let frame = core.encoder.presence_found(caller.request, &found);
        core.answer(caller, frame);
    }
}

/// As far as the user of this row may know.
fn last_seen_ms(presence: &record::Presence, contact: &Contact) -> u64 {
    let may_know = match presence.last_seen_for {
        LastSeenFor::Nobody => false,
        LastSeenFor::Contacts => is_contact(contact),
        LastSeenFor::Everybody => !contact.view.blocked,
    };
    if may_know { presence.last_seen_ms } else { 0 }
}
