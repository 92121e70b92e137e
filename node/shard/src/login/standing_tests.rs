//! Passwords, codes, and accounts that are disabled or deleted: what ends, what is told, and what unknown names cost.

use record::{Account, AccountState, Key, Record};
use wire::account::{PasswordChanged, ProofTerms, code_hash};
use wire::scram::{self, ClientProved, ClientStart};
use wire::{EventBody, Refusal, Slot, UserId};

use crate::admin::{AdminReply, AdminRequest, UserAct};
use crate::testing::{ClientId, Login, World, refusal_of};
use crate::{CloseReason, Security};

fn change(world: &mut World, name: &str, act: UserAct) -> AdminReply {
    let home = world.home_of(UserId(u64::from(Slot::of_name(name).number())));
    world.admin(home, AdminRequest::ChangeUser { name: name.into(), act })
}

fn changed(user: UserId, sessions_ended: u32) -> AdminReply {
    AdminReply::Changed { user: user.0, sessions_ended }
}

/// Why the connection was closed, as its client was told.
fn told(world: &mut World, client: ClientId) -> Option<Refusal> {
    match world.events(client).pop()?.event {
        EventBody::Closing(closing) => Refusal::from_code(closing.code),
        _ => None,
    }
}

fn account(world: &World, user: UserId) -> Account {
    Account::decode(&world.disk.rows[&Key::Account(user).bytes()]).expect("readable")
}

/// A proof of the password, and the terms of a new one.
fn prove(world: &mut World, login: &Login, password: &str) -> Result<(ClientProved, ProofTerms), EventBody> {
    let start = ClientStart::unbound("ann", scram::nonce_text(&[7; scram::NONCE_LEN]));
    let message = start.message().to_owned();
    let reply = world.reply(login.client, |encoder, request| encoder.proof_start(request, &message));
    let EventBody::ProofTerms(terms) = reply else { return Err(reply) };
    let challenged = start.handle_server_first(&terms.server_first).expect("acceptable");
    let keys = scram::stretch(password, challenged.salt(), challenged.iterations()).expect("good terms");
    Ok((challenged.prove(&keys, &[]), terms))
}

fn change_password(
    world: &mut World,
    login: &Login,
    old: &str,
    new: &str,
) -> Result<PasswordChanged, EventBody> {
    let (proved, terms) = prove(world, login, old)?;
    let new = scram::stretch(new, &terms.salt, terms.iterations).expect("good terms").credentials();
    let reply = world.reply(login.client, |encoder, request| {
        encoder.change_password(request, proved.message(), &new.stored_key, &new.server_key)
    });
    let EventBody::PasswordChanged(changed) = reply else { return Err(reply) };
    proved.handle_server_final(&changed.server_final).expect("the node knows the old password");
    Ok(changed)
}

#[test]
fn a_new_password_ends_all_other_sessions_and_every_ticket_of_before() {
    let mut world = World::new(3);
    let (desk, phone, web) = (world.login(0, "ann"), world.login(1, "ann"), world.login(2, "ann"));
    let wrong = change_password(&mut world, &desk, "guess", "new").expect_err("refused");
    assert_eq!(refusal_of(&wrong), Refusal::WrongPassword);
    let changed = change_password(&mut world, &desk, "ann", "new").expect("changed");
    assert!(world.is_open(desk.client), "this session goes on");
    let ended = world.reply(desk.client, |encoder, request| encoder.end_other_sessions(request));
    assert_eq!(ended, EventBody::SessionsEnded { count: 0 }, "and is still the current one of its device");
    for other in [&phone, &web] {
        assert_eq!(world.closed(other.client), Some(CloseReason::SessionEnded));
        assert_eq!(told(&mut world, other.client), Some(Refusal::PasswordChanged));
    }
    world.close(desk.client);
    for ticket in [&desk.ticket, &phone.ticket, &web.ticket] {
        assert_eq!(refusal_of(&world.resume(1, ticket, 0).1), Refusal::TicketRefused);
    }
    assert!(matches!(world.resume(2, &changed.ticket, 0).1, EventBody::Resumed(_)));
    let client = world.connect(0);
    assert_eq!(refusal_of(&world.log_in(client, "ann", "ann", 0)), Refusal::LoginFailed);
    assert!(matches!(world.log_in(client, "ann", "new", 0), EventBody::LoggedIn(_)));
}

#[test]
fn a_challenge_serves_once_and_a_guesser_is_slowed_down() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann");
    let (proved, _) = prove(&mut world, &ann, "ann").expect("a challenge");
    world.advance(60_001);
    let delete = |world: &mut World, proof: &str| {
        world.reply(ann.client, |encoder, request| encoder.delete_account(request, proof))
    };
    let late = delete(&mut world, proved.message());
    assert_eq!(refusal_of(&late), Refusal::ProofExpired);
    let (proved, _) = prove(&mut world, &ann, "guess").expect("a challenge");
    assert_eq!(refusal_of(&delete(&mut world, proved.message())), Refusal::WrongPassword);
    assert_eq!(refusal_of(&delete(&mut world, proved.message())), Refusal::ProofExpired, "used up");
    let mut refusals = Vec::new();
    for _ in 0..5 {
        match prove(&mut world, &ann, "guess") {
            Ok((proved, _)) => refusals.push(refusal_of(&delete(&mut world, proved.message()))),
            Err(reply) => refusals.push(refusal_of(&reply)),
        }
    }
    assert_eq!(refusals.last(), Some(&Refusal::LoginDelayed), "{refusals:?}");
}

#[test]
fn a_deleted_account_is_empty_and_its_name_is_kept_for_a_while() {
    let mut world = World::new(3);
    let (ann, phone, bob) = (world.login(0, "ann"), world.login(1, "ann"), world.login(1, "bob"));
    let profile = wire::profile::Profile::default();
    world.reply(ann.client, |encoder, request| encoder.set_profile(request, &profile));
    let wish = wire::presence::PresenceWish { text: Some("here".into()), ..Default::default() };
    world.reply(ann.client, |encoder, request| encoder.set_presence(request, &wish));
    assert!(world.disk.rows.contains_key(&Key::Presence(ann.user).bytes()));
    let (proved, _) = prove(&mut world, &ann, "ann").expect("a challenge");
    let reply = world.reply(ann.client, |encoder, request| encoder.delete_account(request, proved.message()));
    let EventBody::AccountDeleted { server_final } = reply else { panic!("{reply:?}") };
    proved.handle_server_final(&server_final).expect("the node knows the password");
    for session in [&ann, &phone] {
        assert_eq!(world.closed(session.client), Some(CloseReason::SessionEnded));
        assert_eq!(told(&mut world, session.client), Some(Refusal::AccountDeleted));
        assert_eq!(refusal_of(&world.resume(0, &session.ticket, 0).1), Refusal::AccountDeleted);
    }
    let empty = account(&world, ann.user);
    assert_eq!((empty.name.as_str(), empty.state), ("ann", AccountState::Deleted));
    assert!(empty.credentials.is_empty() && empty.devices.is_empty());
    for key in [Key::Profile(ann.user), Key::Presence(ann.user)] {
        assert!(!world.disk.rows.contains_key(&key.bytes()), "{key:?}");
    }
    let client = world.connect(0);
    assert_eq!(refusal_of(&world.log_in(client, "ann", "ann", 0)), Refusal::LoginFailed);
    let found = world.reply(bob.client, |encoder, request| encoder.find_user(request, "ann"));
    assert!(matches!(found, EventBody::UserFound(found) if found.deleted && found.user == ann.user));
    let seen = world.reply(bob.client, |encoder, request| encoder.get_profile(request, ann.user));
    assert!(matches!(seen, EventBody::ProfileFound(found) if found.deleted && found.name == "ann"));
    assert_eq!(refusal_of(&world.register(client, "ann")), Refusal::NameTaken);
    assert!(matches!(change(&mut world, "ann", UserAct::Enable), AdminReply::Refused { .. }));
    world.now.wall_ms += 86_400_000;
    let EventBody::Registered { user } = world.register(client, "ann") else { panic!("not registered") };
    assert_ne!(user, ann.user);
    let named = world.reply(bob.client, |encoder, request| encoder.name_user(request, ann.user));
    assert!(matches!(named, EventBody::UserFound(found) if found.deleted && found.name == "ann"));
}

#[test]
fn what_is_set_while_an_account_is_deleted_is_gone_with_it() {
    let mut world = World::new(1);
    let ann = world.login(0, "ann");
    world.hold_loads = true;
    let profile = wire::profile::Profile::default();
    let set = world.begin(ann.client, |encoder, request| encoder.set_profile(request, &profile));
    world.run();
    // Read before the account was deleted, and told behind it.
    let (shard, token, queries) = world.loads.pop_front().expect("the account and the profile");
    let rows = world.disk.read(&queries);
    world.hold_loads = false;
    assert_eq!(change(&mut world, "ann", UserAct::Delete), changed(ann.user, 1));
    world.step(shard, crate::Input::Loaded { token, rows });
    world.run();
    assert!(world.reply_to(ann.client, set).is_none_or(|reply| refusal_of(&reply) == Refusal::SessionEnded));
    for key in [Key::Profile(ann.user), Key::Presence(ann.user)] {
        assert!(!world.disk.rows.contains_key(&key.bytes()), "{key:?}");
    }
}

#[test]
fn a_deleted_account_is_told_as_such_to_the_operator_and_its_name_becomes_free_for_services() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann");
    assert_eq!(change(&mut world, "ann", UserAct::Delete), changed(ann.user, 1));
    let home = world.home_of(ann.user);
    let credential = record::Credential::ScramSha256 {
        salt: [1; 16],
        iterations: 4_096,
        stored_key: [2; 32],
        server_key: [3; 32],
    };
    let reset = world.admin(home, AdminRequest::ResetUser { name: "ann".into(), credential });
    assert_eq!(reset, AdminReply::Refused { reason: Refusal::AccountDeleted.reason().into() });
    let new = crate::login::NewToken {
        hash: [1; 32],
        scopes: wire::Scopes::ALL,
        expires_ms: 0,
        label: String::new(),
    };
    for crash in [false, true] {
        if crash {
            world.crash(2); // nothing of it is in memory
        }
        let request = AdminRequest::CreateToken { name: "ann".into(), new: new.clone() };
        let early = world.admin(home, request.clone());
        assert_eq!(early, AdminReply::Refused { reason: Refusal::NameTaken.reason().into() });
        if crash {
            world.now.wall_ms += 86_400_000;
            let AdminReply::TokenCreated { user, number: 1 } = world.admin(home, request) else {
                panic!("the name is free")
            };
            assert_ne!(user, ann.user.0);
        }
    }
}

#[test]
fn a_disabled_account_is_out_at_once_until_it_is_enabled() {
    let mut world = World::new(3);
    let (desk, phone, bob) = (world.login(0, "ann"), world.login(1, "ann"), world.login(2, "bob"));
    assert_eq!(change(&mut world, "ann", UserAct::Disable), changed(desk.user, 2));
    for session in [&desk, &phone] {
        assert_eq!(told(&mut world, session.client), Some(Refusal::AccountDisabled));
        assert_eq!(refusal_of(&world.resume(0, &session.ticket, 0).1), Refusal::AccountDisabled);
    }
    assert!(world.is_open(bob.client));
    let client = world.connect(0);
    assert_eq!(refusal_of(&world.log_in(client, "ann", "guess", 0)), Refusal::LoginFailed);
    let client = world.connect(0);
    assert_eq!(refusal_of(&world.log_in(client, "ann", "ann", 0)), Refusal::AccountDisabled, "he may know");
    world.crash(2);
    let client = world.connect(0);
    assert_eq!(refusal_of(&world.log_in(client, "ann", "ann", 0)), Refusal::AccountDisabled);
    assert_eq!(change(&mut world, "ann", UserAct::Enable), changed(desk.user, 0));
    let client = world.connect(0);
    assert!(matches!(world.log_in(client, "ann", "ann", 0), EventBody::LoggedIn(_)));
    assert_eq!(refusal_of(&world.resume(0, &desk.ticket, 0).1), Refusal::TicketRefused);
    assert!(matches!(change(&mut world, "nobody", UserAct::Disable), AdminReply::Refused { .. }));
}

fn redeem(world: &mut World, client: ClientId, name: &str, code: &str, new: &str) -> EventBody {
    let reply = world.reply(client, |encoder, request| encoder.code_start(request, name));
    let EventBody::RegisterTerms(terms) = reply else { return reply };
    let keys = scram::stretch(new, &terms.salt, terms.iterations).expect("good terms").credentials();
    world.reply(client, |encoder, request| {
        encoder.redeem_code(request, name, code, &keys.stored_key, &keys.server_key)
    })
}

#[test]
fn a_code_sets_a_password_once_and_in_time() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann");
    let reset = UserAct::Reset { code_hash: code_hash("abcde-fgh23") };
    assert_eq!(change(&mut world, "ann", reset), changed(ann.user, 1));
    assert!(!world.is_open(ann.client));
    let client = world.connect(0);
    assert_eq!(refusal_of(&world.log_in(client, "ann", "ann", 0)), Refusal::LoginFailed, "it is void");
    assert_eq!(refusal_of(&redeem(&mut world, client, "ann", "wrong", "new")), Refusal::CodeRefused);
    let client = world.connect(1);
    assert!(matches!(
        redeem(&mut world, client, "Ann", "ABCDE FGH23", "new"),
        EventBody::CodeRedeemed { .. }
    ));
    assert!(matches!(world.log_in(client, "ann", "new", 0), EventBody::LoggedIn(_)));
    let client = world.connect(0);
    let again = redeem(&mut world, client, "ann", "abcde-fgh23", "newer");
    assert_eq!(refusal_of(&again), Refusal::CodeRefused, "used up");
    change(&mut world, "ann", reset);
    world.advance(60_001);
    let client = world.connect(0);
    let late = redeem(&mut world, client, "ann", "abcde-fgh23", "newer");
    assert_eq!(refusal_of(&late), Refusal::CodeRefused);
}

/// The same reads, the same frames, of the same sizes.
#[test]
fn a_code_for_an_unknown_name_takes_the_same_path() {
    let mut world = World::new(1);
    let ann = world.login(0, "ann");
    world.close(ann.client);
    let mut costs = Vec::new();
    for name in ["ann", "eve"] {
        world.crash(1);
        let client = world.connect(0);
        let before = world.shards[0].counters().loads;
        let frames = world.shards[0].counters().frames_out;
        let reply = redeem(&mut world, client, name, "abcde", "new");
        let counters = world.shards[0].counters();
        costs.push((format!("{reply:?}"), counters.loads - before, counters.frames_out - frames));
    }
    assert_eq!(costs[0], costs[1]);
}

#[test]
fn passwords_are_not_set_where_somebody_could_listen() {
    let mut world = World::new(1);
    let ann = world.login(0, "ann");
    let far = std::net::IpAddr::V4([192, 0, 2, 7].into());
    let client = world.open_as(0, far, Security::Plain { loopback: false });
    world.greet(client);
    assert_eq!(refusal_of(&redeem(&mut world, client, "ann", "abcde", "new")), Refusal::NotOnPlain);
    let EventBody::Resumed(resumed) =
        world.reply(client, |encoder, request| encoder.resume(request, &ann.ticket, 0))
    else {
        panic!("not resumed")
    };
    let exposed = Login { client, ticket: resumed.ticket, ..ann };
    let refused = change_password(&mut world, &exposed, "ann", "new").expect_err("refused");
    assert_eq!(refusal_of(&refused), Refusal::NotOnPlain);
}
