//! The directory against a model of it: edits, copies of clients, crashes, and what the homes of members know.

use std::collections::BTreeMap;

use record::verify::Verifier;
use record::{CommitOutcome, Key, ORG_GONE_MAX, ORG_PLACES_MAX, OrgPlace, OrgState, StoreShardId};
use wire::org::{Department, Member, OrgItem, OrgPosition, OrgSynced, org_slot};
use wire::{EventBody, Slot, UserId};

use crate::admin::{AdminReply, AdminRequest};
use crate::limits::{ORG_EDITS_MAX, ORG_TOLD_MS};
use crate::rng::Rng;
use crate::testing::{ClientId, World};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Copy {
    position: OrgPosition,
    departments: BTreeMap<u32, Department>,
    members: BTreeMap<(u32, UserId), Member>,
}

impl Copy {
    fn take(&mut self, item: OrgItem) {
        match item {
            OrgItem::Department(department) => _ = self.departments.insert(department.id, department),
            OrgItem::Member(member) => _ = self.members.insert((member.department, member.user), member),
            OrgItem::DepartmentGone(id) => _ = self.departments.remove(&id),
            OrgItem::MemberGone { department, user } => _ = self.members.remove(&(department, user)),
        }
    }

    /// Takes in a page; true when there is more.
    fn page(&mut self, synced: OrgSynced) -> bool {
        let position = self.position.behind(&synced).expect("pages go on");
        if synced.afresh {
            *self = Copy::default();
        }
        self.position = position;
        assert!(synced.rows.is_sorted_by_key(|row| row.version));
        synced.rows.into_iter().for_each(|row| self.take(row.item));
        synced.more
    }

    fn places(&self, user: UserId) -> Vec<u32> {
        self.members.keys().filter(|(_, other)| *other == user).map(|(department, _)| *department).collect()
    }

    fn has_content_of(&self, other: &Copy) -> bool {
        self.departments == other.departments && self.members == other.members
    }
}

fn home(world: &World) -> u16 {
    world.home_of(UserId(u64::from(org_slot().number())))
}

fn edit(world: &mut World, edits: Vec<OrgItem>) -> AdminReply {
    let shard = home(world);
    world.admin(shard, AdminRequest::EditOrg { expected: 0, edits })
}

fn sync(world: &mut World, client: ClientId, copy: &mut Copy, rows_max: u32) -> bool {
    let position = copy.position;
    match world.reply(client, |encoder, request| encoder.sync_org(request, position, rows_max)) {
        EventBody::OrgSynced(synced) => copy.page(synced),
        other => panic!("not a page: {other:?}"),
    }
}

fn user(number: u64) -> UserId {
    UserId::from_parts(Slot::of_name(&format!("user{number}")), number as u32 + 1).expect("a user")
}

fn department(id: u32, parent: u32) -> OrgItem {
    OrgItem::Department(Department { id, parent, order: 0, name: format!("department {id}") })
}

fn member(department: u32, number: u64, title: &str) -> OrgItem {
    let (name, title) = (format!("user{number}"), title.to_owned());
    OrgItem::Member(Member { department, user: user(number), order: 0, name, title })
}

fn some_edit(rng: &mut Rng) -> OrgItem {
    let id = rng.below(12) as u32 + 1;
    let number = rng.below(20);
    match rng.below(10) {
        0..3 => OrgItem::Department(Department {
            id,
            parent: rng.below(13) as u32,
            order: rng.below(3) as u32,
            name: format!("department {id}"),
        }),
        3..7 => member(id, number, if rng.below(2) == 0 { "head" } else { "" }),
        7..9 => OrgItem::MemberGone { department: id, user: user(number) },
        _ => OrgItem::DepartmentGone(id),
    }
}

/// Whether an edit may be made to the model; does it.
fn model_edit(model: &mut Copy, item: &OrgItem) -> bool {
    if !item.is_valid() {
        return false;
    }
    let fits = match item {
        OrgItem::Department(Department { id, parent, .. }) => {
            let mut at = *parent;
            while at != 0 && at != *id && model.departments.contains_key(&at) {
                at = model.departments[&at].parent;
            }
            at == 0
        }
        OrgItem::Member(Member { department, user, .. }) => {
            let is_new = !model.members.contains_key(&(*department, *user));
            model.departments.contains_key(department)
                && (!is_new || model.places(*user).len() < ORG_PLACES_MAX)
        }
        OrgItem::DepartmentGone(id) => {
            !model.departments.values().any(|other| other.parent == *id)
                && !model.members.keys().any(|(department, _)| department == id)
        }
        OrgItem::MemberGone { .. } => true,
    };
    if fits {
        model.take(item.clone());
    }
    fits
}

fn verify(world: &World) -> Vec<String> {
    let mut verifier = Verifier::new(1);
    for store_shard in 0..4 {
        for (key, value) in &world.disk.rows {
            let slot = Key::parse(key).expect("a key").slot();
            if StoreShardId::of_slot(slot, 4).0 == store_shard {
                verifier.handle_row(StoreShardId(store_shard), key, value).expect("a sound row");
            }
        }
    }
    verifier.finish(4).0
}

#[test]
fn copies_and_homes_follow_any_edits_and_crashes() {
    for seed in 0..8 {
        let mut rng = Rng::new([seed; 32]);
        let shards = 1 + u16::from(seed) % 3;
        let mut world = World::new(shards);
        let mut client = world.login(0, "reader").client;
        let (mut model, mut copies) = (Copy::default(), [Copy::default(), Copy::default(), Copy::default()]);
        for step in 0..150 {
            let edits: Vec<_> = (0..rng.below(4) + 1).map(|_| some_edit(&mut rng)).collect();
            let mut next = model.clone();
            let unfit = edits.iter().position(|item| !model_edit(&mut next, item));
            match (edit(&mut world, edits), unfit) {
                (AdminReply::OrgEdited { .. }, None) => model = next,
                (AdminReply::OrgUnfit { edit, .. }, Some(unfit)) => assert_eq!(edit as usize, unfit),
                (reply, unfit) => panic!("seed {seed} step {step}: {reply:?}, and {unfit:?} does not fit"),
            }
            if step % 40 == 39 {
                world.crash(shards);
                client = world.login(0, "reader").client;
            }
            for (number, copy) in copies.iter_mut().enumerate() {
                if rng.below(4) == 0 {
                    sync(&mut world, client, copy, number as u32 + 1);
                }
            }
        }
        for copy in &mut copies {
            while sync(&mut world, client, copy, 3) {}
            assert!(copy.has_content_of(&model), "seed {seed}: {copy:?} {model:?}");
        }
        for number in 0..20 {
            let known = world.disk.get::<OrgPlace>(&Key::OrgPlace(user(number))).unwrap_or_default();
            assert_eq!(known.departments, model.places(user(number)), "seed {seed}");
            let direct = known.departments;
            let shard = usize::from(world.home_of(user(number)));
            let above = world.shards[shard].org.above(&direct);
            for id in &direct {
                let mut at = *id;
                while at != 0 {
                    assert!(above.contains(&at), "seed {seed}: {at} is above {direct:?}");
                    at = model.departments[&at].parent;
                }
            }
        }
        let found = verify(&world);
        assert!(found.iter().all(|line| line.contains("name") || line.contains("account")), "{found:#?}");
    }
}

#[test]
fn a_refused_piece_changes_nothing_and_says_which_edit() {
    let mut world = World::new(2);
    let version = |reply: AdminReply| match reply {
        AdminReply::OrgEdited { version } => version,
        other => panic!("{other:?}"),
    };
    let first = version(edit(&mut world, vec![department(1, 0), department(2, 1), member(2, 1, "head")]));
    assert_eq!(first, 3);
    let unfit = |world: &mut World, edits| match edit(world, edits) {
        AdminReply::OrgUnfit { edit, reason } => (edit, reason),
        other => panic!("{other:?}"),
    };
    let cases = [
        (vec![department(3, 0), department(1, 2)], 1, "under itself"),
        (vec![department(4, 9)], 0, "not there"),
        (vec![OrgItem::DepartmentGone(1)], 0, "departments under it"),
        (vec![OrgItem::DepartmentGone(2)], 0, "has members"),
        (vec![member(7, 1, "")], 0, "not there"),
        (vec![member(2, 1, "\n")], 0, "not allowed"),
        ((1..40).map(|id| department(id + 100, if id == 1 { 0 } else { id + 99 })).collect(), 32, "deeper"),
        (
            (0..17).flat_map(|id| [department(id + 50, 0), member(id + 50, 9, "")]).collect(),
            33,
            "more than 16",
        ),
    ];
    for (edits, at, reason) in cases {
        let (edit, said) = unfit(&mut world, edits);
        assert!(edit == at && said.contains(reason), "{edit} {said}");
    }
    let again = version(edit(&mut world, vec![department(2, 1), member(2, 1, "head")]));
    assert_eq!(again, first, "what is so already changes nothing");
    let shard = home(&world);
    let stale = AdminRequest::EditOrg { expected: 2, edits: vec![department(3, 0)] };
    assert!(
        matches!(world.admin(shard, stale), AdminReply::Refused { reason } if reason.contains("meanwhile"))
    );
    let elsewhere = AdminRequest::EditOrg { expected: 0, edits: vec![department(3, 0)] };
    assert!(matches!(world.admin(1 - shard, elsewhere), AdminReply::Refused { .. }));
    let moved = (1..=20).map(|id| department(id + 200, if id == 1 { 0 } else { id + 199 }));
    assert_eq!(version(edit(&mut world, moved.collect())), first + 20);
    let tail = (1..=20).map(|id| department(id + 300, if id == 1 { 0 } else { id + 299 }));
    edit(&mut world, tail.collect());
    assert!(unfit(&mut world, vec![department(301, 220)]).1.contains("deeper"), "40 of 32");
}

#[test]
fn what_was_gone_too_long_ago_makes_a_copy_begin_afresh() {
    let mut world = World::new(2);
    let client = world.login(0, "reader").client;
    edit(&mut world, vec![department(1, 0), department(2, 0), member(2, 7, "")]);
    let (mut old, mut running) = (Copy::default(), Copy::default());
    while sync(&mut world, client, &mut old, 0) {}
    assert!(sync(&mut world, client, &mut running, 1), "a first sync that has begun");
    let toggle = || [member(1, 3, ""), OrgItem::MemberGone { department: 1, user: user(3) }];
    for _ in 0..(2 * ORG_GONE_MAX / ORG_EDITS_MAX + 2) {
        let edits = (0..ORG_EDITS_MAX / 2).flat_map(|_| toggle()).collect();
        assert!(matches!(edit(&mut world, edits), AdminReply::OrgEdited { .. }));
    }
    let state = world.disk.get::<OrgState>(&Key::OrgState).expect("it was written");
    assert_eq!(state.gone as usize, ORG_GONE_MAX);
    assert!(state.dropped > old.position.over);
    old.members.insert((1, user(9)), Member { department: 1, user: user(9), ..lost() });
    for copy in [&mut old, &mut running] {
        while sync(&mut world, client, copy, 500) {}
        assert_eq!((copy.departments.len(), copy.members.len()), (2, 1));
        assert_eq!(copy.position, OrgPosition { over: state.version, page: state.version });
    }
    let mut fresh = Copy::default();
    let mut pages = 0;
    while sync(&mut world, client, &mut fresh, 0) {
        pages += 1;
        assert!(pages < 100, "a fresh copy is not told to begin afresh for ever");
    }
    assert!(fresh.has_content_of(&old));
}

fn lost() -> Member {
    Member { department: 0, user: user(0), order: 0, name: String::new(), title: String::new() }
}

#[test]
fn sessions_are_told_now_and_then() {
    let mut world = World::new(2);
    let clients = [world.login(0, "ann").client, world.login(1, "bob").client];
    let told = |world: &mut World| {
        let versions = clients.map(|client| {
            let events = world.events(client).into_iter();
            let version = |event: EventBody| match event {
                EventBody::OrgChanged { version } => Some(version),
                _ => None,
            };
            events.filter_map(|frame| version(frame.event)).collect::<Vec<_>>()
        });
        assert_eq!(versions[0], versions[1]);
        versions[0].clone()
    };
    world.advance(ORG_TOLD_MS);
    told(&mut world);
    edit(&mut world, vec![department(1, 0)]);
    edit(&mut world, vec![department(2, 0)]);
    edit(&mut world, vec![department(3, 0)]);
    assert_eq!(told(&mut world), [1]);
    world.advance(ORG_TOLD_MS);
    assert_eq!(told(&mut world), [3]);
    world.advance(ORG_TOLD_MS);
    assert_eq!(told(&mut world), [0u64; 0]);
}

#[test]
fn a_full_disk_refuses_and_leaves_the_directory_as_it_was() {
    let mut world = World::new(2);
    let client = world.login(0, "reader").client;
    edit(&mut world, vec![department(1, 0), member(1, 1, "")]);
    world.outcome = CommitOutcome::Full;
    let refused = edit(&mut world, vec![department(2, 0), member(1, 2, "")]);
    assert!(matches!(refused, AdminReply::Refused { .. }), "{refused:?}");
    world.outcome = CommitOutcome::Committed;
    world.advance(10_000);
    let done = edit(&mut world, vec![department(3, 1), member(3, 1, "")]);
    assert_eq!(done, AdminReply::OrgEdited { version: 4 });
    let mut copy = Copy::default();
    while sync(&mut world, client, &mut copy, 0) {}
    assert_eq!((copy.departments.len(), copy.members.len()), (2, 2));
    assert_eq!(world.disk.get::<OrgPlace>(&Key::OrgPlace(user(1))).expect("told").departments, [1, 3]);
}

#[test]
fn names_are_found_where_their_home_is() {
    let mut world = World::new(1);
    let ann = world.login(0, "ann").user;
    let names = ["Ann", "nobody", "", "ann"].map(str::to_owned).to_vec();
    let reply = world.admin(0, AdminRequest::FindUsers { names });
    assert_eq!(reply, AdminReply::Found { users: vec![Some(ann.0), None, None, Some(ann.0)] });
}
