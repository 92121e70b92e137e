//! One file of the log: a head of one page, and frames one after the other.
//!
//! A segment has its full length, and all its blocks on disk, before the first commit goes to it, so that a sync
//! writes data and nothing else. One whose rows are all in fjall is used again under a new number: what it held before
//! is told apart by the number that each frame carries.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use record::kv::StoreShardId;
use xxhash_rust::xxh3::xxh3_64;

use crate::folder::sync_folder;

/// Frames begin behind the head.
pub(crate) const HEAD_BYTES: u64 = 4_096;
const MAGIC: [u8; 8] = *b"rt-log01";
/// Magic, tag, number, store shard, checksum.
const ENTRY_BYTES: usize = 40;
/// The name under which a segment is made.
const PART: &str = "next.part";
const SUFFIX: &str = ".log";
const ZEROS_BYTES: usize = 256 * 1024;

/// Which log a segment is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogId {
    pub shard: StoreShardId,
    /// The data folder's.
    pub tag: u64,
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Synced,
    /// For tests that must see a durability test fail.
    #[cfg_attr(not(feature = "fault-injection"), allow(dead_code))]
    Unsynced,
}

/// A segment that is open for writing.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    pub number: u64,
    /// Where the next frame goes.
    end: u64,
    /// Up to here the file has its blocks.
    len: u64,
}

/// A segment that gets no further frame.
#[derive(Clone, Debug)]
pub(crate) struct Full {
    pub number: u64,
    pub len: u64,
    /// The last commit in it or before it.
    pub last: u64,
}

impl Segment {
    /// Makes a new segment of `len` bytes. When this returns, it survives a power cut.
    pub(crate) fn create(dir: &Path, id: LogId, number: u64, len: u64) -> io::Result<Self> {
        let part = dir.join(PART);
        let file =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&part)?;
        let zeros = vec![0; ZEROS_BYTES];
        let mut at = 0;
        while at < len {
            let count = (len - at).min(ZEROS_BYTES as u64);
            file.write_all_at(&zeros[..count as usize], at)?;
            at += count;
        }
        Self::finish(dir, file, id, number, len)
    }

    /// Makes the segment `old` that nobody needs any more the segment `number`.
    pub(crate) fn recycle(dir: &Path, id: LogId, old: &Full, number: u64) -> io::Result<Self> {
        let part = dir.join(PART);
        fs::rename(segment_path(dir, old.number), &part)?;
        // The old name is gone before its head is: no power cut leaves a segment under a number that is not its own.
        sync_folder(dir)?;
        let file = OpenOptions::new().read(true).write(true).open(&part)?;
        Self::finish(dir, file, id, number, old.len)
    }

    fn finish(dir: &Path, file: File, id: LogId, number: u64, len: u64) -> io::Result<Self> {
        file.write_all_at(&head_of(id, number), 0)?;
        file.sync_all()?;
        fs::rename(dir.join(PART), segment_path(dir, number))?;
        sync_folder(dir)?;
        Ok(Self { file, number, end: HEAD_BYTES, len })
    }

    /// Opens a segment that holds no commit.
    pub(crate) fn open(dir: &Path, unused: &Full) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(segment_path(dir, unused.number))?;
        Ok(Self { file, number: unused.number, end: HEAD_BYTES, len: unused.len })
    }

    /// Whether a frame fits without making the file longer.
    pub(crate) fn fits(&self, frame_bytes: usize) -> bool {
        self.end + frame_bytes as u64 <= self.len
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written to it.
    pub(crate) fn is_empty(&self) -> bool {
        self.end == HEAD_BYTES
    }

    /// Writes a frame. It makes the file longer if it has to.
    pub(crate) fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.file.write_all_at(frame, self.end)?;
        self.end += frame.len() as u64;
        self.len = self.len.max(self.end);
        Ok(())
    }

    /// When this returns, what was written survives a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(crate) fn into_full(self, last: u64) -> Full {
        Full { number: self.number, len: self.len, last }
    }
}

pub(crate) fn remove(dir: &Path, number: u64) -> io::Result<()> {
    fs::remove_file(segment_path(dir, number))
}

/// What making a segment left behind when it was cut short.
pub(crate) fn remove_part(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(PART)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Numbers of the segments in a folder, in order.
pub(crate) fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(stem) = stem {
            let number =
                stem.parse().map_err(|_| io::Error::other(format!("{stem}{SUFFIX} has no number")))?;
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The bytes of a segment, and whether it is the one it should be. When this returns, they survive a power cut: they
/// may have been written by a process that was killed before it synced them.
pub(crate) fn read(dir: &Path, id: LogId, number: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(segment_path(dir, number))?;
    file.sync_data()?;
    // After a sync that failed in an earlier process the cache may hold clean pages that the disk never got: what counts is
    // what the disk has.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let is_whole = bytes.get(..HEAD_BYTES as usize) == Some(&head_of(id, number)[..]);
    Ok((bytes, is_whole))
}

pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}{SUFFIX}"))
}

fn head_of(id: LogId, number: u64) -> [u8; HEAD_BYTES as usize] {
    let mut head = [0; HEAD_BYTES as usize];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&id.tag.to_le_bytes());
    head[16..24].copy_from_slice(&number.to_le_bytes());
    head[24..32].copy_from_slice(&u64::from(id.shard.0).to_le_bytes());
    let checksum = xxh3_64(&head[..32]);
    head[32..ENTRY_BYTES].copy_from_slice(&checksum.to_le_bytes());
    head
}
