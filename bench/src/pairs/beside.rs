//! What other clients of the same node do while pairs chat.

use anyhow::Result;

use crate::driver::{Driver, PeerEvent};

/// Clients behind those of the pairs. Their numbers count from 0; `first` is the driver's number of the first.
pub trait Beside {
    /// Does what is due at a time of the round, nanoseconds since it began.
    ///
    /// # Errors
    /// What cannot be done ends the round.
    fn act(&mut self, driver: &mut Driver, first: usize, now_ns: u64) -> Result<()>;

    /// When `act` is to be called next at the latest.
    fn next_ns(&self) -> Option<u64>;

    /// What one of them was told.
    ///
    /// # Errors
    /// What must not be told ends the round.
    fn handle(&mut self, client: usize, event: PeerEvent, now_ns: u64) -> Result<()>;
}

/// Nobody.
#[derive(Debug)]
pub struct Nobody;

impl Beside for Nobody {
    fn act(&mut self, _: &mut Driver, _: usize, _: u64) -> Result<()> {
        Ok(())
    }

    fn next_ns(&self) -> Option<u64> {
        None
    }

    fn handle(&mut self, _: usize, _: PeerEvent, _: u64) -> Result<()> {
        Ok(())
    }
}
