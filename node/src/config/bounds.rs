//! Bounds and defaults of the options that are numbers.

use super::{ConfigError, SHARDS_MAX};

/// What a number may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub option: &'static str,
    pub unit: &'static str,
    pub min: u64,
    pub max: u64,
    pub default: u64,
}

/// Every option that is a number with a fixed default. `--help` repeats them, and a test compares.
pub const BOUNDS: &[Bounds] = &[
    bounds("shards", "", 1, SHARDS_MAX as u64, 1),
    bounds("placement-bound", "percent", 0, 1_000, 25),
    bounds("idle-desktop", "seconds", 10, 86_400, 120),
    bounds("idle-mobile", "seconds", 10, 86_400, 300),
    bounds("idle-web", "seconds", 10, 86_400, 120),
    bounds("idle-bot", "seconds", 10, 86_400, 300),
    bounds("login-timeout", "seconds", 1, 300, 15),
    bounds("ticket-lifetime", "hours", 1, 8_760, 168),
    bounds("code-lifetime", "hours", 1, 8_760, 24),
    bounds("recall-time", "seconds", 0, 31_536_000, 120),
    bounds("name-reserved", "days", 0, 36_500, 365),
    bounds("reconnect-delay", "milliseconds", 100, 600_000, 2_000),
    bounds("iterations", "", 4_096, 10_000_000, 600_000),
    bounds("connections-max", "", 16, 1_000_000, 100_000),
    bounds("connections-per-address", "", 1, 1_000_000, 1_024),
    bounds("unauthenticated-max", "", 16, 1_000_000, 10_000),
    bounds("rate-logins", "per second", 0, 1_000_000, 50),
    bounds("rate-messages", "per second", 0, 1_000_000, 2_000),
    bounds("rate-queries", "per second", 0, 1_000_000, 500),
    bounds("rate-light", "per second", 0, 1_000_000, 50),
    bounds("free-floor", "MiB", 1, 1_048_576, 512),
    bounds("cache", "MiB", 8, 1_048_576, 256),
    bounds("write-buffer", "MiB", 8, 65_536, 256),
    bounds("read-threads", "", 1, 64, 4),
    bounds("stop-timeout", "seconds", 1, 600, 10),
];

const fn bounds(option: &'static str, unit: &'static str, min: u64, max: u64, default: u64) -> Bounds {
    assert!(min <= default && default <= max);
    Bounds { option, unit, min, max, default }
}

/// The bounds of an option of the table.
pub(super) fn of(option: &str) -> &'static Bounds {
    BOUNDS.iter().find(|bounds| bounds.option == option).expect("an option of the table")
}

/// What an option of the table is if nobody says.
///
/// # Panics
/// If there is no such option.
pub fn default_of(option: &str) -> u64 {
    of(option).default
}

impl Bounds {
    /// The value given, or the default.
    pub(super) fn check(&self, given: Option<u64>) -> Result<u64, ConfigError> {
        let value = given.unwrap_or(self.default);
        if (self.min..=self.max).contains(&value) {
            return Ok(value);
        }
        let mend = format!("give {} to {}", self.min, self.max);
        let mend = if self.unit.is_empty() { mend } else { format!("{mend} ({})", self.unit) };
        Err(ConfigError::value(self.option, value, mend))
    }
}
