//! What the interactive client knows and shows. Pure: keys and events in, wishes out; `view` draws it.

use std::time::Duration;

use wire::ConversationId;
use wire::limits::MESSAGE_BODY_LEN_MAX;

use super::command::{self, Command, ContactAct, StatusAct};
use super::devices::Which;
use super::editor::{Echo, Edit, Editor};
use super::log::{Key, Log};
use super::moment::{self, Moment};
use super::page::{Page, TOLD_LINES_MAX};
use super::profile::Set;
use super::secret::{Asking, Next, Secret};
use super::{find, text, view};
use crate::client::Adverts;

/// Notices kept above the input line until the next key.
const NOTICES_MAX: usize = 20;

/// What a person did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Edit(Edit),
    Paste(String),
    Submit,
    /// Rows, up is positive.
    Scroll(i32),
    PageUp,
    PageDown,
    ToNewest,
    NextChat,
    PreviousChat,
    NextUnread,
    Quit,
    Redraw,
    Suspend,
    Resize(Size),
    Focus(Focus),
}

/// Whether the terminal is the one being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    Here,
    Elsewhere,
}

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

/// What the app wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Send {
        to: ConversationId,
        text: String,
    },
    /// Find this user and open the chat.
    OpenName(String),
    Adverts(Adverts),
    /// Tell the contacts of this folder; all when it is empty.
    Contacts {
        folder: String,
    },
    /// Tell who is online.
    Who,
    /// Tell or change the own state.
    Status(StatusAct),
    /// Tell when this user was last seen.
    Seen(String),
    /// Tell of the directory, or of this department or user in it.
    Org {
        name: String,
    },
    /// Do this about a contact.
    Contact {
        name: String,
        act: ContactAct,
    },
    /// Show the profile of this user; the own one when empty.
    Profile(String),
    SetProfile(Set),
    /// Tell the user's devices.
    Devices,
    EndSessions(Which),
    Password {
        old: Secret,
        new: Secret,
    },
    DeleteAccount {
        password: Secret,
    },
    /// The open chat changed: load its newest history.
    Open(ConversationId),
    LoadOlder {
        conversation: ConversationId,
        before: u64,
    },
    MarkRead {
        conversation: ConversationId,
        seq: u64,
    },
    Suspend,
    Redraw,
    Quit,
}

/// The connection, for the status line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    Connecting,
    Online,
    /// Seconds until the next try.
    Waiting {
        seconds: u64,
        reason: String,
    },
    /// It will not come back by itself.
    Down {
        reason: String,
    },
}

impl Link {
    pub fn waiting(left: Duration, reason: String) -> Self {
        Link::Waiting { seconds: left.as_millis().div_ceil(1_000) as u64, reason: text::for_line(&reason) }
    }

    pub fn down(reason: &str) -> Self {
        Link::Down { reason: text::for_line(reason) }
    }
}

/// One conversation of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    pub id: ConversationId,
    /// Made safe for the screen.
    pub name: String,
    /// The other one's account is gone.
    pub deleted: bool,
    pub unread: u64,
    pub time_ms: u64,
}

impl Chat {
    pub fn shown_name(&self) -> String {
        find::shown(&self.name, self.deleted)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    Info,
    Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub kind: NoticeKind,
    pub text: String,
}

/// The last row that is shown: the `row`-th of the item with this key. Messages that arrive do not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub key: Key,
    pub row: usize,
}

#[derive(Debug)]
pub struct App {
    pub me: String,
    pub link: Link,
    /// Newest first.
    pub chats: Vec<Chat>,
    pub open: Option<ConversationId>,
    pub log: Log,
    /// `None`: follows the newest message.
    pub anchor: Option<Anchor>,
    pub editor: Editor,
    pub notices: Vec<Notice>,
    /// A long answer in place of the log.
    pub page: Option<Page>,
    /// Passwords are asked for; what is typed is one.
    pub asking: Option<Asking>,
    /// The own state, when it is not the usual one.
    pub own_state: Option<&'static str>,
    pub focus: Focus,
    pub size: Size,
    /// Older history was asked for and has not come.
    pub is_loading: bool,
    /// Unix milliseconds as people of this place read them.
    pub moment: fn(u64) -> Moment,
    /// Last seq of the open chat for which a read mark was wished.
    marked: u64,
}

impl App {
    pub fn new(me: String, size: Size) -> Self {
        Self {
            me,
            link: Link::Connecting,
            chats: Vec::new(),
            open: None,
            log: Log::default(),
            anchor: None,
            editor: Editor::new(MESSAGE_BODY_LEN_MAX),
            notices: Vec::new(),
            page: None,
            asking: None,
            own_state: None,
            focus: Focus::Here,
            size,
            is_loading: false,
            moment: moment::local,
            marked: 0,
        }
    }

    /// Tells something above the status line. Parts of it may come from the node.
    pub fn notice(&mut self, kind: NoticeKind, text: impl AsRef<str>) {
        let text = text::for_screen(text.as_ref());
        if self.notices.len() == NOTICES_MAX {
            self.notices.remove(0);
        }
        self.notices.push(Notice { kind, text });
    }

    /// Tells an answer: above the status line, or as a page when it is long.
    pub fn tell(&mut self, lines: Vec<String>) {
        let safe: Vec<String> = lines.iter().map(|line| text::for_screen(line)).collect();
        let columns = usize::from(self.size.columns);
        let rows: usize = safe.iter().map(|line| text::wrap(line, columns).len()).sum();
        if safe.len() > TOLD_LINES_MAX || rows > usize::from(self.size.rows) / 2 {
            self.page = Some(Page::new(safe));
            return;
        }
        safe.iter().for_each(|line| self.notice(NoticeKind::Info, line));
    }

    pub fn handle_action(&mut self, action: Action) -> Vec<Wish> {
        let is_new_thought = matches!(
            action,
            Action::Edit(_)
                | Action::Submit
                | Action::Paste(_)
                | Action::NextChat
                | Action::PreviousChat
                | Action::NextUnread
        );
        if is_new_thought {
            self.notices.clear();
        }
        let mut wishes = Vec::new();
        match action {
            Action::Edit(edit) => self.edit(edit),
            Action::Paste(text) => self.edit(Edit::Insert(text.replace("\r\n", "\n").replace('\r', "\n"))),
            Action::Submit => self.submit(&mut wishes),
            Action::Scroll(rows) => self.scroll(rows),
            Action::PageUp => self.scroll(view::log_rows(self).saturating_sub(1).max(1) as i32),
            Action::PageDown => self.scroll(-(view::log_rows(self).saturating_sub(1).max(1) as i32)),
            Action::ToNewest => self.leave(),
            Action::NextChat => self.switch_by(1, &mut wishes),
            Action::PreviousChat => self.switch_by(-1, &mut wishes),
            Action::NextUnread => self.switch_to_unread(&mut wishes),
            Action::Quit => wishes.push(Wish::Quit),
            Action::Redraw => wishes.push(Wish::Redraw),
            Action::Suspend => wishes.push(Wish::Suspend),
            Action::Resize(size) => self.size = size,
            Action::Focus(focus) => self.focus = focus,
        }
        self.wish_older(&mut wishes);
        self.wish_marks(&mut wishes);
        wishes
    }

    /// To be called after events changed the log.
    pub fn on_log_changed(&mut self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        if self.anchor.is_some_and(|anchor| !self.log.contains(anchor.key)) {
            self.anchor = None; // its message got another key (it was acknowledged) or was dropped
        }
        self.wish_older(&mut wishes);
        self.wish_marks(&mut wishes);
        wishes
    }

    /// Leaves what is open for the newest messages.
    fn leave(&mut self) {
        if self.page.take().is_some() {
            return;
        }
        if self.asking.take().is_some() {
            self.editor.take();
            self.editor.echo = Echo::Shown;
            return self.notice(NoticeKind::Info, "No password was given; nothing is done.");
        }
        self.anchor = None;
    }

    /// Shows another chat; its log is to be loaded.
    pub fn open_chat(&mut self, id: ConversationId) -> Wish {
        self.page = None;
        self.open = Some(id);
        self.log = Log::default();
        self.anchor = None;
        self.is_loading = false;
        self.marked = 0;
        Wish::Open(id)
    }

    pub fn chat(&self, id: ConversationId) -> Option<&Chat> {
        self.chats.iter().find(|chat| chat.id == id)
    }

    fn edit(&mut self, edit: Edit) {
        if !self.editor.apply(edit) {
            self.notice(
                NoticeKind::Problem,
                format!("A message holds at most {MESSAGE_BODY_LEN_MAX} bytes."),
            );
        }
    }

    /// A password was typed.
    fn answer(&mut self, asking: Asking, wishes: &mut Vec<Wish>) {
        let typed = self.editor.take();
        self.editor.echo = Echo::Shown;
        match asking.handle(typed.trim_end_matches('\n').to_owned()) {
            Next::Ask(asking) => self.ask(asking),
            Next::Do(wish) => wishes.push(wish),
            Next::Stop(why) => self.notice(NoticeKind::Problem, why),
        }
    }

    fn ask(&mut self, asking: Asking) {
        self.editor.echo = Echo::Hidden;
        self.asking = Some(asking);
    }

    fn submit(&mut self, wishes: &mut Vec<Wish>) {
        if let Some(asking) = self.asking.take() {
            return self.answer(asking, wishes);
        }
        self.page = None;
        match command::parse(self.editor.text()) {
            Command::Nothing => {}
            Command::Say(text) => match self.open {
                Some(to) => {
                    wishes.push(Wish::Send { to, text });
                    self.anchor = None;
                }
                None => {
                    self.notice(NoticeKind::Problem, "Nobody is chosen: /to NAME opens a chat.");
                    return; // the text stays
                }
            },
            Command::Help => self.tell(command::HELP.iter().map(|line| (*line).to_owned()).collect()),
            Command::List => self.list(),
            Command::To(name) => wishes.push(Wish::OpenName(name)),
            Command::Adverts(adverts) => wishes.push(Wish::Adverts(adverts)),
            Command::Contacts { folder } => wishes.push(Wish::Contacts { folder }),
            Command::Who => wishes.push(Wish::Who),
            Command::Status(act) => wishes.push(Wish::Status(act)),
            Command::Seen(name) => wishes.push(Wish::Seen(name)),
            Command::Org { name } => wishes.push(Wish::Org { name }),
            Command::Contact { name, act } => wishes.push(Wish::Contact { name, act }),
            Command::Profile(name) => wishes.push(Wish::Profile(name)),
            Command::SetProfile(set) => wishes.push(Wish::SetProfile(set)),
            Command::Devices => wishes.push(Wish::Devices),
            Command::End(which) => wishes.push(Wish::EndSessions(which)),
            Command::Ask(purpose) => self.ask(Asking::new(purpose)),
            Command::Quit => wishes.push(Wish::Quit),
            Command::Unknown(problem) => {
                self.notice(NoticeKind::Problem, problem);
                return;
            }
        }
        self.editor.take();
    }

    fn list(&mut self) {
        if self.chats.is_empty() {
            self.notice(NoticeKind::Info, "No chats yet: /to NAME opens one.");
        }
        let lines: Vec<String> = self
            .chats
            .iter()
            .map(|chat| match chat.unread {
                0 => chat.shown_name(),
                unread => format!("{} ({unread} unread)", chat.shown_name()),
            })
            .collect();
        self.tell(lines);
    }

    fn switch_by(&mut self, by: isize, wishes: &mut Vec<Wish>) {
        if self.chats.is_empty() {
            return;
        }
        let count = self.chats.len() as isize;
        let at = self.chats.iter().position(|chat| Some(chat.id) == self.open);
        let next = at.map_or(0, |at| (at as isize + by).rem_euclid(count));
        let id = self.chats[next as usize].id;
        if Some(id) != self.open {
            wishes.push(self.open_chat(id));
        }
    }

    fn switch_to_unread(&mut self, wishes: &mut Vec<Wish>) {
        let unread = self.chats.iter().find(|chat| chat.unread > 0 && Some(chat.id) != self.open);
        match unread.map(|chat| chat.id) {
            Some(id) => wishes.push(self.open_chat(id)),
            None => self.notice(NoticeKind::Info, "Nothing unread."),
        }
    }

    fn scroll(&mut self, rows: i32) {
        let (columns, rows_max) = view::page_size(self);
        if let Some(page) = &mut self.page {
            return page.scroll(rows, columns, rows_max);
        }
        self.anchor = view::scrolled(self, rows);
    }

    fn wish_older(&mut self, wishes: &mut Vec<Wish>) {
        if let (Some(conversation), Some(before)) = (self.open, self.log.oldest_seq())
            && !self.is_loading
            && !self.log.is_whole
            && view::shows_oldest(self)
        {
            self.is_loading = true;
            wishes.push(Wish::LoadOlder { conversation, before });
        }
    }

    /// What is on the screen of somebody who looks at it is read.
    fn wish_marks(&mut self, wishes: &mut Vec<Wish>) {
        let (Some(conversation), Some(seq)) = (self.open, self.log.newest_seq()) else { return };
        let is_seen = self.focus == Focus::Here && self.anchor.is_none() && self.page.is_none();
        if is_seen && seq > self.marked {
            self.marked = seq;
            wishes.push(Wish::MarkRead { conversation, seq });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::log::{Author, Item};
    use wire::UserId;

    fn conversation(number: u64) -> ConversationId {
        ConversationId::private(UserId(1 << 10), UserId((number + 2) << 10)).expect("two users")
    }

    fn app() -> App {
        let mut app = App::new("alice".into(), Size { columns: 80, rows: 24 });
        for number in 0..3 {
            let name = format!("user{number}");
            app.chats.push(Chat {
                id: conversation(number),
                name,
                deleted: false,
                unread: number,
                time_ms: 0,
            });
        }
        app
    }

    fn type_in(app: &mut App, text: &str) -> Vec<Wish> {
        app.handle_action(Action::Paste(text.into()));
        app.handle_action(Action::Submit)
    }

    fn message(text: &str) -> Item {
        Item::Message { by: Author::Peer, time_ms: 0, text: text.into() }
    }

    #[test]
    fn a_line_goes_to_the_open_chat_and_stays_when_there_is_none() {
        let mut app = app();
        assert_eq!(type_in(&mut app, "hello"), []);
        assert_eq!(app.editor.text(), "hello");
        assert_eq!(app.handle_action(Action::NextChat), [Wish::Open(conversation(0))]);
        let sent = Wish::Send { to: conversation(0), text: "hello".into() };
        assert_eq!(app.handle_action(Action::Submit), [sent]);
        assert!(app.editor.is_empty());
    }

    #[test]
    fn commands_are_not_sent() {
        let mut app = app();
        app.open_chat(conversation(0));
        assert_eq!(type_in(&mut app, "/to bob"), [Wish::OpenName("bob".into())]);
        let block = Wish::Contact { name: "bob".into(), act: ContactAct::Block };
        assert_eq!(type_in(&mut app, "/block bob"), [block]);
        assert_eq!(type_in(&mut app, "/contacts"), [Wish::Contacts { folder: String::new() }]);
        assert_eq!(type_in(&mut app, "/devices"), [Wish::Devices]);
        assert_eq!(type_in(&mut app, "/end others"), [Wish::EndSessions(Which::Others)]);
        assert_eq!(type_in(&mut app, "/quit"), [Wish::Quit]);
        assert_eq!(type_in(&mut app, "/nonsense"), []);
        assert_eq!(app.editor.text(), "/nonsense");
        app.editor.take();
        let sent = Wish::Send { to: conversation(0), text: "/etc/passwd".into() };
        assert_eq!(type_in(&mut app, "//etc/passwd"), [sent]);
        assert_eq!(type_in(&mut app, "/list"), []);
        assert!(app.notices.iter().any(|notice| notice.text == "user2 (2 unread)"));
    }

    #[test]
    fn a_long_answer_is_a_page_until_it_is_left() {
        let mut app = app();
        app.open_chat(conversation(0));
        app.log.is_whole = true;
        let lines = |count: usize| (1..=count).map(|number| format!("line {number}")).collect::<Vec<_>>();
        app.tell(lines(10));
        assert_eq!((app.notices.len(), &app.page), (10, &None));
        app.tell(lines(30));
        let shown = |app: &App| format!("{:?}", view::frame(app).rows);
        assert!(shown(&app).contains("line 1\"") && !shown(&app).contains("line 30"), "{}", shown(&app));
        app.handle_action(Action::Edit(Edit::Insert("x".into())));
        app.handle_action(Action::PageDown);
        app.handle_action(Action::PageDown);
        assert!(shown(&app).contains("line 30"), "{}", shown(&app));
        app.log.put(Key::Seq(4), message("hi"), false);
        assert_eq!(app.on_log_changed(), [], "nobody sees it under the page");
        let read = Wish::MarkRead { conversation: conversation(0), seq: 4 };
        assert_eq!(app.handle_action(Action::ToNewest), [read]);
        assert_eq!(app.page, None);
        app.editor.take();
        type_in(&mut app, "/help");
        assert!(app.page.is_some());
    }

    #[test]
    fn a_password_is_typed_without_showing() {
        let mut app = app();
        app.open_chat(conversation(0));
        assert_eq!(type_in(&mut app, "/password"), []);
        let shown = |app: &App| format!("{:?}", view::frame(app).rows);
        assert!(shown(&app).contains("Old password: "));
        app.handle_action(Action::Paste("/to bob".into()));
        assert!(shown(&app).contains("*******") && !shown(&app).contains("bob\""), "{}", shown(&app));
        assert_eq!(app.handle_action(Action::Submit), [], "not a command");
        type_in(&mut app, "new");
        let secret = |text: &str| Secret::new(text.into());
        let wish = Wish::Password { old: secret("/to bob"), new: secret("new") };
        assert_eq!(type_in(&mut app, "new"), [wish]);
        let sent = Wish::Send { to: conversation(0), text: "shown again".into() };
        assert_eq!(type_in(&mut app, "shown again"), [sent]);
        type_in(&mut app, "/delete-account");
        app.handle_action(Action::Paste("secret".into()));
        app.handle_action(Action::ToNewest);
        assert_eq!((app.editor.text(), app.asking.is_none()), ("", true));
    }

    #[test]
    fn chats_are_switched_in_a_ring_and_by_unread() {
        let mut app = app();
        assert_eq!(app.handle_action(Action::NextUnread), [Wish::Open(conversation(1))]);
        assert_eq!(app.handle_action(Action::NextChat), [Wish::Open(conversation(2))]);
        assert_eq!(app.handle_action(Action::NextChat), [Wish::Open(conversation(0))]);
        assert_eq!(app.handle_action(Action::PreviousChat), [Wish::Open(conversation(2))]);
    }

    #[test]
    fn what_is_seen_is_read_once() {
        let mut app = app();
        app.open_chat(conversation(0));
        app.log.is_whole = true;
        app.log.put(Key::Seq(4), message("hi"), false);
        let read = Wish::MarkRead { conversation: conversation(0), seq: 4 };
        assert_eq!(app.on_log_changed(), [read]);
        assert_eq!(app.on_log_changed(), []);
        app.handle_action(Action::Focus(Focus::Elsewhere));
        app.log.put(Key::Seq(5), message("hi"), false);
        assert_eq!(app.on_log_changed(), []);
        let read = Wish::MarkRead { conversation: conversation(0), seq: 5 };
        assert_eq!(app.handle_action(Action::Focus(Focus::Here)), [read]);
    }

    #[test]
    fn older_history_is_asked_for_once_when_its_end_is_in_sight() {
        let mut app = app();
        app.open_chat(conversation(0));
        for seq in 101..=200 {
            app.log.put(Key::Seq(seq), message("line"), false);
        }
        assert_eq!(app.on_log_changed(), [Wish::MarkRead { conversation: conversation(0), seq: 200 }]);
        let older = Wish::LoadOlder { conversation: conversation(0), before: 101 };
        let wishes: Vec<Wish> = (0..20).flat_map(|_| app.handle_action(Action::PageUp)).collect();
        assert_eq!(wishes, [older]);
    }
}
