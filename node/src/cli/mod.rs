//! The command line of `ringtalk`.
//!
//! # Exit codes
//! | code | means |
//! |---|---|
//! | 0 | done; `check` found nothing wrong; the node stopped as it was told to |
//! | 1 | not done: one line on standard error says why and how to mend it; or `check` found something |
//! | 2 | a wrong option, on the command line or in the configuration file |
//! | 3 | the node was told to stop and did not finish in time, or was told twice |
//! | 70 | the node stopped by itself: its store failed, or one of its own rules was broken |
//!
//! `ringtalk chat` has a table of its own: see `ringtalk chat --help`.

mod audit;
mod chat;
mod check;
mod notice;
mod org;
mod sessions;
mod stats;
mod token;
mod user;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::boot;
use crate::config::{Config, ConfigError, Options};

/// See the table above.
pub const EXIT_FAILED: u8 = 1;
pub const EXIT_OPTION: u8 = 2;
pub const EXIT_STOP_UNFINISHED: u8 = 3;
pub const EXIT_BROKEN: u8 = 70;

/// A node for instant messages. Without a command it starts one.
#[derive(Parser, Debug)]
#[command(name = "ringtalk", version, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 not done, 2 wrong option, 3 stop not finished in time, 70 the node broke."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Act>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Start a node (the same as no command)
    Serve(Box<ServeArgs>),
    /// Add, list, show, disable, enable, reset or delete users of a running node
    User(user::UserArgs),
    /// Tell something to all, to a department or to some users of a running node
    Notice(notice::NoticeArgs),
    /// Make, list or revoke tokens of service accounts of a running node
    Token(token::TokenArgs),
    /// Import, export, show or edit the directory of the organisation
    Org(org::OrgArgs),
    /// Show what was done to accounts and by operators
    Audit(audit::AuditArgs),
    /// Show the figures of a running node, summed over its shards
    Stats(stats::StatsArgs),
    /// Verify a data folder that no node uses
    Check(check::CheckArgs),
    /// Mend a data folder that does not open after a power cut
    Repair(check::RepairArgs),
    /// Chat in this terminal
    Chat(Box<chat::ChatArgs>),
}

#[derive(Args, Debug)]
struct ServeArgs {
    /// File with options, TOML, under the names below without the dashes in front; the command line wins
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// How to find the running node: by its data folder or its socket.
#[derive(Args, Debug)]
struct Reach {
    /// The node's configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The node's data folder [default: ./data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The node's admin socket [default: admin.sock in the data folder]
    #[arg(long, value_name = "PATH")]
    admin_socket: Option<PathBuf>,
}

/// Why a command was not done.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    /// One line: what is wrong and how to mend it.
    pub what: String,
}

impl Failure {
    pub fn new(what: impl ToString) -> Self {
        Self { code: EXIT_FAILED, what: what.to_string() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { code: EXIT_OPTION, what: error.to_string() }
    }
}

/// Does what the command line says.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let done = match cli.command {
        None => serve(cli.serve),
        Some(Act::Serve(serve_args)) => serve(*serve_args),
        Some(Act::User(args)) => user::run(args),
        Some(Act::Notice(args)) => notice::run(args),
        Some(Act::Audit(args)) => audit::run(&args),
        Some(Act::Token(args)) => token::run(args),
        Some(Act::Org(args)) => org::run(args),
        Some(Act::Stats(args)) => stats::run(&args),
        Some(Act::Check(args)) => check::check(&args),
        Some(Act::Repair(args)) => check::repair(&args),
        Some(Act::Chat(args)) => return chat::run(*args),
    };
    match done {
        Ok(code) => code,
        Err(Failure { code, what }) => {
            complain(&what);
            ExitCode::from(code)
        }
    }
}

fn serve(args: ServeArgs) -> Result<ExitCode, Failure> {
    let options = with_file(args.options, args.config)?;
    let config = Config::new(options, &crate::machine::allowed_processors())?;
    boot::run(config)
}

fn with_file(flags: Options, file: Option<PathBuf>) -> Result<Options, ConfigError> {
    Ok(match file {
        Some(path) => flags.over(Options::from_file(&path)?),
        None => flags,
    })
}

impl Reach {
    fn socket(&self) -> Result<PathBuf, ConfigError> {
        let flags = Options {
            data: self.data.clone(),
            admin_socket: self.admin_socket.clone(),
            ..Options::default()
        };
        Ok(with_file(flags, self.config.clone())?.admin_socket())
    }
}

/// Help and version go to standard output; everything else is one line.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print(&format!("{}\n", error.to_string().trim_end()));
            ExitCode::SUCCESS
        }
        _ => {
            let text = error.to_string();
            let parts = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let parts: Vec<_> = parts.take_while(|line| !line.starts_with("Usage:")).collect();
            let line = parts.join(" ");
            let line = line
                .strip_prefix("error: ")
                .unwrap_or(&line)
                .replace(" For more information, try '--help'.", "");
            complain(&format!("{line}; see `ringtalk --help`"));
            ExitCode::from(EXIT_OPTION)
        }
    }
}

/// One line on standard error.
fn complain(what: &str) {
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(io::stderr(), "ringtalk: {what}");
}

/// Text on standard output, whose reader may have gone (`ringtalk user list | head`).
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_with_and_without_serve() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(parse("ringtalk --data d").serve.options.data, Some("d".into()));
        let Some(Act::Serve(args)) =
            parse("ringtalk serve --data d --listen 127.0.0.1:1 --listen [::1]:2").command
        else {
            panic!()
        };
        assert_eq!((args.options.data, args.options.listen.len()), (Some("d".into()), 2));
        let Some(Act::User(_)) = parse("ringtalk user add ann --data d").command else { panic!() };
        assert!(Cli::try_parse_from(["ringtalk", "--data", "d", "user", "list"]).is_err());
    }
}
