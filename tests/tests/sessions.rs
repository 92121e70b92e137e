//! Devices and sessions on the real node, by the SDK and by `ringtalk user`.

use std::path::Path;
use std::time::Duration;

use client::transport::Security;
use client::{Client, ClientOptions, Connection, Error, StopCause};
use tests::harness::{Node, NodeBuilder, check};
use wire::device::Device;
use wire::message::DeviceClass;
use wire::{DeviceId, Refusal, UserName};

/// How long an answer or the end of a session may take before the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A client of ann in a folder of its own, connected to nothing yet.
async fn open(folder: &Path, node: &Node, name: &str, class: DeviceClass) -> Client {
    let address = node.plain.expect("a plain listener").to_string().parse().expect("an address");
    let mut options = ClientOptions::new(folder.join(name), address, Security::Plain);
    options.device_name = name.to_owned();
    options.device_class = class;
    Client::open(options).await.expect("a client")
}

fn ann() -> UserName {
    UserName::parse("ann").expect("a name")
}

/// Logs in as ann with her password.
async fn log_in(folder: &Path, node: &Node, name: &str, class: DeviceClass) -> Client {
    let client = open(folder, node, name, class).await;
    client.login(&ann(), "password").await.expect("a login");
    client
}

/// Waits until the connection is over for good, and gives why.
async fn stopped(client: &Client) -> String {
    let mut connection = client.connection();
    let over = connection.wait_for(|state| matches!(state, Connection::Stopped { .. }));
    let state =
        tokio::time::timeout(WAIT_MAX, over).await.expect("it ends in time").expect("an open client").clone();
    match state {
        Connection::Stopped { cause: StopCause::SessionEnded, reason } => reason,
        other => panic!("not ended: {other:?}"),
    }
}

fn named<'a>(devices: &'a [Device], name: &str) -> &'a Device {
    devices.iter().find(|device| device.name == name).expect("it is listed")
}

fn run(options: &[&str], test: impl AsyncFnOnce(&Path, &mut Node)) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = NodeBuilder::new(&folder.path().join("data")).with(options).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test(folder.path(), &mut node));
    drop(runtime);
    assert!(node.stop().success(), "{}", node.errors());
    check(node.data()).expect("a clean folder");
}

#[test]
fn a_phone_sees_the_desktop_and_ends_it_and_its_ticket() {
    run(&["--shards", "2"], async |folder, node| {
        let desktop = open(folder, node, "desktop", DeviceClass::Desktop).await;
        desktop.register(&ann(), "password").await.expect("an account");
        let phone = log_in(folder, node, "phone", DeviceClass::Mobile).await;
        let devices = phone.devices().await.expect("a list");
        let (other, own) = (named(&devices, "desktop"), named(&devices, "phone"));
        assert_eq!((other.class, other.online, other.own), (DeviceClass::Desktop, true, false));
        assert_eq!((own.class, own.online, own.own), (DeviceClass::Mobile, true, true));
        assert_eq!(other.address, "127.0.0.1");

        assert_eq!(phone.end_session(other.device).await.expect("it is ended"), 1);
        let why = stopped(&desktop).await;
        assert!(why.contains("from another device"), "{why}");
        assert!(!named(&phone.devices().await.expect("a list"), "desktop").online);
        match phone.end_session(DeviceId(99)).await {
            Err(Error::Refused(refused)) => assert_eq!(refused.code, Refusal::UnknownDevice.code()),
            other => panic!("not refused: {other:?}"),
        }
        // Its ticket serves no more, not even after the node died.
        desktop.close().await.expect("it closes");
        node.kill();
        node.restart();
        let desktop = open(folder, node, "desktop", DeviceClass::Desktop).await;
        let resumed = tokio::time::timeout(WAIT_MAX, desktop.resume()).await.expect("an answer in time");
        let mut connection = desktop.connection();
        let asked = connection.wait_for(|state| matches!(state, Connection::LoginNeeded { .. }));
        tokio::time::timeout(WAIT_MAX, asked)
            .await
            .expect("the password is asked for")
            .expect("an open client");
        drop(resumed);
        desktop.login(&ann(), "password").await.expect("the password serves");
        desktop.close().await.expect("it closes");
        phone.close().await.expect("it closes");
    });
}

#[test]
fn a_new_login_takes_over_where_one_session_of_a_class_is_allowed() {
    run(&["--shards", "3", "--sessions", "one-per-class"], async |folder, node| {
        let first = open(folder, node, "first", DeviceClass::Desktop).await;
        first.register(&ann(), "password").await.expect("an account");
        let phone = log_in(folder, node, "phone", DeviceClass::Mobile).await;
        let second = log_in(folder, node, "second", DeviceClass::Desktop).await;
        let why = stopped(&first).await;
        assert!(why.contains("another device of the same class"), "{why}");
        let devices = phone.devices().await.expect("a list");
        let online = |name: &str| named(&devices, name).online;
        assert_eq!((online("first"), online("second"), online("phone")), (false, true, true));
        for client in [first, second, phone] {
            client.close().await.expect("it closes");
        }
    });
}

#[test]
fn the_operator_lists_and_ends_sessions() {
    run(&["--shards", "2"], async |folder, node| {
        let desktop = open(folder, node, "desktop", DeviceClass::Desktop).await;
        desktop.register(&ann(), "password").await.expect("an account");
        let output = node.tool(&["user", "sessions", "ann"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("desktop  yes"), "{text}");
        let output = node.tool(&["user", "end", "ann"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("sessions ended 1"), "{text}");
        let why = stopped(&desktop).await;
        assert!(why.contains("operator ended"), "{why}");
        assert!(!node.tool(&["user", "sessions", "nobody"]).status.success());
        desktop.close().await.expect("it closes");
    });
}
