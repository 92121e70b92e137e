//! Pages of changes: one read each, of what is on disk.

use std::collections::BTreeMap;

use record::{Key, OrgChange, OrgState, Query, Record, RecordError, Rows, keys};
use wire::Refusal;
use wire::limits::{ORG_ROWS_MAX, SEQ_MAX};
use wire::org::{OrgItem, OrgPosition, OrgRow, OrgSynced, org_slot};

use super::{Asker, LoadKey};
use crate::admin::AdminReply;
use crate::core::{Core, LoadFor};
use crate::limits::ORG_PAGES_MAX;

/// A page that is being read.
#[derive(Debug)]
struct Page {
    asker: Asker,
    position: OrgPosition,
    rows_max: u32,
    /// The copy cannot go on: this is its new first page.
    afresh: bool,
}

/// The pages that are being read.
#[derive(Debug, Default)]
pub(super) struct Pages {
    reading: BTreeMap<u64, Page>,
    last: u64,
}

impl Pages {
    pub fn len(&self) -> usize {
        self.reading.len()
    }

    pub fn handle_sync(&mut self, core: &mut Core, asker: Asker, position: OrgPosition, rows_max: u32) {
        let rows_max = match rows_max {
            0 => ORG_ROWS_MAX,
            rows_max => rows_max.min(ORG_ROWS_MAX),
        };
        let afresh = position == OrgPosition::default() || position.page > SEQ_MAX;
        self.read(core, Page { asker, position, rows_max, afresh });
    }

    fn read(&mut self, core: &mut Core, page: Page) {
        self.last += 1;
        let page_from = if page.afresh { 0 } else { page.position.page };
        let (from, to) = keys::org_change_range(page_from);
        let queries = vec![
            Query::Get(Key::OrgState.bytes()),
            Query::Range { from, to, reverse: false, rows_max: page.rows_max, bytes_max: u32::MAX },
        ];
        let has_room = self.reading.len() < ORG_PAGES_MAX;
        if has_room && core.load(org_slot(), queries, LoadFor::Org(LoadKey::Page(self.last))) {
            self.reading.insert(self.last, page);
        } else {
            page.asker.refuse(core, Refusal::Busy, Refusal::Busy.reason());
        }
    }

    pub fn handle_loaded(&mut self, core: &mut Core, number: u64, rows: &[Rows]) {
        let page = self.reading.remove(&number).expect("a page that is being read");
        let read = state_of(&rows[0]).and_then(|state| Ok((state, rows_of(&rows[1])?)));
        let (state, changed) = match read {
            Ok(read) => read,
            Err(error) => return core.damaged(org_slot(), &format!("the directory: {error}")),
        };
        let OrgPosition { over, page: from } = page.position;
        let is_lost = over < state.dropped || over > state.version || from > state.version;
        if !page.afresh && is_lost {
            return self.read(core, Page { afresh: true, ..page });
        }
        let over = if page.afresh { state.version } else { over };
        let more = rows[1].more;
        let to = changed.last().filter(|_| more).map_or(state.version, |last| last.version);
        // Of what was gone before the copy began it has nothing.
        let rows = changed.into_iter().filter(|row| !row.item.is_gone() || row.version > over).collect();
        let synced = OrgSynced { over, to, more, afresh: page.afresh, rows };
        match page.asker {
            Asker::Operator { token } => core.reply(token, AdminReply::OrgPage(Box::new(synced))),
            Asker::Caller(caller) => {
                let frame = core.encoder.org_synced(caller.request, &synced);
                core.answer(caller, frame);
            }
        }
    }

    pub fn check_invariants(&self) {
        assert!(self.reading.len() <= ORG_PAGES_MAX);
    }
}

/// A directory that was never written is empty.
pub(super) fn state_of(rows: &Rows) -> Result<OrgState, RecordError> {
    rows.rows.first().map_or(Ok(OrgState::default()), |row| OrgState::decode(&row.value))
}

fn rows_of(rows: &Rows) -> Result<Vec<OrgRow>, RecordError> {
    let row = |row: &record::Row| {
        let Some(Key::OrgChange(version)) = Key::parse(&row.key) else { return Err(RecordError::Short) };
        Ok(OrgRow { version, item: OrgItem::from(OrgChange::decode(&row.value)?) })
    };
    rows.rows.iter().map(row).collect()
}
