//! A scripted node on loopback, and tests of the whole client against it.

mod answers;
mod connection_tests;
mod crash_tests;
mod message_tests;
mod node;
mod world;

use std::time::Duration;

use wire::name::UserName;

use crate::client::Client;
use crate::error::Error;
use crate::event::{Connection, Event, Events};
use crate::options::ClientOptions;
use crate::store::StoreError;
use crate::transport::{Address, FirstUse, Security, Trust};

pub(crate) use node::{Certificate, Node};
pub(crate) use world::Faults;

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) fn name(text: &str) -> UserName {
    UserName::parse(text).expect("a name")
}

pub(crate) fn options(folder: &std::path::Path, address: &Address, security: Security) -> ClientOptions {
    ClientOptions::new(folder, address.clone(), security)
}

pub(crate) fn remembered() -> Security {
    Security::Tls(Trust::Remembered { first_use: FirstUse::LoopbackOnly })
}

/// Waits, but not forever.
pub(crate) async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens")
}

/// Opens a folder that a dead client may still be leaving: a read that nobody waits for any more ends first.
pub(crate) async fn reopened(folder: &std::path::Path, node: &Node) -> Client {
    patiently(async {
        loop {
            match Client::open(options(folder, node.address(), Security::Plain)).await {
                Err(Error::Store(StoreError::InUse { .. })) => tokio::task::yield_now().await,
                opened => return opened.expect("a folder"),
            }
        }
    })
    .await
}

/// Opens a client on a plain connection and registers it.
pub(crate) async fn registered(folder: &std::path::Path, node: &Node, user: &str) -> Client {
    let client = Client::open(options(folder, node.address(), Security::Plain)).await.expect("a folder");
    patiently(client.register(&name(user), PASSWORD)).await.expect("registered");
    client
}

pub(crate) async fn until(client: &Client, is_it: impl FnMut(&Connection) -> bool) -> Connection {
    let mut connection = client.connection();
    patiently(connection.wait_for(is_it)).await.expect("an open client").clone()
}

pub(crate) async fn online(client: &Client) {
    until(client, |connection| matches!(connection, Connection::Online { .. })).await;
}

/// The first event that the function makes something of.
pub(crate) async fn event<T>(events: &mut Events, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    patiently(async {
        loop {
            if let Some(picked) = pick(events.next().await.expect("an open client")) {
                return picked;
            }
        }
    })
    .await
}
