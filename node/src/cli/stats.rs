//! `ringtalk stats`: the figures of a running node.

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
    let Reply::Stats { figures, silent } = reply else {
        return Err(Failure::new(format!("the node answered something else than was asked ({reply:?})")));
    };
    if args.json {
        let text = serde_json::to_string_pretty(&figures).map_err(Failure::new)?;
        print(&format!("{text}\n"));
    } else {
        let width = figures.keys().map(String::len).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &figures {
            let _ = writeln!(text, "{name:<width$}  {value}");
        }
        print(&text);
    }
    if let [first, ..] = silent[..] {
        let count = silent.len();
        let what = format!(
            "{count} shards did not answer in time, {first} is one of them: their figures are missing; try again"
        );
        return Err(Failure::new(what));
    }
    Ok(ExitCode::SUCCESS)
}
