//! `cargo run --release -p tests --bin org -- --members 100000`: an organisation of that size on a real node.

use std::process::ExitCode;

use clap::Parser;
use tests::organisation::run;

/// Imports an organisation into a real node and syncs it; prints sizes and times. Takes a minute per 100,000 members.
#[derive(Parser, Debug)]
struct Arguments {
    /// Members, each an account of his own.
    #[arg(long, default_value_t = 100_000)]
    members: usize,
}

fn main() -> ExitCode {
    let Arguments { members } = Arguments::parse();
    let folder = tempfile::tempdir().expect("a folder");
    print!("{}", run(folder.path(), members));
    ExitCode::SUCCESS
}
