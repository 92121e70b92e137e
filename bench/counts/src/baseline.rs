//! What commands are known to cost, and what is wrong with a new count.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cost::{Cost, Measured};

/// A rise of instructions over this fails.
pub const INSTRUCTIONS_RISE_PERCENT_MAX: f64 = 5.0;
/// A rise of allocations per command of this much fails. One in a hundred commands is a table that grows.
pub const ALLOCATIONS_RISE: f64 = 0.01;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// What made the counted code.
    pub rustc: String,
    pub target: String,
    pub commands: BTreeMap<String, Cost>,
}

/// What is wrong, or only worth knowing.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The check fails.
    Rise(String),
    /// The baseline should be made anew.
    Fall(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Finding::Rise(text) | Finding::Fall(text)) = self;
        f.write_str(text)
    }
}

pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline.toml")
}

impl Baseline {
    pub fn read() -> Result<Self> {
        let text = std::fs::read_to_string(path()).context("bench/counts/baseline.toml")?;
        toml::from_str(&text).context("bench/counts/baseline.toml")
    }

    /// One line per command, in the order in which they are given.
    pub fn text(rustc: &str, target: &str, all: &[Measured]) -> String {
        let mut text = String::from(
            "# What a command costs the pure shard, on average. Made by `cargo counts --update`; what the columns and\n\
             # names mean is in README.md beside this file.\n",
        );
        let _ = write!(text, "rustc = \"{rustc}\"\ntarget = \"{target}\"\n\n[commands]\n");
        for Measured { command, cost, .. } in all {
            let name = command.name();
            let _ = writeln!(
                text,
                "{name:21} = {{ instructions = {:8.1}, allocations = {:7.3}, bytes = {:8.1} }}",
                cost.instructions.unwrap_or_default(),
                cost.allocations,
                cost.bytes
            );
        }
        text
    }

    pub fn compare(&self, measured: &Measured) -> Vec<Finding> {
        let (name, new) = (measured.command.name(), &measured.cost);
        let Some(old) = self.commands.get(name) else {
            return vec![Finding::Rise(format!("{name}: not in the baseline"))];
        };
        let mut found = Vec::new();
        if let (Some(before), Some(now)) = (old.instructions, new.instructions) {
            let text =
                format!("{name}: {now:.0} instructions, {:+.1} % to the baseline", percent(before, now));
            if now > before * (1.0 + INSTRUCTIONS_RISE_PERCENT_MAX / 100.0) {
                found.push(Finding::Rise(text));
            } else if now < before * (1.0 - INSTRUCTIONS_RISE_PERCENT_MAX / 100.0) {
                found.push(Finding::Fall(text));
            }
        }
        let more = new.allocations - old.allocations;
        let text = format!("{name}: {:.3} allocations, {more:+.3} to the baseline", new.allocations);
        if more > ALLOCATIONS_RISE {
            found.push(Finding::Rise(text));
        } else if more < -ALLOCATIONS_RISE {
            found.push(Finding::Fall(text));
        }
        found
    }
}

pub fn percent(before: f64, now: f64) -> f64 {
    if before == 0.0 { 0.0 } else { (now / before - 1.0) * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Command;

    fn measured(instructions: Option<f64>, allocations: f64) -> Measured {
        let cost = Cost { instructions, allocations, bytes: 100.0 };
        Measured { command: Command::Ping, cost, libc: None, steps: 2.0 }
    }

    fn baseline() -> Baseline {
        let text = Baseline::text("1.95.0", "x86_64-linux", &[measured(Some(1_000.0), 2.0)]);
        toml::from_str(&text).expect("what is written can be read")
    }

    fn found(instructions: f64, allocations: f64) -> Vec<Finding> {
        baseline().compare(&measured(Some(instructions), allocations))
    }

    #[test]
    fn a_rise_fails_and_a_fall_asks_for_a_new_baseline() {
        assert_eq!(found(1_000.0, 2.0), []);
        assert_eq!(found(1_049.0, 2.005), []);
        assert_eq!(found(951.0, 1.995), []);
        assert!(matches!(&found(1_051.0, 2.0)[..], [Finding::Rise(text)] if text.contains("+5.1 %")));
        assert!(matches!(&found(1_000.0, 2.02)[..], [Finding::Rise(text)] if text.contains("+0.020")));
        assert!(matches!(&found(949.0, 2.0)[..], [Finding::Fall(text)] if text.contains("-5.1 %")));
        assert!(matches!(found(1_000.0, 1.0)[..], [Finding::Fall(_)]));
        assert!(matches!(found(2_000.0, 3.0)[..], [Finding::Rise(_), Finding::Rise(_)]));
    }

    #[test]
    fn allocations_are_compared_without_instructions_too() {
        assert!(matches!(baseline().compare(&measured(None, 3.0))[..], [Finding::Rise(_)]));
    }

    #[test]
    fn a_command_that_is_not_in_the_baseline_fails() {
        let unknown = Measured { command: Command::Pull, ..measured(Some(1.0), 1.0) };
        assert!(matches!(baseline().compare(&unknown)[..], [Finding::Rise(_)]));
    }

    #[test]
    fn the_baseline_names_the_commands() {
        let names: Vec<_> = Baseline::read().expect("the baseline").commands.into_keys().collect();
        let mut commands: Vec<_> = Command::ALL.iter().map(|command| command.name().to_owned()).collect();
        commands.sort_unstable();
        assert_eq!(names, commands);
    }
}
