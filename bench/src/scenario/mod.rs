//! Scenarios: one file each. A scenario is set up once and then measured round by round, so that rounds of several can be
//! interleaved and slow changes of the machine meet all of them alike.

pub mod direct;
pub mod idle;
pub mod login_storm;
pub mod presence;
pub mod reconnect_storm;
pub mod sessions;
pub mod stored;

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::report::model::{Round, Run};

/// One scenario with one set of parameters, against one subject that is up and running.
pub trait Scenario {
    /// What it is; its rounds are filled in by who measures.
    fn describe(&self) -> Run;

    /// One round that counts. It leaves the subject without work.
    fn round(&mut self) -> Result<Round>;

    /// What to warn of when a round shows it.
    fn doubt(&self, _: &Round) -> Option<String> {
        None
    }
}

/// Parameters of a run from what they are made of.
pub fn parameters<const N: usize>(of: [(&str, String); N]) -> BTreeMap<String, String> {
    of.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Measures each of them once per round, in turn.
pub fn interleave(scenarios: &mut [Box<dyn Scenario + '_>], rounds: u32) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = scenarios.iter().map(|scenario| scenario.describe()).collect();
    for number in 1..=rounds {
        for (scenario, run) in scenarios.iter_mut().zip(&mut runs) {
            eprintln!("{}: round {number} of {rounds}", run.name);
            let round = scenario.round().with_context(|| run.name.clone())?;
            if let Some(doubt) = scenario.doubt(&round).filter(|doubt| !run.warnings.contains(doubt)) {
                eprintln!("warning: {}: {doubt}", run.name);
                run.warnings.push(doubt);
            }
            run.rounds.push(round);
        }
    }
    Ok(runs)
}
