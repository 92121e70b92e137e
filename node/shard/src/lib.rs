//! The pure shard: everything one core owns, as a struct with one way in.

pub mod ownership;
