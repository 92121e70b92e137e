//! One group commit in the log.
//!
//! ```text
//! checksum:u64   xxh3 over all that follows
//! magic:u32      body length:u32
//! segment:u64    the segment it was written to: what is left of a segment's earlier use does not pass for new
//! number:u64     rises by one with each commit of the store shard
//! tag:u64        the data folder's, so that bytes which a peer chose never pass for a commit
//! term:u64       under which it was written
//! rows           as the batches had them, see `table::run`
//! ```
//! all little-endian.

use memchr::memmem;
use xxhash_rust::xxh3::xxh3_64;

pub(crate) const FRAME_HEADER_BYTES: usize = 48;
const MAGIC: u32 = u32::from_le_bytes(*b"RTf1");
const TAG_AT: usize = 32;
/// Most that a damaged length can make a reader believe: far above a group commit, far below the memory there is.
const BODY_BYTES_MAX: usize = 1 << 30;

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub segment: u64,
    pub number: u64,
    pub tag: u64,
    pub term: u64,
}

/// Makes room for a head; rows follow, and [`seal`] completes the frame.
pub(crate) fn begin(body_bytes: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + body_bytes);
    frame.resize(FRAME_HEADER_BYTES, 0);
    frame
}

pub(crate) fn seal(frame: &mut [u8], head: FrameHead) {
    let body_bytes = frame.len() - FRAME_HEADER_BYTES;
    assert!(body_bytes <= BODY_BYTES_MAX, "a group of {body_bytes} bytes");
    frame[8..12].copy_from_slice(&MAGIC.to_le_bytes());
    frame[12..16].copy_from_slice(&(body_bytes as u32).to_le_bytes());
    frame[16..24].copy_from_slice(&head.segment.to_le_bytes());
    frame[24..32].copy_from_slice(&head.number.to_le_bytes());
    frame[TAG_AT..40].copy_from_slice(&head.tag.to_le_bytes());
    frame[40..48].copy_from_slice(&head.term.to_le_bytes());
    let checksum = xxh3_64(&frame[8..]);
    frame[..8].copy_from_slice(&checksum.to_le_bytes());
}

/// The whole frame at the start of `bytes`, with its length; `None` if there is none.
pub(crate) fn whole(bytes: &[u8]) -> Option<(FrameHead, usize)> {
    let (head, len) = claimed(bytes)?;
    let frame = bytes.get(..len)?;
    (xxh3_64(&frame[8..]).to_le_bytes() == frame[..8]).then_some((head, len))
}

/// A whole frame anywhere in `bytes` of this segment and folder, with a number above `number`.
pub(crate) fn any_behind(bytes: &[u8], segment: u64, tag: u64, number: u64) -> Option<u64> {
    memmem::find_iter(bytes, &tag.to_le_bytes()).find_map(|at| {
        let from = bytes.get(at.checked_sub(TAG_AT)?..)?;
        let wanted = |head: &FrameHead| head.segment == segment && head.number > number;
        // The head first: a checksum per trace of an earlier use would take long.
        let (head, _) = claimed(from).filter(|(head, _)| wanted(head)).and_then(|_| whole(from))?;
        Some(head.number)
    })
}

/// What the head says, unchecked.
fn claimed(bytes: &[u8]) -> Option<(FrameHead, usize)> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let body_bytes = (number(8) >> 32) as usize;
    if number(8) as u32 != MAGIC || body_bytes > BODY_BYTES_MAX {
        return None;
    }
    let head = FrameHead { segment: number(16), number: number(24), tag: number(TAG_AT), term: number(40) };
    Some((head, FRAME_HEADER_BYTES + body_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: FrameHead = FrameHead { segment: 3, number: 7, tag: 0x5eed_5eed_5eed, term: 2 };

    fn frame(head: FrameHead, body: &[u8]) -> Vec<u8> {
        let mut frame = begin(body.len());
        frame.extend_from_slice(body);
        seal(&mut frame, head);
        frame
    }

    #[test]
    fn any_change_of_a_frame_is_seen() {
        let written = frame(HEAD, b"some rows");
        assert_eq!(whole(&[&written[..], &[9; 5]].concat()), Some((HEAD, written.len())));
        for at in 0..written.len() {
            let mut damaged = written.clone();
            damaged[at] ^= 0x20;
            assert_eq!(whole(&damaged), None, "byte {at}");
            assert_eq!(whole(&written[..at]), None, "cut at {at}");
        }
        assert_eq!(whole(&[0; 100]), None);
    }

    #[test]
    fn a_frame_behind_damage_is_found_unless_it_is_old_or_foreign() {
        let found = |frame: &[u8], number| {
            let bytes = [&[0xab; 70][..], frame, &[0; 9]].concat();
            any_behind(&bytes, HEAD.segment, HEAD.tag, number)
        };
        assert_eq!(found(&frame(HEAD, b"rows"), 6), Some(7));
        assert_eq!(found(&frame(HEAD, b"rows"), 7), None);
        assert_eq!(found(&frame(FrameHead { segment: 2, ..HEAD }, b"rows"), 6), None);
        assert_eq!(found(&frame(FrameHead { tag: 1, ..HEAD }, b"rows"), 6), None);
        let torn = frame(HEAD, b"rows");
        assert_eq!(found(&torn[..torn.len() - 1], 6), None);
        let inside = frame(FrameHead { number: 9, ..HEAD }, &frame(HEAD, b"inner"));
        assert_eq!(found(&inside[20..], 6), Some(7), "wherever it begins");
    }
}
