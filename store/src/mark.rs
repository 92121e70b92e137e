//! The high-water mark of a store shard: the last commit that it has certainly acknowledged.
//!
//! fjall cuts its journal off at the first damage and opens without an error, so the store keeps this number outside
//! of it and compares at each start. The mark trails the commits (it is written off the commit path), so it can miss
//! the loss of the last moments, but never reports a loss that did not happen.
//!
//! A mark file has two slots of [`SLOT_BYTES`] that are written in turn, in place. A write that a power cut tears
//! destroys one slot; the other still holds the number before. In place also means that a full disk cannot stop it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::folder::sync_folder;

/// One page, so that no sector is shared by both slots.
const SLOT_BYTES: usize = 4_096;
const MAGIC: [u8; 8] = *b"rt-mark1";
/// Magic, number, checksum.
const ENTRY_BYTES: usize = 24;

/// What the mark file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// There is no such file.
    Missing,
    /// Neither slot is whole.
    Damaged,
    At(u64),
}

/// A mark file that is open for writing.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    number: u64,
    slot_next: u64,
}

impl Mark {
    pub(crate) fn read(path: &Path) -> io::Result<Marked> {
        match File::open(path) {
            Ok(file) => Ok(read_slots(&file)?.map_or(Marked::Damaged, |(_, number)| Marked::At(number))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Marked::Missing),
            Err(e) => Err(e),
        }
    }

    /// Makes the file anew, or replaces it, with both slots at `number`.
    pub(crate) fn create(path: &Path, number: u64) -> io::Result<Self> {
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
        for slot in 0..2 {
            file.write_all_at(&slot_of(number), slot * SLOT_BYTES as u64)?;
        }
        file.sync_all()?;
        sync_folder(path.parent().expect("a mark lies in a data folder"))?;
        Ok(Self { file, number, slot_next: 0 })
    }

    /// Opens a mark that was read as [`Marked::At`].
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let (slot, number) =
            read_slots(&file)?.ok_or_else(|| io::Error::other("no slot of the mark is whole"))?;
        Ok(Self { file, number, slot_next: 1 - slot })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Raises the mark; when this returns, it survives a power cut.
    pub(crate) fn raise(&mut self, number: u64) -> io::Result<()> {
        assert!(number > self.number, "a mark only rises");
        self.file.write_all_at(&slot_of(number), self.slot_next * SLOT_BYTES as u64)?;
        self.file.sync_data()?;
        self.number = number;
        self.slot_next = 1 - self.slot_next;
        Ok(())
    }
}

fn slot_of(number: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..16].copy_from_slice(&number.to_le_bytes());
    let checksum = xxh3_64(&slot[..16]);
    slot[16..ENTRY_BYTES].copy_from_slice(&checksum.to_le_bytes());
    slot
}

/// The slot with the higher number, and that number.
fn read_slots(file: &File) -> io::Result<Option<(u64, u64)>> {
    let mut newest = None;
    for slot in 0..2 {
        let mut entry = [0; ENTRY_BYTES];
        match file.read_exact_at(&mut entry, slot * SLOT_BYTES as u64) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => continue,
            Err(e) => return Err(e),
        }
        let number = u64::from_le_bytes(entry[8..16].try_into().expect("eight bytes"));
        let whole = slot_of(number)[..ENTRY_BYTES] == entry;
        if whole && newest.is_none_or(|(_, known)| number > known) {
            newest = Some((slot, number));
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_slot_leaves_the_number_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard-00.mark");
        assert_eq!(Mark::read(&path).unwrap(), Marked::Missing);
        let mut mark = Mark::create(&path, 0).unwrap();
        mark.raise(7).unwrap();
        mark.raise(9).unwrap();
        assert_eq!(Mark::read(&path).unwrap(), Marked::At(9));
        // 9 went to the second slot.
        mark.file.write_all_at(&[0xff; 20], SLOT_BYTES as u64).unwrap();
        assert_eq!(Mark::read(&path).unwrap(), Marked::At(7));
        let mut mark = Mark::open(&path).unwrap();
        mark.raise(10).unwrap();
        assert_eq!(Mark::read(&path).unwrap(), Marked::At(10));
        assert_eq!(mark.slot_next, 0, "the damaged slot was written, not the whole one");
        mark.file.write_all_at(&[0xff; 20], 0).unwrap();
        mark.file.write_all_at(&[0xff; 20], SLOT_BYTES as u64).unwrap();
        assert_eq!(Mark::read(&path).unwrap(), Marked::Damaged);
        mark.file.set_len(0).unwrap();
        assert_eq!(Mark::read(&path).unwrap(), Marked::Damaged);
    }
}
