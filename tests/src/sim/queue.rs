//! Virtual time: what happens next, and when. Events of one instant happen in the order in which they were planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;
use record::{Query, Rows, StoreShardId};
use shard::connection::Transfer;
use shard::mesh::{Lane, MeshFrame};

use super::network::{LinkId, Side};

/// Something that is going to happen. What belongs to one life of the node carries the number of that life, and comes to
/// nothing in another one.
#[derive(Debug)]
pub enum Event {
    NodeStarts,
    Turn {
        life: u32,
        shard: u16,
    },
    Mesh {
        life: u32,
        from: u16,
        to: u16,
        lane: Lane,
        frame: Box<MeshFrame>,
    },
    Adopt {
        life: u32,
        to: u16,
        link: LinkId,
        transfer: Box<Transfer>,
    },
    /// The committer of a store shard is done with what it had taken.
    Sync {
        life: u32,
        store_shard: StoreShardId,
    },
    /// A read sees the state of this moment; its answer takes `delay_us` more.
    Load {
        life: u32,
        shard: u16,
        token: u64,
        store_shard: StoreShardId,
        queries: Vec<Query>,
        delay_us: u64,
    },
    Loaded {
        life: u32,
        shard: u16,
        token: u64,
        rows: Vec<Rows>,
    },
    /// Bytes of a link arrive at one side.
    Bytes {
        link: LinkId,
        to: Side,
        bytes: Bytes,
    },
    /// One side of a link notices that it is over.
    Ended {
        link: LinkId,
        at: Side,
    },
    /// The node accepts the link.
    Accept {
        link: LinkId,
    },
    /// A closing connection has lingered for long enough.
    Linger {
        life: u32,
        link: LinkId,
    },
    DeviceAsksPresence {
        device: usize,
        boot: u32,
    },
    DeviceWakes {
        device: usize,
        boot: u32,
    },
    DevicePersisted {
        device: usize,
        boot: u32,
    },
    DeviceStarts {
        device: usize,
    },
    DeviceSyncsOrg {
        device: usize,
        boot: u32,
    },
    DeviceReconnects {
        device: usize,
        boot: u32,
    },
    DeviceLogsIn {
        device: usize,
        boot: u32,
    },
    ProbeWakes {
        probe: usize,
    },
    ProbesLeave,
    LullEnds,
    Operation,
    Fault,
    DiskHasSpace,
    ReadsAgain {
        device: usize,
    },
    Look,
}

struct Planned {
    at_us: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.at_us, self.order) == (other.at_us, other.order)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.order).cmp(&(other.at_us, other.order))
    }
}

/// All that is planned, and the present.
#[derive(Default)]
pub struct Queue {
    planned: BinaryHeap<Reverse<Planned>>,
    order: u64,
    now_us: u64,
}

impl Queue {
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    pub fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    pub fn at(&mut self, at_us: u64, event: Event) {
        self.order += 1;
        let planned = Planned { at_us: at_us.max(self.now_us), order: self.order, event };
        self.planned.push(Reverse(planned));
    }

    pub fn after(&mut self, delay_us: u64, event: Event) {
        self.at(self.now_us + delay_us, event);
    }

    /// Goes to the next event.
    pub fn next(&mut self) -> Option<Event> {
        let Reverse(planned) = self.planned.pop()?;
        self.now_us = planned.at_us;
        Some(planned.event)
    }
}
