//! The three lanes, told apart by what a drop costs.

/// A lane of the mesh. Items of one lane between two shards keep their order; lanes overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Lane {
    /// Must not be lost: placement, hand-off, subscriptions. Its capacity is a sum of what can be in it.
    Control,
    /// Entries and answers. Full: the sender refuses, or marks what it could not send.
    Delivery,
    /// Presence and the like: newest wins. Full: the peer is marked and states are exchanged anew.
    Ephemeral,
}

impl Lane {
    pub const ALL: [Lane; 3] = [Lane::Control, Lane::Delivery, Lane::Ephemeral];
}

/// Items that may be on the way from one shard to another, by lane.
#[derive(Clone, Copy, Debug)]
pub struct LaneCapacities {
    pub control: u64,
    pub delivery: u64,
    pub ephemeral: u64,
}

impl LaneCapacities {
    pub fn of(&self, lane: Lane) -> u64 {
        match lane {
            Lane::Control => self.control,
            Lane::Delivery => self.delivery,
            Lane::Ephemeral => self.ephemeral,
        }
    }
}

/// What one turn sends to one peer.
#[derive(Debug)]
pub(super) struct Batch<T> {
    pub lanes: [Vec<T>; 3],
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { lanes: [Vec::new(), Vec::new(), Vec::new()] }
    }
}

impl<T> Batch<T> {
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(Vec::is_empty)
    }

    /// Moves the items of `later` behind these.
    pub fn append(&mut self, later: &mut Batch<T>) {
        for (lane, items) in self.lanes.iter_mut().zip(&mut later.lanes) {
            if lane.is_empty() {
                std::mem::swap(lane, items);
            } else {
                lane.append(items);
            }
        }
    }
}
