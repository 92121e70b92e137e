//! The relay's frames: those of the node for the same text.
//!
//! A client cannot tell them from the node's, so it does the same work for both; the relay does none but copying.

use anyhow::{Context, Result, bail};
use wire::frame::{self, HEADER_LEN, LENGTH_LEN};
use wire::ids::CONVERSATION_ID_LEN;
use wire::message::{BodyKind, EntryKind, EntryView, Place, Send, Sent};
use wire::template::{self, SENT_FRAME_LEN};
use wire::{Command, ConversationId, DeviceId, Encoder, UserId, body, verified};

/// Where the FlatBuffer of a `Send` begins in a frame without its length field.
const SEND_BODY_AT: usize = HEADER_LEN + CONVERSATION_ID_LEN;
/// A counter that no other part of a frame looks like, to find where it stands.
const COUNTER_MARK: u64 = 0x1122_3344_5566_7788;
/// When every message was taken, in Unix milliseconds: the relay has no clock.
const TIME_MS: u64 = 1 << 40;
const EPOCH: u32 = 1;

/// What a `Send` asks for: two frames, length fields included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// For the sender.
    pub sent: [u8; SENT_FRAME_LEN],
    /// For the other one of the pair.
    pub message: &'a [u8],
}

/// Lengths of the frames of one message, length fields included: as the node's for the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLengths {
    pub send: usize,
    pub sent: usize,
    pub message: usize,
}

/// Makes answers. The layout of the last `Send` is kept: texts of one length are not decoded again.
#[derive(Debug, Default)]
pub struct Frames {
    layout: Option<Layout>,
    encoder: Encoder,
    message: Vec<u8>,
}

/// Where everything stands in a `Send` with a text of one length, in a frame without its length field.
#[derive(Debug)]
struct Layout {
    frame_len: usize,
    text_len: usize,
    counter_at: usize,
    text_at: usize,
}

/// What is read of a `Send`.
#[derive(Debug, PartialEq, Eq)]
struct Sending<'a> {
    request: u32,
    conversation: ConversationId,
    counter: u64,
    text: &'a [u8],
}

impl FrameLengths {
    /// Of a text of so many bytes.
    pub fn of_text(text_len: usize) -> Result<Self> {
        Ok(Self {
            send: LENGTH_LEN + Layout::new(&mut Encoder::new(), text_len)?.frame_len,
            sent: SENT_FRAME_LEN,
            message: template::message_frame_len(text_len),
        })
    }
}

impl Frames {
    /// The answer to a frame (without its length field) of a client. `seq` is the counter: each sender's rises by one,
    /// and only he writes to the other one of his pair.
    pub fn answer(&mut self, frame: &[u8]) -> Result<Answer<'_>> {
        let sending = match self.layout.as_ref().and_then(|layout| layout.read(frame)) {
            Some(sending) => sending,
            None => {
                let sending = decode(frame)?;
                if self.layout.as_ref().is_none_or(|layout| layout.text_len != sending.text.len()) {
                    self.layout = Some(Layout::new(&mut self.encoder, sending.text.len())?);
                }
                sending
            }
        };
        let Sending { request, conversation, counter, text } = sending;
        let place = Place { seq: counter, ord: counter };
        let sent = Sent { conversation, counter, place, time_ms: TIME_MS, epoch: EPOCH };
        let entry = EntryView {
            place,
            time_ms: TIME_MS,
            sender: conversation.low,
            device: DeviceId(1),
            counter,
            kind: EntryKind::Message,
            body_kind: BodyKind::Opaque,
            body: text,
            extras: None,
        };
        self.message.clear();
        template::message_into(&mut self.message, conversation, EPOCH, &entry);
        Ok(Answer { sent: template::sent(request, &sent), message: &self.message })
    }
}

impl Layout {
    fn new(encoder: &mut Encoder, text_len: usize) -> Result<Self> {
        let conversation = ConversationId { low: UserId(1), high: UserId(2) };
        let text = vec![b'x'; text_len];
        let (counter, body_kind) = (COUNTER_MARK, BodyKind::Opaque);
        let send = Send::plain(counter, counter - 1, body_kind, &text);
        let frame = encoder.send(1, conversation, &send);
        let frame = &frame[LENGTH_LEN..];
        let view = verified::view::<body::Send>(&frame[SEND_BODY_AT..])?;
        let text = view.body().context("it has a text")?.bytes();
        let mark = counter.to_le_bytes();
        Ok(Self {
            frame_len: frame.len(),
            text_len,
            counter_at: frame.windows(mark.len()).position(|bytes| bytes == mark).context("its counter")?,
            text_at: text.as_ptr() as usize - frame.as_ptr() as usize,
        })
    }

    /// Reads a frame that has this layout; `None`: it has another one.
    fn read<'a>(&self, frame: &'a [u8]) -> Option<Sending<'a>> {
        if frame.len() != self.frame_len {
            return None;
        }
        let (header, rest) = frame::split(frame).ok()?;
        let text_len = u32::from_le_bytes(*frame[self.text_at - 4..].first_chunk()?) as usize;
        if header.id != Command::Send.id() || text_len != self.text_len {
            return None;
        }
        Some(Sending {
            request: header.request,
            conversation: ConversationId::from_bytes(*rest.first_chunk()?),
            counter: u64::from_le_bytes(*frame[self.counter_at..].first_chunk()?),
            text: &frame[self.text_at..self.text_at + self.text_len],
        })
    }
}

/// Reads a frame whose layout is not known: the first of each sender has no `previous`.
fn decode(frame: &[u8]) -> Result<Sending<'_>> {
    let (header, rest) = frame::split(frame)?;
    if header.id != Command::Send.id() {
        bail!("a frame with id {} instead of a send", header.id);
    }
    let (owner, bytes) = rest.split_first_chunk().context("a send without its conversation")?;
    let view = verified::view::<body::Send>(bytes).context("a broken send")?;
    Ok(Sending {
        request: header.request,
        conversation: ConversationId::from_bytes(*owner),
        counter: view.counter(),
        text: view.body().context("a send without a text")?.bytes(),
    })
}

/// The index and the request in a client's first frame, a ping.
pub fn introduced(frame: &[u8]) -> Result<(u64, u32)> {
    let (header, bytes) = frame::split(frame)?;
    if header.id != Command::Ping.id() {
        bail!("a frame with id {} before the introduction", header.id);
    }
    Ok((verified::view::<body::Ping>(bytes).context("a broken ping")?.time_ms(), header.request))
}

#[cfg(test)]
mod tests {
    use wire::{EventBody, decode_event};

    use super::*;

    const CONVERSATION: ConversationId = ConversationId { low: UserId(7 << 10), high: UserId(9 << 10) };

    fn send(encoder: &mut Encoder, counter: u64, text: &[u8]) -> Vec<u8> {
        let send = Send::plain(counter, counter - 1, BodyKind::Opaque, text);
        encoder.send(counter as u32 + 100, CONVERSATION, &send)[LENGTH_LEN..].to_vec()
    }

    fn check(frames: &mut Frames, frame: &[u8], counter: u64, text: &[u8]) {
        let answer = frames.answer(frame).unwrap();
        for frame in [&answer.sent[..], answer.message] {
            let length = u32::from_le_bytes(*frame.first_chunk().unwrap()) as usize;
            assert_eq!(length, frame.len() - LENGTH_LEN);
        }
        let sent = decode_event(&bytes::Bytes::copy_from_slice(&answer.sent[LENGTH_LEN..])).unwrap();
        assert_eq!(sent.request, counter as u32 + 100);
        let EventBody::Sent(sent) = sent.event else { panic!("{sent:?}") };
        assert_eq!((sent.conversation, sent.counter, sent.place.seq), (CONVERSATION, counter, counter));
        let message = decode_event(&bytes::Bytes::copy_from_slice(&answer.message[LENGTH_LEN..])).unwrap();
        let EventBody::Message(message) = message.event else { panic!("{message:?}") };
        assert_eq!((message.entry.counter, message.entry.place.seq), (counter, counter));
        assert_eq!((message.conversation, message.entry.body.as_ref()), (CONVERSATION, text));
    }

    #[test]
    fn answers_are_frames_of_the_node_for_every_length_and_counter() {
        let (mut frames, mut encoder) = (Frames::default(), Encoder::new());
        for length in [0, 1, 7, 8, 128, 129, 1_000, 64 * 1_024, 128] {
            for counter in [1, 2, 3, 1 << 33, 1] {
                let text: Vec<u8> = (0..length).map(|n| (n as u64 * 7 + counter) as u8).collect();
                let frame = send(&mut encoder, counter, &text);
                check(&mut frames, &frame, counter, &text);
            }
        }
    }

    #[test]
    fn a_known_layout_is_read_as_it_would_be_decoded() {
        let (mut frames, mut encoder) = (Frames::default(), Encoder::new());
        frames.answer(&send(&mut encoder, 1, &[1; 128])).unwrap();
        let layout = frames.layout.as_ref().unwrap();
        let frame = send(&mut encoder, 2, &[2; 128]);
        assert_eq!(layout.read(&frame), Some(decode(&frame).unwrap()));
        assert_eq!(layout.read(&send(&mut encoder, 1, &[2; 128])), None, "without a previous counter");
        assert_eq!(layout.read(&send(&mut encoder, 2, &[2; 120])), None);
        let ping = encoder.ping(1, 5);
        assert_eq!(layout.read(&ping[LENGTH_LEN..]), None);
        assert_eq!(introduced(&ping[LENGTH_LEN..]).unwrap(), (5, 1));
    }

    #[test]
    fn lengths_are_those_of_the_frames() {
        let (mut frames, mut encoder) = (Frames::default(), Encoder::new());
        let lengths = FrameLengths::of_text(128).unwrap();
        let frame = send(&mut encoder, 2, &[1; 128]);
        let answer = frames.answer(&frame).unwrap();
        assert_eq!(lengths.send, frame.len() + LENGTH_LEN);
        assert_eq!((lengths.sent, lengths.message), (answer.sent.len(), answer.message.len()));
    }

    #[test]
    fn what_is_no_send_is_an_error() {
        let (mut frames, mut encoder) = (Frames::default(), Encoder::new());
        assert!(frames.answer(&[]).is_err());
        assert!(frames.answer(&encoder.ping(1, 5)[LENGTH_LEN..]).is_err());
        let frame = send(&mut encoder, 1, &[1; 128]);
        assert!(frames.answer(&frame[..frame.len() - 1]).is_err());
        assert!(introduced(&frame).is_err());
    }
}
