//! One shard's end of the mesh.

use std::collections::VecDeque;
use std::sync::Arc;

use super::crossing::{Crossing, Left};
use super::lanes::{Batch, Lane, LaneCapacities};
use crate::ring::Doorbell;

/// One shard's end before its core runs.
pub struct Ends<T> {
    index: u16,
    capacities: LaneCapacities,
    peers: Vec<Peer<T>>,
}

/// The ends of all shards, by shard; `doorbells` are those of their cores.
pub fn ends<T>(doorbells: &[Arc<Doorbell>], capacities: LaneCapacities) -> Vec<Ends<T>> {
    let shards = doorbells.len();
    assert!(shards <= u16::MAX as usize);
    let crossings: Vec<Vec<Arc<Crossing<T>>>> =
        (0..shards).map(|_| (0..shards).map(|_| Arc::default()).collect()).collect();
    let peer = |index: usize, other: usize| Peer {
        doorbell: doorbells[other].clone(),
        batch: Batch::default(),
        queued: [0; 3],
        out: crossings[index][other].clone(),
        into: crossings[other][index].clone(),
        taken: [0; 3],
    };
    (0..shards)
        .map(|index| Ends {
            index: index as u16,
            capacities,
            peers: (0..shards).map(|other| peer(index, other)).collect(),
        })
        .collect()
}

/// The lane to that shard has no room; the item comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

struct Peer<T> {
    doorbell: Arc<Doorbell>,
    /// What this turn sends, and what an earlier one could not leave.
    batch: Batch<T>,
    /// Items ever queued to this peer.
    queued: [u64; 3],
    out: Arc<Crossing<T>>,
    into: Arc<Crossing<T>>,
    /// Items ever taken from this peer.
    taken: [u64; 3],
}

/// What has arrived and is not taken, in the order of its arrival.
type Arrived<T> = VecDeque<(u16, std::vec::IntoIter<T>)>;

/// A shard's end of the mesh.
pub struct Port<T> {
    index: u16,
    capacities: LaneCapacities,
    peers: Vec<Peer<T>>,
    arrived: [Arrived<T>; 3],
    dirty: Vec<u16>,
    refused: [u64; 3],
    dropped: u64,
}

impl<T> Ends<T> {
    /// The end that the core uses.
    pub(crate) fn open(self) -> Port<T> {
        Port {
            index: self.index,
            capacities: self.capacities,
            peers: self.peers,
            arrived: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
            dirty: Vec::new(),
            refused: [0; 3],
            dropped: 0,
        }
    }
}

impl<T> Port<T> {
    /// This shard.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Shards of the process, this one included.
    pub fn shards(&self) -> u16 {
        self.peers.len() as u16
    }

    /// Items that lane to that shard would take now.
    pub fn room(&self, to: u16, lane: Lane) -> u64 {
        let peer = &self.peers[to as usize];
        self.capacities.of(lane).saturating_sub(peer.queued[lane as usize] - peer.out.taken(lane))
    }

    /// Queues an item for a shard (this one included). It leaves at the end of the turn.
    pub fn send(&mut self, to: u16, lane: Lane, item: T) -> Result<(), Full<T>> {
        if self.room(to, lane) == 0 {
            self.refused[lane as usize] += 1;
            return Err(Full(item));
        }
        let peer = &mut self.peers[to as usize];
        if peer.batch.is_empty() {
            self.dirty.push(to);
        }
        peer.queued[lane as usize] += 1;
        peer.batch.lanes[lane as usize].push(item);
        Ok(())
    }

    /// Items sent in this lane that their shards, this one included, have not taken.
    pub fn depth(&self, lane: Lane) -> u64 {
        self.peers.iter().map(|peer| peer.queued[lane as usize] - peer.out.taken(lane)).sum()
    }

    /// Items that came back as [`Full`], by lane.
    pub fn refused(&self, lane: Lane) -> u64 {
        self.refused[lane as usize]
    }

    /// Items dropped because their shard had ended.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Fetches what peers left here.
    pub(crate) fn fetch(&mut self) {
        for (from, peer) in self.peers.iter().enumerate() {
            let Some(batch) = peer.into.take() else { continue };
            for (lane, items) in self.arrived.iter_mut().zip(batch.lanes) {
                if !items.is_empty() {
                    lane.push_back((from as u16, items.into_iter()));
                }
            }
        }
    }

    /// The next item that was fetched in this lane, and who sent it.
    pub(crate) fn next(&mut self, lane: Lane) -> Option<(u16, T)> {
        let batches = &mut self.arrived[lane as usize];
        let (from, items) = batches.front_mut()?;
        let (from, item) = (*from, items.next().expect("no empty batches are kept"));
        if items.len() == 0 {
            batches.pop_front();
        }
        let peer = &mut self.peers[from as usize];
        peer.taken[lane as usize] += 1;
        peer.into.set_taken(lane, peer.taken[lane as usize]);
        Some((from, item))
    }

    /// True while items wait here: left by a peer, fetched and not taken, or not left at a peer.
    pub(crate) fn has_work(&self) -> bool {
        !self.dirty.is_empty()
            || self.arrived.iter().any(|lane| !lane.is_empty())
            || self.peers.iter().any(|peer| peer.into.is_filled())
    }

    /// Leaves each peer its batch and wakes those that sleep. What cannot be left now is left by a later call.
    pub(crate) fn publish(&mut self) {
        let mut position = 0;
        while let Some(&to) = self.dirty.get(position) {
            let peer = &mut self.peers[to as usize];
            match peer.out.leave(&mut peer.batch) {
                Left::There => peer.doorbell.ring_if_asleep(),
                Left::NotYet => {
                    position += 1;
                    continue;
                }
                Left::Closed => {
                    let batch = std::mem::take(&mut peer.batch);
                    self.dropped += batch.lanes.iter().map(|items| items.len() as u64).sum::<u64>();
                }
            }
            self.dirty.swap_remove(position);
        }
    }

    /// Leaves the mesh: what peers send to this shard afterwards is dropped, by them.
    pub(crate) fn close(&mut self) {
        for peer in &self.peers {
            peer.into.close();
            drop(peer.into.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(capacities: LaneCapacities) -> (Port<u32>, Port<u32>) {
        let doorbells: Vec<_> = (0..2).map(|_| Arc::new(Doorbell::new().expect("a counter"))).collect();
        let mut ends = ends(&doorbells, capacities).into_iter();
        (ends.next().expect("two").open(), ends.next().expect("two").open())
    }

    const SMALL: LaneCapacities = LaneCapacities { control: 3, delivery: 2, ephemeral: 1 };

    #[test]
    fn a_full_lane_gives_the_item_back_until_the_receiver_has_taken() {
        let (mut a, mut b) = pair(SMALL);
        for lane in Lane::ALL {
            for n in 0..SMALL.of(lane) as u32 {
                assert_eq!(a.send(1, lane, n), Ok(()));
            }
            assert_eq!(a.send(1, lane, 99), Err(Full(99)), "{lane:?}");
        }
        a.publish();
        assert_eq!(a.room(1, Lane::Control), 0, "publishing makes no room");
        b.fetch();
        assert_eq!(a.room(1, Lane::Control), 0, "fetching makes no room");
        assert_eq!(b.next(Lane::Control), Some((0, 0)));
        assert_eq!(a.room(1, Lane::Control), 1, "taking does");
        assert_eq!(a.room(1, Lane::Delivery), 0, "in its own lane");
    }

    #[test]
    fn lanes_keep_their_order_over_batches() {
        let (mut a, mut b) = pair(LaneCapacities { control: 100, delivery: 100, ephemeral: 100 });
        for n in 0..60 {
            assert_eq!(a.send(1, Lane::ALL[n as usize % 3], n), Ok(()));
            if n % 7 == 0 {
                a.publish();
            }
            if n % 20 == 0 {
                b.fetch();
            }
        }
        a.publish();
        b.fetch();
        for lane in Lane::ALL {
            let taken: Vec<u32> = std::iter::from_fn(|| b.next(lane)).map(|(_, n)| n).collect();
            assert_eq!(taken, (0..60).filter(|n| n % 3 == lane as u32).collect::<Vec<_>>());
        }
        assert!(!a.has_work() && !b.has_work());
    }

    #[test]
    fn a_shard_sends_to_itself_and_drops_for_the_ended() {
        let (mut a, mut b) = pair(SMALL);
        assert_eq!(a.send(0, Lane::Control, 5), Ok(()));
        a.publish();
        assert!(a.has_work());
        a.fetch();
        assert_eq!(a.next(Lane::Control), Some((0, 5)));
        b.close();
        assert_eq!(a.send(1, Lane::Control, 6), Ok(()));
        a.publish();
        assert_eq!(a.dropped(), 1);
        assert!(!a.has_work());
    }

    #[test]
    fn two_threads_lose_and_reorder_nothing() {
        let capacities = LaneCapacities { control: 50, delivery: 50, ephemeral: 50 };
        let (mut a, mut b) = pair(capacities);
        const COUNT: u32 = 100_000;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut next = 0;
                while next < COUNT {
                    while next < COUNT && a.send(1, Lane::Delivery, next).is_ok() {
                        next += 1;
                    }
                    a.publish();
                    std::thread::yield_now();
                }
                while a.has_work() {
                    a.publish();
                }
            });
            let mut expected = 0;
            while expected < COUNT {
                b.fetch();
                while let Some((from, n)) = b.next(Lane::Delivery) {
                    assert_eq!((from, n), (0, expected));
                    expected += 1;
                }
                std::thread::yield_now();
            }
        });
    }
}
