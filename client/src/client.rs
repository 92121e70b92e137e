//! The handle of an open client.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use wire::client::{ConversationState, Draft, StoredSend};
use wire::contact::{Contact, ContactQuery, Related};
use wire::limits::{LABEL_LEN_MAX, PULL_ENTRIES_MAX};
use wire::message::{BodyKind, Pulled};
use wire::name::UserName;
use wire::{ConversationId, Notices, UserId};
use zeroize::Zeroizing;

use crate::board::{Board, Me};
use crate::engine::{ContactAnswer, Engine, LoginStep, REQUESTS_MAX, Request, blocking};
use crate::error::Error;
use crate::event::{Connection, Events};
use crate::options::ClientOptions;
use crate::send::SendHandle;
use crate::store::{HistoryItem, Store};

/// Pulls for one [`Client::history`].
const HISTORY_PULLS_MAX: usize = 16;

/// An open account: its local folder, and a connection to its node when one is wanted. Cloning shares it. The folder is
/// free for others when [`Client::close`] has returned and the clones are dropped.
#[derive(Clone, Debug)]
pub struct Client {
    store: Store,
    board: Arc<Board>,
    requests: mpsc::Sender<Request>,
    /// One page of the directory at a time.
    org: Arc<Mutex<()>>,
}

/// Whom a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Conversation(ConversationId),
    /// The private chat with this user.
    User(UserId),
}

/// What is sent, at most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Text(String),
    /// Bytes that only the application understands.
    Opaque(Bytes),
}

/// A conversation of the account's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationInfo {
    pub state: ConversationState,
    /// The other one; [`UserId::SYSTEM`] where the system writes.
    pub peer: UserId,
    /// The other one's name, once it is known; what the system writes has a title.
    pub name: Option<String>,
    /// His account is gone, as far as it is known here: [`Client::user`] asks.
    pub deleted: bool,
}

impl ConversationInfo {
    /// Messages behind the own read mark.
    pub fn unread(&self) -> u64 {
        self.state.unread()
    }
}

/// A user, as the node knows him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    /// The account is gone: what was written with it stays, and nothing reaches it.
    pub deleted: bool,
}

/// Whether a user wants adverts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adverts {
    On,
    Off,
}

/// A part of a conversation's history, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub items: Vec<HistoryItem>,
    /// Nothing older exists.
    pub is_start: bool,
    /// Older or missing parts could not be fetched now (not connected, say): what is here ends behind the hole.
    pub is_cut: bool,
}

impl Client {
    /// Opens the folder and starts the client's task on the current tokio runtime. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Error::Store`]: the folder is in use, unreadable, damaged, or of a later version. [`Error::Misuse`]: the device's
    /// name is too long.
    pub async fn open(options: ClientOptions) -> Result<Self, Error> {
        if options.device_name.len() > LABEL_LEN_MAX {
            return Err(Error::Misuse("the device's name is longer than 64 bytes"));
        }
        let folder = options.folder.clone();
        let opened = blocking(move || {
            let (store, stored) = Store::open(&folder)?;
            let (names, deleted, contacts) = (store.names()?, store.deleted_users()?, store.contacts()?);
            Ok((store, stored, names, deleted, contacts))
        });
        let (store, stored, names, deleted, contacts) = opened.await?;
        let me = stored.account.as_ref().map(|account| Me {
            user: account.user,
            name: account.name.clone(),
            device: account.device,
        });
        let board = Arc::new(Board::new(me, names, deleted));
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        tokio::spawn(Engine::new(options, store.clone(), stored, contacts, board.clone(), receiver).run());
        Ok(Client { store, board, requests, org: Arc::default() })
    }

    /// Creates an account and logs in to it. The folder is this account's from then on.
    ///
    /// # Errors
    /// [`Error::Refused`]: the name is taken or not allowed, registration is closed, or not on this connection.
    pub async fn register(&self, name: &UserName, password: &str) -> Result<Me, Error> {
        self.log_in_by(LoginStep::Register, name, password).await
    }

    /// Logs in. Returns with the first failure; once logged in, the client reconnects by itself.
    ///
    /// # Errors
    /// [`Error::Refused`]: user or password is wrong, or there were too many attempts. [`Error::Connect`].
    pub async fn login(&self, name: &UserName, password: &str) -> Result<Me, Error> {
        self.log_in_by(LoginStep::LogIn, name, password).await
    }

    pub(crate) async fn log_in_by(
        &self,
        step: LoginStep,
        name: &UserName,
        password: &str,
    ) -> Result<Me, Error> {
        let name = name.as_str().to_owned();
        let password = Zeroizing::new(password.to_owned());
        self.ask(|reply| Request::Login { step, name, password, reply }).await
    }

    /// Connects with what the folder keeps (a ticket, or keys) and stays connected; returns at once. How it goes is told
    /// by [`Client::connection`]; [`Connection::LoginNeeded`] means that the folder cannot do it.
    pub async fn resume(&self) -> Result<(), Error> {
        self.ask(|reply| Request::Resume { reply }).await
    }

    /// The account of this folder, once it was logged in.
    pub fn me(&self) -> Option<Me> {
        self.board.me()
    }

    /// The connection's state, now and when it changes.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.board.connection()
    }

    /// Events from now on.
    pub fn events(&self) -> Events {
        Events { receiver: self.board.subscribe() }
    }

    /// Takes a message to be sent, connected or not. It is on this device's disk before it is sent and sent exactly once,
    /// whatever crashes; the handle tells how far it has come.
    ///
    /// # Errors
    /// [`Error::QueueFull`]: 1,024 messages or 16 MiB wait. [`Error::Misuse`]: too long, nobody logged in yet, not a
    /// conversation of this user.
    pub async fn send(&self, to: To, body: Body) -> Result<SendHandle, Error> {
        let draft = match body {
            Body::Text(text) => Draft::text(text),
            Body::Opaque(bytes) => Draft::new(BodyKind::Opaque, bytes),
        };
        self.send_draft(to, draft).await
    }

    /// The same for whatever is more than a text: answers, forwarded messages, mentions, other kinds of bodies.
    ///
    /// # Errors
    /// Those of [`Client::send`].
    pub async fn send_draft(&self, to: To, draft: Draft) -> Result<SendHandle, Error> {
        let conversation = self.conversation(to)?;
        self.ask(|reply| Request::Send { conversation, draft, reply }).await
    }

    /// Gives up a send that is not decided. If the node has taken it already, it comes as a message all the same.
    pub async fn discard(&self, counter: u64) -> Result<(), Error> {
        self.requests.send(Request::Discard { counter }).await.map_err(|_| Error::Closed)
    }

    /// Sends that are not decided, by rising counter; those of earlier runs too.
    pub async fn undecided(&self) -> Result<Vec<SendHandle>, Error> {
        self.ask(|reply| Request::Undecided { reply }).await
    }

    /// The messages that are not decided, by rising counter, as they are on this device's disk.
    pub async fn outgoing(&self) -> Result<Vec<StoredSend>, Error> {
        let store = self.store.clone();
        Ok(blocking(move || store.outgoing()).await?)
    }

    /// Says that the user has read up to `seq`. It is kept and told to the node when there is a connection; a mark never
    /// goes back.
    pub async fn mark_read(&self, conversation: ConversationId, seq: u64) -> Result<(), Error> {
        self.requests.send(Request::MarkRead { conversation, seq }).await.map_err(|_| Error::Closed)
    }

    /// The user with exactly this name.
    ///
    /// # Errors
    /// [`Error::Refused`] with `unknown_user`; [`Error::NotConnected`].
    pub async fn find_user(&self, name: &UserName) -> Result<User, Error> {
        let name = name.as_str().to_owned();
        self.ask(|reply| Request::FindUser { name, reply }).await
    }

    /// The user with this id, as the node knows him now.
    ///
    /// # Errors
    /// As [`Client::find_user`].
    pub async fn user(&self, id: UserId) -> Result<User, Error> {
        self.ask(|reply| Request::NameUser { id, reply }).await
    }

    /// Whether this user's account is gone, as far as it is known here.
    pub fn is_deleted(&self, user: UserId) -> bool {
        self.board.is_deleted(user)
    }

    /// The private chat with this user.
    pub fn conversation_with(&self, user: UserId) -> Result<ConversationId, Error> {
        self.conversation(To::User(user))
    }

    /// A user's name, if it is known here.
    pub fn name_of(&self, user: UserId) -> Option<String> {
        self.board.name(user)
    }

    /// The account's conversations, the newest first.
    pub async fn conversations(&self) -> Result<Vec<ConversationInfo>, Error> {
        let Some(me) = self.board.me() else { return Ok(Vec::new()) };
        let store = self.store.clone();
        let states = blocking(move || store.conversations()).await?;
        let mut infos: Vec<ConversationInfo> = states
            .into_iter()
            .filter_map(|state| {
                if let Some(title) = title(state.conversation) {
                    return Some(ConversationInfo {
                        state,
                        peer: UserId::SYSTEM,
                        name: Some(title),
                        deleted: false,
                    });
                }
                let peer = state.conversation.peer_of(me.user)?;
                let (name, deleted) = (self.board.name(peer), self.board.is_deleted(peer));
                Some(ConversationInfo { state, peer, name, deleted })
            })
            .collect();
        infos.sort_by_key(|info| (std::cmp::Reverse(info.state.time_ms), info.state.conversation));
        Ok(infos)
    }

    /// The newest `count` entries (or gaps) of a conversation with seqs below `before`; `None` for the newest of all. What
    /// is not in the local store is fetched from the node and kept.
    pub async fn history(
        &self,
        conversation: ConversationId,
        before: Option<u64>,
        count: usize,
    ) -> Result<History, Error> {
        let before = before.unwrap_or(u64::MAX);
        let mut pulls = 0;
        loop {
            let store = self.store.clone();
            let page = blocking(move || store.history(conversation, before, count)).await?;
            let history = |is_cut| History { items: page.items.clone(), is_start: page.is_start, is_cut };
            let Some((from, to)) = page.missing else { return Ok(history(false)) };
            let wanted = (count - page.items.len()).min(PULL_ENTRIES_MAX as usize) as u64;
            let from = from.max((to + 1).saturating_sub(wanted));
            pulls += 1;
            if pulls > HISTORY_PULLS_MAX {
                return Ok(history(true));
            }
            match self.ask(|reply| Request::Pull { conversation, from, to, reply }).await {
                Ok(pulled) if has_news(&pulled) => {}
                Ok(_)
                | Err(Error::NotConnected | Error::ConnectionLost | Error::Refused(_) | Error::Misuse(_)) => {
                    return Ok(history(true));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks a user to be a contact, with a text of at most 256 bytes. Who asked before, and is asked by the other one now, is a
    /// contact at once. A refusal is not told: he stays `Requested`.
    ///
    /// # Errors
    /// [`Error::Refused`]: `blocked_by_you`, `unknown_user`; [`Error::NotConnected`].
    pub async fn request_contact(&self, user: UserId, text: &str) -> Result<Related, Error> {
        let conversation = self.conversation_with(user)?;
        self.relate(ContactQuery::Request { conversation, text: text.to_owned() }).await
    }

    /// Accepts what a user asked.
    ///
    /// # Errors
    /// [`Error::Refused`]: `no_request`.
    pub async fn accept_contact(&self, user: UserId) -> Result<Related, Error> {
        self.relate(ContactQuery::Accept(self.conversation_with(user)?)).await
    }

    /// Refuses what a user asked. He is not told.
    ///
    /// # Errors
    /// [`Error::Refused`]: `no_request`.
    pub async fn refuse_contact(&self, user: UserId) -> Result<Related, Error> {
        self.relate(ContactQuery::Refuse(self.conversation_with(user)?)).await
    }

    /// Ends being contacts, for both, or withdraws the own request.
    pub async fn remove_contact(&self, user: UserId) -> Result<Related, Error> {
        self.relate(ContactQuery::Remove(self.conversation_with(user)?)).await
    }

    /// From now on no message of this user comes. He is not told.
    pub async fn block(&self, user: UserId) -> Result<Related, Error> {
        self.relate(ContactQuery::Block(self.conversation_with(user)?)).await
    }

    pub async fn unblock(&self, user: UserId) -> Result<Related, Error> {
        self.relate(ContactQuery::Unblock(self.conversation_with(user)?)).await
    }

    /// Sets the own remark (at most 128 bytes) and group (64 bytes) of a contact.
    ///
    /// # Errors
    /// [`Error::Refused`]: `not_contact`.
    pub async fn set_contact(&self, user: UserId, remark: &str, group: &str) -> Result<Contact, Error> {
        let query = ContactQuery::Set { user, remark: remark.to_owned(), group: group.to_owned() };
        match self.ask(|reply| Request::Contact { query, reply }).await? {
            ContactAnswer::Row(contact) => Ok(contact),
            _ => Err(Error::NodeMisbehaved("another answer".into())),
        }
    }

    /// Contacts, requests and blocks that changed behind a version (0: all), and the version to ask from the next time. What
    /// shows nothing any more comes as such.
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub async fn contacts(&self, since: u64) -> Result<(Vec<Contact>, u64), Error> {
        let (mut all, mut cver) = (Vec::new(), since);
        loop {
            match self.ask(|reply| Request::Contact { query: ContactQuery::Sync { cver }, reply }).await? {
                ContactAnswer::Page(page) => {
                    all.extend(page.contacts);
                    if page.more && page.to <= cver {
                        return Err(Error::NodeMisbehaved("a list that does not end".into()));
                    }
                    cver = page.to;
                    if !page.more {
                        return Ok((all, cver));
                    }
                }
                _ => return Err(Error::NodeMisbehaved("another answer".into())),
            }
        }
    }

    /// Contacts, requests and blocks as this folder knows them: brought up to date after each login, with every
    /// [`Event::ContactChanged`](crate::Event::ContactChanged) and before [`Event::ContactsSynced`](crate::Event::ContactsSynced).
    pub async fn known_contacts(&self) -> Result<Vec<Contact>, Error> {
        let store = self.store.clone();
        Ok(blocking(move || store.contacts()).await?.1)
    }

    async fn relate(&self, query: ContactQuery) -> Result<Related, Error> {
        match self.ask(|reply| Request::Contact { query, reply }).await? {
            ContactAnswer::Related(related) => Ok(related),
            _ => Err(Error::NodeMisbehaved("another answer".into())),
        }
    }

    /// Switches adverts on or off, for all devices of this user. Other notices of the system cannot be switched off. What came
    /// while they were off is not unread when they are on again.
    ///
    /// # Errors
    /// [`Error::NotConnected`], [`Error::ConnectionLost`]: then it may be done or not; it does no harm twice.
    pub async fn set_adverts(&self, adverts: Adverts) -> Result<(), Error> {
        let off = adverts == Adverts::Off;
        self.ask(|reply| Request::SetAdverts { off, reply }).await
    }

    /// Ends the session and its ticket. The folder stays, so that a later login goes on from it.
    pub async fn logout(&self) -> Result<(), Error> {
        self.ask(|reply| Request::Logout { reply }).await
    }

    /// Disconnects, waits until all is on disk, and ends the client's task. What was not acknowledged is sent by the next
    /// start.
    pub async fn close(self) -> Result<(), Error> {
        match self.ask(|reply| Request::Close { reply }).await {
            Err(Error::Closed) => Ok(()),
            result => result,
        }
    }

    fn conversation(&self, to: To) -> Result<ConversationId, Error> {
        match to {
            To::Conversation(conversation) => Ok(conversation),
            To::User(user) => {
                let me = self.board.me().ok_or(Error::Misuse("nobody has logged in on this device yet"))?;
                ConversationId::private(me.user, user).ok_or(Error::Misuse("nobody chats with himself"))
            }
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn org_lock(&self) -> &Mutex<()> {
        &self.org
    }

    pub(crate) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

/// What people call the conversations of the system; `None` for a chat of two users.
fn title(conversation: ConversationId) -> Option<String> {
    match conversation.notice() {
        Some(Notices::All) => Some("notices".into()),
        Some(Notices::Adverts) => Some("adverts".into()),
        Some(Notices::Department(department)) => Some(format!("department {department}")),
        None => (!conversation.is_private()).then(|| "system".into()),
    }
}

/// Whether a pull brought something that is kept.
fn has_news(pulled: &Pulled) -> bool {
    use wire::message::RangeKind;
    let is_lasting = |kind| !matches!(kind, RangeKind::More | RangeKind::EpochChanged);
    !pulled.entries.is_empty() || pulled.ranges.iter().any(|range| is_lasting(range.kind))
}
