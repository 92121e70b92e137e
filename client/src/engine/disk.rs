//! Writes of an engine: what gathers while one transaction is written goes into the next.

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::client::PersistToken;
use wire::contact::Contact;
use wire::message::Pulled;

use super::request::{ContactAnswer, Reply};
use crate::store::{Change, Store, StoreError};

/// Changes that belong together, and what follows once they are on disk.
pub(super) struct Group {
    pub(super) changes: Vec<Change>,
    pub(super) after: After,
}

pub(super) enum After {
    Token(PersistToken),
    Pulled(Pulled, Reply<Pulled>),
    /// What this device set.
    ContactSet(Contact, Reply<ContactAnswer>),
    /// Rows to be told; `is_end`: then all that changed is told.
    Contacts {
        news: Vec<Contact>,
        is_end: bool,
    },
    Nothing,
}

pub(super) struct Disk {
    store: Store,
    /// Bounded by the session, which stops being read when too much waits.
    waiting: Vec<Group>,
    running: Option<JoinHandle<Result<Vec<Group>, StoreError>>>,
}

impl Disk {
    pub(super) fn new(store: Store) -> Self {
        Self { store, waiting: Vec::new(), running: None }
    }

    pub(super) fn put(&mut self, group: Group) {
        self.waiting.push(group);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_none()
    }

    /// Begins the next transaction if none is running.
    pub(super) fn start(&mut self) {
        if self.running.is_some() || self.waiting.is_empty() {
            return;
        }
        let groups = std::mem::take(&mut self.waiting);
        let store = self.store.clone();
        self.running = Some(tokio::task::spawn_blocking(move || {
            store.write(groups.iter().flat_map(|group| &group.changes))?;
            Ok(groups)
        }));
    }

    /// The groups that came to disk with the running transaction. Dropping the future loses nothing.
    pub(super) async fn written(&mut self) -> Result<Vec<Group>, StoreError> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let result = running.await;
        self.running = None;
        match result {
            Ok(result) => result,
            Err(error) => Err(self.store.broken(&error.to_string())),
        }
    }
}

/// Tells whoever waits; nobody waiting is fine.
pub(super) fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}
