//! `bench`: drives a real node from outside and says what it costs.

mod direct;
mod driver;
mod idle;
mod report;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

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

/// Where the node is and how it is reached.
#[derive(Args, Debug, Clone)]
pub struct NodeOptions {
    /// A running node; without it, one is started. Such a node needs `--rate-logins 0 --rate-messages 0` and registration open.
    #[arg(long, value_name = "ADDR", requires = "pid")]
    pub connect: Option<SocketAddr>,
    /// Process id of the running node, to read its processor time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// TLS instead of plain TCP.
    #[arg(long)]
    pub tls: bool,
    /// The node's program [default: `ringtalk` beside this program]
    #[arg(long, value_name = "FILE")]
    pub node: Option<PathBuf>,
    /// Cores of a node that is started, such as 0 or 0,1.
    #[arg(long, default_value = "0", value_name = "LIST")]
    pub server_cores: String,
    /// Core of the load.
    #[arg(long, default_value_t = 1, value_name = "CORE")]
    pub load_core: usize,
    /// Data folder of a node that is started [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
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
