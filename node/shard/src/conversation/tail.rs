//! The last entries of conversations, as they were pushed, to answer pulls without a read.

use std::collections::VecDeque;

use bytes::Bytes;
use wire::message::{Entry, EntryView};
use wire::{ConversationId, Event, EventBody, frame, template};

use crate::core::Core;
use crate::limits::{TAIL_BYTES_MAX, TAIL_ENTRIES_MAX, TAILS_BYTES_MAX, TAILS_TURNS_MAX};
use crate::stats::TableStats;

use super::rewrite::FrameOf;

/// The tail of one conversation: dense, up to its head at the end of the last turn. It is empty when the conversation has
/// just been loaded.
#[derive(Debug, Default)]
pub(super) struct Tail {
    turns: VecDeque<TailTurn>,
    entries: usize,
    bytes: usize,
}

/// The entries of one turn, between the other events of that turn.
#[derive(Debug)]
struct TailTurn {
    /// Whole frames.
    frames: Bytes,
    first: u64,
    entries: u32,
    /// Some of them have extras.
    rich: bool,
}

/// An entry as it stands in the tail.
#[derive(Debug)]
pub(super) enum TailEntry<'a> {
    Plain(EntryView<'a>),
    Rich(Box<Entry>),
}

impl TailEntry<'_> {
    pub fn view(&self) -> EntryView<'_> {
        match self {
            TailEntry::Plain(view) => *view,
            TailEntry::Rich(entry) => entry.view(),
        }
    }
}

impl Tail {
    /// The seq of the oldest entry in it.
    pub fn first(&self) -> Option<u64> {
        self.turns.front().map(|turn| turn.first)
    }

    /// The entries from this seq on, which is in it.
    pub fn entries_from(&self, seq: u64) -> impl Iterator<Item = TailEntry<'_>> {
        let index = self.turns.partition_point(|turn| turn.first <= seq).saturating_sub(1);
        let entries = self.turns.range(index..).flat_map(TailTurn::entries);
        entries.skip_while(move |entry| entry.view().place.seq < seq)
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn pop(&mut self) -> usize {
        let Some(turn) = self.turns.pop_front() else { return 0 };
        self.entries -= turn.entries as usize;
        self.bytes -= turn.frames.len();
        turn.frames.len()
    }

    pub fn check_invariants(&self, head: u64) {
        assert!(self.bytes <= TAIL_BYTES_MAX);
        let mut next = head + 1 - self.entries as u64;
        for turn in &self.turns {
            assert_eq!(turn.first, next, "the tail is dense up to the head");
            let entries = turn.entries();
            assert!(entries.map(|entry| entry.view().place.seq).eq(next..next + u64::from(turn.entries)));
            next += u64::from(turn.entries);
        }
        assert_eq!(next, head + 1);
    }
}

impl TailTurn {
    fn entries(&self) -> impl Iterator<Item = TailEntry<'_>> {
        let rich = self.rich;
        frame::frames(&self.frames).filter_map(move |frame| entry_of(frame, rich))
    }
}

impl TailTurn {
    fn rewrite(&mut self, core: &mut Core, (id, epoch): FrameOf, entry: &EntryView<'_>) {
        let mut frames = Vec::with_capacity(self.frames.len());
        for frame in frame::frames(&self.frames) {
            let is_it = entry_of(frame, self.rich).is_some_and(|old| old.view().place == entry.place);
            if is_it {
                core.encoder.message_into(&mut frames, id, epoch, entry);
            } else if let Some(kept) = entry_of(frame, self.rich) {
                core.encoder.message_into(&mut frames, id, epoch, &kept.view());
            }
        }
        // All in one layout; other events of the turn are of no use here.
        (self.frames, self.rich) = (frames.into(), self.rich || entry.extras.is_some());
    }
}

/// Reads the entry of a frame that this shard built, if it is a `Message`.
fn entry_of(frame: &[u8], rich: bool) -> Option<TailEntry<'_>> {
    let (header, _) = frame::split(frame).expect("this shard built it");
    if Event::from_id(header.id) != Some(Event::Message) {
        return None;
    }
    if !rich {
        return Some(TailEntry::Plain(template::entry_of(frame).expect("this shard built it")));
    }
    match wire::decode_event(frame).map(|frame| frame.event) {
        Ok(EventBody::Message(message)) => Some(TailEntry::Rich(Box::new(message.entry))),
        other => panic!("this shard built {other:?}"),
    }
}

/// What all tails of the shard hold together.
#[derive(Debug, Default)]
pub(super) struct Tails {
    /// First entries of all turns in the order in which they came; some have left their tail already.
    order: VecDeque<(ConversationId, u64)>,
    bytes: usize,
}

impl Tails {
    /// Appends a turn's frames to its conversation's tail: so many entries, from the seq `first` on.
    pub fn push(
        &mut self,
        tail: &mut Tail,
        conversation: ConversationId,
        first: u64,
        entries: u32,
        frames: Bytes,
        rich: bool,
    ) {
        tail.bytes += frames.len();
        self.bytes += frames.len();
        tail.entries += entries as usize;
        tail.turns.push_back(TailTurn { frames, first, entries, rich });
        self.order.push_back((conversation, first));
        while tail.bytes > TAIL_BYTES_MAX
            || tail.turns.front().is_some_and(|turn| tail.entries - turn.entries as usize >= TAIL_ENTRIES_MAX)
        {
            self.bytes -= tail.pop();
        }
    }

    /// Puts an entry in place of the one with its seq, if that is in the tail.
    pub fn rewrite(&mut self, tail: &mut Tail, core: &mut Core, of: FrameOf, entry: &EntryView<'_>) {
        let seq = entry.place.seq;
        if tail.first().is_none_or(|first| first > seq) {
            return;
        }
        let index = tail.turns.partition_point(|turn| turn.first <= seq) - 1;
        let turn = &mut tail.turns[index];
        let before = turn.frames.len();
        turn.rewrite(core, of, entry);
        let after = turn.frames.len();
        tail.bytes = tail.bytes + after - before;
        self.bytes = self.bytes + after - before;
        while tail.bytes > TAIL_BYTES_MAX {
            self.bytes -= tail.pop();
        }
    }

    /// What should be dropped next to stay within the bounds: this turn, if it still is the first of its tail.
    pub fn surplus(&mut self) -> Option<(ConversationId, u64)> {
        if self.bytes > TAILS_BYTES_MAX || self.order.len() > TAILS_TURNS_MAX {
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

    pub fn table(&self) -> TableStats {
        let bytes = Some(self.bytes as u64);
        TableStats { bytes, ..TableStats::new("tail_turns", self.order.len(), TAILS_TURNS_MAX) }
    }

    pub fn check_invariants(&self, bytes_of_all: usize) {
        assert_eq!(self.bytes, bytes_of_all);
    }
}
