//! Sessions that their home ends: what is told, and what is on its way meanwhile.

use record::{Account, CommitOutcome, Credential, Key};
use wire::device::{Device, DeviceQuery};
use wire::message::{BodyKind, DeviceClass, LoginProof, MarkKind, Pull, Send};
use wire::org::OrgPosition;
use wire::{Command, ConversationId, DeviceId, EventBody, Refusal, scram};

use crate::admin::{AdminReply, AdminRequest};
use crate::config::{IdleTimes, SessionPolicy};
use crate::limits::DEVICES_MAX;
use crate::testing::{ClientId, Login, World, config, refusal_of, resumed};
use crate::{CloseReason, Config, Input};

/// The home of the user gives him another password.
fn reset(world: &mut World, login: &Login, name: &str, password: &str) {
    let salt = [5; 16];
    let keys = scram::stretch(password, &salt, 4_096).expect("good terms").credentials();
    let (stored_key, server_key) = (keys.stored_key, keys.server_key);
    let credential = Credential::ScramSha256 { salt, iterations: 4_096, stored_key, server_key };
    let home = usize::from(world.home_of(login.user));
    let request = AdminRequest::ResetUser { name: name.into(), credential };
    world.step(home, Input::Admin { token: 1, request });
}

fn begin_proof(world: &mut World, client: ClientId, proof: &str) -> u32 {
    world.begin(client, |encoder, request| {
        let proof = LoginProof {
            client_final: proof,
            device: wire::encode::NEW_DEVICE,
            device_name: "",
            device_class: DeviceClass::Web,
        };
        encoder.login_proof(request, &proof)
    })
}

/// The reason it was told before its connection was closed.
fn told(world: &mut World, client: ClientId) -> Option<Refusal> {
    match world.events(client).pop()?.event {
        EventBody::Closing(closing) => Refusal::from_code(closing.code),
        _ => None,
    }
}

#[test]
fn a_login_that_is_on_its_way_does_not_outlive_the_end_of_all_sessions() {
    let mut world = World::new(3);
    let first = world.login(0, "ann");
    let client = world.connect(1);
    let proof = world.prove(client, "ann", "ann").expect("a challenge");
    world.hold_commits = true;
    let request = begin_proof(&mut world, client, &proof);
    world.run();
    // The proof was right, and its session waits for the disk.
    reset(&mut world, &first, "ann", "new");
    world.run();
    world.hold_commits = false;
    world.run();
    let Some(EventBody::LoggedIn(second)) = world.reply_to(client, request) else { panic!("not logged in") };
    for client in [first.client, client] {
        assert_eq!(world.closed(client), Some(CloseReason::SessionEnded));
        assert_eq!(told(&mut world, client), Some(Refusal::SessionEnded));
    }
    let reset = AdminReply::Reset { user: first.user.0, sessions_ended: 2 };
    assert_eq!(world.replies.pop(), Some((1, reset)));
    for ticket in [&first.ticket, &second.ticket] {
        assert_eq!(refusal_of(&world.resume(2, ticket, 0).1), Refusal::TicketRefused);
    }
    world.crash(2);
    assert_eq!(refusal_of(&world.resume(0, &second.ticket, 0).1), Refusal::TicketRefused);
}

#[test]
fn a_challenge_and_a_placement_from_before_the_end_serve_no_more() {
    let mut world = World::new(3);
    let first = world.login(0, "ann");
    let proving = world.connect(1);
    let proof = world.prove(proving, "ann", "ann").expect("a challenge");
    let resuming: Vec<_> = (0..3).map(|shard| world.connect(shard)).collect();
    // Each stands at another step of its way to the home.
    world.hold_mesh = true;
    let requests: Vec<_> = resuming
        .iter()
        .map(|client| world.begin(*client, |encoder, request| encoder.resume(request, &first.ticket, 0)))
        .collect();
    world.run();
    reset(&mut world, &first, "ann", "new");
    let request = begin_proof(&mut world, proving, &proof);
    world.run();
    world.hold_mesh = false;
    world.run();
    let answer = world.reply_to(proving, request).expect("an answer");
    assert_eq!(refusal_of(&answer), Refusal::LoginFailed);
    for (client, request) in resuming.into_iter().zip(requests) {
        match world.reply_to(client, request) {
            // It was there before the reset.
            Some(EventBody::Resumed(_)) => {
                assert_eq!(world.closed(client), Some(CloseReason::SessionEnded));
                assert_eq!(told(&mut world, client), Some(Refusal::SessionEnded));
            }
            Some(answer) => assert_eq!(refusal_of(&answer), Refusal::TicketRefused),
            None => panic!("no answer"),
        }
    }
    let home = usize::from(world.home_of(first.user));
    assert!(world.shards[home].logins.sessions(first.user).is_empty());
}

#[test]
fn a_login_with_the_new_password_stays_though_the_end_is_not_on_disk() {
    let mut world = World::new(2);
    let first = world.login(0, "ann");
    world.hold_commits = true;
    reset(&mut world, &first, "ann", "new");
    world.run();
    let client = world.connect(1);
    let start = world.begin(client, |encoder, request| {
        encoder.login_start(request, "SCRAM-SHA-256", "n,,n=ann,r=abcdefgh")
    });
    world.run();
    assert_eq!(world.reply_to(client, start), None, "the new salt is not told before it is on disk");
    assert!(world.is_open(first.client));
    world.hold_commits = false;
    world.run();
    assert!(matches!(world.reply_to(client, start), Some(EventBody::Challenge(_))));
    let client = world.connect(0);
    assert!(matches!(world.log_in(client, "ann", "new", 0), EventBody::LoggedIn(_)));
    assert!(world.is_open(client) && !world.is_open(first.client));
}

/// Logs in over a new connection as a device of this class; 0 asks for a new one.
fn log_in_as(world: &mut World, shard: u16, device: u32, class: DeviceClass) -> Login {
    let client = world.connect(shard);
    let proof = world.prove(client, "ann", "ann").expect("a challenge");
    let reply = world.reply(client, |encoder, request| {
        let proof = LoginProof {
            client_final: &proof,
            device: DeviceId(device),
            device_name: "thing",
            device_class: class,
        };
        encoder.login_proof(request, &proof)
    });
    let EventBody::LoggedIn(logged_in) = reply else { panic!("not logged in: {reply:?}") };
    let (user, device, ticket) = (logged_in.user, logged_in.device, logged_in.ticket.clone());
    Login { client, user, device, ticket, logged_in }
}

fn devices(world: &mut World, client: ClientId) -> Vec<Device> {
    match world.reply(client, |encoder, request| encoder.list_devices(request)) {
        EventBody::Devices(devices) => devices,
        other => panic!("no list: {other:?}"),
    }
}

fn end(world: &mut World, client: ClientId, query: DeviceQuery) -> EventBody {
    world.reply(client, |encoder, request| query.encode(encoder, request))
}

fn one_per_class(shards: u16) -> World {
    World::with(shards, Config { sessions: SessionPolicy::OnePerClass, ..config() })
}

#[test]
fn another_device_of_the_class_takes_over_and_the_old_one_is_told_why() {
    let mut world = one_per_class(3);
    world.login(0, "ann"); // a bot
    let desktop = log_in_as(&mut world, 0, 0, DeviceClass::Desktop);
    let phone = log_in_as(&mut world, 1, 0, DeviceClass::Mobile);
    let laptop = log_in_as(&mut world, 2, 0, DeviceClass::Desktop);
    assert_eq!(world.closed(desktop.client), Some(CloseReason::SessionEnded));
    assert_eq!(told(&mut world, desktop.client), Some(Refusal::TakenOver));
    assert!(world.is_open(phone.client) && world.is_open(laptop.client));
    assert_eq!(refusal_of(&world.resume(0, &desktop.ticket, 0).1), Refusal::TicketRefused);
    // It is no matter whether the other one is connected.
    world.close(laptop.client);
    let desktop = log_in_as(&mut world, 0, desktop.device.0, DeviceClass::Desktop);
    assert_eq!(refusal_of(&world.resume(0, &laptop.ticket, 0).1), Refusal::TicketRefused);
    assert!(world.is_open(desktop.client) && world.is_open(phone.client));
    world.crash(2);
    assert_eq!(refusal_of(&world.resume(1, &laptop.ticket, 0).1), Refusal::TicketRefused);
    assert!(matches!(world.resume(1, &desktop.ticket, 0).1, EventBody::Resumed(_)));
}

#[test]
fn whoever_resumes_takes_over_from_those_that_an_earlier_policy_allowed() {
    let mut world = World::new(2);
    world.login(0, "ann");
    let (one, two) =
        (log_in_as(&mut world, 0, 0, DeviceClass::Web), log_in_as(&mut world, 1, 0, DeviceClass::Web));
    world.config.sessions = SessionPolicy::OnePerClass;
    world.crash(2);
    let (first, reply) = world.resume(0, &one.ticket, 0);
    assert!(matches!(reply, EventBody::Resumed(_)));
    let (second, reply) = world.resume(1, &two.ticket, 0);
    assert!(matches!(reply, EventBody::Resumed(_)));
    assert_eq!(told(&mut world, first), Some(Refusal::TakenOver));
    assert!(world.is_open(second));
    assert_eq!(refusal_of(&world.resume(0, &one.ticket, 0).1), Refusal::TicketRefused);
}

#[test]
fn a_takeover_needs_no_room_and_others_do() {
    let mut world = one_per_class(1);
    world.login(0, "ann");
    let desktops: Vec<_> = (0..3).map(|_| log_in_as(&mut world, 0, 0, DeviceClass::Desktop).client).collect();
    assert_eq!(desktops.iter().filter(|client| world.is_open(**client)).count(), 1);
}

#[test]
fn a_user_sees_his_devices_and_ends_their_sessions() {
    let mut world = World::new(3);
    world.login(0, "ann");
    let desktop = log_in_as(&mut world, 0, 0, DeviceClass::Desktop);
    world.advance(5_000);
    let phone = log_in_as(&mut world, 1, 0, DeviceClass::Mobile);
    let list = devices(&mut world, phone.client);
    let seen = |list: &[Device], login: &Login| {
        list.iter().find(|device| device.device == login.device).expect("it is listed").clone()
    };
    let (old, own) = (seen(&list, &desktop), seen(&list, &phone));
    assert_eq!(
        (old.name.as_str(), old.class, old.address.as_str()),
        ("thing", DeviceClass::Desktop, "127.0.0.1")
    );
    assert_eq!((old.online, old.own, own.online, own.own), (true, false, true, true));
    assert!(own.since_ms > old.since_ms && own.active_ms >= own.since_ms);
    // The phone ends the desktop.
    let other = world.login(2, "bob");
    assert_eq!(
        end(&mut world, phone.client, DeviceQuery::End(desktop.device)),
        EventBody::SessionsEnded { count: 1 }
    );
    assert_eq!(told(&mut world, desktop.client), Some(Refusal::EndedByUser));
    assert_eq!(refusal_of(&world.resume(0, &desktop.ticket, 0).1), Refusal::TicketRefused);
    assert!(!seen(&devices(&mut world, phone.client), &desktop).online);
    assert_eq!(
        end(&mut world, phone.client, DeviceQuery::End(desktop.device)),
        EventBody::SessionsEnded { count: 0 }
    );
    let refused =
        |world: &mut World, device| refusal_of(&end(world, phone.client, DeviceQuery::End(DeviceId(device))));
    assert_eq!(refused(&mut world, 99), Refusal::UnknownDevice);
    assert_eq!(refused(&mut world, phone.device.0), Refusal::BadField);
    // All others, among them the one that login left open and one that is away.
    let desktop = log_in_as(&mut world, 0, desktop.device.0, DeviceClass::Desktop);
    let away = log_in_as(&mut world, 0, 0, DeviceClass::Web);
    world.close(away.client);
    assert_eq!(end(&mut world, phone.client, DeviceQuery::EndOthers), EventBody::SessionsEnded { count: 2 });
    assert!(world.is_open(phone.client) && !world.is_open(desktop.client) && world.is_open(other.client));
    assert_eq!(refusal_of(&world.resume(0, &away.ticket, 0).1), Refusal::TicketRefused);
    assert!(matches!(world.resume(0, &phone.ticket, 0).1, EventBody::Resumed(_)));
}

#[test]
fn whoever_was_ended_a_moment_ago_ends_nobody() {
    let mut world = World::new(2);
    let stolen = world.login(0, "ann");
    let owner = log_in_as(&mut world, 1, 0, DeviceClass::Desktop);
    world.hold_commits = true;
    let first = world.begin(owner.client, |encoder, request| encoder.end_other_sessions(request));
    world.run();
    let second = world.begin(stolen.client, |encoder, request| encoder.end_other_sessions(request));
    world.run();
    world.hold_commits = false;
    world.run();
    assert_eq!(world.reply_to(owner.client, first), Some(EventBody::SessionsEnded { count: 1 }));
    let answer = world.reply_to(stolen.client, second).expect("it was answered before it was ended");
    assert_eq!(refusal_of(&answer), Refusal::SessionEnded);
    assert!(world.is_open(owner.client) && !world.is_open(stolen.client));
    assert!(matches!(world.resume(0, &owner.ticket, 0).1, EventBody::Resumed(_)));
}

#[test]
fn sessions_stay_when_the_disk_is_full() {
    let mut world = World::new(2);
    let one = world.login(0, "ann");
    let two = log_in_as(&mut world, 1, 0, DeviceClass::Desktop);
    world.outcome = CommitOutcome::Full;
    assert_eq!(refusal_of(&end(&mut world, two.client, DeviceQuery::EndOthers)), Refusal::StorageFull);
    assert!(world.is_open(one.client));
    world.outcome = CommitOutcome::Committed;
    assert!(matches!(world.resume(0, &one.ticket, 0).1, EventBody::Resumed(_)));
}

#[test]
fn activity_is_what_a_person_wants_and_outlives_the_session_and_the_node() {
    let mut world = World::with(2, Config { idle: IdleTimes::all(10_000_000), ..config() });
    let one = world.login(0, "ann");
    let two = log_in_as(&mut world, 1, 0, DeviceClass::Desktop);
    let active = |world: &mut World, client| {
        let list = devices(world, client);
        list.iter().find(|device| device.device == one.device).expect("it is listed").active_ms
    };
    let login_ms = active(&mut world, two.client);
    world.advance(500_000);
    world.reply(one.client, |encoder, request| encoder.ping(request, 1));
    world.reply(one.client, |encoder, request| encoder.sync(request, 0, 1));
    assert_eq!(active(&mut world, two.client), login_ms, "nobody sits there");
    let find =
        |world: &mut World, client| world.reply(client, |encoder, request| encoder.find_user(request, "bob"));
    find(&mut world, one.client);
    let used_ms = active(&mut world, two.client);
    assert_eq!(used_ms, login_ms + 500_000);
    world.advance(20_000);
    find(&mut world, one.client);
    assert_eq!(active(&mut world, two.client), used_ms, "the home is told once a minute");
    // Its end is written, and a resume is not an activity.
    world.close(one.client);
    world.advance(100_000);
    world.crash(3);
    let (client, _) = world.resume(0, &two.ticket, 0);
    assert_eq!(active(&mut world, client), used_ms);
    world.resume(0, &one.ticket, 0);
    assert_eq!(active(&mut world, client), used_ms);
    // Once an hour it is written while the session goes on, so that a crash takes no more than that.
    let (again, _) = world.resume(0, &one.ticket, 0);
    world.advance(3_600_000 - 700_000);
    find(&mut world, again);
    let used_ms = active(&mut world, client);
    world.crash(2);
    let (client, _) = world.resume(0, &two.ticket, 0);
    assert_eq!(active(&mut world, client), used_ms);
}

/// Each command of the table, however its body is read: what a client sends by itself moves nothing, all else does.
#[test]
fn what_a_client_sends_by_itself_shows_no_activity() {
    let mut world = World::with(2, Config { idle: IdleTimes::all(10_000_000), ..config() });
    let (one, bob) = (world.login(0, "ann"), world.login(1, "bob"));
    let two = log_in_as(&mut world, 1, 0, DeviceClass::Desktop);
    let chat = ConversationId::private(one.user, bob.user).expect("two users");
    let send = Send::plain(1, 0, BodyKind::Text, b"hello");
    world.reply(bob.client, |encoder, request| encoder.send(request, chat, &send));
    let active = |world: &mut World| {
        let list = devices(world, two.client);
        list.iter().find(|device| device.device == one.device).expect("it is listed").active_ms
    };
    let pull = Pull { from: 1, to: 9, bytes_max: 0, epoch: 0 };
    type Ask<'a> = &'a dyn Fn(&mut wire::encode::Encoder, u32) -> bytes::Bytes;
    let mark =
        |kind| move |encoder: &mut wire::encode::Encoder, request| encoder.mark(request, chat, kind, 1);
    let (delivered, read) = (mark(MarkKind::Delivered), mark(MarkKind::Read));
    let asks: [(bool, Ask<'_>); 14] = [
        (false, &|encoder, request| encoder.ping(request, 1)),
        (false, &|encoder, request| encoder.list_devices(request)),
        (false, &|encoder, request| encoder.name_user(request, bob.user)),
        (false, &|encoder, request| encoder.get_profile(request, bob.user)),
        (false, &|encoder, request| encoder.pull(request, chat, &pull)),
        (false, &|encoder, request| encoder.sync(request, 0, 0)),
        (false, &|encoder, request| encoder.sync_contacts(request, 0, 0)),
        (false, &|encoder, request| encoder.sync_presence(request, 0, 0)),
        (false, &|encoder, request| encoder.get_presence(request, bob.user)),
        (false, &|encoder, request| encoder.sync_org(request, OrgPosition::default(), 0)),
        (false, &delivered),
        (true, &|encoder, request| encoder.find_user(request, "bob")),
        (true, &|encoder, request| encoder.contact_request(request, chat, "")),
        (true, &read),
    ];
    for (number, (moves, ask)) in asks.into_iter().enumerate() {
        world.advance(100_000);
        let before_ms = active(&mut world);
        world.reply(one.client, |encoder, request| ask(encoder, request));
        assert_eq!(active(&mut world) > before_ms, moves, "{number}");
    }
    let by_itself = Command::ALL.iter().filter(|command| command.is_of_client());
    assert_eq!(by_itself.count(), 11, "all but the mark stand above, and Logout");
}

/// A mark that waits until it is known for whom it is, is an activity too.
#[test]
fn a_mark_that_is_held_shows_activity() {
    let mut world = World::with(2, Config { idle: IdleTimes::all(10_000_000), ..config() });
    let (one, bob) = (world.login(0, "ann"), world.login(1, "bob"));
    let two = log_in_as(&mut world, 1, 0, DeviceClass::Desktop);
    let chat = ConversationId::private(one.user, bob.user).expect("two users");
    let send = Send::plain(1, 0, BodyKind::Text, b"hello");
    world.reply(bob.client, |encoder, request| encoder.send(request, chat, &send));
    let connection = world.connection(one.client);
    world.within(usize::from(connection.shard), |shard| shard.connections.forget_standing(connection));
    let login_ms = world.now.wall_ms;
    world.advance(100_000);
    let mark = world.begin(one.client, |encoder, request| encoder.mark(request, chat, MarkKind::Read, 1));
    world.run();
    assert_eq!(world.reply_to(one.client, mark), None, "it waits");
    let list = devices(&mut world, two.client);
    let device = list.iter().find(|device| device.device == one.device).expect("it is listed");
    assert_eq!(device.active_ms, login_ms + 100_000);
}

#[test]
fn of_too_many_devices_the_one_that_was_used_longest_ago_leaves() {
    let mut world = World::new(1);
    world.login(0, "ann");
    let idle = log_in_as(&mut world, 0, 0, DeviceClass::Web);
    let used = world.login(0, "ann");
    let (idle, mut used) = (idle, used);
    world.close(idle.client);
    for _ in 0..DEVICES_MAX - 3 {
        world.advance(120_000);
        let (client, reply) = world.resume(0, &used.ticket, 0);
        used.ticket = resumed(&reply).ticket.clone();
        world.reply(client, |encoder, request| encoder.find_user(request, "bob"));
        world.close(client);
        let other = world.login(0, "ann");
        world.close(other.client);
    }
    let account: Account = world.disk.get(&Key::Account(used.user)).expect("the account");
    assert_eq!(account.devices.len(), DEVICES_MAX);
    world.crash(1);
    // The first one, which never logged in again but was left open, goes before the other two.
    for _ in 0..2 {
        log_in_as(&mut world, 0, 0, DeviceClass::Mobile);
    }
    assert_eq!(refusal_of(&world.resume(0, &idle.ticket, 0).1), Refusal::TicketRefused);
    assert!(matches!(world.resume(0, &used.ticket, 0).1, EventBody::Resumed(_)), "somebody used it");
    let gone = Key::DeviceSeen(idle.user, idle.device).bytes();
    assert!(!world.disk.rows.contains_key(&gone), "what was kept of it is gone too");
}

#[test]
fn each_class_has_its_own_time_to_be_silent() {
    let idle = IdleTimes { desktop_ms: 10_000, mobile_ms: 30_000, web_ms: 10_000, bot_ms: 1_000_000 };
    let mut world = World::with(2, Config { idle, ..config() });
    world.login(0, "ann");
    let desktop = log_in_as(&mut world, 0, 0, DeviceClass::Desktop);
    let phone = log_in_as(&mut world, 1, 0, DeviceClass::Mobile);
    assert_eq!(desktop.logged_in.idle_ms_max, 10_000);
    assert_eq!(phone.logged_in.idle_ms_max, 30_000);
    world.advance(9_000);
    assert!(world.is_open(desktop.client));
    world.advance(2_000);
    assert_eq!(world.closed(desktop.client), Some(CloseReason::Idle));
    assert_eq!(told(&mut world, desktop.client), Some(Refusal::TimedOut));
    assert!(world.is_open(phone.client));
    let home = usize::from(world.home_of(phone.user));
    assert!(
        world.shards[home].logins.sessions(phone.user).iter().all(|open| open.place.device != desktop.device)
    );
    let (_, reply) = world.resume(1, &desktop.ticket, 0);
    assert_eq!(resumed(&reply).idle_ms_max, 10_000);
}

#[test]
fn the_operator_sees_devices_and_ends_sessions() {
    let mut world = World::new(2);
    let one = world.login(0, "ann");
    let two = log_in_as(&mut world, 1, 0, DeviceClass::Desktop);
    let home = world.home_of(one.user);
    let list = world.admin(home, AdminRequest::ListDevices { name: "Ann".into() });
    let AdminReply::Devices { devices, .. } = list else { panic!("{list:?}") };
    assert!(devices.len() == 2 && devices.iter().all(|device| device.online && !device.own));
    let nobody = AdminRequest::ListDevices { name: "nobody".into() };
    let nobodys_home = world.home_of(wire::UserId(u64::from(wire::Slot::of_name("nobody").number())));
    assert!(matches!(world.admin(nobodys_home, nobody), AdminReply::Refused { .. }));
    let only = AdminRequest::EndSessions { name: "ann".into(), device: Some(two.device.0) };
    assert_eq!(world.admin(home, only), AdminReply::Ended { user: one.user.0, sessions_ended: 1 });
    assert_eq!(told(&mut world, two.client), Some(Refusal::EndedByOperator));
    let all = AdminRequest::EndSessions { name: "ann".into(), device: None };
    assert_eq!(world.admin(home, all), AdminReply::Ended { user: one.user.0, sessions_ended: 1 });
    assert!(!world.is_open(one.client));
    assert_eq!(refusal_of(&world.resume(0, &one.ticket, 0).1), Refusal::TicketRefused);
}
