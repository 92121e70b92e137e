//! The directory of the organisation: a copy in the folder, which asks only for what changed.

use std::time::Duration;

use wire::limits::ORG_ROWS_MAX;
use wire::org::{Department, Member};
use wire::{Refusal, UserId};

use crate::client::Client;
use crate::engine::{Request, blocking};
use crate::error::Error;

/// Pages of one [`Client::sync_org`]: more than any directory has.
const PAGES_MAX: usize = 16_384;
/// Tries of one page that the node is too busy for, and the time between them.
const TRIES_MAX: usize = 50;
const RETRY: Duration = Duration::from_millis(200);

/// The copy of the directory after a [`Client::sync_org`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrgCopy {
    /// Of the directory: it rises with each change.
    pub version: u64,
    pub departments: u64,
    /// Places of users: one who is in two departments counts twice.
    pub members: u64,
    /// Changed rows that came, and in how many pages of at most 512.
    pub rows: u64,
    pub pages: u64,
}

impl Client {
    /// Brings the folder's copy of the directory up to date. Each page is on disk before the next one is asked for, so what is
    /// cut off goes on from there, after a restart too. The first one takes all, later ones what changed.
    ///
    /// # Errors
    /// [`Error::NotConnected`]; [`Error::Refused`] with `busy`, when the node stays so for 10 s.
    pub async fn sync_org(&self) -> Result<OrgCopy, Error> {
        let _one_at_a_time = self.org_lock().lock().await;
        let (mut rows, mut pages) = (0, 0);
        while pages < PAGES_MAX {
            let store = self.store().clone();
            let position = blocking(move || store.org_position()).await?;
            let synced = self.org_page(position).await?;
            let next = position.behind(&synced).map_err(|what| Error::NodeMisbehaved(what.into()))?;
            (rows, pages) = (rows + synced.rows.len() as u64, pages + 1);
            let more = synced.more;
            let store = self.store().clone();
            blocking(move || store.put_org(next, &synced)).await?;
            if !more {
                let store = self.store().clone();
                let (departments, members) = blocking(move || store.org_len()).await?;
                return Ok(OrgCopy { version: next.over, departments, members, rows, pages: pages as u64 });
            }
        }
        Err(Error::NodeMisbehaved("a directory that does not end".into()))
    }

    async fn org_page(&self, position: wire::org::OrgPosition) -> Result<wire::org::OrgSynced, Error> {
        let mut tries = 0;
        loop {
            match self.ask(|reply| Request::Org { position, rows_max: ORG_ROWS_MAX, reply }).await {
                Err(Error::Refused(refused)) if is_busy(refused.code) && tries < TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(RETRY).await;
                }
                answer => return answer,
            }
        }
    }

    /// All departments of the copy, each under `parent` (0: at the top), by order and name among their neighbours.
    pub async fn departments(&self) -> Result<Vec<Department>, Error> {
        let store = self.store().clone();
        let mut departments = blocking(move || store.org_departments()).await?;
        departments.sort_by(|one, other| {
            (one.parent, one.order, &one.name).cmp(&(other.parent, other.order, &other.name))
        });
        Ok(departments)
    }

    /// The direct members of a department in the copy, by order and name.
    pub async fn members(&self, department: u32) -> Result<Vec<Member>, Error> {
        let store = self.store().clone();
        let mut members = blocking(move || store.org_members(department)).await?;
        members.sort_by(|one, other| (one.order, &one.name).cmp(&(other.order, &other.name)));
        Ok(members)
    }

    /// Where a user is in the copy.
    pub async fn places_of(&self, user: UserId) -> Result<Vec<Member>, Error> {
        let store = self.store().clone();
        Ok(blocking(move || store.org_places(user)).await?)
    }
}

fn is_busy(code: u16) -> bool {
    let busy = [Refusal::Busy, Refusal::TooManyRequests];
    busy.iter().any(|refusal| refusal.code() == code)
}
