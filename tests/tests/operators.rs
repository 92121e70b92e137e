//! What an operator does over the protocol, with a token, on the real node.

use std::net::SocketAddr;
use std::path::Path;

use client::transport::Security;
use client::{Body, Client, ClientOptions, Error, To};
use tests::harness::{NodeBuilder, Protection, RawClient, check, tool};
use wire::operator::{AccountState, OperatorAnswer, OperatorQuery, Reach, Recipients};
use wire::org::{Department, Member, OrgItem};
use wire::token::Token;
use wire::{DeviceId, EventBody, Refusal};

fn refusal(event: &EventBody) -> Option<Refusal> {
    match event {
        EventBody::Refused(refused) => Refusal::from_code(refused.code),
        _ => None,
    }
}

/// A session of a new token of this service account.
fn robot(data: &Path, address: SocketAddr, name: &str, scopes: &str) -> RawClient {
    let output = tool(data, &["token", "create", name, "--scopes", scopes]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let token = Token::parse(text.trim()).expect("a token");
    let mut client = RawClient::greet(address, Protection::Plain);
    let answer = client.ask(|encoder, request| encoder.token_login(request, &token, DeviceId(0), "test"));
    assert!(matches!(answer, EventBody::LoggedIn(_)), "{answer:?}");
    client.user = token.user;
    client
}

fn ask(client: &mut RawClient, query: &OperatorQuery) -> EventBody {
    client.ask(|encoder, request| query.encode(encoder, request))
}

fn told(client: &mut RawClient, query: &OperatorQuery) -> OperatorAnswer {
    match ask(client, query) {
        EventBody::Operator(answer) => answer,
        other => panic!("{query:?} is answered {other:?}"),
    }
}

#[test]
fn an_operators_token_does_over_the_protocol_what_the_operator_does_on_the_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = NodeBuilder::new(folder.path()).with(&["--shards", "3"]).start();
    let address = node.plain.expect("a plain listener");
    let mut robot = robot(folder.path(), address, "robot", "accounts,audit");
    let name = || "Hanna".to_owned();

    // Added with a code, which sets the password.
    let code_hash = wire::account::code_hash("abcde-fgh23");
    let OperatorAnswer::UserAdded { user } =
        told(&mut robot, &OperatorQuery::AddUser { name: name(), code_hash })
    else {
        panic!("not added")
    };
    let again = ask(&mut robot, &OperatorQuery::AddUser { name: name(), code_hash });
    assert_eq!(refusal(&again), Some(Refusal::NameTaken));
    redeem(address, "hanna", "ABCDE fgh23", "password");
    let mut hanna = RawClient::greet(address, Protection::Plain);
    assert_eq!(hanna.log_in("hanna", "password").user, user);

    // Seen, and ended.
    let devices = ask(&mut robot, &OperatorQuery::ListUserDevices { name: name() });
    let EventBody::Devices(devices) = devices else { panic!("{devices:?}") };
    assert!(devices.len() == 1 && devices[0].online, "{devices:?}");
    let end = OperatorQuery::EndUserSessions { name: name(), device: DeviceId(0) };
    assert_eq!(ask(&mut robot, &end), EventBody::SessionsEnded { count: 1 });
    assert!(hanna.is_closed_with(Refusal::EndedByOperator));

    // Disabled, enabled, reset, deleted.
    let mut hanna = RawClient::greet(address, Protection::Plain);
    hanna.log_in("hanna", "password");
    let disable = OperatorQuery::SetUserState { name: name(), state: AccountState::Disabled };
    assert_eq!(told(&mut robot, &disable), OperatorAnswer::UserChanged { user, sessions_ended: 1 });
    assert!(hanna.is_closed_with(Refusal::AccountDisabled));
    let mut hanna = RawClient::greet(address, Protection::Plain);
    assert_eq!(refusal(&hanna.try_log_in("hanna", "password")), Some(Refusal::AccountDisabled));
    told(&mut robot, &OperatorQuery::SetUserState { name: name(), state: AccountState::Active });
    told(&mut robot, &OperatorQuery::IssueCode { name: name(), code_hash });
    assert_eq!(refusal(&hanna.try_log_in("hanna", "password")), Some(Refusal::LoginFailed));
    redeem(address, "hanna", "abcdefgh23", "new password");
    assert_eq!(hanna.log_in("hanna", "new password").user, user);
    let OperatorAnswer::UsersListed(listed) = told(&mut robot, &OperatorQuery::ShowUser { name: name() })
    else {
        panic!("not shown")
    };
    assert_eq!((listed.users[0].user, listed.users[0].state), (user, AccountState::Active));
    let remove = OperatorQuery::RemoveUser { name: name() };
    assert_eq!(told(&mut robot, &remove), OperatorAnswer::UserChanged { user, sessions_ended: 1 });
    let list = OperatorQuery::ListUsers { after: String::new(), users_max: 0 };
    let OperatorAnswer::UsersListed(listed) = told(&mut robot, &list) else { panic!("not listed") };
    let names: Vec<_> = listed.users.iter().map(|line| (line.name.as_str(), line.state)).collect();
    assert_eq!(names, [("Hanna", AccountState::Deleted), ("robot", AccountState::Active)]);

    // All of it stands in the log, under the robot's id.
    let read = OperatorQuery::ReadAudit { after: (0, 0), rows_max: 0 };
    let OperatorAnswer::AuditRead(read) = told(&mut robot, &read) else { panic!("not read") };
    let by_robot = read.lines.iter().filter(|line| line.by == robot.user);
    let acts: Vec<_> = by_robot.map(|line| line.act.as_str()).collect();
    let expected = ["user added", "sessions ended", "disabled", "enabled", "code issued", "deleted"];
    assert_eq!(acts, expected);
    assert!(node.stop().success(), "{}", node.errors());
    check(folder.path()).expect("a store that fits together");
}

/// Sets a password with a one-time code.
fn redeem(address: SocketAddr, name: &str, code: &str, password: &str) {
    let mut client = RawClient::greet(address, Protection::Plain);
    let terms = match client.ask(|encoder, request| encoder.code_start(request, name)) {
        EventBody::RegisterTerms(terms) => terms,
        other => panic!("{other:?}"),
    };
    let keys = wire::scram::stretch(password, &terms.salt, terms.iterations).expect("terms").credentials();
    let answer = client
        .ask(|encoder, request| encoder.redeem_code(request, name, code, &keys.stored_key, &keys.server_key));
    assert!(matches!(answer, EventBody::CodeRedeemed { .. }), "{answer:?}");
}

/// A program on the SDK: it chats with one scope, and does the operator's work with others.
#[test]
fn a_program_on_the_sdk_logs_in_with_a_token_and_does_its_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut node = NodeBuilder::new(&data).with(&["--shards", "2", "--contacts", "open"]).start();
    let address = node.plain.expect("a plain listener");
    let mut ann = RawClient::new_user(address, Protection::Plain, "ann");
    let token = |scopes: &str, name: &str| {
        let output = tool(&data, &["token", "create", name, "--scopes", scopes]);
        Token::parse(String::from_utf8(output.stdout).expect("text").trim()).expect("a token")
    };
    let (talker, clerk) = (token("send", "talker"), token("notices,org,audit,relations,tokens", "clerk"));
    let open = async |name: &str| {
        let at = address.to_string().parse().expect("an address");
        let options = ClientOptions::new(folder.path().join(name), at, Security::Plain);
        Client::open(options).await.expect("a client")
    };
    let user = ann.user;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let bot = open("talker").await;
        assert_eq!(bot.login_with_token(&talker).await.expect("in").user, talker.user);
        let mut sent = bot.send(To::User(user), Body::Text("I am a bot".into())).await.expect("taken");
        sent.decided().await.expect("an open client").expect("stored");
        assert!(matches!(bot.operator().audit((0, 0)).await, Err(Error::Refused(_))));

        let bot = open("clerk").await;
        bot.login_with_token(&clerk).await.expect("in");
        let operator = bot.operator();
        let department = Department { id: 3, parent: 0, order: 0, name: "three".into() };
        let member = Member { department: 3, user, order: 0, name: "ann".into(), title: "chief".into() };
        let edits = vec![OrgItem::Department(department), OrgItem::Member(member)];
        assert_eq!(operator.edit_org(0, edits).await.expect("edited"), 2);
        let to = Recipients::Users(vec![user]);
        let notified = operator.notify(7, to, Reach::Everybody, "hear").await.expect("told");
        assert_eq!((notified.told, notified.unknown), (1, 0));
        let to = Recipients::Department(3);
        assert_eq!(operator.notify(8, to, Reach::Everybody, "hear").await.expect("told").seq, 1);
        let related = operator.relate(&[(user, talker.user)]).await.expect("related");
        assert_eq!(related.changed + related.unchanged, 1);
        let name = wire::UserName::parse("other").expect("a name");
        let scopes = wire::Scopes::NONE.with(wire::Scope::Audit);
        let other = operator.create_token(&name, scopes, 0, "a test").await.expect("made");
        assert_eq!(operator.tokens(&name).await.expect("listed").len(), 1);
        assert_eq!(operator.revoke_token(&name, other.number).await.expect("revoked"), 0);
        // An entry may be on its way to the disk when what it is about is told.
        let acts =
            ["organisation edited", "notice issued", "pairs related", "token created", "token revoked"];
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let lines = operator.audit((0, 0)).await.expect("read").lines;
            let is_there = |act| lines.iter().any(|line| line.act == act && line.by == clerk.user);
            let missing = acts.into_iter().find(|act| !is_there(*act));
            let Some(act) = missing else { break };
            assert!(std::time::Instant::now() < deadline, "{act}: {lines:?}");
        }
    });
    let entries = ann.pull_all(wire::ConversationId::system(user));
    assert_eq!(entries, [(1, b"hear".to_vec())]);
    drop(runtime);
    assert!(node.stop().success(), "{}", node.errors());
    check(&data).expect("a store that fits together");
}
