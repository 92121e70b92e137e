//! `ringtalk user sessions|end`: the devices of a user and their sessions.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::user::{ask, unexpected};
use super::{Failure, Reach, print};
use crate::admin::{AdminClient, Device, Reply, Request};
use crate::calendar;

#[derive(Args, Debug)]
pub(super) struct SessionsArgs {
    /// Name of the user
    name: String,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
pub(super) struct EndArgs {
    /// Name of the user
    name: String,
    /// Only of this device, by its number; otherwise of all
    #[arg(long, value_name = "N")]
    device: Option<u32>,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn list(args: &SessionsArgs) -> Result<ExitCode, Failure> {
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    match ask(&mut node, &Request::ListDevices { name: args.name.clone() })? {
        Reply::Devices { devices, .. } => print(&table(&devices)),
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn end(args: &EndArgs) -> Result<ExitCode, Failure> {
    let mut node = AdminClient::connect(&args.reach.socket()?).map_err(Failure::new)?;
    match ask(&mut node, &Request::EndSessions { name: args.name.clone(), device: args.device })? {
        Reply::Ended { user, sessions_ended } => {
            print(&format!("user {}, id {user}, sessions ended {sessions_ended}\n", args.name));
        }
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}

fn table(devices: &[Device]) -> String {
    let mut text = format!(
        "{:>6}  {:<7}  {:<6}  {:<19}  {:<19}  {:<15}  name\n",
        "device", "class", "online", "login (UTC)", "active (UTC)", "address"
    );
    for device in devices {
        let (since, active) = (calendar::utc(device.since_ms), calendar::utc(device.active_ms));
        let online = if device.online { "yes" } else { "no" };
        let _ = writeln!(
            text,
            "{:>6}  {:<7}  {online:<6}  {since:<19}  {active:<19}  {:<15}  {}",
            device.device,
            device.class,
            device.address,
            // What a client calls itself may hold anything.
            device.name.escape_debug()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_known_and_nothing_else_gets_to_the_screen() {
        let device = Device {
            device: 3,
            name: "phone\x1b[2J".into(),
            class: "mobile".into(),
            address: "10.1.2.3".into(),
            since_ms: 1_790_000_000_000,
            active_ms: 1_790_000_060_000,
            online: true,
        };
        let text = table(&[device]);
        let line = text.lines().nth(1).expect("a line");
        assert!(line.starts_with("     3  mobile   yes"), "{line}");
        assert!(line.ends_with("10.1.2.3         phone\\u{1b}[2J"), "{line}");
    }
}
