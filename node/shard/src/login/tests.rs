//! Accounts and logins, end to end.

use record::{Account, CommitOutcome, Key, SlotState};
use wire::message::Refused;
use wire::{Command, EventBody, Refusal, ShardAddress, Slot};

use crate::config::IdleTimes;
use crate::limits::{DEVICES_MAX, FAILURES_FREE, LOADS_IN_FLIGHT_MAX, SESSIONS_PER_USER_MAX};
use crate::mesh::{Caller, SessionPlace};
use crate::testing::{ClientId, Login, World, config, refusal_of, resumed};
use crate::{CloseReason, Config, Security};

fn refused(event: EventBody) -> Refused {
    match event {
        EventBody::Refused(refused) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

fn log_out(world: &mut World, login: &Login, forget_ticket: bool) -> EventBody {
    world.reply(login.client, |encoder, request| encoder.logout(request, forget_ticket))
}

fn find(world: &mut World, client: ClientId, name: &str) -> EventBody {
    world.reply(client, |encoder, request| encoder.find_user(request, name))
}

#[test]
fn one_user_registers_logs_in_and_resumes_wherever_he_connects() {
    for shards in [1, 2, 3] {
        let mut world = World::with(shards, Config { placement_excess_percent: 1_000, ..config() });
        for (number, name) in ["ann", "bob", "cecilia", "dora"].into_iter().enumerate() {
            let login = world.login(number as u16 % shards, name);
            assert_eq!(login.logged_in.name, name);
            assert_eq!(world.shard_of(login.client), world.home_of(login.user));
            world.close(login.client);
            let (_, reply) = world.resume(shards - 1, &login.ticket, 7);
            let resumed = resumed(&reply);
            assert_eq!((resumed.session, resumed.device), (login.logged_in.session, login.device));
            assert_eq!((resumed.afresh, resumed.from), (false, 7));
        }
        world.crash(shards);
        let client = world.connect(0);
        assert_eq!(refusal_of(&world.register(client, "Ann")), Refusal::NameTaken);
        assert!(matches!(world.log_in(client, "ANN", "ann", 1), EventBody::LoggedIn(_)));
    }
}

#[test]
fn every_wrong_step_of_a_login_is_refused_alike() {
    let idle = IdleTimes::all(1_000_000);
    let mut world = World::with(2, Config { login_ms_max: 1_000_000, idle, ..config() });
    world.login(0, "ann");
    let mut answers = Vec::new();
    // A wrong password, and a name without an account.
    for name in ["ann", "nobody"] {
        let client = world.connect(1);
        answers.push(world.log_in(client, name, "wrong", 0));
    }
    // A proof for another challenge.
    let client = world.connect(0);
    let old = world.prove(client, "ann", "ann").expect("a challenge");
    let client = world.connect(0);
    world.prove(client, "ann", "ann").expect("a challenge");
    answers.push(world.send_proof(client, &old, 0));
    world.login(0, "ann"); // forgives the failures so far
    // An old challenge.
    let client = world.connect(0);
    let proof = world.prove(client, "ann", "ann").expect("a challenge");
    world.advance(60_001);
    answers.push(world.send_proof(client, &proof, 0));
    // A proof that was used: there is no challenge any more, and none is found again.
    let client = world.connect(1);
    let proof = world.prove(client, "ann", "ann").expect("a challenge");
    assert!(matches!(world.send_proof(client, &proof, 0), EventBody::LoggedIn(_)));
    let client = world.connect(1);
    world.prove(client, "ann", "ann").expect("a challenge");
    answers.push(world.send_proof(client, &proof, 0));
    // Not a proof at all.
    let client = world.connect(1);
    world.prove(client, "ann", "ann").expect("a challenge");
    answers.push(world.send_proof(client, "nonsense", 0));
    for answer in answers.drain(..).map(refused) {
        assert_eq!(Refusal::from_code(answer.code), Some(Refusal::LoginFailed));
        assert_eq!((answer.detail, answer.retry_ms), (0, 0));
    }
    // Right in time: the last moment of a challenge.
    let client = world.connect(0);
    let proof = world.prove(client, "ann", "ann").expect("a challenge");
    world.advance(60_000);
    assert!(matches!(world.send_proof(client, &proof, 0), EventBody::LoggedIn(_)));
}

#[test]
fn a_name_without_account_has_a_lasting_salt_and_costs_the_same_reads() {
    let mut world = World::new(1);
    world.login(0, "ann");
    world.crash(1);
    let reads = |world: &mut World, name: &str| {
        let client = world.connect(0);
        world.hold_loads = true;
        let request = world.begin(client, |encoder, request| {
            encoder.login_start(request, "SCRAM-SHA-256", &format!("n,,n={name},r=abcdefgh"))
        });
        let mut count = 0;
        loop {
            world.run();
            let Some((shard, token, queries)) = world.loads.pop_front() else { break };
            count += 1;
            let rows = world.disk.read(&queries);
            world.step(shard, crate::Input::Loaded { token, rows });
        }
        world.hold_loads = false;
        match world.reply_to(client, request) {
            Some(EventBody::Challenge(challenge)) => {
                let (_, terms) = challenge.server_first.split_once(",s=").expect("a salt");
                (count, terms.to_owned())
            }
            other => panic!("not a challenge: {other:?}"),
        }
    };
    let known = reads(&mut world, "ann");
    let unknown = reads(&mut world, "nobody");
    assert_eq!(known.0, unknown.0, "the number of reads tells whether there is an account");
    assert_eq!(known.1.len(), unknown.1.len());
    world.crash(1);
    let again = reads(&mut world, "nobody");
    assert_eq!(unknown.1, again.1);
}

#[test]
fn of_two_that_register_one_name_exactly_one_wins() {
    for first_commit in [CommitOutcome::Committed, CommitOutcome::Full] {
        let mut world = World::new(2);
        let clients = [world.connect(0), world.connect(1)];
        for client in clients {
            let terms = world.reply(client, |encoder, request| encoder.register_start(request, "ann"));
            assert!(matches!(terms, EventBody::RegisterTerms(_)));
        }
        world.hold_commits = true;
        let requests = clients.map(|client| {
            world.begin(client, |encoder, request| encoder.register(request, "ann", &[1; 32], &[2; 32]))
        });
        world.run();
        for (client, request) in clients.into_iter().zip(requests) {
            assert_eq!(world.reply_to(client, request), None, "told before it is on disk");
        }
        world.hold_commits = false;
        world.outcome = first_commit;
        world.run();
        world.outcome = CommitOutcome::Committed;
        let answers = [0, 1].map(|n| world.reply_to(clients[n], requests[n]).expect("an answer"));
        let slot = Slot::of_name("ann");
        if first_commit == CommitOutcome::Full {
            assert_eq!(answers.map(|answer| refusal_of(&answer)), [Refusal::StorageFull; 2]);
            assert!(world.disk.rows.is_empty());
            world.advance(1_000);
            assert!(matches!(world.register(clients[1], "ann"), EventBody::Registered { .. }));
        } else {
            let won = answers.iter().filter(|answer| matches!(answer, EventBody::Registered { .. })).count();
            let lost = answers.iter().find(|answer| matches!(answer, EventBody::Refused(_)));
            assert_eq!((won, refusal_of(lost.expect("one lost"))), (1, Refusal::NameTaken));
        }
        let state: SlotState = world.disk.get(&Key::SlotState(slot)).expect("the slot handed out a number");
        assert_eq!(state.users, 1);
    }
}

#[test]
fn nothing_of_a_registration_shows_before_it_is_on_disk() {
    let mut world = World::new(2);
    let bob = world.login(0, "bob");
    let client = world.connect(1);
    world.reply(client, |encoder, request| encoder.register_start(request, "ann"));
    world.hold_commits = true;
    let registered =
        world.begin(client, |encoder, request| encoder.register(request, "ann", &[1; 32], &[2; 32]));
    world.run();
    let found = world.begin(bob.client, |encoder, request| encoder.find_user(request, "ann"));
    world.run();
    assert_eq!(world.reply_to(client, registered), None);
    assert_eq!(world.reply_to(bob.client, found), None);
    world.hold_commits = false;
    world.run();
    let Some(EventBody::Registered { user }) = world.reply_to(client, registered) else {
        panic!("not registered")
    };
    assert!(
        matches!(world.reply_to(bob.client, found), Some(EventBody::UserFound(found)) if found.user == user)
    );
}

#[test]
fn a_device_that_logs_in_again_ends_its_session_and_ticket() {
    let mut world = World::new(3);
    let first = world.login(0, "ann");
    let client = world.connect(1);
    let EventBody::LoggedIn(second) = world.log_in(client, "ann", "ann", first.device.0) else {
        panic!("not logged in")
    };
    assert_eq!(second.device, first.device);
    assert_ne!(second.session, first.logged_in.session);
    assert_eq!(world.closed(first.client), Some(CloseReason::SessionEnded));
    let last = world.events(first.client).pop().expect("it is told");
    assert!(
        matches!(last.event, EventBody::Closing(closing) if closing.code == Refusal::SessionEnded.code())
    );
    assert!(world.is_open(client));
    let (old, reply) = world.resume(2, &first.ticket, 1);
    assert_eq!(refusal_of(&reply), Refusal::TicketRefused);
    assert!(world.is_open(old), "one failure does not end a connection");
    assert!(world.is_open(client), "an old ticket ends nobody's session");
}

#[test]
fn a_login_shows_and_ends_nothing_before_it_is_on_disk() {
    let mut world = World::new(2);
    let first = world.login(0, "ann");
    let client = world.connect(0);
    let proof = world.prove(client, "ann", "ann").expect("a challenge");
    world.hold_commits = true;
    let request = world.begin(client, |encoder, request| {
        encoder.login_proof(
            request,
            &wire::message::LoginProof {
                client_final: &proof,
                device: first.device,
                device_name: "",
                device_class: wire::message::DeviceClass::Web,
            },
        )
    });
    world.run();
    assert_eq!(world.reply_to(client, request), None);
    assert!(world.is_open(first.client));
    world.crash(2);
    world.hold_commits = false;
    let (resumed_client, reply) = world.resume(0, &first.ticket, 0);
    assert!(resumed(&reply).afresh, "the old ticket still serves: {reply:?}");
    // The same with a full disk.
    let client = world.connect(1);
    let proof = world.prove(client, "ann", "ann").expect("a challenge");
    world.outcome = CommitOutcome::Full;
    assert_eq!(refusal_of(&world.send_proof(client, &proof, first.device.0)), Refusal::StorageFull);
    assert!(world.is_open(resumed_client));
    world.outcome = CommitOutcome::Committed;
    world.advance(1_000);
    assert!(matches!(world.log_in(client, "ann", "ann", first.device.0), EventBody::LoggedIn(_)));
    assert!(!world.is_open(resumed_client));
}

#[test]
fn devices_and_sessions_are_bounded_and_the_account_fits_its_record() {
    let mut world = World::new(1);
    let name = &"n".repeat(wire::limits::NAME_LEN_MAX);
    let first = world.login(0, name);
    let mut open = vec![first.client];
    while open.len() < SESSIONS_PER_USER_MAX {
        open.push(world.login(0, name).client);
    }
    let client = world.connect(0);
    assert_eq!(refusal_of(&world.log_in(client, name, name, 0)), Refusal::TooManyDevices);
    // A device that has a session may take it over all the same.
    let client = world.connect(0);
    assert!(matches!(world.log_in(client, name, name, first.device.0), EventBody::LoggedIn(_)));
    open.into_iter().for_each(|client| world.close(client));
    world.close(client);
    for _ in 0..DEVICES_MAX {
        let client = world.connect(0);
        let proof = world.prove(client, name, name).expect("a challenge");
        let reply = world.reply(client, |encoder, request| {
            encoder.login_proof(
                request,
                &wire::message::LoginProof {
                    client_final: &proof,
                    device: wire::encode::NEW_DEVICE,
                    device_name: &"n".repeat(wire::limits::LABEL_LEN_MAX),
                    device_class: wire::message::DeviceClass::Mobile,
                },
            )
        });
        assert!(matches!(reply, EventBody::LoggedIn(_)), "{reply:?}");
        world.close(client);
    }
    let account: Account = world.disk.get(&Key::Account(first.user)).expect("the account");
    assert_eq!(account.devices.len(), DEVICES_MAX);
    let (_, reply) = world.resume(0, &first.ticket, 0);
    assert_eq!(refusal_of(&reply), Refusal::TicketRefused, "the first device left for a later one");
}

#[test]
fn an_account_made_while_somebody_asks_for_its_number_stays_known() {
    let mut world = World::new(1);
    let first = world.login(0, "ann");
    let (client, asking) = (world.connect(0), first.client);
    // The next user of bob's slot; whoever knows one user of it knows him before he is there.
    let slot = wire::UserName::parse("bob").expect("a name").slot();
    let bob = wire::UserId::from_parts(slot, 1).expect("a user");
    assert_eq!(refusal_of(&find(&mut world, asking, "bob")), Refusal::UnknownUser); // his name is read now
    world.hold_loads = true;
    let asked = world.begin(asking, |encoder, request| encoder.name_user(request, bob));
    world.run();
    let early = std::mem::take(&mut world.loads);
    let (shard, token, queries) = early.into_iter().next().expect("his account is being read");
    let rows = world.disk.read(&queries); // it saw no account
    world.hold_loads = false;
    assert_eq!(world.register(client, "bob"), EventBody::Registered { user: bob });
    // Whoever is in does not need his account in memory, but what was read before there was one must not come in its place.
    assert!(matches!(world.log_in(client, "bob", "bob", 0), EventBody::LoggedIn(_)));
    world.step(shard, crate::Input::Loaded { token, rows });
    world.run();
    let client = world.connect(0);
    assert!(matches!(world.reply_to(asking, asked), Some(EventBody::UserFound(found)) if found.user == bob));
    assert!(matches!(world.log_in(client, "bob", "bob", 0), EventBody::LoggedIn(_)));
}

#[test]
fn a_ticket_serves_until_it_is_forgotten_tampered_with_or_expired() {
    let mut world = World::with(2, Config { idle: IdleTimes::all(10_000_000), ..config() });
    let kept = world.login(0, "ann");
    assert_eq!(log_out(&mut world, &kept, false), EventBody::LoggedOut);
    assert_eq!(world.closed(kept.client), Some(CloseReason::LoggedOut));
    let (client, reply) = world.resume(1, &kept.ticket, 0);
    let ticket = resumed(&reply).ticket.clone();
    assert_ne!(ticket, kept.ticket);
    let again = Login { client, ..kept.clone() };
    assert_eq!(log_out(&mut world, &again, true), EventBody::LoggedOut);
    for old in [&kept.ticket, &ticket] {
        assert_eq!(refusal_of(&world.resume(0, old, 0).1), Refusal::TicketRefused);
    }
    let login = world.login(0, "ann");
    let mut tampered = login.ticket.clone();
    *tampered.last_mut().expect("a ticket") ^= 1;
    for wrong in [&tampered[..], &login.ticket[1..], &[]] {
        assert_eq!(refusal_of(&world.resume(1, wrong, 0).1), Refusal::TicketRefused);
    }
    world.advance(3_600_000);
    assert_eq!(refusal_of(&world.resume(1, &login.ticket, 0).1), Refusal::TicketRefused);
}

#[test]
fn a_forgotten_ticket_serves_again_when_the_disk_was_full() {
    let mut world = World::new(1);
    let login = world.login(0, "ann");
    world.outcome = CommitOutcome::Full;
    assert_eq!(refusal_of(&log_out(&mut world, &login, true)), Refusal::StorageFull);
    assert!(world.is_open(login.client), "it is still logged in");
    world.outcome = CommitOutcome::Committed;
    let (_, reply) = world.resume(0, &login.ticket, 0);
    assert_eq!(resumed(&reply).session, login.logged_in.session);
}

#[test]
fn a_session_that_is_resumed_leaves_its_older_connection() {
    let mut world = World::new(2);
    let login = world.login(0, "ann");
    let (second, reply) = world.resume(1, &login.ticket, 3);
    assert_eq!(resumed(&reply).session, login.logged_in.session);
    assert_eq!(world.closed(login.client), Some(CloseReason::SessionEnded));
    let (third, reply) = world.resume(0, &login.ticket, 3);
    assert_eq!(resumed(&reply).session, login.logged_in.session, "a ticket may be used again");
    assert!(!world.is_open(second) && world.is_open(third));
    let home = usize::from(world.home_of(login.user));
    assert_eq!(world.shards[home].logins.sessions(login.user).len(), 1);
}

#[test]
fn a_connection_that_is_lost_during_its_login_leaves_no_session() {
    let mut world = World::new(2);
    let login = world.login(0, "ann");
    world.close(login.client);
    let home = usize::from(world.home_of(login.user));
    assert!(world.shards[home].logins.sessions(login.user).is_empty());
    let client = world.connect(1);
    let proof = world.prove(client, "ann", "ann").expect("a challenge");
    world.hold_commits = true;
    world.begin(client, |encoder, request| {
        let proof = wire::message::LoginProof {
            client_final: &proof,
            device: login.device,
            device_name: "",
            device_class: wire::message::DeviceClass::Web,
        };
        encoder.login_proof(request, &proof)
    });
    world.run();
    world.close(client);
    world.hold_commits = false;
    world.run();
    assert!(world.shards[home].logins.sessions(login.user).is_empty());
    assert_eq!(world.shards.iter().map(|shard| shard.counters().sessions).sum::<u64>(), 0);
}

#[test]
fn who_guesses_is_delayed_and_the_owner_is_not() {
    let mut world = World::new(2);
    world.login(0, "ann");
    let attacker = "203.0.113.9".parse().expect("an address");
    for name in ["ann", "nobody"] {
        for _ in 0..FAILURES_FREE {
            let client = world.open_as(0, attacker, Security::Plain { loopback: false });
            world.greet(client);
            assert_eq!(refusal_of(&world.log_in(client, name, "guess", 0)), Refusal::LoginFailed);
        }
        let client = world.open_as(1, attacker, Security::Plain { loopback: false });
        world.greet(client);
        let answer = refused(world.log_in(client, name, "guess", 0));
        assert_eq!(answer.code, Refusal::LoginDelayed.code());
        assert_eq!(answer.retry_ms, 1_000, "the same whether or not there is an account");
    }
    let owner = world.connect(1);
    assert!(matches!(world.log_in(owner, "ann", "ann", 0), EventBody::LoggedIn(_)));
    world.advance(1_000);
    let client = world.open_as(1, attacker, Security::Plain { loopback: false });
    world.greet(client);
    assert!(matches!(world.log_in(client, "ann", "ann", 0), EventBody::LoggedIn(_)), "the delay has an end");
}

#[test]
fn a_few_failures_end_the_connection() {
    let mut world = World::new(1);
    let client = world.connect(0);
    for _ in 0..3 {
        assert!(world.is_open(client));
        assert_eq!(refusal_of(&world.log_in(client, "ann", "guess", 0)), Refusal::LoginFailed);
    }
    assert_eq!(world.closed(client), Some(CloseReason::TooManyFailures));
}

#[test]
fn users_are_found_by_name_and_named_by_id() {
    let mut world = World::new(3);
    let (ann, bob) = (world.login(0, "Ann"), world.login(1, "bob"));
    let EventBody::UserFound(found) = find(&mut world, bob.client, "aNN") else { panic!("not found") };
    assert_eq!((found.user, found.name.as_str()), (ann.user, "Ann"));
    let named = world.reply(ann.client, |encoder, request| encoder.name_user(request, bob.user));
    assert!(matches!(named, EventBody::UserFound(found) if found.name == "bob"));
    assert_eq!(refusal_of(&find(&mut world, ann.client, "nobody")), Refusal::UnknownUser);
    assert_eq!(refusal_of(&find(&mut world, ann.client, "no body")), Refusal::BadName);
    let nobody = wire::UserId(bob.user.0 + (77 << 10));
    let named = world.reply(ann.client, |encoder, request| encoder.name_user(request, nobody));
    assert_eq!(refusal_of(&named), Refusal::UnknownUser);
}

#[test]
fn more_questions_than_loads_wait_for_room() {
    let mut world = World::new(1);
    let ann = world.login(0, "ann");
    let connection = world.connection(ann.client);
    let (session, device) = (ann.logged_in.session, ann.device);
    let place = SessionPlace { shard: ShardAddress::default(), connection, session, device };
    // Of a session that is gone, so that their answers are only counted.
    let caller = Caller { user: ann.user, place, request: 1, command: Command::FindUser };
    world.close(ann.client);
    let questions = LOADS_IN_FLIGHT_MAX + 50;
    world.hold_loads = true;
    for number in 0..questions {
        // One in each turn: those of one turn are read together.
        world.within(0, |shard| {
            shard.logins.handle_find_user(&mut shard.core, caller, format!("user{number}"));
        });
        world.step(0, crate::Input::TurnEnd);
    }
    assert_eq!(world.loads.len(), LOADS_IN_FLIGHT_MAX);
    world.hold_loads = false;
    world.run();
    assert_eq!(world.shards[0].counters().late_answers, questions as u64, "each has its answer");
}

#[test]
fn records_wanted_in_one_turn_are_read_together() {
    let mut world = World::new(1);
    let logins: Vec<_> = (0..40).map(|number| world.login(0, &format!("user{number}"))).collect();
    world.crash(1);
    let clients: Vec<_> = logins.iter().map(|_| world.connect(0)).collect();
    world.hold_loads = true;
    for (client, login) in clients.iter().zip(&logins) {
        world.begin(*client, |encoder, request| encoder.resume(request, &login.ticket, 0));
    }
    world.run();
    assert_eq!(world.loads.len(), 4, "one for each store shard");
    assert_eq!(world.loads.iter().map(|(.., queries)| queries.len()).sum::<usize>(), logins.len());
    world.hold_loads = false;
    world.run();
    assert_eq!(world.shards[0].counters().resumes, logins.len() as u64);
}

#[test]
fn a_damaged_account_stops_the_node_with_a_reason() {
    let mut world = World::new(1);
    let login = world.login(0, "ann");
    world.crash(1);
    world.disk.rows.insert(Key::Account(login.user).bytes(), bytes::Bytes::from_static(b"\x03\x01junk"));
    let client = world.connect(0);
    world.begin(client, |encoder, request| {
        encoder.login_start(request, "SCRAM-SHA-256", "n,,n=ann,r=abcdefgh")
    });
    world.run();
    assert_eq!(world.fatal.len(), 1, "{:?}", world.fatal);
}
