//! Simulation, real-binary tests, kill and power-cut tests, house rules.

pub mod durability;
pub mod harness;
pub mod organisation;
pub mod sim;
pub mod tidy;
