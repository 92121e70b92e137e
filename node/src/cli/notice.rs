//! `ringtalk notice all|adverts|department|users`: what the system tells people.
//!
//! Each notice has a number, made up here unless it is given. What is asked again under the same number, with the same text,
//! is written once: so a notice whose answer was lost can be sent again.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use wire::name::UserName;

use super::{Failure, Reach, print};
use crate::admin::{AdminClient, AdminError, Recipients, Reply, Request};
use crate::entropy::entropy;

/// Longest text in bytes: it travels in one request, where a character may take six bytes.
const TEXT_BYTES_MAX: usize = 2_048;
/// Names in one list; for more there are departments, and notices for all.
const NAMES_MAX: usize = 1_000;
/// A list of names is no longer than this, in bytes.
const LIST_BYTES_MAX: u64 = (NAMES_MAX * 128) as u64;

#[derive(Args, Debug)]
pub(super) struct NoticeArgs {
    #[command(subcommand)]
    to: NoticeTo,
}

#[derive(Subcommand, Debug)]
enum NoticeTo {
    /// To everybody
    All(TextArgs),
    /// To everybody who has not switched adverts off
    Adverts(TextArgs),
    /// To the members of a department and of those below it
    Department {
        /// Number of the department
        department: u32,
        #[command(flatten)]
        text: TextArgs,
    },
    /// To each user of a list, at most 1,000
    Users {
        /// File with one name a line, or - for standard input
        file: PathBuf,
        #[command(flatten)]
        text: TextArgs,
    },
}

#[derive(Args, Debug)]
struct TextArgs {
    /// What it says, at most 2,048 bytes
    text: String,
    /// Only to those who are online now; it is not stored
    #[arg(long)]
    online_now: bool,
    /// Number of the notice, to send one again whose answer was lost [default: a random one]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    id: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: NoticeArgs) -> Result<ExitCode, Failure> {
    let (recipients, args) = match args.to {
        NoticeTo::All(args) => (vec![Recipients::All], args),
        NoticeTo::Adverts(args) => (vec![Recipients::Adverts], args),
        NoticeTo::Department { department, text } => (vec![Recipients::Department(department)], text),
        NoticeTo::Users { file, text } => (read_names(&file)?, text),
    };
    if args.text.is_empty() || args.text.len() > TEXT_BYTES_MAX {
        return Err(Failure::new(format!(
            "the text has 1 to {TEXT_BYTES_MAX} bytes, not {}",
            args.text.len()
        )));
    }
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    let id = args.id.unwrap_or_else(|| u64::from_le_bytes(entropy()).max(1));
    let is_list = matches!(recipients.first(), Some(Recipients::User(_)));
    let (mut done, mut refused) = (0, Vec::new());
    for to in recipients {
        let request =
            Request::Issue { to: to.clone(), id, online_now: args.online_now, text: args.text.clone() };
        match node.ask(&request) {
            Ok(Reply::Issued { seq, .. }) => {
                done += 1;
                match to {
                    Recipients::User(_) => {}
                    _ if args.online_now => print("told to those who are online\n"),
                    _ => print(&format!("notice {id} stored, seq {seq}\n")),
                }
            }
            Ok(other) => return Err(Failure::new(format!("the node answered something else ({other:?})"))),
            // The others of a list get theirs.
            Err(AdminError::Refused(reason)) => match to {
                Recipients::User(name) => refused.push(format!("{name}: {reason}")),
                _ => return Err(Failure::new(reason)),
            },
            Err(error) => {
                return Err(Failure::new(format!(
                    "{error}; {done} were written; the same again with --id {id} writes the others only"
                )));
            }
        }
    }
    let verb = if args.online_now { "told" } else { "written" };
    for line in &refused {
        print(&format!("not {verb} to {line}\n"));
    }
    if !refused.is_empty() {
        let count = refused.len();
        let again = if args.online_now {
            String::new()
        } else {
            format!("; the same again with --id {id} tries those only")
        };
        return Err(Failure::new(format!("{verb} to {done} users, not to {count}{again}")));
    }
    if is_list {
        let users = if done == 1 { "user" } else { "users" };
        if args.online_now {
            print(&format!("told to {done} {users}, as far as they are online\n"));
        } else {
            print(&format!("notice {id} written to {done} {users}\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_names(file: &PathBuf) -> Result<Vec<Recipients>, Failure> {
    let unreadable = |error: io::Error| Failure::new(format!("{}: {error}", file.display()));
    let mut text = String::new();
    let input: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(unreadable)?)
    };
    input.take(LIST_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    names_of(&text).map_err(Failure::new)
}

/// Each name once, in the order of the list.
fn names_of(text: &str) -> Result<Vec<Recipients>, String> {
    let mut names = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let name = UserName::parse(line).map_err(|wrong| format!("{line:?} is not a name: {wrong}"))?;
        let to = Recipients::User(name.into_string());
        if !names.contains(&to) {
            names.push(to);
        }
    }
    if names.is_empty() || names.len() > NAMES_MAX || text.len() as u64 > LIST_BYTES_MAX {
        return Err(format!("a list has 1 to {NAMES_MAX} names, not {}", names.len()));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_each_user_once() {
        let user = |name: &str| Recipients::User(name.into());
        assert_eq!(names_of(" ann\n\nBen\r\nANN\n"), Ok(vec![user("ann"), user("ben")]));
        assert!(names_of("").is_err() && names_of("ann\nnot a name!").is_err());
        let many = |count: usize| (0..count).map(|number| format!("user{number}\n")).collect::<String>();
        assert_eq!(names_of(&many(NAMES_MAX)).map(|names| names.len()), Ok(NAMES_MAX));
        assert!(names_of(&many(NAMES_MAX + 1)).is_err());
    }
}
