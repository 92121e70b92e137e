//! The interactive client: one loop over keys, events, answers and signals; `app` decides, `view` draws.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use wire::ConversationId;
use wire::message::{BodyKind, Entry, RangeKind};
use wire::name::UserName;
use wire::presence::OwnPresence;

use super::app::{Action, App, Chat, Link, NoticeKind, Wish};
use super::command::StatusAct;
use super::log::{Author, Item, Key, PeerMarks};
use super::options::{ChatOptions, Exit, Stop};
use super::screen::Screen;
use super::signals::Signals;
use super::{acts, contacts, devices, find, keys, org, presence, profile, start, text, view};
use crate::board::Me;
use crate::client::{Adverts, Body, Client, History, To};
use crate::error::Error;
use crate::event::{Connection, Event, Events};
use crate::send::SendState;
use crate::store::HistoryItem;

/// Keys read ahead of the loop.
const INPUT_MAX: usize = 1_024;
/// Answers that wait for the loop; tasks wait when there are more.
const ANSWERS_MAX: usize = 16;
/// Items loaded at a time.
const HISTORY_PAGE: usize = 200;
/// How often a countdown is drawn.
const COUNTDOWN: Duration = Duration::from_millis(250);
/// How often a user is looked for who was named at the start and does not exist yet.
const PEER_RETRY: Duration = Duration::from_secs(3);
/// Decided sends remembered, so that a page of history that was read before does not show them as waiting.
const DECIDED_MAX: usize = 4_096;

/// What a task that must not block the loop found out.
enum Answer {
    Found(String, Result<Found, Error>),
    /// The own state as it is now; whether it is to be told, or what went wrong.
    Own(Telling, Result<OwnPresence, String>),
    /// To be told line by line, or what went wrong.
    Told(Result<Vec<String>, String>),
    History {
        conversation: ConversationId,
        part: Part,
        history: Result<History, Error>,
    },
}

/// What there is under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Chat(ConversationId),
    /// His account is gone, and there is no chat with him.
    Deleted,
}

/// Whether the person asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    Asked,
    Unasked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Newest,
    Older,
}

pub struct Interactive<'a> {
    client: &'a Client,
    me: Me,
    app: App,
    screen: Screen,
    answers: mpsc::Sender<Answer>,
    /// Opened by name, perhaps without a message yet.
    opened: Vec<(ConversationId, String)>,
    contacts: contacts::Told,
    presence: presence::Told,
    decided: BTreeSet<u64>,
    /// When the next try to connect begins.
    retry_at: Option<Instant>,
    retry_reason: String,
    /// The user named at the start, and when to look for him again.
    awaited: Option<(String, Instant)>,
    exit: Option<Exit>,
}

/// Does what was wished about the account and its devices.
async fn about_account(client: &Client, wish: Wish) -> Result<Vec<String>, String> {
    match wish {
        Wish::Profile(name) => profile::show(client, &name).await,
        Wish::SetProfile(set) => profile::set(client, set).await,
        Wish::Password { old, new } => profile::change_password(client, &old, &new).await,
        Wish::DeleteAccount { password } => profile::delete_account(client, &password).await,
        Wish::Devices => devices::list(client).await,
        Wish::EndSessions(which) => devices::end(client, which).await,
        other => unreachable!("{other:?} is about something else"),
    }
}

/// Runs until the person leaves.
pub async fn run(
    client: &Client,
    options: &ChatOptions,
    mut events: Events,
    signals: &mut Signals,
) -> Result<Exit, Stop> {
    let me = client.me().ok_or_else(|| Stop::new(Exit::Login, "not logged in"))?;
    let terminal = |error: std::io::Error| Stop::usage(format!("the terminal cannot be used: {error}"));
    let screen = Screen::take().map_err(terminal)?;
    let (answers, mut answered) = mpsc::channel(ANSWERS_MAX);
    let app = App::new(text::for_screen(&me.name), screen.size());
    let mut this = Interactive {
        client,
        me,
        app,
        screen,
        answers,
        opened: Vec::new(),
        contacts: contacts::Told::default(),
        presence: presence::Told::default(),
        decided: BTreeSet::new(),
        retry_at: None,
        retry_reason: String::new(),
        awaited: None,
        exit: None,
    };
    this.on_connection(client.connection().borrow().clone());
    this.refresh_chats().await?;
    this.read_contacts().await?;
    match &options.peer {
        Some(peer) => {
            this.awaited = Some((peer.clone(), Instant::now() + PEER_RETRY));
            this.find(peer);
        }
        None => this.open_newest(),
    }
    let mut input = read_input();
    loop {
        this.draw().map_err(terminal)?;
        if let Some(exit) = this.exit {
            return Ok(exit);
        }
        tokio::select! {
            event = input.recv() => match event {
                Some(event) => {
                    this.on_input(event).await?;
                    // All that was typed meanwhile, before anything is drawn.
                    while let Ok(event) = input.try_recv() {
                        this.on_input(event).await?;
                    }
                }
                None => return Ok(Exit::Terminated), // the terminal is gone
            },
            event = events.next() => match event {
                Some(event) => this.on_events(event, &mut events).await?,
                None => return Err(Stop::new(Exit::Folder, this.down_reason())),
            },
            Some(answer) = answered.recv() => this.on_answer(answer).await?,
            () = tokio::time::sleep(COUNTDOWN), if this.retry_at.is_some() => {}
            () = until(this.awaited.as_ref().map(|(_, at)| *at)) => this.find_awaited(),
            exit = signals.next() => return Ok(exit),
        }
    }
}

impl Interactive<'_> {
    fn draw(&mut self) -> std::io::Result<()> {
        if let Some(at) = self.retry_at {
            let left = at.saturating_duration_since(Instant::now());
            self.app.link = Link::waiting(left, self.retry_reason.clone());
        }
        self.screen.draw(view::frame(&self.app), self.app.size)
    }

    async fn on_input(&mut self, event: crossterm::event::Event) -> Result<(), Stop> {
        let Some(action) = keys::action(event, !self.app.editor.is_empty()) else { return Ok(()) };
        if matches!(action, Action::Resize(_)) {
            self.screen.forget();
        }
        let wishes = self.app.handle_action(action);
        self.fulfil(wishes).await
    }

    async fn fulfil(&mut self, wishes: Vec<Wish>) -> Result<(), Stop> {
        for wish in wishes {
            match wish {
                Wish::Send { to, text } => self.send(to, text).await?,
                Wish::OpenName(name) => {
                    self.awaited = None;
                    self.find(&name);
                }
                Wish::Adverts(adverts) => {
                    let client = self.client.clone();
                    self.tell_of(async move { set_adverts(&client, adverts).await });
                }
                Wish::Contacts { folder } => {
                    let client = self.client.clone();
                    self.tell_of(async move { contacts::list(&client, &folder).await });
                }
                Wish::Status(act) => self.ask_own(act, Telling::Asked),
                wish @ (Wish::Who | Wish::Seen(_)) => {
                    let client = self.client.clone();
                    self.tell_of(async move { presence::fulfil(&client, wish).await });
                }
                Wish::Org { name } => {
                    let client = self.client.clone();
                    self.tell_of(async move { org::tell(&client, &name).await });
                }
                Wish::Contact { name, act } => {
                    let client = self.client.clone();
                    self.tell_of(
                        async move { contacts::act(&client, &name, act).await.map(|line| vec![line]) },
                    );
                }
                wish @ (Wish::Profile(_)
                | Wish::SetProfile(_)
                | Wish::Password { .. }
                | Wish::DeleteAccount { .. }
                | Wish::Devices
                | Wish::EndSessions(_)) => {
                    let client = self.client.clone();
                    self.tell_of(async move { about_account(&client, wish).await });
                }
                Wish::Open(conversation) => {
                    self.awaited = None;
                    self.ask_peer();
                    self.load(conversation, Part::Newest, None);
                }
                Wish::LoadOlder { conversation, before } => {
                    self.load(conversation, Part::Older, Some(before))
                }
                Wish::MarkRead { conversation, seq } => {
                    let marked = self.client.mark_read(conversation, seq).await;
                    marked.map_err(|error| start::stop(error, Exit::Folder))?;
                }
                Wish::Suspend => self.suspend()?,
                Wish::Redraw => self.screen.forget(),
                Wish::Quit => self.exit = Some(Exit::Done),
            }
        }
        Ok(())
    }

    /// Does it beside the loop, then tells what came of it.
    fn tell_of(&self, work: impl Future<Output = Result<Vec<String>, String>> + Send + 'static) {
        let answers = self.answers.clone();
        tokio::spawn(async move { _ = answers.send(Answer::Told(work.await)).await });
    }

    /// Changes or asks for the own state.
    fn ask_own(&self, act: StatusAct, telling: Telling) {
        let (client, answers) = (self.client.clone(), self.answers.clone());
        tokio::spawn(async move {
            _ = answers.send(Answer::Own(telling, presence::status(&client, act).await)).await;
        });
    }

    /// Asks whether the other one of the open chat is still there; an event tells when he is not.
    fn ask_peer(&self) {
        let Some(peer) =
            self.app.open.filter(|open| open.is_private()).and_then(|open| open.peer_of(self.me.user))
        else {
            return;
        };
        let client = self.client.clone();
        tokio::spawn(async move { _ = client.user(peer).await });
    }

    async fn send(&mut self, to: ConversationId, text: String) -> Result<(), Stop> {
        match self.client.send(To::Conversation(to), Body::Text(text.clone())).await {
            Ok(handle) => {
                if !self.decided.contains(&handle.counter()) && self.app.open == Some(to) {
                    self.put_waiting(handle.counter(), &text);
                }
                Ok(())
            }
            Err(error @ (Error::QueueFull | Error::Misuse(_))) => {
                self.app.notice(NoticeKind::Problem, format!("Not sent: {error}."));
                self.app.editor.replace(text); // to be tried again
                Ok(())
            }
            Err(error) => Err(start::stop(error, Exit::Folder)),
        }
    }

    fn put_waiting(&mut self, counter: u64, text: &str) {
        let by = Author::Me { failed: None };
        let item = Item::Message { by, time_ms: now_ms(), text: text::for_screen(text) };
        self.app.log.put(Key::Counter(counter), item, self.app.anchor.is_some());
    }

    /// Looks a name up here, then at the node.
    fn find(&mut self, typed: &str) {
        let name = match UserName::parse(typed) {
            Ok(name) => name,
            Err(error) => {
                let text = format!("`{}` is not a name: {error}.", text::for_screen(typed));
                self.awaited = None;
                return self.app.notice(NoticeKind::Problem, text);
            }
        };
        let known = self.app.chats.iter().find(|chat| chat.name == name.as_str()).map(|chat| chat.id);
        let (client, answers) = (self.client.clone(), self.answers.clone());
        tokio::spawn(async move {
            let found = match known {
                Some(id) => Ok(Found::Chat(id)),
                None => match client.find_user(&name).await {
                    Ok(user) if user.deleted => Ok(Found::Deleted),
                    Ok(user) => client.conversation_with(user.id).map(Found::Chat),
                    Err(error) => Err(error),
                },
            };
            let _ = answers.send(Answer::Found(name.into_string(), found)).await;
        });
    }

    fn find_awaited(&mut self) {
        if let Some((peer, at)) = &mut self.awaited {
            *at = Instant::now() + PEER_RETRY;
            let peer = peer.clone();
            self.find(&peer);
        }
    }

    fn open_newest(&mut self) {
        if let Some(chat) = self.app.chats.first() {
            let id = chat.id;
            self.app.open_chat(id);
            self.load(id, Part::Newest, None);
        }
    }

    fn load(&mut self, conversation: ConversationId, part: Part, before: Option<u64>) {
        self.app.is_loading = true;
        let (client, answers) = (self.client.clone(), self.answers.clone());
        tokio::spawn(async move {
            let history = client.history(conversation, before, HISTORY_PAGE).await;
            let _ = answers.send(Answer::History { conversation, part, history }).await;
        });
    }

    fn suspend(&mut self) -> Result<(), Stop> {
        let terminal = |error: std::io::Error| Stop::usage(format!("the terminal cannot be used: {error}"));
        self.screen.pause();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)
            .map_err(|error| terminal(error.into()))?;
        self.screen.resume().map_err(terminal)?; // runs when the shell continues it
        self.app.size = self.screen.size();
        Ok(())
    }

    async fn on_answer(&mut self, answer: Answer) -> Result<(), Stop> {
        match answer {
            Answer::Told(told) => {
                match told {
                    Ok(lines) => self.app.tell(lines),
                    Err(problem) => self.app.notice(NoticeKind::Problem, problem),
                }
                Ok(())
            }
            Answer::Own(telling, own) => {
                match own {
                    Ok(own) => {
                        self.app.own_state = presence::reminder(&own);
                        if telling == Telling::Asked {
                            self.app.notice(NoticeKind::Info, presence::own_line(&own));
                        }
                    }
                    Err(problem) if telling == Telling::Asked => {
                        self.app.notice(NoticeKind::Problem, problem);
                    }
                    Err(_) => {} // the next connection asks again
                }
                Ok(())
            }
            Answer::Found(name, Ok(Found::Deleted)) => {
                self.awaited = None;
                self.app.notice(NoticeKind::Problem, format!("The account `{name}` was deleted."));
                Ok(())
            }
            Answer::Found(name, Ok(Found::Chat(id))) => {
                if !self.opened.iter().any(|(opened, _)| *opened == id) {
                    self.opened.push((id, name));
                }
                self.app.notices.retain(|notice| notice.kind == NoticeKind::Info);
                self.refresh_chats().await?;
                let wish = self.app.open_chat(id);
                self.fulfil(vec![wish]).await
            }
            Answer::Found(name, Err(error)) => {
                let text = match error {
                    error if find::is_unknown(&error) && self.awaited.is_some() => {
                        format!("There is no user `{name}` yet. The chat opens when there is.")
                    }
                    error if find::is_unknown(&error) => format!("There is no user `{name}`."),
                    Error::Misuse(reason) => format!("`{name}`: {reason}."),
                    error => format!("Cannot look for `{name}`: {error}."),
                };
                if self.app.notices.last().is_none_or(|last| last.text != text) {
                    self.app.notice(NoticeKind::Problem, text);
                }
                Ok(())
            }
            Answer::History { conversation, part, history } => {
                if self.app.open != Some(conversation) {
                    return Ok(()); // another chat was opened meanwhile
                }
                let history = history.map_err(|error| start::stop(error, Exit::Folder))?;
                self.on_history(conversation, part, history).await
            }
        }
    }

    async fn on_history(
        &mut self,
        conversation: ConversationId,
        part: Part,
        history: History,
    ) -> Result<(), Stop> {
        // What could not be fetched is asked for again after the next connect, not at every key.
        self.app.is_loading = history.is_cut;
        self.app.log.is_whole = history.is_start;
        let keep_oldest = part == Part::Older || self.app.anchor.is_some();
        for item in history.items {
            match item {
                HistoryItem::Entry(entry) => self.put_entry(&entry, keep_oldest),
                HistoryItem::Gap(range) => self.put_gap(range.from, range.to, range.kind, keep_oldest),
            }
        }
        if part == Part::Newest {
            let outgoing = self.client.outgoing().await.map_err(|error| start::stop(error, Exit::Folder))?;
            for send in outgoing.iter().filter(|send| send.conversation == conversation) {
                if !self.decided.contains(&send.counter) {
                    let body = String::from_utf8_lossy(&send.body);
                    self.put_waiting(send.counter, &body);
                }
            }
            let handles = self.client.undecided().await.map_err(|error| start::stop(error, Exit::Folder))?;
            for handle in handles.iter().filter(|handle| handle.state() == SendState::Unanswered) {
                self.app.log.on_unanswered(handle.counter());
            }
        }
        self.refresh_chats().await?;
        let wishes = self.app.on_log_changed();
        self.fulfil(wishes).await
    }

    fn put_entry(&mut self, entry: &Entry, keep_oldest: bool) {
        let text = text::for_screen(&acts::told(entry));
        let by = if entry.sender == self.me.user { Author::Me { failed: None } } else { Author::Peer };
        if entry.sender == self.me.user && entry.device == self.me.device {
            self.on_decided(entry.counter);
            self.app.log.remove(entry.counter);
        }
        let item = Item::Message { by, time_ms: entry.time_ms, text };
        self.app.log.put(Key::Seq(entry.place.seq), item, keep_oldest);
    }

    fn put_gap(&mut self, from: u64, to: u64, kind: RangeKind, keep_oldest: bool) {
        let reason = match kind {
            RangeKind::Gone => "are gone",
            RangeKind::Recalled => "were recalled",
            RangeKind::HiddenBeforeJoin => "are from before you joined",
            RangeKind::TooLong => "are too long",
            _ => "are not there any more",
        };
        self.app.log.put(Key::Seq(from), Item::Gap { to, reason }, keep_oldest);
    }

    fn on_decided(&mut self, counter: u64) {
        self.decided.insert(counter);
        while self.decided.len() > DECIDED_MAX {
            self.decided.pop_first();
        }
    }

    /// Takes all events that are there before anything is drawn.
    async fn on_events(&mut self, first: Event, events: &mut Events) -> Result<(), Stop> {
        let mut next = Some(first);
        let (mut caught_up, mut contacts_synced) = (false, false);
        while let Some(event) = next {
            if event == Event::CaughtUp {
                caught_up = true;
                self.ask_own(StatusAct::Show, Telling::Unasked);
                self.ask_peer();
            }
            contacts_synced |= matches!(event, Event::ContactsSynced | Event::Missed);
            self.on_event(event)?;
            next = events.waiting();
        }
        self.refresh_chats().await?;
        if contacts_synced {
            self.read_contacts().await?;
        }
        if caught_up && self.app.open.is_none() && self.awaited.is_none() {
            self.open_newest(); // the first start on this device: the list was empty until now
        }
        let wishes = self.app.on_log_changed();
        self.fulfil(wishes).await
    }

    fn on_event(&mut self, event: Event) -> Result<(), Stop> {
        match event {
            Event::Connection(connection) => self.on_connection(connection),
            Event::Message { conversation, entry } if self.app.open == Some(conversation) => {
                self.put_entry(&entry, self.app.anchor.is_some());
            }
            Event::Gap { conversation, range } if self.app.open == Some(conversation) => {
                self.put_gap(range.from, range.to, range.kind, self.app.anchor.is_some());
            }
            Event::Restored { conversation } if self.app.open == Some(conversation) => self.reload(),
            Event::Missed => self.reload(),
            Event::Sent { counter, .. } => self.on_decided(counter),
            Event::SendFailed { conversation, counter, reason } => {
                self.on_decided(counter);
                if self.app.open == Some(conversation) {
                    self.app.log.fail(counter, reason);
                } else {
                    self.app.notice(NoticeKind::Problem, format!("A message was not sent: {reason}."));
                }
            }
            Event::SendDelayed { refused, .. } => {
                self.app.notice(NoticeKind::Problem, format!("Sending is delayed: {refused}."));
            }
            Event::SendUnanswered { counter } => {
                self.app.log.on_unanswered(counter);
                let text = "A message was sent and not answered: perhaps you are no contacts (/add NAME asks). \
                            It goes once more after the next connect, and with the next message there.";
                self.app.notice(NoticeKind::Problem, text);
            }
            Event::PresenceChanged(changed) => {
                let client = self.client;
                let lines = self.presence.on_changed(changed, |user| client.name_of(user));
                lines.iter().for_each(|line| self.app.notice(NoticeKind::Info, line));
            }
            Event::OwnPresence(own) => self.app.own_state = presence::reminder(&own),
            Event::ContactChanged(contact) => {
                let name = self.client.name_of(contact.user);
                let told = self.contacts.on_changed(contact, name);
                told.inspect(|text| self.app.notice(NoticeKind::Info, text));
            }
            Event::Named { user, name } => {
                let told = self.contacts.on_named(user, &name);
                told.inspect(|text| self.app.notice(NoticeKind::Info, text));
            }
            Event::Announced { body_kind: BodyKind::Text, body, .. } => {
                let text = format!("system: {}", String::from_utf8_lossy(&body));
                self.app.notice(NoticeKind::Info, text);
            }
            Event::CertificateRemembered { address, fingerprint } => {
                let text = format!("The certificate of {address} is remembered: {fingerprint}");
                self.app.notice(NoticeKind::Info, text);
            }
            _ => {}
        }
        Ok(())
    }

    fn on_connection(&mut self, connection: Connection) {
        self.retry_at = None;
        self.app.link = match connection {
            Connection::Idle | Connection::Connecting => Link::Connecting,
            Connection::Online { .. } => {
                self.app.is_loading = false; // what could not be fetched can be now
                Link::Online
            }
            Connection::Waiting { delay, reason } => {
                self.retry_at = Some(Instant::now() + delay);
                self.retry_reason = reason.clone();
                Link::waiting(delay, reason)
            }
            Connection::LoginNeeded { refused: None } => {
                Link::down("the session has expired, start again to log in")
            }
            Connection::LoginNeeded { refused: Some(refused) } => Link::down(&refused.to_string()),
            Connection::Stopped { reason, .. } => Link::down(&reason),
        };
    }

    fn down_reason(&self) -> String {
        match &self.app.link {
            Link::Down { reason } => reason.clone(),
            _ => "the client ended".into(),
        }
    }

    /// Tells who waits for an answer.
    async fn read_contacts(&mut self) -> Result<(), Stop> {
        let list = self.client.known_contacts().await.map_err(|error| start::stop(error, Exit::Folder))?;
        let client = self.client;
        let lines = self.contacts.on_list(list, |user| client.name_of(user));
        lines.iter().for_each(|line| self.app.notice(NoticeKind::Info, line));
        Ok(())
    }

    /// Shows the open chat from the store again.
    fn reload(&mut self) {
        if let Some(conversation) = self.app.open {
            self.app.open_chat(conversation);
            self.load(conversation, Part::Newest, None);
        }
    }

    async fn refresh_chats(&mut self) -> Result<(), Stop> {
        let conversations = self.client.conversations().await;
        let conversations = conversations.map_err(|error| start::stop(error, Exit::Folder))?;
        let mut chats: Vec<Chat> = conversations
            .iter()
            .map(|info| Chat {
                id: info.state.conversation,
                name: text::for_screen(&info.name.clone().unwrap_or_else(|| format!("user {}", info.peer))),
                deleted: info.deleted,
                unread: info.unread(),
                time_ms: info.state.time_ms,
            })
            .collect();
        for (id, name) in &self.opened {
            if !chats.iter().any(|chat| chat.id == *id) {
                chats.insert(
                    0,
                    Chat { id: *id, name: text::for_screen(name), deleted: false, unread: 0, time_ms: 0 },
                );
            }
        }
        self.app.chats = chats;
        let is_open = |state: ConversationId| Some(state) == self.app.open;
        if let Some(info) = conversations.iter().find(|info| is_open(info.state.conversation)) {
            let (delivered, read) = (info.state.peer_delivered.seq, info.state.peer_read.seq);
            self.app.log.peer_marks = PeerMarks { delivered, read };
        }
        Ok(())
    }
}

async fn set_adverts(client: &Client, adverts: Adverts) -> Result<Vec<String>, String> {
    let done = match adverts {
        Adverts::On => "You get adverts.",
        Adverts::Off => "You get no adverts.",
    };
    let set = client.set_adverts(adverts).await;
    set.map(|()| vec![done.into()]).map_err(|error| format!("Adverts: {error}."))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}

/// Keys, pastes and resizes; ends when the terminal is gone.
fn read_input() -> mpsc::Receiver<crossterm::event::Event> {
    let (sender, receiver) = mpsc::channel(INPUT_MAX);
    std::thread::spawn(move || {
        while let Ok(event) = crossterm::event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}
