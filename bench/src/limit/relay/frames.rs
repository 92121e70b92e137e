//! The relay's frames: those of the node for the same text, built once and patched in place.
//!
//! A client cannot tell them from the node's, so it does the same work for both; the relay does none but copying.

use anyhow::{Context, Result, bail};
use wire::Command;
use wire::frame::{self, HEADER_LEN, LENGTH_LEN};
use wire::ids::CONVERSATION_ID_LEN;
use wire::message::{BodyKind, EntryKind, EntryView, Place, Send, Sent};
use wire::{ConversationId, DeviceId, Encoder, UserId, body, verified};

/// Where the request stands in a frame without its length field.
const REQUEST_AT: usize = 4;
/// Where the FlatBuffer of a `Send` begins in a frame without its length field.
const SEND_BODY_AT: usize = HEADER_LEN + CONVERSATION_ID_LEN;

// Values that no other part of a frame has, to find the fields by.
const COUNTER_MARK: u64 = 0x1122_3344_5566_7788;
const SEQ_MARK: u64 = 0x2233_4455_6677_8899;
const USER_MARKS: [UserId; 2] = [UserId(0x0033_4455), UserId(0x0044_5566)];
const TIME_MS: u64 = 1 << 40;
const EPOCH: u32 = 1;

/// What a `Send` asks for: two frames, length fields included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// For the sender.
    pub sent: &'a [u8],
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

/// Makes answers. The layout of the last text is kept: texts of one length cost a few copies each.
#[derive(Debug, Default)]
pub struct Frames {
    layout: Option<Layout>,
    encoder: Encoder,
}

/// Where everything stands in the frames of one length of text.
#[derive(Debug)]
struct Layout {
    text_len: usize,
    send: SendLayout,
    sent: SentFrame,
    message: MessageFrame,
}

#[derive(Debug)]
struct SendLayout {
    len: usize,
    counter_at: usize,
    text_at: usize,
}

#[derive(Debug)]
struct SentFrame {
    bytes: Vec<u8>,
    counter_at: usize,
    seq_at: usize,
}

#[derive(Debug)]
struct MessageFrame {
    bytes: Vec<u8>,
    counter_at: usize,
    seq_at: usize,
    text_at: usize,
}

/// What is read of a `Send`.
struct Sending<'a> {
    request: [u8; 4],
    counter: u64,
    text: &'a [u8],
}

impl Frames {
    /// The answer to a frame (without its length field) of a client. `seq` is the counter: each sender's rises by one,
    /// and only he writes to the other one of his pair.
    pub fn answer(&mut self, frame: &[u8]) -> Result<Answer<'_>> {
        let sending = match self.layout.as_ref().and_then(|layout| layout.read(frame)) {
            Some(sending) => sending,
            None => {
                let (sending, kind) = decode(frame)?;
                if self.layout.as_ref().is_none_or(|layout| layout.text_len != sending.text.len()) {
                    self.layout = Some(Layout::new(&mut self.encoder, sending.text.len(), kind)?);
                }
                sending
            }
        };
        let layout = self.layout.as_mut().expect("made above");
        layout.sent.fill(&sending);
        layout.message.fill(&sending);
        Ok(Answer { sent: &layout.sent.bytes, message: &layout.message.bytes })
    }
}

impl FrameLengths {
    /// Of a text of so many bytes.
    pub fn of_text(text_len: usize) -> Result<Self> {
        let layout = Layout::new(&mut Encoder::new(), text_len, BodyKind::Opaque)?;
        Ok(Self {
            send: LENGTH_LEN + layout.send.len,
            sent: layout.sent.bytes.len(),
            message: layout.message.bytes.len(),
        })
    }
}

impl Layout {
    fn new(encoder: &mut Encoder, text_len: usize, body_kind: BodyKind) -> Result<Self> {
        let text = vec![b'x'; text_len];
        let conversation = ConversationId::private(USER_MARKS[0], USER_MARKS[1]).context("two users")?;
        let place = Place { seq: SEQ_MARK, ord: SEQ_MARK + 1 };
        let send = Send { counter: COUNTER_MARK, previous: COUNTER_MARK - 1, body_kind, body: &text };
        let sent = Sent { conversation, counter: COUNTER_MARK, place, time_ms: TIME_MS, epoch: EPOCH };
        let entry = EntryView {
            place,
            time_ms: TIME_MS,
            sender: USER_MARKS[0],
            device: DeviceId(1),
            counter: COUNTER_MARK,
            kind: EntryKind::Message,
            body_kind,
            body: &text,
        };
        Ok(Self {
            text_len,
            send: SendLayout::of(&encoder.send(1, conversation, &send)[LENGTH_LEN..])?,
            sent: SentFrame::of(&encoder.sent(1, &sent))?,
            message: MessageFrame::of(&encoder.message(conversation, EPOCH, &entry))?,
        })
    }

    /// Reads a frame that has this layout; `None`: it has another one.
    fn read<'a>(&self, frame: &'a [u8]) -> Option<Sending<'a>> {
        let SendLayout { len, counter_at, text_at } = self.send;
        let header: [u8; 8] = *frame.first_chunk()?;
        let [id, id_high, flags, flags_high, request @ ..] = header;
        let is_send = [id, id_high] == Command::Send.id().to_le_bytes() && [flags, flags_high] == [0, 0];
        if frame.len() != len || !is_send {
            return None;
        }
        let announced = u32::from_le_bytes(frame[text_at - 4..text_at].try_into().expect("4 bytes"));
        if announced as usize != self.text_len {
            return None;
        }
        let counter = u64::from_le_bytes(frame[counter_at..counter_at + 8].try_into().expect("8 bytes"));
        Some(Sending { request, counter, text: &frame[text_at..text_at + self.text_len] })
    }
}

/// Reads a frame whose layout is not known: the first of each sender has no `previous`.
fn decode(frame: &[u8]) -> Result<(Sending<'_>, BodyKind)> {
    let (header, rest) = frame::split(frame)?;
    if header.id != Command::Send.id() {
        bail!("a frame with id {} instead of a send", header.id);
    }
    let bytes = rest.get(CONVERSATION_ID_LEN..).context("a send without its conversation")?;
    let view = verified::view::<body::Send>(bytes).context("a broken send")?;
    let text = view.body().context("a send without a text")?.bytes();
    let request = header.request.to_le_bytes();
    Ok((Sending { request, counter: view.counter(), text }, view.body_kind()))
}

impl SendLayout {
    /// Of a frame without its length field.
    fn of(frame: &[u8]) -> Result<Self> {
        let view = verified::view::<body::Send>(&frame[SEND_BODY_AT..])?;
        let text = view.body().context("it has a text")?.bytes();
        Ok(Self {
            len: frame.len(),
            counter_at: position_of(frame, COUNTER_MARK)?,
            text_at: position_in(frame, text),
        })
    }
}

impl SentFrame {
    fn of(frame: &[u8]) -> Result<Self> {
        let (counter_at, seq_at) = (position_of(frame, COUNTER_MARK)?, position_of(frame, SEQ_MARK)?);
        Ok(Self { bytes: frame.to_vec(), counter_at, seq_at })
    }

    fn fill(&mut self, sending: &Sending<'_>) {
        put(&mut self.bytes, LENGTH_LEN + REQUEST_AT, &sending.request);
        put(&mut self.bytes, self.counter_at, &sending.counter.to_le_bytes());
        put(&mut self.bytes, self.seq_at, &sending.counter.to_le_bytes());
    }
}

impl MessageFrame {
    fn of(frame: &[u8]) -> Result<Self> {
        let view = verified::view::<body::Message>(&frame[LENGTH_LEN + HEADER_LEN..])?;
        let text = view.entry().and_then(|entry| entry.body()).context("it has a text")?.bytes();
        Ok(Self {
            bytes: frame.to_vec(),
            counter_at: position_of(frame, COUNTER_MARK)?,
            seq_at: position_of(frame, SEQ_MARK)?,
            text_at: position_in(frame, text),
        })
    }

    fn fill(&mut self, sending: &Sending<'_>) {
        put(&mut self.bytes, self.counter_at, &sending.counter.to_le_bytes());
        put(&mut self.bytes, self.seq_at, &sending.counter.to_le_bytes());
        put(&mut self.bytes, self.text_at, sending.text);
    }
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Where a number stands, which must be there once.
fn position_of(frame: &[u8], mark: u64) -> Result<usize> {
    let mark = mark.to_le_bytes();
    let mut found = frame.windows(mark.len()).enumerate().filter(|(_, bytes)| *bytes == mark);
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        _ => bail!("the frame's layout cannot be told from its bytes"),
    }
}

/// Where a part of a frame begins in it.
fn position_in(frame: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - frame.as_ptr() as usize
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

    fn send(encoder: &mut Encoder, counter: u64, text: &[u8]) -> Vec<u8> {
        let conversation = ConversationId::private(UserId(7 << 10), UserId(9 << 10)).unwrap();
        let send = Send { counter, previous: counter - 1, body_kind: BodyKind::Opaque, body: text };
        encoder.send(counter as u32 + 100, conversation, &send)[LENGTH_LEN..].to_vec()
    }

    fn check(frames: &mut Frames, frame: &[u8], counter: u64, text: &[u8]) {
        let answer = frames.answer(frame).unwrap();
        for frame in [answer.sent, answer.message] {
            let length = u32::from_le_bytes(*frame.first_chunk().unwrap()) as usize;
            assert_eq!(length, frame.len() - LENGTH_LEN);
        }
        let sent = decode_event(&bytes::Bytes::copy_from_slice(&answer.sent[LENGTH_LEN..])).unwrap();
        assert_eq!(sent.request, counter as u32 + 100);
        let EventBody::Sent(sent) = sent.event else { panic!("{sent:?}") };
        assert_eq!((sent.counter, sent.place.seq), (counter, counter));
        let message = decode_event(&bytes::Bytes::copy_from_slice(&answer.message[LENGTH_LEN..])).unwrap();
        let EventBody::Message(message) = message.event else { panic!("{message:?}") };
        assert_eq!((message.entry.counter, message.entry.place.seq), (counter, counter));
        assert_eq!(message.entry.body, text);
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
    fn a_known_layout_is_read_without_decoding() {
        let (mut frames, mut encoder) = (Frames::default(), Encoder::new());
        frames.answer(&send(&mut encoder, 1, &[1; 128])).unwrap();
        let layout = frames.layout.as_ref().unwrap();
        assert!(layout.read(&send(&mut encoder, 2, &[2; 128])).is_some());
        assert!(layout.read(&send(&mut encoder, 1, &[2; 128])).is_none(), "without a previous counter");
        assert!(layout.read(&send(&mut encoder, 2, &[2; 120])).is_none());
        let ping = encoder.ping(1, 5);
        assert!(layout.read(&ping[LENGTH_LEN..]).is_none());
        assert_eq!(introduced(&ping[LENGTH_LEN..]).unwrap(), (5, 1));
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
