//! `ringtalk stats`: the figures of a running node.

use std::collections::BTreeMap;
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
        let text = serde_json::to_string_pretty(&whole(&figures)).map_err(Failure::new)?;
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

/// Counts as the whole numbers they are.
fn whole(figures: &BTreeMap<String, f64>) -> BTreeMap<&str, serde_json::Value> {
    // Exact up to here, as any reader of JSON takes them.
    const WHOLE_MAX: f64 = (1u64 << 53) as f64;
    let number = |value: f64| {
        if value.fract() == 0.0 && (0.0..WHOLE_MAX).contains(&value) {
            (value as u64).into()
        } else {
            value.into()
        }
    };
    figures.iter().map(|(name, value)| (name.as_str(), number(*value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_printed_without_a_fraction() {
        let figures = [("count", 3.0), ("share", 0.5), ("below", -1.0)];
        let figures = figures.map(|(name, value)| (name.to_owned(), value)).into();
        let text = serde_json::to_string(&whole(&figures)).unwrap();
        assert_eq!(text, r#"{"below":-1.0,"count":3,"share":0.5}"#);
    }
}
