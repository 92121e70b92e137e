//! `ringtalk chat`: the terminal client, which is a package of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use client::chat::ChatOptions;

use crate::config::LISTEN_DEFAULT;

#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 done, 1 wrong option, 2 the node cannot be reached, 3 login refused, 4 the \
    certificate is not the trusted one, 5 the local folder cannot be used, 6 registration refused, 7 a message was not \
    sent, 8 the node speaks something else, 9 no such user, 143 ended by a signal."
)]
pub(super) struct ChatArgs {
    /// Address of the node, HOST:PORT
    #[arg(value_name = "ADDRESS", default_value = LISTEN_DEFAULT)]
    address: String,
    /// Your name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Your password; others on this machine can see it here. Better: the variable RINGTALK_PASSWORD, or the prompt
    #[arg(long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Create the account first, if it does not exist
    #[arg(long)]
    register: bool,
    /// The one-time code that the operator gave you: set a new password with it
    #[arg(long, value_name = "CODE", conflicts_with = "register")]
    code: Option<String>,
    /// File with a token of the service account --user, in place of a password: it needs the scope send to chat
    #[arg(long, value_name = "FILE", conflicts_with_all = ["register", "code", "password"])]
    token_file: Option<PathBuf>,
    /// The user to talk to; needed when input or output is not a terminal
    #[arg(long, value_name = "NAME")]
    peer: Option<String>,
    /// Folder of your accounts [default: $XDG_DATA_HOME/ringtalk, else ~/.local/share/ringtalk]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// SHA-256 fingerprint of the node's certificate, as the node prints it at start
    #[arg(long, value_name = "FINGERPRINT")]
    pin: Option<String>,
    /// PEM file with the roots that the node's certificate must lead to
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Remember whatever certificate is met the first time; on loopback this is always so
    #[arg(long)]
    trust_first_use: bool,
    /// Connect without encryption
    #[arg(long)]
    plain: bool,
    /// Keep on this machine what logs in without the password (not the password itself)
    #[arg(long)]
    remember: bool,
    /// Print `acked N` for each own message that is on the node's disk, when input or output is not a terminal
    #[arg(long)]
    verbose: bool,
    /// How long to wait at the end for the node to take the last messages, when input or output is not a terminal
    /// [default: as long as it takes]
    #[arg(long, value_name = "SECONDS")]
    give_up_after: Option<u32>,
}

pub(super) fn run(args: ChatArgs) -> ExitCode {
    client::chat::run(ChatOptions {
        address: args.address,
        user: args.user,
        password: args.password,
        register: args.register,
        code: args.code,
        token_file: args.token_file,
        peer: args.peer,
        data: args.data,
        pin: args.pin,
        roots: args.roots,
        trust_first_use: args.trust_first_use,
        plain: args.plain,
        remember: args.remember,
        verbose: args.verbose,
        give_up_after: args.give_up_after.map(|seconds| Duration::from_secs(seconds.into())),
    })
}
