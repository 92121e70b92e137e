//! The open conversation as items of the screen, oldest first.

use std::collections::{BTreeMap, BTreeSet};

/// Items kept in memory; the oldest go first (they are in the local store and can be loaded again).
pub const ITEMS_MAX: usize = 5_000;

/// Where an item stands. What is not on the node's disk yet stands behind everything that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An entry, or the first of a range without entries.
    Seq(u64),
    /// An own message that is not acknowledged.
    Counter(u64),
}

/// How far an own message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// On this device's disk.
    Waiting,
    /// The node has not answered in time; whether it will is not known.
    Sent,
    /// On the node's disk.
    Stored,
    /// On a device of the other one.
    Delivered,
    Read,
    /// The node said no; it will not be sent again.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A message with its text made safe for the screen.
    Message { by: Author, time_ms: u64, text: String },
    /// Entries that nobody can have any more, and why.
    Gap { to: u64, reason: &'static str },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// `failed`: why the node did not take it.
    Me {
        failed: Option<String>,
    },
    Peer,
}

/// Marks of the other one in the open conversation, as seqs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerMarks {
    pub delivered: u64,
    pub read: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Log {
    items: BTreeMap<Key, Item>,
    /// Own messages that were not answered in time, by counter.
    unanswered: BTreeSet<u64>,
    pub peer_marks: PeerMarks,
    /// Nothing older exists.
    pub is_whole: bool,
}

impl Log {
    /// Puts an item where it belongs; the same one twice is one. `keep_oldest`: somebody reads far back.
    pub fn put(&mut self, key: Key, item: Item, keep_oldest: bool) {
        self.items.insert(key, item);
        while self.items.len() > ITEMS_MAX {
            if keep_oldest {
                self.items.pop_last();
            } else {
                self.items.pop_first();
                self.is_whole = false;
            }
        }
    }

    /// An own message went out of this list: it was taken.
    pub fn remove(&mut self, counter: u64) {
        self.items.remove(&Key::Counter(counter));
        self.unanswered.remove(&counter);
    }

    /// Marks an own message as sent without an answer.
    pub fn on_unanswered(&mut self, counter: u64) {
        if self.contains(Key::Counter(counter)) {
            self.unanswered.insert(counter);
        }
    }

    pub fn contains(&self, key: Key) -> bool {
        self.items.contains_key(&key)
    }

    /// Marks an own waiting message as refused.
    pub fn fail(&mut self, counter: u64, reason: String) {
        if let Some(Item::Message { by: Author::Me { failed }, .. }) =
            self.items.get_mut(&Key::Counter(counter))
        {
            *failed = Some(reason);
        }
    }

    pub fn oldest_seq(&self) -> Option<u64> {
        match self.items.first_key_value() {
            Some((Key::Seq(seq), _)) => Some(*seq),
            _ => None,
        }
    }

    pub fn newest_seq(&self) -> Option<u64> {
        self.items.range(..Key::Counter(0)).next_back().map(|(key, _)| match key {
            Key::Seq(seq) => *seq,
            Key::Counter(_) => unreachable!("the range ends before the first counter"),
        })
    }

    pub fn newest_key(&self) -> Option<Key> {
        self.items.last_key_value().map(|(key, _)| *key)
    }

    /// Items from `key` (included) backwards.
    pub fn back_from(&self, key: Key) -> impl Iterator<Item = (Key, &Item)> {
        self.items.range(..=key).rev().map(|(key, item)| (*key, item))
    }

    /// Items behind `key`.
    pub fn behind(&self, key: Key) -> impl Iterator<Item = (Key, &Item)> {
        self.items
            .range((std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded))
            .map(|(key, item)| (*key, item))
    }

    pub fn before(&self, key: Key) -> Option<(Key, &Item)> {
        self.items.range(..key).next_back().map(|(key, item)| (*key, item))
    }

    /// How far an own message has come.
    pub fn progress(&self, key: Key, author: &Author) -> Option<Progress> {
        let Author::Me { failed } = author else { return None };
        Some(match key {
            _ if failed.is_some() => Progress::Failed,
            Key::Counter(counter) if self.unanswered.contains(&counter) => Progress::Sent,
            Key::Counter(_) => Progress::Waiting,
            Key::Seq(seq) if seq <= self.peer_marks.read => Progress::Read,
            Key::Seq(seq) if seq <= self.peer_marks.delivered => Progress::Delivered,
            Key::Seq(_) => Progress::Stored,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Item {
        Item::Message { by: Author::Me { failed: None }, time_ms: 0, text: text.to_owned() }
    }

    #[test]
    fn waiting_messages_stand_behind_stored_ones() {
        let mut log = Log::default();
        log.put(Key::Counter(1), message("mine"), false);
        log.put(Key::Seq(9), message("theirs"), false);
        let newest = log.newest_key().expect("two items");
        assert_eq!(newest, Key::Counter(1));
        let order: Vec<Key> = log.back_from(newest).map(|(key, _)| key).collect();
        assert_eq!(order, [Key::Counter(1), Key::Seq(9)]);
        assert_eq!((log.oldest_seq(), log.newest_seq()), (Some(9), Some(9)));
    }

    #[test]
    fn ticks_follow_the_other_ones_marks() {
        let mut log = Log { peer_marks: PeerMarks { delivered: 7, read: 5 }, ..Log::default() };
        let me = Author::Me { failed: None };
        let progress = |log: &Log, key| log.progress(key, &me);
        assert_eq!(progress(&log, Key::Seq(5)), Some(Progress::Read));
        assert_eq!(progress(&log, Key::Seq(7)), Some(Progress::Delivered));
        assert_eq!(progress(&log, Key::Seq(8)), Some(Progress::Stored));
        assert_eq!(progress(&log, Key::Counter(3)), Some(Progress::Waiting));
        assert_eq!(log.progress(Key::Seq(5), &Author::Peer), None);
        log.put(Key::Counter(3), message("no"), false);
        log.on_unanswered(3);
        assert_eq!(progress(&log, Key::Counter(3)), Some(Progress::Sent));
        log.remove(3);
        log.put(Key::Counter(3), message("no"), false);
        assert_eq!(progress(&log, Key::Counter(3)), Some(Progress::Waiting));
        log.fail(3, "too long".into());
        let (key, Item::Message { by, .. }) = log.back_from(Key::Counter(3)).next().expect("it") else {
            panic!("a message was put")
        };
        assert_eq!(log.progress(key, by), Some(Progress::Failed));
    }

    #[test]
    fn the_oldest_go_first() {
        let mut log = Log { is_whole: true, ..Log::default() };
        for seq in 1..=ITEMS_MAX as u64 + 3 {
            log.put(Key::Seq(seq), message("m"), false);
        }
        assert_eq!((log.items.len(), log.oldest_seq(), log.is_whole), (ITEMS_MAX, Some(4), false));
        log.put(Key::Seq(1), message("m"), true);
        assert_eq!((log.oldest_seq(), log.newest_seq()), (Some(1), Some(ITEMS_MAX as u64 + 2)));
    }
}
