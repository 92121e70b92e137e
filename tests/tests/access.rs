//! Who may do what on the real node: what is possible before login, what an ordinary login may not, and how guessing ends.

use std::net::SocketAddr;

use tests::harness::{NodeBuilder, Protection, RawClient, check, tool};
use wire::command::Phase;
use wire::frame::{Header, build};
use wire::{Command, EventBody, Refusal};

/// Ids that are tried: all there are, and more.
const IDS: std::ops::RangeInclusive<u16> = 0..=600;

fn refusal(event: &EventBody) -> Option<Refusal> {
    match event {
        EventBody::Refused(refused) => Some(Refusal::from_code(refused.code).expect("a known refusal")),
        _ => None,
    }
}

/// Sends this id with an owner key of its row and no body, and gives the refusal.
fn try_id(client: &mut RawClient, id: u16) -> Refusal {
    let key_len = Command::from_id(id).map_or(0, |command| command.row().owner.key_len());
    // Users 1024 and 2048, which is also the form of a private conversation.
    let key = [1_024u64.to_le_bytes(), 2_048u64.to_le_bytes()].concat();
    let answer = client.ask(|_, request| build(Header { id, request }, &key[..key_len], &[]));
    refusal(&answer).unwrap_or_else(|| panic!("{id} without a body is answered {answer:?}"))
}

/// The names of the commands that such a connection may send, sorted.
fn possible(connect: impl Fn() -> RawClient) -> Vec<&'static str> {
    let mut possible = Vec::new();
    for id in IDS {
        // A connection each: a body that is none counts against it.
        let refusal = try_id(&mut connect(), id);
        match Command::from_id(id) {
            None => assert_eq!(refusal, Refusal::UnknownCommand, "{id}"),
            Some(command) if refusal != Refusal::WrongPhase => possible.push(command.row().name),
            Some(_) => {}
        }
    }
    possible.sort_unstable();
    possible
}

#[test]
fn before_login_nothing_is_possible_but_login_registration_and_where_to_connect() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = NodeBuilder::new(folder.path()).with(&["--shards", "2"]).start();
    let address = node.plain.expect("a plain listener");
    // With a code of the operator an account gets its first or next password.
    let expected = [
        "CodeStart",
        "LoginStart",
        "Ping",
        "RedeemCode",
        "Register",
        "RegisterStart",
        "Resume",
        "TokenLogin",
        "WhereToConnect",
    ];
    assert_eq!(possible(|| RawClient::greet(address, Protection::Plain)), expected);
    assert_eq!(possible(|| RawClient::connect(address, Protection::Plain)), ["Hello"]);
    let challenged = || {
        let mut client = RawClient::greet(address, Protection::Plain);
        assert!(matches!(client.start_login("ann").1, EventBody::Challenge(_)));
        client
    };
    assert_eq!(possible(challenged), ["LoginProof", "Ping"]);
    drop(node);
    check(folder.path()).expect("a store that fits together");
}

#[test]
fn an_ordinary_login_does_nothing_of_an_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = NodeBuilder::new(folder.path()).with(&["--shards", "2"]).start();
    let address = node.plain.expect("a plain listener");
    let mut operators = 0;
    let mut client = RawClient::new_user(address, Protection::Plain, "ann");
    for id in IDS {
        let Some(command) = Command::from_id(id) else {
            assert_eq!(try_id(&mut client, id), Refusal::UnknownCommand, "{id}");
            continue;
        };
        match command.row().phase {
            Phase::Operator(scope) => {
                let key = vec![1; command.row().owner.key_len()];
                let answer = client.ask(|_, request| build(Header { id, request }, &key, &[]));
                let EventBody::Refused(refused) = answer else { panic!("{command:?} is carried out") };
                assert_eq!(
                    (refused.code, refused.detail),
                    (Refusal::NotAllowed.code(), scope as u64),
                    "{command:?}"
                );
                operators += 1;
            }
            Phase::Greeting | Phase::BeforeLogin | Phase::Challenged => {
                assert_eq!(try_id(&mut client, id), Refusal::WrongPhase, "{command:?}");
            }
            // Possible: an empty body is all that is wrong. It counts, so a connection each.
            Phase::AfterLogin | Phase::AnySession | Phase::Any => {
                let mut other = RawClient::greet(address, Protection::Plain);
                other.log_in("ann", "password");
                assert_eq!(try_id(&mut other, id), Refusal::Malformed, "{command:?}");
            }
        }
    }
    assert!(operators >= 4, "only {operators} commands of operators");
}

/// What came of many guesses.
#[derive(Debug, Default)]
struct Guesses {
    /// Passwords that were looked at.
    decided: usize,
    turned_away: usize,
}

fn guess(address: SocketAddr, name: impl Fn(usize) -> String, count: usize) -> Guesses {
    let mut guesses = Guesses::default();
    let mut client = RawClient::greet(address, Protection::Plain);
    for number in 0..count {
        // Three failures close a connection: the next guess needs another one.
        if number % 3 == 0 {
            client = RawClient::greet(address, Protection::Plain);
        }
        match client.try_log_in(&name(number), &format!("guess {number}")) {
            EventBody::Refused(refused) if refused.code == Refusal::LoginFailed.code() => {
                guesses.decided += 1
            }
            EventBody::Refused(refused) => {
                assert!(refused.retry_ms > 0, "{refused:?} says how long");
                guesses.turned_away += 1;
            }
            other => panic!("{other:?} to a guess"),
        }
    }
    guesses
}

#[test]
fn whoever_guesses_is_slowed_to_a_stop_and_the_owner_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = NodeBuilder::new(folder.path()).with(&["--shards", "2"]).start();
    let port = node.plain.expect("a plain listener").port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    RawClient::greet(address, Protection::Plain).register("ann", "password");
    let begin = std::time::Instant::now();
    let guesses = guess(address, |_| "ann".to_owned(), 1_000);
    // Three are free, then each waits twice as long as the one before: 1 s, 2 s, 4 s and so on.
    let doublings = begin.elapsed().as_secs().next_power_of_two().trailing_zeros() as usize;
    assert!(guesses.decided <= 3 + 1 + doublings, "{guesses:?}");
    assert_eq!(guesses.decided + guesses.turned_away, 1_000);
    // Who is at another address, with the same name, does not even notice.
    let mut owner = from_elsewhere(address);
    assert!(matches!(owner.try_log_in("ann", "password"), EventBody::LoggedIn(_)));
    // Here even the right password waits.
    let mut client = RawClient::greet(address, Protection::Plain);
    assert_eq!(refusal(&client.try_log_in("ann", "password")), Some(Refusal::LoginDelayed));
    // One password on many names is no way around it.
    let spread = guess(address, |number| format!("somebody{number}"), 300);
    assert!(spread.decided < 60, "{spread:?}");
    assert!(matches!(from_elsewhere(address).try_log_in("ann", "password"), EventBody::LoggedIn(_)));
}

#[test]
fn what_was_done_stands_in_the_audit_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = NodeBuilder::new(folder.path()).with(&["--shards", "3"]).start();
    let address = node.plain.expect("a plain listener");
    let run = |line: &[&str]| {
        let output = tool(folder.path(), line);
        assert!(output.status.success(), "{line:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    RawClient::greet(address, Protection::Plain).register("ann", "password");
    let token = run(&["token", "create", "robot", "--scopes", "relations,audit", "--label", "test"]);
    assert!(wire::token::Token::parse(token.trim()).is_ok(), "{token}");
    run(&["token", "revoke", "robot", "1"]);
    guess(address, |_| "ann".to_owned(), 3);
    let acts = |more: &[&str]| {
        let text = run(&[&["audit", "--json"], more].concat());
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            format!("{} {}", line["act"].as_str().expect("an act"), line["name"].as_str().expect("a name"))
        };
        text.lines().map(line).collect::<Vec<_>>()
    };
    let all = ["registered ann", "token created robot", "token revoked robot", "login slowed down ann"];
    assert_eq!(acts(&[]), all);
    assert_eq!(acts(&["--user", "Robot"]), all[1..3]);
    assert_eq!(acts(&["--since", "1"]), all);
    assert!(run(&["audit"]).contains("token 1: relations,audit"));
    drop(node);
    let node = NodeBuilder::new(folder.path()).with(&["--shards", "1"]).start();
    assert_eq!(acts(&[]), all, "also over a restart with another number of shards");
    drop(node);
    check(folder.path()).expect("a store that fits together");
}

/// A connection from 127.0.0.2.
fn from_elsewhere(to: SocketAddr) -> RawClient {
    let mut client = RawClient::connect_from(([127, 0, 0, 2], 0).into(), to);
    client.hello();
    client
}

/// A name without an account is answered like one with: the same events, of the same sizes.
#[test]
fn a_name_without_an_account_looks_like_one_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = NodeBuilder::new(folder.path()).with(&["--shards", "1"]).start();
    let address = node.plain.expect("a plain listener");
    RawClient::greet(address, Protection::Plain).register("anna", "password");
    let mut seen = Vec::new();
    for name in ["anna", "anno", "anna", "anno"] {
        let mut client = RawClient::greet(address, Protection::Plain);
        let (_, challenge) = client.start_login(name);
        let EventBody::Challenge(challenge) = challenge else { panic!("{challenge:?}") };
        let nonce = challenge.server_first.split(',').next().expect("a nonce").len();
        let proof = "c=biws,r=x,p=AAAA";
        let answer = client.prove(proof);
        seen.push((challenge.server_first.len(), nonce, challenge.valid_ms, answer));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    assert_eq!(refusal(&seen[0].3), Some(Refusal::LoginFailed));
}
