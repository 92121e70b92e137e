//! What the application wants sent.

use bytes::Bytes;

use super::session::SendError;
use crate::extras::{Extras, Forwarded};
use crate::ids::UserId;
use crate::limits::{MENTIONS_MAX, MESSAGE_BODY_LEN_MAX};
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
        if self.body.is_empty() {
            return Err(SendError::Empty);
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
