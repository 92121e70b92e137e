//! What the rows need, measured in groups: the rounds of a group are interleaved.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Options, Row};
use crate::driver::{Entrance, Pace};
use crate::limit::relay::RelayStart;
use crate::limit::sync::{FileKind, Sync, SyncOptions};
use crate::limit::{aeads, games, relay_pairs};
use crate::options::RoundOptions;
use crate::pairs::{Crowd, Mode, Span};
use crate::relations::CONTACTS;
use crate::report::model::{Round, Run};
use crate::scenario::direct::{Direct, SharedPairs, node_pairs};
use crate::scenario::login_storm::LoginStorm;
use crate::scenario::reconnect_storm::ReconnectStorm;
use crate::scenario::{self, Scenario, interleave};
use crate::server::parse_cores;
use crate::sweep::{self, Search};

/// Bytes of text per message in every row.
const TEXT_BYTES: u32 = 128;
/// Bytes of an append where the node does not tell how large its commits are.
const COMMIT_BYTES_UNKNOWN: f64 = 16.0 * 1_024.0;
/// The scenario of idle sessions with contacts, and of as many without, and how many they are at most.
pub(super) const IDLE_CONTACTS: &str = "idle-contacts";
const CONTACT_SESSIONS_MAX: u32 = 4_000;
/// Rounds at each rate of the sweep, at most.
const SWEEP_ROUNDS_MAX: u32 = 3;
/// The scenario of the round at half the top rate.
pub(super) const HALF_RATE: &str = "half-rate";

/// The rows of [`messages`].
pub(super) const MESSAGES: [Row; 5] =
    [Row::CpuPlain, Row::CpuTls, Row::CpuOne, Row::AckLatency, Row::DeliveryLatency];

fn crowd(options: &Options) -> Crowd {
    Crowd { pairs: options.pairs, idle: 0, bytes: TEXT_BYTES }
}

fn rounds(options: &Options) -> RoundOptions {
    RoundOptions { seconds: options.seconds, rounds: options.rounds, warm_up_ms: options.warm_up_ms }
}

/// Node and relay, plain and TLS, in the closed loop; then the plain node at half its top rate beside the disk. A node serves
/// one run only: what it puts off and does later is the cost of the messages that it has had.
pub(super) fn messages(options: &Options) -> Result<Vec<Run>> {
    let rounds = rounds(options);
    let node = |tls: bool| node_pairs(&options.node.with_tls(tls), crowd(options), rounds.warm_up());
    let relay = |tls: bool| {
        let core = *parse_cores(&options.node.server_cores)?.first().context("a core of the server")?;
        relay_pairs(&RelayStart { program: None, core, tls }, crowd(options))
    };
    let span = Span::Time(rounds.length());
    let direct = |pairs: SharedPairs, tls: bool, window: u16| -> Box<dyn Scenario> {
        Box::new(Direct { pairs, mode: Mode::Window(window), span, tls })
    };
    let mut scenarios = Vec::new();
    if options.wants(&[Row::CpuPlain]) {
        scenarios.push(direct(node(false)?, false, 16));
    }
    if options.wants(&[Row::CpuTls]) {
        scenarios.push(direct(node(true)?, true, 16));
        scenarios.push(direct(relay(true)?, true, 16));
    }
    if options.wants(&[Row::CpuOne]) {
        scenarios.push(direct(node(false)?, false, 1));
    }
    if options.wants(&[Row::CpuPlain, Row::CpuTls, Row::CpuOne]) {
        let relay = relay(false)?;
        scenarios.push(direct(relay.clone(), false, 16));
        if options.wants(&[Row::CpuOne]) {
            scenarios.push(direct(relay, false, 1));
        }
    }
    let mut runs = interleave(&mut scenarios, rounds.rounds)?;
    drop(scenarios);
    if options.wants(&[Row::AckLatency, Row::DeliveryLatency]) {
        runs.extend(latencies(options, node(false)?)?);
    }
    Ok(runs)
}

/// The top rate of a node: the highest that it holds in an open loop. Then half of it beside the disk. Where nothing is held,
/// only the sweep is told, and no row of latency.
fn latencies(options: &Options, pairs: SharedPairs) -> Result<Vec<Run>> {
    let rounds = RoundOptions { rounds: options.rounds.min(SWEEP_ROUNDS_MAX), ..rounds(options) };
    let mut runs =
        sweep::measure(&pairs, false, &Search::of_table(options.bound_ms, options.sweep_steps), &rounds)?;
    if let Some(top) = sweep::highest_rate_per_s(&runs) {
        runs.extend(half_rate(options, pairs, top / 2.0)?);
    }
    Ok(runs)
}

/// The node at a rate, and appends of as many bytes as its commits have, in turn. Both write over bytes that are there: the
/// quickest kind of append is the strictest bound.
fn half_rate(options: &Options, pairs: SharedPairs, rate: f64) -> Result<Vec<Run>> {
    let length = rounds(options).length();
    let span = Span::Time(length);
    let trial = pairs.borrow_mut().round(Mode::Rate(rate), Span::Time(Duration::from_secs(1)))?;
    let bytes = trial.values.get("bytes_per_commit").copied().unwrap_or(COMMIT_BYTES_UNKNOWN);
    // On the node's disk, beside its data.
    let data = pairs.borrow().server.data.clone();
    let folder = data.as_deref().and_then(Path::parent).map_or_else(std::env::temp_dir, Path::to_owned);
    let sync = SyncOptions { bytes: bytes.max(1.0) as usize, file: FileKind::Overwritten, per_s: None };
    let mut scenarios: Vec<Box<dyn Scenario>> = vec![
        Box::new(HalfRate(Direct { pairs, mode: Mode::Rate(rate), span, tls: false })),
        Box::new(Sync::new(&folder, sync, length)?),
    ];
    interleave(&mut scenarios, options.rounds)
}

/// `direct` under a name of its own.
#[derive(Debug)]
struct HalfRate(Direct);

impl Scenario for HalfRate {
    fn describe(&self) -> Run {
        let run = self.0.describe();
        Run { name: format!("half the top rate: {}", run.name), scenario: HALF_RATE.to_owned(), ..run }
    }

    fn round(&mut self) -> Result<Round> {
        self.0.round()
    }

    fn doubt(&self, round: &Round) -> Option<String> {
        self.0.doubt(round)
    }
}

/// One round: memory does not vary from one to the next.
pub(super) fn idle(options: &Options, tls: bool) -> Result<Run> {
    eprintln!("idle: {} sessions, {}", options.sessions, if tls { "TLS" } else { "plain" });
    scenario::idle::measure(&options.node.with_tls(tls), options.sessions, 0, options.steadiness)
}

/// Fewer sessions without contacts and with them: a hundred contacts of each have to be made first.
pub(super) fn idle_contacts(options: &Options) -> Result<Vec<Run>> {
    let sessions = options.sessions.min(CONTACT_SESSIONS_MAX);
    let measure = |contacts: u32| {
        eprintln!("idle: {sessions} sessions, plain, {contacts} contacts each");
        let run =
            scenario::idle::measure(&options.node.with_tls(false), sessions, contacts, options.steadiness)?;
        Ok(Run { name: format!("contacts: {}", run.name), scenario: IDLE_CONTACTS.to_owned(), ..run })
    };
    [0, CONTACTS].into_iter().map(measure).collect()
}

pub(super) fn logins(options: &Options) -> Result<Vec<Run>> {
    let mut scenarios: Vec<Box<dyn Scenario>> = Vec::new();
    for (row, tls, entrance) in
        [(Row::LoginTickets, false, Entrance::Resume), (Row::LoginWhole, true, Entrance::LogIn)]
    {
        if options.wants(&[row]) {
            let node = options.node.with_tls(tls);
            scenarios.push(Box::new(LoginStorm::new(&node, options.logins, entrance, Pace::default())?));
        }
    }
    interleave(&mut scenarios, options.rounds)
}

pub(super) fn sessions(options: &Options) -> Result<Vec<Run>> {
    let counts = [options.few, options.sessions];
    scenario::sessions::measure(&options.node.with_tls(false), crowd(options), counts, &rounds(options))
}

pub(super) fn stored(options: &Options) -> Result<Vec<Run>> {
    scenario::stored::measure(&options.node.with_tls(false), crowd(options), options.messages)
}

/// What belongs into a full report and into no row. Rounds are fewer and shorter.
pub(super) fn beside(options: &Options) -> Result<Vec<Run>> {
    let short = RoundOptions { seconds: 1.0, rounds: options.rounds.min(3), warm_up_ms: options.warm_up_ms };
    let node = options.node.with_tls(false);
    let core = *parse_cores(&node.server_cores)?.first().context("a core of the server")?;
    let mut runs = Vec::new();
    if !options.wants(&[Row::AckLatency, Row::DeliveryLatency]) {
        let pairs = node_pairs(&node, crowd(options), short.warm_up())?;
        let rounds = RoundOptions { rounds: 1, seconds: 2.0, ..short };
        runs.extend(sweep::measure(&pairs, false, &Search::default(), &rounds)?);
    }
    let mut scenarios = games([core, node.load_core], short.length());
    scenarios.extend(aeads(TEXT_BYTES, short.length())?);
    let pace = Pace { starting_max: options.logins as usize };
    scenarios.push(Box::new(ReconnectStorm::new(&node, options.logins, pace)?));
    runs.extend(interleave(&mut scenarios, short.rounds)?);
    Ok(runs)
}
