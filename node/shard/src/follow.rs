//! Conversations without a list of members, such as notices: nothing is written per follower.
//!
//! A shard subscribes at the conversation's home while it hosts sessions that follow it. The answer is the head. What is
//! added later comes as one frame per shard, in the order of the log; where there is no room for a frame, the new head is
//! told later instead. Which of its sessions follow what, a shard learns from their users' homes.

mod hub;
mod index;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use record::{OrgPlace, Place};
use wire::ConversationId;

use crate::mesh::PushEvent;

pub(crate) use self::hub::Hub;
pub(crate) use self::index::{Follows, Update};

/// How far a followed conversation has come, on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticeHead {
    pub epoch: u32,
    pub head: Place,
    /// Of the last entry, Unix milliseconds.
    pub time_ms: u64,
}

impl NoticeHead {
    fn is_behind(&self, other: &Self) -> bool {
        (self.epoch, self.head) < (other.epoch, other.head)
    }
}

/// A followed conversation has a new head, or tells something that is not in it.
#[derive(Clone, Debug)]
pub struct Followed {
    pub conversation: ConversationId,
    pub at: NoticeHead,
    /// For the sessions that follow it. Empty as the answer to a subscription, and where there was no room for them.
    pub events: Arc<[PushEvent]>,
}

/// What a session follows beside the notices that are for everybody; what is not said stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Following {
    pub adverts_off: Option<bool>,
    /// Departments whose member the user is, without those above. A lower version than one that came is old.
    pub place: Option<OrgPlace>,
}

/// Gives departments and all those above them.
pub(crate) type Above<'a> = &'a dyn Fn(&[u32]) -> Vec<u32>;
