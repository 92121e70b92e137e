//! `Send`: appends a message, once.

use record::{Key, RememberedSend};
use wire::frame::LENGTH_LEN;
use wire::message::{BodyKind, EntryKind, EntryView, Sent};
use wire::{Refusal, Verified, body, limits};

use crate::bugs::Bug;
use crate::core::{After, Core};
use crate::limits::CHECKPOINT_ENTRIES;
use crate::mesh::{Caller, PushEvent};

use super::dedupe::{Decision, Sender, body_hash};
use super::state::Conversation;
use super::{Common, Refused, checkpoint};

/// A message in its frame, with the entry around it, is never longer than a frame may be.
const _: () = assert!(limits::MESSAGE_BODY_LEN_MAX + 512 + LENGTH_LEN <= limits::FRAME_LEN_MAX);

/// What can be said before the conversation is looked at.
pub(super) fn check(body: &Verified<body::Send>) -> Result<(), Refused> {
    let view = body.view();
    let len = view.body().map_or(0, |body| body.len());
    if len > limits::MESSAGE_BODY_LEN_MAX {
        return Err(Refused::with_detail(Refusal::BodyTooLong, limits::MESSAGE_BODY_LEN_MAX as u64));
    }
    let known_kind = matches!(view.body_kind(), BodyKind::Text | BodyKind::Opaque);
    if len == 0 || view.counter() == 0 || !known_kind {
        return Err(Refused::new(Refusal::BadField));
    }
    Ok(())
}

pub(super) fn run(
    core: &mut Core,
    common: &mut Common,
    conversation: &mut Conversation,
    caller: Caller,
    body: &Verified<body::Send>,
) -> Result<(), Refused> {
    let view = body.view();
    let bytes = view.body().map_or(&[][..], |body| body.bytes());
    core.bugs.waste(bytes);
    let hash = body_hash(view.body_kind().0, bytes);
    let sender = Sender { side: conversation.side(caller.user), device: caller.place.device };
    let decision = conversation.sends.decide(sender, view.counter(), view.previous(), hash);
    let repeated = matches!(decision, Decision::Repeat(_));
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
    if let Some(refused) = common.write_refusal(core, conversation) {
        return Err(refused);
    }
    conversation.time_ms = conversation.time_ms.max(core.now.wall_ms);
    conversation.head.seq += 1;
    conversation.head.ord += 1;
    let place = conversation.head;
    let entry = EntryView {
        place: place.into(),
        time_ms: conversation.time_ms,
        sender: caller.user,
        device: caller.place.device,
        counter: view.counter(),
        kind: EntryKind::Message,
        body_kind: view.body_kind(),
        body: bytes,
    };
    common.writer.put(core, conversation.id, &entry, hash);
    let send = RememberedSend { counter: entry.counter, hash, place, time_ms: entry.time_ms };
    let users = conversation.id.users();
    // A repeat that gets here was let through by a planted bug.
    let gone = if repeated { None } else { conversation.sends.remember(sender, send) };
    if let Some(gone) = gone {
        core.delete(&Key::Remembered(conversation.id, users[gone.side], gone.device));
    }
    // Who writes has read. Until the next checkpoint this mark is found again from the entry itself.
    let own = &mut conversation.marks[sender.side];
    (own.delivered, own.read) = (place, place);
    let frame = core.encoder.message(conversation.id, conversation.epoch, &entry);
    common.tails.push(&mut conversation.tail, conversation.id, place.seq, frame.clone());
    conversation.turn.events.push(PushEvent { frame, except: Some(caller.place.session) });
    common.touch(core, conversation);
    if place.seq.is_multiple_of(CHECKPOINT_ENTRIES) {
        checkpoint::put(core, conversation);
    }
    answer(core, conversation, caller, send);
    Ok(())
}

/// `Sent`, when the entry is on disk.
fn answer(core: &mut Core, conversation: &Conversation, caller: Caller, send: RememberedSend) {
    let sent = Sent {
        conversation: conversation.id,
        counter: send.counter,
        place: send.place.into(),
        time_ms: send.time_ms,
        epoch: conversation.epoch,
    };
    let frame = core.encoder.sent(caller.request, &sent);
    if send.place <= conversation.committed || core.bug(Bug::AckBeforeCommit) {
        core.answer(caller, frame);
    } else {
        core.after(conversation.id.slot(), conversation.stamp, After::Answer { caller, frame });
    }
}

/// The refusal says which sends were taken before: it leaves when those are on disk.
fn refuse(core: &mut Core, conversation: &Conversation, caller: Caller, refusal: Refusal, detail: u64) {
    core.counters.refused(refusal);
    let frame = core.encoder.refused(caller.request, refusal, detail, 0);
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
