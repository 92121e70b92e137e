//! Sessions that their home ends: what is told, and what is on its way meanwhile.

use record::Credential;
use wire::message::{DeviceClass, LoginProof};
use wire::{EventBody, Refusal, scram};

use crate::admin::{AdminReply, AdminRequest};
use crate::testing::{ClientId, Login, World, refusal_of};
use crate::{CloseReason, Input};

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
