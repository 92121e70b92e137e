//! `cargo run --release -p tests --bin durability -- --kills 100 --cuts 20`: the durability test at any length.

use std::process::ExitCode;

use clap::Parser;
use tests::durability::{Options, run};

/// Kills a real node under load, and cuts its power, again and again; says what became of the promise.
#[derive(Parser, Debug)]
struct Arguments {
    /// SIGKILLs.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Power cuts (needs root: mounts a file system from a file).
    #[arg(long, default_value_t = 5)]
    cuts: u32,
    /// Acknowledged messages before each, at least.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    acked_each: u64,
}

fn main() -> ExitCode {
    let Arguments { kills, cuts, acked_each } = Arguments::parse();
    match run(&Options { kills, cuts, acked_each }) {
        Ok(verdict) => {
            println!("{verdict}");
            if verdict.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("durability: {error}");
            ExitCode::FAILURE
        }
    }
}
