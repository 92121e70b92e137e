//! The local copy of the contacts: rows and how far they were synced are one write.

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use wire::UserId;
use wire::contact::{Contact, ContactState};

use super::tables::{NUMBERS, known};
use super::{Store, StoreError};

/// cver, state, blocked, since, text, remark, group.
type Row<'a> = (u64, u8, bool, u64, &'a str, &'a str, &'a str);
/// By user.
const CONTACTS: TableDefinition<u64, Row<'static>> = TableDefinition::new("contacts");
const CVER: &str = "cver";

/// Rows that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactRows {
    /// What is in the copy is not true any more.
    pub afresh: bool,
    pub rows: Vec<Contact>,
    /// All up to this version is in the copy; `None` leaves it as it is.
    pub cver: Option<u64>,
}

impl Store {
    /// The version to sync from, `None` before the first sync, and the copy.
    pub fn contacts(&self) -> Result<(Option<u64>, Vec<Contact>), StoreError> {
        let read = || -> Result<(Option<u64>, Vec<Contact>), redb::Error> {
            let transaction = self.database.begin_read()?;
            let cver = transaction.open_table(NUMBERS)?.get(CVER)?.map(|cver| cver.value());
            let Some(table) = known(transaction.open_table(CONTACTS))? else { return Ok((cver, Vec::new())) };
            let mut contacts = Vec::new();
            for row in table.iter()? {
                let (user, row) = row?;
                contacts.push(contact(UserId(user.value()), row.value()));
            }
            Ok((cver, contacts))
        };
        read().map_err(|error| self.failed(error))
    }
}

/// Whether a row shows anything; one that does not is forgotten.
pub(crate) fn shows(contact: &Contact) -> bool {
    contact.blocked || contact.state != ContactState::None
}

pub(super) fn put(transaction: &WriteTransaction, changed: &ContactRows) -> Result<(), redb::Error> {
    if changed.afresh {
        transaction.delete_table(CONTACTS)?;
    }
    let mut table = transaction.open_table(CONTACTS)?;
    for contact in &changed.rows {
        if shows(contact) {
            let Contact { cver, state, blocked, since_ms, text, remark, group, .. } = contact;
            table.insert(
                contact.user.0,
                (*cver, state.0, *blocked, *since_ms, &**text, &**remark, &**group),
            )?;
        } else {
            table.remove(contact.user.0)?;
        }
    }
    if let Some(cver) = changed.cver {
        transaction.open_table(NUMBERS)?.insert(CVER, cver)?;
    }
    Ok(())
}

fn contact(user: UserId, (cver, state, blocked, since_ms, text, remark, group): Row<'_>) -> Contact {
    Contact {
        user,
        cver,
        state: ContactState(state),
        blocked,
        since_ms,
        text: text.to_owned(),
        remark: remark.to_owned(),
        group: group.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Change;

    #[test]
    fn the_copy_is_there_after_a_restart_and_begins_afresh() {
        let folder = tempfile::tempdir().expect("a folder");
        let row = |number: u64, state| Contact {
            user: UserId(number << 10),
            cver: number,
            state,
            blocked: false,
            since_ms: 5,
            text: "hi".into(),
            remark: "Annie".into(),
            group: "friends".into(),
        };
        let put = |store: &Store, afresh, rows, cver| {
            store.write([&Change::Contacts(ContactRows { afresh, rows, cver })]).expect("written");
        };
        {
            let (store, _) = Store::open(folder.path()).expect("a store");
            assert_eq!(store.contacts().expect("read"), (None, Vec::new()));
            put(&store, false, vec![row(1, ContactState::Asked), row(2, ContactState::Contact)], Some(2));
            put(&store, false, vec![row(2, ContactState::None)], None);
        }
        let (store, _) = Store::open(folder.path()).expect("a store");
        assert_eq!(store.contacts().expect("read"), (Some(2), vec![row(1, ContactState::Asked)]));
        put(&store, true, vec![row(3, ContactState::Contact)], Some(1));
        assert_eq!(store.contacts().expect("read"), (Some(1), vec![row(3, ContactState::Contact)]));
    }
}
