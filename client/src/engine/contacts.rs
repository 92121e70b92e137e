//! The copy of the contacts: asked for after each login, and whenever changes may not have come.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use wire::UserId;
use wire::contact::{Contact, ContactQuery, ContactsSynced};

use super::disk::After;
use super::{ContactAnswer, Engine, Group, Query, Reply};
use crate::error::Error;
use crate::event::Event;
use crate::store::{Change, ContactRows, shows};

/// Delay before a page is asked for again that was refused for now, if the node names no longer one.
const RETRY: Duration = Duration::from_secs(1);

/// What the engine knows of the contacts.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    /// All up to this version is in the copy; `None`: there is none yet.
    cver: Option<u64>,
    /// Versions of the rows in the copy.
    known: BTreeMap<UserId, u64>,
    /// A page is to be asked for, not before this.
    wanted: Option<Instant>,
    /// A page is on its way.
    is_asked: bool,
    /// The pages of this sync are not told row by row: they are the whole list.
    is_whole: bool,
}

impl Contacts {
    pub(super) fn new(cver: Option<u64>, rows: &[Contact]) -> Self {
        let known = rows.iter().map(|row| (row.user, row.cver)).collect();
        Self { cver, known, ..Self::default() }
    }

    pub(super) fn want(&mut self) {
        self.wanted = Some(Instant::now());
    }

    /// When to ask for a page.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.wanted.filter(|_| !self.is_asked)
    }

    /// Takes a row in; false when it says nothing new.
    fn take(&mut self, row: &Contact) -> bool {
        let known = self.known.get(&row.user).copied();
        if known.is_some_and(|known| row.cver <= known) {
            return false;
        }
        if shows(row) {
            self.known.insert(row.user, row.cver);
            return true;
        }
        self.known.remove(&row.user).is_some()
    }
}

impl Engine {
    /// Asks for the next page, if one is wanted and its time has come.
    pub(super) fn ask_contacts(&mut self) {
        let is_due = self.contacts.deadline().is_some_and(|at| at <= Instant::now());
        if !is_due || !self.session.is_ready() {
            return;
        }
        let query = ContactQuery::Sync { cver: self.contacts.cver.unwrap_or(0) };
        match self.session.ask_contact(self.clock.now_ms(), query) {
            Ok(id) => {
                (self.contacts.is_asked, self.contacts.wanted) = (true, None);
                self.queries.insert(id, Query::ContactCopy);
            }
            Err(_) => self.contacts.wanted = Some(Instant::now() + RETRY),
        }
    }

    /// A page came.
    pub(super) fn on_contact_page(&mut self, page: ContactsSynced) {
        let contacts = &mut self.contacts;
        contacts.is_asked = false;
        if page.more && page.to <= page.from {
            tracing::warn!("the node's list of contacts does not end");
            return;
        }
        // The node answers from 0 to a version that it never gave.
        let afresh = contacts.cver.is_some_and(|cver| page.from < cver);
        if afresh {
            contacts.known.clear();
        }
        contacts.is_whole |= afresh || contacts.cver.is_none();
        let mut news = page.contacts.clone();
        news.retain(|row| contacts.take(row));
        if contacts.is_whole {
            news.clear();
        }
        contacts.cver = Some(page.to);
        if page.more {
            contacts.want();
        } else {
            contacts.is_whole = false;
        }
        let rows = ContactRows { afresh, rows: page.contacts, cver: Some(page.to) };
        let changes = vec![Change::Contacts(rows)];
        self.disk.put(Group { changes, after: After::Contacts { news, is_end: !page.more } });
    }

    pub(super) fn on_contacts_missed(&mut self) {
        self.contacts.want();
        self.board.tell(Event::ContactsMissed);
    }

    pub(super) fn on_contact_pushed(&mut self, contact: Contact) {
        let unnamed = self.unnamed(contact.user);
        self.names_wanted.extend(unnamed);
        if self.contacts.take(&contact) {
            let news = vec![contact.clone()];
            self.put_contact(contact, After::Contacts { news, is_end: false });
        }
    }

    /// The answer to what this device set; who asked finds it in the copy.
    pub(super) fn on_contact_set(&mut self, contact: Contact, reply: Reply<ContactAnswer>) {
        self.contacts.take(&contact);
        self.put_contact(contact.clone(), After::ContactSet(contact, reply));
    }

    fn put_contact(&mut self, row: Contact, after: After) {
        let changes = vec![Change::Contacts(ContactRows { afresh: false, rows: vec![row], cver: None })];
        self.disk.put(Group { changes, after });
    }

    /// Rows are on disk.
    pub(super) fn on_contacts_written(&mut self, news: Vec<Contact>, is_end: bool) {
        for contact in news {
            self.board.tell(Event::ContactChanged(contact));
        }
        if is_end {
            self.board.tell(Event::ContactsSynced);
        }
    }

    /// A page was not answered, or refused.
    pub(super) fn on_contact_page_failed(&mut self, error: &Error) {
        self.contacts.is_asked = false;
        if let Error::Refused(refused) = error {
            if refused.retry_ms == 0 {
                tracing::info!(%refused, "the node gives no contacts");
                return; // the next login asks again
            }
            let delay = RETRY.max(Duration::from_millis(u64::from(refused.retry_ms)));
            self.contacts.wanted = Some(Instant::now() + delay);
        }
    }
}
