//! The frame: one length-prefixed unit in both directions, all integers little-endian.
//!
//! ```text
//! u32 length of what follows | u16 command or event | u16 flags, 0 | u32 request | owner key | u32 size | FlatBuffer
//! ```
//! The owner key is there only for commands whose row says so (16 bytes of conversation, or 8 of user). `request` is
//! chosen by the client and returned in the reply; events that answer nothing carry 0.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of the length field.
pub const LENGTH_LEN: usize = 4;
/// Bytes of the header behind the length field.
pub const HEADER_LEN: usize = 8;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Id of a command (client to node) or of an event (node to client).
    pub id: u16,
    pub request: u32,
}

/// What is wrong with a frame before its command is even known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the frame is shorter than its header")]
    Short,
    #[error("reserved flags are set")]
    Flags,
}

/// Splits a whole frame (without its length field) into header and the rest.
pub fn split(frame: &[u8]) -> Result<(Header, &[u8]), FrameError> {
    let (header, rest) = frame.split_first_chunk::<HEADER_LEN>().ok_or(FrameError::Short)?;
    let [c0, c1, f0, f1, r0, r1, r2, r3] = *header;
    if u16::from_le_bytes([f0, f1]) != 0 {
        return Err(FrameError::Flags);
    }
    Ok((Header { id: u16::from_le_bytes([c0, c1]), request: u32::from_le_bytes([r0, r1, r2, r3]) }, rest))
}

/// Appends a whole frame, length field included.
pub fn put(out: &mut BytesMut, header: Header, owner: &[u8], body: &[u8]) {
    let length = HEADER_LEN + owner.len() + body.len();
    assert!(length <= crate::limits::FRAME_LEN_MAX, "a frame of {length} bytes was built");
    out.reserve(LENGTH_LEN + length);
    out.put_u32_le(length as u32);
    out.put_u16_le(header.id);
    out.put_u16_le(0);
    out.put_u32_le(header.request);
    out.put_slice(owner);
    out.put_slice(body);
}

/// A whole frame, length field included.
pub fn build(header: Header, owner: &[u8], body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(LENGTH_LEN + HEADER_LEN + owner.len() + body.len());
    put(&mut out, header, owner, body);
    out.freeze()
}

/// The frames in a buffer of whole ones, without their length fields. What is left at the end and is not whole is not
/// given.
pub fn frames(buffer: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = buffer;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<LENGTH_LEN>()?;
        let (frame, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = behind;
        Some(frame)
    })
}

/// Cuts a stream of bytes into frames. Used by clients; the node cuts in place in its receive buffers.
#[derive(Debug, Default)]
pub struct Splitter {
    bytes: BytesMut,
}

/// The peer announced a frame longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes is longer than the allowed {length_max}")]
pub struct TooLong {
    pub length: usize,
    pub length_max: usize,
}

impl Splitter {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame without its length field; `None` until more bytes are pushed.
    pub fn next_frame(&mut self, length_max: usize) -> Result<Option<Bytes>, TooLong> {
        let Some(field) = self.bytes.first_chunk::<LENGTH_LEN>() else { return Ok(None) };
        let length = u32::from_le_bytes(*field) as usize;
        if length > length_max {
            return Err(TooLong { length, length_max });
        }
        if self.bytes.len() < LENGTH_LEN + length {
            return Ok(None);
        }
        let mut frame = self.bytes.split_to(LENGTH_LEN + length);
        Ok(Some(frame.split_off(LENGTH_LEN).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitter_gives_back_what_was_built_however_it_is_cut() {
        let a = build(Header { id: 7, request: 9 }, b"owner", b"body");
        let b = build(Header { id: 1, request: 0 }, b"", b"");
        let stream = [&a[..], &b[..]].concat();
        for cut in 0..stream.len() {
            let mut splitter = Splitter::default();
            let mut frames = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                splitter.push(part);
                while let Some(frame) = splitter.next_frame(100).expect("short frames") {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [a.slice(LENGTH_LEN..), b.slice(LENGTH_LEN..)]);
            let whole = super::frames(&stream[..cut]).count();
            assert_eq!(whole, usize::from(cut >= a.len()) + usize::from(cut == stream.len()));
            let (header, rest) = split(&frames[0]).expect("a whole header");
            assert_eq!((header, rest), (Header { id: 7, request: 9 }, &b"ownerbody"[..]));
        }
    }

    #[test]
    fn an_announced_length_over_the_limit_is_refused_before_it_arrives() {
        let mut splitter = Splitter::default();
        splitter.push(&101u32.to_le_bytes());
        assert_eq!(splitter.next_frame(100), Err(TooLong { length: 101, length_max: 100 }));
    }
}
