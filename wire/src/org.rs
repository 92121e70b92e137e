//! The directory of the organisation: what its bodies say, and their frames.

use bytes::Bytes;
use flatbuffers::WIPOffset;

use crate::body;
use crate::encode::{Builder, Encoder};
use crate::generated as fb;
use crate::ids::{Slot, UserId};
use crate::limits::{NAME_LEN_MAX, ORG_NAME_LEN_MAX, ORG_ROWS_MAX, ORG_TITLE_LEN_MAX};

/// Number of the slot whose home keeps the directory. Part of the disk format.
pub const ORG_SLOT: u16 = crate::ids::SLOTS - 1;

/// The slot whose home keeps the directory.
pub fn org_slot() -> Slot {
    Slot::new(ORG_SLOT).expect("the last slot")
}

/// A department.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Department {
    /// Chosen by the operator, and never 0.
    pub id: u32,
    /// 0: at the top.
    pub parent: u32,
    /// Among those of the same parent; the same order is by name.
    pub order: u32,
    pub name: String,
}

/// A user's place in one department.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub department: u32,
    pub user: UserId,
    /// Among those of the department; the same order is by name.
    pub order: u32,
    /// The user's own name.
    pub name: String,
    pub title: String,
}

/// Something in the directory, or that it is not there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrgItem {
    Department(Department),
    Member(Member),
    DepartmentGone(u32),
    MemberGone { department: u32, user: UserId },
}

/// An item under the version of the directory at which it last changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgRow {
    pub version: u64,
    pub item: OrgItem,
}

/// How far a copy of the directory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OrgPosition {
    /// The copy holds nothing that was gone before this version.
    pub over: u64,
    /// It has all rows up to this version. Below `over` while a first sync runs.
    pub page: u64,
}

/// A page of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrgSynced {
    pub over: u64,
    pub to: u64,
    /// True: there is more from `to` on.
    pub more: bool,
    /// True: what the client has is not a copy that changes can be made to. It drops all and begins with these rows.
    pub afresh: bool,
    /// In rising versions.
    pub rows: Vec<OrgRow>,
}

impl OrgPosition {
    /// Where the copy is once the page is in it.
    ///
    /// # Errors
    /// In words, when the node's pages would never end.
    pub fn behind(self, synced: &OrgSynced) -> Result<Self, &'static str> {
        if synced.more && !synced.afresh && synced.to <= self.page {
            return Err("a directory that does not end");
        }
        let over = if synced.more { synced.over } else { synced.to };
        Ok(Self { over, page: synced.to })
    }
}

impl OrgItem {
    /// Whether its texts and numbers are within the bounds.
    pub fn is_valid(&self) -> bool {
        let fits = |text: &str, len_max: usize| text.len() <= len_max && !text.chars().any(char::is_control);
        match self {
            OrgItem::Department(Department { id, parent, name, .. }) => {
                *id != 0 && id != parent && !name.is_empty() && fits(name, ORG_NAME_LEN_MAX)
            }
            OrgItem::Member(Member { department, user, name, title, .. }) => {
                *department != 0
                    && user.is_valid()
                    && fits(name, NAME_LEN_MAX)
                    && fits(title, ORG_TITLE_LEN_MAX)
            }
            OrgItem::DepartmentGone(id) => *id != 0,
            OrgItem::MemberGone { department, user } => *department != 0 && user.is_valid(),
        }
    }

    pub fn is_gone(&self) -> bool {
        matches!(self, OrgItem::DepartmentGone(_) | OrgItem::MemberGone { .. })
    }
}

impl Encoder {
    pub fn sync_org(&mut self, request: u32, position: OrgPosition, rows_max: u32) -> Bytes {
        self.command::<body::SyncOrg>(request, &[], |b| {
            let OrgPosition { over, page } = position;
            fb::SyncOrg::create(b, &fb::SyncOrgArgs { over, page, rows_max })
        })
    }

    /// At most [`ORG_ROWS_MAX`] rows.
    pub fn org_synced(&mut self, request: u32, synced: &OrgSynced) -> Bytes {
        let OrgSynced { over, to, more, afresh, rows } = synced;
        assert!(rows.len() <= ORG_ROWS_MAX as usize, "{} rows", rows.len());
        self.event::<body::OrgSynced>(request, |b| {
            let rows: Vec<_> = rows.iter().map(|row| put_row(b, row)).collect();
            let rows = Some(b.create_vector(&rows));
            let args = fb::OrgSyncedArgs { over: *over, to: *to, more: *more, afresh: *afresh, rows };
            fb::OrgSynced::create(b, &args)
        })
    }

    pub fn org_changed(&mut self, version: u64) -> Bytes {
        self.event::<body::OrgChanged>(0, |b| fb::OrgChanged::create(b, &fb::OrgChangedArgs { version }))
    }
}

fn put_row(builder: &mut Builder, row: &OrgRow) -> WIPOffset<fb::OrgRow<'static>> {
    put_item(builder, row.version, &row.item)
}

pub(crate) fn put_item(
    builder: &mut Builder,
    version: u64,
    item: &OrgItem,
) -> WIPOffset<fb::OrgRow<'static>> {
    let mut text = |text: &str| (!text.is_empty()).then(|| builder.create_string(text));
    let mut args = fb::OrgRowArgs { version, gone: item.is_gone(), ..Default::default() };
    match item {
        OrgItem::Department(Department { id, parent, order, name }) => {
            args.name = text(name);
            (args.department, args.parent, args.order) = (*id, *parent, *order);
        }
        OrgItem::Member(Member { department, user, order, name, title }) => {
            (args.name, args.title) = (text(name), text(title));
            (args.department, args.user, args.order) = (*department, user.0, *order);
            args.kind = fb::OrgKind::Member;
        }
        OrgItem::DepartmentGone(id) => args.department = *id,
        OrgItem::MemberGone { department, user } => {
            (args.department, args.user) = (*department, user.0);
            args.kind = fb::OrgKind::Member;
        }
    }
    fb::OrgRow::create(builder, &args)
}

pub(crate) fn org_synced(view: fb::OrgSynced<'_>) -> OrgSynced {
    OrgSynced {
        over: view.over(),
        to: view.to(),
        more: view.more(),
        afresh: view.afresh(),
        rows: view.rows().map(|rows| rows.iter().filter_map(row).collect()).unwrap_or_default(),
    }
}

/// The edits of a body; `None` when one is of a kind that there is not.
pub fn edits(view: &fb::EditOrg<'_>) -> Option<Vec<OrgItem>> {
    let edits = view.edits().map(|edits| edits.iter().map(|edit| Some(row(edit)?.item)).collect());
    edits.unwrap_or(Some(Vec::new()))
}

/// `None` for a kind of a later version.
fn row(view: fb::OrgRow<'_>) -> Option<OrgRow> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let (department, user, order) = (view.department(), UserId(view.user()), view.order());
    let item = match (view.kind(), view.gone()) {
        (fb::OrgKind::Department, true) => OrgItem::DepartmentGone(department),
        (fb::OrgKind::Department, false) => {
            let (parent, name) = (view.parent(), text(view.name()));
            OrgItem::Department(Department { id: department, parent, order, name })
        }
        (fb::OrgKind::Member, true) => OrgItem::MemberGone { department, user },
        (fb::OrgKind::Member, false) => {
            let (name, title) = (text(view.name()), text(view.title()));
            OrgItem::Member(Member { department, user, order, name, title })
        }
        _ => return None,
    };
    Some(OrgRow { version: view.version(), item })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_goes_on_where_it_is() {
        let page = |to, more, afresh| OrgSynced { over: 900, to, more, afresh, rows: Vec::new() };
        let start = OrgPosition::default();
        let first = start.behind(&page(300, true, true)).expect("a page");
        assert_eq!(first, OrgPosition { over: 900, page: 300 });
        let last = first.behind(&page(905, false, false)).expect("the last one");
        assert_eq!(last, OrgPosition { over: 905, page: 905 });
        assert!(first.behind(&page(300, true, false)).is_err());
    }
}
