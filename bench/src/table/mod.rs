//! `bench table`: all that must be reached, measured in one run, node beside relay and disk.
//!
//! Rows of cost are the node's processor time per delivered message over that of the plain relay with the same pairs and
//! window: all its time from the first round to when it is quiet after the last, merges of the store included, over all messages
//! of the rounds. Rows of latency are the latency measured over the floor's own bound, which follows from the disk of the same
//! run, at half the top rate: the highest rate of an open loop that the node holds. The other rows are plain figures; their names
//! tell the unit. A row that cannot be told soundly says why and is not passed.

mod groups;
mod rows;

use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::machine;
use crate::options::NodeOptions;
use crate::report::model::{Report, Run};
use crate::report::{Outputs, Table};
use crate::scenario::idle::Steadiness;
use crate::sweep;

/// A row, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Row {
    /// Window 16, plain: processor time per message over the relay's
    CpuPlain,
    /// Window 16, TLS: processor time per message over the plain relay's
    CpuTls,
    /// Window 1, plain: processor time per message over the relay's
    CpuOne,
    /// Ack latency p99 at half the top rate over 2 x fdatasync p99 + 1 ms
    AckLatency,
    /// Delivery latency p99.9 at half the top rate over 2 x fdatasync p99.9 + 2 ms
    DeliveryLatency,
    /// User memory of an idle plain session, KiB
    IdlePlain,
    /// User memory of an idle TLS session, KiB
    IdleTls,
    /// The same with 100 contacts of each user, plain, over that without
    IdleContacts,
    /// Logins by ticket, plain: sessions per second of one core
    LoginTickets,
    /// Whole logins, TLS: sessions per second of one core
    LoginWhole,
    /// Processor time per message with many sessions over that with few
    Sessions,
    /// Processor time per message when much is stored over that when little is
    Stored,
}

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Rows to measure, such as cpu-plain,stored [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    rows: Vec<Row>,
    /// Rounds of each run; medians are taken over them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each round of messages
    #[arg(long, default_value_t = 3.0, value_parser = crate::options::seconds)]
    seconds: f64,
    /// Milliseconds of load before the first round that counts
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    warm_up_ms: u32,
    /// Pairs of users
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pairs: u32,
    /// Sessions of idle, and the many of sessions
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(4..=19_000))]
    sessions: u32,
    /// The few of sessions
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=19_000))]
    few: u32,
    /// Users of the login storms
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    logins: u32,
    /// Messages of stored
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    messages: u64,
    /// Also what no row needs and a report shows: a sweep, a reconnect storm, the mesh and encryption
    #[arg(long)]
    full: bool,
    /// Rates that are tried at most on the way to the top rate
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    sweep_steps: u32,
    /// Bound of the delivery latency's 99th percentile at the top rate, milliseconds
    #[arg(long, default_value_t = sweep::BOUND_MS, value_name = "MS")]
    bound_ms: f64,
    #[command(flatten)]
    steadiness: Steadiness,
    #[command(flatten)]
    node: NodeOptions,
    #[command(flatten)]
    outputs: Outputs,
}

impl Options {
    fn wants(&self, rows: &[Row]) -> bool {
        self.rows.is_empty() || rows.iter().any(|row| self.rows.contains(row))
    }
}

/// Measures what the rows need and writes them: `{"rows":[{"name","ratio","floor","aim","pass"}]}` as JSON.
pub fn run(options: &Options) -> Result<()> {
    let begin = Instant::now();
    let mut report = machine::report();
    report.runs = measure(options)?;
    let wanted: Vec<Row> =
        Row::value_variants().iter().copied().filter(|row| options.wants(&[*row])).collect();
    report.table = wanted.iter().map(|row| rows::row(*row, &report.runs)).collect();
    eprintln!("table: {} s", begin.elapsed().as_secs());
    options.outputs.write_files(&mut report)?;
    print(&report, options.outputs.json)
}

fn measure(options: &Options) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    if options.wants(&groups::MESSAGES) {
        runs.extend(groups::messages(options)?);
    }
    if options.wants(&[Row::IdlePlain]) {
        runs.push(groups::idle(options, false)?);
    }
    if options.wants(&[Row::IdleTls]) {
        runs.push(groups::idle(options, true)?);
    }
    if options.wants(&[Row::IdleContacts]) {
        runs.extend(groups::idle_contacts(options)?);
    }
    if options.wants(&[Row::LoginTickets, Row::LoginWhole]) {
        runs.extend(groups::logins(options)?);
    }
    if options.wants(&[Row::Sessions]) {
        runs.extend(groups::sessions(options)?);
    }
    if options.wants(&[Row::Stored]) {
        runs.extend(groups::stored(options)?);
    }
    if options.full {
        runs.extend(groups::beside(options)?);
    }
    Ok(runs)
}

fn print(report: &Report, json: bool) -> Result<()> {
    let table = Table { rows: report.table.clone() };
    if json {
        println!("{}", serde_json::to_string(&table.without_notes())?);
        return Ok(());
    }
    print!("{}", table.text());
    for run in &report.runs {
        for warning in &run.warnings {
            println!("warning: {}: {warning}", run.name);
        }
    }
    for warning in &report.warnings {
        println!("warning: {warning}");
    }
    Ok(())
}
