//! Requests of the operator, from the admin socket. Each is carried out at the home of the name it concerns, whichever
//! shard the socket is on.

use wire::service::TokenLine;

use crate::login::NewToken;
use crate::stats::ShardStats;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminRequest {
    /// Creates an account from SCRAM's keys; the password never reaches the node.
    AddUser { name: String, credential: record::Credential },
    /// Sets new credentials and ends all sessions and their tickets.
    ResetUser { name: String, credential: record::Credential },
    /// Users of the slots of this shard, by rising name, behind `after`.
    ListUsers { after: Option<String>, users_max: u32 },
    /// Makes a token of a service account, and the account when the name is free.
    CreateToken { name: String, new: NewToken },
    /// The tokens of a service account.
    ListTokens { name: String },
    /// Ends a token and its sessions.
    RevokeToken { name: String, number: u32 },
    /// How this shard is.
    Stats,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminReply {
    Added {
        user: u64,
    },
    Reset {
        user: u64,
        sessions_ended: u32,
    },
    Users {
        users: Vec<UserLine>,
        more: bool,
    },
    TokenCreated {
        user: u64,
        number: u32,
    },
    Tokens {
        user: u64,
        tokens: Vec<TokenLine>,
    },
    TokenRevoked {
        user: u64,
        number: u32,
        sessions_ended: u32,
    },
    Stats(Box<ShardStats>),
    /// Not done; a sentence for people.
    Refused {
        reason: String,
    },
}

/// One user in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLine {
    pub user: u64,
    pub name: String,
    pub created_ms: u64,
    pub devices: u32,
}
