//! `ringtalk token create|list|revoke`: service accounts of a running node and what they log in with.
//!
//! The secret is made up here and shown once; the node gets its hash.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use wire::UserId;
use wire::token::{Secret, Token};

use super::user::{ask, unexpected};
use super::{Failure, Reach, print};
use crate::admin::{AdminClient, NewToken, Reply, Request};
use crate::calendar;
use crate::entropy::entropy;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    act: TokenAct,
}

#[derive(Subcommand, Debug)]
enum TokenAct {
    /// Make a token of a service account and print it, once; the account is made when the name is free
    Create(CreateArgs),
    /// List the tokens of a service account
    List(ListArgs),
    /// End a token and all sessions that logged in with it
    Revoke(RevokeArgs),
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// Name of the service account
    name: String,
    /// What it may do, with commas between: send, accounts, relations, notices, org, audit, tokens
    #[arg(long)]
    scopes: String,
    /// Days until it ends [default: it does not]
    #[arg(long)]
    days: Option<u32>,
    /// What it is for, in your words
    #[arg(long, default_value = "")]
    label: String,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Name of the service account
    name: String,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct RevokeArgs {
    /// Name of the service account
    name: String,
    /// The token's number, as `ringtalk token list` shows it
    number: u32,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: TokenArgs) -> Result<ExitCode, Failure> {
    match args.act {
        TokenAct::Create(args) => create(args),
        TokenAct::List(args) => list(&args),
        TokenAct::Revoke(args) => revoke(args),
    }
}

fn create(args: CreateArgs) -> Result<ExitCode, Failure> {
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    let secret = Secret(entropy());
    let expires_ms = args.days.map_or(0, |days| now_ms() + DAY_MS * u64::from(days));
    let token = NewToken { hash: secret.hash(), scopes: args.scopes, expires_ms, label: args.label };
    match ask(&mut node, &Request::CreateToken { name: args.name, token })? {
        Reply::TokenCreated { user, number } => {
            print(&format!("{}\n", Token { user: UserId(user), number, secret }.text()));
            Ok(ExitCode::SUCCESS)
        }
        other => Err(unexpected(&other)),
    }
}

fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    match ask(&mut node, &Request::ListTokens { name: args.name.clone() })? {
        Reply::Tokens { tokens, .. } => {
            let mut text =
                format!("{:>6}  {:<19}  {:<19}  scopes  label\n", "number", "created (UTC)", "ends (UTC)");
            for token in tokens {
                let created = calendar::utc(token.created_ms);
                let ends =
                    if token.expires_ms == 0 { "never".into() } else { calendar::utc(token.expires_ms) };
                let _ = writeln!(
                    text,
                    "{:>6}  {created:<19}  {ends:<19}  {}  {}",
                    token.number, token.scopes, token.label
                );
            }
            print(&text);
            Ok(ExitCode::SUCCESS)
        }
        other => Err(unexpected(&other)),
    }
}

fn revoke(args: RevokeArgs) -> Result<ExitCode, Failure> {
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    let (name, number) = (args.name, args.number);
    match ask(&mut node, &Request::RevokeToken { name: name.clone(), number })? {
        Reply::TokenRevoked { sessions_ended, .. } => {
            print(&format!("token {number} of {name} is revoked, sessions ended {sessions_ended}\n"));
            Ok(ExitCode::SUCCESS)
        }
        other => Err(unexpected(&other)),
    }
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::token::Scope;

    #[test]
    fn the_help_names_every_scope() {
        let command = CreateArgs::augment_args(clap::Command::new("create"));
        let help = command.get_arguments().find(|argument| argument.get_id() == "scopes");
        let help = help.and_then(|argument| argument.get_help()).map(ToString::to_string).unwrap_or_default();
        for scope in Scope::ALL {
            assert!(help.contains(scope.name()), "{}", scope.name());
        }
    }
}
