//! `Mark`: delivered or read up to a seq. Marks only rise.

use record::{Marks, Place};
use wire::Refusal;
use wire::message::{MarkKind, Marked};

use crate::bugs::Bug;
use crate::core::{After, Core};
use crate::mesh::{Caller, MarkFor};

use super::state::Conversation;
use super::{Common, Refused};

/// A mark that somebody makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub kind: MarkKind,
    pub seq: u64,
    /// The other one is told of an invisible user's marks no more than of himself: neither in events nor in his list.
    pub shown_to: MarkFor,
}

/// What can be said before the conversation is looked at.
pub(super) fn check(kind: MarkKind, seq: u64) -> Result<(), Refused> {
    let known_kind = matches!(kind, MarkKind::Delivered | MarkKind::Read);
    if known_kind && seq > 0 { Ok(()) } else { Err(Refused::new(Refusal::BadField)) }
}

/// The place that is named, as far as it is known without a read; `None`: the entry has to be read.
pub(super) fn place(conversation: &Conversation, seq: u64) -> Result<Option<Place>, Refused> {
    if seq > conversation.committed.seq {
        return Err(Refused::with_detail(Refusal::BadField, conversation.committed.seq));
    }
    Ok(conversation.place_at(seq))
}

pub(super) fn run(
    core: &mut Core,
    common: &mut Common,
    conversation: &mut Conversation,
    caller: Caller,
    mark: Asked,
) -> Result<(), Refused> {
    let Asked { kind, seq, shown_to } = mark;
    let place = place(conversation, seq)?.expect("an entry whose place is not known is read first");
    let side = conversation.side(caller.user);
    let before = conversation.marks[side];
    let after = raised(core, before, kind, place);
    let is_hidden = shown_to == MarkFor::Own && !core.bug(Bug::ShowHiddenMark);
    // Once he is visible again, his next mark shows those that he made before.
    let reveals = !is_hidden && conversation.shown[side].is_some();
    if after != before || reveals {
        if let Some(refused) = common.write_refusal(core, conversation) {
            return Err(refused);
        }
        common.touch(core, conversation);
        conversation.marks[side] = after;
        if is_hidden {
            conversation.shown[side].get_or_insert_with(|| Box::new(before));
        } else {
            conversation.shown[side] = None;
        }
        let mut frames = core.encoder.marked(0, &marked(conversation, side, kind)).to_vec();
        if reveals {
            let other = if kind == MarkKind::Read { MarkKind::Delivered } else { MarkKind::Read };
            frames.extend_from_slice(&core.encoder.marked(0, &marked(conversation, side, other)));
        }
        let turn = conversation.turn();
        turn.marked[side] = true;
        turn.concerned[side] = true;
        turn.concerned[1 - side] |= !is_hidden;
        let only = is_hidden.then_some(caller.user);
        turn.add_event_for(only, Some(caller.place.session), 0, |out| out.extend_from_slice(&frames));
    }
    conversation.flush_sent(core);
    let frame = core.encoder.marked(caller.request, &marked(conversation, side, kind));
    let (slot, stamp) = (conversation.id.slot(), conversation.stamp);
    core.after(slot, stamp, After::Answer { caller, frame });
    Ok(())
}

/// What is read was delivered too.
fn raised(core: &Core, before: Marks, kind: MarkKind, place: Place) -> Marks {
    let read = if kind == MarkKind::Read { place } else { Place::default() };
    let wanted = Marks { delivered: place, read };
    if core.bug(Bug::MarkGoesBack) && kind == MarkKind::Read { wanted } else { before.max(wanted) }
}

fn marked(conversation: &Conversation, side: usize, kind: MarkKind) -> Marked {
    let marks = conversation.marks[side];
    let place = if kind == MarkKind::Read { marks.read } else { marks.delivered };
    Marked { conversation: conversation.id, user: conversation.id.users()[side], kind, place: place.into() }
}
