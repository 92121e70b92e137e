//! The local store: one folder per account, one redb file in it. What is told to the application or sent to the node is on
//! disk first; one write is all there or not at all.

mod acts;
mod change;
mod contacts;
#[cfg(test)]
pub(crate) mod crash;
mod org;
mod read;
mod silence;
mod tables;
mod write;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableTable};
use wire::client::Stored;

pub use change::Change;
pub use contacts::ContactRows;
pub(crate) use contacts::shows;
pub use read::{HistoryItem, HistoryPage};

/// Name of the file in the account's folder.
const FILE: &str = "ringtalk-client.redb";
/// Version of the tables. A higher one was written by a later program and is not opened.
pub const SCHEMA: u64 = 2;
/// Memory for pages of the file.
const CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why the local store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the folder {folder} is in use by another program: close it, or choose another folder")]
    InUse { folder: PathBuf },
    #[error("cannot use the folder {folder}: {source}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error(
        "the folder {folder} was written by a later version of this program (schema {found}, this one knows {SCHEMA})"
    )]
    Newer { folder: PathBuf, found: u64 },
    #[error(
        "the store in {folder} is damaged: {reason}; move the folder away and log in anew, the node has everything"
    )]
    Damaged { folder: PathBuf, reason: String },
    #[error("the store in {folder} failed: {reason}")]
    Failed { folder: PathBuf, reason: String },
}

/// The open store. Cloning shares it; the file is locked until the last clone is gone.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    folder: Arc<Path>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.folder.display())
    }
}

impl Store {
    /// Opens the store in `folder`, made if it is not there, and reads what a session goes on from.
    pub fn open(folder: &Path) -> Result<(Self, Stored), StoreError> {
        let folder_error = |source| StoreError::Folder { folder: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(folder_error)?;
        let path = folder.join(FILE);
        let is_new = !path.exists();
        // Tickets and perhaps keys are in it: nobody else may read it.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(folder_error)?;
        let database = FileBackend::new(file)
            .and_then(|file| Database::builder().set_cache_size(CACHE_BYTES_MAX).create_with_backend(file));
        let database = database.map_err(|error| open_error(folder, error))?;
        let store = Store { database: Arc::new(database), folder: folder.into() };
        if is_new {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(folder_error)?;
        }
        store.prepare()?;
        let stored = store.load()?;
        Ok((store, stored))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the tables, or checks that they are those of this version.
    fn prepare(&self) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        let found = {
            let mut numbers = transaction.open_table(tables::NUMBERS).map_err(|error| self.failed(error))?;
            let found =
                numbers.get(tables::SCHEMA).map_err(|error| self.failed(error))?.map(|found| found.value());
            if found.is_none_or(|found| found < SCHEMA) {
                numbers.insert(tables::SCHEMA, SCHEMA).map_err(|error| self.failed(error))?;
            }
            found
        };
        match found {
            Some(SCHEMA) => return Ok(()), // the transaction ends without a write
            Some(1) => {}                  // there are more tables since, and the others are as they were
            Some(found) => return Err(StoreError::Newer { folder: self.folder.to_path_buf(), found }),
            None => {}
        }
        tables::create(&transaction).map_err(|error| self.failed(error))?;
        transaction.commit().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl Into<redb::Error>) -> StoreError {
        let error = error.into();
        let (folder, reason) = (self.folder.to_path_buf(), error.to_string());
        match error {
            redb::Error::Corrupted(_) => StoreError::Damaged { folder, reason },
            _ => StoreError::Failed { folder, reason },
        }
    }

    /// A write that ended without a result.
    pub(crate) fn broken(&self, reason: &str) -> StoreError {
        StoreError::Failed { folder: self.folder.to_path_buf(), reason: reason.to_owned() }
    }

    fn damaged(&self, reason: &str) -> StoreError {
        StoreError::Damaged { folder: self.folder.to_path_buf(), reason: reason.to_owned() }
    }
}

fn open_error(folder: &Path, error: DatabaseError) -> StoreError {
    let folder = folder.to_path_buf();
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { folder },
        DatabaseError::Storage(redb::StorageError::Io(source))
            if source.kind() != io::ErrorKind::InvalidData =>
        {
            StoreError::Folder { folder, source }
        }
        error => StoreError::Damaged { folder, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests;
