//! `show` and `compare`: what is done with saved reports.

use std::path::PathBuf;

use clap::Args;

use super::{Outputs, compare, load};

/// Shows a saved report again.
#[derive(Args, Debug, Clone)]
pub struct Show {
    /// A report that `--save` wrote.
    #[arg(value_name = "REPORT")]
    report: PathBuf,
    #[command(flatten)]
    outputs: Outputs,
}

/// Compares two saved reports: both figures, the ratio of the second to the first, and a mark on what changed by more than
/// the rounds differ among themselves.
#[derive(Args, Debug, Clone)]
pub struct Compare {
    #[arg(value_name = "A")]
    before: PathBuf,
    #[arg(value_name = "B")]
    after: PathBuf,
}

impl Show {
    pub fn run(&self) -> anyhow::Result<()> {
        self.outputs.write(load(&self.report)?)
    }
}

impl Compare {
    /// Prints. Differences are no error.
    pub fn run(&self) -> anyhow::Result<()> {
        print!("{}", compare(&load(&self.before)?, &load(&self.after)?));
        Ok(())
    }
}
