use record::{Key, Profile as Stored, Record};
use wire::contact::ContactState;
use wire::profile::{Audience, Profile, ProfileFound, Shown};
use wire::{ConversationId, EventBody, Refusal, UserId};

use crate::testing::{Login, World, refusal_of};

fn profile(nickname: &str) -> Profile {
    Profile {
        nickname: Shown { value: nickname.into(), to: Audience::Everybody },
        email: Shown { value: "ann@example.org".into(), to: Audience::Contacts },
        phone: Shown { value: "123".into(), to: Audience::Nobody },
        ..Profile::default()
    }
}

fn look(world: &mut World, login: &Login, user: UserId) -> ProfileFound {
    match world.reply(login.client, |encoder, request| encoder.get_profile(request, user)) {
        EventBody::ProfileFound(found) => *found,
        other => panic!("no profile: {other:?}"),
    }
}

fn set(world: &mut World, login: &Login, profile: &Profile) -> EventBody {
    world.reply(login.client, |encoder, request| encoder.set_profile(request, profile))
}

#[test]
fn a_profile_is_shown_to_those_who_may_see_it() {
    let mut world = World::new(3);
    let (ann, bob) = (world.login(0, "ann"), world.login(1, "bob"));
    assert_eq!(look(&mut world, &bob, ann.user).version, 0);
    let EventBody::ProfileChanged(changed) = set(&mut world, &ann, &profile("Annie")) else {
        panic!("not set");
    };
    assert_eq!((changed.version, &changed.profile), (1, &profile("Annie")));
    assert_eq!(look(&mut world, &ann, ann.user).profile, profile("Annie"), "all of one's own");
    let seen = |found: &ProfileFound| {
        let Profile { nickname, email, phone, .. } = &found.profile;
        [nickname, email, phone].map(|shown| shown.value.clone())
    };
    let found = look(&mut world, &bob, ann.user);
    assert_eq!((found.name.as_str(), seen(&found)), ("ann", ["Annie", "", ""].map(String::from)));
    let chat = ConversationId::private(ann.user, bob.user).expect("two users");
    world.reply(ann.client, |encoder, request| encoder.contact_request(request, chat, ""));
    let accepted = world.reply(bob.client, |encoder, request| encoder.contact_accept(request, chat));
    assert!(matches!(accepted, EventBody::Related(related) if related.state == ContactState::Contact));
    let found = look(&mut world, &bob, ann.user);
    assert_eq!(seen(&found), ["Annie", "ann@example.org", ""].map(String::from));
    world.reply(ann.client, |encoder, request| encoder.block(request, chat));
    assert_eq!(look(&mut world, &bob, ann.user), found, "a block does not show");
    let nobody = UserId(ann.user.0 + (99 << 10));
    let reply = world.reply(bob.client, |encoder, request| encoder.get_profile(request, nobody));
    assert_eq!(refusal_of(&reply), Refusal::UnknownUser);
}

#[test]
fn changes_at_once_get_versions_of_their_own_and_other_devices_hear_of_them() {
    let mut world = World::new(2);
    let (desk, phone) = (world.login(0, "ann"), world.login(1, "ann"));
    let requests: Vec<_> = (0..3)
        .map(|number| {
            let profile = profile(&format!("Ann {number}"));
            world.begin(desk.client, |encoder, request| encoder.set_profile(request, &profile))
        })
        .collect();
    world.run();
    for (number, request) in requests.into_iter().enumerate() {
        let reply = world.reply_to(desk.client, request).expect("an answer");
        let EventBody::ProfileChanged(changed) = reply else { panic!("{reply:?}") };
        assert_eq!(changed.version, number as u64 + 1);
    }
    let heard = world.events(phone.client).into_iter().map(|event| match event.event {
        EventBody::ProfileChanged(changed) => changed.version,
        other => panic!("{other:?}"),
    });
    assert_eq!(heard.collect::<Vec<_>>(), [1, 2, 3]);
    assert!(world.events(desk.client).is_empty(), "who changed it is answered");
    let stored = &world.disk.rows[&Key::Profile(desk.user).bytes()];
    assert_eq!(Stored::decode(stored).expect("readable").version, 3);
    world.crash(1);
    let login = world.login(0, "ann");
    let EventBody::ProfileChanged(changed) = set(&mut world, &login, &profile("Ann")) else {
        panic!("not set");
    };
    assert_eq!(changed.version, 4);
}

#[test]
fn what_breaks_a_limit_is_refused_with_it() {
    let mut world = World::new(1);
    let ann = world.login(0, "ann");
    let mut long = profile("Annie");
    long.signature.value = "s".repeat(129);
    let reply = set(&mut world, &ann, &long);
    assert!(matches!(&reply, EventBody::Refused(refused) if refused.detail == 128), "{reply:?}");
    let mut strange = profile("Annie");
    strange.email.to = Audience(9);
    assert_eq!(refusal_of(&set(&mut world, &ann, &strange)), Refusal::BadField);
    world.outcome = record::CommitOutcome::Full;
    assert_eq!(refusal_of(&set(&mut world, &ann, &profile("Annie"))), Refusal::StorageFull);
    world.outcome = record::CommitOutcome::Committed;
    world.advance(1_000);
    let reply = set(&mut world, &ann, &profile("Annie"));
    assert!(matches!(reply, EventBody::ProfileChanged(changed) if changed.version == 1));
}
