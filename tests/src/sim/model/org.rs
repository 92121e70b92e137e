//! The directory: what is shown of it is on disk, and at rest every copy is what the disk has, and every user's home knows
//! his departments.

use std::collections::BTreeMap;

use record::{Key, OrgChange, OrgDepartment, OrgMember, OrgPlace, OrgState, Record, Table};
use store::MemoryStore;
use wire::UserId;
use wire::org::{Department, Member, OrgItem, OrgSynced, org_slot};

use super::{Model, disk};
use crate::sim::directory::Directory;
use crate::sim::world::World;

fn state(store: &MemoryStore) -> OrgState {
    disk::record::<OrgState>(store, &Key::OrgState).unwrap_or_default()
}

fn rows<R: Record>(store: &MemoryStore, table: Table) -> Vec<(Key, R)> {
    let rows = disk::rows(store, org_slot(), record::keys::table_range(org_slot(), table));
    let row = |row: record::Row| {
        let key = Key::parse(&row.key).expect("a key");
        (key, R::decode(&row.value).expect("the shard writes records that can be read"))
    };
    rows.into_iter().map(row).collect()
}

/// The directory as it is on disk.
pub fn directory(store: &MemoryStore) -> Directory {
    let mut directory = Directory::default();
    for (key, row) in rows::<OrgDepartment>(store, Table::OrgDepartment) {
        let Key::OrgDepartment(id) = key else { panic!("a key of another table") };
        let OrgDepartment { parent, order, name, .. } = row;
        directory.take(OrgItem::Department(Department { id, parent, order, name }));
    }
    for (key, row) in rows::<OrgMember>(store, Table::OrgMember) {
        let Key::OrgMember(user, department) = key else { panic!("a key of another table") };
        let OrgMember { order, name, title, .. } = row;
        directory.take(OrgItem::Member(Member { department, user, order, name, title }));
    }
    directory
}

impl Model {
    pub fn check_org_version(&mut self, store: &MemoryStore, version: u64) {
        let written = state(store).version;
        self.violation_if(version > written, || {
            format!("version {version} of the directory is told, and {written} is on disk")
        });
    }

    pub fn check_org_page(&mut self, store: &MemoryStore, synced: &OrgSynced) {
        self.check_org_version(store, synced.to.max(synced.over));
        let mut last = 0;
        for row in &synced.rows {
            self.violation_if(row.version <= last || row.version > synced.to, || {
                format!("version {} of the directory is out of order behind {last}", row.version)
            });
            last = row.version;
            // It may have changed again since it was read.
            let stored = disk::record::<OrgChange>(store, &Key::OrgChange(row.version));
            let same = stored.is_none_or(|stored| OrgItem::from(stored) == row.item);
            self.violation_if(!same, || format!("{row:?} is shown and not so on disk"));
        }
    }
}

impl World {
    /// Which copy of the directory is not up to date.
    pub fn unsettled_directory(&self) -> Option<String> {
        let version = state(&self.store).version;
        let behind = |number: &usize| self.devices[*number].disk.directory.position.page != version;
        let number = (0..self.devices.len()).find(behind)?;
        let position = self.devices[number].disk.directory.position;
        Some(format!("device {number} is at {position:?} of the directory, which is at {version}"))
    }

    pub fn check_directories(&mut self) {
        let wanted = directory(&self.store);
        for (number, device) in self.devices.iter().enumerate() {
            let copy = &device.disk.directory;
            let same = copy.departments == wanted.departments && copy.members == wanted.members;
            self.model.violation_if(!same, || {
                format!("device {number} holds {copy:?} of the directory, it is {wanted:?}")
            });
        }
        let mut places = BTreeMap::<UserId, Vec<u32>>::new();
        for (department, user) in wanted.members.keys() {
            places.entry(*user).or_default().push(*department);
        }
        for (user, departments) in &places {
            let known = disk::record::<OrgPlace>(&self.store, &Key::OrgPlace(*user));
            let known = known.map(|known| known.departments);
            self.model.violation_if(known.as_ref() != Some(departments), || {
                format!("{user:?} is in {departments:?}, and his home knows {known:?}")
            });
        }
        for key in disk::keys(&self.store, Table::OrgPlace) {
            let Key::OrgPlace(user) = key else { continue };
            let known = places.contains_key(&user);
            self.model
                .violation_if(!known, || format!("{user:?} is in no department, and his home knows some"));
        }
    }
}
