//! The load generator's parts: clients by the thousand, scenarios, reports.

pub mod direct;
pub mod driver;
pub mod idle;
pub mod report;
pub mod server;
pub mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

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
