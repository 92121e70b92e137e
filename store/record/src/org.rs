//! The directory of the organisation. All but [`OrgPlace`] stands in one slot ([`wire::org::ORG_SLOT`]).

use rkyv::{Archive, Deserialize, Serialize};
use wire::UserId;
use wire::org::{Department, Member, OrgItem};

use crate::records::{Record, RecordError, record};

/// Departments from one at the top down to the deepest, most of them. Bounds every walk upwards.
pub const ORG_DEPTH_MAX: usize = 32;
/// Departments in the directory; they are in the memory of its home.
pub const ORG_DEPARTMENTS_MAX: usize = 16_384;
/// Members of all departments.
pub const ORG_MEMBERS_MAX: usize = 4_000_000;
/// Departments that one user may be in directly.
pub const ORG_PLACES_MAX: usize = 16;
/// Rows about what is gone. Over it the oldest are dropped.
pub const ORG_GONE_MAX: usize = 16_384;

/// The directory as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct OrgState {
    /// Of the last change. Each changed row has one of its own.
    pub version: u64,
    /// Rows about what is gone were dropped up to this version: a copy that is older begins afresh.
    pub dropped: u64,
    /// Rows about what is gone.
    pub gone: u32,
    pub departments: u32,
    pub members: u32,
}
record!(OrgState, OrgState, 1);

/// A department that is there.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct OrgDepartment {
    /// At which it last changed; the number of its members is no part of that.
    pub version: u64,
    pub parent: u32,
    pub order: u32,
    /// Direct ones.
    pub members: u32,
    pub name: String,
}
record!(OrgDepartment, OrgDepartment, 1);

/// A member that is there.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct OrgMember {
    pub version: u64,
    pub order: u32,
    pub name: String,
    pub title: String,
}
record!(OrgMember, OrgMember, 1);

/// What last changed at a version: all that a client is told, so that a page is one read. The row of an earlier change of
/// the same thing leaves with it, but for one that says that it was gone.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum OrgChange {
    Department { id: u32, parent: u32, order: u32, name: String },
    Member { department: u32, user: u64, order: u32, name: String, title: String },
    DepartmentGone { id: u32 },
    MemberGone { department: u32, user: u64 },
}
record!(OrgChange, OrgChange, 1);

/// At this version something was gone: which rows about that are the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct OrgGone {
    pub department: u32,
    /// 0: the department itself.
    pub user: u64,
}
record!(OrgGone, OrgGone, 1);

/// The departments that a user is in directly, on their way to his home. The newest in place of older ones.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct OrgOutboxEntry {
    pub version: u64,
    pub departments: Vec<u32>,
}
record!(OrgOutboxEntry, OrgOutbox, 1);

/// The departments that a user is in directly, at his home. The higher version is the newer one.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct OrgPlace {
    pub version: u64,
    /// Ascending.
    pub departments: Vec<u32>,
}
record!(OrgPlace, OrgPlace, 1);

impl From<OrgItem> for OrgChange {
    fn from(item: OrgItem) -> Self {
        match item {
            OrgItem::Department(Department { id, parent, order, name }) => {
                OrgChange::Department { id, parent, order, name }
            }
            OrgItem::Member(Member { department, user, order, name, title }) => {
                OrgChange::Member { department, user: user.0, order, name, title }
            }
            OrgItem::DepartmentGone(id) => OrgChange::DepartmentGone { id },
            OrgItem::MemberGone { department, user } => OrgChange::MemberGone { department, user: user.0 },
        }
    }
}

impl From<OrgChange> for OrgItem {
    fn from(change: OrgChange) -> Self {
        match change {
            OrgChange::Department { id, parent, order, name } => {
                OrgItem::Department(Department { id, parent, order, name })
            }
            OrgChange::Member { department, user, order, name, title } => {
                OrgItem::Member(Member { department, user: UserId(user), order, name, title })
            }
            OrgChange::DepartmentGone { id } => OrgItem::DepartmentGone(id),
            OrgChange::MemberGone { department, user } => {
                OrgItem::MemberGone { department, user: UserId(user) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes on disk of version 1. They never change; a new version gets bytes of its own beside these.
    #[test]
    fn golden_bytes() {
        let (name, title) = ("ann".to_owned(), "Head of research".to_owned());
        let state = OrgState { version: 9, dropped: 2, gone: 1, departments: 1, members: 1 };
        let department =
            OrgDepartment { version: 7, parent: 1, order: 2, members: 1, name: "Research".into() };
        let member = OrgMember { version: 8, order: 3, name: name.clone(), title: title.clone() };
        let change = OrgChange::Member { department: 3, user: 1_029, order: 3, name, title };
        let gone = OrgGone { department: 3, user: 2_057 };
        let outbox = OrgOutboxEntry { version: 8, departments: vec![3, 4] };
        let place = OrgPlace { version: 8, departments: vec![3, 4] };
        let values = [
            state.encode(),
            department.encode(),
            member.encode(),
            change.encode(),
            gone.encode(),
            outbox.encode(),
            place.encode(),
        ];
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(values.each_ref().map(|value| hex(value)), GOLDEN);
        assert_eq!(OrgState::decode(&values[0]), Ok(state));
        assert_eq!(OrgDepartment::decode(&values[1]), Ok(department));
        assert_eq!(OrgMember::decode(&values[2]), Ok(member));
        assert_eq!(OrgChange::decode(&values[3]), Ok(change));
        assert_eq!(OrgGone::decode(&values[4]), Ok(gone));
        assert_eq!(OrgOutboxEntry::decode(&values[5]), Ok(outbox));
        assert_eq!(OrgPlace::decode(&values[6]), Ok(place));
    }

    const GOLDEN: [&str; 7] = [
        "160109000000000000000200000000000000010000000100000001000000",
        "170107000000000000000100000002000000010000005265736561726368",
        "180148656164206f66207265736561726368080000000000000003000000616e6effffffffff90000000dcffffff",
        "190148656164206f662072657365617263680103000000050400000000000003000000616e6effffffffff90000000d7ffffff",
        "1c01030000000908000000000000",
        "1d0103000000040000000800000000000000f0ffffff02000000",
        "1e0103000000040000000800000000000000f0ffffff02000000",
    ];
}
