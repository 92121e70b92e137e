//! Who is connected to whom, and what happens when not.

use wire::Refusal;
use wire::message::Move;

use super::*;
use crate::client::{Body, To};
use crate::options::Remember;
use crate::transport::{ConnectError, Fingerprint};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn a_certificate_met_on_loopback_is_remembered_and_then_held_to() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let (folder, node) = (folder(), Node::tls(&certificate).await);
    let client = Client::open(options(folder.path(), node.address(), remembered())).await.expect("a folder");
    let mut events = client.events();
    patiently(client.register(&name("ann"), PASSWORD))
        .await
        .expect("registered over TLS with channel binding");
    let met = event(&mut events, |event| match event {
        Event::CertificateRemembered { fingerprint, .. } => Some(fingerprint),
        _ => None,
    });
    assert_eq!(met.await, certificate.fingerprint);
    let node = node.restart(Some(&other)).await;
    let stopped = until(&client, |connection| matches!(connection, Connection::Stopped { .. })).await;
    let Connection::Stopped { reason, .. } = stopped else { panic!("{stopped:?}") };
    assert!(reason.contains(&other.fingerprint.to_string()), "{reason}");
    patiently(client.clone().close()).await.expect("closed");
    drop(client);
    let client = Client::open(options(folder.path(), node.address(), remembered())).await.expect("a folder");
    client.resume().await.expect("an open client");
    until(&client, |connection| matches!(connection, Connection::Stopped { .. })).await;
    let _node = node.restart(Some(&certificate)).await;
    client.resume().await.expect("an open client");
    online(&client).await;
}

#[tokio::test]
async fn a_given_pin_decides() {
    let certificate = Certificate::new();
    let node = Node::tls(&certificate).await;
    let pinned = |pin| Security::Tls(Trust::Pinned(vec![pin]));
    let (right, wrong) = (folder(), folder());
    let client = Client::open(options(wrong.path(), node.address(), pinned(Fingerprint([1; 32])))).await;
    let refused = patiently(client.expect("a folder").register(&name("ann"), PASSWORD)).await;
    assert!(matches!(refused, Err(Error::Connect(ConnectError::WrongCertificate { .. }))), "{refused:?}");
    let client = Client::open(options(right.path(), node.address(), pinned(certificate.fingerprint))).await;
    let client = client.expect("a folder");
    patiently(client.register(&name("ann"), PASSWORD)).await.expect("the right pin");
    patiently(client.close()).await.expect("closed");
    // The node gets a new certificate: the remembered pin does not fit until the new one was given once.
    let new = Certificate::new();
    let node = node.restart(Some(&new)).await;
    for (security, fits) in [(remembered(), false), (pinned(new.fingerprint), true), (remembered(), true)] {
        let client = Client::open(options(right.path(), node.address(), security)).await.expect("a folder");
        client.resume().await.expect("open");
        let is_decided =
            |state: &Connection| matches!(state, Connection::Online { .. } | Connection::Stopped { .. });
        let state = until(&client, is_decided).await;
        assert_eq!(matches!(state, Connection::Online { .. }), fits, "{state:?}");
        patiently(client.close()).await.expect("closed");
    }
}

#[tokio::test]
async fn roots_decide_by_chain_and_name() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let (folder, node) = (folder(), Node::tls(&certificate).await);
    let write = |file: &str, pem: &str| {
        let path = folder.path().join(file);
        std::fs::write(&path, pem).expect("written");
        Security::Tls(Trust::Roots(path))
    };
    let (right, wrong, empty) =
        (write("right.pem", &certificate.pem), write("wrong.pem", &other.pem), write("empty.pem", ""));
    for (security, account) in [(wrong, "a"), (empty, "b")] {
        let client = Client::open(options(&folder.path().join(account), node.address(), security)).await;
        let refused = patiently(client.expect("a folder").register(&name("ann"), PASSWORD)).await;
        assert!(matches!(refused, Err(Error::Connect(ref error)) if error.is_final()), "{refused:?}");
    }
    let client = Client::open(options(&folder.path().join("c"), node.address(), right)).await;
    patiently(client.expect("a folder").register(&name("ann"), PASSWORD)).await.expect("a trusted chain");
}

#[tokio::test]
async fn logins_fail_by_the_right_fault() {
    let node = Node::plain().await;
    let (ann, ben) = (folder(), folder());
    let client = registered(ann.path(), &node, "ann").await;
    let again = Client::open(options(ann.path(), node.address(), Security::Plain)).await;
    assert!(matches!(again, Err(Error::Store(StoreError::InUse { .. }))), "the folder is in use");
    let other = Client::open(options(ben.path(), node.address(), Security::Plain)).await.expect("a folder");
    let refused = patiently(other.login(&name("ann"), "wrong")).await;
    assert!(
        matches!(&refused, Err(Error::Refused(no)) if no.refusal() == Some(Refusal::LoginFailed)),
        "{refused:?}"
    );
    let refused = patiently(other.register(&name("ann"), PASSWORD)).await;
    assert!(
        matches!(&refused, Err(Error::Refused(no)) if no.refusal() == Some(Refusal::NameTaken)),
        "{refused:?}"
    );
    patiently(other.login(&name("ann"), PASSWORD)).await.expect("the right password");
    let misuse = patiently(client.login(&name("ann"), PASSWORD)).await;
    assert!(matches!(misuse, Err(Error::Misuse(_))), "logged in already");
    let address = node.address().clone();
    drop(node);
    let away = folder();
    let lonely = Client::open(options(away.path(), &address, Security::Plain)).await.expect("a folder");
    let failed = patiently(lonely.login(&name("ann"), PASSWORD)).await;
    assert!(matches!(failed, Err(Error::Connect(ConnectError::Tcp { .. }))), "{failed:?}");
}

#[tokio::test]
async fn a_node_that_restarts_is_found_again_and_what_was_written_meanwhile_is_sent() {
    let (node, folder) = (Node::plain().await, folder());
    let ben = tempfile::tempdir().expect("a folder");
    let _ben = registered(ben.path(), &node, "ben").await;
    let client = registered(folder.path(), &node, "ann").await;
    let peer = patiently(client.find_user(&name("ben"))).await.expect("a user").id;
    let mut connection = client.connection();
    node.world().close_all();
    let node = node.restart(None).await;
    patiently(connection.wait_for(|state| matches!(state, Connection::Waiting { .. }))).await.expect("open");
    let mut sent = client.send(To::User(peer), Body::Text("hello".into())).await.expect("taken offline");
    let ack = patiently(sent.decided()).await.expect("open").expect("acknowledged");
    assert_eq!(ack.seq, 1);
    assert_eq!(node.world().texts(sent.conversation()), ["hello"]);
}

#[tokio::test]
async fn a_move_leads_to_the_address_it_names_and_an_empty_one_to_the_same() {
    let (node, folder) = (Node::plain().await, folder());
    let second = node.second().await;
    let client = registered(folder.path(), &node, "ann").await;
    for addresses in [Vec::new(), vec![second.address().to_string()]] {
        let goal = if addresses.is_empty() { node.address() } else { second.address() }.clone();
        let mut events = client.events();
        node.world().push_to_all(|encoder| {
            encoder.move_away(&Move { addresses, reconnect_ms: 1, deadline_ms: 10_000 })
        });
        let resumed = event(&mut events, |event| match event {
            Event::Connection(Connection::Online { resumed }) => Some(resumed),
            _ => None,
        });
        assert!(resumed.await, "the ticket serves at {goal}");
    }
    let address = node.address().clone();
    drop(node); // the second serves on
    let (other, ben) = (tempfile::tempdir().expect("a folder"), name("ben"));
    let gone = Client::open(options(other.path(), &address, Security::Plain)).await.expect("a folder");
    assert!(patiently(gone.register(&ben, PASSWORD)).await.is_err(), "nobody listens there any more");
    let unknown = patiently(client.find_user(&ben)).await;
    assert!(matches!(unknown, Err(Error::Refused(_))), "answered at the new address: {unknown:?}");
}

#[tokio::test]
async fn a_move_to_where_nobody_listens_leads_back_home() {
    let (node, folder) = (Node::plain().await, folder());
    let gone = node.second().await;
    let nowhere = gone.address().to_string();
    drop(gone);
    let client = registered(folder.path(), &node, "ann").await;
    let mut events = client.events();
    let addresses = vec![nowhere, "not an address".into()];
    node.world()
        .push_to_all(|encoder| encoder.move_away(&Move { addresses, reconnect_ms: 1, deadline_ms: 10_000 }));
    let back = event(&mut events, |event| match event {
        Event::Connection(Connection::Online { resumed }) => Some(resumed),
        _ => None,
    });
    assert!(back.await, "the ticket serves at home");
}

#[tokio::test]
async fn without_ticket_and_keys_the_password_is_asked_for() {
    for remember in [Remember::TicketOnly, Remember::Keys] {
        let (node, folder) = (Node::plain().await, folder());
        let mut with = options(folder.path(), node.address(), Security::Plain);
        with.remember = remember;
        let client = Client::open(with.clone()).await.expect("a folder");
        patiently(client.register(&name("ann"), PASSWORD)).await.expect("registered");
        patiently(client.close()).await.expect("closed");
        node.world().tickets.clear();
        let client = Client::open(with).await.expect("a folder");
        client.resume().await.expect("open");
        match remember {
            Remember::Keys => online(&client).await,
            Remember::TicketOnly => {
                until(&client, |state| matches!(state, Connection::LoginNeeded { .. })).await;
                patiently(client.login(&name("ann"), PASSWORD)).await.expect("logged in");
            }
        }
    }
}

#[tokio::test]
async fn after_logout_the_folder_cannot_log_in_by_itself() {
    let (node, folder) = (Node::plain().await, folder());
    let client = registered(folder.path(), &node, "ann").await;
    patiently(client.logout()).await.expect("logged out");
    assert!(node.world().tickets.is_empty());
    patiently(client.close()).await.expect("closed");
    let client =
        Client::open(options(folder.path(), node.address(), Security::Plain)).await.expect("a folder");
    client.resume().await.expect("open");
    until(&client, |state| matches!(state, Connection::LoginNeeded { .. })).await;
}
