//! The directory of a running node: read in pages, edited in pieces, by the admin socket.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use wire::limits::ORG_ROWS_MAX;
use wire::name::UserName;
use wire::org::{Department, Member, OrgItem, OrgPosition, OrgRow, OrgSynced};
use wire::{Refusal, UserId};

use crate::admin::{AdminClient, AdminError, OrgEntry, Reply, Request};

/// Edits, and names, in one request.
const PIECE: usize = 256;
/// Tries of a request that the node is too busy for, and the time between them.
const TRIES_MAX: usize = 300;
const RETRY: Duration = Duration::from_millis(100);

/// Why something was not done, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum OrgError {
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("{0:?} does not fit: {1}; nothing of its piece was done")]
    Unfit(OrgItem, String),
    #[error("the node answered something else than was asked ({0}); use one version for both")]
    Answer(String),
}

/// A copy of the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    pub position: OrgPosition,
    pub departments: BTreeMap<u32, Department>,
    pub members: BTreeMap<(u32, UserId), Member>,
}

impl Directory {
    pub fn take(&mut self, item: OrgItem) {
        match item {
            OrgItem::Department(department) => _ = self.departments.insert(department.id, department),
            OrgItem::Member(member) => _ = self.members.insert((member.department, member.user), member),
            OrgItem::DepartmentGone(id) => _ = self.departments.remove(&id),
            OrgItem::MemberGone { department, user } => _ = self.members.remove(&(department, user)),
        }
    }

    /// Departments under this one, by order and name.
    pub fn under(&self, parent: u32) -> Vec<&Department> {
        let mut under: Vec<_> =
            self.departments.values().filter(|department| department.parent == parent).collect();
        under.sort_by_key(|department| (department.order, &department.name));
        under
    }

    /// Each behind the one it stands under. Those that lead to no top are left out.
    pub fn from_the_top(&self) -> Vec<&Department> {
        let mut under: HashMap<u32, Vec<&Department>> = HashMap::new();
        for department in self.departments.values() {
            under.entry(department.parent).or_default().push(department);
        }
        let mut sorted = under.remove(&0).unwrap_or_default();
        let mut next = 0;
        while let Some(department) = sorted.get(next) {
            sorted.extend(under.remove(&department.id).unwrap_or_default());
            next += 1;
        }
        sorted
    }
}

/// Reads the whole directory.
pub fn read(node: &mut AdminClient) -> Result<Directory, OrgError> {
    let mut directory = Directory::default();
    loop {
        let OrgPosition { over, page } = directory.position;
        match ask(node, &Request::OrgPage { over, page, rows_max: ORG_ROWS_MAX })? {
            Reply::OrgPage { over, to, more, afresh, rows } => {
                // Only where the rows lead to matters here.
                let rows = rows.into_iter().map(|entry| OrgRow { version: to, item: entry.into() }).collect();
                let synced = OrgSynced { over, to, more, afresh, rows };
                let behind = directory.position.behind(&synced);
                let position = behind.map_err(|what| OrgError::Answer(what.into()))?;
                if synced.afresh {
                    directory = Directory::default();
                }
                directory.position = position;
                synced.rows.into_iter().for_each(|row| directory.take(row.item));
                if !more {
                    return Ok(directory);
                }
            }
            other => return Err(OrgError::Answer(format!("{other:?}"))),
        }
    }
}

/// The users with these names, by their comparable forms. Who is not there is left out.
pub fn find_users<'n>(
    node: &mut AdminClient,
    names: impl Iterator<Item = &'n str>,
) -> Result<HashMap<String, UserId>, OrgError> {
    let comparable = |name| UserName::parse(name).ok().map(|name| name.as_str().to_owned());
    let mut names: Vec<String> = names.filter_map(comparable).collect();
    names.sort();
    names.dedup();
    let mut found = HashMap::new();
    for piece in names.chunks(PIECE) {
        match ask(node, &Request::FindUsers { names: piece.to_vec() })? {
            Reply::Found { users } => {
                let users = piece.iter().zip(users);
                found.extend(users.filter_map(|(name, user)| Some((name.clone(), UserId(user?)))));
            }
            other => return Err(OrgError::Answer(format!("{other:?}"))),
        }
    }
    Ok(found)
}

/// Makes edits that were planned for the directory at this version; gives the last version. Stops where somebody else edits
/// it meanwhile: what was done stays, and a new plan does the rest.
pub fn apply(node: &mut AdminClient, version: u64, edits: Vec<OrgItem>) -> Result<u64, OrgError> {
    let mut version = version;
    for piece in edits.chunks(PIECE) {
        let entries = piece.iter().cloned().map(OrgEntry::from).collect();
        version = match ask(node, &Request::EditOrg { expected: version, edits: entries })? {
            Reply::OrgEdited { version } => version,
            Reply::OrgUnfit { edit, reason } => {
                let item = piece.get(edit as usize).or(piece.first()).cloned();
                return Err(OrgError::Unfit(item.expect("a piece is not empty"), reason));
            }
            other => return Err(OrgError::Answer(format!("{other:?}"))),
        };
    }
    Ok(version)
}

/// Asks again while the node is busy: users' homes are being told of earlier edits.
fn ask(node: &mut AdminClient, request: &Request) -> Result<Reply, OrgError> {
    let mut tries = 0;
    loop {
        match node.ask(request) {
            Err(AdminError::Refused(reason)) if reason == Refusal::Busy.reason() && tries < TRIES_MAX => {
                tries += 1;
                std::thread::sleep(RETRY);
            }
            answer => return Ok(answer?),
        }
    }
}
