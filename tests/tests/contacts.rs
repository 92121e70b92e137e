//! Contacts, blocks and messages of strangers on the real node, by the SDK.

use std::path::Path;
use std::time::Duration;

use client::transport::Security;
use client::{Body, Client, ClientOptions, Error, Event, Events, SendState, To};
use tests::harness::{Node, NodeBuilder, check};
use wire::contact::{Contact, ContactState};
use wire::{Refusal, UserId, UserName};

/// How long an answer or an event may take before the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

struct Person {
    client: Client,
    events: Events,
    user: UserId,
}

impl Person {
    async fn register(folder: &Path, node: &Node, name: &str) -> Self {
        let address = node.plain.expect("a plain listener").to_string().parse().expect("an address");
        let options = ClientOptions::new(folder.join(name), address, Security::Plain);
        let client = Client::open(options).await.expect("a client");
        let events = client.events();
        let name = UserName::parse(name).expect("a name");
        let user = client.register(&name, "password").await.expect("an account").user;
        Self { client, events, user }
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

    async fn row(&mut self) -> Contact {
        let row = |event| if let Event::ContactChanged(contact) = event { Some(contact) } else { None };
        self.event(row).await
    }

    /// Sends, and gives what the node said.
    async fn say(&self, to: UserId, text: &str) -> Result<u64, String> {
        let mut sent = self.client.send(To::User(to), Body::Text(text.into())).await.expect("taken");
        let decided = tokio::time::timeout(WAIT_MAX, sent.decided()).await.expect("an answer in time");
        decided.expect("an open client").map(|ack| ack.seq)
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refused)) => Refusal::from_code(refused.code).expect("a known refusal"),
        other => panic!("not refused: {other:?}"),
    }
}

/// What was asked while one was away is told when he is back: on the same device as a change, on a new one with the list.
#[test]
fn a_request_made_while_one_is_away_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = NodeBuilder::new(&folder.path().join("data")).with(&["--contacts", "required"]).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let ann = Person::register(folder.path(), &node, "ann").await;
        let mut ben = Person::register(folder.path(), &node, "ben").await;
        let synced = |event| (event == Event::ContactsSynced).then_some(());
        ben.event(synced).await;
        ben.client.close().await.expect("closed");

        ann.client.request_contact(ben.user, "it is me").await.expect("asked");
        let address = || node.plain.expect("a plain listener").to_string().parse().expect("an address");
        let open = async |name: &str| {
            let options = ClientOptions::new(folder.path().join(name), address(), Security::Plain);
            let client = Client::open(options).await.expect("a client");
            let events = client.events();
            Person { client, events, user: ben.user }
        };
        let mut again = open("ben").await;
        assert_eq!(again.client.known_contacts().await.expect("read"), []);
        again.client.resume().await.expect("resumed");
        let row = again.row().await;
        assert_eq!((row.user, row.state, &row.text[..]), (ann.user, ContactState::Asked, "it is me"));
        again.event(synced).await;
        assert_eq!(again.client.known_contacts().await.expect("read"), std::slice::from_ref(&row));

        let mut new = open("ben's new device").await;
        new.client.login(&UserName::parse("ben").expect("a name"), "password").await.expect("logged in");
        new.event(synced).await;
        assert_eq!(new.client.known_contacts().await.expect("read"), [row]);
    });
    drop(runtime);
    assert!(node.stop().success(), "{}", node.errors());
}

fn run(contacts: &str, strangers: &str, test: impl AsyncFnOnce(Person, Person)) {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = ["--contacts", contacts, "--strangers", strangers];
    let mut node = NodeBuilder::new(&folder.path().join("data")).with(&policies).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let ann = Person::register(folder.path(), &node, "ann").await;
        let ben = Person::register(folder.path(), &node, "ben").await;
        test(ann, ben).await;
    });
    drop(runtime);
    assert!(node.stop().success(), "{}", node.errors());
    check(node.data()).expect("a clean folder");
}

#[test]
fn people_become_contacts_write_and_part() {
    run("required", "refuse", async |mut ann, mut ben| {
        assert!(ann.say(ben.user, "hello?").await.is_err(), "a stranger");
        let asked = ann.client.request_contact(ben.user, "it is me").await.expect("asked");
        assert_eq!(asked.state, ContactState::Requested);
        let row = ben.row().await;
        assert_eq!((row.user, row.state, &row.text[..]), (ann.user, ContactState::Asked, "it is me"));
        assert_eq!(refused(ann.client.accept_contact(ben.user).await), Refusal::NoRequest);
        let accepted = ben.client.accept_contact(ann.user).await.expect("accepted");
        assert_eq!(accepted.state, ContactState::Contact);
        assert_eq!(ann.row().await.state, ContactState::Requested);
        assert_eq!(ann.row().await.state, ContactState::Contact);
        assert_eq!(ann.say(ben.user, "hello!").await, Ok(1));

        let set = ann.client.set_contact(ben.user, "Benjamin", "friends").await.expect("set");
        assert_eq!((&set.remark[..], &set.group[..]), ("Benjamin", "friends"));
        let (contacts, cver) = ann.client.contacts(0).await.expect("contacts");
        assert_eq!(contacts, [set]);
        assert_eq!(ann.client.contacts(cver).await.expect("contacts"), (Vec::new(), cver));

        let blocked = ben.client.block(ann.user).await.expect("blocked");
        assert!(blocked.blocked);
        assert!(ann.say(ben.user, "are you there?").await.is_err());
        let (shown, _) = ann.client.contacts(0).await.expect("contacts");
        assert_eq!((shown[0].state, shown[0].cver), (ContactState::Contact, cver), "a block does not show");
        ben.client.unblock(ann.user).await.expect("unblocked");
        assert_eq!(ann.say(ben.user, "hello again").await, Ok(2));

        ben.client.remove_contact(ann.user).await.expect("removed");
        assert_eq!(ann.row().await.state, ContactState::None);
        assert!(ann.say(ben.user, "gone?").await.is_err());
        assert_eq!(refused(ann.client.set_contact(ben.user, "", "").await), Refusal::NotContact);

        ann.client.request_contact(ben.user, "").await.expect("asked");
        ben.client.refuse_contact(ann.user).await.expect("refused");
        let again = ann.client.request_contact(ben.user, "").await.expect("asked");
        assert_eq!(again.state, ContactState::Requested, "a refusal does not show");
    });
}

#[test]
fn a_strangers_message_stays_without_an_answer() {
    run("required", "silent", async |mut ann, ben| {
        let mut sent = ann.client.send(To::User(ben.user), Body::Text("hello?".into())).await.expect("taken");
        let counter = sent.counter();
        sent.on_disk().await.expect("kept");
        let unanswered =
            |event| if let Event::SendUnanswered { counter } = event { Some(counter) } else { None };
        assert_eq!(ann.event(unanswered).await, counter);
        assert_eq!(sent.state(), SendState::Unanswered);
        assert!(ben.client.conversations().await.expect("a list").is_empty());
    });
}
