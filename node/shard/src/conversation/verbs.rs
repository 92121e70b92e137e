//! What people do beside writing: answer, forward, mention; and entries that are about others.

use record::{Entry, OutboxEntry, Rows};
use wire::extras::Extras;
use wire::limits::{MENTIONS_MAX, MESSAGE_BODY_LEN_MAX};
use wire::message::{BodyKind, EntryKind, Send};
use wire::{Refusal, UserId};

use super::Refused;
use super::entry::decode;
use super::state::Conversation;

/// What only some conversations need to remember.
#[derive(Debug, Default)]
pub(super) struct Verbs {
    /// Seqs of the last messages that mention the lower, the higher user, as far as their lists may not know them.
    pub mentioned: [u64; 2],
    /// Read for the command in front of the queue.
    pub fetched: Option<Fetched>,
    /// Entries that were written anew, oldest first, until that is on disk. What is in the store is older.
    pub rewritten: Vec<Rewritten>,
}

/// An entry as it is from now on.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub seq: u64,
    /// Seq of the recall or the edit that did it.
    pub by: u64,
    /// Its whole body in it.
    pub entry: Entry,
}

/// An entry that was read, without what of its body is in chunks.
#[derive(Debug)]
pub(super) struct Fetched {
    pub seq: u64,
    pub entry: Entry,
}

/// What can be said of such a send before the conversation is looked at.
pub(super) fn check(send: &Send<'_>) -> Result<(), Refused> {
    let nothing = Extras::default();
    let extras = send.extras.unwrap_or(&nothing);
    if send.body.len() > MESSAGE_BODY_LEN_MAX {
        return Err(Refused::with_detail(Refusal::BodyTooLong, MESSAGE_BODY_LEN_MAX as u64));
    }
    if extras.mentions.len() > MENTIONS_MAX {
        return Err(Refused::with_detail(Refusal::BadField, MENTIONS_MAX as u64));
    }
    let is_known = BodyKind::ENUM_VALUES.contains(&send.body_kind);
    let is_made_here = extras.edited != 0 || extras.recalled != 0;
    if send.counter == 0 || !is_known || is_made_here || !is_sound(send, extras) {
        return Err(Refused::new(Refusal::BadField));
    }
    Ok(())
}

/// The fields that its kind has, and no others.
fn is_sound(send: &Send<'_>, extras: &Extras) -> bool {
    match send.kind {
        EntryKind::Message => extras.target == 0 && !send.body.is_empty(),
        EntryKind::Recall => is_only_about(extras) && send.body.is_empty(),
        EntryKind::Edit => is_only_about(extras) && !send.body.is_empty(),
        EntryKind::Reaction => {
            is_only_about(extras)
                && send.body_kind == BodyKind::Text
                && send.body.len() <= wire::limits::REACTION_LEN_MAX
        }
        _ => false,
    }
}

fn is_only_about(extras: &Extras) -> bool {
    extras.target != 0 && *extras == Extras::about(extras.target)
}

/// What depends on the conversation.
pub(super) fn check_extras(conversation: &Conversation, extras: &Extras) -> Result<(), Refused> {
    let committed = conversation.committed.seq;
    if extras.reply_to > committed {
        return Err(Refused::with_detail(Refusal::BadField, committed));
    }
    let is_private = conversation.id.is_private();
    if is_private && extras.mentions.iter().any(|user| !conversation.id.has(*user)) {
        return Err(Refused::new(Refusal::BadField));
    }
    Ok(())
}

impl Conversation {
    pub(super) fn verbs(&mut self) -> &mut Verbs {
        self.verbs.get_or_insert_default()
    }

    /// An entry that was just added mentions somebody. Nobody is told that he mentions himself.
    pub(super) fn note_mentions(&mut self, sender: UserId, seq: u64, extras: &Extras) {
        if !self.id.is_private() || extras.mentions.is_empty() {
            return;
        }
        for (side, user) in self.id.users().into_iter().enumerate() {
            if user != sender && extras.mentions(user) {
                self.verbs().mentioned[side] = seq;
            }
        }
    }

    /// Mentions that the lists may not know, from the outbox.
    pub(super) fn restore_mentions(&mut self, outbox: [&Rows; 2]) -> Result<(), String> {
        for (side, rows) in outbox.into_iter().enumerate() {
            let Some(row) = rows.rows.first() else { continue };
            let mentioned = decode::<OutboxEntry>(row)?.digest.mentioned;
            if mentioned > 0 {
                self.verbs().mentioned[side] = mentioned;
            }
        }
        Ok(())
    }
}
