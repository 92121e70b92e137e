//! The last entries of conversations, as they were pushed, to answer pulls without a read.

use std::collections::VecDeque;

use bytes::Bytes;
use wire::ConversationId;
use wire::frame::{HEADER_LEN, LENGTH_LEN};
use wire::message::{EntryView, Place};
use wire::{DeviceId, UserId, body, verified};

use crate::limits::{TAIL_BYTES_MAX, TAIL_ENTRIES_MAX, TAILS_BYTES_MAX, TAILS_ENTRIES_MAX};
use crate::stats::TableStats;

/// The tail of one conversation: dense, up to its head. It is empty when the conversation has just been loaded.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Whole `Message` frames.
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Tail {
    /// The entry `back` places before the newest one (0 is the newest).
    pub fn entry(&self, back: u64) -> Option<EntryView<'_>> {
        let index = (self.frames.len() as u64).checked_sub(back + 1)?;
        Some(entry_of(&self.frames[index as usize]))
    }

    pub fn len(&self) -> usize {
        self.frames.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn pop(&mut self) -> usize {
        let len = self.frames.pop_front().map_or(0, |frame| frame.len());
        self.bytes -= len;
        len
    }
}

/// Reads the entry of a `Message` frame that this shard built.
fn entry_of(frame: &Bytes) -> EntryView<'_> {
    let body = &frame[LENGTH_LEN + HEADER_LEN..];
    let message = verified::view::<body::Message>(body).expect("this shard encoded it");
    let entry = message.entry().expect("a message has an entry");
    EntryView {
        place: Place { seq: entry.seq(), ord: entry.ord() },
        time_ms: entry.time_ms(),
        sender: UserId(entry.sender()),
        device: DeviceId(entry.device()),
        counter: entry.counter(),
        kind: entry.kind(),
        body_kind: entry.body_kind(),
        body: entry.body().map_or(&[], |body| body.bytes()),
    }
}

/// What all tails of the shard hold together.
#[derive(Debug, Default)]
pub(super) struct Tails {
    /// All entries in the order in which they came; some have left their tail already.
    order: VecDeque<(ConversationId, u64)>,
    bytes: usize,
}

impl Tails {
    /// Appends the entry with this seq to its conversation's tail.
    pub fn push(&mut self, tail: &mut Tail, conversation: ConversationId, seq: u64, frame: Bytes) {
        tail.bytes += frame.len();
        self.bytes += frame.len();
        tail.frames.push_back(frame);
        self.order.push_back((conversation, seq));
        while tail.frames.len() > TAIL_ENTRIES_MAX || tail.bytes > TAIL_BYTES_MAX {
            self.bytes -= tail.pop();
        }
    }

    pub fn table(&self) -> TableStats {
        let bytes = Some(self.bytes as u64);
        TableStats { bytes, ..TableStats::new("tail_entries", self.order.len(), TAILS_ENTRIES_MAX) }
    }

    /// What should be dropped next to stay within the bounds: this seq, if it still is the first of its tail.
    pub fn surplus(&mut self) -> Option<(ConversationId, u64)> {
        if self.bytes > TAILS_BYTES_MAX || self.order.len() > TAILS_ENTRIES_MAX {
            return self.order.pop_front();
        }
        None
    }

    pub fn drop_first(&mut self, tail: &mut Tail) {
        self.bytes -= tail.pop();
    }

    /// The conversation leaves the memory.
    pub fn forget(&mut self, tail: &Tail) {
        self.bytes -= tail.bytes;
    }

    pub fn check_invariants(&self, bytes_of_all: usize) {
        assert_eq!(self.bytes, bytes_of_all);
    }
}
