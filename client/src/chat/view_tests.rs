use super::super::app::{Action, Chat, Size};
use super::super::log::PeerMarks;
use super::super::moment;
use super::*;
use proptest::prelude::*;
use wire::{ConversationId, UserId};

const DAY_MS: u64 = 86_400_000;
const NOON_MS: u64 = 1_795_521_600_000;

fn conversation(number: u64) -> ConversationId {
    ConversationId::private(UserId(1 << 10), UserId((number + 2) << 10)).expect("two users")
}

fn app(columns: u16, rows: u16) -> App {
    let mut app = App::new("alice".into(), Size { columns, rows });
    app.moment = moment::utc;
    app.link = Link::Online;
    app.chats = vec![
        Chat { id: conversation(0), name: "bob".into(), deleted: false, unread: 0, time_ms: 0 },
        Chat { id: conversation(1), name: "漢字さん".into(), deleted: false, unread: 12, time_ms: 0 },
    ];
    app.open_chat(conversation(0));
    app.log.is_whole = true;
    app
}

fn put(app: &mut App, seq: u64, by: Author, text: &str) {
    app.log.put(Key::Seq(seq), Item::Message { by, time_ms: NOON_MS, text: text.into() }, false);
}

/// The frame as a terminal would show it, spaces at the ends of rows left out.
fn shown(frame: &Frame) -> Vec<String> {
    let row_text = |row: &Row| {
        let mut text = String::new();
        for piece in row {
            let used = columns(&text);
            assert!(used <= piece.column, "{piece:?} overlaps {text:?}");
            text.push_str(&" ".repeat(piece.column - used));
            text.push_str(&piece.text);
        }
        text.trim_end().to_owned()
    };
    frame.rows.iter().map(row_text).collect()
}

#[test]
fn a_usual_screen() {
    let mut app = app(70, 8);
    app.log.peer_marks = PeerMarks { delivered: 2, read: 1 };
    put(&mut app, 1, Author::Me { failed: None }, "hi");
    put(&mut app, 2, Author::Me { failed: None }, "are you there?");
    put(&mut app, 3, Author::Peer, "yes, and this one is long enough to be wrapped");
    app.handle_action(Action::Paste("typing".into()));
    let frame = frame(&app);
    let expected = [
        "bob                 │",
        "漢字さん         12 │─────────── Tuesday, 24 November 2026 ───────────",
        "                    │✓✓ 12:00 alice: hi",
        "                    │✓✓ 12:00 alice: are you there?",
        "                    │   12:00 bob: yes, and this one is long enough to",
        "                    │         be wrapped",
        " alice > bob | connected | unread: 漢字さん 12",
        "> typing",
    ];
    assert_eq!(shown(&frame), expected);
    assert_eq!(frame.cursor, (8, 7));
    let roles = |row: usize| frame.rows[row].iter().map(|piece| piece.role).collect::<Vec<_>>();
    assert!(roles(2).contains(&Role::Read), "the first is read");
    assert!(!roles(3).contains(&Role::Read), "the second is only delivered");
}

#[test]
fn a_narrow_screen_has_no_list_and_no_gutter() {
    let mut app = app(20, 6);
    put(&mut app, 1, Author::Peer, "漢字漢字漢字漢字 end");
    let expected = ["", " Tuesday, 24 Novemb…", "bob: 漢字漢字漢字漢", "字 end", " alice > bob | conn…", ">"];
    assert_eq!(shown(&frame(&app)), expected);
}

#[test]
fn a_resize_wraps_anew_and_keeps_the_newest_at_the_bottom() {
    let mut app = app(60, 5);
    for seq in 1..=9 {
        put(&mut app, seq, Author::Peer, &format!("message {seq} with some words"));
    }
    assert_eq!(shown(&frame(&app))[2], "   12:00 bob: message 9 with some words");
    app.handle_action(Action::Resize(Size { columns: 24, rows: 5 }));
    assert_eq!(shown(&frame(&app))[1..3], ["bob: message 9 with some", "words"]);
    app.handle_action(Action::Resize(Size { columns: 60, rows: 3 }));
    assert_eq!(shown(&frame(&app))[0], "   12:00 bob: message 9 with some words");
}

#[test]
fn scrolling_stays_where_it_is_when_messages_arrive() {
    let mut app = app(60, 5);
    for seq in 1..=20 {
        put(&mut app, seq, Author::Peer, &format!("m{seq}"));
    }
    app.handle_action(Action::Scroll(2));
    let before = shown(&frame(&app))[..3].to_vec();
    assert_eq!(before[2], "   12:00 bob: m18");
    put(&mut app, 21, Author::Peer, "m21");
    app.on_log_changed();
    assert_eq!(shown(&frame(&app))[..3], before);
    assert!(shown(&frame(&app))[3].contains("scrolled back"));
    app.handle_action(Action::Scroll(100));
    assert_eq!(shown(&frame(&app))[1..3], ["   12:00 bob: m1", "   12:00 bob: m2"]);
    app.handle_action(Action::Scroll(-100));
    assert_eq!((app.anchor, shown(&frame(&app))[2].as_str()), (None, "   12:00 bob: m21"));
}

#[test]
fn pages_overlap_by_one_row() {
    let mut app = app(60, 6);
    for seq in 1..=20 {
        put(&mut app, seq, Author::Peer, &format!("m{seq}"));
    }
    let first = shown(&frame(&app))[0].clone();
    app.handle_action(Action::PageUp);
    assert_eq!(shown(&frame(&app))[3], first);
    app.handle_action(Action::PageDown);
    assert_eq!(app.anchor, None);
}

#[test]
fn gaps_and_failures_are_told() {
    let mut app = app(60, 8);
    app.log.put(Key::Seq(1), Item::Gap { to: 4, reason: "are gone" }, false);
    put(&mut app, 5, Author::Peer, "hi");
    let me = Author::Me { failed: Some("too long".into()) };
    app.log.put(
        Key::Counter(1),
        Item::Message { by: me, time_ms: NOON_MS + DAY_MS, text: "x".into() },
        false,
    );
    let shown = shown(&frame(&app));
    assert_eq!(shown[0], "-- messages 1 to 4 are gone --");
    assert!(shown[1].contains("Tuesday, 24 November 2026"));
    assert_eq!(shown[2], "   12:00 bob: hi");
    assert!(shown[3].contains("Wednesday, 25 November 2026"));
    assert_eq!(shown[4..6], ["✗  12:00 alice: x", "         not sent: too long"]);
}

#[test]
fn the_status_line_says_what_the_connection_does() {
    let mut app = app(80, 4);
    let status = |app: &App| shown(&frame(app))[2].clone();
    app.link = Link::Waiting { seconds: 3, reason: "connection refused".into() };
    assert!(status(&app).contains("reconnecting in 3 s (connection refused)"));
    app.link = Link::Connecting;
    assert!(status(&app).contains("connecting..."));
    app.own_state = Some("invisible");
    app.chats[0].deleted = true;
    assert!(status(&app).contains(" alice (invisible) > bob (deleted) | "), "{}", status(&app));
}

#[test]
fn notices_stand_above_the_status_line_until_something_is_typed() {
    let mut app = app(60, 6);
    put(&mut app, 1, Author::Peer, "hi");
    app.notice(NoticeKind::Problem, "no such user");
    assert_eq!(shown(&frame(&app))[2..4], ["   12:00 bob: hi", "no such user"]);
    app.handle_action(Action::Paste("a".into()));
    assert_eq!(shown(&frame(&app))[3], "   12:00 bob: hi");
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (-30i32..30).prop_map(Action::Scroll),
        Just(Action::PageUp),
        Just(Action::PageDown),
        Just(Action::ToNewest),
        Just(Action::NextChat),
        "[a-z漢🙂 ]{0,40}".prop_map(Action::Paste),
        Just(Action::Submit),
        (1u16..100, 1u16..30).prop_map(|(columns, rows)| Action::Resize(Size { columns, rows })),
    ]
}

proptest! {
    #[test]
    fn every_screen_fits(
        texts in prop::collection::vec("[a-z漢🙂\\n ]{0,60}", 0..30),
        actions in prop::collection::vec(any_action(), 0..30),
    ) {
        let mut app = app(40, 10);
        for (index, text) in texts.iter().enumerate() {
            let by = if index % 2 == 0 { Author::Peer } else { Author::Me { failed: None } };
            put(&mut app, index as u64 + 1, by, text);
        }
        app.notice(NoticeKind::Info, "a notice that is longer than the narrowest screens");
        for action in actions {
            app.handle_action(action);
            app.on_log_changed();
            let size = app.size;
            let frame = frame(&app);
            prop_assert_eq!(frame.rows.len(), size.rows as usize);
            prop_assert!(frame.cursor.0 < size.columns && frame.cursor.1 < size.rows);
            for row in frame.rows.iter() {
                for piece in row {
                    // Two columns are the least that can show a wide character; the terminal cuts narrower ones.
                    prop_assert!(piece.column + columns(&piece.text) <= (size.columns as usize).max(4), "{:?}", piece);
                }
            }
        }
    }
}
