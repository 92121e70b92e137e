//! Recalls and edits: what an entry may become, and that what is taken back is not shown any more.

use std::collections::BTreeMap;

use wire::ConversationId;
use wire::message::{Entry, EntryKind, Pulled};

use super::{Model, disk};

/// Which messages were taken back, and when that was acknowledged.
#[derive(Debug, Default)]
pub struct Recalls {
    /// Counts pulls and acknowledged recalls.
    moment: u64,
    acknowledged: BTreeMap<(ConversationId, u64), u64>,
}

impl Recalls {
    pub fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// A send was acknowledged that stands like this in the store.
    pub fn on_acknowledged(&mut self, conversation: ConversationId, stored: &record::Entry) {
        if stored.kind == EntryKind::Recall.0 {
            let moment = self.next_moment();
            self.acknowledged.entry((conversation, stored.target)).or_insert(moment);
        }
    }
}

/// Seqs of the last edit and of the recall.
fn states(entry: &Entry) -> (u64, u64) {
    entry.extras.as_ref().map_or((0, 0), |extras| (extras.edited, extras.recalled))
}

/// Whether `before` may be shown as `after` later: whole, then edited, then recalled, and the same otherwise.
pub fn may_become(before: &Entry, after: &Entry) -> bool {
    let mut same = before.clone();
    (same.body_kind, same.body, same.extras) = (after.body_kind, after.body.clone(), after.extras.clone());
    let ((edited_before, recalled_before), (edited, recalled)) = (states(before), states(after));
    let later = recalled > recalled_before || recalled == recalled_before && edited > edited_before;
    before == after || same == *after && later && (recalled == 0 || after.body.is_empty())
}

/// Whether what is shown is what is stored, or what it was before it was edited or recalled.
pub fn is_shown_as_it_was(stored: &record::Entry, shown: &Entry) -> bool {
    let extras = disk::extras(stored);
    let (edited, recalled) = states(shown);
    let is_now = stored.body_kind == shown.body_kind.0
        && stored.body_len as usize == shown.body.len()
        && extras == shown.extras;
    let was_before = recalled == 0 && (stored.recalled != 0 || edited < stored.edited());
    is_now || was_before
}

impl Model {
    /// What was taken back before somebody asked is not in the answer.
    pub fn check_recalled(&mut self, asked: u64, pulled: &Pulled) {
        for entry in &pulled.entries {
            let about = match entry.kind {
                EntryKind::Message => entry.place.seq,
                EntryKind::Edit => entry.extras.as_ref().map_or(0, |extras| extras.target),
                _ => continue,
            };
            let taken_back = self.recalls.acknowledged.get(&(pulled.conversation, about));
            let is_shown = states(entry).1 == 0 || !entry.body.is_empty();
            if taken_back.is_some_and(|moment| *moment < asked) && is_shown {
                let what = format!("{:?}: {entry:?} is shown after its recall", pulled.conversation);
                self.violate(what);
            }
        }
    }
}
