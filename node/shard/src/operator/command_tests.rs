//! What an operator does over the protocol, over several shards.

use wire::message::BodyKind;
use wire::operator::{
    AccountState, AuditRead, OperatorAnswer, OperatorQuery, Reach, Recipients, UserLine, UsersListed,
};
use wire::org::{Department, Member, OrgItem};
use wire::{ConversationId, DeviceId, EventBody, Refusal, Scope, Scopes, UserId};

use crate::CloseReason;
use crate::testing::{ClientId, World, refusal_of};

const BOTH: Scopes = Scopes::NONE.with(Scope::Accounts).with(Scope::Audit);

fn ask(world: &mut World, robot: ClientId, query: &OperatorQuery) -> EventBody {
    world.reply(robot, |encoder, request| query.encode(encoder, request))
}

fn listed(world: &mut World, robot: ClientId, after: &str, users_max: u32) -> UsersListed {
    match ask(world, robot, &OperatorQuery::ListUsers { after: after.into(), users_max }) {
        EventBody::Operator(OperatorAnswer::UsersListed(listed)) => listed,
        other => panic!("{other:?}"),
    }
}

fn read(world: &mut World, robot: ClientId, after: (u64, u64), rows_max: u32) -> AuditRead {
    match ask(world, robot, &OperatorQuery::ReadAudit { after, rows_max }) {
        EventBody::Operator(OperatorAnswer::AuditRead(read)) => read,
        other => panic!("{other:?}"),
    }
}

fn show(world: &mut World, robot: ClientId, name: &str) -> UserLine {
    match ask(world, robot, &OperatorQuery::ShowUser { name: name.into() }) {
        EventBody::Operator(OperatorAnswer::UsersListed(listed)) => listed.users[0].clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn accounts_are_made_changed_and_ended_wherever_their_home_is() {
    let mut world = World::new(3);
    let robot = world.token_login(1, "robot", BOTH);
    let mut done = Vec::new();
    for name in ["Ann", "bob", "carl"] {
        let add = OperatorQuery::AddUser { name: name.into(), code_hash: [1; 32] };
        let added = ask(&mut world, robot.client, &add);
        let EventBody::Operator(OperatorAnswer::UserAdded { user }) = added else { panic!("{added:?}") };
        assert_eq!(refusal_of(&ask(&mut world, robot.client, &add)), Refusal::NameTaken);
        let line = show(&mut world, robot.client, name);
        assert_eq!((line.user, line.name.as_str(), line.state), (user, name, AccountState::Active));
        let code = OperatorQuery::IssueCode { name: name.to_uppercase(), code_hash: [2; 32] };
        let changed = OperatorAnswer::UserChanged { user, sessions_ended: 0 };
        assert_eq!(ask(&mut world, robot.client, &code), EventBody::Operator(changed.clone()));
        let remove = OperatorQuery::RemoveUser { name: name.into() };
        assert_eq!(ask(&mut world, robot.client, &remove), EventBody::Operator(changed));
        assert_eq!(show(&mut world, robot.client, name).state, AccountState::Deleted);
        assert_eq!(refusal_of(&ask(&mut world, robot.client, &remove)), Refusal::AccountDeleted);
        done.extend(["user added", "code issued", "deleted"].map(|act| (act.to_owned(), user)));
    }
    let nobody = OperatorQuery::RemoveUser { name: "nobody".into() };
    assert_eq!(refusal_of(&ask(&mut world, robot.client, &nobody)), Refusal::UnknownUser);
    let log = read(&mut world, robot.client, (0, 0), 0).lines;
    let by_robot: Vec<_> = log.into_iter().filter(|line| line.by == robot.token.user).collect();
    let mut acts: Vec<_> = by_robot.into_iter().map(|line| (line.act, line.subject)).collect();
    acts.sort();
    done.sort();
    assert_eq!(acts, done);
}

#[test]
fn whoever_is_disabled_or_ended_is_out_at_once() {
    let mut world = World::new(3);
    let robot = world.token_login(0, "robot", BOTH).client;
    let (desktop, phone) = (world.login(0, "ann"), world.login(2, "ann"));
    let devices = match ask(&mut world, robot, &OperatorQuery::ListUserDevices { name: "ann".into() }) {
        EventBody::Devices(devices) => devices,
        other => panic!("{other:?}"),
    };
    assert!(devices.len() == 2 && devices.iter().all(|device| device.online && !device.own), "{devices:?}");
    let end = |device| OperatorQuery::EndUserSessions { name: "Ann".into(), device };
    let missing = ask(&mut world, robot, &end(DeviceId(77)));
    assert_eq!(refusal_of(&missing), Refusal::UnknownDevice);
    let ended = ask(&mut world, robot, &end(devices[0].device));
    assert_eq!(ended, EventBody::SessionsEnded { count: 1 });
    assert_eq!(world.closed(desktop.client), Some(CloseReason::SessionEnded));
    assert!(world.is_open(phone.client));
    let state = |state| OperatorQuery::SetUserState { name: "ann".into(), state };
    let answer = ask(&mut world, robot, &state(AccountState::Disabled));
    let changed = OperatorAnswer::UserChanged { user: phone.user, sessions_ended: 1 };
    assert_eq!(answer, EventBody::Operator(changed));
    assert!(!world.is_open(phone.client));
    let client = world.connect(1);
    assert_eq!(refusal_of(&world.log_in(client, "ann", "ann", 0)), Refusal::AccountDisabled);
    assert_eq!(refusal_of(&ask(&mut world, robot, &state(AccountState::Deleted))), Refusal::BadField);
    ask(&mut world, robot, &state(AccountState::Active));
    let again = world.login(1, "ann");
    assert_eq!(ask(&mut world, robot, &end(DeviceId(0))), EventBody::SessionsEnded { count: 1 });
    assert!(!world.is_open(again.client));
    // What he does himself stands there too, under his own id.
    let (one, _other) = (world.login(0, "ann"), world.login(1, "ann"));
    world.reply(one.client, |encoder, request| encoder.end_other_sessions(request));
    let lines = read(&mut world, robot, (0, 0), 0).lines;
    let ended = lines.iter().filter(|line| line.act == "sessions ended").collect::<Vec<_>>();
    assert_eq!(ended.iter().filter(|line| line.by == one.user).count(), 1, "{ended:?}");
    assert_eq!(ended.len(), 3, "{ended:?}");
}

#[test]
fn pages_over_all_shards_hold_everything_once_and_in_order() {
    let mut world = World::new(3);
    let mut expected: Vec<_> = (0..40).map(|number| format!("user{:02}", number * 7 % 40)).collect();
    for name in &expected {
        world.login(0, name);
    }
    let robot = world.token_login(0, "robot", BOTH).client;
    expected.push("robot".into());
    expected.sort();
    for users_max in [0, 1, 7, 40, 41] {
        let (mut names, mut after) = (Vec::new(), String::new());
        loop {
            let listed = listed(&mut world, robot, &after, users_max);
            names.extend(listed.users.into_iter().map(|line| line.name));
            after = names.last().cloned().unwrap_or_default();
            if !listed.more {
                break;
            }
        }
        assert_eq!(names, expected, "by {users_max}");
    }
    let whole = read(&mut world, robot, (0, 0), 0);
    assert!(!whole.more && whole.lines.len() > 40);
    for rows_max in [1, 9, 256] {
        let (mut lines, mut after) = (Vec::new(), (0, 0));
        loop {
            let read = read(&mut world, robot, after, rows_max);
            lines.extend(read.lines);
            after = read.to;
            if !read.more {
                break;
            }
        }
        assert_eq!(lines, whole.lines, "by {rows_max}");
        assert_eq!(read(&mut world, robot, after, rows_max).lines, [], "nothing is behind the end");
    }
}

#[test]
fn each_scope_is_needed_for_its_own() {
    let mut world = World::new(2);
    let reader = world.token_login(0, "reader", Scopes::NONE.with(Scope::Audit)).client;
    let clerk = world.token_login(0, "clerk", Scopes::NONE.with(Scope::Accounts)).client;
    let list = OperatorQuery::ListUsers { after: String::new(), users_max: 0 };
    let audit = OperatorQuery::ReadAudit { after: (0, 0), rows_max: 0 };
    assert_eq!(refusal_of(&ask(&mut world, reader, &list)), Refusal::NotAllowed);
    assert_eq!(refusal_of(&ask(&mut world, clerk, &audit)), Refusal::NotAllowed);
    assert!(matches!(ask(&mut world, clerk, &list), EventBody::Operator(_)));
    assert!(matches!(ask(&mut world, reader, &audit), EventBody::Operator(_)));
    assert!(read(&mut world, reader, (0, 0), 0).lines.iter().all(|line| line.by == UserId::NOBODY));
}

#[test]
fn notices_reach_a_list_a_department_and_all_and_edits_the_directory() {
    let mut world = World::new(3);
    let (ann, bob) = (world.login(0, "ann"), world.login(2, "bob"));
    let scopes = Scopes::NONE.with(Scope::Notices).with(Scope::Org).with(Scope::Audit);
    let robot = world.token_login(1, "robot", scopes).client;
    let department = Department { id: 7, parent: 0, order: 0, name: "seven".into() };
    let member = Member { department: 7, user: ann.user, order: 0, name: "ann".into(), title: String::new() };
    let edits = vec![OrgItem::Department(department), OrgItem::Member(member)];
    let edit = |expected, edits| OperatorQuery::EditOrg { expected, edits };
    let edited = ask(&mut world, robot, &edit(0, edits));
    assert_eq!(edited, EventBody::Operator(OperatorAnswer::OrgEdited { version: 2 }));
    let moved = ask(&mut world, robot, &edit(1, vec![OrgItem::DepartmentGone(7)]));
    assert_eq!(refusal_of(&moved), Refusal::OrgMoved);
    let unfit =
        ask(&mut world, robot, &edit(2, vec![OrgItem::DepartmentGone(9), OrgItem::DepartmentGone(7)]));
    assert_eq!(refusal_of(&unfit), Refusal::OrgUnfit);

    let notify = |to, id| OperatorQuery::Notify {
        id,
        to,
        reach: Reach::Everybody,
        body_kind: BodyKind::Text,
        body: "hear".into(),
    };
    let notified = |world: &mut World, query: &OperatorQuery| match ask(world, robot, query) {
        EventBody::Operator(OperatorAnswer::Notified(notified)) => notified,
        other => panic!("{other:?}"),
    };
    let nobody = UserId(ann.user.0 + (900 << 10));
    let list = notify(Recipients::Users(vec![bob.user, ann.user, nobody, bob.user]), 5);
    for _ in 0..2 {
        let told = notified(&mut world, &list); // the second time nothing new is written
        assert_eq!((told.told, told.unknown, told.refused), (2, 1, 0));
    }
    for (to, id) in [(Recipients::All, 6), (Recipients::Adverts, 7), (Recipients::Department(7), 8)] {
        let told = notified(&mut world, &notify(to.clone(), id));
        assert_eq!((told.told, told.seq), (1, 1), "{to:?}");
    }
    for user in [&ann, &bob] {
        let pull = wire::message::Pull { from: 1, to: 9, bytes_max: 0, epoch: 0 };
        let system = ConversationId::system(user.user);
        let pulled = world.reply(user.client, |encoder, request| encoder.pull(request, system, &pull));
        assert!(matches!(&pulled, EventBody::Pulled(pulled) if pulled.entries.len() == 1), "{pulled:?}");
    }
    let too_many = notify(Recipients::Users(vec![bob.user; 1_001]), 9);
    assert_eq!(refusal_of(&ask(&mut world, robot, &too_many)), Refusal::BadField);
    let lines = read(&mut world, robot, (0, 0), 0).lines;
    let of = |act: &str| lines.iter().filter(|line| line.act == act).count();
    assert_eq!((of("notice issued"), of("organisation edited")), (5, 1), "{lines:?}");
}
