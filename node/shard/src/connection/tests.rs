//! Connections: phases, limits, moves, slow readers and ends.

use std::net::IpAddr;

use bytes::Bytes;
use wire::command::{Owner, Phase};
use wire::encode::Encoder;
use wire::frame::{Header, LENGTH_LEN, build};
use wire::limits::WINDOW_MAX;
use wire::message::{BodyKind, DeviceClass, Hello, LoginProof, MarkKind, Pull, Send};
use wire::operator::{AccountState, Reach, Recipients};
use wire::org::{OrgItem, OrgPosition};
use wire::profile::Profile;
use wire::service::NewToken;
use wire::token::{SECRET_LEN, Secret, Token};
use wire::{Command, ConnectionPhase, ConversationId, DeviceId, EventBody, Refusal, Scope, Scopes, UserId};

use crate::config::PlacementPolicy;
use crate::limits::{COMMANDS_IN_FLIGHT_MAX, FRAMES_BEFORE_LOGIN_MAX, MALFORMED_PER_CONNECTION_MAX};
use crate::testing::{ClientId, LOOPBACK, World, config, refusal_of};
use crate::{CloseReason, Config, Input, Security};

const WITH_ALL: ConnectionPhase = ConnectionPhase::WithToken(Scopes::ALL);
const PLAIN: Security = Security::Plain { loopback: true };

fn chat() -> ConversationId {
    ConversationId::private(UserId(1 << 10), UserId(2 << 10 | 1)).expect("two users")
}

/// A well-formed frame of each command.
fn frame_of(encoder: &mut Encoder, command: Command, request: u32) -> Bytes {
    match command {
        Command::Hello => {
            let hello = Hello { version_min: 1, version_max: 9, features: u64::MAX, software: "test" };
            encoder.hello(request, &hello)
        }
        Command::RegisterStart => encoder.register_start(request, "eve"),
        Command::Register => encoder.register(request, "eve", &[1; 32], &[2; 32]),
        Command::LoginStart => encoder.login_start(request, "SCRAM-SHA-256", "n,,n=ann,r=abcdefgh"),
        Command::LoginProof => {
            let proof = LoginProof {
                client_final: "c=biws,r=x,p=AAAA",
                device: DeviceId(0),
                device_name: "",
                device_class: DeviceClass::Bot,
            };
            encoder.login_proof(request, &proof)
        }
        Command::Resume => encoder.resume(request, &[7; 81], 0),
        Command::WhereToConnect => encoder.where_to_connect(request, "ann"),
        Command::Ping => encoder.ping(request, 12_345),
        Command::Logout => encoder.logout(request, false),
        Command::ListDevices => encoder.list_devices(request),
        Command::EndSession => encoder.end_session(request, DeviceId(99)),
        Command::EndOtherSessions => encoder.end_other_sessions(request),
        Command::FindUser => encoder.find_user(request, "ann"),
        Command::NameUser => encoder.name_user(request, UserId(1 << 10)),
        Command::SetProfile => encoder.set_profile(request, &Profile::default()),
        Command::GetProfile => encoder.get_profile(request, UserId(1 << 10)),
        Command::ProofStart => encoder.proof_start(request, "n,,n=ann,r=abcdefgh"),
        Command::ChangePassword => encoder.change_password(request, "c=biws,r=x,p=AAAA", &[1; 32], &[2; 32]),
        Command::DeleteAccount => encoder.delete_account(request, "c=biws,r=x,p=AAAA"),
        Command::CodeStart => encoder.code_start(request, "ann"),
        Command::RedeemCode => encoder.redeem_code(request, "ann", "abcde", &[1; 32], &[2; 32]),
        Command::Send => {
            let send = Send::plain(1, 0, BodyKind::Text, b"hello");
            encoder.send(request, chat(), &send)
        }
        Command::Pull => encoder.pull(request, chat(), &Pull { from: 1, to: 1, bytes_max: 1, epoch: 0 }),
        Command::Mark => encoder.mark(request, chat(), MarkKind::Read, 1),
        Command::Sync => encoder.sync(request, 0, 1),
        Command::ContactRequest => encoder.contact_request(request, chat(), "hello"),
        Command::ContactAccept => encoder.contact_accept(request, chat()),
        Command::ContactRefuse => encoder.contact_refuse(request, chat()),
        Command::ContactRemove => encoder.contact_remove(request, chat()),
        Command::Block => encoder.block(request, chat()),
        Command::Unblock => encoder.unblock(request, chat()),
        Command::SetContact => encoder.set_contact(request, UserId(1 << 10), "", ""),
        Command::SyncContacts => encoder.sync_contacts(request, 0, 1),
        Command::SetPresence => encoder.set_presence(request, &wire::presence::PresenceWish::default()),
        Command::SyncPresence => encoder.sync_presence(request, 0, 1),
        Command::GetPresence => encoder.get_presence(request, UserId(1 << 10)),
        Command::SetAdverts => encoder.set_adverts(request, true),
        Command::SyncOrg => encoder.sync_org(request, OrgPosition::default(), 1),
        Command::RelatePairs => encoder.relate_pairs(request, &[chat()]),
        Command::TokenLogin => {
            let token = Token { user: UserId(1 << 10), number: 1, secret: Secret([1; SECRET_LEN]) };
            encoder.token_login(request, &token, DeviceId(0), "test")
        }
        Command::CreateToken => {
            let (hash, scopes) = ([1; 32], Scopes::NONE.with(Scope::Send));
            let new = NewToken { name: "bot", hash: &hash, scopes, expires_ms: 0, label: "" };
            encoder.create_token(request, &new)
        }
        Command::ListTokens => encoder.list_tokens(request, "bot"),
        Command::RevokeToken => encoder.revoke_token(request, "bot", 1),
        _ => operator_frame_of(encoder, command, request),
    }
}

fn operator_frame_of(encoder: &mut Encoder, command: Command, request: u32) -> Bytes {
    match command {
        Command::AddUser => encoder.add_user(request, "eve", &[1; 32]),
        Command::SetUserState => encoder.set_user_state(request, "ann", AccountState::Active),
        Command::IssueCode => encoder.issue_code(request, "eve", &[1; 32]),
        Command::RemoveUser => encoder.remove_user(request, "eve"),
        Command::ReadAudit => encoder.read_audit(request, (0, 0), 1),
        Command::ListUsers => encoder.list_users(request, "", 1),
        Command::ShowUser => encoder.show_user(request, "ann"),
        Command::ListUserDevices => encoder.list_user_devices(request, "ann"),
        Command::EndUserSessions => encoder.end_user_sessions(request, "ann", DeviceId(0)),
        Command::Notify => {
            let (to, body_kind) = (Recipients::Users(vec![UserId(1 << 10)]), BodyKind::Text);
            encoder.notify(request, 7, &to, Reach::Everybody, body_kind, b"notice")
        }
        Command::EditOrg => encoder.edit_org(request, 0, &[OrgItem::DepartmentGone(7)]),
        other => unreachable!("{other:?} has no frame here"),
    }
}

/// A connection that is in this phase. In `Deciding` the store does not answer.
fn client_in(world: &mut World, phase: ConnectionPhase) -> ClientId {
    match phase {
        ConnectionPhase::Greeting => world.open(0),
        ConnectionPhase::BeforeLogin => world.connect(1),
        ConnectionPhase::Challenged => {
            let client = world.connect(0);
            world.prove(client, "ann", "ann").expect("a challenge");
            client
        }
        ConnectionPhase::Deciding => {
            let client = world.connect(1);
            world.hold_loads = true;
            world.begin(client, |encoder, request| {
                encoder.login_start(request, "SCRAM-SHA-256", "n,,n=somebody.else,r=abcdefgh")
            });
            world.run();
            client
        }
        ConnectionPhase::LoggedIn => world.login(1, "ann").client,
        ConnectionPhase::WithToken(scopes) => world.token_login(1, "service", scopes).client,
    }
}

#[test]
fn every_command_in_every_phase() {
    for phase in ConnectionPhase::ALL {
        for command in Command::ALL {
            let mut world = World::new(2);
            let client = client_in(&mut world, *phase);
            let request = world.begin(client, |encoder, request| frame_of(encoder, *command, request));
            world.run();
            world.hold_loads = false;
            world.run();
            let reply = world.reply_to(client, request);
            let refusal = match &reply {
                Some(reply @ EventBody::Refused(_)) => Some(refusal_of(reply)),
                _ => None,
            };
            if command.row().phase.allows(*phase) {
                assert!(reply.is_some(), "{command:?} in {phase:?} has no reply");
                // They need what was asked for first, by `RegisterStart`, `CodeStart` and `ProofStart`.
                let is_second = matches!(
                    command,
                    Command::Register
                        | Command::RedeemCode
                        | Command::ChangePassword
                        | Command::DeleteAccount
                );
                assert!(refusal != Some(Refusal::WrongPhase) || is_second, "{command:?} in {phase:?}");
            } else {
                let is_session = phase.is_logged_in() && command.row().phase.allows(WITH_ALL);
                let expected = if is_session { Refusal::NotAllowed } else { Refusal::WrongPhase };
                assert_eq!(refusal, Some(expected), "{command:?} in {phase:?}");
                assert!(world.is_open(client));
            }
        }
    }
}

#[test]
fn bodies_that_do_not_verify_are_refused_and_a_few_end_the_connection() {
    for command in Command::ALL {
        let mut world = World::new(2);
        let phase = match command.row().phase {
            Phase::Greeting => ConnectionPhase::Greeting,
            Phase::BeforeLogin | Phase::Any => ConnectionPhase::BeforeLogin,
            Phase::Challenged => ConnectionPhase::Challenged,
            Phase::AfterLogin | Phase::AnySession => ConnectionPhase::LoggedIn,
            Phase::Operator(_) => ConnectionPhase::WithToken(Scopes::ALL),
        };
        let client = client_in(&mut world, phase);
        let good = frame_of(&mut world.encoder, *command, 1_000).slice(LENGTH_LEN..);
        let key_len = match command.row().owner {
            Owner::User | Owner::Conversation => command.row().owner.key_len(),
            _ => 0,
        };
        let body = good.slice(8 + key_len..);
        let key = good.slice(8..8 + key_len);
        let header = |request| Header { id: command.id(), request };
        let trailing = [&body[..], &[0]].concat();
        let mut flipped = body.to_vec();
        flipped[4] ^= 0xff; // the root's offset
        let mut wrong: Vec<&[u8]> = vec![&body[..body.len() - 1], &trailing, &flipped, &[]];
        wrong.extend([&body[..3]; MALFORMED_PER_CONNECTION_MAX as usize - 4]);
        for (number, body) in (1..).zip(wrong) {
            assert!(world.is_open(client), "{command:?} closes after {number}");
            let request = 2_000 + number;
            world.send(client, build(header(request), &key, body));
            world.run();
            let reply = world.reply_to(client, request).expect("a reply");
            let expected = match (command, number) {
                (Command::LoginProof, 2..) => Refusal::WrongPhase, // the challenge is used up
                _ => Refusal::Malformed,
            };
            assert_eq!(refusal_of(&reply), expected, "{command:?} {number}");
        }
        if *command != Command::LoginProof {
            assert_eq!(world.closed(client), Some(CloseReason::Malformed), "{command:?}");
        }
    }
}

#[test]
fn an_unsupported_version_is_told_the_range_and_closed() {
    let mut world = World::new(1);
    let client = world.open(0);
    let hello = Hello { version_min: 2, version_max: 9, features: 0, software: "" };
    let reply = world.reply(client, |encoder, request| encoder.hello(request, &hello));
    let EventBody::Refused(refused) = reply else { panic!("{reply:?}") };
    assert_eq!((refused.code, refused.detail), (Refusal::UnsupportedVersion.code(), 1 << 16 | 1));
    assert_eq!(world.closed(client), Some(CloseReason::UnsupportedVersion));
    let client = world.open(0);
    let hello = Hello { version_min: 3, version_max: 1, features: 0, software: "" };
    let reply = world.reply(client, |encoder, request| encoder.hello(request, &hello));
    assert_eq!(refusal_of(&reply), Refusal::BadField);
    assert!(world.is_open(client));
}

#[test]
fn a_frame_longer_than_its_phase_allows_ends_the_connection() {
    let mut world = World::new(2);
    let before = world.connect(0);
    let after = world.login(0, "ann").client;
    let long = build(Header { id: Command::Send.id(), request: 9 }, &[], &vec![0; 65 * 1024]);
    let reply = world.request(before, long.clone());
    let EventBody::Refused(refused) = &reply[0].event else { panic!("{reply:?}") };
    assert_eq!((refused.code, refused.detail), (Refusal::FrameTooLong.code(), 64 * 1024));
    assert_eq!(world.closed(before), Some(CloseReason::FrameTooLong));
    let reply = world.request(after, long);
    assert_eq!(refusal_of(&reply[0].event), Refusal::FrameTooLong, "too long for its command only");
    assert!(world.is_open(after));
}

#[test]
fn who_does_not_log_in_and_who_falls_silent_is_closed() {
    let mut world = World::new(2);
    let session = world.login(1, "ann").client;
    let silent = world.open(0);
    let parked = client_in(&mut world, ConnectionPhase::Deciding);
    assert_eq!(world.shards[0].counters().unauthenticated + world.shards[1].counters().unauthenticated, 2);
    world.advance(14_900);
    assert!(world.is_open(silent) && world.is_open(parked));
    world.advance(1_000);
    assert_eq!(world.closed(silent), Some(CloseReason::LoginTimeout));
    assert_eq!(world.closed(parked), Some(CloseReason::LoginTimeout));
    for _ in 0..10 {
        world.advance(44_000);
        let pong = world.reply(session, |encoder, request| encoder.ping(request, 7));
        assert_eq!(pong, EventBody::Pong { time_ms: 7 });
    }
    world.advance(61_000);
    assert_eq!(world.closed(session), Some(CloseReason::Idle));
    world.hold_loads = false;
    world.run();
    assert!(world.shards.iter().all(|shard| shard.next_deadline().is_none()), "nobody is left to look at");
}

#[test]
fn connections_are_limited_per_address_and_in_all() {
    let per_address = Config { connections_per_address_max: 5, unauthenticated_max: 14, ..config() };
    let mut world = World::with(2, per_address);
    let open_at = |world: &mut World, shard, last: u8| {
        let peer = IpAddr::from([10, 0, 0, last]);
        world.open_as(shard, peer, Security::Tls { binding: None })
    };
    let mut open: Vec<_> = (0..3).map(|_| open_at(&mut world, 0, 1)).collect();
    let refused = open_at(&mut world, 0, 1);
    assert_eq!(world.closed(refused), Some(CloseReason::TooManyFromAddress));
    let last = world.events(refused).pop().expect("it is told why");
    assert!(
        matches!(last.event, EventBody::Closing(closing) if closing.code == Refusal::TooManyFromAddress.code())
    );
    open.push(open_at(&mut world, 1, 1));
    open.extend((2..6).map(|last| open_at(&mut world, 0, last)));
    assert!(open.iter().all(|client| world.is_open(*client)), "others have their own");
    let refused = open_at(&mut world, 0, 99);
    assert_eq!(world.closed(refused), Some(CloseReason::TooManyConnections));
    world.close(open[0]);
    let again = open_at(&mut world, 0, 1);
    assert!(world.is_open(again), "a connection that ended counts no more");
}

#[test]
fn steps_of_a_login_are_limited_per_address() {
    let mut world = World::with(2, Config { logins_per_s_max: 4, ..config() });
    let client = world.connect(0);
    for _ in 0..4 {
        let terms = world.reply(client, |encoder, request| encoder.register_start(request, "ann"));
        assert!(matches!(terms, EventBody::RegisterTerms(_)), "a burst of two seconds of half the rate");
    }
    let other = world.connect(0);
    let reply = world.reply(other, |encoder, request| encoder.register_start(request, "ann"));
    let EventBody::Refused(refused) = reply else { panic!("{reply:?}") };
    assert_eq!((refused.code, refused.retry_ms), (Refusal::TooManyFromAddress.code(), 500));
    let elsewhere = world.open_as(0, IpAddr::from([10, 9, 9, 9]), PLAIN);
    world.greet(elsewhere);
    let terms = world.reply(elsewhere, |encoder, request| encoder.register_start(request, "ann"));
    assert!(matches!(terms, EventBody::RegisterTerms(_)));
    world.advance(500);
    let terms = world.reply(other, |encoder, request| encoder.register_start(request, "ann"));
    assert!(matches!(terms, EventBody::RegisterTerms(_)));
}

#[test]
fn registration_is_where_it_is_allowed() {
    let start = |world: &mut World, security: Security| {
        let client = world.open_as(0, IpAddr::from([10, 0, 0, 1]), security);
        world.greet(client);
        world.reply(client, |encoder, request| encoder.register_start(request, "ann"))
    };
    let mut world = World::new(1);
    let plain = start(&mut world, Security::Plain { loopback: false });
    assert_eq!(refusal_of(&plain), Refusal::NotOnPlain);
    let tls = start(&mut world, Security::Tls { binding: None });
    assert!(matches!(tls, EventBody::RegisterTerms(_)));
    let mut closed = World::with(1, Config { registration_open: false, ..config() });
    assert_eq!(refusal_of(&start(&mut closed, PLAIN)), Refusal::RegistrationClosed);
    let client = world.connect(0);
    let direct = world.reply(client, |encoder, request| encoder.register(request, "ann", &[1; 32], &[2; 32]));
    assert_eq!(refusal_of(&direct), Refusal::WrongPhase, "without a salt of this connection");
    let bad = world.reply(client, |encoder, request| encoder.register_start(request, "no body"));
    assert_eq!(refusal_of(&bad), Refusal::BadName);
}

#[test]
fn a_connection_offers_one_mechanism_and_takes_no_other() {
    let mut world = World::new(1);
    let binding: std::sync::Arc<[u8]> = [3; 32].into();
    for (security, offered) in [
        (PLAIN, "SCRAM-SHA-256"),
        (Security::Tls { binding: None }, "SCRAM-SHA-256"),
        (Security::Tls { binding: Some(binding) }, "SCRAM-SHA-256-PLUS"),
    ] {
        let client = world.open_as(0, LOOPBACK, security);
        let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "" };
        let welcome = world.reply(client, |encoder, request| encoder.hello(request, &hello));
        let EventBody::Welcome(welcome) = welcome else { panic!("{welcome:?}") };
        assert_eq!(welcome.mechanisms, [offered]);
        for (mechanism, first) in [
            ("SCRAM-SHA-256", "n,,n=ann,r=abcdefgh"),
            ("SCRAM-SHA-256", "y,,n=ann,r=abcdefgh"),
            ("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=ann,r=abcdefgh"),
            ("SCRAM-SHA-256-PLUS", "n,,n=ann,r=abcdefgh"),
            ("PLAIN", "n,,n=ann,r=abcdefgh"),
        ] {
            let start =
                world.begin(client, |encoder, request| encoder.login_start(request, mechanism, first));
            world.run();
            let reply = world.reply_to(client, start).expect("a reply");
            if mechanism == offered && (mechanism == "SCRAM-SHA-256" || first.starts_with('p')) {
                assert!(matches!(reply, EventBody::Challenge(_)), "{mechanism} {first} {reply:?}");
                // Spends the challenge without a failed login.
                let proof = LoginProof {
                    client_final: "",
                    device: DeviceId(0),
                    device_name: &"x".repeat(99),
                    device_class: DeviceClass::Bot,
                };
                let reply = world.reply(client, |encoder, request| encoder.login_proof(request, &proof));
                assert_eq!(refusal_of(&reply), Refusal::BadField);
            } else {
                assert_eq!(refusal_of(&reply), Refusal::UnknownMechanism, "{mechanism} {first}");
            }
        }
    }
}

#[test]
fn a_login_is_bound_to_the_certificate_of_its_connection() {
    let mut world = World::new(2);
    world.login(0, "ann");
    for (shown, seen, is_right) in [([3; 32], [3; 32], true), ([3; 32], [4; 32], false)] {
        let client = world.open_as(1, LOOPBACK, Security::Tls { binding: Some(shown.into()) });
        world.greet(client);
        let nonce = wire::scram::nonce_text(&[5; wire::scram::NONCE_LEN]);
        let (mechanism, start) =
            wire::scram::ClientStart::new(&["SCRAM-SHA-256-PLUS"], true, "ann", nonce).expect("offered");
        let reply = world.reply(client, |encoder, request| {
            encoder.login_start(request, mechanism.name(), start.message())
        });
        let EventBody::Challenge(challenge) = reply else { panic!("{reply:?}") };
        let challenged = start.handle_server_first(&challenge.server_first).expect("a challenge");
        let keys =
            wire::scram::stretch("ann", challenged.salt(), challenged.iterations()).expect("good terms");
        let proved = challenged.prove(&keys, &seen);
        match world.send_proof(client, proved.message(), 0) {
            EventBody::LoggedIn(logged_in) => {
                assert!(is_right);
                proved.handle_server_final(&logged_in.server_final).expect("the node proves itself too");
            }
            reply => {
                assert!(!is_right);
                assert_eq!(refusal_of(&reply), Refusal::LoginFailed);
            }
        }
    }
}

#[test]
fn a_connection_moves_once_with_the_command_that_parked_it() {
    let mut world = World::with(3, Config { placement_excess_percent: 1_000, ..config() });
    let login = world.login(0, "ann");
    let home = world.shard_of(login.client);
    world.close(login.client);
    let away = (home + 1) % 3;
    let client = world.connect(away);
    let old_id = world.connection(client);
    world.hold_mesh = true;
    let request = world.begin(client, |encoder, request| encoder.resume(request, &login.ticket, 5));
    world.run();
    // What comes meanwhile waits in the socket, since the connection is not settled.
    let ping = world.begin(client, |encoder, request| encoder.ping(request, 1));
    world.run();
    assert_eq!((world.reply_to(client, request), world.reply_to(client, ping)), (None, None));
    world.hold_mesh = false;
    world.run();
    assert_eq!(world.shard_of(client), home);
    assert!(matches!(world.reply_to(client, request), Some(EventBody::Resumed(_))));
    assert_eq!(world.reply_to(client, ping), Some(EventBody::Pong { time_ms: 1 }));
    assert_eq!(world.shards[usize::from(away)].counters().handoffs, 1);
    // What comes late for the old id touches nothing.
    let frame = frame_of(&mut world.encoder, Command::Ping, 1);
    world.step(usize::from(away), Input::Frame { connection: old_id, frame: &frame[LENGTH_LEN..] });
    world.step(usize::from(away), Input::Closed { connection: old_id });
    assert_eq!(world.shards[usize::from(away)].counters().late_frames, 1);
    assert!(world.is_open(client));
    // A failed login later on stays where it is.
    let (client, _) = world.resume(away, &[1; 10], 0);
    assert_eq!(world.shard_of(client), away, "a ticket that does not open moves nobody");
}

#[test]
fn a_parked_connection_that_ends_frees_its_placement() {
    let mut world = World::with(2, Config { placement: PlacementPolicy::LeastLoaded, ..config() });
    let login = world.login(1, "ann");
    let pending = |world: &World| world.shards[0].login_shard.pending_len();
    assert_eq!(pending(&world), 0, "a session that exists is not pending");
    let client = world.connect(1);
    world.hold_mesh = true;
    world.begin(client, |encoder, request| encoder.resume(request, &login.ticket, 5));
    world.run();
    world.close(client);
    world.hold_mesh = false;
    world.run();
    assert_eq!(pending(&world), 0);
    // One that fails its login is pending until it ends or logs in.
    let client = world.connect(1);
    assert_eq!(refusal_of(&world.log_in(client, "ann", "wrong", 0)), Refusal::LoginFailed);
    assert_eq!(pending(&world), 1);
    assert!(matches!(world.log_in(client, "ann", "ann", 0), EventBody::LoggedIn(_)));
    assert_eq!(pending(&world), 0);
    let client = world.connect(1);
    assert_eq!(refusal_of(&world.log_in(client, "ann", "wrong", 0)), Refusal::LoginFailed);
    world.close(client);
    assert_eq!(pending(&world), 0);
}

#[test]
fn sessions_are_spread_when_one_home_has_them_all() {
    let mut world = World::new(4);
    let mut of_home_0 = (0..).map(|number| format!("user{number}")).filter(|name| {
        let slot = wire::Slot::of_name(name);
        crate::Ownership::new(4, 4).shard_of(slot) == 0
    });
    let mut counts = [0; 4];
    for _ in 0..16 {
        let name = of_home_0.next().expect("endless");
        let login = world.login(1, &name);
        counts[usize::from(world.shard_of(login.client))] += 1;
        let home = world.home_of(login.user);
        assert_eq!(home, 0);
        assert_eq!(world.shards[0].logins.sessions(login.user).len(), 1, "the home knows where he is");
    }
    assert!(counts.iter().all(|count| (3..=6).contains(count)), "{counts:?}");
}

#[test]
fn a_session_has_a_window_and_a_bounded_number_of_commands() {
    let mut world = World::new(1);
    let (ann, bob) = (world.login(0, "ann"), world.login(0, "bob"));
    let chat = ConversationId::private(ann.user, bob.user).expect("two users");
    world.hold_commits = true;
    world.hold_loads = true;
    let refusals = |world: &mut World, requests: Vec<u32>| {
        world.run();
        let replies = requests.into_iter().filter_map(|request| world.reply_to(ann.client, request));
        replies.map(|reply| refusal_of(&reply)).collect::<Vec<_>>()
    };
    let sends = (1..=u64::from(WINDOW_MAX) + 1).map(|counter| {
        let send = Send::plain(counter, counter - 1, BodyKind::Text, b"x");
        world.begin(ann.client, |encoder, request| encoder.send(request, chat, &send))
    });
    let sends = sends.collect();
    assert_eq!(refusals(&mut world, sends), [Refusal::WindowFull]);
    let pulls = [0; 2].map(|_| {
        let pull = Pull { from: 1, to: 1, bytes_max: 1, epoch: 0 };
        world.begin(ann.client, |encoder, request| encoder.pull(request, chat, &pull))
    });
    assert_eq!(refusals(&mut world, pulls.to_vec()), [Refusal::Busy], "one pull at a time");
    let left = COMMANDS_IN_FLIGHT_MAX - WINDOW_MAX - 1;
    let finds = (0..=left).map(|number| {
        let name = format!("name{number}");
        world.begin(ann.client, |encoder, request| encoder.find_user(request, &name))
    });
    let finds = finds.collect();
    assert_eq!(refusals(&mut world, finds), [Refusal::Busy]);
    world.hold_loads = false;
    world.hold_commits = false;
    world.run();
    let found = world.reply(ann.client, |encoder, request| encoder.find_user(request, "bob"));
    assert!(matches!(found, EventBody::UserFound(_)), "answers make room again");
}

#[test]
fn commands_are_limited_by_class() {
    let mut world = World::with(1, Config { queries_per_s_max: 2, light_per_s_max: 3, ..config() });
    let ann = world.login(0, "ann").client;
    let count = |world: &mut World, command: Command| {
        let replies = (0..20).map(|_| {
            let request = world.begin(ann, |encoder, request| frame_of(encoder, command, request));
            world.run();
            world.reply_to(ann, request).expect("a reply")
        });
        let is_refused = |reply: &EventBody| matches!(reply, EventBody::Refused(refused) if refused.code == Refusal::TooManyRequests.code());
        replies.filter(|reply| !is_refused(reply)).count()
    };
    assert_eq!(count(&mut world, Command::FindUser), 4);
    assert_eq!(count(&mut world, Command::Ping), 6);
    assert_eq!(count(&mut world, Command::Mark), 20, "no limit");
    world.advance(1_000);
    assert_eq!(count(&mut world, Command::FindUser), 2);
}

#[test]
fn bodies_are_checked_by_meaning_before_they_leave() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann").client;
    let long = vec![b'x'; wire::limits::MESSAGE_BODY_LEN_MAX + 1];
    let text = BodyKind::Text;
    for (counter, previous, body_kind, body, expected) in [
        (0, 0, text, &b"x"[..], Refusal::BadField),
        (3, 3, text, b"x", Refusal::BadField),
        (3, 4, text, b"x", Refusal::BadField),
        (3, 0, BodyKind(200), b"x", Refusal::BadField),
        (3, 0, text, b"\xff\xfe", Refusal::BadField),
        (3, 0, text, &long, Refusal::BodyTooLong),
    ] {
        let send = Send::plain(counter, previous, body_kind, body);
        let reply = world.reply(ann, |encoder, request| encoder.send(request, chat(), &send));
        assert_eq!(refusal_of(&reply), expected, "{counter} {previous} {body_kind:?}");
    }
    let mark = world.reply(ann, |encoder, request| encoder.mark(request, chat(), MarkKind(7), 1));
    assert_eq!(refusal_of(&mark), Refusal::BadField);
}

#[test]
fn a_connection_that_only_talks_is_closed_before_its_answers_fill_the_memory() {
    let mut world = World::new(2);
    let client = world.connect(0);
    let frame = frame_of(&mut world.encoder, Command::Sync, 1);
    for _ in 1..FRAMES_BEFORE_LOGIN_MAX {
        world.send(client, frame.clone());
    }
    world.run();
    assert!(world.is_open(client) && world.events(client).len() == FRAMES_BEFORE_LOGIN_MAX as usize - 1);
    world.send(client, frame);
    world.run();
    assert_eq!(world.closed(client), Some(CloseReason::TooManyFailures));
    // A session may talk as long as it likes.
    let ann = world.login(0, "ann");
    for _ in 0..2 * FRAMES_BEFORE_LOGIN_MAX {
        let pong = world.reply(ann.client, |encoder, request| encoder.ping(request, 3));
        assert_eq!(pong, EventBody::Pong { time_ms: 3 });
    }
}

#[test]
fn a_command_that_finds_no_room_in_the_lane_is_refused_busy() {
    let mut world =
        World::with(2, Config { delivery_credits: 3, placement_excess_percent: 1_000, ..config() });
    let ann = world.login(0, "ann");
    let here = world.shard_of(ann.client);
    let mut elsewhere = (0..)
        .map(|number| format!("user{number}"))
        .filter(|name| crate::Ownership::new(2, 4).shard_of(wire::Slot::of_name(name)) != here);
    world.hold_mesh = true;
    let requests: Vec<_> = (0..4)
        .map(|_| {
            let name = elsewhere.next().expect("endless");
            world.begin(ann.client, |encoder, request| encoder.find_user(request, &name))
        })
        .collect();
    world.run();
    let busy = world.reply_to(ann.client, requests[3]).expect("it is told at once");
    assert_eq!(refusal_of(&busy), Refusal::Busy);
    world.hold_mesh = false;
    world.run();
    for request in &requests[..3] {
        let reply = world.reply_to(ann.client, *request).expect("the others are answered");
        assert_eq!(refusal_of(&reply), Refusal::UnknownUser);
    }
}

#[test]
fn a_slow_reader_is_told_to_sync_once_it_has_caught_up() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann");
    let connection = world.connection(ann.client);
    let shard = usize::from(connection.shard);
    let session = ann.logged_in.session;
    let event = world.encoder.pong(0, 1);
    let push = |world: &mut World, session| {
        let event = event.clone();
        world.within(shard, |shard| {
            shard.connections.handle_push(&mut shard.core, connection, session, event, 0)
        });
    };
    push(&mut world, session);
    push(&mut world, wire::SessionId(session.0 ^ 1));
    assert_eq!(world.events(ann.client).len(), 1, "only for the session that is there");
    world.set_slow(ann.client, true);
    push(&mut world, session);
    push(&mut world, session);
    assert!(world.events(ann.client).is_empty());
    world.set_slow(ann.client, false);
    let events: Vec<_> = world.events(ann.client).into_iter().map(|event| event.event).collect();
    assert_eq!(events, [EventBody::SyncNeeded]);
    push(&mut world, session);
    assert_eq!(world.events(ann.client).len(), 1);
    world.set_slow(ann.client, false);
    assert!(world.events(ann.client).is_empty(), "told once");
    let counters = world.shards[shard].counters();
    assert_eq!((counters.pushes, counters.pushes_dropped, counters.slow_readers), (2, 3, 1));
}

#[test]
fn a_stop_tells_sessions_to_move_and_ends_with_their_answers() {
    let mut world = World::new(2);
    let (ann, bob) = (world.login(0, "ann"), world.login(1, "bob"));
    let greeted = world.connect(1);
    world.hold_loads = true;
    let find = world.begin(ann.client, |encoder, request| encoder.find_user(request, "carl"));
    world.run();
    world.stop();
    assert_eq!(world.closed(greeted), Some(CloseReason::Stopping));
    assert_eq!(world.closed(bob.client), Some(CloseReason::Stopping));
    let events = world.events(bob.client);
    assert!(matches!(&events[0].event, EventBody::Move(to) if to.addresses == ["localhost:1"]), "{events:?}");
    assert!(world.is_open(ann.client), "its answer is still out");
    let late = world.reply(ann.client, |encoder, request| encoder.find_user(request, "bob"));
    assert_eq!(refusal_of(&late), Refusal::Stopping);
    let new = world.open(0);
    assert_eq!(world.closed(new), Some(CloseReason::Stopping));
    assert!(world.stopped.len() < 2);
    world.hold_loads = false;
    world.run();
    assert_eq!(refusal_of(&world.reply_to(ann.client, find).expect("an answer")), Refusal::UnknownUser);
    assert_eq!(world.closed(ann.client), Some(CloseReason::Stopping));
    assert!(world.stopped.contains(&0) && world.stopped.contains(&1));
}

#[test]
fn late_frames_touch_nothing_when_an_index_is_used_again() {
    let mut world = World::new(1);
    let first = world.connect(0);
    let old = world.connection(first);
    world.close(first);
    let second = world.connect(0);
    assert_eq!(world.connection(second).index, old.index);
    let ping = frame_of(&mut world.encoder, Command::Ping, 1);
    world.step(0, Input::Frame { connection: old, frame: &ping[LENGTH_LEN..] });
    world.step(0, Input::FrameTooLong { connection: old, length: 1 << 30 });
    world.step(0, Input::Overflowed { connection: old });
    world.step(0, Input::Drained { connection: old });
    world.step(0, Input::Closed { connection: old });
    assert!(world.events(second).is_empty() && world.is_open(second));
    assert_eq!(world.shards[0].counters().late_frames, 2);
    let pong = world.reply(second, |encoder, request| encoder.ping(request, 3));
    assert_eq!(pong, EventBody::Pong { time_ms: 3 });
}
