//! Reads a log at a start, and refuses it if anything acknowledged could be missing.
//!
//! The log is a chain of frames whose numbers rise by one, through segments whose numbers rise by one. Where the chain
//! ends in a segment, nothing may lie behind that continues it: what is there is the tail of an earlier use, zeros, or
//! the one frame that was being written when the power went. The next segment must go on where the chain ended.

use std::io;
use std::path::Path;

use super::frame::{self, FRAME_HEADER_BYTES};
use super::segment::{self, Full, HEAD_BYTES, LogId};
use crate::table::Run;

/// A log that holds everything it has acknowledged, as far as it can know.
#[derive(Debug, Default)]
pub(crate) struct LogScan {
    /// The last commit in it; `None` if it holds none.
    pub last: Option<u64>,
    /// All segments. `last` of one without commits is that of the one before.
    pub segments: Vec<Full>,
    /// So many of them at the end hold no commit.
    pub empty: usize,
}

/// Why a log cannot be used.
#[derive(Debug)]
pub(crate) enum LogDamage {
    Io(io::Error),
    /// In words.
    Damaged(String),
}

impl From<io::Error> for LogDamage {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the log in `dir` and shows the rows of every commit above `fed`, in order. Nothing is changed.
pub(crate) fn scan(
    dir: &Path,
    id: LogId,
    fed: u64,
    mut on_commit: impl FnMut(Run),
) -> Result<LogScan, LogDamage> {
    let mut found = LogScan::default();
    for number in segment::numbers(dir)? {
        if let Some(before) = found.segments.last()
            && number != before.number + 1
        {
            return Err(LogDamage::Damaged(format!("log segment {} is missing", before.number + 1)));
        }
        let (bytes, is_whole) = segment::read(dir, id, number)?;
        if !is_whole {
            return Err(LogDamage::Damaged(format!("log segment {number} is not of this store, or damaged")));
        }
        let chain = Chain { id, number, fed, bytes: &bytes };
        let last = chain.follow(found.last, &mut on_commit).map_err(LogDamage::Damaged)?;
        found.empty = if last == found.last { found.empty + 1 } else { 0 };
        found.last = last;
        let last = last.unwrap_or(0);
        found.segments.push(Full { number, len: bytes.len() as u64, last });
    }
    match found.last {
        Some(last) if last < fed => Err(LogDamage::Damaged(format!(
            "the log ends with commit {last}, but commit {fed} was moved from it to the tables"
        ))),
        _ => Ok(found),
    }
}

struct Chain<'a> {
    id: LogId,
    number: u64,
    fed: u64,
    bytes: &'a [u8],
}

impl Chain<'_> {
    /// Follows the frames of one segment. Gives the last commit so far.
    fn follow(&self, mut last: Option<u64>, on_commit: &mut impl FnMut(Run)) -> Result<Option<u64>, String> {
        let mut at = HEAD_BYTES as usize;
        let place = |at: usize| format!("log segment {} at byte {at}", self.number);
        while let Some((head, len)) = frame::whole(&self.bytes[at..]) {
            if head.segment < self.number {
                break;
            }
            if head.tag != self.id.tag || head.segment != self.number {
                return Err(format!("{}: a commit is not of this log", place(at)));
            }
            let expected = last.map_or_else(|| head.number.min(self.fed + 1), |last| last + 1);
            if head.number != expected {
                return Err(format!("{}: commit {} stands where {expected} should", place(at), head.number));
            }
            if head.number > self.fed {
                let run = Run::from_rows(self.bytes[at..at + len].to_vec(), FRAME_HEADER_BYTES, 0);
                on_commit(run.ok_or_else(|| format!("{}: the rows of a commit are damaged", place(at)))?);
            }
            last = Some(head.number);
            at += len;
        }
        let rest = &self.bytes[at..];
        match frame::any_behind(rest, self.number, self.id.tag, last.unwrap_or(0)) {
            Some(behind) => Err(format!("{} is damaged, and commit {behind} lies behind it", place(at))),
            None => Ok(last),
        }
    }
}
