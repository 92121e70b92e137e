//! Tickets of sessions that were ended: whoever has stolen one is not let in with it.

use std::collections::{BTreeMap, BTreeSet};

use wire::{EventBody, Refusal};

use super::Model;
use crate::sim::network::LinkId;

#[derive(Debug, Default)]
pub struct Tickets {
    /// The last one told on a link.
    of_link: BTreeMap<LinkId, Vec<u8>>,
    /// Presented, by request.
    presented: BTreeMap<(LinkId, u32), Vec<u8>>,
    void: BTreeSet<Vec<u8>>,
}

impl Tickets {
    pub fn on_presented(&mut self, link: LinkId, request: u32, ticket: &[u8]) {
        self.presented.insert((link, request), ticket.to_vec());
    }

    /// Tickets that serve no more.
    pub fn void(&self) -> Vec<Vec<u8>> {
        self.void.iter().cloned().collect()
    }
}

impl Model {
    pub fn check_tickets(&mut self, link: LinkId, request: u32, event: &EventBody) {
        match event {
            EventBody::LoggedIn(event) => {
                self.tickets.of_link.insert(link, event.ticket.clone());
            }
            EventBody::Resumed(event) => {
                let presented = self.tickets.presented.get(&(link, request));
                let is_void = presented.is_some_and(|ticket| self.tickets.void.contains(ticket));
                self.tickets.of_link.insert(link, event.ticket.clone());
                self.violation_if(is_void, || {
                    format!("{:?} is resumed with the ticket of a session that was ended", event.user)
                });
            }
            EventBody::PasswordChanged(changed) => {
                let old = self.tickets.of_link.insert(link, changed.ticket.clone());
                self.tickets.void.extend(old);
            }
            EventBody::AccountDeleted { .. } => self.tickets.void.extend(self.tickets.of_link.remove(&link)),
            EventBody::Closing(closing) => {
                // A device that came back by its ticket has taken the place of its own session: that ticket goes on.
                let ends = Refusal::from_code(closing.code)
                    .is_some_and(|why| why.ends_session() && why != Refusal::SessionEnded);
                if ends {
                    self.tickets.void.extend(self.tickets.of_link.remove(&link));
                }
            }
            _ => {}
        }
    }
}
