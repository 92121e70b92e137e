//! The frame of a send, built once for each sender: the load writes only numbers over it.

use wire::message::{BodyKind, Send};
use wire::{ConversationId, Encoder};

use crate::driver::STAMP_LEN;

/// Numbers that stand nowhere else in a frame: where they are found, those of a send are written.
const REQUEST: u32 = 0xa55a_c33c;
const COUNTER: u64 = 0xb1b2_b3b4_b5b6_b7b8;
const PREVIOUS: u64 = 0xc1c2_c3c4_c5c6_c7c8;
const STAMP: u64 = 0xd1d2_d3d4_d5d6_d7d8;

/// A whole frame of one sender, with the places of what changes.
#[derive(Debug)]
pub(super) struct SendFrame {
    bytes: Vec<u8>,
    request: usize,
    counter: usize,
    previous: usize,
    stamp: usize,
}

impl SendFrame {
    /// `text` is the body; its first [`STAMP_LEN`] bytes are the stamp.
    pub(super) fn new(encoder: &mut Encoder, conversation: ConversationId, text: &[u8]) -> Self {
        let mut body = text.to_vec();
        body[..STAMP_LEN].copy_from_slice(&STAMP.to_le_bytes());
        let send = Send::plain(COUNTER, PREVIOUS, BodyKind::Opaque, &body);
        let bytes = encoder.send(REQUEST, conversation, &send).to_vec();
        let place = |number: &[u8]| {
            let mut places = bytes.windows(number.len()).enumerate().filter(|(_, part)| *part == number);
            let (place, _) = places.next().expect("a number of the send");
            assert!(places.next().is_none(), "a number of the send stands in it once");
            place
        };
        Self {
            request: place(&REQUEST.to_le_bytes()),
            counter: place(&COUNTER.to_le_bytes()),
            previous: place(&PREVIOUS.to_le_bytes()),
            stamp: place(&STAMP.to_le_bytes()),
            bytes,
        }
    }

    /// The frame of the send with this counter, which follows the one before it.
    pub(super) fn with(&mut self, counter: u64, stamp: u64) -> &[u8] {
        let Self { bytes, request, counter: at, previous, stamp: stamped } = self;
        bytes[*request..][..4].copy_from_slice(&(counter as u32).to_le_bytes());
        bytes[*at..][..8].copy_from_slice(&counter.to_le_bytes());
        bytes[*previous..][..8].copy_from_slice(&(counter - 1).to_le_bytes());
        bytes[*stamped..][..STAMP_LEN].copy_from_slice(&stamp.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::UserId;

    #[test]
    fn frames_are_those_of_the_encoder() {
        let mut encoder = Encoder::new();
        let chat = ConversationId::private(UserId(1 << 10), UserId(2 << 10)).unwrap();
        let mut frame = SendFrame::new(&mut encoder, chat, &[b'x'; 128]);
        for counter in [2_u64, 3, 70_000] {
            let mut body = [b'x'; 128];
            body[..STAMP_LEN].copy_from_slice(&(counter * 7).to_le_bytes());
            let send = Send::plain(counter, counter - 1, BodyKind::Opaque, &body);
            let built = encoder.send(counter as u32, chat, &send);
            assert_eq!(frame.with(counter, counter * 7), &built[..]);
        }
    }
}
