//! Faults that the check must find. They change what a send costs and nothing else.

use anyhow::{Result, ensure};

use crate::baseline::{Baseline, Finding};
use crate::commands::Command;
use crate::cost::{Counting, Measured};
use crate::node::Node;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// One allocation more in each send.
    CopyBody,
    /// A thousand instructions more in each send.
    ReadBodyAgain,
}

impl Fault {
    const ALL: &[Fault] = &[Fault::CopyBody, Fault::ReadBodyAgain];

    pub fn name(self) -> &'static str {
        match self {
            Fault::CopyBody => "copy-body",
            Fault::ReadBodyAgain => "read-body-again",
        }
    }

    #[cfg(feature = "planted-bugs")]
    pub fn plant(self, node: &mut Node) {
        node.plant(match self {
            Fault::CopyBody => shard::bugs::Bug::CopyBody,
            Fault::ReadBodyAgain => shard::bugs::Bug::ReadBodyAgain,
        });
    }

    #[cfg(not(feature = "planted-bugs"))]
    pub fn plant(self, _node: &mut Node) {
        panic!("faults are planted only in a build with the feature planted-bugs");
    }
}

/// What is wrong with a send that has this fault.
fn rises(baseline: &Baseline, planted: Option<Fault>) -> Result<Vec<String>> {
    let measured = Measured::new(Command::PrivateSend, Counting::All, planted)?;
    let rise = |finding| if let Finding::Rise(text) = finding { Some(text) } else { None };
    Ok(baseline.compare(&measured).into_iter().filter_map(rise).collect())
}

/// Fails unless the check passes without a fault and finds each that is planted.
pub fn prove(baseline: &Baseline) -> Result<()> {
    ensure!(
        cfg!(feature = "planted-bugs"),
        "faults can be planted only in a build with them: cargo counts-prove"
    );
    let rises_without = rises(baseline, None)?;
    ensure!(rises_without.is_empty(), "without a planted fault the check fails: {rises_without:?}");
    println!("nothing planted: the check passes");
    for fault in Fault::ALL {
        let rises = rises(baseline, Some(*fault))?;
        let word = if *fault == Fault::CopyBody { "allocations" } else { "instructions" };
        let found = rises.iter().any(|rise| rise.contains(word));
        ensure!(found, "{} is planted, and the check does not find it: {rises:?}", fault.name());
        println!("{} planted: the check fails: {}", fault.name(), rises.join("; "));
    }
    Ok(())
}
