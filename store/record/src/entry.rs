//! Entries of logs. Most are plain, and written as version 1: what few have costs the others nothing.

use rkyv::{Archive, Deserialize, Serialize};

use crate::records::{Record, RecordError, record, versioned};

/// Longest body that stands in the record of an entry with extras, beside all that it may have.
pub const RICH_INLINE_BODY_LEN_MAX: usize = 2_000;
/// Edits of one message.
pub const EDITS_MAX: usize = 16;

/// Of [`Entry::kind`]: the one kind that `ord` counts.
pub const KIND_MESSAGE: u8 = 1;

/// An entry without extras, as most are. It is read as [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PlainEntry {
    pub ord: u64,
    pub time_ms: u64,
    pub sender: u64,
    pub device: u32,
    pub counter: u64,
    /// XXH3-64 of body kind and body.
    pub hash: u64,
    /// As the protocol numbers them: 1 message.
    pub kind: u8,
    /// As the protocol numbers them: 1 text, 2 opaque.
    pub body_kind: u8,
    /// Length of the whole body; when it is longer than `body`, the body is in chunks and `body` is empty.
    pub body_len: u32,
    pub body: Vec<u8>,
}
record!(PlainEntry, Entry, 1);

/// Where a forwarded message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ForwardedFrom {
    pub sender: u64,
    pub time_ms: u64,
}

/// An edit of a message: all that its own record holds but the body, so that a recall can write it anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct EditOf {
    pub seq: u64,
    pub ord: u64,
    pub time_ms: u64,
    pub device: u32,
    pub counter: u64,
    pub hash: u64,
    pub body_kind: u8,
    pub body_len: u32,
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Entry {
    pub ord: u64,
    pub time_ms: u64,
    pub sender: u64,
    pub device: u32,
    pub counter: u64,
    /// Of the send as it was made, whatever became of it: repeats are compared with it.
    pub hash: u64,
    pub kind: u8,
    pub body_kind: u8,
    /// Length of the whole body; when it is longer than `body`, the body is in chunks and `body` is empty.
    pub body_len: u32,
    pub body: Vec<u8>,
    /// XXH3-64 of body kind and body as they are.
    pub body_hash: u64,
    /// Seq of the message that this is about; 0: none.
    pub target: u64,
    /// Seq of the message that this one answers; 0: none.
    pub reply_to: u64,
    pub mentions: Vec<u64>,
    pub forwarded: Option<ForwardedFrom>,
    /// Edits that this message had, oldest first; the body is that of the last one.
    pub edits: Vec<EditOf>,
    /// Seq of the recall; 0: it was not recalled.
    pub recalled: u64,
}
versioned!(Entry, Entry, 2, 1 => PlainEntry);

impl From<PlainEntry> for Entry {
    fn from(plain: PlainEntry) -> Self {
        let PlainEntry { ord, time_ms, sender, device, counter, hash, kind, body_kind, body_len, body } =
            plain;
        let known = Self {
            ord,
            time_ms,
            sender,
            device,
            counter,
            hash,
            kind,
            body_kind,
            body_len,
            body,
            ..Self::default()
        };
        Self { body_hash: hash, ..known }
    }
}

impl Entry {
    /// Seq of the last edit; 0: none.
    pub fn edited(&self) -> u64 {
        self.edits.last().map_or(0, |edit| edit.seq)
    }

    /// Nothing but the body's place is told of it.
    pub fn is_plain(&self) -> bool {
        self.target == 0
            && self.reply_to == 0
            && self.mentions.is_empty()
            && self.forwarded.is_none()
            && self.edits.is_empty()
            && self.recalled == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::VALUE_LEN_MAX;
    use wire::limits::MENTIONS_MAX;

    #[test]
    fn an_entry_with_all_that_it_may_have_fits() {
        let edit =
            EditOf { seq: 1, ord: 2, time_ms: 3, device: 4, counter: 5, hash: 6, body_kind: 1, body_len: 7 };
        let entry = Entry {
            body: vec![7; RICH_INLINE_BODY_LEN_MAX],
            body_len: RICH_INLINE_BODY_LEN_MAX as u32,
            mentions: vec![u64::MAX; MENTIONS_MAX],
            forwarded: Some(ForwardedFrom { sender: 1, time_ms: 2 }),
            edits: vec![edit; EDITS_MAX],
            ..Entry::default()
        };
        let value = entry.encode();
        assert!(value.len() <= VALUE_LEN_MAX, "{} bytes", value.len());
        assert_eq!(value[..2], [Entry::KIND, 2]);
        assert_eq!(Entry::decode(&value), Ok(entry));
    }
}
