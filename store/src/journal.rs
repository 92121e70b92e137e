//! Reads fjall's journals without fjall: for folders of format 1, where they were the commit point.
//!
//! fjall 3.1.13 cuts a journal off at the first thing it cannot read, on disk and without an error, or refuses to open
//! at all; which of the two depends on where the damage lies. So the start that upgrades such a folder looks first, and lets fjall at a shard
//! only if all that it would cut off is a commit that was never acknowledged. `repair` takes its decision from the
//! same look.
//!
//! A journal is a row of commits and then zeros, or the end of the file:
//! ```text
//! start   1u8  items:u32  seqno:u64
//! item    2u8  value type:u8  compression:u8  keyspace:u64  key length:u16  value length:u32  stored length:u32  key  value
//! clear   4u8  keyspace:u64
//! end     3u8  checksum:u64 (xxh3 over the items and clears)  "FJL" 3u8
//! ```
//! all little-endian. The first item of each commit is our stamp, whose number rises by one.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::database::{STAMP_BYTES, STAMP_KEY, Stamp};

const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const TAG_CLEAR: u8 = 4;
const TRAILER: [u8; 4] = *b"FJL\x03";
const START_BYTES: usize = 13;
const ITEM_HEADER_BYTES: usize = 21;
/// No store gets this far: it is a million commits a second for two thousand years.
const SEQNO_MAX: u64 = 1 << 56;
/// Flushes and compactions take some numbers between two commits.
const SEQNO_STEP_MAX: u64 = 1 << 32;
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// All journals of one store shard, oldest first.
#[derive(Debug, Default)]
pub(crate) struct JournalScan {
    pub files: Vec<FileScan>,
}

/// One journal file.
#[derive(Debug)]
pub(crate) struct FileScan {
    pub path: PathBuf,
    pub id: u64,
    /// Numbers of the first and last whole commit in it.
    pub commits: Option<(u64, u64)>,
    /// Where the last whole commit ends.
    pub whole_bytes: u64,
    pub end: End,
    /// The number of a whole commit that lies behind the damage, if there is damage.
    pub behind: Option<u64>,
}

/// How a journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With zeros or the end of the file.
    Clean,
    /// In the middle of a commit, in a way that fjall would cut off.
    Torn,
    /// In a commit that keeps fjall from opening.
    Damaged(&'static str),
    /// Before a whole commit that cannot follow: fjall would take it, and we must not.
    Wrong(&'static str),
}

/// Whether a shard may be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All commits are there, or all but one that was being written when the power went.
    Sound,
    /// The last commit is damaged and nothing lies behind it: `repair` can cut it off.
    LastCommit(String),
    /// Commits that lie behind the damage would be lost.
    Inner(String),
}

impl JournalScan {
    /// Reads every journal in `dir`. A folder that does not exist has none.
    pub(crate) fn of(dir: &Path, tag: u64) -> io::Result<Self> {
        let paths = paths(dir)?;
        let files = paths.into_iter().map(|(id, path)| FileScan::of(id, path, tag));
        Ok(Self { files: files.collect::<io::Result<_>>()? })
    }

    /// The number of the newest whole commit in a journal; `None` if all have been moved to tables.
    pub(crate) fn last_commit(&self) -> Option<u64> {
        self.files.iter().rev().find_map(|file| file.commits).map(|(_, last)| last)
    }

    /// Removes a commit that the newest journal ends in the middle of. Only for journals that are sound.
    pub(crate) fn cut_torn_end(&self) -> io::Result<()> {
        match self.files.last() {
            Some(newest) if newest.end == End::Torn => newest.cut(),
            _ => Ok(()),
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let mut before = None;
        for (index, file) in self.files.iter().enumerate() {
            if let (Some(before), Some((first, _))) = (before, file.commits)
                && first != before + 1
            {
                return Verdict::Inner(format!(
                    "journal {}.jnl begins with commit {first}, but the commit before is {before}",
                    file.id
                ));
            }
            before = file.commits.map(|(_, last)| last).or(before);
            let (what, only_last) = match &file.end {
                End::Clean => continue,
                End::Torn => ("a commit is cut off", true),
                End::Damaged(what) => (*what, true),
                End::Wrong(what) => (*what, false),
            };
            let place = format!("journal {}.jnl at byte {}: {what}", file.id, file.whole_bytes);
            if let Some(behind) = file.behind {
                return Verdict::Inner(format!("{place}, and commit {behind} lies behind it"));
            }
            // A journal is synced as a whole before the next is made, so what is damaged in an older one was
            // acknowledged.
            if !only_last || index + 1 < self.files.len() {
                return Verdict::Inner(place);
            }
            if file.end != End::Torn {
                return Verdict::LastCommit(place);
            }
        }
        Verdict::Sound
    }
}

/// Removes all journals but the newest. Only where everything that they hold is in tables: fjall itself would do so when it
/// next flushes a memtable, and it never does.
pub(crate) fn remove_sealed(dir: &Path) -> io::Result<()> {
    let mut paths = paths(dir)?;
    paths.pop();
    paths.iter().try_for_each(|(_, path)| fs::remove_file(path))
}

/// Journals with their numbers, oldest first.
fn paths(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut paths = Vec::new();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(paths),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let id = stem.and_then(|stem| stem.parse::<u64>().ok());
            paths.push((id.ok_or_else(|| io::Error::other("a journal's name is not a number"))?, path));
        }
    }
    paths.sort();
    Ok(paths)
}

impl FileScan {
    /// Shortens the file to its whole commits, durably.
    pub(crate) fn cut(&self) -> io::Result<()> {
        let file = File::options().write(true).open(&self.path)?;
        file.set_len(self.whole_bytes)?;
        file.sync_all()
    }

    fn of(id: u64, path: PathBuf, tag: u64) -> io::Result<Self> {
        let mut file = File::open(&path)?;
        let mut reader = EntryReader::new(BufReader::with_capacity(READ_BUFFER_BYTES, &mut file), tag);
        let mut commits: Option<(u64, u64)> = None;
        let mut seqno_before = None;
        let mut whole_bytes = 0;
        let mut end = loop {
            match reader.commit() {
                Ok(commit) if commits.is_some_and(|(_, last)| commit.number != last + 1) => {
                    break End::Wrong("commits are missing in the middle");
                }
                Ok(commit) if !plausible(seqno_before, commit.seqno) => {
                    break End::Wrong("a commit's sequence number cannot be");
                }
                Ok(commit) => {
                    commits = Some((commits.map_or(commit.number, |(first, _)| first), commit.number));
                    seqno_before = Some(commit.seqno);
                    whole_bytes = reader.position;
                }
                Err(Stop::Io(e)) => return Err(e),
                Err(Stop::Torn) => break End::Torn,
                Err(Stop::Damaged(what)) => break End::Damaged(what),
                Err(Stop::Wrong(what)) => break End::Wrong(what),
            }
        };
        drop(reader);
        file.seek(SeekFrom::Start(whole_bytes))?;
        let mut behind = None;
        if end == End::Torn && only_zeros(&mut file)? {
            end = End::Clean;
        } else {
            file.seek(SeekFrom::Start(whole_bytes))?;
            let mut rest = Vec::new();
            file.read_to_end(&mut rest)?;
            behind = commit_behind(&rest, commits.map_or(0, |(_, last)| last), tag);
        }
        Ok(Self { path, id, commits, whole_bytes, end, behind })
    }
}

/// The checksum does not cover the sequence number, and fjall drops or reorders rows by it.
fn plausible(before: Option<u64>, seqno: u64) -> bool {
    let before = before.unwrap_or(0);
    seqno < SEQNO_MAX && seqno >= before && seqno - before <= SEQNO_STEP_MAX
}

fn only_zeros(file: &mut File) -> io::Result<bool> {
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(true),
            n if buffer[..n].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

/// Looks for a whole commit after the damage at the start of `rest`, by the stamp that each begins with.
fn commit_behind(rest: &[u8], last: u64, tag: u64) -> Option<u64> {
    let before_key = START_BYTES + ITEM_HEADER_BYTES;
    let mut from = before_key + 1;
    while let Some(found) = rest.get(from..).and_then(|rest| find(rest, STAMP_KEY)) {
        let key = from + found;
        let mut reader = EntryReader::new(&rest[key - before_key..], tag);
        if let Ok(commit) = reader.commit()
            && commit.number > last
        {
            return Some(commit.number);
        }
        from = key + 1;
    }
    None
}

fn find(bytes: &[u8], wanted: &[u8; 8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Why there is no further whole commit.
enum Stop {
    Io(io::Error),
    Torn,
    Damaged(&'static str),
    Wrong(&'static str),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof { Self::Torn } else { Self::Io(error) }
    }
}

/// A whole commit.
struct Commit {
    number: u64,
    seqno: u64,
}

enum Entry {
    Start { items: u32, seqno: u64 },
    Item { stamp: Option<Stamp> },
    Clear,
    End { checksum: u64 },
}

/// Reads commits one after the other, and fails where and as fjall's own reader fails.
struct EntryReader<R> {
    source: R,
    tag: u64,
    position: u64,
    hash: Xxh3,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<R: Read> EntryReader<R> {
    fn new(source: R, tag: u64) -> Self {
        Self { source, tag, position: 0, hash: Xxh3::new(), key: Vec::new(), value: Vec::new() }
    }

    /// The next commit, if it is whole.
    fn commit(&mut self) -> Result<Commit, Stop> {
        let Entry::Start { items: mut left, seqno } = self.entry()? else { return Err(Stop::Torn) };
        self.hash = Xxh3::new();
        let mut stamp = None;
        let mut first = true;
        loop {
            match self.entry()? {
                Entry::Start { .. } => return Err(Stop::Torn),
                Entry::End { .. } if left > 0 => return Err(Stop::Damaged("a commit is too short")),
                Entry::End { checksum } if checksum != self.hash.digest() => {
                    return Err(Stop::Damaged("a commit's checksum does not match"));
                }
                Entry::End { .. } => break,
                Entry::Item { .. } | Entry::Clear if left == 0 => {
                    return Err(Stop::Damaged("a commit is too long"));
                }
                Entry::Item { stamp: found } => {
                    if first {
                        stamp = found;
                    }
                    left -= 1;
                }
                Entry::Clear => left -= 1,
            }
            first = false;
        }
        match stamp {
            Some(stamp) if stamp.tag == self.tag => Ok(Commit { number: stamp.number, seqno }),
            _ => Err(Stop::Wrong("a commit is not of this data folder")),
        }
    }

    fn entry(&mut self) -> Result<Entry, Stop> {
        match self.array::<1>()?[0] {
            TAG_START => {
                let items = u32::from_le_bytes(self.array()?);
                let seqno = u64::from_le_bytes(self.array()?);
                Ok(Entry::Start { items, seqno })
            }
            TAG_ITEM => self.item(),
            TAG_END => {
                let checksum = u64::from_le_bytes(self.array()?);
                let trailer: [u8; 4] = self.array()?;
                if trailer == TRAILER { Ok(Entry::End { checksum }) } else { Err(Stop::Torn) }
            }
            TAG_CLEAR => {
                let keyspace: [u8; 8] = self.array()?;
                self.hash.update(&[TAG_CLEAR]);
                self.hash.update(&keyspace);
                Ok(Entry::Clear)
            }
            _ => Err(Stop::Torn),
        }
    }

    fn item(&mut self) -> Result<Entry, Stop> {
        let [value_type, compression] = self.array()?;
        if !matches!(value_type, 0 | 1 | 2 | 4) || compression > 1 {
            return Err(Stop::Torn);
        }
        if compression == 1 {
            return Err(Stop::Damaged("a commit has a compressed item"));
        }
        let keyspace: [u8; 8] = self.array()?;
        let key_length: [u8; 2] = self.array()?;
        let _value_length: [u8; 4] = self.array()?;
        let stored_length: [u8; 4] = self.array()?;
        let mut key = std::mem::take(&mut self.key);
        let mut value = std::mem::take(&mut self.value);
        self.bytes(&mut key, usize::from(u16::from_le_bytes(key_length)))?;
        self.bytes(&mut value, u32::from_le_bytes(stored_length) as usize)?;
        self.hash.update(&[TAG_ITEM, value_type, compression]);
        self.hash.update(&keyspace);
        self.hash.update(&key_length);
        // fjall hashes what it would write, and it would write the stored length twice.
        self.hash.update(&stored_length);
        self.hash.update(&stored_length);
        self.hash.update(&key);
        self.hash.update(&value);
        let stamp =
            if key == STAMP_KEY && value.len() == STAMP_BYTES { Stamp::from_bytes(&value) } else { None };
        self.key = key;
        self.value = value;
        Ok(Entry::Item { stamp })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    /// Reads as much as there is of a length that may be nonsense, so nonsense costs no memory.
    fn bytes(&mut self, into: &mut Vec<u8>, length: usize) -> Result<(), Stop> {
        into.clear();
        let read = (&mut self.source).take(length as u64).read_to_end(into)?;
        self.position += read as u64;
        if read == length { Ok(()) } else { Err(Stop::Torn) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: u64 = 0x5eed;

    /// A commit as fjall writes it.
    fn commit(number: u64, seqno: u64, tag: u64, value: &[u8]) -> Vec<u8> {
        let stamp = Stamp { number, tag }.to_bytes();
        let mut items = Vec::new();
        for (keyspace, key, value) in [(2_u64, &STAMP_KEY[..], &stamp[..]), (1, b"key", value)] {
            items.extend([TAG_ITEM, 0, 0]);
            items.extend(keyspace.to_le_bytes());
            items.extend((key.len() as u16).to_le_bytes());
            items.extend((value.len() as u32).to_le_bytes());
            items.extend((value.len() as u32).to_le_bytes());
            items.extend(key);
            items.extend(value);
        }
        let mut bytes = vec![TAG_START, 2, 0, 0, 0];
        bytes.extend(seqno.to_le_bytes());
        bytes.extend(&items);
        bytes.push(TAG_END);
        bytes.extend(xxhash_rust::xxh3::xxh3_64(&items).to_le_bytes());
        bytes.extend(TRAILER);
        bytes
    }

    fn scan(journals: &[Vec<u8>]) -> JournalScan {
        let dir = tempfile::tempdir().unwrap();
        for (id, bytes) in journals.iter().enumerate() {
            // Ids that do not sort as text.
            fs::write(dir.path().join(format!("{}.jnl", id + 9)), bytes).unwrap();
        }
        JournalScan::of(dir.path(), TAG).unwrap()
    }

    fn commits(numbers: std::ops::Range<u64>) -> Vec<u8> {
        numbers.flat_map(|number| commit(number, number, TAG, b"value")).collect()
    }

    fn inner(scan: &JournalScan) -> String {
        let Verdict::Inner(what) = scan.verdict() else { panic!("{:?}", scan.verdict()) };
        what
    }

    #[test]
    fn whole_journals_are_sound() {
        let mut padded = commits(4..6);
        padded.extend([0; 1_000]);
        for (journals, last) in [
            (vec![], None),
            (vec![vec![]], None),
            (vec![vec![0; 500]], None),
            (vec![commits(1..4), padded], Some(5)),
            (vec![commits(7..9), vec![]], Some(8)),
        ] {
            let scan = scan(&journals);
            assert_eq!((scan.verdict(), scan.last_commit()), (Verdict::Sound, last));
        }
    }

    #[test]
    fn a_commit_that_is_cut_anywhere_is_torn() {
        let whole = commits(1..3);
        let last = commit(3, 3, TAG, b"value");
        for cut in 1..last.len() {
            let journal = [&whole[..], &last[..cut], &[0; 64]].concat();
            let scan = scan(&[journal]);
            assert_eq!((scan.verdict(), scan.last_commit()), (Verdict::Sound, Some(2)), "cut at {cut}");
            assert_eq!((&scan.files[0].end, scan.files[0].whole_bytes), (&End::Torn, whole.len() as u64));
        }
    }

    #[test]
    fn what_was_acknowledged_and_is_gone_is_found() {
        let mut torn = commits(1..4);
        torn.truncate(torn.len() - 3);
        assert!(
            inner(&scan(&[torn.clone(), commits(4..5)])).contains("commit is cut off"),
            "an older journal"
        );
        assert!(inner(&scan(&[commits(1..3), commits(4..5)])).contains("the commit before is 2"));
        assert!(inner(&scan(&[[commits(1..3), commits(4..5)].concat()])).contains("missing in the middle"));
        assert!(inner(&scan(&[[torn, commits(4..5)].concat()])).contains("commit 4 lies behind it"));
        let foreign = commit(3, 3, TAG + 1, b"value");
        assert!(inner(&scan(&[[commits(1..3), foreign].concat()])).contains("not of this data folder"));
        for seqno in [1, 1 << 40, 1 << 60] {
            let jumped = commit(3, seqno, TAG, b"value");
            assert!(inner(&scan(&[[commits(1..3), jumped].concat()])).contains("sequence number"));
        }
    }

    #[test]
    fn a_message_cannot_pass_for_a_commit_behind_the_damage() {
        let forged = commit(50, 50, TAG ^ 1, b"value");
        let mut journal = [commits(1..3), commit(3, 3, TAG, &forged)].concat();
        journal.truncate(journal.len() - 3);
        let scan = scan(&[journal]);
        assert_eq!((scan.verdict(), scan.last_commit()), (Verdict::Sound, Some(2)));
    }

    #[test]
    fn a_nonsense_length_costs_nothing() {
        let mut journal = commits(1..2);
        journal
            .extend([TAG_START, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, TAG_ITEM, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        journal.extend([3, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'k', b'e', b'y']);
        assert_eq!(scan(&[journal]).files[0].end, End::Torn);
    }
}
