//! The client's side of a session: a state machine without I/O, clock or randomness, for SDKs, load generators and
//! simulators.
//!
//! The surroundings call [`Session`]'s `handle_*` methods with what happened and then carry out what
//! [`Session::poll_effect`] gives, in that order. With a store that keeps to [`Effect::Persist`]'s rule, every message
//! is sent and seen exactly once and in order, whenever the client crashes.

mod answers;
mod chat;
mod draft;
mod effect;
mod feed;
mod journal;
mod link;
mod login;
mod operator;
mod outbox;
mod presence;
mod requests;
mod sending;
mod session;
mod stored;
#[cfg(test)]
mod tests;

pub use draft::Draft;
pub use effect::{ClientEvent, Effect, PersistToken, QueryId, Reason, SendFailure};
pub use session::{QueryError, SendError, Session, SessionConfig};
pub use stored::{Account, ConversationState, KeptKeys, PersistOp, Silence, Stored, StoredSend};

/// Sends that are not decided. [`Session::send`] refuses more.
pub const OUTGOING_MAX: usize = 1_024;
/// Their bodies, in bytes. [`Session::send`] refuses more.
pub const OUTGOING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Entries kept that came before an earlier one, over all conversations. More are left to a pull.
pub const HELD_ENTRIES_MAX: usize = 512;
/// Their bodies, in bytes. More are left to a pull.
pub const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Marks kept that came before their conversation. More are left to the next time the list is fetched.
pub const EARLY_MARKS_MAX: usize = 256;
/// Conversations known. What comes of more is not told; it stays readable as history.
pub const CONVERSATIONS_MAX: usize = 65_536;
/// Contacts whose changes are remembered while a page of who is online is on its way. With more, the application is told to
/// ask anew.
pub const PRESENCES_HELD_MAX: usize = 16_384;
/// Questions of the application that wait. More are refused.
pub const QUERIES_MAX: usize = 64;
/// Questions of the application on their way.
pub const QUERIES_IN_FLIGHT_MAX: usize = 8;
/// Marks on their way; one per conversation.
pub const MARKS_IN_FLIGHT_MAX: usize = 8;
/// Groups of changes that are not persisted yet. With more, [`Session::is_backlogged`] asks to stop reading.
pub const PERSISTS_MAX: usize = 64;

/// A send without an answer for this long leaves the window.
pub const UNANSWERED_MS: u64 = 10_000;
/// Without another answer for this long the connection is given up.
pub const ANSWER_MS_MAX: u64 = 30_000;
/// Each step of a login.
pub const LOGIN_STEP_MS_MAX: u64 = 15_000;
/// After a ping without anything in return for this long the connection is dead.
pub const SILENCE_MS_MAX: u64 = 15_000;
/// Delay before a new connection where the node named none.
pub const RECONNECT_MS: u64 = 500;
/// Longest such delay.
pub const RECONNECT_MS_MAX: u64 = 30_000;
/// Bounds of the delay before a refused command is tried again.
pub const RETRY_MS_MIN: u64 = 50;
/// After this long what the session may not do is asked for again.
const HOPELESS_MS: u64 = 24 * 60 * 60 * 1_000;
pub const RETRY_MS_MAX: u64 = 30_000;
/// Delay after a pull that brought nothing.
pub const FRUITLESS_PULL_MS: u64 = 1_000;
/// Delay before a send is tried again that a full disk refused.
pub const STORAGE_FULL_MS: u64 = 2_000;
