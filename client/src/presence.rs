//! Who is online, and the own state.

use wire::UserId;
use wire::presence::{OwnPresence, Presence, PresenceFound, PresenceQuery, PresenceWish};

use crate::client::Client;
use crate::engine::{PresenceAnswer, Request};
use crate::error::Error;

/// Who is online now, and what the user is himself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Online {
    pub own: OwnPresence,
    /// Contacts who are online, by rising ids; all others are offline, or look so.
    pub contacts: Vec<Presence>,
}

impl Client {
    /// Changes the own state, for all devices of the account; what the wish leaves open stays as it is. It is on the node's disk
    /// when this returns, and outlives sessions: whoever is invisible stays so until he changes it. Nobody sees an
    /// invisible user, nor what is delivered to him and what he reads, until he writes or is visible again.
    ///
    /// # Errors
    /// [`Error::Refused`]: `bad_field` for a text of more than 128 bytes; [`Error::NotConnected`].
    pub async fn set_presence(&self, wish: PresenceWish) -> Result<OwnPresence, Error> {
        match self.ask_presence(PresenceQuery::Set(wish)).await? {
            PresenceAnswer::Own(own) => Ok(own),
            _ => Err(other_answer()),
        }
    }

    /// Who is online. From the login on [`Event::PresenceChanged`](crate::Event::PresenceChanged) tells what changes; ask again
    /// after a new connection and after [`Event::PresenceMissed`](crate::Event::PresenceMissed).
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub async fn presence(&self) -> Result<Online, Error> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let PresenceAnswer::Page(page) = self.ask_presence(PresenceQuery::Sync { after }).await? else {
                return Err(other_answer());
            };
            all.extend(page.contacts);
            after = page.to;
            if !page.more {
                return Ok(Online { own: page.own, contacts: all });
            }
        }
    }

    /// The own state, without who else is online.
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub async fn own_presence(&self) -> Result<OwnPresence, Error> {
        match self.ask_presence(PresenceQuery::Sync { after: u64::MAX }).await? {
            PresenceAnswer::Page(page) => Ok(page.own),
            _ => Err(other_answer()),
        }
    }

    /// The state of one user, and when he was last seen, as far as this account may know.
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub async fn presence_of(&self, user: UserId) -> Result<PresenceFound, Error> {
        match self.ask_presence(PresenceQuery::Get(user)).await? {
            PresenceAnswer::Found(found) => Ok(found),
            _ => Err(other_answer()),
        }
    }

    async fn ask_presence(&self, query: PresenceQuery) -> Result<PresenceAnswer, Error> {
        self.ask(|reply| Request::Presence { query, reply }).await
    }
}

fn other_answer() -> Error {
    Error::NodeMisbehaved("another answer".into())
}
