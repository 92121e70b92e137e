//! One conversation in memory.

use record::{Digest, Marks, Place};
use wire::{ConversationId, UserId};

use crate::commits::Stamp;
use crate::limits::{TAIL_BYTES_MAX, TAIL_ENTRIES_MAX};
use crate::mesh::PushEvent;

use super::dedupe::SendMemory;
use super::tail::Tail;

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
    pub sends: SendMemory,
    pub tail: Tail,
    /// The batch of the last change.
    pub stamp: Stamp,
    /// Which of the two are known to exist.
    pub known: [bool; 2],
    pub turn: Turn,
}

/// What changed in this turn and is written at its end.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Something did: the conversation is among those that the end of the turn looks at.
    pub touched: bool,
    /// The marks of the lower, the higher user moved by a `Mark`.
    pub marked: [bool; 2],
    pub events: Vec<PushEvent>,
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
            sends: SendMemory::default(),
            tail: Tail::default(),
            stamp: Stamp::default(),
            known: [false; 2],
            turn: Turn::default(),
        }
    }

    /// 0 for the lower user, 1 for the higher. `user` is one of the two.
    pub fn side(&self, user: UserId) -> usize {
        side(self.id, user)
    }

    /// What the user of this side is told about the conversation.
    pub fn digest(&self, side: usize) -> Digest {
        digest(self.epoch, self.head, self.time_ms, self.marks, side)
    }

    /// The place of the entry with this seq, which exists. All entries count as unread so far.
    pub fn place_at(&self, seq: u64) -> Place {
        assert!(seq <= self.head.seq && self.head.ord == self.head.seq);
        Place { seq, ord: seq }
    }

    pub fn check_invariants(&self) {
        assert!(self.committed <= self.head);
        assert!(self.head.ord <= self.head.seq);
        for marks in self.marks {
            assert!(marks.read <= marks.delivered, "what is read was delivered");
            assert!(marks.delivered <= self.head, "a mark is of an entry that exists");
        }
        self.sends.check_invariants(self.head);
        assert!(self.tail.len() <= TAIL_ENTRIES_MAX && self.tail.bytes() <= TAIL_BYTES_MAX);
        for back in 0..self.tail.len() as u64 {
            let entry = self.tail.entry(back).expect("within the tail");
            assert_eq!(entry.place.seq, self.head.seq - back, "the tail is dense up to the head");
        }
        assert!(self.turn.touched || self.turn.events.is_empty());
    }
}

/// 0 for the lower user, 1 for the higher. `user` is one of the two.
pub(super) fn side(id: ConversationId, user: UserId) -> usize {
    assert!(id.has(user), "{user:?} is not in {id:?}");
    usize::from(user == id.high)
}

/// What the user of this side is told about a conversation.
pub(super) fn digest(epoch: u32, head: Place, time_ms: u64, marks: [Marks; 2], side: usize) -> Digest {
    Digest { epoch, head, time_ms, own: marks[side], peer: marks[1 - side] }
}
