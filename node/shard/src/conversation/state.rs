//! One conversation in memory.

use record::{Digest, Marks, Place, Relation, StoredMarks};
use wire::{ConversationId, UserId};

use crate::commits::Stamp;

use super::dedupe::SendMemory;
use super::issue::Issues;
use super::tail::Tail;
use super::turn::Turn;

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
        Digest { epoch: self.epoch, head: self.head, time_ms: self.time_ms, own, peer }
    }

    /// As they are written.
    pub fn stored_marks(&self, side: usize) -> StoredMarks {
        StoredMarks { marks: self.marks[side], shown: self.shown[side].as_deref().copied() }
    }

    /// The marks of the user of this side as the other one may see them.
    pub fn marks_shown(&self, side: usize) -> Marks {
        self.shown[side].as_deref().copied().unwrap_or(self.marks[side])
    }

    /// The place of the entry with this seq, which exists. All entries count as unread so far.
    pub fn place_at(&self, seq: u64) -> Place {
        assert!(seq <= self.head.seq && self.head.ord == self.head.seq);
        Place { seq, ord: seq }
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
