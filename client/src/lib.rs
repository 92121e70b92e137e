//! The client side of Ringtalk: the SDK, and the terminal client on it.

pub mod chat;
pub mod transport;
