//! The client side of Ringtalk: the SDK ([`Client`]), and the terminal client on it ([`chat`]).
//!
//! A [`Client`] is one account on one device: a local folder that holds its messages, and a connection to a node that
//! comes back by itself. A message is on this device's disk before it is sent, and what is received is on disk before it
//! is told, so that every message is sent and seen exactly once and in order, whatever crashes.

mod board;
pub mod chat;
mod client;
mod engine;
pub mod error;
pub mod event;
pub mod options;
mod send;
pub mod store;
#[cfg(test)]
mod testing;
pub mod transport;

pub use board::Me;
pub use client::{Body, Client, ConversationInfo, History, To};
pub use error::{Error, RefusedByNode};
pub use event::{Connection, Event, Events, StopCause};
pub use options::{ClientOptions, DeliveredMarks, Remember};
pub use send::{Ack, SendHandle, SendState};
pub use store::HistoryItem;
