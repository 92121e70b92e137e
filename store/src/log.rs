//! The log of one store shard: the point where a commit becomes durable.
//!
//! A group commit is one frame, written with one call and synced with one fdatasync. Segments of [`Segment`] hold the
//! frames; the feeder makes the next segment ready before the committer needs it, and uses those again whose rows are
//! all in fjall. If the next one is not ready in time, the committer goes on in the one it has, which then grows.

mod frame;
mod scan;
mod segment;

use std::collections::VecDeque;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub(crate) use frame::{FRAME_HEADER_BYTES, FrameHead, begin};
pub(crate) use scan::{LogDamage, LogScan, scan};
pub(crate) use segment::{Durability, LogId};
use segment::{Full, Segment};

use crate::folder::sync_folder;

/// The first segment; each new one is twice as long as the one before, so that an idle store takes little space.
const SEGMENT_BYTES_MIN: u64 = 1024 * 1024;
/// Segments kept for later use: what fills between two feeds.
const SPARES_MAX: usize = 4;

/// The committer's end.
#[derive(Debug)]
pub(crate) struct LogWriter {
    id: LogId,
    current: Segment,
    shared: Arc<Shared>,
}

/// The feeder's end.
#[derive(Debug)]
pub(crate) struct LogKeeper {
    dir: PathBuf,
    id: LogId,
    segment_bytes_max: u64,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Ready for when the current segment is full.
    next: Option<Segment>,
    /// Segments that were filled, oldest first.
    full: VecDeque<Full>,
    /// Commits up to here are in fjall.
    fed: u64,
    current_bytes: u64,
    /// The highest number that a segment has.
    number: u64,
    /// Length of the newest segment.
    newest_bytes: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the log's lock panics")
    }
}

/// What an append took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    pub sync: Duration,
    /// A new segment was begun, and the one after it is not there yet.
    pub segment_wanted: bool,
}

/// Goes on with a log that was read, in a segment without commits. Commits up to `fed` are in fjall.
pub(crate) fn open(
    dir: &Path,
    id: LogId,
    found: LogScan,
    fed: u64,
    segment_bytes_max: u64,
) -> io::Result<(LogWriter, LogKeeper)> {
    if !dir.is_dir() {
        DirBuilder::new().mode(0o700).create(dir)?;
        sync_folder(dir.parent().expect("a log lies in a data folder"))?;
    }
    segment::remove_part(dir)?;
    let LogScan { mut segments, mut empty, .. } = found;
    while empty > 2 {
        segment::remove(dir, segments.pop().expect("the empty ones are the last").number)?;
        empty -= 1;
    }
    let mut unused = segments.split_off(segments.len() - empty).into_iter();
    let current = match unused.next() {
        Some(full) => Segment::open(dir, &full)?,
        None => {
            let number = segments.last().map_or(0, |segment| segment.number) + 1;
            Segment::create(dir, id, number, SEGMENT_BYTES_MIN)?
        }
    };
    let next = unused.next().map(|full| Segment::open(dir, &full)).transpose()?;
    let newest = next.as_ref().unwrap_or(&current);
    let state = State {
        fed,
        current_bytes: current.len(),
        number: newest.number,
        newest_bytes: newest.len(),
        next,
        full: segments.into(),
    };
    let shared = Arc::new(Shared { state: Mutex::new(state) });
    let keeper = LogKeeper { dir: dir.to_owned(), id, segment_bytes_max, shared: shared.clone() };
    Ok((LogWriter { id, current, shared }, keeper))
}

/// Removes a log that holds no commit, as an upgrade that was cut short leaves it.
pub(crate) fn discard_empty(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

impl LogWriter {
    /// Completes the frame that [`begin`] has begun and writes it. When this returns without an error, the commit
    /// survives a power cut (unless `durability` says otherwise); after an error it may or may not be on disk.
    pub(crate) fn append(
        &mut self,
        frame: &mut [u8],
        number: u64,
        term: u64,
        durability: Durability,
    ) -> io::Result<Appended> {
        let mut segment_wanted = false;
        if !self.current.fits(frame.len()) && !self.current.is_empty() {
            segment_wanted = self.begin_next(number - 1);
        }
        frame::seal(frame, FrameHead { segment: self.current.number, number, tag: self.id.tag, term });
        self.current.write(frame)?;
        let written = Instant::now();
        if durability == Durability::Synced {
            self.current.sync()?;
        }
        Ok(Appended { sync: written.elapsed(), segment_wanted })
    }

    /// Goes over to the next segment if it is ready. True if the feeder should make another.
    fn begin_next(&mut self, last: u64) -> bool {
        let mut state = self.shared.lock();
        if let Some(next) = state.next.take() {
            state.current_bytes = next.len();
            let full = std::mem::replace(&mut self.current, next).into_full(last);
            state.full.push_back(full);
        }
        true
    }
}

impl LogKeeper {
    /// Makes the next segment ready, if it is not: one whose commits are all in fjall, or a new one.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let (old, number, newest_bytes) = {
            let mut state = self.shared.lock();
            if state.next.is_some() {
                return Ok(());
            }
            let reusable =
                |oldest: &&Full| (self.segment_bytes_max..=self.segment_bytes_max * 2).contains(&oldest.len);
            let old = match state.spares() {
                0 => None,
                _ if state.full.front().filter(reusable).is_some() => state.full.pop_front(),
                _ => None,
            };
            (old, state.number + 1, state.newest_bytes)
        };
        let next = match &old {
            Some(old) => Segment::recycle(&self.dir, self.id, old, number),
            None => {
                let bytes = (newest_bytes * 2).min(self.segment_bytes_max).max(SEGMENT_BYTES_MIN);
                Segment::create(&self.dir, self.id, number, bytes)
            }
        };
        let next = next.inspect_err(|_| {
            // On a full disk half a segment would only be in the way.
            let _ = segment::remove_part(&self.dir);
        })?;
        let mut state = self.shared.lock();
        state.number = number;
        state.newest_bytes = next.len();
        state.next = Some(next);
        Ok(())
    }

    /// Commits up to `fed` are in fjall. Some of the segments that nobody needs any more are kept for later use.
    pub(crate) fn release(&self, fed: u64) -> io::Result<()> {
        self.shared.lock().fed = fed;
        loop {
            let old = {
                let mut state = self.shared.lock();
                if state.spares() <= SPARES_MAX {
                    return Ok(());
                }
                state.full.pop_front().expect("there are spares")
            };
            segment::remove(&self.dir, old.number)?;
        }
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.shared.lock();
        let next = state.next.as_ref().map_or(0, Segment::len);
        state.full.iter().map(|full| full.len).sum::<u64>() + next + state.current_bytes
    }
}

impl State {
    /// How many segments hold nothing that is not in fjall.
    fn spares(&self) -> usize {
        self.full.iter().take_while(|full| full.last <= self.fed).count()
    }
}

#[cfg(test)]
mod tests {
    use record::kv::StoreShardId;

    use super::*;

    const ID: LogId = LogId { shard: StoreShardId(0), tag: 0x5eed };

    fn frame(number: u64, bytes: usize) -> Vec<u8> {
        let mut frame = begin(bytes);
        for row in 0..bytes / 1_000 {
            let (key, value) = (format!("{number:06}-{row:03}"), vec![row as u8; 987]);
            frame.push(key.len() as u8);
            frame.extend((value.len() as u16).to_le_bytes());
            frame.extend(key.as_bytes());
            frame.extend(value);
        }
        frame
    }

    fn append(writer: &mut LogWriter, number: u64) -> bool {
        let mut frame = frame(number, 200_000);
        writer.append(&mut frame, number, 1, Durability::Synced).unwrap().segment_wanted
    }

    fn read(dir: &Path, fed: u64) -> (LogScan, usize) {
        let mut commits = 0;
        let found = scan(dir, ID, fed, |_| commits += 1).unwrap();
        (found, commits)
    }

    fn start(dir: &Path, fed: u64) -> (LogWriter, LogKeeper) {
        let found = if dir.exists() { read(dir, fed).0 } else { LogScan::default() };
        open(dir, ID, found, fed, SEGMENT_BYTES_MIN).unwrap()
    }

    /// Commits go through segments that are used over and over; at every moment a start finds what is not fed.
    #[test]
    fn segments_are_used_again_and_no_commit_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        let (mut writer, mut keeper) = start(&dir, 0);
        let mut fed = 0;
        for number in 1..=120 {
            if append(&mut writer, number) {
                keeper.prepare().unwrap();
            }
            if number % 23 == 0 {
                fed = number - 7;
                keeper.release(fed).unwrap();
            }
            if number % 31 == 0 {
                (writer, keeper) = start(&dir, fed);
            }
            // Reading takes long, so not after each.
            if number % 7 != 0 && number % 31 > 1 {
                continue;
            }
            let (found, commits) = read(&dir, fed);
            assert_eq!((found.last, commits as u64), (Some(number), number - fed));
            assert!(found.segments.len() <= 4 + SPARES_MAX + 8, "{number}: {found:?}");
        }
        let numbers = segment::numbers(&dir).unwrap();
        assert!(numbers[0] > 10, "the first ones are gone: {numbers:?}");
    }

    #[test]
    fn without_a_next_segment_the_current_one_grows() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        let (mut writer, _keeper) = start(&dir, 0);
        let wanted = (1..=20).filter(|number| append(&mut writer, *number)).count();
        assert!(wanted > 0);
        let (found, commits) = read(&dir, 0);
        assert_eq!((found.segments.len(), commits), (1, 20));
        assert!(found.segments[0].len > 4_000_000);
    }

    #[test]
    fn a_frame_larger_than_a_segment_is_written_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        let (mut writer, _keeper) = start(&dir, 0);
        let mut large = frame(1, 3_000_000);
        writer.append(&mut large, 1, 1, Durability::Synced).unwrap();
        assert_eq!(read(&dir, 0).1, 1);
    }

    #[test]
    fn a_log_that_ends_before_what_was_fed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        let (mut writer, _keeper) = start(&dir, 0);
        (1..=3).for_each(|number| assert!(!append(&mut writer, number)));
        let refused = scan(&dir, ID, 4, |_| {});
        assert!(matches!(refused, Err(LogDamage::Damaged(what)) if what.contains("ends with commit 3")));
        assert_eq!(scan(&dir, ID, 3, |_| panic!("all is fed")).unwrap().last, Some(3));
    }
}
