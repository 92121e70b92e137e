//! Whether the rows of the directory of the organisation fit together, and the homes of its members know their places.

use std::collections::{BTreeMap, BTreeSet};

use wire::UserId;
use wire::org::OrgItem;

use super::{Findings, read};
use crate::keys::Key;
use crate::org::{
    ORG_DEPTH_MAX, OrgChange, OrgDepartment, OrgGone, OrgMember, OrgOutboxEntry, OrgPlace, OrgState,
};

#[derive(Default)]
pub(super) struct Org {
    state: OrgState,
    departments: BTreeMap<u32, OrgDepartment>,
    /// Of each department, as far as they were shown.
    members: BTreeMap<u32, u32>,
    /// What is to be at which version.
    expected: BTreeMap<u64, (u32, u64)>,
    gone: BTreeSet<u64>,
    gone_expected: BTreeSet<u64>,
    /// The departments of each user, by the directory, and by what his home knows or is to be told.
    direct: BTreeMap<UserId, Vec<u32>>,
    known: BTreeMap<UserId, (u64, Vec<u32>)>,
}

impl Org {
    /// # Errors
    /// What is wrong with this row by itself or after the rows before it.
    pub fn add(&mut self, key: Key, value: &[u8]) -> Result<(), String> {
        match key {
            Key::OrgState => self.state = read(value)?,
            Key::OrgDepartment(id) => {
                let department = read::<OrgDepartment>(value)?;
                self.expect(department.version, id, 0)?;
                self.departments.insert(id, department);
            }
            Key::OrgMember(user, department) => {
                let member = read::<OrgMember>(value)?;
                *self.members.entry(department).or_default() += 1;
                self.direct.entry(user).or_default().push(department);
                self.expect(member.version, department, user.0)?;
            }
            Key::OrgChange(version) => return self.add_change(version, read(value)?),
            Key::OrgGone(version) => {
                read::<OrgGone>(value)?;
                self.gone.insert(version);
            }
            Key::OrgOutbox(user) => {
                let OrgOutboxEntry { version, departments } = read(value)?;
                self.know(user, version, departments);
            }
            Key::OrgPlace(user) => {
                let OrgPlace { version, departments } = read(value)?;
                self.know(user, version, departments);
            }
            other => unreachable!("{other:?} is not about the directory"),
        }
        Ok(())
    }

    fn expect(&mut self, version: u64, department: u32, user: u64) -> Result<(), String> {
        match self.expected.insert(version, (department, user)) {
            Some(other) => Err(format!("version {version} of the directory is also that of {other:?}")),
            None => Ok(()),
        }
    }

    fn add_change(&mut self, version: u64, change: OrgChange) -> Result<(), String> {
        let item = OrgItem::from(change);
        let what = match &item {
            OrgItem::Department(department) => (department.id, 0),
            OrgItem::Member(member) => (member.department, member.user.0),
            OrgItem::DepartmentGone(_) | OrgItem::MemberGone { .. } => {
                self.gone_expected.insert(version);
                return Ok(());
            }
        };
        match self.expected.remove(&version) {
            Some(expected) if expected == what => Ok(()),
            _ => Err(format!("version {version} of the directory tells of {what:?}, which is not so")),
        }
    }

    fn know(&mut self, user: UserId, version: u64, departments: Vec<u32>) {
        let known = self.known.entry(user).or_default();
        if version >= known.0 {
            *known = (version, departments);
        }
    }

    pub fn finish(self, findings: &mut Findings) {
        if let Some((version, what)) = self.expected.first_key_value() {
            findings.add(format!("no row tells of version {version} of the directory, {what:?}"));
        }
        if self.gone != self.gone_expected {
            findings.add("the rows of the directory about what is gone are not those that say so".into());
        }
        for (id, department) in &self.departments {
            if let Err(what) = self.check_department(*id, department) {
                findings.add(format!("department {id}: {what}"));
            }
        }
        let orphans = self.members.keys().filter(|id| !self.departments.contains_key(id));
        orphans.for_each(|id| findings.add(format!("department {id} has members and is not there")));
        let state = &self.state;
        let counted = (self.gone.len(), self.departments.len(), self.direct.values().map(Vec::len).sum());
        let told = (state.gone as usize, state.departments as usize, state.members as usize);
        if counted != told {
            findings.add(format!("the directory counts {told:?} rows, and there are {counted:?}"));
        }
        self.check_places(findings);
    }

    fn check_department(&self, id: u32, department: &OrgDepartment) -> Result<(), String> {
        let members = self.members.get(&id).copied().unwrap_or_default();
        if members != department.members {
            return Err(format!("it counts {} members, and there are {members}", department.members));
        }
        let (mut parent, mut depth) = (department.parent, 1);
        while parent != 0 {
            let Some(above) = self.departments.get(&parent) else {
                return Err(format!("department {parent} above it is not there"));
            };
            (parent, depth) = (above.parent, depth + 1);
            if depth > ORG_DEPTH_MAX {
                return Err("it stands too deep, or under itself".into());
            }
        }
        Ok(())
    }

    fn check_places(&self, findings: &mut Findings) {
        for (user, direct) in &self.direct {
            if self.known.get(user).is_none_or(|(_, known)| known != direct) {
                findings.add(format!("{user:?} is in {direct:?}; his home does not know and is not told"));
            }
        }
        for (user, (_, known)) in &self.known {
            if !known.is_empty() && !self.direct.contains_key(user) {
                findings.add(format!("{user:?} is in {known:?}, says his home; the directory does not"));
            }
        }
    }
}
