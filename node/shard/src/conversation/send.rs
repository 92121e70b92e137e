//! `Send`: appends a message, once.

use record::{EditOf, Key, Place, RememberedSend};
use wire::frame::LENGTH_LEN;
use wire::message::{BodyKind, EntryKind, EntryView, Send, Sent};
use wire::{DeviceId, Refusal, SessionId, UserId, limits};

use crate::bugs::Bug;
use crate::core::{After, Core};
use crate::limits::CHECKPOINT_ENTRIES;
use crate::mesh::Caller;

use super::dedupe::{Decision, Sender, body_hash};
use super::state::Conversation;
use super::{Common, Refused, checkpoint, relation, rewrite, verbs};

/// A message in its frame, with the entry around it, is never longer than a frame may be.
const _: () = assert!(limits::MESSAGE_BODY_LEN_MAX + 512 + LENGTH_LEN <= limits::FRAME_LEN_MAX);

/// What can be said before the conversation is looked at.
pub(super) fn check(send: &Send<'_>) -> Result<(), Refused> {
    let len = send.body.len();
    if send.extras.is_some() || send.kind != EntryKind::Message {
        return verbs::check(send);
    }
    if len > limits::MESSAGE_BODY_LEN_MAX {
        return Err(Refused::with_detail(Refusal::BodyTooLong, limits::MESSAGE_BODY_LEN_MAX as u64));
    }
    let is_known = BodyKind::ENUM_VALUES.contains(&send.body_kind);
    if len == 0 || send.counter == 0 || !is_known {
        return Err(Refused::new(Refusal::BadField));
    }
    Ok(())
}

pub(super) fn run(
    core: &mut Core,
    common: &mut Common,
    conversation: &mut Conversation,
    caller: Caller,
    asked: Send<'_>,
) -> Result<(), Refused> {
    core.bugs.waste(asked.body);
    let hash = hash_of(&asked);
    let sender = Sender { side: conversation.side(caller.user), device: caller.place.device };
    let decision = conversation.sends.decide(sender, asked.counter, asked.previous, hash);
    let repeated = matches!(decision, Decision::Repeat(_));
    if !conversation.may_write && !repeated && !core.bug(Bug::TakeFromBlocked) {
        relation::turn_away(core, conversation, caller);
        return Ok(());
    }
    match with_bugs(core, decision) {
        Decision::Repeat(send) => {
            core.counters.duplicates += 1;
            answer(core, conversation, caller, send);
            return Ok(());
        }
        Decision::Refuse { refusal, detail } => {
            refuse(core, conversation, caller, refusal, detail);
            return Ok(());
        }
        Decision::Take => {}
    }
    let target = match asked.extras {
        Some(extras) => {
            verbs::check_extras(conversation, extras)?;
            rewrite::target(core, conversation, caller, &asked)?
        }
        None => None,
    };
    if let Some(refused) = common.write_refusal(core, conversation) {
        return Err(refused);
    }
    let author =
        Author { user: caller.user, device: caller.place.device, session: Some(caller.place.session) };
    let send = append(core, common, conversation, author, asked, hash);
    if let Some(target) = target {
        let by = edit_of(&asked, send, author);
        rewrite::carry_out(core, common, conversation, target, &by, asked.body, asked.kind);
    }
    // A repeat that gets here was let through by a planted bug.
    let gone = if repeated { None } else { conversation.sends.remember(sender, send) };
    if let Some(gone) = gone {
        let user = conversation.id.users()[gone.side];
        core.delete(&Key::Remembered(conversation.id, user, gone.device));
    }
    if asked.kind == EntryKind::Message {
        on_written(conversation, sender.side, send.place);
    }
    if send.place.seq.is_multiple_of(CHECKPOINT_ENTRIES) {
        checkpoint::put(core, conversation);
    }
    if core.bug(Bug::AckBeforeCommit) {
        answer(core, conversation, caller, send);
    } else {
        let sent = sent(conversation, send);
        conversation.add_sent(core, caller, |core, out| core.encoder.sent_into(out, caller.request, &sent));
    }
    Ok(())
}

/// What is remembered of an edit beside its message.
fn edit_of(asked: &Send<'_>, send: RememberedSend, author: Author) -> EditOf {
    let RememberedSend { counter, hash, place: Place { seq, ord }, time_ms } = send;
    let (body_kind, body_len) = (asked.body_kind.0, asked.body.len() as u32);
    EditOf { seq, ord, time_ms, device: author.device.0, counter, hash, body_kind, body_len }
}

/// Tells a repeat from the reuse of its counter.
pub(super) fn hash_of(send: &Send<'_>) -> u64 {
    let hash = body_hash(send.body_kind.0, send.body);
    match send.extras {
        Some(extras) => record::send_hash(send.kind.0, hash, extras),
        None => hash,
    }
}

/// Who writes has read. Until the next checkpoint this mark is found again from the entry itself.
fn on_written(conversation: &mut Conversation, side: usize, place: Place) {
    let own = &mut conversation.marks[side];
    (own.delivered, own.read) = (place, place);
    // An invisible user who writes shows with it what he has read.
    if conversation.shown[side].take().is_some() {
        conversation.turn().marked[side] = true;
    }
}

/// Who writes an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author {
    pub user: UserId,
    pub device: DeviceId,
    /// It has the entry already.
    pub session: Option<SessionId>,
}

/// The entry: into the turn's batch, and for the sessions of all who see it.
pub(super) fn append(
    core: &mut Core,
    common: &mut Common,
    conversation: &mut Conversation,
    author: Author,
    asked: Send<'_>,
    hash: u64,
) -> RememberedSend {
    common.touch(core, conversation);
    conversation.time_ms = conversation.time_ms.max(core.now.wall_ms);
    conversation.head.seq += 1;
    conversation.head.ord += u64::from(asked.kind == EntryKind::Message);
    let (id, epoch, place, time_ms) =
        (conversation.id, conversation.epoch, conversation.head, conversation.time_ms);
    let entry = EntryView {
        place: place.into(),
        time_ms,
        sender: author.user,
        device: author.device,
        counter: asked.counter,
        kind: asked.kind,
        body_kind: asked.body_kind,
        body: asked.body,
        extras: asked.extras,
    };
    common.writer.put(core, id, &entry, hash);
    let turn = conversation.turn();
    turn.entries += 1;
    turn.rich |= asked.extras.is_some();
    turn.add_event(author.session, 1, |out| core.encoder.message_into(out, id, epoch, &entry));
    if let Some(extras) = asked.extras {
        conversation.note_mentions(author.user, place.seq, extras);
    }
    RememberedSend { counter: asked.counter, hash, place, time_ms }
}

fn sent(conversation: &Conversation, send: RememberedSend) -> Sent {
    Sent {
        conversation: conversation.id,
        counter: send.counter,
        place: send.place.into(),
        time_ms: send.time_ms,
        epoch: conversation.epoch,
    }
}

/// `Sent` once more, when the entry is on disk.
fn answer(core: &mut Core, conversation: &mut Conversation, caller: Caller, send: RememberedSend) {
    let frame = core.encoder.sent(caller.request, &sent(conversation, send));
    if send.place <= conversation.committed || core.bug(Bug::AckBeforeCommit) {
        core.answer(caller, frame);
    } else {
        conversation.flush_sent(core);
        core.after(conversation.id.slot(), conversation.stamp, After::Answer { caller, frame });
    }
}

/// The refusal says which sends were taken before: it leaves when those are on disk.
fn refuse(core: &mut Core, conversation: &mut Conversation, caller: Caller, refusal: Refusal, detail: u64) {
    core.counters.refused(refusal);
    let frame = core.encoder.refused(caller.request, refusal, detail, 0);
    conversation.flush_sent(core);
    core.after(conversation.id.slot(), conversation.stamp, After::Answer { caller, frame });
}

/// The decision, unless a test has planted a bug here.
fn with_bugs(core: &Core, decision: Decision) -> Decision {
    match decision {
        Decision::Repeat(_) if core.bug(Bug::SkipDedupe) => Decision::Take,
        Decision::Refuse { refusal: Refusal::OutOfOrder, .. } if core.bug(Bug::IgnorePrevious) => {
            Decision::Take
        }
        decision => decision,
    }
}
