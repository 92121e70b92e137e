//! Requests about the directory of the organisation: they go to the shard of its slot.

use shard::admin::{AdminReply, AdminRequest};
use wire::Slot;
use wire::name::UserName;
use wire::org::{OrgPosition, org_slot};

use super::{Desk, unexpected};
use crate::admin::protocol::{OrgEntry, Reply};

impl Desk {
    /// Edits that are done together or not at all.
    pub(super) fn edit_org(&self, expected: u64, edits: Vec<OrgEntry>) -> Result<Reply, String> {
        let count = edits.len();
        let edits = edits.into_iter().map(Into::into).collect();
        let home = self.ownership.shard_of(org_slot());
        let reply = match self.ask([home], &AdminRequest::EditOrg { expected, edits })?.remove(0) {
            AdminReply::OrgEdited { version } => Reply::OrgEdited { version },
            AdminReply::OrgUnfit { edit, reason } => Reply::OrgUnfit { edit, reason },
            AdminReply::Refused { reason } => Reply::Refused { reason },
            other => return Err(unexpected(&other)),
        };
        tracing::info!(target: "audit", act = "org edit", edits = count, ?reply, "admin socket");
        Ok(reply)
    }

    pub(super) fn org_page(&self, over: u64, page: u64, rows_max: u32) -> Result<Reply, String> {
        let position = OrgPosition { over, page };
        let home = self.ownership.shard_of(org_slot());
        match self.ask([home], &AdminRequest::OrgPage { position, rows_max })?.remove(0) {
            AdminReply::OrgPage(page) => {
                let rows = page.rows.into_iter().map(|row| OrgEntry::from(row.item)).collect();
                Ok(Reply::OrgPage {
                    over: page.over,
                    to: page.to,
                    more: page.more,
                    afresh: page.afresh,
                    rows,
                })
            }
            AdminReply::Refused { reason } => Ok(Reply::Refused { reason }),
            other => Err(unexpected(&other)),
        }
    }

    /// Each name at its home.
    pub(super) fn find_users(&self, names: Vec<String>) -> Result<Reply, String> {
        let mut users = vec![None; names.len()];
        let shard_of = |name: &String| {
            let name = UserName::parse(name).ok()?;
            Some(self.ownership.shard_of(Slot::of_name(name.as_str())))
        };
        let shards: Vec<_> = names.iter().map(shard_of).collect();
        for shard in self.all() {
            let places: Vec<_> = (0..names.len()).filter(|place| shards[*place] == Some(shard)).collect();
            if places.is_empty() {
                continue;
            }
            let names = places.iter().map(|place| names[*place].clone()).collect();
            match self.ask([shard], &AdminRequest::FindUsers { names })?.remove(0) {
                AdminReply::Found { users: found } => {
                    places.iter().zip(found).for_each(|(place, user)| users[*place] = user);
                }
                AdminReply::Refused { reason } => return Ok(Reply::Refused { reason }),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(Reply::Found { users })
    }
}
