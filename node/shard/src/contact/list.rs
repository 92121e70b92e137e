//! One user's list of contacts in memory.

use std::collections::BTreeMap;

use ahash::AHashMap;
use record::{CONTACTS_MAX, Contact, ContactState};
use wire::UserId;

use crate::commits::Stamp;

/// The contacts of one user. Owned by the shard of the user's slot; durable.
#[derive(Debug, Default)]
pub(super) struct List {
    /// The last version given, on disk or on its way there.
    cver: u64,
    rows: AHashMap<UserId, Contact>,
    by_cver: BTreeMap<u64, UserId>,
    /// The batch of the last change.
    pub stamp: Stamp,
}

impl List {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn cver(&self) -> u64 {
        self.cver
    }

    pub fn row(&self, other: UserId) -> Option<&Contact> {
        self.rows.get(&other)
    }

    /// Takes in what the store has.
    pub fn restore(&mut self, other: UserId, row: Contact) -> Result<(), String> {
        self.cver = self.cver.max(row.cver);
        let same = self.by_cver.insert(row.cver, other);
        self.rows.insert(other, row);
        same.map_or(Ok(()), |same| Err(format!("{same:?} and {other:?} have the same version")))
    }

    /// Changes a row, under the next version. Gives whose row left a full list.
    pub fn change(&mut self, other: UserId, change: impl FnOnce(&mut Contact)) -> Option<UserId> {
        let row = self.rows.entry(other).or_default();
        self.by_cver.remove(&row.cver);
        change(row);
        self.cver += 1;
        row.cver = self.cver;
        self.by_cver.insert(row.cver, other);
        if self.rows.len() <= CONTACTS_MAX {
            return None;
        }
        let gone = self.least_wanted(other);
        let row = self.rows.remove(&gone).expect("a row of the list");
        self.by_cver.remove(&row.cver);
        Some(gone)
    }

    /// Of those that show nothing, of requests, or of all: the one that changed longest ago.
    fn least_wanted(&self, but: UserId) -> UserId {
        let class = |row: &Contact| match row.view.state {
            _ if row.view.blocked => 2,
            ContactState::None => 0,
            ContactState::Asked => 1,
            ContactState::Requested | ContactState::Contact => 2,
        };
        let rows = self.by_cver.values().filter(|other| **other != but);
        *rows.min_by_key(|other| class(&self.rows[*other])).expect("a list over its bound is not empty")
    }

    /// What changed behind `cver`, in rising versions.
    pub fn changes(&self, cver: u64) -> impl Iterator<Item = (UserId, &Contact)> {
        self.by_cver.range(cver.saturating_add(1)..).map(|(_, other)| (*other, &self.rows[other]))
    }

    pub fn check_invariants(&self) {
        assert!(self.rows.len() <= CONTACTS_MAX);
        assert_eq!(self.rows.len(), self.by_cver.len());
        for (cver, other) in &self.by_cver {
            assert!(*cver <= self.cver);
            assert_eq!(self.rows[other].cver, *cver);
        }
    }
}

#[cfg(test)]
mod tests {
    use record::View;

    use super::*;

    fn user(number: u64) -> UserId {
        UserId((number + 1) << 10)
    }

    fn set(list: &mut List, number: u64, state: ContactState) -> Option<UserId> {
        list.change(user(number), |row| row.view = View { state, ..View::default() })
    }

    #[test]
    fn a_changed_row_moves_to_the_end() {
        let mut list = List::default();
        for number in [1, 2, 1] {
            assert_eq!(set(&mut list, number, ContactState::Contact), None);
        }
        let changed: Vec<_> = list.changes(0).map(|(other, row)| (other, row.cver)).collect();
        assert_eq!(changed, [(user(2), 2), (user(1), 3)]);
        assert_eq!(list.changes(3).count() + list.changes(u64::MAX).count(), 0);
        list.check_invariants();
    }

    #[test]
    fn from_a_full_list_leaves_what_shows_least() {
        let mut list = List::default();
        for number in 0..CONTACTS_MAX as u64 {
            let state = match number {
                5 => ContactState::Asked,
                9 => ContactState::None,
                _ => ContactState::Contact,
            };
            assert_eq!(set(&mut list, number, state), None);
        }
        let new = CONTACTS_MAX as u64;
        assert_eq!(set(&mut list, new, ContactState::Contact), Some(user(9)));
        assert_eq!(set(&mut list, new + 1, ContactState::Contact), Some(user(5)));
        assert_eq!(set(&mut list, new + 2, ContactState::Contact), Some(user(0)));
        list.check_invariants();
    }
}
