//! Bytes to typed messages and back, for both sides of a connection. No I/O, no clock, no randomness of its own.

extern crate alloc; // the generated code names it

pub mod account;
pub mod body;
pub mod classify;
pub mod client;
pub mod command;
pub mod contact;
pub mod decode;
pub mod device;
pub mod document;
pub mod encode;
pub mod extras;
pub mod fold;
pub mod frame;
pub mod ids;
pub mod limits;
pub mod message;
pub mod name;
pub mod notice;
pub mod operator;
pub mod org;
pub mod presence;
pub mod profile;
pub mod refusal;
pub mod scram;
pub mod service;
pub mod template;
pub mod ticket;
pub mod token;
pub mod verified;

/// Code generated from `schema/ringtalk.fbs`; see CONTRIBUTING in the README for the command that makes it.
#[allow(clippy::all, unused_imports, dead_code, mismatched_lifetime_syntaxes, unsafe_op_in_unsafe_fn)]
#[rustfmt::skip]
#[path = "generated/ringtalk_generated.rs"]
mod ringtalk_generated;

pub use ringtalk_generated::ringtalk as generated;

pub use classify::{ConnectionPhase, Incoming, Misfit, OwnerKey, classify};
pub use command::{Command, Event};
pub use decode::{DecodeError, EventBody, EventFrame, decode_event};
pub use encode::Encoder;
pub use ids::{ConnectionId, ConversationId, DeviceId, Notices, SessionId, ShardAddress, Slot, UserId};
pub use name::UserName;
pub use refusal::Refusal;
pub use token::{Scope, Scopes};
pub use verified::Verified;
