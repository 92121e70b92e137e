//! Notices on the real node: written with `ringtalk notice`, read by the SDK.

use std::path::Path;
use std::time::Duration;

use client::transport::Security;
use client::{Adverts, Client, ClientOptions, Event, Events};
use tests::harness::{Node, NodeBuilder, check, tool};
use wire::message::Entry;
use wire::{ConversationId, Notices, UserId, UserName};

/// How long an answer or an event may take before the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

const ALL: ConversationId = ConversationId::of_notices(Notices::All);
const ADVERTS: ConversationId = ConversationId::of_notices(Notices::Adverts);

struct Person {
    client: Client,
    events: Events,
    user: UserId,
}

impl Person {
    async fn open(folder: &Path, node: &Node) -> (Client, Events) {
        let address = node.plain.expect("a plain listener").to_string().parse().expect("an address");
        let options = ClientOptions::new(folder, address, Security::Plain);
        let client = Client::open(options).await.expect("a client");
        let events = client.events();
        (client, events)
    }

    async fn register(folder: &Path, node: &Node, name: &str) -> Self {
        let (client, events) = Self::open(&folder.join(name), node).await;
        let name = UserName::parse(name).expect("a name");
        let user = client.register(&name, "password").await.expect("an account").user;
        let mut person = Self { client, events, user };
        person.event(|event| (event == Event::CaughtUp).then_some(())).await;
        person
    }

    /// Goes away, and comes back from its folder.
    async fn come_back(self, folder: &Path, node: &Node, name: &str) -> Self {
        let user = self.user;
        self.client.close().await.expect("closed");
        let (client, events) = Self::open(&folder.join(name), node).await;
        client.resume().await.expect("asked");
        let mut person = Self { client, events, user };
        person.event(|event| (event == Event::CaughtUp).then_some(())).await;
        person
    }

    /// The next event that `wanted` finds something in.
    async fn event<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        let next = async {
            loop {
                if let Some(found) = wanted(self.events.next().await.expect("an event")) {
                    return found;
                }
            }
        };
        tokio::time::timeout(WAIT_MAX, next).await.expect("the event comes in time")
    }

    /// The next message, which must be of this conversation and say this.
    async fn hears(&mut self, of: ConversationId, seq: u64, text: &str) {
        let message = |event| match event {
            Event::Message { conversation, entry } => Some((conversation, entry)),
            _ => None,
        };
        let (conversation, Entry { place, sender, body, .. }) = self.event(message).await;
        assert_eq!((conversation, place.seq, sender), (of, seq, UserId::SYSTEM));
        assert_eq!(body, text);
    }

    async fn unread(&self, of: ConversationId) -> Option<u64> {
        let conversations = self.client.conversations().await.expect("a list");
        let info = conversations.iter().find(|info| info.state.conversation == of)?;
        assert_eq!(info.peer, UserId::SYSTEM);
        Some(info.unread())
    }
}

/// `ringtalk notice ...` with the node's data folder.
fn notice(node: &Node, arguments: &[&str]) -> String {
    let output = tool(node.data(), &[&["notice"], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
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
fn a_notice_reaches_everybody_once_also_who_was_away() {
    run(async |folder, node| {
        let mut ann = Person::register(folder, node, "ann").await;
        let ben = Person::register(folder, node, "ben").await;
        ben.client.close().await.expect("closed");
        let told = notice(node, &["all", "maintenance at ten", "--id", "7"]);
        assert_eq!(told, "notice 7 stored, seq 1\n");
        assert_eq!(notice(node, &["all", "maintenance at ten", "--id", "7"]), told, "asked again");
        ann.hears(ALL, 1, "maintenance at ten").await;
        assert_eq!(ann.unread(ALL).await, Some(1));
        ann.client.mark_read(ALL, 1).await.expect("kept");
        let read = |event| match event {
            Event::Conversation(summary) if summary.conversation == ALL && summary.unread() == 0 => Some(()),
            _ => None,
        };
        ann.event(read).await;

        node.kill();
        node.restart();
        notice(node, &["all", "it is over"]);
        let (client, events) = Person::open(&folder.join("ben"), node).await;
        let name = UserName::parse("ben").expect("a name");
        let user = client.login(&name, "password").await.expect("logged in").user;
        let mut ben = Person { client, events, user };
        ben.hears(ALL, 1, "maintenance at ten").await;
        ben.hears(ALL, 2, "it is over").await;
        assert_eq!(ben.unread(ALL).await, Some(2));
        let mut carl = Person::register(folder, node, "carl").await;
        assert_eq!(carl.unread(ALL).await, Some(0), "said before he came");
        notice(node, &["all", "welcome, all"]);
        carl.event(|event| {
            matches!(event, Event::Message { entry, .. } if entry.place.seq == 3).then_some(())
        })
        .await;
        assert_eq!(carl.unread(ALL).await, Some(1));
    });
}

#[test]
fn adverts_go_to_those_who_want_them() {
    run(async |folder, node| {
        let mut ann = Person::register(folder, node, "ann").await;
        let mut ben = Person::register(folder, node, "ben").await;
        ben.client.set_adverts(Adverts::Off).await.expect("set");
        notice(node, &["adverts", "buy"]);
        notice(node, &["all", "not an advert"]);
        ann.event(|event| matches!(event, Event::Message { conversation: ADVERTS, .. }).then_some(())).await;
        ben.hears(ALL, 1, "not an advert").await;
        let mut ben = ben.come_back(folder, node, "ben").await;
        assert_eq!(ben.unread(ADVERTS).await, None);
        ben.client.set_adverts(Adverts::On).await.expect("set");
        notice(node, &["adverts", "buy again"]);
        ben.hears(ADVERTS, 1, "buy").await;
        ben.hears(ADVERTS, 2, "buy again").await;
        assert_eq!(ben.unread(ADVERTS).await, Some(1), "the first came while he wanted none");
    });
}

#[test]
fn a_list_of_users_and_those_who_are_online() {
    run(async |folder, node| {
        let mut ann = Person::register(folder, node, "ann").await;
        let mut ben = Person::register(folder, node, "ben").await;
        let list = folder.join("names");
        std::fs::write(&list, "ann\nnobody\n").expect("a list");
        let list = list.to_str().expect("a path");
        let output = tool(node.data(), &["notice", "users", list, "to you", "--id", "5"]);
        assert_eq!(output.status.code(), Some(1), "one of them is not there");
        assert!(String::from_utf8_lossy(&output.stdout).contains("not written to nobody"));
        ann.hears(ConversationId::system(ann.user), 1, "to you").await;
        assert_eq!(ann.unread(ConversationId::system(ann.user)).await, Some(1));

        std::fs::write(list, "ben\n").expect("a list");
        assert_eq!(notice(node, &["users", list, "to you", "--id", "6"]), "notice 6 written to 1 user\n");
        ben.hears(ConversationId::system(ben.user), 1, "to you").await;
        let told = notice(node, &["users", list, "psst", "--online-now"]);
        assert_eq!(told, "told to 1 user, as far as they are online\n");
        let said = |event| if let Event::Announced { body, .. } = event { Some(body) } else { None };
        assert_eq!(ben.event(said).await, "psst");

        assert_eq!(
            notice(node, &["all", "leave the house", "--online-now"]),
            "told to those who are online\n"
        );
        for person in [&mut ann, &mut ben] {
            let said = |event| if let Event::Announced { body, .. } = event { Some(body) } else { None };
            assert_eq!(person.event(said).await, "leave the house");
        }
        assert_eq!(ben.unread(ALL).await, None, "it is not stored");
    });
}
