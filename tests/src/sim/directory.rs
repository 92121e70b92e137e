//! A device's copy of the directory of the organisation, and what keeps it up to date.

use std::collections::BTreeMap;

use wire::UserId;
use wire::client::QueryId;
use wire::org::{Department, Member, OrgItem, OrgPosition, OrgSynced};

use super::queue::Event;
use super::world::World;

/// On the disk of a device, written with each page.
#[derive(Debug, Default)]
pub struct Directory {
    pub position: OrgPosition,
    pub departments: BTreeMap<u32, Department>,
    pub members: BTreeMap<(u32, UserId), Member>,
    /// In memory: the page that is being asked for, and whether there may be another one.
    asked: Option<QueryId>,
    is_stale: bool,
}

impl Directory {
    /// The application starts.
    pub fn on_start(&mut self) {
        (self.asked, self.is_stale) = (None, true);
    }

    pub fn take(&mut self, item: OrgItem) {
        match item {
            OrgItem::Department(department) => _ = self.departments.insert(department.id, department),
            OrgItem::Member(member) => _ = self.members.insert((member.department, member.user), member),
            OrgItem::DepartmentGone(id) => _ = self.departments.remove(&id),
            OrgItem::MemberGone { department, user } => _ = self.members.remove(&(department, user)),
        }
    }
}

impl World {
    pub fn device_directory_is_stale(&mut self, number: usize) {
        self.devices[number].disk.directory.is_stale = true;
        self.device_syncs_org(number);
    }

    /// Asks for the next page, if there may be one and none is on its way.
    pub fn device_syncs_org(&mut self, number: usize) {
        let directory = &self.devices[number].disk.directory;
        if directory.asked.is_some() || !directory.is_stale {
            return;
        }
        let position = directory.position;
        let rows_max = self.client_stream.between(1, 6) as u32;
        let mut asked = None;
        self.with_session(number, |session, now_ms| asked = session.ask_org(now_ms, position, rows_max).ok());
        let directory = &mut self.devices[number].disk.directory;
        directory.asked = asked;
        directory.is_stale = asked.is_none();
        if asked.is_none() {
            self.plan_directory(number);
        }
    }

    fn plan_directory(&mut self, number: usize) {
        let delay_us = self.client_stream.between(50_000, 300_000);
        let boot = self.devices[number].boot;
        self.queue.after(delay_us, Event::DeviceSyncsOrg { device: number, boot });
    }

    pub fn on_directory_page(&mut self, number: usize, query: QueryId, synced: OrgSynced) {
        let directory = &mut self.devices[number].disk.directory;
        if directory.asked != Some(query) {
            return self.model.violate(format!("device {number} did not ask for {synced:?}"));
        }
        directory.asked = None;
        let position = match directory.position.behind(&synced) {
            Ok(position) => position,
            Err(what) => return self.model.violate(format!("device {number}: {what}")),
        };
        if synced.afresh {
            directory.departments.clear();
            directory.members.clear();
        }
        directory.position = position;
        directory.is_stale |= synced.more;
        synced.rows.into_iter().for_each(|row| directory.take(row.item));
        self.device_syncs_org(number);
    }

    /// There is no answer to this question.
    pub fn on_directory_lost(&mut self, number: usize, query: QueryId) {
        let directory = &mut self.devices[number].disk.directory;
        if directory.asked == Some(query) {
            (directory.asked, directory.is_stale) = (None, true);
            self.plan_directory(number);
        }
    }
}
