//! What the operator chose, as far as the logic needs it. Checked by the node before it gets here.

use wire::message::DeviceClass;
use wire::ticket::TicketKeys;

use crate::limits::{EPHEMERAL_CREDITS, PRESENCE_PENDING_MAX};

/// How sessions are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementPolicy {
    /// On the user's home, unless it is above the mean by more than the bound.
    Home,
    LeastLoaded,
}

/// Who may write to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactPolicy {
    /// Contacts to each other.
    Required,
    /// Everybody to everybody, as in a closed organisation. Blocks hold.
    Open,
}

/// What happens to a message of somebody who may not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrangerPolicy {
    /// Nothing, no answer either: the sender cannot tell a stranger's silence from being blocked.
    Silent,
    /// It is refused.
    Refuse,
}

/// How many sessions a user may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionPolicy {
    /// Any number, up to the bound of the shard.
    Any,
    /// One of each class of device: a new login takes over from the others of its class, and their tickets serve no more.
    OnePerClass,
}

/// How long a session may be silent, in milliseconds, by the class of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleTimes {
    pub desktop_ms: u64,
    pub mobile_ms: u64,
    pub web_ms: u64,
    pub bot_ms: u64,
}

impl IdleTimes {
    /// The same for all.
    pub const fn all(ms: u64) -> Self {
        Self { desktop_ms: ms, mobile_ms: ms, web_ms: ms, bot_ms: ms }
    }

    /// Of a class, as its number in the protocol.
    pub fn of(&self, class: u8) -> u64 {
        match DeviceClass(class) {
            DeviceClass::Mobile => self.mobile_ms,
            DeviceClass::Web => self.web_ms,
            DeviceClass::Bot => self.bot_ms,
            _ => self.desktop_ms,
        }
    }

    /// What holds before the class is known.
    pub fn shortest(&self) -> u64 {
        self.desktop_ms.min(self.mobile_ms).min(self.web_ms).min(self.bot_ms)
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    /// Term under which this node writes; the store gave it at open.
    pub term: u64,
    pub software: String,
    /// Told by `WhereToConnect` and `Move`; empty means the address the client used.
    pub addresses: Vec<String>,
    pub registration_open: bool,
    /// PBKDF2 iterations for new credentials.
    pub scram_iterations: u32,
    /// Makes the salts of unknown users: the same for the same name, for the life of the data.
    pub fake_salt_secret: [u8; 32],
    pub ticket_keys: TicketKeys,
    pub ticket_ms: u64,
    /// How long a one-time code serves.
    pub code_ms: u64,
    /// How long its sender can recall a message.
    pub recall_ms: u64,
    /// How long the name of a deleted account is not free.
    pub name_reserved_ms: u64,
    pub placement: PlacementPolicy,
    /// A home may be above the mean load by this many percent before sessions go elsewhere.
    pub placement_excess_percent: u32,
    /// How long a connection may take until it has logged in.
    pub login_ms_max: u64,
    pub idle: IdleTimes,
    pub sessions: SessionPolicy,
    /// Told at login: the delay before reconnecting is drawn from `0..=reconnect_ms_max`.
    pub reconnect_ms_max: u32,
    /// Connections of one address, over all shards.
    pub connections_per_address_max: u32,
    /// Connections that have not logged in, over all shards.
    pub unauthenticated_max: u32,
    /// Commands per second and session, by rate class; 0 is no limit. A burst of two seconds' worth is allowed.
    pub messages_per_s_max: u32,
    pub queries_per_s_max: u32,
    pub light_per_s_max: u32,
    /// Login steps per second and address, over all shards.
    pub logins_per_s_max: u32,
    pub contacts: ContactPolicy,
    pub strangers: StrangerPolicy,
    /// For delivery frames to one peer that it has not taken; [`crate::limits::DELIVERY_CREDITS`] but in tests.
    pub delivery_credits: u64,
    pub ephemeral: EphemeralBounds,
}

/// Of the ephemeral lane to one peer; the default but in tests.
#[derive(Clone, Copy, Debug)]
pub struct EphemeralBounds {
    /// Frames that it has not taken.
    pub credits: u64,
    /// Pairs of users that wait to be told.
    pub pending_max: usize,
}

impl Default for EphemeralBounds {
    fn default() -> Self {
        Self { credits: EPHEMERAL_CREDITS, pending_max: PRESENCE_PENDING_MAX }
    }
}
