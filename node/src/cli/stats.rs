//! `ringtalk stats`: the counters of a running node.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, Reach, print};
use crate::admin::{AdminClient, Reply, Request};

#[derive(Args, Debug)]
pub(super) struct StatsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &StatsArgs) -> Result<ExitCode, Failure> {
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    let reply = node.ask(&Request::Stats).map_err(Failure::new)?;
    let Reply::Stats { counters } = reply else {
        return Err(Failure::new(format!("the node answered something else than was asked ({reply:?})")));
    };
    if args.json {
        let text = serde_json::to_string_pretty(&counters).map_err(Failure::new)?;
        print(&format!("{text}\n"));
    } else {
        let width = counters.keys().map(String::len).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &counters {
            let _ = writeln!(text, "{name:<width$}  {value}");
        }
        print(&text);
    }
    Ok(ExitCode::SUCCESS)
}
