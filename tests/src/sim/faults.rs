//! The kinds of faults and how often each one fired.

macro_rules! faults {
    ($($name:ident $text:literal;)+) => {
        /// What goes wrong in a world.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($name,)+ }

        impl Fault {
            pub const ALL: &[Fault] = &[$(Fault::$name,)+];

            /// As it stands in the report.
            pub const fn name(self) -> &'static str { match self { $(Fault::$name => $text,)+ } }
        }
    };
}

faults! {
    Crash "node crashes";
    LostWrites "crashes that lost unsynced batches";
    TornTail "crashes that kept a part of the unsynced batches of a store shard";
    SurvivingWrites "store shards that kept all unsynced batches over a crash";
    UnknownCommit "commits whose outcome is unknown";
    SlowCommit "slow commits";
    DiskFull "batches refused since the disk was full";
    OtherCoreCount "restarts with another core count";
    GracefulStop "graceful stops";
    ConnectionReset "connections reset";
    LateReset "resets that one side noticed late";
    ConnectionStall "connections stalled";
    HandOff "connections moved between shards";
    HandOffWithBytes "connections moved with bytes behind the held frame";
    NeverReads "clients that stopped reading";
    Overflow "queues of slow readers overflowed";
    FullLane "frames that found a delivery lane full";
    PresenceLost "states that were not told to another shard, since too many waited";
    Invisible "users who became invisible";
    SlowTurn "turns that came late";
    ClockForward "wall clock steps forward";
    ClockBack "wall clock steps back";
    ClientCrash "client crashes";
    ClientLostWrites "client crashes that lost unpersisted writes";
    ClientWiped "clients that lost all of their state";
    Garbage "frames of garbage";
    OutOfPhase "frames out of phase";
    Replay "frames replayed";
    Intrusion "commands about conversations of others";
    BadProof "wrong, old and replayed proofs and tampered tickets";
    OperatorAct "acts of the operator answered";
    SessionEnded "sessions ended by another device of their user";
    TakenOver "sessions taken over by another device of their class";
    SilentConnection "connections that said nothing";
}

/// Counts per kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally([u64; Fault::ALL.len()]);

impl Default for Tally {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl Tally {
    pub fn add(&mut self, fault: Fault) {
        self.add_many(fault, 1);
    }

    pub fn add_many(&mut self, fault: Fault, count: u64) {
        self.0[fault as usize] += count;
    }

    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub fn merge(&mut self, other: &Tally) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Kinds that never fired.
    pub fn missing(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|fault| self.of(*fault) == 0).collect()
    }
}
