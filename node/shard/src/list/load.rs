//! A list is read whole, a bounded part at a time. Nothing is written to it meanwhile, so the parts fit together.

use bytes::Bytes;
use record::{Key, ListEntry, Query, Record, Rows, keys};
use wire::UserId;

use crate::core::{Core, LoadFor};
use crate::limits::LIST_ROWS;
use crate::recovery;

use super::{Lists, LoadKey, Phase};

/// Reads the entries behind a key, or from the first; false when too many reads are in flight.
pub(super) fn begin(core: &mut Core, user: UserId, behind: Option<&Bytes>) -> bool {
    let (first, to) = keys::list_range(user);
    let from = behind.map_or(first, recovery::behind);
    let query = Query::Range { from, to, reverse: false, rows_max: LIST_ROWS, bytes_max: u32::MAX };
    let mut queries = vec![query];
    if behind.is_none() {
        queries.push(Query::Get(Key::Following(user).bytes()));
        queries.push(Query::Get(Key::OrgPlace(user).bytes()));
    }
    core.load(user.slot(), queries, LoadFor::List(LoadKey(user)))
}

impl Lists {
    pub fn handle_loaded(&mut self, core: &mut Core, key: LoadKey, rows: Vec<Rows>) {
        let user = key.0;
        let held = self.held.get_mut(&user).expect("a list that is being read is held");
        assert_eq!(held.phase, Phase::Loading);
        for row in &rows[0].rows {
            let (key, entry) = (Key::parse(&row.key), ListEntry::decode(&row.value));
            let (Some(Key::List(_, conversation)), Ok(entry)) = (key, entry) else {
                return core.damaged(user.slot(), &format!("an entry of {user:?}'s list cannot be read"));
            };
            if let Err(reason) = held.list.restore(conversation, entry) {
                return core.damaged(user.slot(), &format!("{user:?}'s list: {reason}"));
            }
        }
        if let [_, following, place] = &rows[..]
            && held.wishes.restore(following, place).is_err()
        {
            return core.damaged(user.slot(), &format!("what {user:?} follows cannot be read"));
        }
        self.entries += rows[0].rows.len();
        if let Some(last) = rows[0].rows.last().filter(|_| rows[0].more) {
            let loads = begin(core, user, Some(&last.key));
            assert!(loads, "the read before it has left its place");
            return;
        }
        held.phase = Phase::Ready;
        for (caller, command) in std::mem::take(&mut held.waiting) {
            command.run(core, caller, held, &mut self.entries);
        }
        if !held.arrived.is_empty() {
            self.touch(user);
        }
    }
}
