//! One piece of edits against the directory: all of it fits, or nothing is changed. Works on copies of what it touches.

use std::collections::{BTreeMap, BTreeSet};

use record::{
    Key, ORG_DEPARTMENTS_MAX, ORG_DEPTH_MAX, ORG_MEMBERS_MAX, ORG_PLACES_MAX, OrgChange, OrgDepartment,
    OrgGone, OrgMember, OrgOutboxEntry, OrgState,
};
use wire::UserId;
use wire::org::{Department, Member, OrgItem};

use super::home::Index;
use crate::bugs::Bug;
use crate::core::Core;

/// What does not fit, in a sentence without its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit(pub String);

/// A row to be written.
#[derive(Debug)]
enum Write {
    Member(UserId, u32, OrgMember),
    Change(u64, OrgChange),
    Gone(u64, OrgGone),
    Delete(Key),
}

/// The directory as it will be.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    index: &'a Index,
    pub state: OrgState,
    /// Departments that were touched; `None` is gone.
    departments: BTreeMap<u32, Option<OrgDepartment>>,
    /// Of these, the ones that the tree of the shards is to be told.
    told: BTreeSet<u32>,
    /// Departments under one, as far as that changed.
    children: BTreeMap<u32, u32>,
    /// The places of the users that are edited.
    places: BTreeMap<UserId, BTreeMap<u32, OrgMember>>,
    changed: BTreeSet<UserId>,
    writes: Vec<Write>,
}

/// What a draft leaves behind when it is written.
#[derive(Debug)]
pub(super) struct Done {
    pub state: OrgState,
    pub departments: BTreeMap<u32, Option<OrgDepartment>>,
    pub tree: Vec<(u32, Option<u32>)>,
    pub places: Vec<(UserId, OrgOutboxEntry)>,
}

impl<'a> Draft<'a> {
    pub fn new(
        index: &'a Index,
        state: OrgState,
        places: BTreeMap<UserId, BTreeMap<u32, OrgMember>>,
    ) -> Self {
        Self {
            index,
            state,
            departments: BTreeMap::new(),
            told: BTreeSet::new(),
            children: BTreeMap::new(),
            places,
            changed: BTreeSet::new(),
            writes: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Edits the draft. What is so already, or gone already, changes nothing.
    pub fn edit(&mut self, core: &Core, item: OrgItem) -> Result<(), Unfit> {
        if !item.is_valid() {
            return Err(Unfit("has a number, a name or a title that is not allowed".into()));
        }
        match item {
            OrgItem::Department(department) => self.put_department(department),
            OrgItem::Member(member) => self.put_member(member),
            OrgItem::DepartmentGone(id) => self.remove_department(core, id),
            OrgItem::MemberGone { department, user } => self.remove_member(core, department, user),
        }
    }

    /// Drops rows about what was gone at these versions, the oldest ones.
    pub fn drop_gone(&mut self, versions: &[u64]) {
        for version in versions {
            self.writes.push(Write::Delete(Key::OrgChange(*version)));
            self.writes.push(Write::Delete(Key::OrgGone(*version)));
            self.state.dropped = *version;
            self.state.gone -= 1;
        }
    }

    /// Puts all into the turn's batch.
    pub fn write(self, core: &mut Core) -> Done {
        for write in self.writes {
            match write {
                Write::Member(user, department, member) => {
                    core.put(&Key::OrgMember(user, department), &member);
                }
                Write::Change(version, change) => core.put(&Key::OrgChange(version), &change),
                Write::Gone(version, gone) => core.put(&Key::OrgGone(version), &gone),
                Write::Delete(key) => core.delete(&key),
            }
        }
        for (id, department) in &self.departments {
            match department {
                Some(department) => core.put(&Key::OrgDepartment(*id), department),
                None => core.delete(&Key::OrgDepartment(*id)),
            }
        }
        core.put(&Key::OrgState, &self.state);
        let version = self.state.version;
        let parent = |id: &u32| self.departments[id].as_ref().map(|department| department.parent);
        let tree = self.told.iter().map(|id| (*id, parent(id))).collect();
        let places = self.changed.iter().map(|user| {
            let departments = self.places[user].keys().copied().collect();
            (*user, OrgOutboxEntry { version, departments })
        });
        Done { state: self.state, tree, places: places.collect(), departments: self.departments }
    }

    fn department(&self, id: u32) -> Option<&OrgDepartment> {
        match self.departments.get(&id) {
            Some(touched) => touched.as_ref(),
            None => self.index.departments.get(&id),
        }
    }

    fn children(&self, id: u32) -> u32 {
        let known = || self.index.children.get(&id).copied().unwrap_or_default();
        self.children.get(&id).copied().unwrap_or_else(known)
    }

    fn put_department(&mut self, department: Department) -> Result<(), Unfit> {
        let Department { id, parent, order, name } = department;
        let old = self.department(id).cloned();
        let is_same = |old: &OrgDepartment| (old.parent, old.order, &old.name) == (parent, order, &name);
        if old.as_ref().is_some_and(is_same) {
            return Ok(());
        }
        self.check_above(id, parent)?;
        if old.as_ref().is_none_or(|old| old.parent != parent) {
            if old.is_some() && self.depth_below(id) + self.depth(parent) > ORG_DEPTH_MAX {
                return Err(Unfit(format!("would stand deeper than {ORG_DEPTH_MAX} departments")));
            }
            if let Some(old) = &old {
                self.children.insert(old.parent, self.children(old.parent) - 1);
            }
            self.children.insert(parent, self.children(parent) + 1);
            self.told.insert(id);
        }
        let version = self.next_version(old.as_ref().map(|old| old.version));
        if old.is_none() {
            if self.state.departments as usize >= ORG_DEPARTMENTS_MAX {
                return Err(Unfit(format!("is one more than {ORG_DEPARTMENTS_MAX} departments")));
            }
            self.state.departments += 1;
        }
        let change = OrgChange::Department { id, parent, order, name: name.clone() };
        self.writes.push(Write::Change(version, change));
        let members = old.map_or(0, |old| old.members);
        self.departments.insert(id, Some(OrgDepartment { version, parent, order, members, name }));
        Ok(())
    }

    /// Whether it may stand under this one.
    fn check_above(&self, id: u32, parent: u32) -> Result<(), Unfit> {
        let mut at = parent;
        for _ in 1..ORG_DEPTH_MAX {
            if at == 0 {
                return Ok(());
            }
            if at == id {
                return Err(Unfit("would stand under itself".into()));
            }
            let Some(above) = self.department(at) else {
                return Err(Unfit(format!("stands under department {at}, which is not there")));
            };
            at = above.parent;
        }
        match at {
            0 => Ok(()),
            _ => Err(Unfit(format!("would stand deeper than {ORG_DEPTH_MAX} departments"))),
        }
    }

    /// This one and those above it.
    fn depth(&self, id: u32) -> usize {
        let (mut at, mut depth) = (id, 0);
        while at != 0 && depth <= ORG_DEPTH_MAX {
            at = self.department(at).map_or(0, |department| department.parent);
            depth += 1;
        }
        depth
    }

    /// This one and the longest way down from it. Only for one that has departments under it is anything looked at.
    fn depth_below(&self, id: u32) -> usize {
        let (mut level, mut depth) = (BTreeSet::from([id]), 0);
        while !level.is_empty() && depth <= ORG_DEPTH_MAX {
            depth += 1;
            if level.iter().all(|id| self.children(*id) == 0) {
                break;
            }
            let known = self.index.departments.keys().chain(self.departments.keys());
            let is_below =
                |id: &&u32| self.department(**id).is_some_and(|known| level.contains(&known.parent));
            level = known.filter(is_below).copied().collect();
        }
        depth
    }

    fn put_member(&mut self, member: Member) -> Result<(), Unfit> {
        let Member { department, user, order, name, title } = member;
        let Some(mut into) = self.department(department).cloned() else {
            return Err(Unfit(format!("is in department {department}, which is not there")));
        };
        let places = self.places.get(&user).expect("the places of edited users were read");
        let old = places.get(&department).cloned();
        let is_same = |old: &OrgMember| (old.order, &old.name, &old.title) == (order, &name, &title);
        if old.as_ref().is_some_and(is_same) {
            return Ok(());
        }
        if old.is_none() {
            if places.len() >= ORG_PLACES_MAX {
                return Err(Unfit(format!("is in more than {ORG_PLACES_MAX} departments")));
            }
            if self.state.members as usize >= ORG_MEMBERS_MAX {
                return Err(Unfit(format!("is one more than {ORG_MEMBERS_MAX} members")));
            }
            self.state.members += 1;
            into.members += 1;
            self.departments.insert(department, Some(into));
            self.changed.insert(user);
        }
        let version = self.next_version(old.map(|old| old.version));
        let row = OrgMember { version, order, name: name.clone(), title: title.clone() };
        self.places.entry(user).or_default().insert(department, row.clone());
        self.writes.push(Write::Member(user, department, row));
        let change = OrgChange::Member { department, user: user.0, order, name, title };
        self.writes.push(Write::Change(version, change));
        Ok(())
    }

    fn remove_department(&mut self, core: &Core, id: u32) -> Result<(), Unfit> {
        let Some(old) = self.department(id).cloned() else { return Ok(()) };
        if self.children(id) > 0 {
            return Err(Unfit("has departments under it".into()));
        }
        if old.members > 0 {
            return Err(Unfit("has members".into()));
        }
        self.children.insert(old.parent, self.children(old.parent) - 1);
        self.told.insert(id);
        self.state.departments -= 1;
        self.departments.insert(id, None);
        let version = self.next_version(Some(old.version));
        let gone = OrgGone { department: id, user: 0 };
        self.tell_gone(core, version, OrgChange::DepartmentGone { id }, gone);
        Ok(())
    }

    fn remove_member(&mut self, core: &Core, department: u32, user: UserId) -> Result<(), Unfit> {
        let places = self.places.get_mut(&user).expect("the places of edited users were read");
        let Some(old) = places.remove(&department) else { return Ok(()) };
        let mut from = self.department(department).cloned().expect("a department that has a member");
        from.members -= 1;
        self.departments.insert(department, Some(from));
        self.changed.insert(user);
        self.state.members -= 1;
        self.writes.push(Write::Delete(Key::OrgMember(user, department)));
        let version = self.next_version(Some(old.version));
        let gone = OrgGone { department, user: user.0 };
        self.tell_gone(core, version, OrgChange::MemberGone { department, user: user.0 }, gone);
        Ok(())
    }

    fn tell_gone(&mut self, core: &Core, version: u64, change: OrgChange, gone: OrgGone) {
        if core.bug(Bug::OrgForgetsGone) {
            return;
        }
        self.state.gone += 1;
        self.writes.push(Write::Change(version, change));
        self.writes.push(Write::Gone(version, gone));
    }

    /// The version of one more change, in place of an earlier one of the same thing.
    fn next_version(&mut self, old: Option<u64>) -> u64 {
        if let Some(old) = old {
            self.writes.push(Write::Delete(Key::OrgChange(old)));
        }
        self.state.version += 1;
        self.state.version
    }
}
