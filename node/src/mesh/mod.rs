//! Frames between the shards of one process.
//!
//! Every pair of shards has a crossing in each direction. What a turn sends to a peer crosses as one batch, and a peer
//! that sleeps is woken at most once per turn. A batch has three lanes. Each lane of each direction has a capacity in
//! items, which counts what is queued at the sender, in the crossing and at the receiver together: a sender that
//! finds it full gets its item back at once and decides what that means. Nothing ever waits: not for room, and not
//! for a crossing that the other side is just using, which is tried again in the next turn.
//!
//! The executor's own channels are not used: it may park with a task ready to run when a wake-up of theirs comes late.

mod crossing;
mod lanes;
mod port;

pub use lanes::{Lane, LaneCapacities};
pub use port::{Ends, Full, Port, ends};
