//! Draws an [`App`] into rows of text. Pure: the terminal puts the rows on the screen.

use super::app::{Anchor, App, Link, NoticeKind};
use super::log::{Author, Item, Key, Progress};
use super::moment::Moment;
use super::text::{columns, cut, wrap};

/// Narrower screens show no list of chats.
const LIST_SCREEN_COLUMNS_MIN: usize = 64;
const LIST_COLUMNS: usize = 20;
/// Rows of the input line when much is typed.
const INPUT_ROWS_MAX: usize = 6;
const PROMPT: &str = "> ";
/// Signs, clock and a space each in front of a message.
const GUTTER_COLUMNS: usize = 9;
/// Narrower logs have no gutter.
const GUTTER_LOG_COLUMNS_MIN: usize = 30;

/// What a piece of text is; the terminal chooses how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Plain,
    Dim,
    OwnName,
    PeerName,
    Read,
    Separator,
    Status,
    StatusProblem,
    Unread,
    Chosen,
    Info,
    Problem,
}

/// Text at a column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub column: usize,
    pub text: String,
    pub role: Role,
}

pub type Row = Vec<Piece>;

/// A whole screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    pub rows: Vec<Row>,
    /// Column and row.
    pub cursor: (u16, u16),
}

/// Where things are.
#[derive(Clone, Copy, Debug)]
struct Layout {
    columns: usize,
    /// 0: no list.
    list_columns: usize,
    log_rows: usize,
    notice_rows: usize,
    status_rows: usize,
    input_rows: usize,
}

impl Layout {
    fn log_column(&self) -> usize {
        if self.list_columns == 0 { 0 } else { self.list_columns + 1 }
    }

    fn log_columns(&self) -> usize {
        self.columns - self.log_column()
    }
}

fn layout(app: &App) -> Layout {
    let (total, rows) = ((app.size.columns as usize).max(1), (app.size.rows as usize).max(1));
    let input_rows_max = (rows / 3).clamp(1, INPUT_ROWS_MAX);
    let input_rows = app.editor.rows(input_columns(app, total), input_rows_max).rows.len();
    let status_rows = usize::from(rows > input_rows);
    let left = rows - input_rows - status_rows;
    let notice_rows = notice_rows(app, total).len().min(left.saturating_sub(1));
    let has_list = total >= LIST_SCREEN_COLUMNS_MIN && app.page.is_none();
    let list_columns = if has_list { LIST_COLUMNS } else { 0 };
    Layout {
        columns: total,
        list_columns,
        log_rows: left - notice_rows,
        notice_rows,
        status_rows,
        input_rows,
    }
}

/// What stands in front of the input line.
fn prompt(app: &App, total: usize) -> String {
    match &app.asking {
        Some(asking) => cut(asking.question(), (total / 2).max(PROMPT.len())),
        None => PROMPT.to_owned(),
    }
}

fn input_columns(app: &App, total: usize) -> usize {
    total.saturating_sub(columns(&prompt(app, total))).max(2)
}

/// Columns and rows of a page.
pub fn page_size(app: &App) -> (usize, usize) {
    let layout = layout(app);
    (layout.log_columns(), layout.log_rows)
}

/// Rows of the log on the screen.
pub fn log_rows(app: &App) -> usize {
    layout(app).log_rows
}

/// The screen.
pub fn frame(app: &App) -> Frame {
    let layout = layout(app);
    let mut rows = log_part(app, &layout);
    if layout.list_columns > 0 {
        let list = list_part(app, layout.list_columns, rows.len());
        for (row, piece) in rows.iter_mut().zip(list) {
            row.insert(0, Piece { column: layout.list_columns, text: "│".into(), role: Role::Dim });
            if let Some(piece) = piece {
                row.insert(0, piece);
            }
        }
    }
    let mut notices = notice_rows(app, layout.columns);
    notices.drain(..notices.len() - layout.notice_rows); // the last ones, when there is not enough room
    rows.extend(notices);
    if layout.status_rows > 0 {
        rows.push(status_row(app, layout.columns));
    }
    let prompt = prompt(app, layout.columns);
    let prompt_columns = columns(&prompt);
    let input = app.editor.rows(input_columns(app, layout.columns), layout.input_rows);
    let cursor_row = rows.len() + input.cursor_row;
    for (index, text) in input.rows.into_iter().enumerate() {
        let mut row = Row::new();
        if index == 0 {
            row.push(Piece { column: 0, text: cut(&prompt, layout.columns), role: Role::Dim });
        }
        row.push(Piece { column: prompt_columns, text, role: Role::Plain });
        rows.push(row);
    }
    let cursor_column = (prompt_columns + input.cursor_column).min(layout.columns - 1);
    Frame { rows, cursor: (cursor_column as u16, cursor_row as u16) }
}

/// Rows of one item, oldest first, day separator included.
fn item_rows(app: &App, key: Key, item: &Item, columns_max: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    match item {
        Item::Gap { to, reason } => {
            let text = match key {
                Key::Seq(from) if from < *to => format!("-- messages {from} to {to} {reason} --"),
                Key::Seq(from) => format!("-- message {from} {reason} --"),
                Key::Counter(_) => String::new(),
            };
            rows.extend(
                wrap(&text, columns_max)
                    .into_iter()
                    .map(|text| vec![Piece { column: 0, text, role: Role::Separator }]),
            );
        }
        Item::Message { by, time_ms, text } => {
            let moment = (app.moment)(*time_ms);
            if starts_day(app, key, &moment) {
                rows.push(day_row(&moment, columns_max));
            }
            message_rows(app, key, by, &moment, text, columns_max, &mut rows);
        }
    }
    rows
}

/// True when the message before is of another day.
fn starts_day(app: &App, key: Key, moment: &Moment) -> bool {
    let mut before = app.log.before(key);
    while let Some((key, item)) = before {
        match item {
            Item::Message { time_ms, .. } => return (app.moment)(*time_ms).day != moment.day,
            Item::Gap { .. } => before = app.log.before(key),
        }
    }
    true
}

fn day_row(moment: &Moment, columns_max: usize) -> Row {
    let text = format!(" {} ", moment.day_text);
    let side = columns_max.saturating_sub(columns(&text)) / 2;
    let text = cut(&format!("{}{text}{}", "─".repeat(side), "─".repeat(side)), columns_max);
    vec![Piece { column: 0, text, role: Role::Separator }]
}

fn message_rows(
    app: &App,
    key: Key,
    by: &Author,
    moment: &Moment,
    text: &str,
    columns_max: usize,
    rows: &mut Vec<Row>,
) {
    let gutter = if columns_max >= GUTTER_LOG_COLUMNS_MIN { GUTTER_COLUMNS } else { 0 };
    let (name, name_role) = match by {
        Author::Me { .. } => (app.me.as_str(), Role::OwnName),
        Author::Peer if app.open.is_some_and(|id| !id.is_private()) => ("system", Role::PeerName),
        Author::Peer => (open_chat_name(app), Role::PeerName),
    };
    let text_columns = columns_max - gutter;
    let name = format!("{}:", cut(name, (text_columns / 2).max(1)));
    // Wrapped together with its name, so that the first row is shorter by it; then the name gets its own colour.
    let mut lines = wrap(&format!("{} {text}", "x".repeat(columns(&name))), text_columns);
    if let Author::Me { failed: Some(reason) } = by {
        lines.extend(wrap(&format!("not sent: {reason}"), text_columns));
    }
    let name_columns = columns(&name);
    for (index, line) in lines.iter().enumerate() {
        let mut row = Row::new();
        if index > 0 {
            row.push(Piece { column: gutter, text: line.clone(), role: Role::Plain });
            rows.push(row);
            continue;
        }
        if gutter > 0 {
            row.extend(sign(app.log.progress(key, by)));
            row.push(Piece { column: 3, text: moment.clock_text.clone(), role: Role::Dim });
        }
        row.push(Piece { column: gutter, text: name.clone(), role: name_role });
        row.push(Piece {
            column: gutter + name_columns,
            text: line[name_columns..].to_owned(),
            role: Role::Plain,
        });
        rows.push(row);
    }
}

fn sign(progress: Option<Progress>) -> Option<Piece> {
    let (text, role) = match progress? {
        Progress::Waiting => ("·", Role::Dim),
        Progress::Sent => ("→", Role::Dim),
        Progress::Stored => ("✓", Role::Dim),
        Progress::Delivered => ("✓✓", Role::Dim),
        Progress::Read => ("✓✓", Role::Read),
        Progress::Failed => ("✗", Role::Problem),
    };
    Some(Piece { column: 0, text: text.to_owned(), role })
}

fn open_chat_name(app: &App) -> &str {
    app.open.and_then(|id| app.chat(id)).map_or("?", |chat| chat.name.as_str())
}

/// As it stands in the status line.
fn open_name(app: &App) -> String {
    app.open.and_then(|id| app.chat(id)).map_or_else(|| "?".to_owned(), super::app::Chat::shown_name)
}

fn log_part(app: &App, layout: &Layout) -> Vec<Row> {
    let columns_max = layout.log_columns();
    if let Some(page) = &app.page {
        let rows = page.rows(columns_max, layout.log_rows).into_iter();
        let mut rows: Vec<Row> = rows.map(|text| vec![Piece { column: 0, text, role: Role::Info }]).collect();
        rows.resize(layout.log_rows, Row::new());
        return rows;
    }
    let mut rows: Vec<Row> = Vec::new(); // newest first
    let end = app.anchor.or_else(|| app.log.newest_key().map(|key| Anchor { key, row: usize::MAX }));
    if let Some(end) = end {
        for (key, item) in app.log.back_from(end.key) {
            let mut of_item = item_rows(app, key, item, columns_max);
            if key == end.key {
                of_item.truncate(end.row.saturating_add(1));
            }
            rows.extend(of_item.into_iter().rev());
            if rows.len() >= layout.log_rows {
                break;
            }
        }
    } else if layout.log_rows > 0 {
        rows.extend(welcome_rows(app, columns_max).into_iter().rev());
    }
    rows.truncate(layout.log_rows);
    rows.resize(layout.log_rows, Row::new());
    rows.reverse();
    for piece in rows.iter_mut().flatten() {
        piece.column += layout.log_column();
    }
    rows
}

fn welcome_rows(app: &App, columns_max: usize) -> Vec<Row> {
    let text = match app.open {
        Some(_) if app.is_loading => "Loading...".to_owned(),
        Some(_) => format!("No messages with {} yet.", open_name(app)),
        None if app.chats.is_empty() => {
            "Nobody to talk to yet. /to NAME opens a chat, /help shows the rest.".to_owned()
        }
        None => "/to NAME or Ctrl-N opens a chat, /help shows the rest.".to_owned(),
    };
    wrap(&text, columns_max)
        .into_iter()
        .map(|text| vec![Piece { column: 0, text, role: Role::Dim }])
        .collect()
}

/// The chats around the open one, one per row.
fn list_part(app: &App, columns_max: usize, rows: usize) -> Vec<Option<Piece>> {
    let open = app.chats.iter().position(|chat| Some(chat.id) == app.open).unwrap_or(0);
    let start = (open + 1).saturating_sub(rows);
    let mut pieces: Vec<Option<Piece>> = app
        .chats
        .iter()
        .skip(start)
        .take(rows)
        .map(|chat| {
            let unread = if chat.unread == 0 { String::new() } else { format!(" {}", chat.unread) };
            let name = cut(&chat.shown_name(), columns_max.saturating_sub(columns(&unread) + 1));
            let pad = columns_max.saturating_sub(columns(&name) + columns(&unread) + 1);
            let role = match () {
                () if Some(chat.id) == app.open => Role::Chosen,
                () if chat.unread > 0 => Role::Unread,
                () => Role::Plain,
            };
            Some(Piece { column: 0, text: format!("{name}{}{unread} ", " ".repeat(pad)), role })
        })
        .collect();
    pieces.resize(rows, None);
    pieces
}

fn notice_rows(app: &App, columns_max: usize) -> Vec<Row> {
    let of_notice = |notice: &super::app::Notice| {
        let role = match notice.kind {
            NoticeKind::Info => Role::Info,
            NoticeKind::Problem => Role::Problem,
        };
        let lines = wrap(&notice.text, columns_max);
        lines.into_iter().map(move |text| vec![Piece { column: 0, text, role }]).collect::<Vec<Row>>()
    };
    app.notices.iter().flat_map(of_notice).collect()
}

fn status_row(app: &App, columns_max: usize) -> Row {
    let (link, role) = match &app.link {
        Link::Connecting => ("connecting...".to_owned(), Role::StatusProblem),
        Link::Online => ("connected".to_owned(), Role::Status),
        Link::Waiting { seconds, reason } => {
            (format!("reconnecting in {seconds} s ({reason})"), Role::StatusProblem)
        }
        Link::Down { reason } => (format!("not connected: {reason}"), Role::StatusProblem),
    };
    let me = match app.own_state {
        Some(state) => format!("{} ({state})", app.me),
        None => app.me.clone(),
    };
    let with = match app.open {
        Some(_) => format!(" {me} > {} ", open_name(app)),
        None => format!(" {me} "),
    };
    let mut text = format!("{with}| {link} ");
    if let Some(page) = &app.page {
        let (columns, rows_max) = page_size(app);
        text.push_str(&format!("| {} ", page.place(columns, rows_max)));
    } else if app.anchor.is_some() {
        text.push_str("| scrolled back, Ctrl-End: newest ");
    }
    let unread: Vec<String> = app
        .chats
        .iter()
        .filter(|chat| chat.unread > 0 && Some(chat.id) != app.open)
        .map(|chat| format!("{} {}", chat.name, chat.unread))
        .collect();
    if !unread.is_empty() {
        text.push_str(&format!("| unread: {} ", unread.join(", ")));
    }
    let text = cut(&text, columns_max);
    let pad = columns_max - columns(&text);
    vec![Piece { column: 0, text: format!("{text}{}", " ".repeat(pad)), role }]
}

/// Where the log stands after scrolling by `rows` (up is positive); `None` at the newest message.
pub fn scrolled(app: &App, rows: i32) -> Option<Anchor> {
    let layout = layout(app);
    let columns_max = layout.log_columns();
    let height = |key, item: &Item| item_rows(app, key, item, columns_max).len();
    let newest = app.log.newest_key()?;
    let start = app.anchor.unwrap_or(Anchor { key: newest, row: usize::MAX });
    let (key, item) = app.log.back_from(start.key).next()?;
    let row = start.row.min(height(key, item) - 1);
    if rows >= 0 {
        scrolled_up(app, Anchor { key, row }, rows as usize, &layout)
    } else {
        let mut left = rows.unsigned_abs() as usize;
        let below = height(key, item) - 1 - row;
        if left <= below {
            return end_or(app, Anchor { key, row: row + left }, columns_max);
        }
        left -= below;
        for (key, item) in app.log.behind(key) {
            let height = height(key, item);
            if left <= height {
                return end_or(app, Anchor { key, row: left - 1 }, columns_max);
            }
            left -= height;
        }
        None
    }
}

/// Not above the screen that begins with the oldest row.
fn scrolled_up(app: &App, from: Anchor, rows: usize, layout: &Layout) -> Option<Anchor> {
    let columns_max = layout.log_columns();
    // Every row from the start backwards, until a whole screen lies behind the wished one.
    let mut above: Vec<Anchor> = Vec::new();
    for (key, item) in app.log.back_from(from.key) {
        let height = item_rows(app, key, item, columns_max).len();
        let last = if key == from.key { from.row } else { height - 1 };
        above.extend((0..=last).rev().map(|row| Anchor { key, row }));
        if above.len() > rows + layout.log_rows {
            break;
        }
    }
    let furthest = above.len().saturating_sub(layout.log_rows.max(1));
    let anchor = above.get(rows.min(furthest)).copied()?;
    if rows.min(furthest) == 0 { app.anchor } else { Some(anchor) }
}

fn end_or(app: &App, anchor: Anchor, columns_max: usize) -> Option<Anchor> {
    let newest = app.log.newest_key()?;
    let (key, item) = app.log.back_from(newest).next()?;
    let is_end = anchor.key == key && anchor.row + 1 >= item_rows(app, key, item, columns_max).len();
    (!is_end).then_some(anchor)
}

/// True when the oldest item is on the screen or near: time to load older ones.
pub fn shows_oldest(app: &App) -> bool {
    let layout = layout(app);
    let columns_max = layout.log_columns();
    let Some(end) = app.anchor.map(|anchor| anchor.key).or_else(|| app.log.newest_key()) else {
        return false;
    };
    let mut rows = 0;
    for (key, item) in app.log.back_from(end) {
        rows += item_rows(app, key, item, columns_max).len();
        if rows > layout.log_rows * 2 {
            return false;
        }
    }
    true
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
