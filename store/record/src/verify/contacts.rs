//! Whether both users' lists of contacts show their relation, or an outbox entry brings it there.

use std::collections::{BTreeMap, HashMap, HashSet};

use wire::{ConversationId, UserId};

use super::Findings;
use crate::relation::{Contact, ContactOutboxEntry, Relation, View};

/// What is known of one pair.
#[derive(Default)]
struct Pair {
    relation: Option<Relation>,
    sides: [Side; 2],
}

/// A view and the version of the relation at which it was made.
type Told = (u64, View);

#[derive(Default)]
struct Side {
    row: Option<Told>,
    outbox: Option<Told>,
}

#[derive(Default)]
pub(super) struct Contacts {
    pairs: BTreeMap<ConversationId, Pair>,
    full: HashSet<UserId>,
}

impl Contacts {
    pub fn add_relation(&mut self, conversation: ConversationId, relation: &Relation) {
        self.pairs.entry(conversation).or_default().relation = Some(relation.clone());
    }

    /// `is_full`: the list has so many rows that others may have left it.
    pub fn add_row(&mut self, user: UserId, conversation: ConversationId, row: &Contact, is_full: bool) {
        if is_full {
            self.full.insert(user);
        }
        self.side(user, conversation).row = Some((row.version, row.view.clone()));
    }

    pub fn add_outbox(&mut self, user: UserId, conversation: ConversationId, entry: &ContactOutboxEntry) {
        self.side(user, conversation).outbox = Some((entry.version, entry.view.clone()));
    }

    fn side(&mut self, user: UserId, conversation: ConversationId) -> &mut Side {
        &mut self.pairs.entry(conversation).or_default().sides[usize::from(user == conversation.high)]
    }

    pub fn finish(&self, accounts: &HashMap<UserId, u32>, findings: &mut Findings) {
        for (conversation, pair) in &self.pairs {
            for (index, user) in conversation.users().into_iter().enumerate() {
                if !accounts.contains_key(&user) {
                    findings.add(format!("{conversation:?}: {user:?} has a relation and no account"));
                } else if let Err(what) = self.check_side(user, pair, index) {
                    findings.add(format!("{conversation:?}: the contacts of {user:?}: {what}"));
                }
            }
        }
    }

    fn check_side(&self, user: UserId, pair: &Pair, index: usize) -> Result<(), &'static str> {
        let side = &pair.sides[index];
        let Some(relation) = &pair.relation else {
            // A remark on somebody with whom there is no relation.
            let blank = |told: &Told| told.0 == 0 && told.1 == View::default();
            let fine = side.outbox.is_none() && side.row.as_ref().is_none_or(blank);
            return if fine { Ok(()) } else { Err("a row without a relation") };
        };
        let told = [&side.row, &side.outbox].into_iter().flatten().max_by_key(|told| told.0);
        let view = relation.view(index);
        match told {
            Some((version, _)) if *version > relation.version => Err("a row newer than the relation"),
            Some((_, told)) if *told != view => {
                Err("the row shows another relation, and no outbox entry brings this one there")
            }
            None if !view.is_empty() && !self.full.contains(&user) => {
                Err("no row shows the relation, and no outbox entry brings it there")
            }
            _ => Ok(()),
        }
    }
}
