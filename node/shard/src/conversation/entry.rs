//! Entries as records: one for the entry, and chunks for a body too long for it.

use record::{
    CHUNK_LEN, Chunk, Entry, ForwardedFrom, INLINE_BODY_LEN_MAX, Key, PlainEntry, RICH_INLINE_BODY_LEN_MAX,
    Record, Row, body_hash,
};
use wire::ConversationId;
use wire::extras::{Extras, Forwarded};
use wire::message::{BodyKind, EntryKind, EntryView, Place};
use wire::{DeviceId, UserId};

use crate::core::Core;

/// Writes entries. Keeps the room for their bodies.
#[derive(Debug, Default)]
pub(super) struct EntryWriter {
    room: Vec<u8>,
}

impl EntryWriter {
    /// Writes an entry with the turn's batch.
    pub fn put(&mut self, core: &mut Core, conversation: ConversationId, view: &EntryView<'_>, hash: u64) {
        if view.extras.is_some() {
            return self.put_rich(core, conversation, view.place.seq, rich(view, hash));
        }
        let (inline, long) =
            if view.body.len() > INLINE_BODY_LEN_MAX { (&[][..], view.body) } else { (view.body, &[][..]) };
        let entry = PlainEntry {
            ord: view.place.ord,
            time_ms: view.time_ms,
            sender: view.sender.0,
            device: view.device.0,
            counter: view.counter,
            hash,
            kind: view.kind.0,
            body_kind: view.body_kind.0,
            body_len: view.body.len() as u32,
            body: self.filled(inline),
        };
        core.put(&Key::Entry(conversation, view.place.seq), &entry);
        self.room = entry.body;
        self.put_chunks(core, conversation, view.place.seq, long);
    }

    /// Writes an entry as it is now, its whole body in it.
    pub fn put_rich(&mut self, core: &mut Core, conversation: ConversationId, seq: u64, mut entry: Entry) {
        let mut long = Vec::new();
        if entry.body.len() > RICH_INLINE_BODY_LEN_MAX {
            long = std::mem::take(&mut entry.body);
        }
        core.put(&Key::Entry(conversation, seq), &entry);
        self.put_chunks(core, conversation, seq, &long);
    }

    fn put_chunks(&mut self, core: &mut Core, conversation: ConversationId, seq: u64, body: &[u8]) {
        for (index, part) in body.chunks(CHUNK_LEN).enumerate() {
            let chunk = Chunk { bytes: self.filled(part) };
            core.put(&Key::Chunk(conversation, seq, index as u16), &chunk);
            self.room = chunk.bytes;
        }
    }

    fn filled(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        room.extend_from_slice(bytes);
        room
    }
}

/// The record of an entry, its whole body in it.
fn rich(view: &EntryView<'_>, hash: u64) -> Entry {
    let extras = view.extras.expect("an entry that has some");
    Entry {
        ord: view.place.ord,
        time_ms: view.time_ms,
        sender: view.sender.0,
        device: view.device.0,
        counter: view.counter,
        hash,
        kind: view.kind.0,
        body_kind: view.body_kind.0,
        body_len: view.body.len() as u32,
        body: view.body.to_vec(),
        body_hash: body_hash(view.body_kind.0, view.body),
        target: extras.target,
        reply_to: extras.reply_to,
        mentions: extras.mentions.iter().map(|user| user.0).collect(),
        forwarded: extras
            .forwarded
            .map(|from| ForwardedFrom { sender: from.sender.0, time_ms: from.time_ms }),
        edits: Vec::new(),
        recalled: 0,
    }
}

/// What clients are told of an entry beside its body.
pub(super) fn extras_of(entry: &Entry) -> Option<Box<Extras>> {
    if entry.is_plain() {
        return None;
    }
    let from = |from: ForwardedFrom| Forwarded { sender: UserId(from.sender), time_ms: from.time_ms };
    Some(Box::new(Extras {
        target: entry.target,
        reply_to: entry.reply_to,
        mentions: entry.mentions.iter().copied().map(UserId).collect(),
        forwarded: entry.forwarded.map(from),
        edited: entry.edited(),
        recalled: entry.recalled,
    }))
}

/// The seq in the key of an entry.
pub(super) fn seq_of(row: &Row) -> Result<u64, String> {
    match Key::parse(&row.key) {
        Some(Key::Entry(_, seq)) => Ok(seq),
        _ => Err("a key among entries is not that of an entry".to_owned()),
    }
}

pub(super) fn decode<R: Record>(row: &Row) -> Result<R, String> {
    R::decode(&row.value).map_err(|error| error.to_string())
}

/// An entry read back, its body complete.
#[derive(Debug)]
pub(super) struct Stored {
    seq: u64,
    entry: Entry,
    extras: Option<Box<Extras>>,
}

impl Stored {
    pub fn view(&self) -> EntryView<'_> {
        EntryView {
            place: Place { seq: self.seq, ord: self.entry.ord },
            time_ms: self.entry.time_ms,
            sender: UserId(self.entry.sender),
            device: DeviceId(self.entry.device),
            counter: self.entry.counter,
            kind: EntryKind(self.entry.kind),
            body_kind: BodyKind(self.entry.body_kind),
            body: &self.entry.body,
            extras: self.extras.as_deref(),
        }
    }
}

/// Chunk rows, consumed in order as entries need them.
#[derive(Debug)]
pub(super) struct Chunks<'a> {
    rows: std::slice::Iter<'a, Row>,
    /// There are more in the store than were read.
    more: bool,
}

impl<'a> Chunks<'a> {
    pub fn new(rows: &'a [Row], more: bool) -> Self {
        Self { rows: rows.iter(), more }
    }

    /// The entry of this row with its whole body; `None` when its chunks were not all read.
    pub fn complete(&mut self, row: &Row) -> Result<Option<Stored>, String> {
        let seq = seq_of(row)?;
        let mut entry: Entry = decode(row)?;
        let len = entry.body_len as usize;
        while entry.body.len() < len {
            let Some(row) = self.rows.next() else {
                return if self.more {
                    Ok(None)
                } else {
                    Err(format!("the body of entry {seq} is cut short"))
                };
            };
            if !matches!(Key::parse(&row.key), Some(Key::Chunk(_, of, _)) if of == seq) {
                return Err(format!("the body of entry {seq} lacks a part"));
            }
            let chunk: Chunk = decode(row)?;
            entry.body.extend_from_slice(&chunk.bytes);
        }
        if entry.body.len() != len {
            return Err(format!("the body of entry {seq} is longer than it says"));
        }
        let extras = extras_of(&entry);
        Ok(Some(Stored { seq, entry, extras }))
    }
}
