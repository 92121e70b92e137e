//! `ringtalk user add|list|show|disable|enable|reset|delete|sessions|end`: accounts of a running node.
//!
//! The password never reaches the node: this process derives SCRAM's keys and sends those.

use std::fmt::Write as _;
use std::io::{self, BufRead, Read};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use wire::name::UserName;
use zeroize::Zeroizing;

use super::sessions::{self, EndArgs, SessionsArgs};
use super::{Failure, Reach, print};
use crate::admin::{AdminClient, Credential, Reply, Request, USERS_PER_PAGE_MAX, UserAct as Act};
use crate::calendar;
use crate::entropy::entropy;

/// Longest password in bytes; what is longer is cut by no one, but refused.
const PASSWORD_BYTES_MAX: usize = 1_024;
/// Shortest password that somebody may choose, in characters.
const PASSWORD_CHARACTERS_MIN: usize = 8;
/// Without letters and digits that look alike: 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Characters of a generated password: 100 bits.
const GENERATED_CHARACTERS: usize = 20;

#[derive(Args, Debug)]
pub(super) struct UserArgs {
    #[command(subcommand)]
    act: UserAct,
}

#[derive(Subcommand, Debug)]
enum UserAct {
    /// Make an account; its password is made up and printed, or read with --password-stdin
    Add(NameArgs),
    /// End an account's sessions and password; a code is printed with which its user sets a new one, or a new password
    /// is read with --password-stdin
    Reset(NameArgs),
    /// Show one account
    Show(OneArgs),
    /// Let nobody log in to an account any more, and end all its sessions
    Disable(OneArgs),
    /// Let its user log in to a disabled account again
    Enable(OneArgs),
    /// Delete an account for good; what others have of its chats stays
    Delete(OneArgs),
    /// List all accounts by name
    List(ListArgs),
    /// List the devices of an account and their sessions
    Sessions(SessionsArgs),
    /// End the sessions of an account, or of one of its devices; they need the password to come back
    End(EndArgs),
}

#[derive(Args, Debug)]
struct NameArgs {
    /// Name of the user: letters, digits and . _ -
    name: String,
    /// Read the password from the first line of standard input instead of making one up
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct OneArgs {
    /// Name of the user
    name: String,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: UserArgs) -> Result<ExitCode, Failure> {
    match args.act {
        UserAct::Add(args) => add(args),
        UserAct::Reset(args) => reset(args),
        UserAct::Show(args) => show_one(args),
        UserAct::Disable(args) => change(args, Act::Disable),
        UserAct::Enable(args) => change(args, Act::Enable),
        UserAct::Delete(args) => change(args, Act::Delete),
        UserAct::List(args) => list(&args),
        UserAct::Sessions(args) => sessions::list(&args),
        UserAct::End(args) => sessions::end(&args),
    }
}

fn add(args: NameArgs) -> Result<ExitCode, Failure> {
    let (mut node, credential, password) = prepare(&args)?;
    match ask(&mut node, &Request::AddUser { name: args.name.clone(), credential })? {
        Reply::Added { user } => print(&format!("user {} added, id {user}\n", args.name)),
        other => return Err(unexpected(&other)),
    }
    show(password);
    Ok(ExitCode::SUCCESS)
}

/// What nobody chose is told once, by the operator, and then chosen by the user.
fn reset_by_code(args: NameArgs) -> Result<ExitCode, Failure> {
    let NameArgs { name, reach, .. } = args;
    let mut node = AdminClient::connect(&reach.socket()?).map_err(Failure::new)?;
    let code = generated();
    let act = Act::Reset { code_hash: wire::account::code_hash(&code) };
    match ask(&mut node, &Request::ChangeUser { name: name.clone(), act })? {
        Reply::Changed { user, sessions_ended } => {
            print(&format!("user {name} has no password, id {user}, sessions ended {sessions_ended}\n"));
            print(&format!("one-time code: {}\n", *code));
            Ok(ExitCode::SUCCESS)
        }
        other => Err(unexpected(&other)),
    }
}

fn reset(args: NameArgs) -> Result<ExitCode, Failure> {
    if !args.password_stdin {
        return reset_by_code(args);
    }
    let (mut node, credential, password) = prepare(&args)?;
    match ask(&mut node, &Request::ResetUser { name: args.name.clone(), credential })? {
        Reply::Reset { user, sessions_ended } => {
            print(&format!(
                "user {} has a new password, id {user}, sessions ended {sessions_ended}\n",
                args.name
            ));
        }
        other => return Err(unexpected(&other)),
    }
    show(password);
    Ok(ExitCode::SUCCESS)
}

fn change(args: OneArgs, act: Act) -> Result<ExitCode, Failure> {
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    let OneArgs { name, .. } = args;
    match ask(&mut node, &Request::ChangeUser { name: name.clone(), act })? {
        Reply::Changed { user, sessions_ended } => {
            let done = match act {
                Act::Disable => "disabled",
                Act::Enable => "enabled",
                Act::Delete => "deleted",
                Act::Reset { .. } => "reset",
            };
            print(&format!("user {name} {done}, id {user}, sessions ended {sessions_ended}\n"));
            Ok(ExitCode::SUCCESS)
        }
        other => Err(unexpected(&other)),
    }
}

fn show_one(args: OneArgs) -> Result<ExitCode, Failure> {
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    match ask(&mut node, &Request::ShowUser { name: args.name })? {
        Reply::User(user) => {
            let since = match user.state_ms {
                0 => String::new(),
                state_ms => format!(" since {}", calendar::utc(state_ms)),
            };
            print(&format!(
                "name     {}\nid       {}\ncreated  {}\ndevices  {}\nstate    {}{since}\n",
                user.name,
                user.user,
                calendar::utc(user.created_ms),
                user.devices,
                user.state.name(),
            ));
            Ok(ExitCode::SUCCESS)
        }
        other => Err(unexpected(&other)),
    }
}

fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    let mut header =
        format!("{:>10}  {:<19}  {:>7}  {:<8}  name\n", "id", "created (UTC)", "devices", "state");
    let mut after = None;
    loop {
        match ask(&mut node, &Request::ListUsers { after, users_max: USERS_PER_PAGE_MAX })? {
            Reply::Users { users, more } => {
                let mut text = std::mem::take(&mut header);
                for user in &users {
                    let created = calendar::utc(user.created_ms);
                    let _ = writeln!(
                        text,
                        "{:>10}  {created:<19}  {:>7}  {:<8}  {}",
                        user.user,
                        user.devices,
                        user.state.name(),
                        user.name
                    );
                }
                print(&text);
                after = users.into_iter().next_back().map(|user| user.name);
                if !more || after.is_none() {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
}

/// A connection to the node, the keys to send, and the password if it was made up here.
fn prepare(args: &NameArgs) -> Result<(AdminClient, Credential, Option<Zeroizing<String>>), Failure> {
    if let Err(wrong) = UserName::parse(&args.name) {
        return Err(Failure::new(format!("{:?} cannot be a user's name: {wrong}", args.name)));
    }
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    let iterations = match ask(&mut node, &Request::Status)? {
        Reply::Status(status) => status.iterations,
        other => return Err(unexpected(&other)),
    };
    let (password, made_up) = if args.password_stdin {
        (read_password(&mut io::stdin().lock())?, false)
    } else {
        (generated(), true)
    };
    let salt = entropy();
    let keys = wire::scram::stretch(&password, &salt, iterations).map_err(|e| Failure::new(format!(
        "the node asks for {iterations} rounds of PBKDF2, which cannot be used ({e}); set --iterations of the node"
    )))?;
    let stored = keys.credentials();
    let credential =
        Credential { salt, iterations, stored_key: stored.stored_key, server_key: stored.server_key };
    Ok((node, credential, made_up.then_some(password)))
}

fn read_password(input: &mut impl BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    let read = input.take(PASSWORD_BYTES_MAX as u64 + 2).read_line(&mut line);
    read.map_err(|e| Failure::new(format!("standard input: {e}; give the password as one line of UTF-8")))?;
    let password = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Failure::new(format!(
            "the password is longer than {PASSWORD_BYTES_MAX} bytes; choose a shorter one"
        )));
    }
    if password.chars().count() < PASSWORD_CHARACTERS_MIN {
        return Err(Failure::new(format!(
            "the password has fewer than {PASSWORD_CHARACTERS_MIN} characters; choose a longer one"
        )));
    }
    Ok(password)
}

/// A password nobody chose, in groups of five that can be read out.
fn generated() -> Zeroizing<String> {
    let mut password = Zeroizing::new(String::with_capacity(GENERATED_CHARACTERS * 6 / 5));
    for (index, byte) in entropy::<GENERATED_CHARACTERS>().into_iter().enumerate() {
        if index > 0 && index % 5 == 0 {
            password.push('-');
        }
        password.push(char::from(ALPHABET[usize::from(byte & 31)]));
    }
    password
}

fn show(password: Option<Zeroizing<String>>) {
    if let Some(password) = password {
        print(&format!("password: {}\n", *password));
    }
}

pub(super) fn ask(node: &mut AdminClient, request: &Request) -> Result<Reply, Failure> {
    node.ask(request).map_err(Failure::new)
}

pub(super) fn unexpected(reply: &Reply) -> Failure {
    Failure::new(format!(
        "the node answered something else than was asked ({reply:?}); use one version for both"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_read_without_their_line_end() {
        let read = |text: &str| read_password(&mut text.as_bytes()).map(|password| password.to_string());
        assert_eq!(read("correct horse\nrest").unwrap(), "correct horse");
        assert_eq!(read("correct horse\r\n").unwrap(), "correct horse");
        assert_eq!(read(" spaces stay ").unwrap(), " spaces stay ");
        assert_eq!(read(&"x".repeat(PASSWORD_BYTES_MAX)).unwrap().len(), PASSWORD_BYTES_MAX);
        for wrong in ["", "\n", "1234567\n", &"x".repeat(PASSWORD_BYTES_MAX + 1)] {
            assert!(read(wrong).is_err());
        }
    }

    #[test]
    fn made_up_passwords_are_long_and_differ() {
        let (one, two) = (generated(), generated());
        assert_eq!(one.len(), GENERATED_CHARACTERS + 3);
        assert!(one.bytes().all(|byte| byte == b'-' || ALPHABET.contains(&byte)));
        assert_ne!(*one, *two);
    }
}
