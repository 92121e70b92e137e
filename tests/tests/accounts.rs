//! Accounts on the real node, by the SDK and the operator's commands.

use std::path::Path;
use std::time::Duration;

use client::transport::Security;
use client::{Body, Client, ClientOptions, Connection, Error, Event, Events, StopCause, To};
use tests::harness::{Node, NodeBuilder, check};
use wire::profile::{Audience, Profile, ProfileField, Shown};
use wire::{Refusal, UserId, UserName};

/// How long an answer or an event may take before the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A device: its folder is named by `folder`, its account by `name`.
struct Device {
    client: Client,
    events: Events,
    user: UserId,
}

async fn open(node: &Node, folder: &Path) -> Client {
    let address = node.plain.expect("a plain listener").to_string().parse().expect("an address");
    Client::open(ClientOptions::new(folder.to_owned(), address, Security::Plain)).await.expect("a client")
}

fn name(name: &str) -> UserName {
    UserName::parse(name).expect("a name")
}

impl Device {
    async fn register(node: &Node, folder: &Path, person: &str) -> Self {
        let client = open(node, folder).await;
        let events = client.events();
        let user = client.register(&name(person), "password").await.expect("an account").user;
        Self { client, events, user }
    }

    async fn log_in(node: &Node, folder: &Path, person: &str, password: &str) -> Result<Self, Error> {
        let client = open(node, folder).await;
        let events = client.events();
        let user = client.login(&name(person), password).await?.user;
        Ok(Self { client, events, user })
    }

    /// Why the connection ended for good.
    async fn stopped(&mut self) -> StopCause {
        let stopped = |event| match event {
            Event::Connection(Connection::Stopped { cause, .. }) => Some(cause),
            _ => None,
        };
        self.event(stopped).await
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
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refused)) => Refusal::from_code(refused.code).expect("a known refusal"),
        other => panic!("not refused: {other:?}"),
    }
}

fn run(options: &[&str], test: impl AsyncFnOnce(&Node, &Path)) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = NodeBuilder::new(&folder.path().join("data")).with(options).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test(&node, folder.path()));
    drop(runtime);
    assert!(node.stop().success(), "{}", node.errors());
    check(node.data()).expect("a clean folder");
}

#[test]
fn a_profile_is_set_seen_and_told_to_the_own_devices() {
    run(&["--contacts", "required"], async |node, folder| {
        let ann = Device::register(node, &folder.join("ann"), "ann").await;
        let mut phone = Device::log_in(node, &folder.join("phone"), "ann", "password").await.expect("in");
        let ben = Device::register(node, &folder.join("ben"), "ben").await;
        let field = ProfileField { name: "city".into(), value: "Ulm".into(), to: Audience::Everybody };
        let profile = Profile {
            nickname: Shown { value: "Annie".into(), to: Audience::Everybody },
            email: Shown { value: "ann@example.org".into(), to: Audience::Contacts },
            fields: vec![field.clone()],
            ..Profile::default()
        };
        let changed = ann.client.set_profile(profile.clone()).await.expect("set");
        assert_eq!((changed.version, &changed.profile), (1, &profile));
        let told = |event| if let Event::ProfileChanged(changed) = event { Some(changed) } else { None };
        assert_eq!(*phone.event(told).await, changed);
        let found = ben.client.profile(ann.user).await.expect("a profile");
        assert_eq!((found.name.as_str(), found.profile.nickname.value.as_str()), ("ann", "Annie"));
        assert_eq!((found.profile.email.value.as_str(), &found.profile.fields), ("", &vec![field]));
        ann.client.request_contact(ben.user, "").await.expect("asked");
        ben.client.accept_contact(ann.user).await.expect("accepted");
        // The list that says so follows.
        while ben.client.profile(ann.user).await.expect("a profile").profile.email.value.is_empty() {}
        let long = Profile { phone: Shown { value: "1".repeat(129), to: Audience::Nobody }, ..profile };
        assert_eq!(refused(ann.client.set_profile(long).await), Refusal::BadField);
        let nobody = UserId(ann.user.0 + (777 << 10));
        assert_eq!(refused(ben.client.profile(nobody).await), Refusal::UnknownUser);
    });
}

#[test]
fn a_changed_password_ends_the_other_sessions_and_their_tickets() {
    run(&[], async |node, folder| {
        let ann = Device::register(node, &folder.join("ann"), "ann").await;
        let mut phone = Device::log_in(node, &folder.join("phone"), "ann", "password").await.expect("in");
        let wrong = ann.client.change_password("guess", "new password").await;
        assert_eq!(refused(wrong), Refusal::WrongPassword);
        ann.client.change_password("password", "new password").await.expect("changed");
        assert_eq!(phone.stopped().await, StopCause::SessionEnded);
        phone.client.close().await.expect("closed");
        let old = Device::log_in(node, &folder.join("phone"), "ann", "password").await;
        assert_eq!(refused(old.map(|device| device.user)), Refusal::LoginFailed);
        let new = Device::log_in(node, &folder.join("web"), "ann", "new password").await.expect("in");
        assert_eq!(new.user, ann.user);
        // This session has its new ticket, and comes back with it.
        let Device { client, user, .. } = ann;
        client.close().await.expect("closed");
        let client = open(node, &folder.join("ann")).await;
        client.resume().await.expect("taken");
        let found = async {
            loop {
                if let Ok(found) = client.profile(user).await {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(WAIT_MAX, found).await.expect("it is in without a password");
        assert_eq!(found.name, "ann");
    });
}

#[test]
fn a_deleted_account_shows_as_such_and_its_chats_stay() {
    run(&["--contacts", "open"], async |node, folder| {
        let ann = Device::register(node, &folder.join("ann"), "ann").await;
        let ben = Device::register(node, &folder.join("ben"), "ben").await;
        let mut sent = ann.client.send(To::User(ben.user), Body::Text("hello".into())).await.expect("taken");
        sent.decided().await.expect("an open client").expect("stored");
        ann.client.delete_account("password").await.expect("deleted");
        let found = ben.client.profile(ann.user).await.expect("a profile");
        assert_eq!((found.deleted, found.name.as_str()), (true, "ann"));
        let chat = ben.client.conversation_with(ann.user).expect("a chat");
        let history = ben.client.history(chat, None, 10).await.expect("a history");
        assert_eq!(history.items.len(), 1);
        let again = Device::log_in(node, &folder.join("again"), "ann", "password").await;
        assert_eq!(refused(again.map(|device| device.user)), Refusal::LoginFailed);
        let taken = open(node, &folder.join("other")).await.register(&name("ann"), "password").await;
        assert_eq!(refused(taken), Refusal::NameTaken);
    });
}

#[test]
fn the_operator_disables_shows_resets_and_deletes() {
    run(&[], async |node, folder| {
        let tool = |arguments: &[&str]| {
            let output = node.tool(arguments);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            text
        };
        let mut ann = Device::register(node, &folder.join("ann"), "ann").await;
        assert!(tool(&["user", "disable", "ann"]).contains("sessions ended 1"));
        assert_eq!(ann.stopped().await, StopCause::SessionEnded);
        let out = Device::log_in(node, &folder.join("phone"), "ann", "password").await;
        assert_eq!(refused(out.map(|device| device.user)), Refusal::AccountDisabled);
        assert!(tool(&["user", "show", "ann"]).contains("disabled since"));
        tool(&["user", "enable", "ann"]);
        let mut phone = Device::log_in(node, &folder.join("web"), "ann", "password").await.expect("in");
        let reset = tool(&["user", "reset", "ann"]);
        let code = reset.split_whitespace().last().expect("a code").to_owned();
        assert_eq!(phone.stopped().await, StopCause::SessionEnded);
        let client = open(node, &folder.join("new")).await;
        let wrong = client.redeem_code(&name("ann"), "abcde-fgh23", "new password").await;
        assert_eq!(refused(wrong), Refusal::CodeRefused);
        let me = client.redeem_code(&name("ann"), &code, "new password").await.expect("a new password");
        assert_eq!(me.user, ann.user);
        let again =
            open(node, &folder.join("more")).await.redeem_code(&name("ann"), &code, "other one").await;
        assert_eq!(refused(again), Refusal::CodeRefused);
        tool(&["user", "delete", "ann"]);
        assert!(tool(&["user", "list"]).contains("deleted"));
        assert!(!node.tool(&["user", "enable", "ann"]).status.success());
    });
}
