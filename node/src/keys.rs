//! The node's own secrets, in the data folder: the keys that seal tickets, and what makes the salts of unknown users.
//!
//! Whoever reads this file can resume any session, so it is readable by its owner only. It is made at first start.
//! Losing it costs every client one full login, nothing more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::ticket::{TicketKey, TicketKeys};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::entropy::entropy;

/// Name of the file in the data folder.
pub const FILE: &str = "node-keys.json";
const FORMAT: u32 = 1;
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why the keys cannot be used: one line each.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{}: {what}: {source}; check that this user owns the data folder and that the disk is not full", path.display())]
    Unusable { path: PathBuf, what: &'static str, source: io::Error },
    #[error("{}: it cannot be understood ({what}); move it away and start again: every client then logs in anew once", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{}: its format {found} is newer than this program; use the newer program", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error("{}: others may read it (mode {mode:o}); run `chmod 600` on it, and remove it if others had access", path.display())]
    Readable { path: PathBuf, mode: u32 },
}

/// The secrets of one node.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeKeys {
    format: u32,
    /// Identifies this node and its data; not a secret.
    pub node: NodeId,
    #[serde(with = "crate::hex")]
    fake_salt_secret: [u8; 32],
    current: StoredKey,
    previous: Option<StoredKey>,
}

/// Drawn when the data folder is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeId(#[serde(with = "crate::hex")] [u8; 16]);

#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: u32,
    /// Unix milliseconds.
    made_ms: u64,
    #[serde(with = "crate::hex")]
    key: [u8; 32],
}

impl NodeKeys {
    /// The keys of a data folder. Makes them if there are none, and a new ticket key if the current one has served for
    /// `ticket_lifetime`: the one before it then still opens what it sealed, until that has expired.
    pub fn load(dir: &Path, now_ms: u64, ticket_lifetime: Duration) -> Result<Self, KeysError> {
        let path = dir.join(FILE);
        let found = read(&path)?;
        let lifetime_ms = u64::try_from(ticket_lifetime.as_millis()).unwrap_or(u64::MAX);
        let keys = match &found {
            None => Self::new(now_ms),
            Some(keys) => keys.clone().rotated(now_ms, lifetime_ms),
        };
        if found.is_none_or(|found| found.current.id != keys.current.id) {
            write(dir, &path, &keys)?;
        }
        Ok(keys)
    }

    fn new(now_ms: u64) -> Self {
        Self {
            format: FORMAT,
            node: NodeId(entropy()),
            fake_salt_secret: entropy(),
            current: StoredKey { id: 1, made_ms: now_ms, key: entropy() },
            previous: None,
        }
    }

    fn rotated(mut self, now_ms: u64, lifetime_ms: u64) -> Self {
        // A clock that was set back makes a key look young, which is harmless; set forward, it is replaced early.
        if now_ms.saturating_sub(self.current.made_ms) >= lifetime_ms {
            let next = StoredKey {
                id: self.current.id.checked_add(1).unwrap_or(1),
                made_ms: now_ms,
                key: entropy(),
            };
            self.previous = Some(std::mem::replace(&mut self.current, next));
        }
        self
    }

    pub fn ticket_keys(&self) -> TicketKeys {
        let key = |stored: &StoredKey| TicketKey { id: stored.id, key: stored.key };
        TicketKeys { current: key(&self.current), previous: self.previous.as_ref().map(key) }
    }

    pub fn fake_salt_secret(&self) -> [u8; 32] {
        self.fake_salt_secret
    }
}

impl std::fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeKeys").field("node", &self.node).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Option<NodeKeys>, KeysError> {
    let unusable = |source| KeysError::Unusable { path: path.to_owned(), what: "it cannot be read", source };
    let damaged = |what: String| KeysError::Damaged { path: path.to_owned(), what };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unusable(e)),
    };
    let mode = file.metadata().map_err(unusable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Readable { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unusable)?;
    #[derive(Deserialize)]
    struct FormatOnly {
        format: u32,
    }
    let found: FormatOnly = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    if found.format > FORMAT {
        return Err(KeysError::Newer { path: path.to_owned(), found: found.format });
    }
    let keys = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()));
    text.zeroize();
    keys.map(Some)
}

/// When this returns, the keys survive a power cut: a ticket is never sealed with one that could be lost.
fn write(dir: &Path, path: &Path, keys: &NodeKeys) -> Result<(), KeysError> {
    let mut text = serde_json::to_vec_pretty(keys).expect("plain values always have a JSON form");
    text.push(b'\n');
    let part = path.with_extension("part");
    let written = (|| {
        match fs::remove_file(&part) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        File::open(dir)?.sync_all()
    })();
    text.zeroize();
    written.map_err(|source| KeysError::Unusable {
        path: path.to_owned(),
        what: "it cannot be written",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn keys_are_private_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let first = NodeKeys::load(dir.path(), 1_000, DAY).unwrap();
        let again = NodeKeys::load(dir.path(), 1_000 + DAY_MS - 1, DAY).unwrap();
        assert_eq!(first.node, again.node);
        assert_eq!(first.fake_salt_secret(), again.fake_salt_secret());
        assert_eq!(first.ticket_keys().current.key, again.ticket_keys().current.key);
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{first:?}").contains("key:"), "secrets are not printed");
    }

    #[test]
    fn an_old_ticket_key_is_replaced_and_still_opens() {
        let dir = tempfile::tempdir().unwrap();
        let first = NodeKeys::load(dir.path(), 0, DAY).unwrap().ticket_keys();
        let second = NodeKeys::load(dir.path(), DAY_MS, DAY).unwrap().ticket_keys();
        assert_ne!(first.current.key, second.current.key);
        assert_ne!(first.current.id, second.current.id);
        assert_eq!(second.previous.as_ref().unwrap().key, first.current.key);
        let third = NodeKeys::load(dir.path(), DAY_MS * 3, DAY).unwrap().ticket_keys();
        assert_eq!(third.previous.as_ref().unwrap().key, second.current.key);
        assert_eq!(NodeKeys::load(dir.path(), 0, DAY).unwrap().ticket_keys().current.key, third.current.key);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        NodeKeys::load(dir.path(), 0, DAY).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for (text, expected) in [
            (good.replace("\"format\": 1", "\"format\": 2"), "newer"),
            (good.replace("\"previous\"", "\"previus\""), "cannot be understood"),
            (good[..good.len() / 2].to_owned(), "cannot be understood"),
        ] {
            fs::write(&path, &text).unwrap();
            let line = NodeKeys::load(dir.path(), 0, DAY).unwrap_err().to_string();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, &good).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(NodeKeys::load(dir.path(), 0, DAY).unwrap_err().to_string().contains("chmod 600"));
    }
}
