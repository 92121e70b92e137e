//! Who is shown to whom, on whole shards.

use wire::limits::PRESENCE_TEXT_LEN_MAX;
use wire::message::{BodyKind, MarkKind, Send};
use wire::presence::{
    LastSeenFor, OwnPresence, Presence, PresenceFound, PresenceState, PresenceSynced, PresenceWish,
};
use wire::{ConversationId, EventBody, Refusal, Slot, UserId};

use crate::Input;
use crate::config::EphemeralBounds;
use crate::limits::PRESENCE_ROWS;
use crate::testing::{ClientId, Login, World, config, refusal_of};

fn chat_of(a: &Login, b: &Login) -> ConversationId {
    ConversationId::private(a.user, b.user).expect("two users")
}

fn become_contacts(world: &mut World, a: &Login, b: &Login) {
    let chat = chat_of(a, b);
    world.reply(a.client, |encoder, request| encoder.contact_request(request, chat, ""));
    world.reply(b.client, |encoder, request| encoder.contact_accept(request, chat));
}

fn set(world: &mut World, client: ClientId, state: PresenceState, text: &str) -> OwnPresence {
    let wish = PresenceWish { state: Some(state), text: Some(text.to_owned()), last_seen: None };
    match world.reply(client, |encoder, request| encoder.set_presence(request, &wish)) {
        EventBody::PresenceSet(own) => own,
        other => panic!("not set: {other:?}"),
    }
}

fn page(world: &mut World, client: ClientId, after: u64, contacts_max: u32) -> PresenceSynced {
    match world.reply(client, |encoder, request| encoder.sync_presence(request, after, contacts_max)) {
        EventBody::PresenceSynced(synced) => synced,
        other => panic!("not synced: {other:?}"),
    }
}

fn online(world: &mut World, client: ClientId) -> Vec<(UserId, PresenceState)> {
    let contacts = page(world, client, 0, 0).contacts;
    contacts.into_iter().map(|contact| (contact.user, contact.state)).collect()
}

fn find(world: &mut World, client: ClientId, user: UserId) -> PresenceFound {
    match world.reply(client, |encoder, request| encoder.get_presence(request, user)) {
        EventBody::PresenceFound(found) => found,
        other => panic!("not found: {other:?}"),
    }
}

/// What was pushed about contacts since it was asked last.
fn told(world: &mut World, client: ClientId) -> Vec<Presence> {
    let events = world.events(client).into_iter().filter_map(|event| match event.event {
        EventBody::PresenceChanged(contacts) => Some(contacts),
        _ => None,
    });
    events.flatten().collect()
}

fn last_told(world: &mut World, client: ClientId) -> Option<(PresenceState, String)> {
    told(world, client).pop().map(|contact| (contact.state, contact.text))
}

#[test]
fn contacts_are_told_who_comes_changes_and_goes_and_others_are_not() {
    for shards in 1..=3 {
        let mut world = World::new(shards);
        let (ann, ben, eve) = (world.login(0, "ann"), world.login(shards - 1, "ben"), world.login(0, "eve"));
        assert!(online(&mut world, ann.client).is_empty());
        become_contacts(&mut world, &ann, &ben);
        for (one, other) in [(&ann, &ben), (&ben, &ann)] {
            assert_eq!(last_told(&mut world, one.client), Some((PresenceState::Online, String::new())));
            assert_eq!(online(&mut world, one.client), [(other.user, PresenceState::Online)]);
        }
        set(&mut world, ben.client, PresenceState::Busy, "in a call");
        assert_eq!(last_told(&mut world, ann.client), Some((PresenceState::Busy, "in a call".into())));
        let phone = world.login(0, "ben");
        assert!(told(&mut world, ann.client).is_empty(), "several devices are one");
        assert_eq!(page(&mut world, phone.client, 0, 0).own.text, "in a call", "the state is the user's");
        world.close(ben.client);
        assert!(told(&mut world, ann.client).is_empty());
        world.close(phone.client);
        assert_eq!(last_told(&mut world, ann.client), Some((PresenceState::Offline, String::new())));
        assert!(online(&mut world, ann.client).is_empty());
        world.login(0, "ben");
        let back = told(&mut world, ann.client).pop().expect("he is back");
        assert_eq!((back.state, &back.text[..]), (PresenceState::Busy, "in a call"), "it outlives sessions");
        assert!(told(&mut world, eve.client).is_empty(), "{shards} shards: she is a stranger");
        assert!(online(&mut world, eve.client).is_empty());
    }
}

#[test]
fn who_is_invisible_looks_offline_and_sees_the_others() {
    for shards in 1..=3 {
        let mut world = World::new(shards);
        let (ann, ben) = (world.login(0, "ann"), world.login(shards - 1, "ben"));
        become_contacts(&mut world, &ann, &ben);
        told(&mut world, ann.client);
        let own = set(&mut world, ben.client, PresenceState::Invisible, "secret");
        assert_eq!(own.state, PresenceState::Invisible);
        assert_eq!(last_told(&mut world, ann.client), Some((PresenceState::Offline, String::new())));
        let hidden = find(&mut world, ann.client, ben.user);
        assert_eq!((hidden.presence.state, &hidden.presence.text[..]), (PresenceState::Offline, ""));
        assert_eq!(hidden.last_seen_ms, world.now.wall_ms, "as if he had left now");
        assert_eq!(find(&mut world, ben.client, ben.user).presence.state, PresenceState::Invisible);
        assert_eq!(online(&mut world, ben.client), [(ann.user, PresenceState::Online)]);
        set(&mut world, ann.client, PresenceState::Away, "");
        assert_eq!(last_told(&mut world, ben.client), Some((PresenceState::Away, String::new())));
        // It is on disk: neither a new session nor a restart shows him.
        world.close(ben.client);
        world.advance(5_000);
        world.login(0, "ben");
        world.crash(shards);
        let (ann, ben) = (world.login(0, "ann"), world.login(0, "ben"));
        assert!(told(&mut world, ann.client).is_empty() && online(&mut world, ann.client).is_empty());
        assert_eq!(find(&mut world, ann.client, ben.user), hidden, "that he was here shows nowhere");
        set(&mut world, ben.client, PresenceState::Online, "");
        assert_eq!(last_told(&mut world, ann.client), Some((PresenceState::Online, String::new())));
    }
}

#[test]
fn marks_of_an_invisible_user_are_his_own_until_he_shows_himself() {
    let mut world = World::new(2);
    let (ann, ben, phone) = (world.login(0, "ann"), world.login(1, "ben"), world.login(0, "ben"));
    let chat = chat_of(&ann, &ben);
    for counter in 1..=3 {
        let send = Send::plain(counter, counter - 1, BodyKind::Text, b"hello");
        world.reply(ann.client, |encoder, request| encoder.send(request, chat, &send));
    }
    let marked = |world: &mut World, client: ClientId| {
        let events = world.events(client).into_iter();
        events.filter(|event| matches!(event.event, EventBody::Marked(_))).count()
    };
    let uver = |world: &mut World| {
        let EventBody::Synced(synced) = world.reply(ann.client, |e, request| e.sync(request, 0, 0)) else {
            panic!("not synced")
        };
        let summary = synced.changes.iter().find(|change| change.conversation == chat).expect("a chat");
        (summary.uver, summary.peer_read.seq, summary.peer_delivered.seq)
    };
    set(&mut world, ben.client, PresenceState::Invisible, "");
    let before = uver(&mut world);
    marked(&mut world, ann.client);
    marked(&mut world, phone.client);
    world.reply(ben.client, |encoder, request| encoder.mark(request, chat, MarkKind::Delivered, 3));
    world.reply(ben.client, |encoder, request| encoder.mark(request, chat, MarkKind::Read, 2));
    assert_eq!((marked(&mut world, ann.client), marked(&mut world, phone.client)), (0, 2));
    assert_eq!(uver(&mut world), before, "not even a version tells");
    world.crash(3);
    let (again, ben) = (world.login(0, "ann"), world.login(0, "ben"));
    let ann = Login { client: again.client, ..again };
    let EventBody::Synced(synced) = world.reply(ann.client, |e, request| e.sync(request, 0, 0)) else {
        panic!("not synced")
    };
    assert_eq!(synced.changes[0].peer_delivered.seq, before.2, "also after a restart");
    set(&mut world, ben.client, PresenceState::Online, "");
    assert_eq!(marked(&mut world, ann.client), 0, "to come back shows nothing by itself");
    world.reply(ben.client, |encoder, request| encoder.mark(request, chat, MarkKind::Read, 1));
    let events = world.events(ann.client).into_iter().filter_map(|event| match event.event {
        EventBody::Marked(marked) => Some((marked.kind, marked.place.seq)),
        _ => None,
    });
    let mut shown: Vec<_> = events.collect();
    shown.sort_by_key(|(kind, _)| kind.0);
    assert_eq!(shown, [(MarkKind::Delivered, 3), (MarkKind::Read, 2)], "his next mark shows all");
}

#[test]
fn a_block_and_a_farewell_hide_both_from_each_other() {
    let mut world = World::new(2);
    let (ann, ben) = (world.login(0, "ann"), world.login(1, "ben"));
    become_contacts(&mut world, &ann, &ben);
    let chat = chat_of(&ann, &ben);
    world.reply(ann.client, |encoder, request| encoder.block(request, chat));
    for (one, other) in [(&ann, &ben), (&ben, &ann)] {
        assert_eq!(last_told(&mut world, one.client), Some((PresenceState::Offline, String::new())));
        assert!(online(&mut world, one.client).is_empty());
        assert_eq!(find(&mut world, one.client, other.user).presence.state, PresenceState::Offline);
    }
    set(&mut world, ben.client, PresenceState::Away, "");
    world.close(ben.client);
    let ben = world.login(1, "ben");
    assert!(told(&mut world, ann.client).is_empty() && told(&mut world, ben.client).is_empty());
    world.reply(ann.client, |encoder, request| encoder.unblock(request, chat));
    assert_eq!(online(&mut world, ann.client), [(ben.user, PresenceState::Away)]);
    assert_eq!(online(&mut world, ben.client), [(ann.user, PresenceState::Online)]);
    world.reply(ben.client, |encoder, request| encoder.contact_remove(request, chat));
    assert!(online(&mut world, ann.client).is_empty() && online(&mut world, ben.client).is_empty());
}

#[test]
fn when_somebody_was_last_seen_is_for_those_he_names() {
    let mut world = World::new(2);
    let (ann, ben, eve) = (world.login(0, "ann"), world.login(1, "ben"), world.login(0, "eve"));
    become_contacts(&mut world, &ann, &ben);
    let seen_for = [
        (LastSeenFor::Nobody, [false, false]),
        (LastSeenFor::Contacts, [true, false]),
        (LastSeenFor::Everybody, [true, true]),
    ];
    world.close(ben.client);
    // He logs out, or his connection is gone.
    for (last_seen, wanted) in seen_for.into_iter().flat_map(|case| [case, case]) {
        let is_clean = world.now.wall_ms.is_multiple_of(2);
        let ben = world.login(1, "ben");
        let wish = PresenceWish { last_seen: Some(last_seen), ..PresenceWish::default() };
        world.reply(ben.client, |encoder, request| encoder.set_presence(request, &wish));
        world.advance(5_001);
        if is_clean {
            world.reply(ben.client, |encoder, request| encoder.logout(request, false));
        } else {
            world.close(ben.client);
        }
        let left_ms = world.now.wall_ms;
        world.advance(7_000);
        let seen = [&ann, &eve].map(|one| find(&mut world, one.client, ben.user).last_seen_ms);
        assert_eq!(seen, wanted.map(|told| if told { left_ms } else { 0 }), "{last_seen:?}, {is_clean}");
    }
    let nobody = UserId::from_parts(Slot::of_name("nobody"), 99).expect("an id");
    let found = find(&mut world, ann.client, nobody);
    assert_eq!((found.presence.state, found.last_seen_ms), (PresenceState::Offline, 0));
}

#[test]
fn a_change_that_crosses_an_answer_is_told_again() {
    let mut world = World::new(2);
    // Homes on both shards; hers is the login shard too, so that she needs nobody else to log in.
    let names: Vec<_> = (0..200).map(|number| format!("user{number}")).collect();
    let at = |home: u16, world: &World| {
        let there = |name: &&String| world.shard_of_slot(Slot::of_name(name)) == home;
        names.iter().find(there).expect("a name for each shard").clone()
    };
    let (hers, his) = (at(0, &world), at(1, &world));
    let (ann, ben) = (world.login(0, &hers), world.login(1, &his));
    become_contacts(&mut world, &ann, &ben);
    world.close(ann.client);
    world.hold_mesh = true;
    let ann = world.login(0, &hers);
    // His home hears that she came, and its answer waits.
    let frames: Vec<_> = world.mesh.drain(..).collect();
    for (from, to, frame) in frames {
        assert_eq!(to.shard, 1);
        world.step(1, Input::Mesh { from, frame });
    }
    world.step(1, Input::TurnEnd);
    set(&mut world, ann.client, PresenceState::Away, "");
    world.hold_mesh = false;
    world.run();
    assert_eq!(online(&mut world, ben.client), [(ann.user, PresenceState::Away)]);
}

#[test]
fn pages_are_in_order_and_cover_all() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann");
    let mut users = Vec::new();
    for number in 0..5 {
        let other = world.login(number % 2, &format!("user{number}"));
        become_contacts(&mut world, &ann, &other);
        users.push(other.user);
    }
    users.sort();
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = page(&mut world, ann.client, after, 2);
        assert!(page.contacts.len() <= 2 && page.after == after);
        found.extend(page.contacts.iter().map(|contact| contact.user));
        after = page.to;
        if !page.more {
            break;
        }
    }
    assert_eq!((found, after), (users, u64::MAX));
}

/// Eight users, all contacts of each other, between homes that have room for far less.
fn crowd(world: &mut World) -> Vec<Login> {
    let shards = world.shards.len() as u16;
    let people: Vec<_> =
        (0..8).map(|number| world.login(number % shards, &format!("user{number}"))).collect();
    for (index, one) in people.iter().enumerate() {
        people[..index].iter().for_each(|other| become_contacts(world, one, other));
    }
    people
}

fn lost(world: &World) -> u64 {
    world.shards.iter().map(|shard| shard.counters().presence_lost).sum()
}

#[test]
fn what_finds_no_room_is_exchanged_anew() {
    for shards in 1..=2 {
        let mut bounds = config();
        bounds.ephemeral = EphemeralBounds { credits: 1, pending_max: 2 };
        let mut world = World::with(shards, bounds);
        let people = crowd(&mut world);
        for person in &people {
            world.begin(person.client, |encoder, request| {
                let wish = PresenceWish { state: Some(PresenceState::Busy), ..PresenceWish::default() };
                encoder.set_presence(request, &wish)
            });
        }
        world.run();
        assert!(lost(&world) > 0, "the lanes were full");
        for person in &people {
            let online = online(&mut world, person.client);
            assert_eq!(online.len(), people.len() - 1);
            assert!(online.iter().all(|(_, state)| *state == PresenceState::Busy), "{online:?}");
        }
    }
}

#[test]
fn farewells_that_find_no_room_are_told_all_the_same() {
    for shards in 1..=2 {
        let mut bounds = config();
        bounds.ephemeral = EphemeralBounds { credits: 1, pending_max: 1 };
        let mut world = World::with(shards, bounds);
        let people = crowd(&mut world);
        let (stays, go) = people.split_at(2);
        let before = lost(&world);
        for person in go {
            world.vanish(person.client);
        }
        world.run();
        assert!(lost(&world) > before, "the lanes were full");
        for person in stays {
            let online = online(&mut world, person.client);
            assert_eq!(online.len(), stays.len() - 1, "{shards} shards: {online:?}");
        }
    }
}

#[test]
fn when_somebody_was_last_seen_is_on_disk_though_nothing_else_happens() {
    let mut world = World::new(2);
    let ben = world.login(1, "ben");
    world.vanish(ben.client);
    let gone_ms = world.now.mono_ms;
    world.run();
    let left_ms =
        world.disk.get::<record::Presence>(&record::Key::Presence(ben.user)).expect("written").last_seen_ms;
    assert_eq!(left_ms, world.now.wall_ms);
    assert_eq!(world.now.mono_ms - gone_ms, crate::limits::UNHURRIED_MS_MAX);
}

#[test]
fn contacts_behind_the_first_part_are_read_too() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann");
    let count = PRESENCE_ROWS as usize + 2;
    let mut others: Vec<_> = (0..count)
        .map(|number| {
            let other = world.login(0, &format!("contact{number}"));
            become_contacts(&mut world, &ann, &other);
            other.user
        })
        .collect();
    world.close(ann.client);
    let ann = world.login(0, "ann");
    let (mut found, mut after) = (Vec::new(), 0);
    while after < u64::MAX {
        let synced = page(&mut world, ann.client, after, 0);
        found.extend(synced.contacts.iter().map(|contact| contact.user));
        after = synced.to;
    }
    others.sort();
    assert_eq!(found, others, "all of them are online");
}

#[test]
fn what_cannot_be_is_refused() {
    let mut world = World::new(1);
    let ann = world.login(0, "ann");
    let text = |len: usize| PresenceWish { text: Some("t".repeat(len)), ..PresenceWish::default() };
    for wish in [
        text(PRESENCE_TEXT_LEN_MAX + 1),
        PresenceWish { state: Some(PresenceState(9)), ..PresenceWish::default() },
        PresenceWish { last_seen: Some(LastSeenFor(9)), ..PresenceWish::default() },
    ] {
        let refused = world.reply(ann.client, |encoder, request| encoder.set_presence(request, &wish));
        assert_eq!(refusal_of(&refused), Refusal::BadField);
    }
    let longest = text(PRESENCE_TEXT_LEN_MAX);
    let taken = world.reply(ann.client, |encoder, request| encoder.set_presence(request, &longest));
    assert!(matches!(taken, EventBody::PresenceSet(own) if own.state == PresenceState::Online));
}
