//! `show` and `compare`: what is done with saved reports.

use std::path::PathBuf;

use clap::Args;

use super::model::Report;
use super::{Outputs, compare, load};

/// Shows a saved report again, or several as one: such as the table, a sweep and the limits.
#[derive(Args, Debug, Clone)]
pub struct Show {
    /// Reports that `--save` wrote.
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<PathBuf>,
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
        let mut reports =
            self.reports.iter().map(|path| load(path)).collect::<anyhow::Result<Vec<_>>>()?.into_iter();
        let first = reports.next().unwrap_or_default();
        self.outputs.write(reports.fold(first, Report::with))
    }
}

impl Compare {
    /// Prints. Differences are no error.
    pub fn run(&self) -> anyhow::Result<()> {
        print!("{}", compare(&load(&self.before)?, &load(&self.after)?));
        Ok(())
    }
}
