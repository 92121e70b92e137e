//! What the engine shows to everybody who holds the client.

use std::collections::{HashMap, HashSet};
use std::sync::RwLock;

use tokio::sync::{broadcast, watch};
use wire::{DeviceId, UserId};

use crate::event::{Connection, EVENTS_MAX, Event};

/// The account of an open client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    pub user: UserId,
    pub name: String,
    pub device: DeviceId,
}

#[derive(Debug)]
pub(crate) struct Board {
    events: broadcast::Sender<Event>,
    connection: watch::Sender<Connection>,
    me: RwLock<Option<Me>>,
    names: RwLock<HashMap<UserId, String>>,
    /// Whose accounts are gone.
    deleted: RwLock<HashSet<UserId>>,
}

impl Board {
    pub(crate) fn new(me: Option<Me>, names: Vec<(UserId, String)>, deleted: Vec<UserId>) -> Self {
        let mut names: HashMap<UserId, String> = names.into_iter().collect();
        names.extend(me.iter().map(|me| (me.user, me.name.clone())));
        Self {
            events: broadcast::Sender::new(EVENTS_MAX),
            connection: watch::Sender::new(Connection::Idle),
            me: RwLock::new(me),
            names: RwLock::new(names),
            deleted: RwLock::new(deleted.into_iter().collect()),
        }
    }

    /// Nobody listening is fine.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(crate) fn set_connection(&self, connection: Connection) {
        if *self.connection.borrow() != connection {
            self.connection.send_replace(connection.clone());
            self.tell(Event::Connection(connection));
        }
    }

    pub(crate) fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.subscribe()
    }

    pub(crate) fn me(&self) -> Option<Me> {
        self.me.read().expect("nothing panics under it").clone()
    }

    pub(crate) fn set_me(&self, me: Me) {
        self.set_name(me.user, me.name.clone());
        *self.me.write().expect("nothing panics under it") = Some(me);
    }

    pub(crate) fn name(&self, user: UserId) -> Option<String> {
        self.names.read().expect("nothing panics under it").get(&user).cloned()
    }

    pub(crate) fn is_deleted(&self, user: UserId) -> bool {
        self.deleted.read().expect("nothing panics under it").contains(&user)
    }

    /// False when it was known.
    pub(crate) fn set_deleted(&self, user: UserId) -> bool {
        self.deleted.write().expect("nothing panics under it").insert(user)
    }

    /// False when it was known.
    pub(crate) fn set_name(&self, user: UserId, name: String) -> bool {
        let mut names = self.names.write().expect("nothing panics under it");
        names.insert(user, name.clone()).as_ref() != Some(&name)
    }
}
