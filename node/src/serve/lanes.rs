//! Room in the lanes between two shards.

use shard::limits::{
    CONNECTIONS_MAX, DELIVERY_CREDITS, EPHEMERAL_CREDITS, EPHEMERAL_OVERDRAFT_MAX, FORWARDS_IN_FLIGHT_MAX,
    INTRODUCTIONS_MAX, OUTBOX_MAX, SESSIONS_PER_USER_MAX, UNAUTHENTICATED_MAX,
};

use super::ShardItem;
use crate::mesh::{Full, Lane, LaneCapacities, Port};

/// Most items on their way from one shard to another. What the shards themselves keep to: a lane that is full all the
/// same is a broken rule of the node.
pub const LANE_CAPACITIES: LaneCapacities = LaneCapacities {
    control: FORWARDS_IN_FLIGHT_MAX as u64 // answers
        + 6 * UNAUTHENTICATED_MAX as u64 // login steps, their replies, three frames of a placement, connections that move
        + 2 * CONNECTIONS_MAX as u64 // a session is gone, or is to end
        + 2 * INTRODUCTIONS_MAX as u64 // asked and answered
        + OUTBOX_MAX as u64 // lists that hold a change
        + 2 * DELIVERY_CREDITS // credits, at most one per delivery frame; loads of shards, at most one per session
        + CONNECTIONS_MAX as u64
        + EPHEMERAL // credits, at most one per ephemeral frame
        + CONNECTIONS_MAX as u64 // whether marks are hidden: for each session, and for those of who changes it
        + SESSIONS_PER_USER_MAX as u64 * FORWARDS_IN_FLIGHT_MAX as u64,
    delivery: DELIVERY_CREDITS, // each frame uses one at least
    ephemeral: EPHEMERAL,
};

const EPHEMERAL: u64 = EPHEMERAL_CREDITS + EPHEMERAL_OVERDRAFT_MAX;

/// Queues an item for a shard.
///
/// # Panics
/// If the lane is full.
pub(super) fn send(mesh: &mut Port<ShardItem>, to: u16, lane: Lane, item: ShardItem) {
    if let Err(Full(_)) = mesh.send(to, lane, item) {
        panic!("the {lane:?} lane to shard {to} is full");
    }
}
