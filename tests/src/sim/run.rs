//! Many worlds on a few threads, one world again, and the hunt for planted bugs.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::report::{self, Totals};
use super::trace::Lines;
use super::world::{Outcome, World};

/// Every so many seeds are run twice, to see whether both runs are the same.
const TWICE_EVERY: u64 = 50;

/// In a run of so many seeds every kind of fault must fire. The rarest fires in one world of ten.
const EVERY_KIND_SEEDS: u64 = 200;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    pub first_seed: u64,
    pub seeds: u64,
    pub threads: usize,
    /// Run every seed twice and compare the traces; otherwise every [`TWICE_EVERY`]th.
    pub check_determinism: bool,
    pub bug: Option<String>,
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Panics of worlds are violations: they are kept for the report instead of printed.
fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.to_string().replace('\n', " ");
        PANIC.with(|panic| *panic.borrow_mut() = message);
    }));
}

/// Runs one world. A panic in it is its violation.
fn run_world(seed: u64, bug: Option<&str>, lines: Option<Lines>) -> Outcome {
    let bug = bug.map(str::to_owned);
    match catch_unwind(AssertUnwindSafe(|| World::new(seed, bug, lines).run())) {
        Ok(outcome) => outcome,
        Err(_) => {
            let message = PANIC.with(|panic| panic.borrow().clone());
            Outcome { violations: vec![message], ..Outcome::default() }
        }
    }
}

fn run_checked(seed: u64, options: &Options) -> Outcome {
    let bug = options.bug.as_deref();
    let mut outcome = run_world(seed, bug, None);
    if outcome.violations.is_empty() && (options.check_determinism || seed.is_multiple_of(TWICE_EVERY)) {
        let again = run_world(seed, bug, None);
        if again.digest != outcome.digest {
            let what = format!("two runs differ: {:016x} and {:016x}", outcome.digest, again.digest);
            outcome.violations.push(what);
        }
    }
    outcome
}

/// Runs worlds on all threads and prints what came of them. True when all is well.
pub fn run_seeds(options: &Options) -> bool {
    keep_panics();
    let started = Instant::now();
    let totals = Mutex::new(Totals::default());
    let next = AtomicU64::new(options.first_seed);
    let end = options.first_seed + options.seeds;
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run_checked(seed, options);
                    totals.lock().unwrap_or_else(PoisonError::into_inner).add(seed, outcome);
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (seed, _) in totals.failures.iter().take(report::FAILURES_SHOWN) {
        show_tail(*seed, options.bug.as_deref());
    }
    totals.print(started.elapsed());
    totals.is_clean(options.seeds >= EVERY_KIND_SEEDS)
}

fn show_tail(seed: u64, bug: Option<&str>) {
    let lines = Lines::new(false);
    let outcome = run_world(seed, bug, Some(lines.clone()));
    println!("seed {seed} fails:");
    for line in lines.tail() {
        println!("  {}", report::shortened(&line));
    }
    for violation in &outcome.violations {
        println!("  {}", report::shortened(violation));
    }
    println!("replay: cargo sim -- --seed {seed} --trace");
}

/// Runs one world and, with `trace`, prints everything that happens in it. True when all is well.
pub fn replay(seed: u64, bug: Option<&str>, trace: bool) -> bool {
    keep_panics();
    let lines = trace.then(|| Lines::new(true));
    let outcome = run_world(seed, bug, lines);
    for violation in &outcome.violations {
        println!("violation: {violation}");
    }
    println!(
        "seed {seed}: operations={} steps={} messages={} trace={:016x} violations={}",
        outcome.operations,
        outcome.steps,
        outcome.messages,
        outcome.digest,
        outcome.violations.len()
    );
    outcome.violations.is_empty()
}

/// Runs worlds with each planted bug until one finds it. True when all were found.
pub fn find_bugs(options: &Options) -> bool {
    keep_panics();
    let mut all = true;
    let mut found_count = 0;
    for bug in shard::bugs::Bug::ALL {
        let name = format!("{bug:?}");
        if options.bug.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        match find_bug(options, &name) {
            Some((seed, violation)) => {
                found_count += 1;
                println!("bug {name:<20} found by seed {seed:>4}: {}", report::shortened(&violation));
            }
            None => {
                all = false;
                println!("bug {name:<20} NOT FOUND in {} seeds", options.seeds);
            }
        }
    }
    println!("sim: bugs={found_count} found={all}");
    all
}

/// The lowest seed among those tried that finds the bug.
fn find_bug(options: &Options, name: &str) -> Option<(u64, String)> {
    let next = AtomicU64::new(options.first_seed);
    let end = options.first_seed + options.seeds;
    let found = AtomicBool::new(false);
    let finds = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| {
                while !found.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run_world(seed, Some(name), None);
                    if let Some(violation) = outcome.violations.into_iter().next() {
                        found.store(true, Ordering::Relaxed);
                        finds.lock().unwrap_or_else(PoisonError::into_inner).push((seed, violation));
                    }
                }
            });
        }
    });
    let finds = finds.into_inner().unwrap_or_else(PoisonError::into_inner);
    finds.into_iter().min_by_key(|(seed, _)| *seed)
}
