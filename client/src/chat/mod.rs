//! The terminal client: interactive in a terminal, one message per line otherwise.

mod acts;
mod app;
mod command;
mod contacts;
mod devices;
mod editor;
mod find;
mod interactive;
mod keys;
mod lines;
mod log;
mod moment;
mod options;
mod org;
mod page;
mod password;
mod presence;
mod profile;
mod screen;
mod secret;
mod signals;
mod start;
mod text;
mod view;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

pub use options::{ChatOptions, Exit, Stop};

use crate::event::{Connection, StopCause};

use options::Plan;
use signals::Signals;
use start::Offline;

/// Longest wait for the last writes at the end.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Where input comes from and output goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Both are a terminal.
    Interactive,
    Lines,
}

/// Runs the terminal client until the person leaves. Prints one line to standard error when it ends badly; [`Exit`]
/// lists the exit codes. Builds its own runtime: not to be called from within one.
pub fn run(options: ChatOptions) -> ExitCode {
    match run_inner(&options) {
        Ok(exit) => exit.into(),
        Err(stop) => {
            eprintln!("ringtalk: {}", text::for_line(stop.reason.trim_end_matches('.')));
            stop.exit.into()
        }
    }
}

fn run_inner(options: &ChatOptions) -> Result<Exit, Stop> {
    let mode = match std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        true => Mode::Interactive,
        false => Mode::Lines,
    };
    if mode == Mode::Lines && options.peer.is_none() {
        return Err(Stop::usage("without a terminal --peer NAME is needed"));
    }
    let user = match &options.user {
        Some(user) => user.clone(),
        None if mode == Mode::Interactive => password::ask_line("user")?,
        None => return Err(Stop::usage("give --user NAME")),
    };
    let plan = options::plan(options, &user)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::usage(format!("cannot start: {error}")))?;
    let result = runtime.block_on(session(options, &plan, mode));
    password::give_up_asking();
    runtime.shutdown_background(); // a thread may still wait for input
    result
}

async fn session(options: &ChatOptions, plan: &Plan, mode: Mode) -> Result<Exit, Stop> {
    let mut signals = Signals::listen()?;
    let client = tokio::select! {
        opened = start::open(options, plan) => opened?,
        exit = signals.next() => return Ok(exit),
    };
    let events = client.events();
    let offline = if mode == Mode::Interactive { Offline::Goes } else { Offline::Ends };
    let logged_in = tokio::select! {
        result = start::log_in(&client, options, plan, offline) => result,
        exit = signals.next() => return Ok(exit),
    };
    let result = match (logged_in, mode) {
        (Err(stop), _) => Err(stop),
        (Ok(()), Mode::Interactive) => interactive::run(&client, options, events, &mut signals).await,
        (Ok(()), Mode::Lines) => lines::run(&client, options, events, &mut signals).await,
    };
    let connection = client.connection();
    let closed = tokio::time::timeout(CLOSE_MAX, client.close()).await;
    let last = connection.borrow().clone();
    match (result, closed, last) {
        // Why the client ended says more than that it is closed.
        (Err(_), _, Connection::Stopped { cause: StopCause::Folder, reason }) => {
            Err(Stop::new(Exit::Folder, reason))
        }
        (Ok(_), Ok(Err(error)), _) => Err(start::stop(error, Exit::Folder)),
        (result, _, _) => result,
    }
}
