//! What is to be edited so that the directory is as a file says. All of it is checked before anything is done.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use record::{ORG_DEPARTMENTS_MAX, ORG_DEPTH_MAX, ORG_PLACES_MAX};
use wire::UserId;
use wire::name::UserName;
use wire::org::{Department, Member, OrgItem};

use super::copy::Directory;
use super::file::{File, Line};

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub at: Option<Line>,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{at}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// What becomes of that which the file does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    Stays,
    Goes,
}

/// Edits in an order in which each fits when those before it are done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub edits: Vec<OrgItem>,
}

impl Plan {
    /// How many edits put or remove departments and members.
    pub fn counts(&self) -> [usize; 4] {
        let count = |kind: fn(&OrgItem) -> bool| self.edits.iter().filter(|item| kind(item)).count();
        [
            count(|item| matches!(item, OrgItem::Department(_))),
            count(|item| matches!(item, OrgItem::DepartmentGone(_))),
            count(|item| matches!(item, OrgItem::Member(_))),
            count(|item| matches!(item, OrgItem::MemberGone { .. })),
        ]
    }
}

/// Checks a file against the directory, and says what to edit.
///
/// # Errors
/// All that does not fit.
pub fn plan(
    now: &Directory,
    file: &File,
    users: &HashMap<String, UserId>,
    rest: Rest,
) -> Result<Plan, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut wanted = match rest {
        Rest::Stays => Directory { departments: now.departments.clone(), ..Directory::default() },
        Rest::Goes => Directory::default(),
    };
    if rest == Rest::Stays {
        wanted.members.clone_from(&now.members);
    }
    take_departments(file, &mut wanted, &mut findings);
    let lines: HashMap<u32, Line> = file.departments.iter().map(|(line, it)| (it.id, *line)).collect();
    check_tree(&wanted, &lines, &mut findings);
    take_members(file, users, &mut wanted, &mut findings);
    check_places(&wanted, file, users, &mut findings);
    if !findings.is_empty() {
        findings.sort_by_key(|finding| finding.at);
        return Err(findings);
    }
    Ok(Plan { edits: difference(now, &wanted) })
}

fn take_departments(file: &File, wanted: &mut Directory, findings: &mut Vec<Finding>) {
    let mut seen: HashMap<u32, Line> = HashMap::new();
    for (line, department) in &file.departments {
        let mut find = |what: String| findings.push(Finding { at: Some(*line), what });
        if let Some(first) = seen.insert(department.id, *line) {
            find(format!("department {} stands at {first} already", department.id));
        } else if department.id == department.parent {
            find(format!("department {} stands under itself", department.id));
        } else if !OrgItem::Department(department.clone()).is_valid() {
            find(format!("department {}: its number is 0, or its name empty or too long", department.id));
        }
        wanted.departments.insert(department.id, department.clone());
    }
}

/// Each department leads to the top, and not over too many.
fn check_tree(wanted: &Directory, lines: &HashMap<u32, Line>, findings: &mut Vec<Finding>) {
    if wanted.departments.len() > ORG_DEPARTMENTS_MAX {
        let what = format!("there are more than {ORG_DEPARTMENTS_MAX} departments");
        findings.push(Finding { at: None, what });
    }
    for (id, department) in &wanted.departments {
        let (mut at, mut depth) = (department.parent, 1);
        let what = loop {
            if at == 0 {
                break None;
            }
            let Some(above) = wanted.departments.get(&at) else {
                // It is told where the one that stands under it is named.
                let is_own = at == department.parent;
                break is_own.then(|| format!("department {id} stands under {at}, which is not there"));
            };
            if at == *id {
                break (department.parent != *id).then(|| format!("department {id} stands under itself"));
            }
            depth += 1;
            if depth > ORG_DEPTH_MAX {
                break Some(format!("department {id} stands deeper than {ORG_DEPTH_MAX}, or in a circle"));
            }
            at = above.parent;
        };
        findings.extend(what.map(|what| Finding { at: lines.get(id).copied(), what }));
    }
}

fn take_members(
    file: &File,
    users: &HashMap<String, UserId>,
    wanted: &mut Directory,
    findings: &mut Vec<Finding>,
) {
    let mut seen: HashMap<(u32, UserId), Line> = HashMap::new();
    for (line, named) in &file.members {
        let mut find = |what: String| findings.push(Finding { at: Some(*line), what });
        let Some((name, user)) = user_of(&named.user, users) else {
            find(format!("there is no user {:?}", named.user));
            continue;
        };
        let department = named.department;
        if !wanted.departments.contains_key(&department) {
            find(format!("{name} is in department {department}, which is not there"));
        } else if let Some(first) = seen.insert((department, user), *line) {
            find(format!("{name} in department {department} stands at {first} already"));
        }
        let title = named.title.clone();
        let member = Member { department, user, order: named.order, name, title };
        if !OrgItem::Member(member.clone()).is_valid() {
            find(format!("{}: the title is too long, or has what cannot be shown", member.name));
        }
        wanted.members.insert((department, user), member);
    }
}

fn user_of(name: &str, users: &HashMap<String, UserId>) -> Option<(String, UserId)> {
    let name = UserName::parse(name).ok()?.as_str().to_owned();
    let user = *users.get(&name)?;
    Some((name, user))
}

fn check_places(
    wanted: &Directory,
    file: &File,
    users: &HashMap<String, UserId>,
    findings: &mut Vec<Finding>,
) {
    let mut places: HashMap<UserId, usize> = HashMap::new();
    wanted.members.keys().for_each(|(_, user)| *places.entry(*user).or_default() += 1);
    let mut told = HashSet::new();
    for (line, named) in &file.members {
        let Some((name, user)) = user_of(&named.user, users) else { continue };
        if places.get(&user).is_some_and(|count| *count > ORG_PLACES_MAX) && told.insert(user) {
            let what = format!("{name} is in more than {ORG_PLACES_MAX} departments");
            findings.push(Finding { at: Some(*line), what });
        }
    }
}

/// Departments from the top down, so that each stands under one that is where it will be; then members out, since a user
/// may be in so many departments only, and in; at last departments that go, from the bottom up.
fn difference(now: &Directory, wanted: &Directory) -> Vec<OrgItem> {
    let mut edits = Vec::new();
    for department in wanted.from_the_top() {
        if now.departments.get(&department.id) != Some(department) {
            edits.push(OrgItem::Department(department.clone()));
        }
    }
    for (department, user) in now.members.keys().filter(|key| !wanted.members.contains_key(*key)) {
        edits.push(OrgItem::MemberGone { department: *department, user: *user });
    }
    for (key, member) in &wanted.members {
        if now.members.get(key) != Some(member) {
            edits.push(OrgItem::Member(member.clone()));
        }
    }
    // One that goes stands under one that goes, or one that stays; none that stays is under it any more.
    let goes = |department: &&&Department| !wanted.departments.contains_key(&department.id);
    let gone = now.from_the_top();
    edits.extend(gone.iter().filter(goes).rev().map(|department| OrgItem::DepartmentGone(department.id)));
    edits
}

/// Edits that remove a department with all under it.
pub fn branch(now: &Directory, top: u32) -> Vec<OrgItem> {
    let mut inside = BTreeSet::from([top]);
    for department in now.from_the_top() {
        if inside.contains(&department.parent) {
            inside.insert(department.id);
        }
    }
    let stays = |id: &u32| !inside.contains(id);
    let departments: BTreeMap<_, _> =
        now.departments.iter().filter(|(id, _)| stays(id)).map(|(id, it)| (*id, it.clone())).collect();
    let members = now.members.iter().filter(|((id, _), _)| stays(id)).map(|(key, it)| (*key, it.clone()));
    difference(now, &Directory { departments, members: members.collect(), ..Directory::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::org::{Format, parse};

    fn users() -> HashMap<String, UserId> {
        (1..=3).map(|number| (format!("u{number}"), UserId(number << 10 | 1))).collect()
    }

    fn planned(now: &Directory, rows: &str, rest: Rest) -> Result<Plan, Vec<Finding>> {
        let text = format!("kind,department,parent,name,user,title,order\n{rows}");
        plan(now, &parse(&text, Format::Csv).expect("readable"), &users(), rest)
    }

    fn directory(rows: &str) -> Directory {
        let mut directory = Directory::default();
        let plan = planned(&directory, rows, Rest::Goes).expect("it fits");
        plan.edits.into_iter().for_each(|item| directory.take(item));
        directory
    }

    const ROWS: &str = "department,2,1,two,,,\ndepartment,1,,one,,,\nmember,2,,,u1,Head,1\nmember,1,,,u2,,\n";

    #[test]
    fn what_is_the_same_is_not_edited_and_what_is_missing_goes_only_when_asked() {
        let now = directory(ROWS);
        assert_eq!(now.departments.len() + now.members.len(), 4);
        assert_eq!(planned(&now, ROWS, Rest::Goes), Ok(Plan::default()));
        let less = "department,1,,one,,,\nmember,1,,,u2,Clerk,\n";
        assert_eq!(planned(&now, less, Rest::Stays).expect("fits").counts(), [0, 0, 1, 0]);
        assert_eq!(planned(&now, less, Rest::Goes).expect("fits").counts(), [0, 1, 1, 1]);
    }

    #[test]
    fn two_departments_change_places() {
        let now = directory("department,1,,one,,,\ndepartment,2,1,two,,,\ndepartment,3,2,three,,,\n");
        let plan = planned(&now, "department,2,,two,,,\ndepartment,1,3,one,,,\n", Rest::Stays).expect("fits");
        let id = |item: &OrgItem| match item {
            OrgItem::Department(department) => department.id,
            other => panic!("{other:?}"),
        };
        let ids: Vec<_> = plan.edits.iter().map(id).collect();
        assert_eq!(ids, [2, 1], "the new top first");
        assert_eq!(branch(&now, 2), [OrgItem::DepartmentGone(3), OrgItem::DepartmentGone(2)]);
    }

    #[test]
    fn everything_wrong_is_told_with_its_line() {
        let wrong = "department,1,,one,,,\ndepartment,1,,again,,,\ndepartment,2,3,two,,,\ndepartment,3,2,three,,,\n\
            department,4,9,four,,,\ndepartment,5,5,five,,,\nmember,1,,,nobody,,\nmember,8,,,u1,,\nmember,1,,,u2,,\n\
            member,1,,,U2,,\n";
        let found = planned(&Directory::default(), wrong, Rest::Goes).expect_err("it does not fit");
        let lines: Vec<_> = found.iter().map(|finding| finding.to_string()).collect();
        let expected = [
            ("line 3", "already"),
            ("line 4", "itself"),
            ("line 5", "itself"),
            ("line 6", "not there"),
            ("line 7", "itself"),
            ("line 8", "no user"),
            ("line 9", "not there"),
            ("line 11", "already"),
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, (at, what)) in lines.iter().zip(expected) {
            assert!(line.starts_with(&format!("{at}:")) && line.contains(what), "{line} is not {at} {what}");
        }
    }
}
