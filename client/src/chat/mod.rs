//! The terminal client: interactive in a terminal, one message per line otherwise.

#[allow(dead_code, reason = "the interactive loop is added next")]
mod app;
#[allow(dead_code, reason = "the interactive loop is added next")]
mod command;
#[allow(dead_code, reason = "the interactive loop is added next")]
mod editor;
#[allow(dead_code, reason = "the interactive loop is added next")]
mod log;
#[allow(dead_code, reason = "the interactive loop is added next")]
mod moment;
mod options;
#[allow(dead_code, reason = "the interactive loop is added next")]
mod text;
#[allow(dead_code, reason = "the interactive loop is added next")]
mod view;

use std::process::ExitCode;

pub use options::{ChatOptions, Exit, Stop};

use crate::transport;

/// Runs the terminal client until the person leaves. Prints one line to standard error when it ends badly; [`Exit`]
/// lists the exit codes.
pub fn run(options: ChatOptions) -> ExitCode {
    match check(&options) {
        Ok(exit) => exit.into(),
        Err(stop) => {
            eprintln!("ringtalk: {}", stop.reason);
            stop.exit.into()
        }
    }
}

fn check(options: &ChatOptions) -> Result<Exit, Stop> {
    let user = options.user.as_deref().ok_or_else(|| Stop::usage("give --user NAME"))?;
    let plan = options::plan(options, user)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::new(Exit::Usage, error.to_string()))?;
    tracing::debug!(user = %plan.user, folder = %plan.folder.display(), "connecting");
    let connected = runtime.block_on(transport::connect(&plan.address, &plan.security, &[]));
    connected.map(|_| Exit::Done).map_err(|error| Stop::new(Exit::Connect, error.to_string()))
}
