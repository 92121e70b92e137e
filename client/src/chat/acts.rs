//! How entries are told that are more than a text.

use wire::message::{BodyKind, Entry, EntryKind};

/// What an entry says, not yet made safe for the screen.
pub fn told(entry: &Entry) -> String {
    let extras = entry.extras.as_deref();
    let (target, reply_to) = extras.map_or((0, 0), |extras| (extras.target, extras.reply_to));
    let (edited, recalled) = extras.map_or((0, 0), |extras| (extras.edited, extras.recalled));
    let body = match (entry.body_kind, std::str::from_utf8(&entry.body)) {
        (BodyKind::Text, Ok(body)) => body.to_owned(),
        _ => format!("({} bytes that are not text)", entry.body.len()),
    };
    match entry.kind {
        EntryKind::Recall => format!("(message {target} was recalled)"),
        _ if recalled != 0 => "(recalled)".to_owned(),
        EntryKind::Edit => format!("(message {target} now says) {body}"),
        EntryKind::Reaction if body.is_empty() => format!("(no reaction any more to message {target})"),
        EntryKind::Reaction => format!("(reaction to message {target}) {body}"),
        _ => {
            let answers = if reply_to == 0 { String::new() } else { format!("(to message {reply_to}) ") };
            let forwarded = extras.is_some_and(|extras| extras.forwarded.is_some());
            let forwarded = if forwarded { "(forwarded) " } else { "" };
            format!("{answers}{forwarded}{body}{}", if edited == 0 { "" } else { " (edited)" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use wire::extras::Extras;
    use wire::message::Place;
    use wire::{DeviceId, UserId};

    #[test]
    fn what_became_of_a_message_is_told() {
        let entry = |kind, extras: Extras, body: &'static str| Entry {
            place: Place { seq: 3, ord: 3 },
            time_ms: 1,
            sender: UserId(7),
            device: DeviceId(1),
            counter: 3,
            kind,
            body_kind: BodyKind::Text,
            body: Bytes::from(body),
            extras: extras.boxed(),
        };
        let message = |extras, body| told(&entry(EntryKind::Message, extras, body));
        assert_eq!(message(Extras::default(), "hello"), "hello");
        assert_eq!(
            message(Extras { reply_to: 2, edited: 5, ..Extras::default() }, "hi"),
            "(to message 2) hi (edited)"
        );
        assert_eq!(message(Extras { recalled: 5, ..Extras::default() }, ""), "(recalled)");
        assert_eq!(told(&entry(EntryKind::Reaction, Extras::about(2), "+1")), "(reaction to message 2) +1");
        assert_eq!(told(&entry(EntryKind::Recall, Extras::about(2), "")), "(message 2 was recalled)");
    }
}
