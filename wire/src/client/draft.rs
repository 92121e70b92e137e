//! What the application wants sent.

use bytes::Bytes;

use super::session::SendError;
use crate::extras::{Extras, Forwarded};
use crate::ids::UserId;
use crate::limits::{MENTIONS_MAX, MESSAGE_BODY_LEN_MAX, REACTION_LEN_MAX};
use crate::message::{BodyKind, Entry, EntryKind};

/// A message, or what somebody does with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub kind: EntryKind,
    pub body_kind: BodyKind,
    pub body: Bytes,
    pub extras: Extras,
}

impl Draft {
    pub fn new(body_kind: BodyKind, body: impl Into<Bytes>) -> Self {
        Self { kind: EntryKind::Message, body_kind, body: body.into(), extras: Extras::default() }
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::new(BodyKind::Text, text.into())
    }

    /// What the entry said, again. A message that was forwarded itself keeps where it came from.
    pub fn forward(entry: &Entry) -> Self {
        let from = entry.extras.as_ref().and_then(|extras| extras.forwarded);
        let from = from.unwrap_or(Forwarded { sender: entry.sender, time_ms: entry.time_ms });
        let mut draft = Self::new(entry.body_kind, entry.body.clone());
        draft.extras.forwarded = Some(from);
        draft
    }

    /// Takes a message of one's own back.
    pub fn recall(seq: u64) -> Self {
        Self {
            kind: EntryKind::Recall,
            extras: Extras::about(seq),
            ..Self::new(BodyKind::Text, Bytes::new())
        }
    }

    /// Another text for a message of one's own.
    pub fn edit(seq: u64, text: impl Into<String>) -> Self {
        Self { kind: EntryKind::Edit, extras: Extras::about(seq), ..Self::text(text) }
    }

    /// A short text about a message, in place of an earlier one; an empty one takes it back.
    pub fn reaction(seq: u64, text: impl Into<String>) -> Self {
        Self { kind: EntryKind::Reaction, extras: Extras::about(seq), ..Self::text(text) }
    }

    /// As an answer to the message with this seq.
    pub fn replying(mut self, seq: u64) -> Self {
        self.extras.reply_to = seq;
        self
    }

    pub fn mentioning(mut self, users: impl IntoIterator<Item = UserId>) -> Self {
        self.extras.mentions.extend(users);
        self
    }

    pub(super) fn check(&self) -> Result<(), SendError> {
        if self.body.len() > MESSAGE_BODY_LEN_MAX {
            return Err(SendError::TooLong);
        }
        let may_be_empty = matches!(self.kind, EntryKind::Recall | EntryKind::Reaction);
        if self.body.is_empty() && !may_be_empty {
            return Err(SendError::Empty);
        }
        if self.kind == EntryKind::Reaction && self.body.len() > REACTION_LEN_MAX {
            return Err(SendError::TooLong);
        }
        let is_text = std::str::from_utf8(&self.body).is_ok();
        if self.body_kind == BodyKind::Text && !is_text || !BodyKind::ENUM_VALUES.contains(&self.body_kind) {
            return Err(SendError::NotText);
        }
        if self.extras.mentions.len() > MENTIONS_MAX {
            return Err(SendError::TooManyMentions);
        }
        Ok(())
    }
}
