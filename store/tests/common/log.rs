//! Damages a closed store's log, as power cuts and disks do.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Segments of store shard 0, oldest first.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("shard-00.log")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    segments.sort();
    segments
}

fn used_of(segment: &Path) -> Vec<u8> {
    let mut bytes = fs::read(segment).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(used);
    bytes
}

/// The bytes of all segments one after the other, each without the zeros at its end.
pub fn used(dir: &Path) -> Vec<u8> {
    segments(dir).iter().flat_map(|segment| used_of(segment)).collect()
}

/// Where this text begins for the last time, as a place in [`used`].
pub fn place_of(dir: &Path, text: &str) -> u64 {
    let bytes = used(dir);
    let text = text.as_bytes();
    bytes.windows(text.len()).rposition(|window| window == text).expect("the text is in the log") as u64
}

/// The segment and the offset in it of a place in [`used`]; behind all of it, in the last segment.
fn segment_at(dir: &Path, mut at: u64) -> (PathBuf, u64) {
    let mut segments = segments(dir);
    let last = segments.pop().unwrap();
    for segment in segments {
        let len = used_of(&segment).len() as u64;
        if at < len {
            return (segment, at);
        }
        at -= len;
    }
    (last, at)
}

pub fn flip(dir: &Path, at: u64, mask: u8) {
    let (path, at) = segment_at(dir, at);
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    // Behind the end it stays zero.
    let _ = file.read_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ mask], at).unwrap();
}

pub fn zero(dir: &Path, at: u64, len: usize) {
    let (path, at) = segment_at(dir, at);
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(&vec![0; len], at).unwrap();
}

pub fn truncate(dir: &Path, at: u64) {
    let (path, at) = segment_at(dir, at);
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(at).unwrap();
}

pub fn mark(dir: &Path) -> Vec<u8> {
    fs::read(mark_path(dir)).unwrap()
}

pub fn set_mark(dir: &Path, bytes: &[u8]) {
    fs::write(mark_path(dir), bytes).unwrap();
}

pub fn mark_path(dir: &Path) -> PathBuf {
    dir.join("shard-00.mark")
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
