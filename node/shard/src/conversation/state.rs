//! One conversation in memory.

use record::{Digest, Marks, Place, Relation, StoredMarks};
use wire::{ConversationId, UserId};

use crate::commits::Stamp;

use super::dedupe::SendMemory;
use super::issue::Issues;
use super::tail::Tail;
use super::turn::Turn;
use super::verbs::Verbs;

/// The epoch of a conversation that was never restored from a copy.
pub(super) const FIRST_EPOCH: u32 = 1;

/// State of one conversation. Owned by the shard of its slot; durable but for `tail`, `known` and `turn`.
#[derive(Debug)]
pub(super) struct Conversation {
    pub id: ConversationId,
    pub epoch: u32,
    /// The last entry, on disk or on its way there.
    pub head: Place,
    /// The last entry on disk: nothing behind it is shown.
    pub committed: Place,
    /// Time of the head. Never goes back, whatever the clock does.
    pub time_ms: u64,
    /// Of the lower and of the higher user.
    pub marks: [Marks; 2],
    /// What the other one may see of them, where that is less: the marks he made while he was visible.
    pub shown: [Option<Box<Marks>>; 2],
    pub sends: SendMemory,
    pub tail: Tail,
    /// The batch of the last change.
    pub stamp: Stamp,
    /// Which of the two are known to exist.
    pub known: [bool; 2],
    /// There is one while the end of the turn is to look at the conversation.
    pub turn: Option<Box<Turn>>,
    /// What the two are to each other; `None` when nothing is written of it.
    pub relation: Option<Box<Relation>>,
    /// What the system has written; only where it does.
    pub issues: Option<Box<Issues>>,
    /// Messages are taken; follows from the relation and the node's policy.
    pub may_write: bool,
    /// Only where somebody did more than write plain messages.
    pub verbs: Option<Box<Verbs>>,
}

impl Conversation {
    pub fn new(id: ConversationId) -> Self {
        Self {
            id,
            epoch: FIRST_EPOCH,
            head: Place::default(),
            committed: Place::default(),
            time_ms: 0,
            marks: [Marks::default(); 2],
            shown: [None, None],
            sends: SendMemory::default(),
            tail: Tail::default(),
            stamp: Stamp::default(),
            known: [false; 2],
            turn: None,
            relation: None,
            issues: None,
            may_write: false,
            verbs: None,
        }
    }

    /// What this turn adds.
    pub fn turn(&mut self) -> &mut Turn {
        self.turn.as_mut().expect("it was touched in this turn")
    }

    /// 0 for the lower user, 1 for the higher. `user` is one of the two.
    pub fn side(&self, user: UserId) -> usize {
        side(self.id, user)
    }

    /// What the user of this side is told about the conversation.
    pub fn digest(&self, side: usize) -> Digest {
        let (own, peer) = (self.marks[side], self.marks_shown(1 - side));
        let mentioned = self.verbs.as_deref().map_or(0, |verbs| verbs.mentioned[side]);
        Digest { epoch: self.epoch, head: self.head, time_ms: self.time_ms, own, peer, mentioned }
    }

    /// As they are written.
    pub fn stored_marks(&self, side: usize) -> StoredMarks {
        StoredMarks { marks: self.marks[side], shown: self.shown[side].as_deref().copied() }
    }

    /// The marks of the user of this side as the other one may see them.
    pub fn marks_shown(&self, side: usize) -> Marks {
        self.shown[side].as_deref().copied().unwrap_or(self.marks[side])
    }

    /// The place of the entry with this seq, which exists, as far as it is known here.
    pub fn place_at(&self, seq: u64) -> Option<Place> {
        assert!(seq <= self.head.seq);
        // As many entries are not counted up to a seq as up to a known one on either side of it, when those are as many.
        let uncounted = |place: Place| place.seq - place.ord;
        let marks = self.marks.iter().flat_map(|marks| [marks.delivered, marks.read]);
        let below = marks.filter(|mark| mark.seq <= seq).max().unwrap_or_default();
        if uncounted(below) == uncounted(self.head) || below.seq == seq {
            return Some(Place { seq, ord: seq - uncounted(below) });
        }
        if seq == self.head.seq {
            return Some(self.head);
        }
        if self.tail.first().is_some_and(|first| first <= seq) {
            let ord = self.tail.entries_from(seq).next().map(|entry| entry.view().place.ord);
            return ord.map(|ord| Place { seq, ord });
        }
        let fetched = self.verbs.as_deref().and_then(|verbs| verbs.fetched.as_ref());
        fetched.filter(|fetched| fetched.seq == seq).map(|fetched| Place { seq, ord: fetched.entry.ord })
    }

    pub fn check_invariants(&self) {
        assert!(self.committed <= self.head);
        assert!(self.head.ord <= self.head.seq);
        for (marks, shown) in self.marks.into_iter().zip(&self.shown) {
            assert!(shown.as_deref().is_none_or(|shown| shown.max(marks) == marks && *shown != marks));
            assert!(marks.read <= marks.delivered, "what is read was delivered");
            assert!(marks.delivered <= self.head, "a mark is of an entry that exists");
        }
        self.sends.check_invariants(self.head);
        if let Some(issues) = &self.issues {
            issues.check_invariants(self.head);
        }
        let entries = self.turn.as_ref().map_or(0, |turn| turn.entries);
        self.tail.check_invariants(self.head.seq - u64::from(entries));
    }
}

/// 0 for the lower user, 1 for the higher. `user` is one of the two.
pub(super) fn side(id: ConversationId, user: UserId) -> usize {
    assert!(id.has(user), "{user:?} is not in {id:?}");
    usize::from(user == id.high)
}
