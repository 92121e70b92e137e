//! What many worlds came to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::faults::{Fault, Tally};
use super::script::{CRASHES_MIN, OPERATIONS_MIN};
use super::world::Outcome;

/// Failing seeds whose traces are shown.
pub const FAILURES_SHOWN: usize = 3;
/// Longest line of a report.
const LINE_LEN_MAX: usize = 1_200;

/// A line that fits a report.
pub fn shortened(line: &str) -> String {
    match line.char_indices().nth(LINE_LEN_MAX) {
        Some((at, _)) => format!("{} ...", &line[..at]),
        None => line.to_owned(),
    }
}

/// Sums over many worlds.
#[derive(Debug, Default)]
pub struct Totals {
    pub seeds: u64,
    pub operations: u64,
    pub steps: u64,
    pub messages: u64,
    pub lulls_seen: u64,
    pub tally: Tally,
    pub counters: BTreeMap<String, u64>,
    /// Seed and first violation.
    pub failures: Vec<(u64, String)>,
    pub violations: u64,
}

impl Totals {
    pub fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.operations += outcome.operations;
        self.steps += outcome.steps;
        self.messages += outcome.messages;
        self.lulls_seen += outcome.lulls_seen;
        self.tally.merge(&outcome.tally);
        for (name, count) in outcome.counters {
            *self.counters.entry(name).or_default() += count;
        }
        let mut violations = outcome.violations;
        if violations.is_empty() && outcome.tally.of(Fault::Crash) < CRASHES_MIN {
            violations.push(format!("only {} crashes", outcome.tally.of(Fault::Crash)));
        }
        if violations.is_empty() && outcome.operations < OPERATIONS_MIN {
            violations.push(format!("only {} operations", outcome.operations));
        }
        self.violations += violations.len() as u64;
        if let Some(first) = violations.into_iter().next() {
            self.failures.push((seed, first));
            self.failures.sort();
        }
    }

    /// Nothing was violated and, over a run long enough for it, every kind of fault fired.
    pub fn is_clean(&self, long_enough: bool) -> bool {
        let missing = self.tally.missing();
        for fault in &missing {
            println!("this kind of fault never fired: {}", fault.name());
        }
        self.failures.is_empty() && (missing.is_empty() || !long_enough)
    }

    pub fn print(&self, took: Duration) {
        for (seed, violation) in &self.failures {
            println!("seed {seed}: {}", shortened(violation));
        }
        println!("faults, and how often each kind fired:");
        for fault in Fault::ALL {
            println!("  {:>9}  {}", self.tally.of(*fault), fault.name());
        }
        let counters: Vec<_> = self.counters.iter().map(|(name, count)| format!("{name}={count}")).collect();
        println!("what the shards counted: {}", counters.join(" "));
        println!(
            "messages stored: {}, devices looked at after a lull: {}, steps of shards: {}, {:.1} s",
            self.messages,
            self.lulls_seen,
            self.steps,
            took.as_secs_f64()
        );
        println!(
            "sim: seeds={} operations={} crashes={} faults={} violations={}",
            self.seeds,
            self.operations,
            self.tally.of(Fault::Crash),
            self.tally.total(),
            self.violations
        );
    }
}
