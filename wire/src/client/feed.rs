//! What comes of a conversation: each entry once and in order, or told as a gap.

use std::collections::BTreeMap;

use super::stored::ConversationState;
use super::{HELD_BYTES_MAX, HELD_ENTRIES_MAX};
use crate::ids::{ConversationId, UserId};
use crate::message::{
    Entry, EntryKind, HeadMoved, MarkKind, Marked, Place, Pulled, Range, RangeKind, Summary,
};

/// One step forward in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Advance {
    Entry(Entry),
    Gap(Range),
    /// The conversation was restored on the node.
    Epoch(u32),
}

/// Room for entries that came too early, over all conversations.
#[derive(Debug, Default)]
pub(super) struct HeldRoom {
    entries: usize,
    bytes: usize,
}

impl HeldRoom {
    fn take(&mut self, entry: &Entry) -> bool {
        let fits = self.entries < HELD_ENTRIES_MAX && self.bytes + entry.body.len() <= HELD_BYTES_MAX;
        if fits {
            self.entries += 1;
            self.bytes += entry.body.len();
        }
        fits
    }

    fn give_back(&mut self, entry: &Entry) {
        self.entries -= 1;
        self.bytes -= entry.body.len();
    }
}

/// The node's answer to a pull does not cover what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotCovered;

#[derive(Debug)]
pub(super) struct Feed {
    pub state: ConversationState,
    /// Entries beyond the next one. When there is no room they are left to a pull.
    held: BTreeMap<u64, Entry>,
    /// All up to here is persisted.
    pub durable_seq: u64,
    /// A pull for it waits or is on its way.
    pub pulling: bool,
    /// Pulls that brought nothing, in a row.
    pub fruitless_pulls: u32,
    /// The marks last sent on this connection: the node may answer with lower ones.
    delivered_asked: u64,
    read_asked: u64,
}

impl Feed {
    pub fn new(state: ConversationState) -> Self {
        Self {
            durable_seq: state.applied.seq,
            state,
            held: BTreeMap::new(),
            pulling: false,
            fruitless_pulls: 0,
            delivered_asked: 0,
            read_asked: 0,
        }
    }

    /// A conversation that was not known: all but the newest entries are left to history.
    pub fn begin(conversation: ConversationId, head_seq: u64, epoch: u32, catch_up_max: u64) -> Self {
        let mut state = ConversationState::new(conversation);
        state.epoch = epoch;
        state.applied.seq = head_seq.saturating_sub(catch_up_max);
        Self::new(state)
    }

    /// An entry that was pushed, or one's own that was just taken.
    pub fn offer(
        &mut self,
        me: UserId,
        epoch: u32,
        entry: Entry,
        room: &mut HeldRoom,
        out: &mut Vec<Advance>,
    ) {
        if epoch < self.state.epoch {
            return; // of a state that is gone
        }
        self.on_epoch(epoch, entry.place.seq.saturating_sub(1), room, out);
        let next = self.state.applied.seq + 1;
        self.raise_head(entry.place, entry.time_ms);
        if entry.place.seq == next {
            self.apply(me, entry, out);
            self.release(me, room, out);
        } else if entry.place.seq > next && !self.held.contains_key(&entry.place.seq) && room.take(&entry) {
            self.held.insert(entry.place.seq, entry);
        }
    }

    /// The answer to a pull.
    pub fn handle_pulled(
        &mut self,
        me: UserId,
        pulled: Pulled,
        room: &mut HeldRoom,
        out: &mut Vec<Advance>,
    ) -> Result<(), NotCovered> {
        self.on_epoch(pulled.epoch, pulled.head.seq, room, out);
        self.raise_head(pulled.head, 0);
        let last_asked = pulled.to.min(pulled.head.seq);
        let mut entries = pulled.entries.into_iter().peekable();
        let mut ranges = pulled.ranges.into_iter().peekable();
        let before = self.state.applied.seq;
        loop {
            let next = self.state.applied.seq + 1;
            while entries.next_if(|entry| entry.place.seq < next).is_some() {}
            while ranges.next_if(|range| range.to < next).is_some() {}
            if let Some(entry) = entries.next_if(|entry| entry.place.seq == next) {
                self.drop_held(next, room);
                self.apply(me, entry, out);
            } else if let Some(range) = ranges.next_if(|range| range.from <= next) {
                if matches!(range.kind, RangeKind::More | RangeKind::EpochChanged) {
                    break; // to be asked again, under the new epoch if it changed
                }
                if range.to > last_asked {
                    return Err(NotCovered); // it says something about what was not asked
                }
                self.skip(Range { from: next, ..range }, room, out);
            } else if next > last_asked {
                break;
            } else if self.held.contains_key(&next) {
                self.release(me, room, out); // not asked for, because it was here
            } else {
                return Err(NotCovered);
            }
        }
        self.fruitless_pulls = if self.state.applied.seq > before { 0 } else { self.fruitless_pulls + 1 };
        self.release(me, room, out);
        Ok(())
    }

    /// The seqs to pull next; `None` when nothing is missing.
    pub fn missing(&self) -> Option<(u64, u64)> {
        let from = self.state.applied.seq + 1;
        let to = match self.held.keys().next() {
            Some(first) => first - 1,
            None => self.state.head.seq,
        };
        (from <= to).then_some((from, to))
    }

    pub fn handle_summary(&mut self, summary: &Summary, room: &mut HeldRoom, out: &mut Vec<Advance>) {
        self.on_epoch(summary.epoch, summary.head.seq, room, out);
        self.raise_head(summary.head, summary.time_ms);
        raise(&mut self.state.read, summary.read);
        raise(&mut self.state.delivered, summary.delivered);
        raise(&mut self.state.peer_read, summary.peer_read);
        raise(&mut self.state.peer_delivered, summary.peer_delivered);
        self.state.mentioned = self.state.mentioned.max(summary.mentioned);
    }

    pub fn handle_head(&mut self, moved: &HeadMoved, room: &mut HeldRoom, out: &mut Vec<Advance>) {
        self.on_epoch(moved.epoch, moved.head.seq, room, out);
        self.raise_head(moved.head, 0);
    }

    /// True when it moved.
    pub fn handle_marked(&mut self, me: UserId, marked: &Marked) -> bool {
        let state = &mut self.state;
        let (delivered, read) = match marked.user == me {
            true => (&mut state.delivered, &mut state.read),
            false => (&mut state.peer_delivered, &mut state.peer_read),
        };
        match marked.kind {
            MarkKind::Delivered => raise(delivered, marked.place),
            MarkKind::Read => {
                raise(delivered, marked.place); // what is read was delivered too
                raise(read, marked.place)
            }
            _ => false,
        }
    }

    /// The mark to send next: the read mark if it can rise, else the delivered mark.
    pub fn mark_due(&self, delivered_wanted: bool) -> Option<(MarkKind, u64)> {
        let state = &self.state;
        let read = state.read_wanted.min(self.durable_seq);
        if read > state.read.seq.max(self.read_asked) {
            return Some((MarkKind::Read, read));
        }
        // Nobody asks how far a notice for many has come.
        let delivered_wanted = delivered_wanted && !state.conversation.is_followed();
        let known = state.delivered.seq.max(state.read.seq).max(self.delivered_asked).max(self.read_asked);
        (delivered_wanted && self.durable_seq > known).then_some((MarkKind::Delivered, self.durable_seq))
    }

    pub fn on_mark_sent(&mut self, kind: MarkKind, seq: u64) {
        if kind == MarkKind::Read {
            self.read_asked = seq;
        } else {
            self.delivered_asked = seq;
        }
    }

    /// The marks sent last did not arrive.
    pub fn forget_asked(&mut self) {
        self.read_asked = 0;
        self.delivered_asked = 0;
    }

    pub fn check_invariants(&self) {
        assert!(self.durable_seq <= self.state.applied.seq);
        assert!(self.held.keys().next().is_none_or(|first| *first > self.state.applied.seq + 1));
        assert!(self.held.len() <= HELD_ENTRIES_MAX);
    }

    pub fn forget_held(&mut self, room: &mut HeldRoom) {
        for entry in std::mem::take(&mut self.held).values() {
            room.give_back(entry);
        }
    }

    fn apply(&mut self, me: UserId, entry: Entry, out: &mut Vec<Advance>) {
        assert_eq!(entry.place.seq, self.state.applied.seq + 1);
        self.state.applied = entry.place;
        self.raise_head(entry.place, entry.time_ms);
        let state = &mut self.state;
        if entry.kind == EntryKind::Message {
            let (delivered, read) = match entry.sender == me {
                true => (&mut state.delivered, &mut state.read),
                false => (&mut state.peer_delivered, &mut state.peer_read),
            };
            raise(delivered, entry.place); // who writes has read
            raise(read, entry.place);
            if entry.extras.as_ref().is_some_and(|extras| extras.mentions(me)) && entry.sender != me {
                state.mentioned = entry.place.seq;
            }
        }
        out.push(Advance::Entry(entry));
    }

    fn skip(&mut self, range: Range, room: &mut HeldRoom, out: &mut Vec<Advance>) {
        let skipped: Vec<u64> = self.held.range(..=range.to).map(|(seq, _)| *seq).collect();
        for seq in skipped {
            self.drop_held(seq, room);
        }
        self.state.applied.seq = range.to;
        out.push(Advance::Gap(range));
    }

    fn release(&mut self, me: UserId, room: &mut HeldRoom, out: &mut Vec<Advance>) {
        while let Some(first) = self.held.first_entry() {
            let next = self.state.applied.seq + 1;
            if *first.key() > next {
                return;
            }
            let entry = first.remove();
            room.give_back(&entry);
            if entry.place.seq == next {
                self.apply(me, entry, out);
            }
        }
    }

    fn drop_held(&mut self, seq: u64, room: &mut HeldRoom) {
        if let Some(entry) = self.held.remove(&seq) {
            room.give_back(&entry);
        }
    }

    fn raise_head(&mut self, head: Place, time_ms: u64) {
        if head.seq > self.state.head.seq {
            self.state.head = head;
            self.state.time_ms = self.state.time_ms.max(time_ms);
        } else if head.seq == self.state.head.seq {
            self.state.head.ord = self.state.head.ord.max(head.ord);
            self.state.time_ms = self.state.time_ms.max(time_ms);
        }
    }

    /// A higher epoch: the node lost its tail, at most the entries up to `valid_seq` are still what they were.
    fn on_epoch(&mut self, epoch: u32, valid_seq: u64, room: &mut HeldRoom, out: &mut Vec<Advance>) {
        if epoch <= self.state.epoch {
            return;
        }
        let known = self.state.epoch != 0;
        self.state.epoch = epoch;
        if !known {
            return;
        }
        self.forget_held(room);
        self.state.applied.seq = self.state.applied.seq.min(valid_seq);
        self.durable_seq = self.durable_seq.min(valid_seq);
        if self.state.head.seq > valid_seq {
            self.state.head = self.state.applied;
        }
        out.push(Advance::Epoch(epoch));
    }
}

fn raise(mark: &mut Place, to: Place) -> bool {
    let higher = to.seq > mark.seq;
    if higher {
        *mark = to;
    }
    higher
}
