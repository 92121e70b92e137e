//! Service accounts: tokens made, used, ended.

use wire::service::NewToken;
use wire::token::{SECRET_LEN, Secret};
use wire::{EventBody, Refusal, Scope, Scopes};

use crate::admin::{AdminReply, AdminRequest};
use crate::testing::{LOOPBACK, World, refusal_of};
use crate::{CloseReason, Security};

const ADMIN: Scopes = Scopes::NONE.with(Scope::Tokens).with(Scope::Accounts);

#[test]
fn a_token_logs_in_from_anywhere_until_it_is_revoked() {
    let mut world = World::new(3);
    let sessions: Vec<_> = (0..3).map(|shard| world.token_login(shard, "robot", Scopes::ALL)).collect();
    let token = sessions[1].token.clone();
    assert_eq!(sessions[1].logged_in.name, "robot");
    assert!(sessions[1].logged_in.ticket.is_empty(), "a ticket would outlive the token");
    let (again, reply) = world.log_in_with(2, &token);
    assert!(matches!(reply, EventBody::LoggedIn(_)), "{reply:?}");

    let revoke = AdminRequest::RevokeToken { name: "Robot".into(), number: token.number };
    let home = world.home_of(token.user);
    let reply = world.admin(home, revoke.clone());
    let expected = AdminReply::TokenRevoked { user: token.user.0, number: token.number, sessions_ended: 2 };
    assert_eq!(reply, expected);
    for client in [sessions[1].client, again] {
        assert_eq!(world.closed(client), Some(CloseReason::SessionEnded));
    }
    assert!(world.is_open(sessions[0].client) && world.is_open(sessions[2].client), "of other tokens");
    let (_, reply) = world.log_in_with(0, &token);
    assert_eq!(refusal_of(&reply), Refusal::LoginFailed);
    assert!(matches!(world.admin(home, revoke), AdminReply::Refused { .. }), "it is gone");

    world.crash(2);
    let (_, reply) = world.log_in_with(0, &token);
    assert_eq!(refusal_of(&reply), Refusal::LoginFailed, "also behind a restart");
    let (_, reply) = world.log_in_with(0, &sessions[2].token);
    assert!(matches!(reply, EventBody::LoggedIn(_)), "{reply:?}");
}

#[test]
fn whatever_is_wrong_with_a_token_the_answer_and_the_reads_are_the_same() {
    let mut world = World::new(1);
    let right = world.token_login(0, "robot", ADMIN).token;
    let ann = world.login(0, "ann").user;
    let expired = world.create_token("robot", ADMIN, world.now.wall_ms - 1);
    let mut wrong = vec![expired];
    for (user, number) in
        [(right.user, 1), (right.user, 99), (ann, 1), (wire::UserId(right.user.0 + 1_024), 1)]
    {
        wrong.push(wire::token::Token { user, number, secret: Secret([0; SECRET_LEN]) });
    }
    let mut seen = Vec::new();
    for token in &wrong {
        world.crash(1); // nothing is in memory
        let client = world.connect(0);
        let loads = world.shards[0].counters().loads;
        let request = world
            .begin(client, |encoder, request| encoder.token_login(request, token, wire::DeviceId(0), "test"));
        world.run();
        let reply = world.reply_to(client, request).expect("a reply");
        assert_eq!(refusal_of(&reply), Refusal::LoginFailed, "{token:?}");
        seen.push((reply, world.shards[0].counters().loads - loads));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    assert_eq!(seen[0].1, 2, "the account and its tokens");
    // Guessing is slowed down as with passwords.
    let refusals: Vec<_> = (0..4).map(|_| refusal_of(&world.log_in_with(0, &wrong[1]).1)).collect();
    assert_eq!(refusals.last(), Some(&Refusal::LoginDelayed));
}

#[test]
fn a_token_serves_until_it_expires_and_so_does_its_session() {
    let mut world = World::new(2);
    let ends_ms = world.now.wall_ms + 90_000;
    let token = world.create_token("robot", ADMIN, ends_ms);
    let (client, reply) = world.log_in_with(0, &token);
    assert!(matches!(reply, EventBody::LoggedIn(_)), "{reply:?}");
    for _ in 0..2 {
        world.advance(40_000);
        world.reply(client, |encoder, request| encoder.ping(request, 0));
    }
    assert!(world.is_open(client));
    world.advance(ends_ms - world.now.wall_ms + 2_000); // deadlines are looked at now and then
    assert_eq!(world.closed(client), Some(CloseReason::SessionEnded));
    let (_, reply) = world.log_in_with(1, &token);
    assert_eq!(refusal_of(&reply), Refusal::LoginFailed);
}

#[test]
fn a_token_makes_tokens_with_no_more_scopes_than_its_own() {
    let mut world = World::new(2);
    let admin = world.token_login(0, "robot", ADMIN).client;
    let mut make = |scopes: Scopes| {
        let new =
            NewToken { name: "Helper", hash: &[7; 32], scopes, expires_ms: 0, label: "made by a robot" };
        world.reply(admin, |encoder, request| encoder.create_token(request, &new))
    };
    assert_eq!(refusal_of(&make(ADMIN.with(Scope::Org))), Refusal::NotAllowed);
    let EventBody::TokenCreated(created) = make(ADMIN) else { panic!("not made") };
    let listed = world.reply(admin, |encoder, request| encoder.list_tokens(request, "helper"));
    let EventBody::TokensListed(listed) = listed else { panic!("{listed:?}") };
    assert_eq!((listed.user, listed.tokens.len()), (created.user, 1));
    assert_eq!((listed.tokens[0].number, listed.tokens[0].scopes), (created.number, ADMIN));
    // It may end itself, and hears of it.
    let own = world.reply(admin, |encoder, request| encoder.revoke_token(request, "robot", 1));
    assert!(matches!(own, EventBody::TokenRevoked(_)), "{own:?}");
    assert_eq!(world.closed(admin), Some(CloseReason::SessionEnded));
}

#[test]
fn people_have_passwords_and_services_have_tokens() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann").user;
    let home = world.home_of(ann);
    let new = crate::login::NewToken { hash: [1; 32], scopes: ADMIN, expires_ms: 0, label: String::new() };
    let reply = world.admin(home, AdminRequest::CreateToken { name: "ann".into(), new });
    assert!(matches!(reply, AdminReply::Refused { .. }), "{reply:?}");
    let robot = world.token_login(0, "robot", Scopes::ALL).token;
    let client = world.connect(1);
    assert_eq!(refusal_of(&world.log_in(client, "robot", "robot", 0)), Refusal::LoginFailed);
    let credential = record::Credential::ScramSha256 {
        salt: [1; 16],
        iterations: 4_096,
        stored_key: [2; 32],
        server_key: [3; 32],
    };
    let reset = AdminRequest::ResetUser { name: "robot".into(), credential };
    let reply = world.admin(world.home_of(robot.user), reset);
    assert!(matches!(reply, AdminReply::Refused { .. }), "{reply:?}");
}

#[test]
fn a_token_does_not_travel_unencrypted() {
    let mut world = World::new(1);
    let token = world.token_login(0, "robot", ADMIN).token;
    let client = world.open_as(0, LOOPBACK, Security::Plain { loopback: false });
    world.greet(client);
    let reply =
        world.reply(client, |encoder, request| encoder.token_login(request, &token, wire::DeviceId(0), ""));
    assert_eq!(refusal_of(&reply), Refusal::NotOnPlain);
}

#[test]
fn an_account_has_a_bounded_number_of_tokens() {
    let mut world = World::new(1);
    let mut token = None;
    for _ in 0..wire::limits::TOKENS_MAX {
        token = Some(world.create_token("robot", ADMIN, 0));
    }
    let token = token.expect("some");
    let new = crate::login::NewToken { hash: [1; 32], scopes: ADMIN, expires_ms: 0, label: String::new() };
    let create = AdminRequest::CreateToken { name: "robot".into(), new };
    assert!(matches!(world.admin(0, create.clone()), AdminReply::Refused { .. }));
    world.admin(0, AdminRequest::RevokeToken { name: "robot".into(), number: token.number });
    let reply = world.admin(0, create);
    assert_eq!(reply, AdminReply::TokenCreated { user: token.user.0, number: token.number + 1 });
}
