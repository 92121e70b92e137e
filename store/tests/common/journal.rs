//! Damages a closed store's files, as power cuts and disks do.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The newest journal of store shard 0.
pub fn newest(dir: &Path) -> PathBuf {
    let entries = fs::read_dir(dir.join("shard-00")).unwrap().map(|entry| entry.unwrap().path());
    let journals = entries.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    let number = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    journals.max_by_key(number).unwrap()
}

/// The journal's bytes without the zeros behind the last commit.
pub fn used(dir: &Path) -> Vec<u8> {
    let mut bytes = fs::read(newest(dir)).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(used);
    bytes
}

/// Where this text begins for the last time.
pub fn place_of(dir: &Path, text: &str) -> u64 {
    let bytes = used(dir);
    let text = text.as_bytes();
    bytes.windows(text.len()).rposition(|window| window == text).expect("the text is in the journal") as u64
}

pub fn flip(dir: &Path, at: u64, mask: u8) {
    let path = newest(dir);
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    // Behind the end it stays zero.
    let _ = file.read_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ mask], at).unwrap();
}

pub fn zero(dir: &Path, at: u64, len: usize) {
    let file = fs::OpenOptions::new().write(true).open(newest(dir)).unwrap();
    file.write_all_at(&vec![0; len], at).unwrap();
}

pub fn truncate(dir: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(newest(dir)).unwrap().set_len(len).unwrap();
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
