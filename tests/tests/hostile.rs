//! Peers that misbehave. Each ends in a named refusal or a closed connection with a counted reason; nobody else notices.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tests::harness::{Node, NodeBuilder, Protection, RawClient};
use wire::decode::EventBody;
use wire::frame::{Header, build};
use wire::message::Hello;
use wire::{Command, Refusal, UserId};

/// A node, its folder, and two users who go on chatting whatever happens.
struct Scene {
    node: Node,
    ann: RawClient,
    bob: RawClient,
    said: u64,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let node = NodeBuilder::new(&folder.path().join("data")).with(more).start();
        let plain = node.plain.expect("a plain listener");
        let ann = RawClient::new_user(plain, Protection::Plain, "ann");
        let bob = RawClient::new_user(plain, Protection::Plain, "bob");
        let mut scene = Self { node, ann, bob, said: 0, _folder: folder };
        scene.bystanders_chat();
        scene
    }

    fn plain(&self) -> SocketAddr {
        self.node.plain.expect("a plain listener")
    }

    /// Nobody else noticed.
    fn bystanders_chat(&mut self) {
        self.said += 1;
        let text = format!("message {}", self.said);
        let answer = self.ann.send_text(self.bob.user, self.said, self.said - 1, &text);
        assert!(matches!(answer, EventBody::Sent(_)), "{answer:?}");
        loop {
            if let EventBody::Message(message) = self.bob.next_event() {
                assert_eq!(message.entry.body, text.as_bytes());
                return;
            }
        }
    }
}

fn assert_refused(answer: &EventBody, refusal: Refusal) {
    match answer {
        EventBody::Refused(refused) => {
            assert_eq!(Refusal::from_code(refused.code), Some(refusal), "{refused:?}");
            assert_eq!((refused.name.as_str(), refused.reason.as_str()), (refusal.name(), refusal.reason()));
        }
        other => panic!("{other:?} instead of {refusal:?}"),
    }
}

fn assert_refused_and_closed(client: &mut RawClient, refusal: Refusal) {
    let events = client.until_closed();
    let refused = events.iter().find(|event| matches!(event, EventBody::Refused(_)));
    assert_refused(refused.unwrap_or_else(|| panic!("no refusal among {events:?}")), refusal);
}

#[test]
fn an_unsupported_version_is_told_the_supported_range() {
    let mut scene = Scene::new(&[]);
    let mut client = RawClient::connect(scene.plain(), Protection::Plain);
    let hello = Hello { version_min: 7, version_max: 9, features: 0, software: "later" };
    let frame = client.encoder.hello(1, &hello);
    client.write(&frame);
    let events = client.until_closed();
    let Some(EventBody::Refused(refused)) = events.first() else { panic!("{events:?}") };
    assert_eq!(Refusal::from_code(refused.code), Some(Refusal::UnsupportedVersion));
    assert_eq!(
        refused.detail,
        u64::from(wire::limits::VERSION_MIN) << 16 | u64::from(wire::limits::VERSION_MAX)
    );
    scene.bystanders_chat();
    assert!(scene.node.closes("unsupported_version") > 0);
}

#[test]
fn a_frame_longer_than_allowed_closes() {
    let mut scene = Scene::new(&[]);
    for length in [wire::limits::FRAME_LEN_MAX_BEFORE_LOGIN as u32 + 1, u32::MAX] {
        let mut client = RawClient::greet(scene.plain(), Protection::Plain);
        client.write(&length.to_le_bytes());
        assert_refused_and_closed(&mut client, Refusal::FrameTooLong);
    }
    let mut client = RawClient::new_user(scene.plain(), Protection::Plain, "long");
    client.write(&(wire::limits::FRAME_LEN_MAX as u32 + 1).to_le_bytes());
    assert_refused_and_closed(&mut client, Refusal::FrameTooLong);
    scene.bystanders_chat();
    assert!(scene.node.closes("frame_too_long") >= 3);
}

#[test]
fn a_body_that_does_not_verify_is_refused() {
    let mut scene = Scene::new(&[]);
    let mut client = RawClient::new_user(scene.plain(), Protection::Plain, "garbler");
    let conversation = client.chat_with(scene.bob.user);
    let good = client.encoder.mark(5, conversation, wire::message::MarkKind::Read, 1);
    let frame = &good[wire::frame::LENGTH_LEN..];
    let with_length = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let trailing = with_length(&[frame, b"\0"].concat());
    let truncated = with_length(&frame[..frame.len() - 1]);
    let key_only = with_length(&frame[..wire::frame::HEADER_LEN + 16]);
    let body = build(
        Header { id: Command::Mark.id(), request: 5 },
        &conversation.to_bytes(),
        &[8, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3, 4],
    );
    for bytes in [trailing, truncated, key_only, body.to_vec()] {
        let mut client = RawClient::greet(scene.plain(), Protection::Plain);
        client.log_in("garbler", "password");
        client.write(&bytes);
        let answer = client.next_frame().expect("a refusal").event;
        assert_refused(&answer, Refusal::Malformed);
    }
    scene.bystanders_chat();
    assert!(scene.node.counter("ringtalk_refusals_total{code=\"malformed\"}") >= 4);
}

#[test]
fn garbage_for_ever_ends_in_a_closed_connection() {
    let mut scene = Scene::new(&[]);
    let mut client = RawClient::greet(scene.plain(), Protection::Plain);
    let frame = build(Header { id: Command::Ping.id(), request: 1 }, &[], b"not a body");
    for _ in 0..10_000 {
        client.write(&frame);
    }
    let events = client.until_closed();
    assert!(events.iter().any(|event| matches!(event, EventBody::Refused(_))));
    scene.bystanders_chat();
    assert!(scene.node.closes("malformed") > 0);
}

#[test]
fn an_unknown_command_is_refused() {
    let mut scene = Scene::new(&[]);
    for id in [0, 999, u16::MAX] {
        let mut client = RawClient::greet(scene.plain(), Protection::Plain);
        client.write(&build(Header { id, request: 3 }, &[], b""));
        let answer = client.next_frame().expect("a refusal");
        assert_eq!(answer.request, 3);
        assert_refused(&answer.event, Refusal::UnknownCommand);
    }
    scene.bystanders_chat();
}

#[test]
fn a_command_in_the_wrong_phase_is_refused() {
    let mut scene = Scene::new(&[]);
    let user = 1_025u64.to_le_bytes();
    let owner = |command: Command| [user, user].concat()[..command.row().owner.key_len()].to_vec();
    for command in Command::ALL {
        // Nothing but Hello comes first; nothing that needs a login is done without one.
        let mut stranger = RawClient::connect(scene.plain(), Protection::Plain);
        if *command != Command::Hello {
            stranger.write(&build(Header { id: command.id(), request: 1 }, &owner(*command), b""));
            assert_refused(&stranger.next_frame().expect("a refusal").event, Refusal::WrongPhase);
        }
        let mut greeted = RawClient::greet(scene.plain(), Protection::Plain);
        greeted.write(&build(Header { id: command.id(), request: 9 }, &owner(*command), b""));
        let answer = greeted.next_frame().expect("a refusal").event;
        match command.row().phase {
            wire::command::Phase::BeforeLogin | wire::command::Phase::Any => {
                assert_refused(&answer, Refusal::Malformed);
            }
            _ => assert_refused(&answer, Refusal::WrongPhase),
        }
    }
    scene.bystanders_chat();
}

#[test]
fn wrong_proofs_are_all_refused_alike() {
    let mut scene = Scene::new(&[]);
    let plain = scene.plain();
    let proof_for = |client: &mut RawClient, name: &str, password: &str| {
        let (start, answer) = client.start_login(name);
        let EventBody::Challenge(challenge) = answer else { panic!("{answer:?}") };
        let challenged = start.handle_server_first(&challenge.server_first).expect("proper terms");
        let keys = wire::scram::stretch(password, challenged.salt(), challenged.iterations()).expect("terms");
        challenged.prove(&keys, &client.binding).message().to_owned()
    };
    // Another challenge's proof.
    let mut first = RawClient::greet(plain, Protection::Plain);
    let mut second = RawClient::greet(plain, Protection::Plain);
    let first_proof = proof_for(&mut first, "ann", "password");
    let _ = proof_for(&mut second, "ann", "password");
    assert_refused(&second.prove(&first_proof), Refusal::LoginFailed);
    // A proof that served already.
    assert!(matches!(first.prove(&first_proof), EventBody::LoggedIn(_)));
    let mut replayer = RawClient::greet(plain, Protection::Plain);
    let _ = proof_for(&mut replayer, "ann", "password");
    assert_refused(&replayer.prove(&first_proof), Refusal::LoginFailed);
    // A challenge serves once.
    let mut wrong = RawClient::greet(plain, Protection::Plain);
    let bad = proof_for(&mut wrong, "ann", "not the password");
    assert_refused(&wrong.prove(&bad), Refusal::LoginFailed);
    let good = first_proof.clone();
    assert_refused(&wrong.prove(&good), Refusal::WrongPhase);
    // Nobody of that name.
    let mut nobody = RawClient::greet(plain, Protection::Plain);
    let proof = proof_for(&mut nobody, "nobody-at-all", "password");
    assert_refused(&nobody.prove(&proof), Refusal::LoginFailed);
    scene.bystanders_chat();
}

#[test]
fn three_failures_close_the_connection() {
    let mut scene = Scene::new(&[]);
    RawClient::greet(scene.plain(), Protection::Plain).register("carl", "right");
    let mut client = RawClient::greet(scene.plain(), Protection::Plain);
    for _ in 0..3 {
        match client.try_log_in("carl", "wrong") {
            EventBody::Refused(_) => {}
            other => panic!("{other:?}"),
        }
    }
    client.until_closed();
    scene.bystanders_chat();
    assert!(scene.node.closes("too_many_failures") > 0);
}

#[test]
fn a_tampered_ticket_is_refused() {
    let mut scene = Scene::new(&[]);
    let mut client = RawClient::greet(scene.plain(), Protection::Plain);
    client.register("dora", "password");
    let ticket = client.log_in("dora", "password").ticket;
    assert!(!ticket.is_empty());
    for at in [0, ticket.len() / 2, ticket.len() - 1] {
        let mut tampered = ticket.to_vec();
        tampered[at] ^= 1;
        let mut thief = RawClient::greet(scene.plain(), Protection::Plain);
        let answer = thief.ask(|encoder, request| encoder.resume(request, &tampered, 0));
        assert_refused(&answer, Refusal::TicketRefused);
    }
    let mut honest = RawClient::greet(scene.plain(), Protection::Plain);
    let answer = honest.ask(|encoder, request| encoder.resume(request, &ticket, 0));
    assert!(matches!(answer, EventBody::Resumed(_)), "{answer:?}");
    scene.bystanders_chat();
}

/// Connections from many loopback addresses.
fn connect_from(server: SocketAddr, last: u8) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 2, last)), 0);
    socket.bind(&local.into()).expect("a loopback address");
    socket.connect(&server.into()).expect("the node accepts");
    socket.into()
}

#[test]
fn ten_thousand_silent_connections_go_away_and_leave_no_memory() {
    let limits =
        ["--login-timeout", "3", "--unauthenticated-max", "12000", "--connections-per-address", "1024"];
    let mut scene = Scene::new(&limits);
    let mut before = 0;
    // The first wave makes the tables as large as they get.
    for wave in 0..2 {
        let silent: Vec<TcpStream> =
            (0..10_000).map(|index| connect_from(scene.plain(), 1 + (index / 1_000) as u8)).collect();
        scene.bystanders_chat();
        for mut stream in &silent {
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
            let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
        }
        drop(silent);
        scene.bystanders_chat();
        if wave == 0 {
            before = scene.node.anonymous_bytes();
        }
    }
    let after = scene.node.anonymous_bytes();
    assert!(after < before + (8 << 20), "memory grew from {before} to {after} bytes");
    assert!(scene.node.closes("login_timeout") >= 20_000);
}

#[test]
fn one_byte_per_second_is_not_a_login() {
    let mut scene = Scene::new(&["--login-timeout", "2"]);
    let mut stream = TcpStream::connect(scene.plain()).expect("the node accepts");
    let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "slow" };
    let frame = wire::Encoder::new().hello(1, &hello);
    let begin = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket");
    for byte in frame.iter() {
        let sent = stream.write_all(&[*byte]);
        // The wait for an answer is the second between two bytes.
        let read = std::io::Read::read(&mut stream, &mut [0; 64]);
        let closed = sent.is_err()
            || matches!(read, Ok(0))
            || read.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
        if closed {
            scene.bystanders_chat();
            assert!(scene.node.closes("login_timeout") > 0);
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "still connected");
    }
    panic!("a whole frame went through in {:?}", begin.elapsed());
}

#[test]
fn a_client_that_never_reads_costs_bounded_memory_and_loses_nothing() {
    let mut scene = Scene::new(&[]);
    let mut deaf = RawClient::new_user(scene.plain(), Protection::Plain, "deaf");
    let user: UserId = deaf.user;
    let before = scene.node.anonymous_bytes();
    let text = "x".repeat(32 * 1024);
    let count = 1_000;
    for n in 1..=count {
        let answer =
            scene.ann.send_text(user, 1_000_000 + n, if n == 1 { 0 } else { 1_000_000 + n - 1 }, &text);
        assert!(matches!(answer, EventBody::Sent(_)), "{answer:?}");
    }
    let after = scene.node.anonymous_bytes();
    assert!(after < before + (192 << 20), "memory grew from {before} to {after} bytes");
    let conversation = scene.ann.chat_with(user);
    let stored = scene.ann.pull_all(conversation);
    assert_eq!(stored.len() as u64, count);
    // It reads at last, and is told that something is missing, or finds itself disconnected.
    let mut told = false;
    while let Some(frame) = deaf.next_frame() {
        if matches!(frame.event, EventBody::SyncNeeded) {
            told = true;
            break;
        }
    }
    if told {
        assert_eq!(deaf.pull_all(conversation).len() as u64, count);
    }
    assert!(
        scene.node.counter("ringtalk_slow_readers_total")
            + scene.node.counter("ringtalk_pushes_dropped_total")
            > 0
    );
    scene.said = 1_000_000 + count;
    scene.bystanders_chat_after_gap();
}

impl Scene {
    /// Ann's counters went on in another conversation; `previous` is of the conversation with bob.
    fn bystanders_chat_after_gap(&mut self) {
        let answer = self.ann.send_text(self.bob.user, self.said + 1, 1, "still here");
        assert!(matches!(answer, EventBody::Sent(_)), "{answer:?}");
    }
}

#[test]
fn clients_that_vanish_in_the_middle_of_anything_disturb_nobody() {
    let mut scene = Scene::new(&[]);
    let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "gone" };
    let frame = wire::Encoder::new().hello(1, &hello);
    for cut in 0..frame.len() {
        for address in [scene.plain(), scene.node.tls.expect("a TLS listener")] {
            let mut stream = TcpStream::connect(address).expect("the node accepts");
            let _ = stream.write_all(&frame[..cut]);
            let _ = stream.shutdown(if cut % 2 == 0 { Shutdown::Write } else { Shutdown::Both });
        }
    }
    scene.bystanders_chat();
}

#[test]
fn half_records_survive_a_move_between_cores() {
    let mut scene = Scene::new(&["--shards", "3", "--placement", "least-loaded"]);
    let tls = scene.node.tls.expect("a TLS listener");
    let mut clients: Vec<RawClient> = (0..24)
        .map(|index| RawClient::new_user(tls, Protection::TlsByteByByte, &format!("slow{index}")))
        .collect();
    let ids: Vec<UserId> = clients.iter().map(|client| client.user).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let answer = client.send_text(ids[(index + 1) % ids.len()], 1, 0, &format!("from {index}"));
        assert!(matches!(answer, EventBody::Sent(_)), "{answer:?}");
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let from = (index + ids.len() - 1) % ids.len();
        loop {
            if let EventBody::Message(message) = client.next_event() {
                assert_eq!(message.entry.body, format!("from {from}").as_bytes());
                break;
            }
        }
    }
    assert!(scene.node.counter("ringtalk_handoffs_total") > 0, "no connection moved");
    scene.bystanders_chat();
}

#[test]
fn names_of_any_length_are_taken_or_refused() {
    let mut scene = Scene::new(&[]);
    let mut taken = 0;
    for length in [1, 61, 62, 63, 64, 65, 200] {
        let name = "n".repeat(length);
        let mut client = RawClient::greet(scene.plain(), Protection::Plain);
        match client.ask(|encoder, request| encoder.register_start(request, &name)) {
            EventBody::RegisterTerms(_) => {
                let keys = [7; 32];
                let answer = client.ask(|encoder, request| encoder.register(request, &name, &keys, &keys));
                assert!(matches!(answer, EventBody::Registered { .. }), "{length}: {answer:?}");
                taken += 1;
            }
            refused => assert_refused(&refused, Refusal::BadName),
        }
    }
    assert_eq!(taken, 5, "names of up to {} bytes are allowed", wire::limits::NAME_LEN_MAX);
    scene.bystanders_chat();
}
