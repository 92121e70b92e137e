//! What one command costs on average.

use anyhow::Result;
use serde::Deserialize;

use crate::callgrind::{self, Detail};
use crate::commands::Command;
use crate::fault::Fault;

/// Averages of one command.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// `None` where they were not counted.
    pub instructions: Option<f64>,
    /// Reallocations included.
    pub allocations: f64,
    /// Bytes allocated: shown, never a failure.
    pub bytes: f64,
}

/// What to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    Allocations,
    All,
}

#[derive(Clone, Debug)]
pub struct Measured {
    pub command: Command,
    pub cost: Cost,
    /// Instructions of the C library.
    pub libc: Option<f64>,
    pub steps: f64,
}

impl Measured {
    pub fn new(command: Command, counting: Counting, planted: Option<Fault>) -> Result<Self> {
        let counted = command.count(planted);
        let each = |sum: u64| sum as f64 / counted.commands as f64;
        let profile = match counting {
            Counting::Allocations => None,
            Counting::All => Some(callgrind::count(command, Detail::Sums, planted)?),
        };
        Ok(Self {
            command,
            cost: Cost {
                instructions: profile.as_ref().map(|profile| each(profile.instructions)),
                allocations: each(counted.meter.allocations()),
                bytes: each(counted.meter.bytes),
            },
            libc: profile.as_ref().map(|profile| each(profile.libc)),
            steps: each(counted.meter.steps),
        })
    }
}
