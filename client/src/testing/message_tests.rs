//! Messages: each once and in order, over whatever the network does.

use wire::message::MarkKind;
use wire::{ConversationId, Refusal};

use super::*;
use crate::client::{Body, To};
use crate::send::SendState;
use crate::store::HistoryItem;

struct Pair {
    node: Node,
    ann: Client,
    ben: Client,
    conversation: ConversationId,
    _folders: [tempfile::TempDir; 2],
}

async fn pair() -> Pair {
    let node = Node::plain().await;
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let ann = registered(folders[0].path(), &node, "ann").await;
    let ben = registered(folders[1].path(), &node, "ben").await;
    let peer = patiently(ann.find_user(&name("ben"))).await.expect("a user").id;
    let conversation = ann.conversation_with(peer).expect("two users");
    Pair { node, ann, ben, conversation, _folders: folders }
}

/// The next `count` messages that a client tells, as texts.
async fn texts(events: &mut Events, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let text = event(events, |event| match event {
            Event::Message { entry, .. } => Some(String::from_utf8_lossy(&entry.body).into_owned()),
            Event::Missed => panic!("too slow"),
            _ => None,
        });
        texts.push(text.await);
    }
    texts
}

async fn history_texts(client: &Client, conversation: ConversationId) -> Vec<String> {
    let history = patiently(client.history(conversation, None, 1_000)).await.expect("read");
    assert!(history.is_start && !history.is_cut, "the whole history");
    let text = |item: &HistoryItem| match item {
        HistoryItem::Entry(entry) => String::from_utf8_lossy(&entry.body).into_owned(),
        HistoryItem::Gap(range) => format!("{range:?}"),
    };
    history.items.iter().map(text).collect()
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("message {number}")).collect()
}

#[tokio::test]
async fn two_talk_and_see_marks_and_unread_counts() {
    let pair = pair().await;
    let (mut at_ann, mut at_ben) = (pair.ann.events(), pair.ben.events());
    let mut sent =
        pair.ann.send(To::Conversation(pair.conversation), Body::Text("hi".into())).await.expect("taken");
    patiently(sent.on_disk()).await.expect("open");
    let ack = patiently(sent.decided()).await.expect("open").expect("acknowledged");
    assert_eq!((ack.seq, sent.state()), (1, SendState::Acked(ack)));
    assert_eq!(texts(&mut at_ben, 1).await, ["hi"]);
    assert_eq!(texts(&mut at_ann, 1).await, ["hi"], "one's own come too");
    let delivered = event(&mut at_ann, |event| match event {
        Event::Conversation(summary) if summary.peer_delivered.seq == 1 => Some(summary.peer_read.seq),
        _ => None,
    });
    assert_eq!(delivered.await, 0, "delivered, not read");
    let unread = |conversations: Vec<crate::ConversationInfo>| conversations[0].unread();
    assert_eq!(unread(pair.ben.conversations().await.expect("read")), 1);
    pair.ben.mark_read(pair.conversation, 1).await.expect("open");
    let read = event(&mut at_ann, |event| match event {
        Event::Conversation(summary) if summary.peer_read.seq == 1 => Some(()),
        _ => None,
    });
    read.await;
    let none_unread = event(&mut at_ben, |event| match event {
        Event::Conversation(summary) if summary.unread() == 0 => Some(()),
        _ => None,
    });
    none_unread.await;
    assert_eq!(unread(pair.ben.conversations().await.expect("read")), 0);
    assert!(
        pair.node.world().marked(pair.conversation, pair.ben.me().expect("in").user, MarkKind::Read).seq == 1
    );
    let mut peers = pair.ben.conversations().await.expect("read");
    while peers[0].name.is_none() {
        event(&mut at_ben, |event| matches!(event, Event::Named { .. }).then_some(())).await;
        peers = pair.ben.conversations().await.expect("read");
    }
    assert_eq!(peers[0].name.as_deref(), Some("ann"));
}

#[tokio::test]
async fn lost_acks_and_refusals_neither_lose_nor_double_nor_reorder() {
    let pair = pair().await;
    pair.node.world().faults = Faults {
        lost_acks: 3,
        refusals: vec![Refusal::Busy, Refusal::StorageFull, Refusal::TooManyRequests],
        ..Faults::default()
    };
    let mut at_ben = pair.ben.events();
    let mut handles = Vec::new();
    for text in numbered(40) {
        handles
            .push(pair.ann.send(To::Conversation(pair.conversation), Body::Text(text)).await.expect("taken"));
    }
    for (index, handle) in handles.iter_mut().enumerate() {
        let ack = patiently(handle.decided()).await.expect("open").expect("acknowledged");
        assert_eq!(ack.seq, index as u64 + 1);
    }
    assert_eq!(texts(&mut at_ben, 40).await, numbered(40));
    assert_eq!(pair.node.world().texts(pair.conversation), numbered(40));
    assert!(pair.node.world().sends_seen > 40, "some were sent again");
    assert_eq!(history_texts(&pair.ann, pair.conversation).await, numbered(40));
    assert!(pair.ann.outgoing().await.expect("read").is_empty());
}

#[tokio::test]
async fn lost_and_doubled_pushes_are_made_good() {
    let pair = pair().await;
    let mut at_ben = pair.ben.events();
    let say = |count: std::ops::Range<usize>| {
        for number in count {
            pair.node.world().say("ann", "ben", &format!("message {number}"));
        }
    };
    pair.node.world().faults.double_pushes = 5;
    say(0..5);
    pair.node.world().faults.lost_pushes = 4;
    say(5..10); // the last one shows the hole
    assert_eq!(texts(&mut at_ben, 10).await, numbered(10));
    pair.node.world().faults.lost_pushes = 2;
    say(10..12);
    pair.node.world().push_head(pair.conversation);
    assert_eq!(texts(&mut at_ben, 2).await, numbered(12)[10..]);
    assert_eq!(history_texts(&pair.ben, pair.conversation).await, numbered(12));
}

#[tokio::test]
async fn what_came_while_away_comes_at_the_next_start_once() {
    let pair = pair().await;
    pair.node.world().say("ann", "ben", "message 0");
    let mut at_ben = pair.ben.events();
    assert_eq!(texts(&mut at_ben, 1).await, ["message 0"]);
    drop(at_ben);
    let folder = pair._folders[1].path().to_owned();
    patiently(pair.ben.close()).await.expect("closed");
    pair.node.world().say("ann", "ben", "message 1");
    pair.node.world().say("ann", "ben", "message 2");
    let ben = Client::open(options(&folder, pair.node.address(), Security::Plain)).await.expect("free again");
    let mut at_ben = ben.events();
    ben.resume().await.expect("open");
    assert_eq!(texts(&mut at_ben, 2).await, numbered(3)[1..]);
    assert_eq!(history_texts(&ben, pair.conversation).await, numbered(3));
}

#[tokio::test]
async fn a_new_device_gets_the_newest_and_fetches_the_rest_when_asked() {
    let pair = pair().await;
    for text in numbered(30) {
        pair.node.world().say("ann", "ben", &text);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut with = options(folder.path(), pair.node.address(), Security::Plain);
    with.catch_up_max = 5;
    let second = Client::open(with).await.expect("a folder");
    let mut events = second.events();
    patiently(second.login(&name("ben"), PASSWORD)).await.expect("logged in");
    assert_eq!(texts(&mut events, 5).await, numbered(30)[25..]);
    let page = patiently(second.history(pair.conversation, None, 10)).await.expect("read");
    assert_eq!((page.items.len(), page.is_start, page.is_cut), (10, false, false));
    assert_eq!(history_texts(&second, pair.conversation).await, numbered(30));
    let (world, conversation) = (pair.node, pair.conversation);
    drop(world);
    until(&second, |state| matches!(state, Connection::Waiting { .. })).await;
    assert_eq!(history_texts(&second, conversation).await, numbered(30), "kept");
}

#[tokio::test]
async fn history_without_a_connection_ends_at_the_hole() {
    let pair = pair().await;
    for text in numbered(9) {
        pair.node.world().say("ann", "ben", &text);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut with = options(folder.path(), pair.node.address(), Security::Plain);
    with.catch_up_max = 2;
    let second = Client::open(with).await.expect("a folder");
    let mut events = second.events();
    patiently(second.login(&name("ben"), PASSWORD)).await.expect("logged in");
    texts(&mut events, 2).await;
    drop(pair.node);
    until(&second, |state| matches!(state, Connection::Waiting { .. })).await;
    let history = patiently(second.history(pair.conversation, None, 100)).await.expect("read");
    assert_eq!((history.items.len(), history.is_cut, history.is_start), (2, true, false));
}

#[tokio::test]
async fn a_permanent_refusal_is_told_and_the_rest_goes_on() {
    let pair = pair().await;
    pair.node.world().faults.refusals = vec![Refusal::BodyTooLong];
    let to = To::Conversation(pair.conversation);
    let mut refused = pair.ann.send(to, Body::Text("too long".into())).await.expect("taken");
    let reason = patiently(refused.decided()).await.expect("open").expect_err("refused");
    assert!(reason.contains("larger than allowed"), "{reason}");
    let mut taken = pair.ann.send(to, Body::Text("fine".into())).await.expect("taken");
    patiently(taken.decided()).await.expect("open").expect("acknowledged");
    assert_eq!(pair.node.world().texts(pair.conversation), ["fine"]);
}
