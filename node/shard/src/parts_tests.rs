//! Pairs that become contacts by the operator's wish, over several shards.

use record::CommitOutcome;
use wire::contact::ContactState;
use wire::service::PairsRelated;
use wire::{ConversationId, EventBody, Refusal, Scope, Scopes, UserId};

use crate::config::ContactPolicy;
use crate::testing::{ClientId, Login, World, config, refusal_of};

fn world(users: usize) -> (World, Vec<Login>, ClientId) {
    let config = crate::Config { contacts: ContactPolicy::Required, ..config() };
    let mut world = World::with(3, config);
    let users = (0..users).map(|number| world.login(number as u16 % 3, &format!("user{number}"))).collect();
    let seeder = world.token_login(0, "seeder", Scopes::NONE.with(Scope::Relations)).client;
    (world, users, seeder)
}

fn all_pairs(users: &[Login]) -> Vec<ConversationId> {
    let pair = |one: &Login, other: &Login| ConversationId::private(one.user, other.user);
    let of = |one: usize| users[one + 1..].iter().filter_map(move |other| pair(&users[one], other));
    (0..users.len()).flat_map(of).collect()
}

fn relate(world: &mut World, seeder: ClientId, pairs: &[ConversationId]) -> PairsRelated {
    match world.reply(seeder, |encoder, request| encoder.relate_pairs(request, pairs)) {
        EventBody::PairsRelated(related) => related,
        other => panic!("{other:?}"),
    }
}

fn contacts(world: &mut World, user: &Login) -> Vec<UserId> {
    match world.reply(user.client, |encoder, request| encoder.sync_contacts(request, 0, 0)) {
        EventBody::ContactsSynced(synced) => {
            let mut contacts = synced.contacts;
            contacts.retain(|contact| contact.state == ContactState::Contact);
            contacts.into_iter().map(|contact| contact.user).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_become_contacts_once_wherever_their_homes_are() {
    let (mut world, users, seeder) = world(9);
    let pairs = all_pairs(&users);
    // Some of the conversations are in memory, one with a request that waits.
    world.reply(users[0].client, |encoder, request| encoder.contact_request(request, pairs[0], "hello"));
    world.reply(users[0].client, |encoder, request| encoder.unblock(request, pairs[1]));
    let count = pairs.len() as u32;
    let related = relate(&mut world, seeder, &pairs);
    assert_eq!(related, PairsRelated { changed: count, unchanged: 0, refused: 0 });
    for user in &users {
        assert_eq!(contacts(&mut world, user).len(), users.len() - 1);
    }
    let twice = [&pairs[..], &pairs[..5]].concat();
    assert_eq!(
        relate(&mut world, seeder, &twice),
        PairsRelated { changed: 0, unchanged: count + 5, refused: 0 }
    );
    world.crash(2);
    let (client, reply) = world.resume(0, &users[3].ticket, 0);
    assert!(matches!(reply, EventBody::Resumed(_)), "{reply:?}");
    let again = Login { client, ..users[3].clone() };
    assert_eq!(contacts(&mut world, &again).len(), users.len() - 1);
}

#[test]
fn whoever_reads_a_pair_while_it_is_on_its_way_finds_it_related() {
    let (mut world, users, seeder) = world(2);
    let pairs = all_pairs(&users);
    world.hold_commits = true;
    let asked = world.begin(seeder, |encoder, request| encoder.relate_pairs(request, &pairs));
    world.run();
    let send = wire::message::Send::plain(1, 0, wire::message::BodyKind::Text, b"hello");
    let early = world.reply(users[0].client, |encoder, request| encoder.send(request, pairs[0], &send));
    assert_eq!(refusal_of(&early), Refusal::Busy, "what is on disk is older");
    world.hold_commits = false;
    world.run();
    assert!(world.reply_to(seeder, asked).is_some());
    let sent = world.reply(users[0].client, |encoder, request| encoder.send(request, pairs[0], &send));
    assert!(matches!(sent, EventBody::Sent(_)), "{sent:?}");
}

#[test]
fn pairs_that_find_the_disk_full_are_counted_and_can_be_asked_again() {
    let (mut world, users, seeder) = world(6);
    let pairs = all_pairs(&users);
    world.outcome = CommitOutcome::Full;
    let related = relate(&mut world, seeder, &pairs);
    assert_eq!(related, PairsRelated { changed: 0, unchanged: 0, refused: pairs.len() as u32 });
    world.outcome = CommitOutcome::Committed;
    world.advance(5_000);
    let related = relate(&mut world, seeder, &pairs);
    assert_eq!(related, PairsRelated { changed: pairs.len() as u32, unchanged: 0, refused: 0 });
    let count = contacts(&mut world, &users[5]).len();
    assert_eq!(count, users.len() - 1);
}

#[test]
fn pairs_that_cannot_be_are_refused_as_a_whole() {
    let (mut world, users, seeder) = world(2);
    let pair = all_pairs(&users)[0];
    let wrong = ConversationId { low: pair.high, high: pair.low };
    let reply = world.reply(seeder, |encoder, request| encoder.relate_pairs(request, &[pair, wrong]));
    let EventBody::Refused(refused) = reply else { panic!("{reply:?}") };
    assert_eq!((refused.code, refused.detail), (Refusal::BadField.code(), 1));
    assert!(contacts(&mut world, &users[0]).is_empty());
    assert_eq!(relate(&mut world, seeder, &[]), PairsRelated::default());
    let stranger = world.reply(users[0].client, |encoder, request| encoder.relate_pairs(request, &[pair]));
    assert_eq!(refusal_of(&stranger), Refusal::NotAllowed);
}
