//! Why a data folder could not be opened: one line each, which says what is wrong and how to mend it.

use std::io;
use std::path::{Path, PathBuf};

use record::kv::StoreShardId;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("data folder {} cannot be used: {what}: {source}; {}", dir.display(), mend(source))]
    Unusable { dir: PathBuf, what: String, source: io::Error },
    #[error("data folder {} is in use by another process{}; stop it, or choose another folder", dir.display(), holder(*.process))]
    InUse { dir: PathBuf, process: Option<u32> },
    #[error("data folder {} has no manifest.json; start the node once to make it, or check the path", dir.display())]
    NoManifest { dir: PathBuf },
    #[error("data folder {}: {what}; restore the folder from a backup", dir.display())]
    Manifest { dir: PathBuf, what: String },
    #[error("data folder {} has format version {found}, and this program knows only {known}; use the newer program", dir.display())]
    NewerFormat { dir: PathBuf, found: u32, known: u32 },
    #[error("data folder {}: store shard {} is damaged: {what}; run `ringtalk repair --data {}`", dir.display(), shard.0, dir.display())]
    Damaged { dir: PathBuf, shard: StoreShardId, what: String },
    #[error(
        "data folder {}: store shard {} is behind its mark: commit {mark} was acknowledged and it holds only {last}; restore the folder from a backup",
        dir.display(), shard.0
    )]
    BehindMark { dir: PathBuf, shard: StoreShardId, last: u64, mark: u64 },
    #[error("wrong option: {0}")]
    Option(String),
}

fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
        io::ErrorKind::ReadOnlyFilesystem => "mount it writable, or choose another folder",
        _ => "check that it is a folder and that this user owns it",
    }
}

fn holder(process: Option<u32>) -> String {
    process.map(|id| format!(" ({id})")).unwrap_or_default()
}

impl OpenError {
    pub(crate) fn unusable(dir: &Path, what: impl Into<String>, source: io::Error) -> Self {
        Self::Unusable { dir: dir.to_owned(), what: what.into(), source }
    }

    pub(crate) fn damaged(dir: &Path, shard: StoreShardId, what: impl Into<String>) -> Self {
        Self::Damaged { dir: dir.to_owned(), shard, what: what.into() }
    }
}
