//! What a later entry makes of a message that somebody keeps: clients carry out recalls and edits by it.

use bytes::Bytes;

use crate::extras::Extras;
use crate::message::{Entry, EntryKind};

/// Carries out `act` at `kept`, an earlier entry of the same log; true when that changed it. Acts may come again, and to an entry
/// that was pulled after them: then nothing changes.
pub fn apply(kept: &mut Entry, act: &Entry) -> bool {
    let about = act.extras.as_ref().map_or(0, |extras| extras.target);
    let extras = kept.extras.as_deref();
    let is_target = about == kept.place.seq;
    let is_edit_of_it = kept.kind == EntryKind::Edit && extras.is_some_and(|extras| extras.target == about);
    let (edited, recalled) = extras.map_or((0, 0), |extras| (extras.edited, extras.recalled));
    if about == 0 || recalled != 0 {
        return false;
    }
    match act.kind {
        EntryKind::Recall if is_target || is_edit_of_it => {
            kept.body = Bytes::new();
            let target = if is_edit_of_it { about } else { 0 };
            let left = Extras { target, recalled: act.place.seq, ..Extras::default() };
            kept.extras = Some(Box::new(left));
            true
        }
        EntryKind::Edit if is_target && edited < act.place.seq && !is_emptied(act) => {
            (kept.body_kind, kept.body) = (act.body_kind, act.body.clone());
            kept.extras.get_or_insert_default().edited = act.place.seq;
            true
        }
        _ => false,
    }
}

/// An edit whose message was recalled.
fn is_emptied(act: &Entry) -> bool {
    act.extras.as_ref().is_some_and(|extras| extras.recalled != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{BodyKind, Place};
    use crate::{DeviceId, UserId};

    fn entry(seq: u64, kind: EntryKind, target: u64, body: &'static str) -> Entry {
        Entry {
            place: Place { seq, ord: seq },
            time_ms: 1,
            sender: UserId(7),
            device: DeviceId(1),
            counter: seq,
            kind,
            body_kind: BodyKind::Text,
            body: Bytes::from(body),
            extras: Extras::about(target).boxed(),
        }
    }

    #[test]
    fn the_last_edit_wins_in_whatever_order_they_come_and_a_recall_over_all() {
        let (first, second) = (entry(3, EntryKind::Edit, 1, "b"), entry(4, EntryKind::Edit, 1, "c"));
        let recall = entry(5, EntryKind::Recall, 1, "");
        let mut message = entry(1, EntryKind::Message, 0, "a");
        let mut other = entry(2, EntryKind::Message, 0, "x");
        assert!(!apply(&mut other, &first) && !apply(&mut other, &recall));
        assert!(
            apply(&mut message, &second) && !apply(&mut message, &first) && !apply(&mut message, &second)
        );
        assert_eq!(
            (&message.body[..], message.extras.as_ref().map(|extras| extras.edited)),
            (&b"c"[..], Some(4))
        );
        assert!(
            apply(&mut message, &recall) && !apply(&mut message, &second) && !apply(&mut message, &recall)
        );
        let left = Extras { recalled: 5, ..Extras::default() };
        assert_eq!((&message.body[..], message.extras.as_deref()), (&b""[..], Some(&left)));
        let mut edit = first.clone();
        assert!(apply(&mut edit, &recall) && edit.body.is_empty());
        let mut late = entry(1, EntryKind::Message, 0, "a");
        assert!(!apply(&mut late, &edit), "what was emptied says nothing");
    }
}
