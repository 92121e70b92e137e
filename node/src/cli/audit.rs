//! `ringtalk audit`: what was done to accounts and by operators, from the log of a running node.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use wire::name::UserName;

use super::user::{ask, unexpected};
use super::{Failure, Reach, print};
use crate::admin::{AdminClient, AuditLine, Reply, Request};
use crate::calendar;

#[derive(Args, Debug)]
pub(super) struct AuditArgs {
    /// Only what is not older than so many hours
    #[arg(long, value_name = "HOURS")]
    since: Option<u32>,
    /// Only what concerns this user or was done by him: a name or an id
    #[arg(long)]
    user: Option<String>,
    /// Print a JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &AuditArgs) -> Result<ExitCode, Failure> {
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    let hours = u64::from(args.since.unwrap_or(u32::MAX));
    let mut after = (super::token::now_ms().saturating_sub(hours * 60 * 60 * 1_000), 0);
    if !args.json {
        print(&format!(
            "{:<19}  {:<19}  {:>10}  {:>10}  name, detail\n",
            "time (UTC)", "act", "by", "account"
        ));
    }
    loop {
        let (lines, covered) = match ask(&mut node, &Request::ReadAudit { after, rows_max: 256 })? {
            Reply::Audit { lines, covered } => (lines, covered),
            other => return Err(unexpected(&other)),
        };
        let wanted = |line: &&AuditLine| args.user.as_deref().is_none_or(|user| concerns(line, user));
        let mut text = String::new();
        for line in lines.iter().filter(wanted) {
            if args.json {
                text.push_str(&serde_json::to_string(line).map_err(Failure::new)?);
                text.push('\n');
                continue;
            }
            let AuditLine { time_ms, act, by, subject, name, detail, .. } = line;
            let time = calendar::utc(*time_ms);
            let _ = writeln!(text, "{time:<19}  {act:<19}  {by:>10}  {subject:>10}  {name}  {detail}");
        }
        print(&text);
        match covered {
            Some(covered) if covered > after => after = covered,
            _ => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Whether an act is of or about this user, told by name or id.
fn concerns(line: &AuditLine, user: &str) -> bool {
    if let Ok(id) = user.parse::<u64>()
        && (line.by == id || line.subject == id)
    {
        return true;
    }
    UserName::parse(user).is_ok_and(|user| UserName::parse(&line.name).is_ok_and(|name| name == user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_id() {
        let line = AuditLine {
            time_ms: 1,
            number: 2,
            act: "disabled".into(),
            by: 1_027,
            subject: 2_050,
            name: "Ann".into(),
            detail: String::new(),
        };
        assert!(["ann", "ANN", "1027", "2050"].iter().all(|user| concerns(&line, user)));
        assert!(["bob", "1028", ""].iter().all(|user| !concerns(&line, user)));
    }
}
