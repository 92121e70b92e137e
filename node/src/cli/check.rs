//! `ringtalk check` and `ringtalk repair`: a data folder that no node uses.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use record::StoreShardId;
use record::verify::Verifier;
use store::{FINDINGS_PER_SHARD_MAX, RowVisitor};

use super::{EXIT_FAILED, Failure, print, with_file};
use crate::config::Options;

#[derive(Args, Debug)]
pub(super) struct FolderArgs {
    /// The node's configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder [default: ./data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(Args, Debug)]
pub(super) struct RepairArgs {
    #[command(flatten)]
    folder: FolderArgs,
}

impl FolderArgs {
    fn dir(&self) -> Result<PathBuf, Failure> {
        let flags = Options { data: self.data.clone(), ..Options::default() };
        Ok(with_file(flags, self.config.clone())?.data())
    }
}

struct Rows(Verifier);

impl RowVisitor for Rows {
    fn on_row(&mut self, store_shard: StoreShardId, key: &[u8], value: &[u8]) -> Result<(), String> {
        self.0.handle_row(store_shard, key, value)
    }

    fn on_shard_end(&mut self, store_shard: StoreShardId) -> Vec<String> {
        self.0.handle_shard_end(store_shard)
    }
}

/// Prints the findings one per line and a line that sums up. Done only if there is none.
pub(super) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let mut rows = Rows(Verifier::new(shard::limits::LIST_ENTRIES_MAX));
    let report = store::check(&args.folder.dir()?, &mut rows).map_err(Failure::new)?;
    let (found, totals) = rows.0.finish(report.store_shards);
    let mut text = String::new();
    let listed = report.findings.iter().chain(found.iter().take(FINDINGS_PER_SHARD_MAX));
    listed.for_each(|finding| text.extend([finding, "\n"]));
    if found.len() > FINDINGS_PER_SHARD_MAX {
        text += &format!("{} more findings\n", found.len() - FINDINGS_PER_SHARD_MAX);
    }
    let findings = report.findings.len() + found.len();
    text += &format!(
        "check: shards={} conversations={} entries={} users={} findings={findings}\n",
        report.store_shards, totals.conversations, totals.entries, totals.users
    );
    print(&text);
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

/// Prints what was mended and what was refused. Done only if the folder opens now.
pub(super) fn repair(args: &RepairArgs) -> Result<ExitCode, Failure> {
    let report = store::repair(&args.folder.dir()?).map_err(Failure::new)?;
    print(&format!("{report}\n"));
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}
