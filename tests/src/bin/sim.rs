//! Runs the simulator. `cargo sim -- --seeds 1000` runs a thousand worlds; `--seed N --trace` shows one of them;
//! `--bugs` (with the feature `planted-bugs`) runs each planted bug until a world finds it.

use std::process::ExitCode;

use clap::Parser;
use tests::sim::{self, Options};

/// Simulated worlds of a Ringtalk node and its clients.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many worlds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The seed of the first one.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Runs this world only.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: prints everything that happens.
    #[arg(long)]
    trace: bool,
    /// Runs every world twice and compares the two; without it every fiftieth.
    #[arg(long)]
    check_determinism: bool,
    /// Plants this bug; needs the feature `planted-bugs`.
    #[arg(long)]
    bug: Option<String>,
    /// Runs each planted bug (or the one of --bug) until a world finds it; needs the feature `planted-bugs`.
    #[arg(long)]
    bugs: bool,
    /// Worlds that run at the same time.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if (arguments.bugs || arguments.bug.is_some()) && !cfg!(feature = "planted-bugs") {
        eprintln!("sim: bugs can be planted only in a build with them: cargo sim-bugs");
        return ExitCode::from(2);
    }
    let options = Options {
        first_seed: arguments.first_seed,
        seeds: arguments.seeds,
        threads: arguments.threads,
        check_determinism: arguments.check_determinism,
        bug: arguments.bug,
    };
    let clean = match arguments.seed {
        Some(seed) => sim::replay(seed, options.bug.as_deref(), arguments.trace),
        None if arguments.bugs => sim::find_bugs(&options),
        None => sim::run_seeds(&options),
    };
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
