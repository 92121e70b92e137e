//! What a client is opened with.

use std::path::PathBuf;

use wire::message::DeviceClass;

use crate::transport::{Address, Security};

/// Options of [`Client::open`](crate::Client::open).
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// This account's own folder. Made if it is not there; two programs cannot use it at a time.
    pub folder: PathBuf,
    /// The node.
    pub address: Address,
    pub security: Security,
    /// Shown to the user in lists of devices; at most 64 bytes.
    pub device_name: String,
    pub device_class: DeviceClass,
    /// Whether the folder keeps what logs in without the password once the ticket has expired.
    pub remember: Remember,
    /// Newest entries that are fetched of a conversation that is new to this device; the rest comes with
    /// [`Client::history`](crate::Client::history).
    pub catch_up_max: u64,
    /// Tell senders that their messages arrived here.
    pub delivered_marks: DeliveredMarks,
}

/// What is kept of a password. The password itself never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remember {
    /// Only the ticket of the session: when it expires the password is needed again.
    TicketOnly,
    /// SCRAM's keys too: whoever can read the folder can log in to this node (but does not learn the password).
    Keys,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveredMarks {
    Send,
    Withhold,
}

/// Default of [`ClientOptions::catch_up_max`].
pub const CATCH_UP_MAX: u64 = 1_000;

impl ClientOptions {
    /// Options with the usual values for what is not named.
    pub fn new(folder: impl Into<PathBuf>, address: Address, security: Security) -> Self {
        Self {
            folder: folder.into(),
            address,
            security,
            device_name: String::new(),
            device_class: DeviceClass::Desktop,
            remember: Remember::TicketOnly,
            catch_up_max: CATCH_UP_MAX,
            delivered_marks: DeliveredMarks::Send,
        }
    }
}
