//! Answers, mentions, edits, reactions and recalls on the real node, through the SDK; also for who was away.

use std::path::Path;
use std::time::Duration;

use client::transport::Security;
use client::{Client, ClientOptions, Draft, Event, Events, HistoryItem, To};
use tests::harness::{Node, NodeBuilder, check};
use wire::message::{Entry, EntryKind};
use wire::{ConversationId, UserId, UserName};

/// How long an answer or an event may take before the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

struct Person {
    client: Client,
    events: Events,
    user: UserId,
}

impl Person {
    async fn open(folder: &Path, node: &Node) -> (Client, Events) {
        let address = node.plain.expect("a plain listener").to_string().parse().expect("an address");
        let client =
            Client::open(ClientOptions::new(folder, address, Security::Plain)).await.expect("a client");
        let events = client.events();
        (client, events)
    }

    async fn register(folder: &Path, node: &Node, name: &str) -> Self {
        let (client, events) = Self::open(&folder.join(name), node).await;
        let user = client.register(&UserName::parse(name).expect("a name"), "password").await;
        Self { client, events, user: user.expect("an account").user }
    }

    /// Sends it, and gives its seq once it is on the node's disk.
    async fn sends(&self, to: ConversationId, draft: Draft) -> Result<u64, String> {
        let mut sent = self.client.send_draft(To::Conversation(to), draft).await.expect("taken");
        let decided = tokio::time::timeout(WAIT_MAX, sent.decided()).await.expect("an answer in time");
        decided.expect("the client stays open").map(|ack| ack.seq)
    }

    /// The entry with this seq, when it comes.
    async fn hears(&mut self, seq: u64) -> Entry {
        let next = async {
            loop {
                if let Event::Message { entry, .. } = self.events.next().await.expect("an event")
                    && entry.place.seq == seq
                {
                    return entry;
                }
            }
        };
        tokio::time::timeout(WAIT_MAX, next).await.expect("it comes in time")
    }

    /// What is kept of a conversation.
    async fn texts(&self, of: ConversationId) -> Vec<String> {
        let history = self.client.history(of, None, 100).await.expect("a history");
        let text = |item: &HistoryItem| match item {
            HistoryItem::Entry(entry) => String::from_utf8_lossy(&entry.body).into_owned(),
            HistoryItem::Gap(range) => format!("{range:?}"),
        };
        history.items.iter().map(text).collect()
    }
}

fn run(test: impl AsyncFnOnce(&Path, &mut Node)) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = NodeBuilder::new(&folder.path().join("data")).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test(folder.path(), &mut node));
    drop(runtime);
    assert!(node.stop().success(), "{}", node.errors());
    check(node.data()).expect("a clean folder");
}

#[test]
fn what_people_do_with_messages_reaches_who_is_there_and_who_was_away() {
    run(async |folder, node| {
        let ann = Person::register(folder, node, "ann").await;
        let mut ben = Person::register(folder, node, "ben").await;
        let chat = ConversationId::private(ann.user, ben.user).expect("two users");
        assert_eq!(ann.sends(chat, Draft::text("first")).await, Ok(1));
        assert_eq!(ann.sends(chat, Draft::text("a secret of ann")).await, Ok(2));
        let answer = Draft::text("an answer").replying(1).mentioning([ann.user]);
        ben.hears(2).await;
        assert_eq!(ben.sends(chat, answer).await, Ok(3));
        assert_eq!(ann.sends(chat, Draft::edit(1, "first, edited")).await, Ok(4));
        assert_eq!(ben.hears(4).await.kind, EntryKind::Edit);
        assert_eq!(ben.sends(chat, Draft::reaction(1, "👍")).await, Ok(5));
        let refused = ben.sends(chat, Draft::recall(2)).await;
        assert!(refused.is_err(), "it is not his: {refused:?}");
        assert_eq!(ben.texts(chat).await[..3], ["first, edited", "a secret of ann", "an answer"]);
        ben.client.close().await.expect("closed");

        assert_eq!(ann.sends(chat, Draft::recall(2)).await, Ok(6));
        node.kill();
        node.restart();
        let (client, events) = Person::open(&folder.join("ben"), node).await;
        client.resume().await.expect("asked");
        let mut ben = Person { client, events, user: ben.user };
        let recall = ben.hears(6).await;
        assert_eq!((recall.kind, recall.extras.map(|extras| extras.target)), (EntryKind::Recall, Some(2)));
        let expected = ["first, edited", "", "an answer", "first, edited", "👍", ""];
        assert_eq!(ben.texts(chat).await, expected);
        let conversations = ben.client.conversations().await.expect("a list");
        assert_eq!(conversations[0].unread(), 0, "he answered after both, and the rest does not count");
        ben.client.close().await.expect("closed");
        ann.client.close().await.expect("closed");
    });
}
