//! A sorted run of rows in memory, in the bytes they were logged in.
//!
//! A row in a run, in a log frame and in a batch has the same form:
//! ```text
//! key length:u8  value length:u16, or 0xffff for a delete  key  value
//! ```
//! with little-endian numbers. A run never changes, so readers use it without a lock.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::filter::Filter;

/// Bytes in front of each key.
pub(crate) const ROW_HEADER_BYTES: usize = 3;
/// In the place of a value's length: the row is a delete.
pub(crate) const DELETED: u16 = u16::MAX;

/// One row: a key, and its value or `None` for a delete.
pub(crate) type Row<'a> = (&'a [u8], Option<&'a [u8]>);

/// So much of a key is kept where comparisons find it without another look into memory. Keys of messages, lists and
/// marks are shorter, and those of one conversation differ only at their end.
const HEAD_BYTES: usize = 32;

/// Where a row lies, and the start of its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The first bytes of the key as big-endian numbers, padded with zeros.
    head: Head,
    /// Where the key begins.
    at: u32,
    value_len: u16,
    key_len: u8,
}

impl Place {
    fn key(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.at as usize..][..usize::from(self.key_len)]
    }

    fn row(self, bytes: &[u8]) -> Row<'_> {
        let (key, behind) = bytes[self.at as usize..].split_at(usize::from(self.key_len));
        let value = (self.value_len != DELETED).then(|| &behind[..usize::from(self.value_len)]);
        (key, value)
    }

    /// The row as it was logged.
    fn encoded(self, bytes: &[u8]) -> &[u8] {
        let value_len = if self.value_len == DELETED { 0 } else { usize::from(self.value_len) };
        let at = self.at as usize;
        &bytes[at - ROW_HEADER_BYTES..at + usize::from(self.key_len) + value_len]
    }
}

/// In a run with fewer rows looking for a key costs about as much as asking a filter.
const FILTERED_ROWS_MIN: usize = 64;

type Head = [u64; HEAD_BYTES / 8];

fn head_of(key: &[u8]) -> Head {
    let mut padded = [0; HEAD_BYTES];
    let len = key.len().min(HEAD_BYTES);
    padded[..len].copy_from_slice(&key[..len]);
    let (words, _) = padded.as_chunks::<8>();
    std::array::from_fn(|word| u64::from_be_bytes(words[word]))
}

/// Rows in the order of their keys, each key once.
#[derive(Debug)]
pub(crate) struct Run {
    pub(super) bytes: Vec<u8>,
    pub(super) places: Vec<Place>,
    /// Made by the first reader that needs it: most runs are merged or fed before anybody reads. Some 1 % of the run's
    /// size.
    filter: OnceLock<Filter>,
}

impl Run {
    /// Sorts the rows that `bytes` holds from `start` on. Of rows with the same key the last one counts. `None` if
    /// the bytes are not rows.
    pub(crate) fn from_rows(bytes: Vec<u8>, start: usize, rows_hint: usize) -> Option<Self> {
        let mut places = Vec::with_capacity(rows_hint);
        let mut at = start;
        while at < bytes.len() {
            let header = bytes.get(at..at + ROW_HEADER_BYTES)?;
            let (key_len, value_len) = (header[0], u16::from_le_bytes([header[1], header[2]]));
            at += ROW_HEADER_BYTES;
            let key = bytes.get(at..at + usize::from(key_len))?;
            places.push(Place { head: head_of(key), at: u32::try_from(at).ok()?, value_len, key_len });
            at += key.len() + if value_len == DELETED { 0 } else { usize::from(value_len) };
        }
        if at != bytes.len() && !places.is_empty() {
            return None;
        }
        // Later rows lie further behind, which makes an unstable sort stable.
        places.sort_unstable_by(|a, b| compare(&bytes, a, &bytes, b).then(b.at.cmp(&a.at)));
        places.dedup_by(|later, kept| compare(&bytes, later, &bytes, kept).is_eq());
        Some(Self { bytes, places, filter: OnceLock::new() })
    }

    /// One run of all, in which a row of a later run replaces those of earlier ones.
    pub(crate) fn merge(runs: &[Arc<Run>]) -> Self {
        let merged = Merged::of(runs);
        let len =
            merged.places.iter().map(|(run, place)| place.encoded(&runs[*run as usize].bytes).len()).sum();
        let mut bytes = Vec::with_capacity(len);
        let mut places = Vec::with_capacity(merged.places.len());
        for (run, place) in &merged.places {
            let at = (bytes.len() + ROW_HEADER_BYTES) as u32;
            bytes.extend_from_slice(place.encoded(&runs[*run as usize].bytes));
            places.push(Place { at, ..*place });
        }
        Self { bytes, places, filter: OnceLock::new() }
    }

    fn filter(&self) -> Option<&Filter> {
        let keys = || self.places.iter().map(|place| place.key(&self.bytes));
        (self.places.len() >= FILTERED_ROWS_MIN).then(|| self.filter.get_or_init(|| Filter::of(keys())))
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// What it takes in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.bytes.capacity() + self.places.capacity() * size_of::<Place>() + size_of::<Self>()) as u64
    }

    pub(crate) fn row(&self, index: usize) -> Row<'_> {
        self.places[index].row(&self.bytes)
    }

    /// `Some(None)` for a delete, `None` if this run says nothing about the key.
    pub(crate) fn value_of(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.filter().is_some_and(|filter| !filter.may_have(key)) {
            return None;
        }
        let index = self.lower_bound(key);
        let place = self.places.get(index)?;
        (place.key(&self.bytes) == key).then(|| place.row(&self.bytes).1)
    }

    /// Indexes of the rows with `from <= key < to`.
    pub(crate) fn range(&self, from: &[u8], to: &[u8]) -> Range<usize> {
        if self.filter().is_some_and(|filter| !filter.may_have_any(from, to)) {
            return 0..0;
        }
        let first = self.lower_bound(from);
        first..self.lower_bound(to).max(first)
    }

    fn lower_bound(&self, key: &[u8]) -> usize {
        let head = head_of(key);
        let long = key.len() > HEAD_BYTES;
        self.places.partition_point(|place| {
            let behind = || match long || usize::from(place.key_len) > HEAD_BYTES {
                true => place.key(&self.bytes).cmp(key),
                false => usize::from(place.key_len).cmp(&key.len()),
            };
            place.head.cmp(&head).then_with(behind).is_lt()
        })
    }
}

pub(super) fn compare(a_bytes: &[u8], a: &Place, b_bytes: &[u8], b: &Place) -> Ordering {
    // Keys that are all head and equal up to the padding differ by trailing zeros only.
    let behind = || match usize::from(a.key_len.max(b.key_len)) > HEAD_BYTES {
        true => a.key(a_bytes).cmp(b.key(b_bytes)),
        false => a.key_len.cmp(&b.key_len),
    };
    a.head.cmp(&b.head).then_with(behind)
}

/// The rows of several runs in the order of their keys, each key once, as the latest run has it.
pub(crate) struct Merged<'a> {
    pub(super) runs: &'a [Arc<Run>],
    pub(super) places: Vec<(u32, Place)>,
}

impl<'a> Merged<'a> {
    /// Runs come oldest first.
    pub(crate) fn of(runs: &'a [Arc<Run>]) -> Self {
        let mut places = Vec::with_capacity(runs.iter().map(|run| run.len()).sum());
        for (index, run) in runs.iter().enumerate().rev() {
            places.extend(run.places.iter().map(|place| (index as u32, *place)));
        }
        let bytes = |run: u32| &runs[run as usize].bytes[..];
        // A stable sort, which finds the sorted stretches and merges them; the newest of equal keys stays in front.
        places.sort_by(|(a_run, a), (b_run, b)| compare(bytes(*a_run), a, bytes(*b_run), b));
        places.dedup_by(|(older, a), (newer, b)| compare(bytes(*older), a, bytes(*newer), b).is_eq());
        Self { runs, places }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn row(&self, index: usize) -> Row<'a> {
        let (run, place) = self.places[index];
        place.row(&self.runs[run as usize].bytes)
    }

    /// Has the processor fetch rows that are soon looked at. They lie scattered, and to wait for one after the other
    /// takes a quarter of all a feed takes; these reads do not wait for each other.
    pub(crate) fn fetch(&self, rows: Range<usize>) {
        let last = self.places.len().min(rows.end);
        let mut touched = 0;
        for (run, place) in &self.places[rows.start.min(last)..last] {
            let row = place.encoded(&self.runs[*run as usize].bytes);
            touched ^= row.iter().step_by(64).fold(row[row.len() - 1], |touched, byte| touched ^ byte);
        }
        std::hint::black_box(touched);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::table) fn encoded(rows: &[(&str, Option<&str>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in rows {
            bytes.push(key.len() as u8);
            bytes.extend(value.map_or(DELETED, |value| value.len() as u16).to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend(value.unwrap_or_default().as_bytes());
        }
        bytes
    }

    pub(in crate::table) fn run(rows: &[(&str, Option<&str>)]) -> Arc<Run> {
        Arc::new(Run::from_rows(encoded(rows), 0, 0).unwrap())
    }

    pub(in crate::table) fn text(row: Row<'_>) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        format!("{}={}", text(row.0), row.1.map_or("-".to_owned(), text))
    }

    fn all(run: &Run) -> Vec<String> {
        (0..run.len()).map(|index| text(run.row(index))).collect()
    }

    #[test]
    fn rows_are_sorted_and_the_last_of_a_key_counts() {
        let long = "k".repeat(30);
        let longer = "k".repeat(31);
        let run = run(&[
            ("b", Some("1")),
            (&longer, Some("x")),
            ("a", Some("")),
            (&long, Some("y")),
            ("b", None),
            ("a\0", Some("2")),
        ]);
        assert_eq!(all(&run), ["a=", "a\0=2", "b=-", &format!("{long}=y"), &format!("{longer}=x")]);
        assert_eq!(run.value_of(b"b"), Some(None));
        assert_eq!(run.value_of(b"a\0"), Some(Some(&b"2"[..])));
        assert_eq!(run.value_of(long.as_bytes()), Some(Some(&b"y"[..])));
        assert_eq!(run.value_of(b"c"), None);
        assert_eq!(run.range(b"a\0", b"kk"), 1..3);
        assert_eq!(run.range(b"b", b"a"), 2..2);
        assert_eq!(run.range(b"", &[0xff; 4]), 0..5);
    }

    #[test]
    fn a_later_run_replaces_rows_of_earlier_ones() {
        let runs = [
            run(&[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]),
            run(&[("b", None), ("d", Some("2"))]),
            run(&[("c", Some("3")), ("a", Some("3"))]),
        ];
        let merged = Run::merge(&runs);
        assert_eq!(all(&merged), ["a=3", "b=-", "c=3", "d=2"]);
        assert!(merged.memory_bytes() < runs.iter().map(|run| run.memory_bytes()).sum());
    }

    #[test]
    fn bytes_that_are_not_rows_are_refused() {
        let whole = encoded(&[("key", Some("value")), ("other", None)]);
        let boundary = encoded(&[("key", Some("value"))]).len();
        for cut in 1..whole.len() {
            let run = Run::from_rows(whole[..cut].to_vec(), 0, 0);
            assert_eq!(run.is_some(), cut == boundary, "cut at {cut}");
        }
        assert_eq!(Run::from_rows(Vec::new(), 0, 0).unwrap().len(), 0);
    }
}
