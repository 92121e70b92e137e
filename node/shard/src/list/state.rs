//! One user's list in memory.

use std::collections::BTreeMap;

use ahash::AHashMap;
use record::{Digest, ListEntry, Place};
use wire::ConversationId;

use crate::commits::Stamp;
use crate::limits::LIST_ENTRIES_MAX;

/// The list of one user. Owned by the shard of the user's slot; durable.
#[derive(Debug, Default)]
pub(super) struct List {
    /// The last version given, on disk or on its way there.
    uver: u64,
    entries: AHashMap<ConversationId, ListEntry>,
    by_uver: BTreeMap<u64, ConversationId>,
    /// The batch of the last change.
    pub stamp: Stamp,
}

/// What one change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// The list holds all of it already.
    Nothing,
    Changed(ListEntry),
    /// It is new, and the one that changed longest ago left for it.
    Replaced(ListEntry, ConversationId),
}

impl List {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn uver(&self) -> u64 {
        self.uver
    }

    /// What the user has read of a conversation.
    pub fn read_mark(&self, conversation: ConversationId) -> Place {
        self.entries.get(&conversation).map_or(Place::default(), |entry| entry.digest.own.read)
    }

    /// Takes in what the store has.
    pub fn restore(&mut self, conversation: ConversationId, entry: ListEntry) -> Result<(), String> {
        self.uver = self.uver.max(entry.uver);
        let other = self.by_uver.insert(entry.uver, conversation);
        self.entries.insert(conversation, entry);
        other.map_or(Ok(()), |other| Err(format!("{other:?} and {conversation:?} have the same version")))
    }

    /// The higher of both, field by field, under the next version if anything rose.
    pub fn merge(&mut self, conversation: ConversationId, digest: Digest) -> Merged {
        let old = self.entries.get(&conversation).copied();
        let merged = old.map_or(digest, |old| old.digest.max(digest));
        if old.is_some_and(|old| old.digest == merged) {
            return Merged::Nothing;
        }
        if let Some(old) = old {
            self.by_uver.remove(&old.uver);
        }
        self.uver += 1;
        let entry = ListEntry { uver: self.uver, digest: merged };
        self.entries.insert(conversation, entry);
        self.by_uver.insert(entry.uver, conversation);
        if self.entries.len() <= LIST_ENTRIES_MAX {
            return Merged::Changed(entry);
        }
        // A row of notices holds a mark that stands nowhere else: those few stay.
        let mut rows = self.by_uver.iter();
        let oldest = rows.find(|(_, conversation)| !conversation.is_followed());
        let (uver, oldest) = oldest.map(|(uver, id)| (*uver, *id)).expect("chats are most of a full list");
        self.by_uver.remove(&uver);
        self.entries.remove(&oldest);
        Merged::Replaced(entry, oldest)
    }

    /// What changed behind `uver`, in rising versions.
    pub fn changes(&self, uver: u64) -> impl Iterator<Item = (ConversationId, &ListEntry)> {
        self.by_uver.range(uver.saturating_add(1)..).map(|(_, id)| (*id, &self.entries[id]))
    }

    pub fn check_invariants(&self) {
        assert!(self.entries.len() <= LIST_ENTRIES_MAX);
        assert_eq!(self.entries.len(), self.by_uver.len());
        for (uver, conversation) in &self.by_uver {
            assert!(*uver <= self.uver);
            assert_eq!(self.entries[conversation].uver, *uver);
        }
    }
}

#[cfg(test)]
mod tests {
    use record::Marks;
    use wire::UserId;

    use super::*;

    fn chat(number: u64) -> ConversationId {
        ConversationId::private(UserId(1 << 10), UserId((number + 2) << 10)).expect("two users")
    }

    fn digest(seq: u64, read: u64) -> Digest {
        let place = |seq| Place { seq, ord: seq };
        let own = Marks { delivered: place(read), read: place(read) };
        Digest { epoch: 1, head: place(seq), time_ms: seq, own, peer: Marks::default(), mentioned: 0 }
    }

    #[test]
    fn a_change_moves_its_conversation_to_the_end_and_a_repeat_changes_nothing() {
        let mut list = List::default();
        assert!(matches!(list.merge(chat(1), digest(5, 0)), Merged::Changed(entry) if entry.uver == 1));
        assert!(matches!(list.merge(chat(2), digest(1, 0)), Merged::Changed(entry) if entry.uver == 2));
        assert_eq!(list.merge(chat(1), digest(3, 0)), Merged::Nothing, "an older one");
        let Merged::Changed(entry) = list.merge(chat(1), digest(3, 2)) else { panic!("the mark rose") };
        assert_eq!((entry.uver, entry.digest), (3, digest(5, 2)), "field by field");
        let changed: Vec<_> = list.changes(1).map(|(id, entry)| (id, entry.uver)).collect();
        assert_eq!(changed, [(chat(2), 2), (chat(1), 3)]);
        assert_eq!(list.changes(3).count() + list.changes(u64::MAX).count(), 0);
        list.check_invariants();
    }

    #[test]
    fn the_conversation_that_changed_longest_ago_leaves_a_full_list() {
        let mut list = List::default();
        for number in 0..LIST_ENTRIES_MAX as u64 {
            list.merge(chat(number), digest(1, 0));
        }
        list.merge(chat(0), digest(2, 0));
        let new = chat(LIST_ENTRIES_MAX as u64);
        assert!(matches!(list.merge(new, digest(1, 0)), Merged::Replaced(_, gone) if gone == chat(1)));
        assert_eq!(list.len(), LIST_ENTRIES_MAX);
        list.check_invariants();
    }
}
