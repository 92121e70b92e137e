//! Options that all scenarios share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Where the node is and how it is reached.
#[derive(Args, Debug, Clone)]
pub struct NodeOptions {
    /// A running node; without it, one is started. Such a node needs `--rate-logins 0 --rate-messages 0 --rate-queries 0
    /// --rate-light 0`, open registration and high limits on connections
    #[arg(long, value_name = "ADDR", requires = "pid")]
    pub connect: Option<SocketAddr>,
    /// Process id of the running node, to read its processor time and memory
    #[arg(long)]
    pub pid: Option<u32>,
    /// TLS instead of plain TCP
    #[arg(long)]
    pub tls: bool,
    /// The node's program [default: `ringtalk` beside this program; built first under `cargo run`]
    #[arg(long, value_name = "FILE")]
    pub node: Option<PathBuf>,
    /// One more argument for a node that is started; may be repeated, as in `--node-arg=--cache --node-arg=64`
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub node_arg: Vec<String>,
    /// Cores of a node that is started, such as 0 or 0,1; of the relay, the first of them
    #[arg(long, default_value = "0", value_name = "LIST")]
    pub server_cores: String,
    /// Core of the load
    #[arg(long, default_value_t = 1, value_name = "CORE")]
    pub load_core: usize,
    /// Milliseconds for which a node must use next to no processor time before it counts as quiet
    #[arg(long, default_value_t = 400, value_name = "MS", value_parser = clap::value_parser!(u32).range(100..=10_000))]
    pub quiet_ms: u32,
    /// Data folder of a node that is started [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// How long and how often.
#[derive(Args, Debug, Clone, Copy)]
pub struct RoundOptions {
    /// Seconds of each round
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// Rounds that count; medians are taken over them
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Milliseconds of load before the first round that counts
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=600_000))]
    pub warm_up_ms: u32,
}

/// Length of a round, from a command line.
pub fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    let range = 0.1..=3_600.0;
    range.contains(&seconds).then_some(seconds).ok_or_else(|| format!("{seconds} is not in {range:?}"))
}

impl RoundOptions {
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub fn warm_up(&self) -> Duration {
        Duration::from_millis(self.warm_up_ms.into())
    }
}

impl NodeOptions {
    /// These options with another protection.
    pub fn with_tls(&self, tls: bool) -> Self {
        Self { tls, ..self.clone() }
    }

    /// `plain` or `TLS`.
    pub fn protection(&self) -> &'static str {
        if self.tls { "TLS" } else { "plain" }
    }
}
