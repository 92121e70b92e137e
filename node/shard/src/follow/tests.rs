//! Notices through whole shards: one entry and one frame per shard, whoever hears of it and when.

use record::OrgPlace;
use wire::message::{BodyKind, MarkKind, Pull, Send, Synced};
use wire::org::{Department, Member, OrgItem};
use wire::{ConversationId, EventBody, EventFrame, Notices, Refusal};

use crate::admin::{AdminReply, AdminRequest, Notice, Reach, UserAct};
use crate::follow::Following;
use crate::mesh::{FollowFrame, MeshFrame};
use crate::testing::{ClientId, Login, World, refusal_of};

const ALL: ConversationId = ConversationId::of_notices(Notices::All);
const ADVERTS: ConversationId = ConversationId::of_notices(Notices::Adverts);

fn notice(id: u64, text: &str) -> Notice {
    Notice { id, reach: Reach::Everybody, body_kind: BodyKind::Text, body: text.to_owned().into() }
}

fn issue(world: &mut World, conversation: ConversationId, notice: Notice) -> u64 {
    let home = world.shard_of_slot(conversation.slot());
    match world.admin(home, AdminRequest::Issue { conversation, notice }) {
        AdminReply::Issued { seq, .. } => seq,
        other => panic!("not issued: {other:?}"),
    }
}

fn sync(world: &mut World, client: ClientId) -> Synced {
    match world.reply(client, |encoder, request| encoder.sync(request, 0, 0)) {
        EventBody::Synced(synced) => synced,
        other => panic!("not synced: {other:?}"),
    }
}

fn set_adverts(world: &mut World, client: ClientId, off: bool) {
    let set = world.reply(client, |encoder, request| encoder.set_adverts(request, off));
    assert_eq!(set, EventBody::AdvertsSet { off });
}

/// Seqs of messages, and heads as numbers below 0.
fn told(world: &mut World, client: ClientId, of: ConversationId) -> Vec<i64> {
    let seq = |frame: EventFrame| match frame.event {
        EventBody::Message(message) if message.conversation == of => Some(message.entry.place.seq as i64),
        EventBody::HeadMoved(moved) if moved.conversation == of => Some(-(moved.head.seq as i64)),
        _ => None,
    };
    world.events(client).into_iter().filter_map(seq).collect()
}

fn everybody(world: &mut World, shards: u16) -> Vec<Login> {
    let names = ["ann", "ann", "bob", "carl", "dora", "eve"];
    names.into_iter().enumerate().map(|(index, name)| world.login(index as u16 % shards, name)).collect()
}

#[test]
fn a_notice_is_one_entry_and_reaches_every_session() {
    for shards in 1..=3 {
        let mut world = World::new(shards);
        let people = everybody(&mut world, shards);
        assert_eq!(issue(&mut world, ALL, notice(77, "first")), 1);
        assert_eq!(issue(&mut world, ALL, notice(3, "second")), 2, "numbers need not rise");
        assert_eq!(issue(&mut world, ALL, notice(77, "first")), 1, "asked again");
        let home = world.shard_of_slot(ALL.slot());
        let other = AdminRequest::Issue { conversation: ALL, notice: notice(77, "another text") };
        assert!(matches!(world.admin(home, other), AdminReply::Refused { .. }));
        for person in &people {
            assert_eq!(told(&mut world, person.client, ALL), [1, 2], "{shards} shards");
        }
        world.crash(shards);
        assert_eq!(issue(&mut world, ALL, notice(3, "second")), 2, "asked again after a crash");
        assert_eq!(issue(&mut world, ALL, notice(4, "third")), 3);
    }
}

#[test]
fn who_was_away_is_told_the_head_before_the_list_and_pulls() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann");
    world.close(ann.client);
    issue(&mut world, ALL, notice(1, "while ann was away"));
    let newcomer = world.login(1, "bob");
    let (back, _) = world.resume(1, &ann.ticket, 0);
    assert!(told(&mut world, back, ALL).is_empty());
    assert!(sync(&mut world, back).changes.is_empty(), "nothing was written for her");
    assert_eq!(told(&mut world, back, ALL), [-1]);
    let pull = Pull { from: 1, to: u64::MAX, bytes_max: 0, epoch: 0 };
    let pulled = world.reply(back, |encoder, request| encoder.pull(request, ALL, &pull));
    assert!(matches!(pulled, EventBody::Pulled(pulled) if pulled.entries.len() == 1));
    let marked = world.reply(back, |encoder, request| encoder.mark(request, ALL, MarkKind::Read, 1));
    assert!(matches!(marked, EventBody::Marked(marked) if marked.place.seq == 1));
    for (seq, kind) in [(2, MarkKind::Read), (1, MarkKind::Delivered)] {
        let refused = world.reply(back, |encoder, request| encoder.mark(request, ALL, kind, seq));
        assert_eq!(refusal_of(&refused), Refusal::BadField);
    }
    let synced = sync(&mut world, back);
    assert_eq!(
        synced.changes.iter().map(|row| (row.conversation, row.unread())).collect::<Vec<_>>(),
        [(ALL, 0)]
    );
    // Who came later has nothing to read.
    let synced = sync(&mut world, newcomer.client);
    assert_eq!(
        synced.changes.iter().map(|row| (row.conversation, row.unread())).collect::<Vec<_>>(),
        [(ALL, 0)]
    );
}

#[test]
fn adverts_are_switched_off_for_all_devices_and_over_a_crash() {
    let mut world = World::new(2);
    let (desktop, phone) = (world.login(0, "ann"), world.login(1, "ann"));
    for device in [&desktop, &phone] {
        assert!(!sync(&mut world, device.client).adverts_off);
    }
    issue(&mut world, ADVERTS, notice(1, "buy"));
    set_adverts(&mut world, desktop.client, true);
    issue(&mut world, ADVERTS, notice(2, "buy more"));
    for device in [&desktop, &phone] {
        assert_eq!(told(&mut world, device.client, ADVERTS), [1]);
    }
    world.crash(3);
    let (phone, _) = world.resume(2, &phone.ticket, 0);
    assert!(sync(&mut world, phone).adverts_off);
    assert!(told(&mut world, phone, ADVERTS).is_empty());
    set_adverts(&mut world, phone, false);
    assert_eq!(told(&mut world, phone, ADVERTS), [-2]);
    let synced = sync(&mut world, phone);
    assert!(synced.changes.iter().all(|row| row.unread() == 0), "what came meanwhile is not unread");
    issue(&mut world, ADVERTS, notice(3, "buy all"));
    assert_eq!(told(&mut world, phone, ADVERTS), [-2, 3]);
}

#[test]
fn only_the_system_writes_and_only_followers_read() {
    let mut world = World::new(2);
    let (ann, bob) = (world.login(0, "ann"), world.login(1, "bob"));
    sync(&mut world, ann.client);
    let department = ConversationId::of_notices(Notices::Department(9));
    let send = Send::plain(1, 0, BodyKind::Text, b"I am the system");
    let pull = Pull { from: 1, to: 9, bytes_max: 0, epoch: 0 };
    for of in [ALL, ADVERTS, department, ConversationId::system(ann.user)] {
        let refused = world.reply(ann.client, |encoder, request| encoder.send(request, of, &send));
        assert_eq!(refusal_of(&refused), Refusal::NotMember);
        let refused = world.reply(ann.client, |encoder, request| encoder.block(request, of));
        assert_eq!(refusal_of(&refused), Refusal::NotMember);
    }
    for of in [department, ConversationId::system(bob.user)] {
        let refused = world.reply(ann.client, |encoder, request| encoder.pull(request, of, &pull));
        assert_eq!(refusal_of(&refused), Refusal::NotMember);
    }
}

#[test]
fn one_user_is_told_by_name_and_finds_it_in_his_list() {
    let mut world = World::new(2);
    let ann = world.login(0, "ann");
    let home = world.home_of(ann.user);
    let to = |name: &str, id| AdminRequest::IssueTo { name: name.into(), notice: notice(id, "to you") };
    for id in [5, 5] {
        assert!(matches!(world.admin(home, to("Ann", id)), AdminReply::Issued { seq: 1, .. }));
    }
    let system = ConversationId::system(ann.user);
    assert_eq!(told(&mut world, ann.client, system), [1]);
    let synced = sync(&mut world, ann.client);
    let row = synced.changes.first().expect("it is in the list");
    assert_eq!((row.conversation, row.unread()), (system, 1));
    let marked = world.reply(ann.client, |encoder, request| encoder.mark(request, system, MarkKind::Read, 1));
    assert!(matches!(marked, EventBody::Marked(marked) if marked.user == ann.user));
    world.admin(home, AdminRequest::ChangeUser { name: "ann".into(), act: UserAct::Delete });
    let refused = AdminReply::Refused { reason: Refusal::AccountDeleted.reason().into() };
    assert_eq!(world.admin(home, to("ann", 6)), refused);
    let nobody = world.shard_of_slot(wire::Slot::of_name("nobody"));
    assert!(matches!(world.admin(nobody, to("nobody", 1)), AdminReply::Refused { .. }));
}

#[test]
fn who_leaves_before_the_log_is_read_does_not_follow_it() {
    let mut world = World::new(2);
    let of = ConversationId::of_notices(Notices::Department(7));
    let home = usize::from(world.shard_of_slot(of.slot()));
    let from = wire::ShardAddress { node: 0, shard: 1 - home as u16 };
    let followed = |world: &World| {
        let tables = world.shards[home].stats().tables;
        tables.into_iter().find(|table| table.name == "followed_here").expect("a table").entries
    };
    let before = followed(&world);
    world.hold_loads = true;
    for frame in [FollowFrame::Subscribe { conversation: of }, FollowFrame::Unsubscribe { conversation: of }]
    {
        world.step(home, crate::Input::Mesh { from, frame: MeshFrame::Follow(frame) });
    }
    assert_eq!(world.loads.len(), 1, "the log is being read");
    world.hold_loads = false;
    world.run();
    assert_eq!(followed(&world), before);
}

#[test]
fn what_is_for_those_online_is_not_stored() {
    let mut world = World::new(2);
    let people = everybody(&mut world, 2);
    let now = Notice { reach: Reach::OnlineNow, ..notice(1, "the house is on fire") };
    assert_eq!(issue(&mut world, ALL, now), 0);
    for person in &people {
        let events = world.events(person.client);
        let said = events
            .iter()
            .filter(|frame| matches!(&frame.event, EventBody::Announced(said) if said.conversation == ALL));
        assert_eq!(said.count(), 1);
    }
    sync(&mut world, people[0].client);
    assert!(told(&mut world, people[0].client, ALL).is_empty());
}

fn edit(world: &mut World, edits: Vec<OrgItem>) {
    let home = world.shard_of_slot(wire::org::org_slot());
    let reply = world.admin(home, AdminRequest::EditOrg { expected: 0, edits });
    assert!(!matches!(reply, AdminReply::Refused { .. }), "{reply:?}");
}

fn department(id: u32, parent: u32) -> OrgItem {
    OrgItem::Department(Department { id, parent, order: 0, name: format!("department {id}") })
}

fn member(department: u32, login: &Login) -> OrgItem {
    let (user, name, title) = (login.user, "name".to_owned(), String::new());
    OrgItem::Member(Member { department, user, order: 0, name, title })
}

#[test]
fn members_follow_their_departments_and_those_above() {
    for shards in [1, 3] {
        let mut world = World::new(shards);
        let (ann, bob) = (world.login(0, "ann"), world.login(shards - 1, "bob"));
        for person in [&ann, &bob] {
            sync(&mut world, person.client);
        }
        edit(&mut world, vec![department(1, 0), department(2, 1), department(3, 1), member(2, &ann)]);
        world.run();
        let of = |department| ConversationId::of_notices(Notices::Department(department));
        for id in [1, 2, 3] {
            issue(&mut world, of(id), notice(1, "to members"));
        }
        assert_eq!([1, 2, 3].map(of).map(|of| of_told(&mut world, &ann, of)), [true, true, false]);
        let pull = Pull { from: 1, to: 9, bytes_max: 0, epoch: 0 };
        for (person, may) in [(&ann, true), (&bob, false)] {
            let reply = world.reply(person.client, |encoder, request| encoder.pull(request, of(1), &pull));
            assert_eq!(matches!(reply, EventBody::Pulled(_)), may, "{reply:?}");
        }
        // Bob comes to the third, and its parent changes; ann is a member no more.
        edit(
            &mut world,
            vec![member(3, &bob), department(3, 0), OrgItem::MemberGone { department: 2, user: ann.user }],
        );
        world.run();
        world.events(ann.client);
        assert_eq!(told(&mut world, bob.client, of(3)), [-1], "the head when he comes");
        for id in [1, 2, 3] {
            issue(&mut world, of(id), notice(2, "to members"));
        }
        assert!(world.events(ann.client).is_empty());
        assert_eq!(told(&mut world, bob.client, of(3)), [2]);
        world.crash(shards);
        let (back, _) = world.resume(0, &bob.ticket, 0);
        sync(&mut world, back);
        world.run();
        let heads = world.events(back).into_iter().filter_map(|frame| match frame.event {
            EventBody::HeadMoved(moved) => Some((moved.conversation, moved.head.seq)),
            _ => None,
        });
        assert_eq!(heads.collect::<Vec<_>>(), [(of(3), 2)]);
    }
}

#[test]
fn a_department_that_is_not_there_is_told_nothing() {
    for shards in [1, 3] {
        let mut world = World::new(shards);
        let conversation = ConversationId::of_notices(Notices::Department(2));
        let home = world.shard_of_slot(conversation.slot());
        let request = AdminRequest::Issue { conversation, notice: notice(1, "to members") };
        let refused = AdminReply::Refused { reason: Refusal::UnknownDepartment.reason().into() };
        assert_eq!(world.admin(home, request.clone()), refused);
        edit(&mut world, vec![department(2, 0)]);
        world.crash(shards);
        world.run();
        assert!(matches!(world.admin(home, request.clone()), AdminReply::Issued { seq: 1, .. }));
        edit(&mut world, vec![OrgItem::DepartmentGone(2)]);
        assert_eq!(world.admin(home, request), refused);
    }
}

/// Whether a message of this was told; other events stay unread.
fn of_told(world: &mut World, person: &Login, of: ConversationId) -> bool {
    let pull = Pull { from: 1, to: 9, bytes_max: 0, epoch: 0 };
    let reply = world.reply(person.client, |encoder, request| encoder.pull(request, of, &pull));
    matches!(reply, EventBody::Pulled(pulled) if pulled.entries.len() == 1)
}

#[test]
fn a_shard_follows_a_department_while_it_hosts_a_member() {
    let mut world = World::new(2);
    let (ann, bob) = (world.login(0, "ann"), world.login(1, "bob"));
    let department = ConversationId::of_notices(Notices::Department(9));
    edit(&mut world, vec![self::department(9, 0)]);
    issue(&mut world, department, notice(1, "before ann came"));
    for (version, departments, heard) in [(1, vec![9], vec![-1, 2]), (2, vec![], vec![])] {
        let connection = world.connection(ann.client);
        let session = ann.logged_in.session;
        world.within(usize::from(connection.shard), |shard| {
            let following = Following { adverts_off: None, place: Some(OrgPlace { version, departments }) };
            let above = |direct: &[u32]| direct.to_vec();
            let core = &mut shard.core;
            shard.connections.handle_refollow(core, connection, session, following, None, &above);
        });
        world.run();
        issue(&mut world, department, notice(heard.len() as u64 + 10, "to members"));
        assert_eq!(told(&mut world, ann.client, department), heard);
        assert!(told(&mut world, bob.client, department).is_empty(), "no member");
    }
}
