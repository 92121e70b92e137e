//! `bench presence`: many users with contacts log in within half a minute and log out again, while others chat. What each is
//! told of his contacts is checked when all are in, and the chat's latency is beside that of a quiet time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use super::direct::doubt as doubt_of_chat;
use super::{Scenario, interleave, parameters};
use crate::driver::Entrance;
use crate::options::NodeOptions;
use crate::pairs::{Crowd, Mode, Pairs, Span};
use crate::relations;
use crate::report::model::{LatencyCurve, Round, Run, Subject};
use crate::server::Server;

mod storm;

use storm::{Plan, Storm};

/// Between the last login and the first logout: by then everybody has been told of everybody.
const HOLD: Duration = Duration::from_secs(3);
/// How long those who are late are waited for after a round.
const LATE_MAX: Duration = Duration::from_secs(120);
const QUANTILE: f64 = 0.99;
/// Contacts that nobody told of, when all were in.
const UNTOLD: &str = "presences_untold_total";

#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Users who come and go
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=19_000))]
    users: u32,
    /// Contacts of each
    #[arg(long, default_value_t = relations::CONTACTS, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    contacts: u32,
    /// Seconds in which all log in, and in which all log out
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    storm_s: u32,
    /// By the ticket of the last login instead of the whole login
    #[arg(long)]
    tickets: bool,
    /// Pairs of others who chat
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=400))]
    pairs: u32,
    /// Messages per second of the chat
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Rounds that count, each with a quiet part and a storm
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    #[command(flatten)]
    node: NodeOptions,
}

/// A node whose users have contacts and are not logged in, beside pairs who are.
#[derive(Debug)]
pub struct PresenceStorm {
    pairs: Pairs,
    users: usize,
    contacts: u32,
    entrance: Entrance,
    storm: Duration,
    rate: f64,
    tls: bool,
}

impl PresenceStorm {
    fn new(options: &Options) -> Result<Self> {
        let node = &options.node;
        let crowd = Crowd { pairs: options.pairs, idle: options.users, bytes: 128 };
        let mut pairs = Pairs::new(Server::node(node, &[])?, Subject::Node, node.tls, crowd)?;
        let (first, users) = (pairs.first_beside(), options.users as usize);
        let contacts = relations::possible(users, options.contacts);
        (first..first + users).for_each(|index| pairs.driver.cut(index));
        let lattice = relations::lattice(users, contacts).into_iter();
        let related: Vec<_> = lattice.map(|(a, b)| (first + a, first + b)).collect();
        relations::seed(&pairs.server, &mut pairs.driver, &related)?;
        pairs.server.wait_until_quiet()?;
        Ok(Self {
            pairs,
            users,
            contacts,
            entrance: if options.tickets { Entrance::Resume } else { Entrance::LogIn },
            storm: Duration::from_secs(options.storm_s.into()),
            rate: options.rate.into(),
            tls: node.tls,
        })
    }

    /// Those who are late come, and all go.
    fn finish(&mut self, storm: &mut Storm) -> Result<()> {
        let (begin, first) = (Instant::now(), self.pairs.first_beside());
        while !storm.is_over() {
            ensure!(begin.elapsed() < LATE_MAX, "{} users are still on their way", storm.on_their_way());
            storm.follow(&mut self.pairs.driver, first, begin.elapsed())?;
        }
        Ok(())
    }
}

impl Scenario for PresenceStorm {
    fn describe(&self) -> Run {
        let way = if self.entrance == Entrance::Resume { "tickets" } else { "whole logins" };
        let protection = if self.tls { "TLS" } else { "plain" };
        let Self { users, contacts, .. } = self;
        Run {
            name: format!("presence, {protection}, {users} users with {contacts} contacts, {way}"),
            scenario: "presence".to_owned(),
            subject: Subject::Node,
            parameters: parameters([
                ("users", users.to_string()),
                ("contacts", contacts.to_string()),
                ("way", way.to_owned()),
                ("storm_s", self.storm.as_secs().to_string()),
                ("pairs", self.pairs.crowd.pairs.to_string()),
                ("chat_rate", format!("{:.0}", self.rate)),
                ("tls", self.tls.to_string()),
            ]),
            ..Run::default()
        }
    }

    fn round(&mut self) -> Result<Round> {
        let mode = Mode::Rate(self.rate);
        let quiet = self.pairs.round(mode, Span::Time(self.storm))?;
        let due = self.users as u64 * u64::from(self.contacts);
        let plan = Plan { users: self.users, storm: self.storm, hold: HOLD, entrance: self.entrance, due };
        let mut storm = Storm::new(plan);
        let span = Span::Time(plan.length());
        let mut round = self.pairs.round_beside(mode, span, &mut storm)?;
        self.finish(&mut storm)?;
        put_storm(&mut round, &storm, due);
        put_quiet(&mut round, &quiet);
        put_cost(&mut round, &quiet, self.users);
        Ok(round)
    }

    fn doubt(&self, round: &Round) -> Option<String> {
        let untold = round.values.get(UNTOLD).copied().unwrap_or(0.0);
        if untold > 0.0 {
            return Some(format!("{untold} contacts were online and their users were not told"));
        }
        doubt_of_chat(Mode::Rate(self.rate), round)
    }
}

/// What came of the storm; `due` contacts were to be told of when all were in.
fn put_storm(round: &mut Round, storm: &Storm, due: u64) {
    let seconds = round.seconds;
    let mut put = |name: &str, value: f64| round.values.insert(name.to_owned(), value);
    put("logins_per_s", storm.logins_per_s());
    put("presences_per_s", storm.presences() as f64 / seconds);
    put("presence_frames_per_s", storm.frames() as f64 / seconds);
    put("told_late_ns", storm.late_ns() as f64);
    put(UNTOLD, due.saturating_sub(storm.told()) as f64);
    round.latencies.insert("login".to_owned(), LatencyCurve::of(storm.login_ns()));
}

/// What the chat was like without a storm, and how much worse with one.
fn put_quiet(round: &mut Round, quiet: &Round) {
    let p99 = |round: &Round| round.latencies.get("delivery").and_then(|curve| curve.at(QUANTILE));
    let ratio = p99(round).zip(p99(quiet)).map(|(storm, quiet)| storm as f64 / quiet.max(1) as f64);
    round.values.extend(ratio.map(|ratio| ("delivery_p99_over_quiet".to_owned(), ratio)));
    let delivery = quiet.latencies.get("delivery").cloned();
    round.latencies.extend(delivery.map(|curve| ("delivery_quiet".to_owned(), curve)));
    let used = quiet.values.get("server_cores_used").copied();
    round.values.extend(used.map(|used| ("server_cores_used_quiet".to_owned(), used)));
}

/// What a user's coming and going cost the server: what the storm took more than a quiet time with as many messages. A cost per
/// message of the storm would count logins.
fn put_cost(round: &mut Round, quiet: &Round, users: usize) {
    const COST: &str = "server_cpu_ns_per_message";
    let cost = |round: &Round| round.values.get(COST).copied();
    if let Some((storm, quiet)) = cost(round).zip(cost(quiet)) {
        let more = (storm - quiet) * round.messages() / users.max(1) as f64;
        round.values.insert("server_cpu_ns_per_user".to_owned(), more);
    }
    round
        .values
        .retain(|name, _| !name.split('/').next().is_some_and(|whole| whole.ends_with("_per_message")));
}

pub fn run(options: &Options) -> Result<Vec<Run>> {
    let storm = PresenceStorm::new(options)?;
    interleave(&mut [Box::new(storm)], options.rounds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Quantile;

    fn round(p99_ns: u64) -> Round {
        let points = vec![Quantile { quantile: QUANTILE, ns: p99_ns }];
        let curve = LatencyCurve { count: 100, points, ..LatencyCurve::default() };
        Round { latencies: [("delivery".to_owned(), curve)].into(), ..Round::default() }
    }

    #[test]
    fn a_user_costs_what_the_storm_took_more() {
        let with_cost = |ns: f64| {
            let values = ["", "/core"].map(|part| (format!("server_cpu_ns_per_message{part}"), ns));
            Round { values: values.into(), ..round(1) }
        };
        let mut storm = with_cost(500.0);
        put_cost(&mut storm, &with_cost(200.0), 10);
        let values: Vec<_> = storm.values.into_iter().collect();
        assert_eq!(values, [("server_cpu_ns_per_user".to_owned(), 300.0 * 100.0 / 10.0)]);
    }

    #[test]
    fn a_storm_is_told_as_a_multiple_of_the_quiet_time() {
        let mut storm = round(3_000);
        put_quiet(&mut storm, &round(2_000));
        assert_eq!(storm.values["delivery_p99_over_quiet"], 1.5);
        assert_eq!(storm.latencies["delivery_quiet"].at(QUANTILE), Some(2_000));
        let mut alone = round(3_000);
        put_quiet(&mut alone, &Round::default());
        assert!(!alone.values.contains_key("delivery_p99_over_quiet"), "nothing to compare with");
    }
}
