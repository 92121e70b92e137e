//! The simulator: whole worlds on virtual time. The shards, the mesh frames, the store's contract and the clients'
//! state machine are the real ones; the network, the disk, the clocks and the people are played, and go wrong.
//!
//! A world is a function of its seed. A reference model looks at every frame that leaves a shard, at the disk after every
//! crash, and at everything at the end, when faults are over and all must have come to rest.

mod device;
mod directory;
mod faults;
mod links;
mod lull;
mod model;
mod network;
mod node;
mod operations;
mod operator;
mod presence;
mod probe;
mod queue;
mod random;
mod report;
mod run;
mod scram;
mod script;
mod trace;
mod world;

pub use faults::{Fault, Tally};
pub use report::Totals;
pub use run::{Options, find_bugs, replay, run_seeds};
