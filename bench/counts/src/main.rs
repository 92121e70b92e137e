//! Instructions and allocations of the pure shard, per command.

mod commands;
mod meter;
mod node;
mod stage;

use clap::Parser;
use commands::Command;

/// Counts what a command costs the pure shard, from its frame to the last effect of it: allocations, bytes allocated,
/// and steps. The same in every run.
#[derive(Debug, Parser)]
struct Options {
    /// Counts this command only; may be given several times.
    #[arg(long, value_name = "COMMAND")]
    only: Vec<String>,
}

fn main() {
    let options = Options::parse();
    println!("{:24} {:>12} {:>12} {:>8}", "per command", "allocations", "bytes", "steps");
    for command in Command::ALL {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == command.name()) {
            continue;
        }
        let counted = command.count(|_| ());
        let each = |sum: u64| sum as f64 / counted.commands as f64;
        println!(
            "{:24} {:>12.3} {:>12.1} {:>8.2}  {}",
            command.name(),
            each(counted.meter.allocations),
            each(counted.meter.bytes),
            each(counted.meter.steps),
            command.meaning(),
        );
    }
}
