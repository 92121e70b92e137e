//! Which users have some names: for an import, which names its members.

use std::collections::BTreeMap;

use record::{Key, NameEntry, Query, Record, Rows};
use wire::{Slot, UserName};

use super::LoadKey;
use crate::admin::AdminReply;
use crate::core::{Core, LoadFor};
use crate::limits::{LISTED_USERS_MAX, LISTINGS_MAX};

/// One question. Names of one store shard are read at once.
#[derive(Debug)]
struct Finding {
    token: u64,
    /// In the order in which they were asked; `None` for what cannot be a name.
    names: Vec<Option<String>>,
    found: Vec<Option<u64>>,
    /// Places in `names` that are being read.
    asked: Vec<usize>,
    /// Those that are not read yet, neighbours of one store shard together.
    left: Vec<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Findings {
    open: BTreeMap<u64, Finding>,
    last: u64,
}

impl Findings {
    pub fn handle(&mut self, core: &mut Core, token: u64, names: Vec<String>) {
        let refuse = |core: &mut Core, reason: &str| {
            core.reply(token, AdminReply::Refused { reason: reason.to_owned() });
        };
        if names.len() > LISTED_USERS_MAX as usize || self.open.len() >= LISTINGS_MAX {
            return refuse(core, "too many names or questions at once");
        }
        let comparable = |name: &String| UserName::parse(name).ok().map(|name| name.as_str().to_owned());
        let names: Vec<_> = names.iter().map(comparable).collect();
        let is_here = |name: &String| core.is_home(Slot::of_name(name));
        if !names.iter().flatten().all(is_here) {
            return refuse(core, "another shard decides about one of these names");
        }
        let mut left: Vec<_> = (0..names.len()).filter(|place| names[*place].is_some()).collect();
        left.sort_by_key(|place| names[*place].as_ref().map(|name| core.store_shard(Slot::of_name(name))));
        self.last += 1;
        let found = vec![None; names.len()];
        self.go_on(core, self.last, Finding { token, names, found, asked: Vec::new(), left });
    }

    pub fn handle_loaded(&mut self, core: &mut Core, number: u64, rows: &[Rows]) {
        let mut finding = self.open.remove(&number).expect("a load is of a question");
        for (place, rows) in finding.asked.iter().zip(rows) {
            let Some(row) = rows.rows.first() else { continue };
            match NameEntry::decode(&row.value) {
                Ok(entry) => finding.found[*place] = Some(entry.user),
                Err(error) => {
                    let name = finding.names[*place].as_deref().unwrap_or_default();
                    return core.damaged(Slot::of_name(name), &format!("a name: {error}"));
                }
            }
        }
        self.go_on(core, number, finding);
    }

    fn go_on(&mut self, core: &mut Core, number: u64, mut finding: Finding) {
        let Finding { names, left, .. } = &mut finding;
        let slot = |place: &usize| Slot::of_name(names[*place].as_deref().unwrap_or_default());
        let Some(first) = left.first().map(&slot) else {
            let Finding { token, found, .. } = finding;
            return core.reply(token, AdminReply::Found { users: found });
        };
        let together = |place: &&usize| core.store_shard(slot(place)) == core.store_shard(first);
        let count = left.iter().take_while(together).count();
        let asked: Vec<usize> = left.drain(..count).collect();
        let key = |place: &usize| Key::Name(names[*place].clone().unwrap_or_default()).bytes();
        let queries = asked.iter().map(|place| Query::Get(key(place))).collect();
        finding.asked = asked;
        if core.load(first, queries, LoadFor::Org(LoadKey::Find(number))) {
            self.open.insert(number, finding);
        } else {
            let reason = wire::Refusal::Busy.reason().to_owned();
            core.reply(finding.token, AdminReply::Refused { reason });
        }
    }
}
