//! `bench`: drives a real node from outside and says what it costs.

use std::process::ExitCode;

use bench::{direct, idle};
use clap::{Parser, Subcommand};

/// Load generator for a Ringtalk node. Without --connect it starts a node of its own, on a fresh data folder, and stops it.
#[derive(Parser, Debug)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand, Debug)]
enum Scenario {
    /// Pairs of users: one sends to the other, durably acknowledged.
    Direct(direct::Options),
    /// Logged-in sessions that do nothing: what each costs in memory.
    Idle(idle::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().scenario {
        Scenario::Direct(options) => direct::run(&options),
        Scenario::Idle(options) => idle::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
