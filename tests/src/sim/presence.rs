//! What the application of a device shows of presence.

use std::collections::BTreeMap;

use wire::UserId;
use wire::client::QueryId;
use wire::presence::{Presence, PresenceQuery, PresenceState, PresenceSynced};

use super::queue::Event;
use super::world::World;

/// Who is online, as far as the application was told.
#[derive(Debug, Default)]
pub struct Seen {
    pub online: BTreeMap<UserId, Presence>,
    /// The page that it waits for.
    query: Option<QueryId>,
}

impl Seen {
    pub fn take(&mut self, contacts: Vec<Presence>) {
        for contact in contacts {
            if contact.state == PresenceState::Offline {
                self.online.remove(&contact.user);
            } else {
                self.online.insert(contact.user, contact);
            }
        }
    }
}

impl World {
    /// Asks who is online, from the first page or behind another one.
    pub fn device_asks_presence(&mut self, number: usize, after: u64) {
        let mut asked = None;
        self.with_session(number, |session, now_ms| {
            asked = Some(session.ask_presence(now_ms, PresenceQuery::Sync { after }));
        });
        match asked {
            Some(Ok(query)) => self.devices[number].presence.query = Some(query),
            Some(Err(_)) => self.ask_presence_later(number),
            None => {}
        }
    }

    fn ask_presence_later(&mut self, number: usize) {
        let boot = self.devices[number].boot;
        self.queue.after(200_000, Event::DeviceAsksPresence { device: number, boot });
    }

    pub fn on_presence_refused(&mut self, number: usize, query: QueryId) {
        let waits = &mut self.devices[number].presence.query;
        if waits.take_if(|waits| *waits == query).is_some() {
            self.ask_presence_later(number);
        }
    }

    pub fn on_presence_synced(&mut self, number: usize, query: QueryId, page: PresenceSynced) {
        let seen = &mut self.devices[number].presence;
        // A part of an earlier round; the newer one begins at the first page.
        if seen.query.take_if(|waits| *waits == query).is_none() {
            return;
        }
        seen.online.retain(|user, _| user.0 <= page.after || user.0 > page.to);
        seen.take(page.contacts);
        if page.more {
            self.device_asks_presence(number, page.to);
        }
    }
}
