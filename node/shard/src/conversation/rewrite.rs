//! Recalls, edits, reactions: entries about a message. Where one changes the message, its record is written anew in the batch of
//! the entry; when that is on disk, the tail in memory follows, and pulls that may have read what was there before read again.

use record::{CHUNK_LEN, EDITS_MAX, EditOf, Entry, KIND_MESSAGE, Key, RICH_INLINE_BODY_LEN_MAX, body_hash};
use wire::message::{EntryKind, EntryView, Send};
use wire::{ConversationId, DeviceId, Refusal, UserId};

use crate::bugs::Bug;
use crate::core::Core;
use crate::limits::REWRITES_UNWRITTEN_MAX;
use crate::mesh::{Caller, OwnedSend};

use super::dedupe::{Decision, Sender};
use super::entry::extras_of;
use super::state::Conversation;
use super::verbs::Rewritten;
use super::{Common, Refused, send};

/// The message that a send is about, as it is.
#[derive(Debug)]
pub(super) struct Target {
    seq: u64,
    entry: Entry,
    /// Records beside its own that hold its body.
    chunks: usize,
}

/// The seq of the message that has to be read before this send can be carried out. Nothing is read for one that is turned away,
/// refused, or a repeat.
pub(super) fn needed(conversation: &Conversation, caller: Caller, send: &OwnedSend) -> Option<u64> {
    let seq = send.extras.as_ref().map(|extras| extras.target).filter(|seq| *seq != 0)?;
    if seq > conversation.committed.seq || !conversation.may_write || find(conversation, seq).is_some() {
        return None;
    }
    let sender = Sender { side: conversation.side(caller.user), device: caller.place.device };
    let hash = send::hash_of(&send.borrowed());
    let decision = conversation.sends.decide(sender, send.counter, send.previous, hash);
    (decision == Decision::Take).then_some(seq)
}

/// The message with this seq, where it is in memory as it is.
fn find(conversation: &Conversation, seq: u64) -> Option<Target> {
    let verbs = conversation.verbs.as_deref()?;
    if let Some(rewritten) = verbs.rewritten.iter().rev().find(|rewritten| rewritten.seq == seq) {
        let chunks = chunks_of(rewritten.entry.body_len as usize);
        return Some(Target { seq, entry: rewritten.entry.clone(), chunks });
    }
    let fetched = verbs.fetched.as_ref().filter(|fetched| fetched.seq == seq)?;
    let entry = fetched.entry.clone();
    let chunks = if entry.body.is_empty() { (entry.body_len as usize).div_ceil(CHUNK_LEN) } else { 0 };
    Some(Target { seq, entry, chunks })
}

/// Of an entry with extras.
fn chunks_of(body_len: usize) -> usize {
    if body_len > RICH_INLINE_BODY_LEN_MAX { body_len.div_ceil(CHUNK_LEN) } else { 0 }
}

/// The message that this send is about, if the caller may do that to it.
pub(super) fn target(
    core: &Core,
    conversation: &Conversation,
    caller: Caller,
    send: &Send<'_>,
) -> Result<Option<Target>, Refused> {
    if send.kind == EntryKind::Message {
        return Ok(None);
    }
    let (seq, committed) = (send.extras.map_or(0, |extras| extras.target), conversation.committed.seq);
    if seq > committed {
        return Err(Refused::with_detail(Refusal::BadField, committed));
    }
    let target = find(conversation, seq).expect("it was read before");
    let entry = &target.entry;
    if entry.kind != KIND_MESSAGE {
        return Err(Refused::new(Refusal::BadField));
    }
    if entry.recalled != 0 {
        return Err(Refused::new(Refusal::AlreadyRecalled));
    }
    if send.kind == EntryKind::Reaction {
        return Ok(None);
    }
    if entry.sender != caller.user.0 {
        return Err(Refused::new(Refusal::NotYours));
    }
    let waiting = conversation.verbs.as_deref().map_or(0, |verbs| verbs.rewritten.len());
    if waiting + 1 + EDITS_MAX > REWRITES_UNWRITTEN_MAX {
        return Err(Refused::new(Refusal::Busy));
    }
    let age_ms = core.now.wall_ms.max(conversation.time_ms).saturating_sub(entry.time_ms);
    match send.kind {
        EntryKind::Recall if age_ms > core.config.recall_ms => {
            Err(Refused::with_detail(Refusal::TooLate, core.config.recall_ms))
        }
        // What is on its way out is not called back.
        EntryKind::Recall if entry.edited() > committed => Err(Refused::new(Refusal::Busy)),
        EntryKind::Edit if entry.edits.len() >= EDITS_MAX => {
            Err(Refused::with_detail(Refusal::TooManyEdits, EDITS_MAX as u64))
        }
        _ => Ok(Some(target)),
    }
}

/// Writes the message anew, beside the entry `by` that was just added for it.
pub(super) fn carry_out(
    core: &mut Core,
    common: &mut Common,
    conversation: &mut Conversation,
    target: Target,
    by: &EditOf,
    body: &[u8],
    kind: EntryKind,
) {
    if kind == EntryKind::Edit {
        let mut entry = target.entry;
        entry.edits.push(*by);
        (entry.body_kind, entry.body_len, entry.body) = (by.body_kind, by.body_len, body.to_vec());
        entry.body_hash = body_hash(entry.body_kind, body);
        return write(core, common, conversation, by.seq, (target.seq, target.chunks), entry);
    }
    let old = target.entry;
    let body_kind = old.body_kind;
    let empty = |of: Entry| Entry { body_hash: body_hash(of.body_kind, b""), recalled: by.seq, ..of };
    for edit in &old.edits {
        let EditOf { seq, ord, time_ms, device, counter, hash, body_kind, body_len } = *edit;
        let left =
            Entry { ord, time_ms, sender: old.sender, device, counter, hash, body_kind, ..Entry::default() };
        let left = empty(Entry { kind: EntryKind::Edit.0, target: target.seq, ..left });
        write(core, common, conversation, by.seq, (seq, chunks_of(body_len as usize)), left);
    }
    let Entry { ord, time_ms, sender, device, counter, hash, kind, .. } = old;
    let left =
        empty(Entry { ord, time_ms, sender, device, counter, hash, kind, body_kind, ..Entry::default() });
    if !core.bug(Bug::KeepRecalled) {
        write(core, common, conversation, by.seq, (target.seq, target.chunks), left);
    }
}

fn write(
    core: &mut Core,
    common: &mut Common,
    conversation: &mut Conversation,
    by: u64,
    (seq, chunks): (u64, usize),
    entry: Entry,
) {
    let id = conversation.id;
    common.writer.put_rich(core, id, seq, entry.clone());
    for index in chunks_of(entry.body_len as usize)..chunks {
        core.delete(&Key::Chunk(id, seq, index as u16));
    }
    conversation.verbs().rewritten.push(Rewritten { seq, by, entry });
}

/// The entries up to `committed` are on disk: what they changed may be shown, and what was there before no more.
pub(super) fn on_written(core: &mut Core, common: &mut Common, conversation: &mut Conversation) {
    let (id, epoch, committed) = (conversation.id, conversation.epoch, conversation.committed.seq);
    let Some(verbs) = conversation.verbs.as_mut().filter(|verbs| !verbs.rewritten.is_empty()) else { return };
    let count = verbs.rewritten.iter().take_while(|rewritten| rewritten.by <= committed).count();
    for Rewritten { seq, entry, .. } in verbs.rewritten.drain(..count) {
        let extras = extras_of(&entry);
        let view = view_of(seq, &entry, extras.as_deref());
        common.tails.rewrite(&mut conversation.tail, core, (id, epoch), &view);
    }
    common.pulls.on_rewritten(id);
}

fn view_of<'a>(seq: u64, entry: &'a Entry, extras: Option<&'a wire::extras::Extras>) -> EntryView<'a> {
    EntryView {
        place: wire::message::Place { seq, ord: entry.ord },
        time_ms: entry.time_ms,
        sender: UserId(entry.sender),
        device: DeviceId(entry.device),
        counter: entry.counter,
        kind: EntryKind(entry.kind),
        body_kind: wire::message::BodyKind(entry.body_kind),
        body: &entry.body,
        extras,
    }
}

/// A conversation and its epoch, as they stand in frames.
pub(super) type FrameOf = (ConversationId, u32);
