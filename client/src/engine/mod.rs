//! The engine: one task that drives a session over connections and disk. Everything else talks to it by requests.

mod clock;
mod contacts;
mod disk;
mod effects;
mod io;
mod opening;
mod request;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::client::{QueryError, QueryId, SendError, Session, SessionConfig, Stored, StoredSend};
use wire::contact::Contact;
use wire::org::OrgSynced;
use wire::scram::{ClientKeys, NONCE_LEN, ScramError};
use wire::token::Token;
use wire::{ConversationId, UserId};
use zeroize::Zeroizing;

use crate::board::{Board, Me};
use crate::client::User;
use crate::error::{Error, RefusedByNode};
use crate::event::{Connection, StopCause};
use crate::options::{ClientOptions, DeliveredMarks, Remember};
use crate::send::{SendHandle, SendState};
use crate::store::{Store, StoreError};
use crate::transport::{Address, Connected};

use clock::Clock;
use contacts::Contacts;
use disk::{Disk, Group, answer};
use io::{Io, IoEvent, Opening, Reading};

pub(crate) use opening::blocking;
pub(crate) use request::{ContactAnswer, DeviceAnswer, LoginStep, PresenceAnswer, Reply, Request};

/// Requests that wait for the engine; askers wait when there are more.
pub(crate) const REQUESTS_MAX: usize = 64;
/// Names of users asked for at a time.
const NAMES_IN_FLIGHT_MAX: usize = 4;

pub(crate) struct Engine {
    options: ClientOptions,
    store: Store,
    board: Arc<Board>,
    requests: mpsc::Receiver<Request>,
    session: Session,
    clock: Clock,
    io: Io,
    /// The address of the last connection that worked, or the one from the options.
    address: Address,
    disk: Disk,
    /// A connection opened ahead of a move.
    spare: Option<JoinHandle<Result<(Address, Connected), Error>>>,
    stretching: Option<JoinHandle<Result<ClientKeys, ScramError>>>,
    password: Option<Zeroizing<String>>,
    /// Who waits for a login; its first failure is the answer.
    login: Option<Reply<Me>>,
    logout: Option<Reply<()>>,
    close: Option<Reply<()>>,
    closing: bool,
    /// Somebody wants to be connected.
    wanted: bool,
    /// Why the connection was lost last; told with the delay until the next try.
    loss: Option<String>,
    sends: HashMap<u64, (ConversationId, watch::Sender<SendState>)>,
    queries: HashMap<QueryId, Query>,
    names_wanted: BTreeSet<UserId>,
    contacts: Contacts,
}

/// What a question to the node is for.
enum Query {
    Contact(Reply<ContactAnswer>),
    /// The next page for the copy.
    ContactCopy,
    Org(Reply<OrgSynced>),
    Presence(Reply<PresenceAnswer>),
    Account(Reply<wire::account::AccountAnswer>),
    Adverts(Reply<()>),
    Device(Reply<DeviceAnswer>),
    Operator(Reply<wire::operator::OperatorAnswer>),
    Find(Reply<User>),
    Name(UserId),
    Pull(Reply<wire::message::Pulled>),
}

impl Engine {
    pub(crate) fn new(
        options: ClientOptions,
        store: Store,
        stored: Stored,
        contacts: (Option<u64>, Vec<Contact>),
        board: Arc<Board>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        let config = SessionConfig {
            software: concat!("ringtalk-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            device_name: options.device_name.clone(),
            device_class: options.device_class,
            catch_up_max: options.catch_up_max,
            delivered_marks: options.delivered_marks == DeliveredMarks::Send,
            keep_keys: options.remember == Remember::Keys,
        };
        let contacts = Contacts::new(contacts.0, &contacts.1);
        let follow = |send: &StoredSend| {
            let is_unanswered = stored.unanswered.contains_key(&send.counter);
            let state = if is_unanswered { SendState::Unanswered } else { SendState::OnDisk };
            (send.counter, (send.conversation, watch::Sender::new(state)))
        };
        let sends = stored.outgoing.iter().map(follow).collect();
        let me = stored.account.as_ref().map(|account| account.user);
        let chats = stored.conversations.iter().map(|state| state.conversation);
        let peers = chats.filter(|chat| chat.is_private()).filter_map(|chat| chat.peer_of(me?));
        let names_wanted = peers.filter(|peer| board.name(*peer).is_none()).collect();
        Self {
            address: options.address.clone(),
            disk: Disk::new(store.clone()),
            session: Session::new(config, stored),
            options,
            store,
            board,
            requests,
            clock: Clock::start(),
            io: Io::Down,
            spare: None,
            stretching: None,
            password: None,
            login: None,
            logout: None,
            close: None,
            closing: false,
            wanted: false,
            loss: None,
            sends,
            queries: HashMap::new(),
            names_wanted,
            contacts,
        }
    }

    /// Runs until the client is closed or its store fails.
    pub(crate) async fn run(mut self) {
        let result = self.turns().await;
        self.io.hang_up();
        if let Some(spare) = self.spare.take() {
            spare.abort();
        }
        let connection = match &result {
            Ok(()) => {
                Connection::Stopped { cause: StopCause::Closed, reason: "the client was closed".into() }
            }
            Err(error) => {
                tracing::error!(%error, "the local store failed");
                Connection::Stopped { cause: StopCause::Folder, reason: error.to_string() }
            }
        };
        let (login, close) = (self.login.take(), self.close.take());
        let board = self.board.clone();
        drop(self); // the folder is free before anybody hears of it
        board.set_connection(connection);
        if let Some(reply) = login {
            answer(reply, Err(Error::Closed));
        }
        if let Some(reply) = close {
            answer(reply, result.map_err(Error::Store));
        }
    }

    async fn turns(&mut self) -> Result<(), StoreError> {
        loop {
            self.carry_out();
            self.ask_names();
            self.ask_contacts();
            self.disk.start();
            if self.closing && self.disk.is_idle() {
                return Ok(());
            }
            let deadline = self.session.next_deadline_ms().map(|at_ms| self.clock.instant(at_ms));
            let reading = if self.session.is_backlogged() { Reading::Off } else { Reading::On };
            tokio::select! {
                written = self.disk.written() => self.on_written(written?),
                event = self.io.next(reading) => self.on_io(event),
                request = self.requests.recv(), if !self.closing => match request {
                    Some(request) => self.handle_request(request),
                    None => self.begin_close(None), // every handle is gone
                },
                keys = stretched(&mut self.stretching) => self.on_stretched(keys),
                () = until(self.contacts.deadline()), if self.session.is_ready() => {}
                () = until(deadline) => self.session.handle_tick(self.clock.now_ms()),
            }
        }
    }

    fn on_io(&mut self, event: IoEvent) {
        let now_ms = self.clock.now_ms();
        match event {
            IoEvent::Due(addresses) => self.open(addresses),
            IoEvent::Opened(Ok((address, connected))) => {
                tracing::info!(%address, "connected");
                self.address = address;
                self.io = Io::up(connected.stream);
                self.session.handle_connected(now_ms, connected.binding.unwrap_or_default(), nonce());
            }
            IoEvent::Opened(Err(error)) => self.on_open_failed(error),
            IoEvent::Read(bytes) => self.session.handle_bytes(now_ms, &bytes),
            IoEvent::Wrote => {}
            IoEvent::Closed => {
                self.io = Io::Down;
                self.session.handle_disconnected(now_ms);
            }
        }
    }

    fn on_open_failed(&mut self, error: Error) {
        self.io = Io::Down;
        self.address = self.options.address.clone();
        let is_final = match &error {
            Error::Connect(error) => error.is_final(),
            _ => true,
        };
        let reason = error.to_string();
        self.loss = Some(reason.clone());
        tracing::info!(%reason, "cannot connect");
        if is_final {
            self.disconnect();
            self.board.set_connection(Connection::Stopped { cause: StopCause::Untrusted, reason });
        } else if self.login.is_some() {
            self.disconnect();
            self.board.set_connection(Connection::Idle);
        } else {
            self.session.handle_connect_failed(self.clock.now_ms());
        }
        if let Some(reply) = self.login.take() {
            answer(reply, Err(error));
        }
    }

    /// Ends the connection, and no other is opened until somebody asks.
    fn disconnect(&mut self) {
        self.wanted = false;
        self.password = None;
        if let Some(spare) = self.spare.take() {
            spare.abort();
        }
        self.session.close(self.clock.now_ms());
        if !matches!(self.io, Io::Up(_)) {
            self.io = Io::Down; // one that is up is ended by the session's effect
        }
    }

    /// Opens a connection to one of these addresses, or to the last one that worked.
    fn open(&mut self, addresses: Vec<Address>) {
        let addresses = if addresses.is_empty() { vec![self.address.clone()] } else { addresses };
        self.board.set_connection(Connection::Connecting);
        self.io = Io::Opening(self.opening(addresses));
    }

    fn opening(&self, addresses: Vec<Address>) -> Opening {
        let (home, security) = (self.options.address.clone(), self.options.security.clone());
        opening::open(addresses, home, security, self.store.clone(), self.board.clone())
    }

    fn on_stretched(&mut self, keys: Result<ClientKeys, ScramError>) {
        match keys {
            Ok(keys) => self.session.handle_stretched(self.clock.now_ms(), keys),
            Err(error) => self.fail_login(Error::Password(error)),
        }
    }

    fn begin_close(&mut self, reply: Option<Reply<()>>) {
        self.closing = true;
        self.close = reply;
        self.disconnect();
    }

    fn handle_request(&mut self, request: Request) {
        let now_ms = self.clock.now_ms();
        match request {
            Request::Login { step, name, password, reply } => self.begin_login(step, &name, password, reply),
            Request::TokenLogin { token, reply } => self.begin_token_login(token, reply),
            Request::Resume { reply } => {
                self.wanted = true;
                if self.io.is_idle() {
                    self.open(Vec::new());
                }
                answer(reply, Ok(()));
            }
            Request::Send { conversation, draft, reply } => {
                let sent = self.session.send_draft(now_ms, conversation, draft);
                answer(reply, sent.map(|counter| self.follow(conversation, counter)).map_err(send_error));
            }
            Request::Discard { counter } => self.session.discard(now_ms, counter),
            Request::Undecided { reply } => answer(reply, Ok(self.undecided())),
            Request::MarkRead { conversation, seq } => self.session.mark_read(now_ms, conversation, seq),
            Request::FindUser { name, reply } => {
                let asked = self.session.find_user(now_ms, &name);
                self.wait_for(asked, Query::Find(reply));
            }
            Request::NameUser { id, reply } => {
                let asked = self.session.name_user(now_ms, id);
                self.wait_for(asked, Query::Find(reply));
            }
            Request::Pull { conversation, from, to, reply } => {
                let asked = self.session.history(now_ms, conversation, from, to);
                self.wait_for(asked, Query::Pull(reply));
            }
            Request::Contact { query, reply } => {
                let asked = self.session.ask_contact(now_ms, query);
                self.wait_for(asked, Query::Contact(reply));
            }
            Request::Org { position, rows_max, reply } => {
                let asked = self.session.ask_org(now_ms, position, rows_max);
                self.wait_for(asked, Query::Org(reply));
            }
            Request::Presence { query, reply } => {
                let asked = self.session.ask_presence(now_ms, query);
                self.wait_for(asked, Query::Presence(reply));
            }
            Request::Account { query, reply } => {
                let asked = self.session.ask_account(now_ms, query);
                self.wait_for(asked, Query::Account(reply));
            }
            Request::SetAdverts { off, reply } => {
                let asked = self.session.set_adverts(now_ms, off);
                self.wait_for(asked, Query::Adverts(reply));
            }
            Request::Device { query, reply } => {
                let asked = self.session.ask_devices(now_ms, query);
                self.wait_for(asked, Query::Device(reply));
            }
            Request::Operator { query, reply } => {
                let asked = self.session.ask_operator(now_ms, *query);
                self.wait_for(asked, Query::Operator(reply));
            }
            Request::Logout { reply } => self.begin_logout(reply),
            Request::Close { reply } => self.begin_close(Some(reply)),
        }
    }

    /// Sends that are not decided, by rising counter.
    fn undecided(&self) -> Vec<SendHandle> {
        let handle =
            |(counter, (conversation, state)): (&u64, &(ConversationId, watch::Sender<SendState>))| {
                SendHandle { conversation: *conversation, counter: *counter, state: state.subscribe() }
            };
        let mut handles: Vec<SendHandle> = self.sends.iter().map(handle).collect();
        handles.sort_by_key(|handle| handle.counter);
        handles
    }

    fn begin_login(&mut self, step: LoginStep, name: &str, password: Zeroizing<String>, reply: Reply<Me>) {
        if self.login.is_some() {
            return answer(reply, Err(Error::Misuse("a login is under way")));
        }
        if self.session.is_ready() {
            return answer(reply, Err(Error::Misuse("logged in already")));
        }
        if self.board.me().is_some_and(|me| me.name != name) {
            return answer(reply, Err(Error::Misuse("the folder belongs to another account")));
        }
        self.password = Some(password);
        self.login = Some(reply);
        self.wanted = true;
        let now_ms = self.clock.now_ms();
        match step {
            LoginStep::Register => self.session.register(now_ms, name, nonce()),
            LoginStep::LogIn => self.session.log_in(now_ms, name, nonce()),
            LoginStep::Redeem(code) => self.session.redeem(now_ms, name, &code, nonce()),
        }
        if self.io.is_idle() {
            self.open(Vec::new());
        }
    }

    fn begin_token_login(&mut self, token: Token, reply: Reply<Me>) {
        if self.login.is_some() || self.session.is_ready() {
            return answer(reply, Err(Error::Misuse("logged in already, or about to be")));
        }
        self.login = Some(reply);
        self.wanted = true;
        self.session.log_in_with_token(self.clock.now_ms(), token);
        if self.io.is_idle() {
            self.open(Vec::new());
        }
    }

    fn begin_logout(&mut self, reply: Reply<()>) {
        self.session.log_out(self.clock.now_ms());
        self.wanted = false;
        if matches!(self.io, Io::Up(_)) {
            self.logout = Some(reply);
        } else {
            self.io = Io::Down;
            self.board.set_connection(Connection::Idle);
            answer(reply, Ok(()));
        }
    }

    fn follow(&mut self, conversation: ConversationId, counter: u64) -> SendHandle {
        let sender = watch::Sender::new(SendState::Queued);
        let state = sender.subscribe();
        self.sends.insert(counter, (conversation, sender));
        SendHandle { conversation, counter, state }
    }

    fn wait_for(&mut self, asked: Result<QueryId, QueryError>, query: Query) {
        let error = match asked {
            Ok(id) => {
                self.queries.insert(id, query);
                return;
            }
            Err(QueryError::NotReady) => Error::NotConnected,
            Err(QueryError::TooMany) => Error::Misuse("too many questions wait for an answer"),
        };
        self.fail_query(query, error);
    }

    fn fail_query(&mut self, query: Query, error: Error) {
        match query {
            Query::Find(reply) => answer(reply, Err(error)),
            Query::Contact(reply) => answer(reply, Err(error)),
            Query::ContactCopy => self.on_contact_page_failed(&error),
            Query::Org(reply) => answer(reply, Err(error)),
            Query::Presence(reply) => answer(reply, Err(error)),
            Query::Account(reply) => answer(reply, Err(error)),
            Query::Adverts(reply) => answer(reply, Err(error)),
            Query::Device(reply) => answer(reply, Err(error)),
            Query::Operator(reply) => answer(reply, Err(error)),
            Query::Pull(reply) => answer(reply, Err(error)),
            Query::Name(user) => {
                if matches!(error, Error::ConnectionLost | Error::NotConnected) {
                    self.names_wanted.insert(user);
                }
            }
        }
    }

    /// Asks for names that are shown but not known, a few at a time.
    fn ask_names(&mut self) {
        let is_name = |query: &&Query| matches!(query, Query::Name(_));
        while self.session.is_ready()
            && self.queries.values().filter(is_name).count() < NAMES_IN_FLIGHT_MAX
            && let Some(user) = self.names_wanted.pop_first()
        {
            match self.session.name_user(self.clock.now_ms(), user) {
                Ok(id) => {
                    self.queries.insert(id, Query::Name(user));
                }
                Err(_) => {
                    self.names_wanted.insert(user);
                    return;
                }
            }
        }
    }

    /// The login that somebody waits for, or the one that runs by itself, is over.
    fn fail_login(&mut self, error: Error) {
        self.disconnect();
        let refused = match &error {
            Error::Refused(refused) => Some(refused.clone()),
            _ => None,
        };
        self.need_login(refused);
        if let Some(reply) = self.login.take() {
            answer(reply, Err(error));
        }
    }

    fn need_login(&mut self, refused: Option<RefusedByNode>) {
        self.board.set_connection(Connection::LoginNeeded { refused });
    }
}

fn send_error(error: SendError) -> Error {
    match error {
        SendError::NotLoggedIn => Error::Misuse("nobody has logged in on this device yet"),
        SendError::NotMember => Error::Misuse("not a conversation of this user"),
        SendError::Empty => Error::Misuse("the message is empty"),
        SendError::TooLong => Error::Misuse("the message is longer than 65536 bytes"),
        SendError::NotText => Error::Misuse("the text is not UTF-8"),
        SendError::TooManyMentions => Error::Misuse("the message mentions too many users"),
        SendError::QueueFull => Error::QueueFull,
    }
}

/// Fresh randomness for a login.
pub(crate) fn nonce() -> [u8; NONCE_LEN] {
    secret()
}

/// Bytes that nobody can guess.
pub(crate) fn secret<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives randomness");
    bytes
}

async fn stretched(
    stretching: &mut Option<JoinHandle<Result<ClientKeys, ScramError>>>,
) -> Result<ClientKeys, ScramError> {
    let Some(running) = stretching else { return std::future::pending().await };
    let result = running.await;
    *stretching = None;
    result.expect("stretching does not panic")
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
