//! The data folder: its lock, its manifest, and the paths in it.
//!
//! ```text
//! lock             held while a process uses the folder; names the process
//! manifest.json    format version, store shards, slots, term
//! shard-NN/        one fjall database per store shard
//! shard-NN.log/    the log of this shard, which holds what the database does not have yet
//! shard-NN.mark    the last commit that this shard is known to have acknowledged
//! damaged/         what `repair` put aside
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use record::kv::StoreShardId;
use serde::{Deserialize, Serialize};
use wire::ids::SLOTS;

use crate::error::OpenError;
use crate::options::valid_store_shards;

/// Version of the folder's layout and of everything in it that is not a record. Version 1 had no log: fjall's journal
/// was the commit point. A folder of version 1 is brought to this one when it is opened.
pub const FORMAT_VERSION: u32 = 2;
/// The version without a log.
pub(crate) const FORMAT_WITHOUT_LOG: u32 = 1;

const MANIFEST: &str = "manifest.json";
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// What is fixed about a data folder, and its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub format: u32,
    pub store_shards: u16,
    pub slots: u16,
    /// Rises with each start.
    pub term: u64,
    /// False until the first start has made every store shard: only then may one be missing.
    pub complete: bool,
    /// Drawn when the folder is made, and never shown outside. Every commit carries it, so that bytes which a peer
    /// chose can never pass for a commit when a damaged journal is searched.
    pub tag: u64,
}

impl Manifest {
    fn new(store_shards: u16) -> Self {
        let tag = RandomState::new().hash_one(std::process::id());
        Self { format: FORMAT_VERSION, store_shards, slots: SLOTS, term: 0, complete: false, tag }
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = StoreShardId> + use<> {
        (0..self.store_shards).map(StoreShardId)
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    /// Open for as long as the folder is held: the operating system lets go of the lock with it.
    _lock: File,
}

impl Folder {
    /// Takes the folder, making it if it does not exist.
    pub(crate) fn take_or_make(dir: &Path) -> Result<Self, OpenError> {
        if !dir.is_dir() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|e| OpenError::unusable(dir, "making it", e))?;
            if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_folder(parent)
                    .map_err(|e| OpenError::unusable(dir, "syncing the folder above it", e))?;
            }
        }
        Self::take(dir)
    }

    /// Takes a folder that exists.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        fs::read_dir(dir).map_err(|e| OpenError::unusable(dir, "reading it", e))?;
        let mut lock =
            options.open(dir.join("lock")).map_err(|e| OpenError::unusable(dir, "opening its lock", e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = (&lock).take(16).read_to_string(&mut text);
                let process = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(OpenError::InUse { dir: dir.to_owned(), process });
            }
            Err(TryLockError::Error(e)) => return Err(OpenError::unusable(dir, "locking it", e)),
        }
        // The number only makes the refusal clearer for whoever comes second, so a full disk must not matter here.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn shard_dir(&self, shard: StoreShardId) -> PathBuf {
        self.dir.join(format!("shard-{:02}", shard.0))
    }

    pub(crate) fn log_dir(&self, shard: StoreShardId) -> PathBuf {
        self.dir.join(format!("shard-{:02}.log", shard.0))
    }

    pub(crate) fn mark_path(&self, shard: StoreShardId) -> PathBuf {
        self.dir.join(format!("shard-{:02}.mark", shard.0))
    }

    pub(crate) fn damaged_dir(&self) -> PathBuf {
        self.dir.join("damaged")
    }

    /// The manifest of a folder that exists, or `None` for a folder that was never started.
    pub(crate) fn read_manifest(&self) -> Result<Option<Manifest>, OpenError> {
        let damaged = |what: String| OpenError::Manifest { dir: self.dir.clone(), what };
        let unusable = |e| OpenError::unusable(&self.dir, "reading manifest.json", e);
        let mut bytes = Vec::new();
        match File::open(self.dir.join(MANIFEST)) {
            Ok(file) => file.take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes).map_err(unusable)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unusable(e)),
        };
        let format = serde_json::from_slice::<FormatOnly>(&bytes)
            .map_err(|e| damaged(format!("manifest.json is damaged ({e})")))?
            .format;
        if format > FORMAT_VERSION {
            return Err(OpenError::NewerFormat {
                dir: self.dir.clone(),
                found: format,
                known: FORMAT_VERSION,
            });
        }
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|e| damaged(format!("manifest.json is damaged ({e})")))?;
        if manifest.slots != SLOTS || !valid_store_shards(manifest.store_shards) {
            return Err(damaged(format!(
                "manifest.json names {} slots and {} store shards, which cannot be",
                manifest.slots, manifest.store_shards
            )));
        }
        Ok(Some(manifest))
    }

    /// The manifest of a folder without one: only if nothing in it could be somebody's data.
    pub(crate) fn new_manifest(&self, store_shards: u16) -> Result<Manifest, OpenError> {
        let unusable = |e| OpenError::unusable(&self.dir, "reading it", e);
        for entry in fs::read_dir(&self.dir).map_err(unusable)? {
            let name = entry.map_err(unusable)?.file_name();
            if name.to_string_lossy().starts_with("shard-") {
                return Err(OpenError::Manifest {
                    dir: self.dir.clone(),
                    what: format!("manifest.json is missing beside {}", name.to_string_lossy()),
                });
            }
        }
        Ok(Manifest::new(store_shards))
    }

    /// Puts the manifest on disk: when this returns, it survives a power cut.
    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> Result<(), OpenError> {
        let mut bytes = serde_json::to_vec_pretty(manifest).expect("plain numbers always have a JSON form");
        bytes.push(b'\n');
        replace_file(&self.dir, MANIFEST, &bytes)
            .map_err(|e| OpenError::unusable(&self.dir, "writing manifest.json", e))
    }
}

/// Replaces a file as a whole: after a power cut it has its old or its new contents, and after the return the new.
pub(crate) fn replace_file(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let part = dir.join(format!("{name}.part"));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, dir.join(name))?;
    sync_folder(dir)
}

pub(crate) fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
