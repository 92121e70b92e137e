//! The two events a node makes most, `Sent` and `Message`, without a builder: each is built once, and every frame is a
//! copy with its fields written over. Where the fields are is read from the built one, so the layout stays FlatBuffers'.

use std::sync::LazyLock;

use flatbuffers::{Table, VOffsetT};

use crate::body;
use crate::encode::Encoder;
use crate::frame::{HEADER_LEN, LENGTH_LEN};
use crate::generated as fb;
use crate::ids::{ConversationId, DeviceId, UserId};
use crate::limits::FRAME_LEN_MAX;
use crate::message::{BodyKind, EntryKind, EntryView, Place, Sent};
use crate::verified;

/// Bytes of every `Sent` frame, length field included.
pub const SENT_FRAME_LEN: usize = 100;
/// Of the size in front of a body.
const SIZE_LEN: usize = 4;
const BODY_AT: usize = LENGTH_LEN + HEADER_LEN;
const REQUEST_AT: usize = BODY_AT - 4;

static SENT: LazyLock<SentTemplate> = LazyLock::new(SentTemplate::new);
static MESSAGE: LazyLock<MessageTemplate> = LazyLock::new(MessageTemplate::new);

/// A whole frame of `Sent`.
pub fn sent(request: u32, sent: &Sent) -> [u8; SENT_FRAME_LEN] {
    SENT.fill(request, sent)
}

/// Bytes of a whole frame of `Message` around such a body, length field included.
pub fn message_frame_len(body_len: usize) -> usize {
    MESSAGE.frame.len() + body_len
}

/// Appends a whole frame of `Message` around an entry without extras.
pub fn message_into(out: &mut Vec<u8>, conversation: ConversationId, epoch: u32, entry: &EntryView<'_>) {
    MESSAGE.put(out, conversation, epoch, entry);
}

/// The entry in a frame of `Message` that [`message_into`] made, without its length field: read where its fields are, and
/// not verified. Of any other bytes it gives nonsense or `None`.
pub fn entry_of(frame: &[u8]) -> Option<EntryView<'_>> {
    MESSAGE.entry(frame)
}

/// Where each field of a `Sent` frame is.
struct SentTemplate {
    frame: [u8; SENT_FRAME_LEN],
    conversation: usize,
    counter: usize,
    seq: usize,
    ord: usize,
    time_ms: usize,
    epoch: usize,
}

impl SentTemplate {
    fn new() -> Self {
        let frame = Encoder::with_all_fields().event::<body::Sent>(0, |b| {
            let args = fb::SentArgs { conversation: Some(&nobody()), ..Default::default() };
            fb::Sent::create(b, &args)
        });
        let view = verified::view::<body::Sent>(&frame[BODY_AT..]).expect("it was built a moment ago");
        let at = |field| place_of(&view._tab, field);
        Self {
            frame: frame[..].try_into().expect("the length that is said above"),
            conversation: at(fb::Sent::VT_CONVERSATION),
            counter: at(fb::Sent::VT_COUNTER),
            seq: at(fb::Sent::VT_SEQ),
            ord: at(fb::Sent::VT_ORD),
            time_ms: at(fb::Sent::VT_TIME_MS),
            epoch: at(fb::Sent::VT_EPOCH),
        }
    }

    fn fill(&self, request: u32, sent: &Sent) -> [u8; SENT_FRAME_LEN] {
        let mut frame = self.frame;
        write(&mut frame, REQUEST_AT, request.to_le_bytes());
        write(&mut frame, self.conversation, sent.conversation.to_bytes());
        write(&mut frame, self.counter, sent.counter.to_le_bytes());
        write(&mut frame, self.seq, sent.place.seq.to_le_bytes());
        write(&mut frame, self.ord, sent.place.ord.to_le_bytes());
        write(&mut frame, self.time_ms, sent.time_ms.to_le_bytes());
        write(&mut frame, self.epoch, sent.epoch.to_le_bytes());
        frame
    }
}

/// Where each field of a `Message` frame is. Its body stands at the end, behind its size.
struct MessageTemplate {
    frame: Box<[u8]>,
    conversation: usize,
    epoch: usize,
    seq: usize,
    ord: usize,
    time_ms: usize,
    sender: usize,
    device: usize,
    counter: usize,
    kind: usize,
    body_kind: usize,
}

impl MessageTemplate {
    fn new() -> Self {
        let frame = Encoder::with_all_fields().event::<body::Message>(0, |b| {
            let body = b.create_vector::<u8>(&[]);
            let entry = fb::Entry::create(b, &fb::EntryArgs { body: Some(body), ..Default::default() });
            let args =
                fb::MessageArgs { conversation: Some(&nobody()), entry: Some(entry), ..Default::default() };
            fb::Message::create(b, &args)
        });
        let view = verified::view::<body::Message>(&frame[BODY_AT..]).expect("it was built a moment ago");
        let entry = view.entry().expect("it was put in");
        let body = entry.body().expect("it was put in");
        let end = body.bytes().as_ptr() as usize - frame.as_ptr() as usize;
        assert_eq!(end, frame.len(), "the body stands at the end");
        let (outer, inner) = (|at| place_of(&view._tab, at), |at| place_of(&entry._tab, at));
        Self {
            conversation: outer(fb::Message::VT_CONVERSATION),
            epoch: outer(fb::Message::VT_EPOCH),
            seq: inner(fb::Entry::VT_SEQ),
            ord: inner(fb::Entry::VT_ORD),
            time_ms: inner(fb::Entry::VT_TIME_MS),
            sender: inner(fb::Entry::VT_SENDER),
            device: inner(fb::Entry::VT_DEVICE),
            counter: inner(fb::Entry::VT_COUNTER),
            kind: inner(fb::Entry::VT_KIND),
            body_kind: inner(fb::Entry::VT_BODY_KIND),
            frame: frame[..].into(),
        }
    }

    fn put(&self, out: &mut Vec<u8>, conversation: ConversationId, epoch: u32, entry: &EntryView<'_>) {
        let length = self.frame.len() + entry.body.len();
        assert!(length - LENGTH_LEN <= FRAME_LEN_MAX, "a frame of {length} bytes was built");
        let start = out.len();
        out.reserve(length);
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        write(frame, 0, ((length - LENGTH_LEN) as u32).to_le_bytes());
        write(frame, BODY_AT, ((length - BODY_AT - SIZE_LEN) as u32).to_le_bytes());
        write(frame, self.conversation, conversation.to_bytes());
        write(frame, self.epoch, epoch.to_le_bytes());
        write(frame, self.seq, entry.place.seq.to_le_bytes());
        write(frame, self.ord, entry.place.ord.to_le_bytes());
        write(frame, self.time_ms, entry.time_ms.to_le_bytes());
        write(frame, self.sender, entry.sender.0.to_le_bytes());
        write(frame, self.device, entry.device.0.to_le_bytes());
        write(frame, self.counter, entry.counter.to_le_bytes());
        write(frame, self.kind, [entry.kind.0]);
        write(frame, self.body_kind, [entry.body_kind.0]);
        write(frame, self.frame.len() - SIZE_LEN, (entry.body.len() as u32).to_le_bytes());
        out.extend_from_slice(entry.body);
    }
}

impl MessageTemplate {
    fn entry<'a>(&self, frame: &'a [u8]) -> Option<EntryView<'a>> {
        let body = frame.get(self.frame.len() - LENGTH_LEN..)?;
        Some(EntryView {
            place: Place {
                seq: u64::from_le_bytes(read(frame, self.seq)?),
                ord: u64::from_le_bytes(read(frame, self.ord)?),
            },
            time_ms: u64::from_le_bytes(read(frame, self.time_ms)?),
            sender: UserId(u64::from_le_bytes(read(frame, self.sender)?)),
            device: DeviceId(u32::from_le_bytes(read(frame, self.device)?)),
            counter: u64::from_le_bytes(read(frame, self.counter)?),
            kind: EntryKind(u8::from_le_bytes(read(frame, self.kind)?)),
            body_kind: BodyKind(u8::from_le_bytes(read(frame, self.body_kind)?)),
            body,
            extras: None,
        })
    }
}

/// Of a frame without its length field.
fn read<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at - LENGTH_LEN..)?.first_chunk().copied()
}

fn nobody() -> fb::Conversation {
    ConversationId { low: UserId(0), high: UserId(0) }.into()
}

/// Where in its frame a field of this table is.
fn place_of(table: &Table<'_>, field: VOffsetT) -> usize {
    let offset = table.vtable().get(field);
    assert!(offset > 0, "the template has all fields");
    BODY_AT + table.loc() + usize::from(offset)
}

fn write<const N: usize>(frame: &mut [u8], at: usize, bytes: [u8; N]) {
    frame[at..at + N].copy_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::message::Message;
    use crate::{EventBody, EventFrame, decode_event};

    fn sent_by_the_builder(request: u32, sent: &Sent) -> Bytes {
        Encoder::new().event::<body::Sent>(request, |b| {
            let args = fb::SentArgs {
                conversation: Some(&sent.conversation.into()),
                counter: sent.counter,
                seq: sent.place.seq,
                ord: sent.place.ord,
                time_ms: sent.time_ms,
                epoch: sent.epoch,
            };
            fb::Sent::create(b, &args)
        })
    }

    fn conversation((low, high): (u64, u64)) -> ConversationId {
        ConversationId { low: UserId(low), high: UserId(high) }
    }

    proptest! {
        #[test]
        fn sent_says_what_the_builder_says(
            request: u32, users: (u64, u64), counter: u64, seq: u64, ord: u64, time_ms: u64, epoch: u32
        ) {
            let place = Place { seq, ord };
            let values = Sent { conversation: conversation(users), counter, place, time_ms, epoch };
            let frame = sent(request, &values);
            let decoded = decode_event(&frame[LENGTH_LEN..]).expect("it was encoded");
            prop_assert_eq!(&decoded, &EventFrame { request, event: EventBody::Sent(values) });
            let built = sent_by_the_builder(request, &values);
            prop_assert_eq!(decode_event(&built[LENGTH_LEN..]).expect("it was encoded"), decoded);
            if [counter, seq, ord, time_ms, u64::from(epoch)].iter().all(|field| *field != 0) {
                prop_assert_eq!(&frame[..], &built[..], "the same bytes");
            }
        }

        #[test]
        fn a_message_says_what_was_put_in(
            users: (u64, u64), epoch: u32, seq: u64, ord: u64, time_ms: u64, sender: u64, device: u32,
            counter: u64, kinds: (u8, u8), content in proptest::collection::vec(any::<u8>(), 0..600)
        ) {
            let entry = EntryView {
                place: Place { seq, ord },
                time_ms,
                sender: UserId(sender),
                device: DeviceId(device),
                counter,
                kind: EntryKind(kinds.0),
                body_kind: BodyKind(kinds.1),
                body: &content,
                extras: None,
            };
            let mut frame = Vec::new();
            message_into(&mut frame, conversation(users), epoch, &entry);
            prop_assert_eq!(frame.len(), message_frame_len(content.len()));
            let length = u32::from_le_bytes(frame[..LENGTH_LEN].try_into().expect("four bytes")) as usize;
            prop_assert_eq!(length, frame.len() - LENGTH_LEN);
            prop_assert_eq!(entry_of(&frame[LENGTH_LEN..]), Some(entry));
            let header_only = &frame[LENGTH_LEN..BODY_AT];
            prop_assert_eq!(entry_of(header_only), None);
            let event = decode_event(&frame[LENGTH_LEN..]).expect("it was encoded");
            let expected = Message { conversation: conversation(users), epoch, entry: entry.to_entry() };
            prop_assert_eq!(event, EventFrame { request: 0, event: EventBody::Message(expected) });
        }
    }

    #[test]
    #[should_panic(expected = "was built")]
    fn a_frame_over_the_limit_is_never_built() {
        let body = vec![0; FRAME_LEN_MAX];
        let entry = EntryView {
            place: Place::START,
            time_ms: 0,
            sender: UserId(0),
            device: DeviceId(0),
            counter: 0,
            kind: EntryKind::Message,
            body_kind: BodyKind::Text,
            body: &body,
            extras: None,
        };
        message_into(&mut Vec::new(), conversation((1, 2)), 1, &entry);
    }
}
