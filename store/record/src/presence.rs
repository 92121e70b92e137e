//! A user's own state.

use rkyv::{Archive, Deserialize, Serialize};
use wire::limits::PRESENCE_TEXT_LEN_MAX;

use crate::records::{Record, RecordError, record};

/// What a user is while a device of his is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub enum Status {
    #[default]
    Online,
    Away,
    Busy,
    /// Offline for everybody else.
    Invisible,
}

/// Who may know when he was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub enum LastSeenFor {
    Nobody,
    #[default]
    Contacts,
    Everybody,
}

/// A user's state, for all his devices. Who never set one has the default.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Presence {
    pub status: Status,
    pub text: String,
    pub last_seen_for: LastSeenFor,
    /// When others saw him online last, Unix milliseconds; 0: never. Written when he goes offline or invisible.
    pub last_seen_ms: u64,
}
record!(Presence, Presence, 1);

impl Presence {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.text.len() > PRESENCE_TEXT_LEN_MAX {
            return Err(format!("its text has {} bytes", self.text.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_stay_readable() {
        let presence = Presence {
            status: Status::Invisible,
            text: "in a call".into(),
            last_seen_for: LastSeenFor::Everybody,
            last_seen_ms: 1_800_000_000_000,
        };
        let hex: String = presence.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert_eq!(Presence::decode(&presence.encode()), Ok(presence));
    }

    const GOLDEN: &str = "1f01696e20612063616c6c0389000000f6ffffff0200505c18a3010000";
}
