//! The client dies at each of its writes, before and after the commit, and goes on from its folder.

use std::collections::BTreeSet;
use std::path::Path;

use wire::ConversationId;
use wire::scram::Credentials;

use super::*;
use crate::client::{Body, To};
use crate::event::StopCause;
use crate::store::HistoryItem;
use crate::store::crash::{self, Moment};

const EACH: usize = 5;

/// Whether the planned crash came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crashed {
    Yes,
    No,
}

/// One life of the client: it goes on with what is not sent yet while the other one talks too, until everything is there
/// or it dies. `told`: every message that was told, over all lives.
async fn live(folder: &Path, node: &Node, conversation: ConversationId, told: &mut Vec<u64>) -> Crashed {
    let client = reopened(folder, node).await;
    let mut events = client.events();
    let mut dead = client.connection();
    let crashed = tokio::select! {
        () = patiently(talk(&client, &mut events, node, conversation, told)) => Crashed::No,
        _ = dead.wait_for(|state| matches!(state, Connection::Stopped { cause: StopCause::Folder, .. })) => Crashed::Yes,
    };
    while let Some(event) = events.waiting() {
        note(&event, told); // told before it died
    }
    match crashed {
        Crashed::No if patiently(client.close()).await.is_ok() => Crashed::No,
        _ => Crashed::Yes, // in its last write, perhaps
    }
}

fn note(event: &Event, told: &mut Vec<u64>) {
    if let Event::Message { entry, .. } = event {
        told.push(entry.place.seq);
    }
}

async fn talk(
    client: &Client,
    events: &mut Events,
    node: &Node,
    conversation: ConversationId,
    told: &mut Vec<u64>,
) {
    let mine = |number: usize| format!("ann {number}");
    let waiting: BTreeSet<String> = match client.outgoing().await {
        Ok(sends) => sends.iter().map(|send| String::from_utf8_lossy(&send.body).into_owned()).collect(),
        Err(_) => return std::future::pending().await,
    };
    if client.resume().await.is_err() {
        return std::future::pending().await;
    }
    for number in 0..EACH {
        let stored = node.world().texts(conversation);
        if !stored.contains(&format!("ben {number}")) {
            node.world().say("ben", "ann", &format!("ben {number}"));
        }
        if waiting.contains(&mine(number)) || stored.contains(&mine(number)) {
            continue;
        }
        let sent = client.send(To::Conversation(conversation), Body::Text(mine(number))).await;
        let Ok(mut handle) = sent else { return std::future::pending().await };
        if handle.on_disk().await.is_err() {
            return std::future::pending().await; // it may or may not be kept: the next life looks
        }
    }
    loop {
        let (Ok(history), Ok(outgoing)) =
            (client.history(conversation, None, 100).await, client.outgoing().await)
        else {
            return std::future::pending().await;
        };
        if history.items.len() == 2 * EACH && outgoing.is_empty() {
            return;
        }
        match events.next().await {
            Some(event) => note(&event, told),
            None => return std::future::pending().await,
        }
    }
}

async fn check(folder: &Path, node: &Node, conversation: ConversationId, told: &[u64], what: &str) {
    let stored = node.world().texts(conversation);
    for who in ["ann", "ben"] {
        let of: Vec<&String> = stored.iter().filter(|text| text.starts_with(who)).collect();
        let expected: Vec<String> = (0..EACH).map(|number| format!("{who} {number}")).collect();
        assert_eq!(of, expected.iter().collect::<Vec<_>>(), "{what}: each once and in order");
    }
    let client = reopened(folder, node).await;
    let history = client.history(conversation, None, 100).await.expect("read");
    let here: Vec<String> = history
        .items
        .iter()
        .map(|item| match item {
            HistoryItem::Entry(entry) => String::from_utf8_lossy(&entry.body).into_owned(),
            HistoryItem::Gap(range) => panic!("{what}: {range:?}"),
        })
        .collect();
    assert_eq!(here, stored, "{what}: the store agrees with the node");
    let unique: BTreeSet<u64> = told.iter().copied().collect();
    assert_eq!(unique.len(), told.len(), "{what}: told twice: {told:?}");
    assert!(told.is_sorted(), "{what}: told out of order: {told:?}");
    patiently(client.close()).await.expect("closed");
}

async fn crash_at(nth: u32, moment: Moment) -> Crashed {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::plain().await;
    let nobody = Credentials { stored_key: [0; 32], server_key: [0; 32] };
    let ben = node.world().add_user("ben", nobody);
    let client = registered(folder.path(), &node, "ann").await;
    let conversation = client.conversation_with(ben).expect("two users");
    patiently(client.close()).await.expect("closed");
    node.world().faults = Faults { lost_acks: 2, double_pushes: 2, ..Faults::default() };
    crash::plan(folder.path(), nth, moment);
    let mut told = Vec::new();
    let crashed = live(folder.path(), &node, conversation, &mut told).await;
    if crashed == Crashed::Yes {
        crash::plan(folder.path(), nth % 3 + 1, moment); // and early in its second life
        live(folder.path(), &node, conversation, &mut told).await;
        crash::cancel(folder.path());
        assert_eq!(live(folder.path(), &node, conversation, &mut told).await, Crashed::No);
    }
    crash::cancel(folder.path());
    check(folder.path(), &node, conversation, &told, &format!("write {nth}, {moment:?}")).await;
    crashed
}

async fn crash_everywhere(moment: Moment) {
    let mut nth = 1;
    while crash_at(nth, moment).await == Crashed::Yes {
        nth += 1;
    }
    assert!(nth > EACH as u32, "only {nth} writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_before_any_commit_loses_and_doubles_nothing() {
    crash_everywhere(Moment::BeforeCommit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_commit_loses_and_doubles_nothing() {
    crash_everywhere(Moment::AfterCommit).await;
}
