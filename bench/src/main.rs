//! `bench`: drives a real node from outside and says what it costs.

use std::process::ExitCode;

use anyhow::Result;
use bench::limit::{self, relay};
use bench::machine;
use bench::report::model::Run;
use bench::report::{Outputs, command};
use bench::scenario::{direct, idle, login_storm, presence, reconnect_storm, sessions, stored};
use bench::{sweep, table};
use clap::{Args, Parser, Subcommand};

/// Load generator for a Ringtalk node. Without --connect it starts a node of its own, on a fresh data folder, and stops it.
#[derive(Parser, Debug)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Pairs of users: one sends to the other, durably acknowledged
    Direct(Reported<direct::Options>),
    /// Logged-in sessions that do nothing: what each costs in memory, without contacts and with them
    Idle(Reported<idle::Options>),
    /// Everybody logs in, by kept keys or by ticket: sessions per second of one core
    LoginStorm(Reported<login_storm::Options>),
    /// Everybody comes online and goes again while others chat
    Presence(Reported<presence::Options>),
    /// All sessions are cut at once and come back by ticket
    ReconnectStorm(Reported<reconnect_storm::Options>),
    /// Cost per message with few and with many sessions
    Sessions(Reported<sessions::Options>),
    /// Cost per message when little and when much is stored
    Stored(Reported<stored::Options>),
    /// The highest rate whose latency stays under a bound
    Sweep(Reported<sweep::Options>),
    /// All that must be reached, measured in one run of about twelve minutes
    ///
    /// Rows of cost: the node's processor time per delivered message over that of the plain relay with the same pairs and
    /// window; all its threads from the first round until it is quiet after the last, so that merges of the store count, and
    /// the medians of rounds as a note. Rows of latency: the latency over the bound that the row names, at half the top rate,
    /// which is the highest that the node holds in an open loop with a delivery p99 of 20 ms; the latency of fdatasync is that
    /// of appends of as many bytes as the node's commits have, measured between its rounds; the aim, once the disk's latency and
    /// 1 ms, is told as a part of that bound. Memory is in KiB per session: the slope between a quarter of the sessions and all.
    /// Logins are sessions per second of server processor time. A row passes when it reaches its floor; one that cannot be told
    /// soundly says why and does not pass.
    Table(table::Options),
    /// The physical limits of this machine: raw relay, fdatasync, mesh, encryption
    Limit(Reported<limit::Options>),
    /// A saved report again: as text, JSON, HTML or one plot
    Show(command::Show),
    /// Two saved reports beside each other
    Compare(command::Compare),
    /// The raw relay itself, as `limit` starts it
    #[command(hide = true)]
    Relay(relay::RelayOptions),
}

/// What ends in a report.
#[derive(Args, Debug)]
struct Reported<O: Args> {
    #[command(flatten)]
    options: O,
    #[command(flatten)]
    outputs: Outputs,
}

impl<O: Args> Reported<O> {
    fn report(&self, run: impl FnOnce(&O) -> Result<Vec<Run>>) -> Result<()> {
        let mut report = machine::report();
        report.runs = run(&self.options)?;
        self.outputs.write(report)
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Direct(task) => task.report(direct::run),
        Task::Idle(task) => task.report(idle::run),
        Task::LoginStorm(task) => task.report(login_storm::run),
        Task::Presence(task) => task.report(presence::run),
        Task::ReconnectStorm(task) => task.report(reconnect_storm::run),
        Task::Sessions(task) => task.report(sessions::run),
        Task::Stored(task) => task.report(stored::run),
        Task::Sweep(task) => task.report(sweep::run),
        Task::Table(options) => table::run(&options),
        Task::Limit(task) => task.report(limit::run),
        Task::Show(task) => task.run(),
        Task::Compare(task) => task.run(),
        Task::Relay(options) => relay::serve(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
