//! What the terminal client is told at start, and how it ends.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use wire::name::UserName;

use crate::transport::{Address, Fingerprint, FirstUse, Security, Trust};

/// Options of `ringtalk chat`. Absent ones are asked for where a person is there to answer.
#[derive(Clone, Debug, Default)]
pub struct ChatOptions {
    /// HOST:PORT of the node.
    pub address: String,
    pub user: Option<String>,
    /// Absent: the variable `RINGTALK_PASSWORD`, then what the folder remembers, then a prompt without echo.
    pub password: Option<String>,
    /// Create the account first, if it does not exist.
    pub register: bool,
    /// A one-time code of the operator: a new password is set with it first.
    pub code: Option<String>,
    /// File with a token of the service account `user`, in place of a password.
    pub token_file: Option<PathBuf>,
    /// The user to talk to. Needed when input or output is not a terminal.
    pub peer: Option<String>,
    /// Folder for all accounts of this person. Absent: `$XDG_DATA_HOME/ringtalk`, else `~/.local/share/ringtalk`.
    pub data: Option<PathBuf>,
    /// SHA-256 of the node's certificate, as the node prints it.
    pub pin: Option<String>,
    /// PEM file with the roots the node's certificate must lead to.
    pub roots: Option<PathBuf>,
    /// Remember whatever certificate is met at an address the first time. On loopback this is done without asking.
    pub trust_first_use: bool,
    /// No encryption.
    pub plain: bool,
    /// Keep what logs in without the password (not the password itself).
    pub remember: bool,
    /// Line mode: print `acked N` for each own message that is on the node's disk.
    pub verbose: bool,
    /// Line mode: how long to wait at the end for acknowledgements. Absent: as long as it takes.
    pub give_up_after: Option<Duration>,
}

/// How the terminal client ends. The number is the exit code of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// Options do not fit, or something needed was not given.
    Usage = 1,
    /// The node cannot be reached.
    Connect = 2,
    /// Login refused: user or password.
    Login = 3,
    /// The node's certificate is not the trusted one.
    Certificate = 4,
    /// The local folder is in use, unreadable, damaged or full.
    Folder = 5,
    /// Registration refused.
    Register = 6,
    /// Line mode: a message was refused, or not acknowledged in time. What was not acknowledged is kept and sent by
    /// the next start.
    NotSent = 7,
    /// The node broke the protocol, or speaks another version of it.
    Protocol = 8,
    /// The user to talk to does not exist.
    Peer = 9,
    /// Ended by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM or SIGHUP.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An end with the one line that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub exit: Exit,
    pub reason: String,
}

impl Stop {
    pub fn new(exit: Exit, reason: impl Into<String>) -> Self {
        Self { exit, reason: reason.into() }
    }

    pub fn usage(reason: impl Into<String>) -> Self {
        Self::new(Exit::Usage, reason)
    }
}

/// Options that fit together.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub address: Address,
    pub security: Security,
    pub user: UserName,
    /// This account's own folder.
    pub folder: PathBuf,
}

/// Checks the options; `user` was given or typed.
pub(super) fn plan(options: &ChatOptions, user: &str) -> Result<Plan, Stop> {
    let address: Address = options.address.parse().map_err(|error| Stop::usage(format!("{error}")))?;
    let user =
        UserName::parse(user).map_err(|error| Stop::usage(format!("`{user}` is not a name: {error}")))?;
    let base = match &options.data {
        Some(data) => data.clone(),
        None => default_data().ok_or_else(|| Stop::usage("there is no home folder: give --data DIR"))?,
    };
    let node = address.to_string().replace(['/', ':', '[', ']'], "_");
    let folder = base.join(node).join(user.as_str());
    Ok(Plan { security: security(options)?, address, user, folder })
}

fn security(options: &ChatOptions) -> Result<Security, Stop> {
    let trust = match (&options.pin, &options.roots) {
        (Some(_), Some(_)) => return Err(Stop::usage("--pin and roots exclude each other")),
        (Some(pin), None) => {
            let pin: Fingerprint = pin.parse().map_err(|error| Stop::usage(format!("--pin: {error}")))?;
            Trust::Pinned(vec![pin])
        }
        (None, Some(path)) => Trust::Roots(path.clone()),
        (None, None) if options.trust_first_use => Trust::Remembered { first_use: FirstUse::Anywhere },
        (None, None) => Trust::Remembered { first_use: FirstUse::LoopbackOnly },
    };
    match (options.plain, options.pin.is_some() || options.roots.is_some()) {
        (true, true) => Err(Stop::usage("--plain has no certificate to check: leave --pin and roots out")),
        (true, false) => Ok(Security::Plain),
        (false, _) => Ok(Security::Tls(trust)),
    }
}

fn default_data() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(set("HOME")?.join(".local/share")))?;
    Some(base.join("ringtalk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ChatOptions {
        ChatOptions { address: "127.0.0.1:7000".into(), data: Some("/data".into()), ..ChatOptions::default() }
    }

    #[test]
    fn each_account_has_a_folder_of_its_own() {
        let plan = plan(&options(), "Alice").expect("fitting options");
        assert_eq!(plan.folder, PathBuf::from("/data/127.0.0.1_7000/alice"));
        let six = ChatOptions { address: "[::1]:7000".into(), ..options() };
        assert_eq!(super::plan(&six, "bob").expect("fits").folder, PathBuf::from("/data/___1__7000/bob"));
    }

    #[test]
    fn options_that_do_not_fit_are_told() {
        let pin = Some("00".repeat(32));
        for wrong in [
            ChatOptions { address: "nowhere".into(), ..options() },
            ChatOptions { pin: Some("12".into()), ..options() },
            ChatOptions { pin: pin.clone(), roots: Some("roots.pem".into()), ..options() },
            ChatOptions { pin: pin.clone(), plain: true, ..options() },
        ] {
            assert_eq!(plan(&wrong, "alice").expect_err("does not fit").exit, Exit::Usage, "{wrong:?}");
        }
        assert!(plan(&options(), "").is_err() && plan(&options(), "../x").is_err());
        let pinned = plan(&ChatOptions { pin, ..options() }, "alice").expect("fits");
        assert_eq!(pinned.security, Security::Tls(Trust::Pinned(vec![Fingerprint([0; 32])])));
    }
}
