//! The local copy of the directory of the organisation: a page and how far it brings the copy are one write.

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use wire::UserId;
use wire::org::{Department, Member, OrgItem, OrgPosition, OrgSynced};

use super::tables::{NUMBERS, known};
use super::{Store, StoreError};

/// Parent, order, name.
const DEPARTMENTS: TableDefinition<u32, (u32, u32, &str)> = TableDefinition::new("org_departments");
/// By department and user: order, name, title.
const MEMBERS: TableDefinition<(u32, u64), (u32, &str, &str)> = TableDefinition::new("org_members");
/// By user and department.
const PLACES: TableDefinition<(u64, u32), ()> = TableDefinition::new("org_places");
const OVER: &str = "org_over";
const PAGE: &str = "org_page";

/// What a read of the copy finds; nothing in a folder that never had one.
type Read<T> = Result<T, redb::Error>;

impl Store {
    /// How far the copy is.
    pub fn org_position(&self) -> Result<OrgPosition, StoreError> {
        let read = || -> Read<OrgPosition> {
            let transaction = self.database.begin_read()?;
            let numbers = transaction.open_table(NUMBERS)?;
            let number = |name| numbers.get(name).map(|found| found.map_or(0, |found| found.value()));
            Ok(OrgPosition { over: number(OVER)?, page: number(PAGE)? })
        };
        read().map_err(|error| self.failed(error))
    }

    /// Takes in a page that brings the copy to this position.
    pub fn put_org(&self, position: OrgPosition, synced: &OrgSynced) -> Result<(), StoreError> {
        self.in_transaction(|transaction| {
            if synced.afresh {
                transaction.delete_table(DEPARTMENTS)?;
                transaction.delete_table(MEMBERS)?;
                transaction.delete_table(PLACES)?;
            }
            put_rows(transaction, synced)?;
            let mut numbers = transaction.open_table(NUMBERS)?;
            numbers.insert(OVER, position.over)?;
            numbers.insert(PAGE, position.page)?;
            Ok(())
        })
    }

    pub fn org_departments(&self) -> Result<Vec<Department>, StoreError> {
        let read = || -> Read<Vec<Department>> {
            let transaction = self.database.begin_read()?;
            let Some(table) = known(transaction.open_table(DEPARTMENTS))? else { return Ok(Vec::new()) };
            let mut departments = Vec::new();
            for row in table.iter()? {
                let (id, row) = row?;
                let (parent, order, name) = row.value();
                departments.push(Department { id: id.value(), parent, order, name: name.to_owned() });
            }
            Ok(departments)
        };
        read().map_err(|error| self.failed(error))
    }

    /// Direct members of a department.
    pub fn org_members(&self, department: u32) -> Result<Vec<Member>, StoreError> {
        let read = || -> Read<Vec<Member>> {
            let transaction = self.database.begin_read()?;
            let Some(table) = known(transaction.open_table(MEMBERS))? else { return Ok(Vec::new()) };
            let mut members = Vec::new();
            for row in table.range((department, 0)..=(department, u64::MAX))? {
                let (key, row) = row?;
                members.push(member(key.value(), row.value()));
            }
            Ok(members)
        };
        read().map_err(|error| self.failed(error))
    }

    /// The places of a user.
    pub fn org_places(&self, user: UserId) -> Result<Vec<Member>, StoreError> {
        let read = || -> Read<Vec<Member>> {
            let transaction = self.database.begin_read()?;
            let tables = (known(transaction.open_table(PLACES))?, known(transaction.open_table(MEMBERS))?);
            let (Some(places), Some(table)) = tables else { return Ok(Vec::new()) };
            let mut members = Vec::new();
            for row in places.range((user.0, 0)..=(user.0, u32::MAX))? {
                let key = (row?.0.value().1, user.0);
                if let Some(row) = table.get(key)? {
                    members.push(member(key, row.value()));
                }
            }
            Ok(members)
        };
        read().map_err(|error| self.failed(error))
    }

    /// Departments and members in the copy.
    pub fn org_len(&self) -> Result<(u64, u64), StoreError> {
        let read = || -> Read<(u64, u64)> {
            let transaction = self.database.begin_read()?;
            let departments = known(transaction.open_table(DEPARTMENTS))?;
            let members = known(transaction.open_table(MEMBERS))?;
            let departments = departments.map_or(Ok(0), |table| table.len())?;
            Ok((departments, members.map_or(Ok(0), |table| table.len())?))
        };
        read().map_err(|error| self.failed(error))
    }
}

fn put_rows(transaction: &WriteTransaction, synced: &OrgSynced) -> Result<(), redb::Error> {
    let mut departments = transaction.open_table(DEPARTMENTS)?;
    let mut members = transaction.open_table(MEMBERS)?;
    let mut places = transaction.open_table(PLACES)?;
    for row in &synced.rows {
        match &row.item {
            OrgItem::Department(Department { id, parent, order, name }) => {
                departments.insert(id, (*parent, *order, name.as_str()))?;
            }
            OrgItem::Member(Member { department, user, order, name, title }) => {
                members.insert((*department, user.0), (*order, name.as_str(), title.as_str()))?;
                places.insert((user.0, *department), ())?;
            }
            OrgItem::DepartmentGone(id) => _ = departments.remove(id)?,
            OrgItem::MemberGone { department, user } => {
                members.remove((*department, user.0))?;
                places.remove((user.0, *department))?;
            }
        }
    }
    Ok(())
}

fn member((department, user): (u32, u64), (order, name, title): (u32, &str, &str)) -> Member {
    let (name, title) = (name.to_owned(), title.to_owned());
    Member { department, user: UserId(user), order, name, title }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::org::OrgRow;

    #[test]
    fn a_copy_goes_on_after_a_restart_and_drops_all_when_it_begins_afresh() {
        let folder = tempfile::tempdir().expect("a folder");
        let user = UserId(1 << 10 | 3);
        let department = |id| {
            OrgItem::Department(Department { id, parent: 0, order: id, name: format!("department {id}") })
        };
        let member = |department| {
            let (name, title) = ("ann".to_owned(), "Head".to_owned());
            OrgItem::Member(Member { department, user, order: 0, name, title })
        };
        let page = |afresh, items: Vec<OrgItem>| {
            let rows = (1..).zip(items).map(|(version, item)| OrgRow { version, item }).collect();
            OrgSynced { afresh, rows, ..OrgSynced::default() }
        };
        let position = OrgPosition { over: 9, page: 4 };
        {
            let (store, _) = Store::open(folder.path()).expect("a store");
            assert_eq!(store.org_position().expect("read"), OrgPosition::default());
            assert!(
                store.org_departments().expect("read").is_empty() && store.org_len().expect("read") == (0, 0)
            );
            let items = vec![department(1), department(2), member(1), member(2)];
            store.put_org(position, &page(true, items)).expect("written");
        }
        let (store, _) = Store::open(folder.path()).expect("the same store");
        assert_eq!(store.org_position().expect("read"), position);
        assert_eq!(store.org_places(user).expect("read").len(), 2);
        let gone = vec![OrgItem::MemberGone { department: 1, user }, OrgItem::DepartmentGone(1)];
        store.put_org(OrgPosition { over: 9, page: 9 }, &page(false, gone)).expect("written");
        assert_eq!(store.org_len().expect("read"), (1, 1));
        assert!(store.org_members(1).expect("read").is_empty());
        assert_eq!(store.org_members(2).expect("read")[0].title, "Head");
        store.put_org(position, &page(true, vec![department(7)])).expect("written");
        assert_eq!(store.org_len().expect("read"), (1, 0));
        assert!(store.org_places(user).expect("read").is_empty());
    }
}
