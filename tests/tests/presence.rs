//! Presence on the real node, by the SDK: who is online, who is invisible, and what a crash of a client and of the node leaves.

use std::path::Path;
use std::time::Duration;

use client::transport::Security;
use client::{Client, ClientOptions, Connection, Event, Events};
use tests::harness::{Node, NodeBuilder, check};
use wire::presence::{LastSeenFor, Presence, PresenceState, PresenceWish};
use wire::{UserId, UserName};

/// How long an answer or an event may take before the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Between two questions whose answer is to change soon.
const ASK_EVERY: Duration = Duration::from_millis(10);

struct Person {
    client: Client,
    events: Events,
    user: UserId,
}

impl Person {
    async fn open(folder: &Path, node: &Node, name: &str) -> Client {
        let address = node.plain.expect("a plain listener").to_string().parse().expect("an address");
        let options = ClientOptions::new(folder.join(name), address, Security::Plain);
        Client::open(options).await.expect("a client")
    }

    async fn register(folder: &Path, node: &Node, name: &str) -> Self {
        let client = Self::open(folder, node, name).await;
        let events = client.events();
        let name = UserName::parse(name).expect("a name");
        let user = client.register(&name, "password").await.expect("an account").user;
        Self { client, events, user }
    }

    /// Waits until this user is shown so.
    async fn sees(&mut self, user: UserId, state: PresenceState, text: &str) {
        let wanted = Presence { user, state, text: text.to_owned() };
        let next = async {
            loop {
                let event = self.events.next().await.expect("an event");
                if matches!(&event, Event::PresenceChanged(contacts) if contacts.contains(&wanted)) {
                    return;
                }
            }
        };
        tokio::time::timeout(WAIT_MAX, next).await.unwrap_or_else(|_| panic!("{wanted:?} is not told"));
    }

    async fn online(&self) -> Vec<(UserId, PresenceState)> {
        let online = self.client.presence().await.expect("who is online");
        online.contacts.into_iter().map(|contact| (contact.user, contact.state)).collect()
    }

    async fn set(&self, state: PresenceState, text: &str) {
        let wish = PresenceWish { state: Some(state), text: Some(text.to_owned()), last_seen: None };
        assert_eq!(self.client.set_presence(wish).await.expect("set").state, state);
    }
}

fn run(test: impl AsyncFnOnce(&Path, &mut Node)) {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = ["--contacts", "open", "--shards", "2"];
    let mut node = NodeBuilder::new(&folder.path().join("data")).with(&policies).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test(folder.path(), &mut node));
    drop(runtime);
    assert!(node.stop().success(), "{}", node.errors());
    check(node.data()).expect("a clean folder");
}

async fn pair(folder: &Path, node: &Node) -> (Person, Person) {
    let mut ann = Person::register(folder, node, "ann").await;
    let mut ben = Person::register(folder, node, "ben").await;
    ann.client.request_contact(ben.user, "").await.expect("asked");
    ben.client.accept_contact(ann.user).await.expect("accepted");
    ann.sees(ben.user, PresenceState::Online, "").await;
    ben.sees(ann.user, PresenceState::Online, "").await;
    (ann, ben)
}

#[test]
fn contacts_see_each_other_come_change_and_go() {
    run(async |folder, node| {
        let (mut ann, ben) = pair(folder, node).await;
        let eve = Person::register(folder, node, "eve").await;
        ben.set(PresenceState::Busy, "in a call").await;
        ann.sees(ben.user, PresenceState::Busy, "in a call").await;
        assert_eq!(ann.online().await, [(ben.user, PresenceState::Busy)]);
        assert!(eve.online().await.is_empty(), "a stranger, whoever may write to whom");
        let wish = PresenceWish { last_seen: Some(LastSeenFor::Contacts), ..PresenceWish::default() };
        ben.client.set_presence(wish).await.expect("set");
        // He does not log out: his end of the connection is gone.
        drop(ben.client);
        drop(ben.events);
        ann.sees(ben.user, PresenceState::Offline, "").await;
        assert!(ann.online().await.is_empty());
        // It is written without hurry, so it may be behind the news that he is gone.
        let seen = async {
            while ann.client.presence_of(ben.user).await.expect("found").last_seen_ms < 1_700_000_000_000 {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::time::timeout(WAIT_MAX, seen).await.expect("when he was seen last is told");
        assert_eq!(eve.client.presence_of(ben.user).await.expect("found").last_seen_ms, 0);
    });
}

#[test]
fn invisible_outlives_sessions_and_the_node() {
    run(async |folder, node| {
        let (mut ann, ben) = pair(folder, node).await;
        ben.set(PresenceState::Invisible, "").await;
        ann.sees(ben.user, PresenceState::Offline, "").await;
        assert_eq!(ben.online().await, [(ann.user, PresenceState::Online)], "he still sees her");
        let user = ben.user;
        ben.client.close().await.expect("closed");
        ann.client.close().await.expect("closed");
        node.kill();
        node.restart();
        let (ann, ben) = (Person::open(folder, node, "ann").await, Person::open(folder, node, "ben").await);
        let mut events = ann.events();
        for client in [&ann, &ben] {
            client.resume().await.expect("wanted");
            let mut connection = client.connection();
            let online = connection.wait_for(|state| matches!(state, Connection::Online { .. }));
            tokio::time::timeout(WAIT_MAX, online).await.expect("in time").expect("an open client");
        }
        let own = ben.presence().await.expect("who is online").own;
        assert_eq!(own.state, PresenceState::Invisible);
        assert!(ann.presence().await.expect("who is online").contacts.is_empty());
        assert_eq!(ann.presence_of(user).await.expect("found").presence.state, PresenceState::Offline);
        let wish = PresenceWish { state: Some(PresenceState::Online), ..PresenceWish::default() };
        ben.set_presence(wish).await.expect("set");
        let shown = async {
            loop {
                if let Some(Event::PresenceChanged(contacts)) = events.next().await {
                    return contacts;
                }
            }
        };
        let contacts = tokio::time::timeout(WAIT_MAX, shown).await.expect("told in time");
        assert_eq!(contacts, [Presence { user, state: PresenceState::Online, text: String::new() }]);
    });
}
