//! A node and its users, who come and go all together: what the storm scenarios share.

use anyhow::Result;

use crate::driver::{Account, Arrivals, Driver, Entrance, Pace};
use crate::measure::{self, STEP_NS};
use crate::options::NodeOptions;
use crate::report::model::{LatencyCurve, Point, Round};
use crate::server::Server;
use crate::usage::{self, Usage};

#[derive(Debug)]
pub struct Storm {
    pub server: Server,
    pub driver: Driver,
}

/// What was used up to a moment.
#[derive(Debug)]
pub struct Mark {
    server: Usage,
    own_cpu_ns: u64,
}

impl Storm {
    /// Makes the accounts and logs all of them in once, so that each has a device and a ticket.
    pub fn new(node: &NodeOptions, sessions: u32) -> Result<Self> {
        let server = Server::node(node, &[])?;
        let run = rand::random::<u32>();
        let accounts = (0..sessions).map(|index| Account::new(format!("storm-{run:x}-{index}")));
        let mut driver = Driver::new(server.address, node.tls, accounts)?;
        driver.bring_in(0..sessions as usize, Pace::default(), |_| Entrance::RegisterAndLogIn)?;
        Ok(Self { server, driver })
    }

    /// Cuts all sessions and waits until the node is done with them.
    pub fn scatter(&mut self) -> Result<()> {
        self.driver.cut_all();
        self.server.wait_until_quiet()?;
        Ok(())
    }

    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark { server: self.server.usage()?, own_cpu_ns: usage::own_cpu_ns() })
    }

    /// Everybody comes in.
    pub fn arrive(&mut self, entrance: Entrance, pace: Pace) -> Result<Arrivals> {
        self.driver.bring_in(0..self.driver.peers.len(), pace, |_| entrance)
    }

    /// The figures of a storm that began at `mark`; what the node put off is waited for.
    pub fn round(&self, mark: &Mark, arrivals: Arrivals, what: &str) -> Result<Round> {
        let load_cpu_ns = usage::own_cpu_ns() - mark.own_cpu_ns;
        self.server.wait_until_quiet()?;
        let growth = self.server.usage()?.since(&mark.server);
        let count = arrivals.entered_at_ns.len() as u64;
        let mut round = Round { seconds: arrivals.elapsed.as_secs_f64(), ..Round::default() };
        measure::put_usage(&mut round, &growth, count, "session");
        let mut put = |name: &str, value: f64| round.values.insert(name.to_owned(), value);
        put("sessions_per_s", count as f64 / arrivals.elapsed.as_secs_f64());
        put("server_core_sessions_per_s", count as f64 * 1e9 / growth.total.cpu_ns.max(1) as f64);
        put("load_cpu_share", measure::share(load_cpu_ns, arrivals.elapsed));
        round.latencies.insert(what.to_owned(), LatencyCurve::of(&arrivals.entrance_ns));
        round.series.insert("sessions_per_s".to_owned(), per_step(&arrivals.entered_at_ns));
        Ok(round)
    }
}

/// Why a round's rate may be that of the load and not of the server.
pub fn doubt(round: &Round) -> Option<String> {
    let share = round.values.get("load_cpu_share").copied().unwrap_or(0.0);
    (share > measure::LOAD_SHARE_MAX).then(|| {
        "the load was the bottleneck: rate and latency are its own, cost per session holds".to_owned()
    })
}

/// How many of these rising times fall into each step, per second.
fn per_step(at_ns: &[u64]) -> Vec<Point> {
    let steps = at_ns.last().map_or(0, |last| last / STEP_NS + 1);
    let mut counts = vec![0u64; steps as usize];
    at_ns.iter().for_each(|at_ns| counts[(at_ns / STEP_NS) as usize] += 1);
    let point = |(step, count): (usize, u64)| Point {
        at_s: ((step as u64 + 1) * STEP_NS) as f64 / 1e9,
        value: count as f64 * 1e9 / STEP_NS as f64,
    };
    counts.into_iter().enumerate().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_counted_by_step() {
        let points = per_step(&[0, STEP_NS - 1, 2 * STEP_NS]);
        let values: Vec<f64> = points.iter().map(|point| point.value).collect();
        assert_eq!(values, [20.0, 0.0, 10.0]);
        assert!(per_step(&[]).is_empty());
    }
}
