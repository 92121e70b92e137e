//! Broken promises for tests, behind the feature `fault-injection`.
//!
//! A durability test that cannot fail proves nothing. With these it can be seen to fail: one is caught by SIGKILL, the
//! other only by a power cut. Without the feature none of this is in the binary.

use std::time::Duration;

/// Environment variable that chooses the fault: `ack-before-commit`, `no-fsync`, or unset for none.
pub const FAULT_VARIABLE: &str = "RINGTALK_STORE_FAULT";

/// How long an early acknowledgement is ahead of its commit, so that a kill lands in between.
pub const ACK_AHEAD: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// `Committed` is answered before the commit is begun.
    AckBeforeCommit,
    /// Commits are written but not synced.
    NoFsync,
}

impl Fault {
    /// # Panics
    /// On a value that names no fault: a test that meant one must not pass by a typing error.
    pub fn from_environment() -> Self {
        match std::env::var(FAULT_VARIABLE).ok().as_deref() {
            None | Some("") => Self::None,
            Some("ack-before-commit") => Self::AckBeforeCommit,
            Some("no-fsync") => Self::NoFsync,
            Some(other) => panic!("{FAULT_VARIABLE}={other} names no fault"),
        }
    }
}
