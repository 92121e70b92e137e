//! Flow control towards the peer shards. No lane blocks its producer, and none grows without bound.

use wire::ShardAddress;

use crate::limits::{CREDIT_STEP, DELIVERY_CREDITS, FORWARDS_IN_FLIGHT_MAX};

/// One peer.
#[derive(Debug, Default, Clone, Copy)]
struct Peer {
    /// Credits of the delivery frames sent.
    delivery_sent: u64,
    /// Of those, taken by the peer, as far as it has told.
    delivery_taken: u64,
    forwards_in_flight: u32,
    /// Credits of the delivery frames taken from the peer, and the count it was last told.
    received: u64,
    told: u64,
}

/// The counters of one shard, by number of the peer.
#[derive(Debug)]
pub struct Lanes {
    peers: Vec<Peer>,
    credits: u64,
    /// Some peer may not have been told of all that was taken from it.
    untold: bool,
}

impl Lanes {
    /// `credits` is [`DELIVERY_CREDITS`] but in tests that fill the lanes.
    pub fn new(shards: u16, credits: u64) -> Self {
        assert!((1..=DELIVERY_CREDITS).contains(&credits));
        Self { peers: vec![Peer::default(); shards as usize], credits, untold: false }
    }

    /// Uses the credits of a frame; false when there are none and it must not be sent. One is enough, so that no frame is
    /// too large for ever.
    pub fn take_credits(&mut self, to: ShardAddress, count: u64) -> bool {
        let has_credit = self.has_credit(to);
        if has_credit {
            self.peers[to.shard as usize].delivery_sent += count;
        }
        has_credit
    }

    pub fn has_credit(&self, to: ShardAddress) -> bool {
        let peer = &self.peers[to.shard as usize];
        peer.delivery_sent - peer.delivery_taken < self.credits
    }

    /// The peer told how many it has taken.
    pub fn handle_credit(&mut self, from: ShardAddress, taken: u64) {
        let peer = &mut self.peers[from.shard as usize];
        assert!(taken <= peer.delivery_sent, "a peer cannot take more than was sent");
        peer.delivery_taken = peer.delivery_taken.max(taken);
    }

    /// A delivery frame of this peer was taken, which used so many credits.
    pub fn on_received(&mut self, from: ShardAddress, count: u64) {
        self.peers[from.shard as usize].received += count;
        self.untold = true;
    }

    /// Reserves room for a forward's answer; false when too many are on their way.
    pub fn begin_forward(&mut self, to: ShardAddress) -> bool {
        let peer = &mut self.peers[to.shard as usize];
        if peer.forwards_in_flight >= FORWARDS_IN_FLIGHT_MAX {
            return false;
        }
        peer.forwards_in_flight += 1;
        true
    }

    /// So many answers came back.
    pub fn end_forwards(&mut self, from: ShardAddress, answers: u32) {
        let peer = &mut self.peers[from.shard as usize];
        assert!(peer.forwards_in_flight >= answers, "an answer belongs to a forward");
        peer.forwards_in_flight -= answers;
    }

    /// Peers to tell what was taken from them. With `all`, also those below the step.
    pub fn credits_to_tell(&mut self, all: bool, mut tell: impl FnMut(u16, u64)) {
        if !self.untold {
            return;
        }
        self.untold = !all;
        let step = CREDIT_STEP.min(self.credits.div_ceil(2));
        for (number, peer) in self.peers.iter_mut().enumerate() {
            let untold = peer.received - peer.told;
            if untold >= step || (all && untold > 0) {
                peer.told = peer.received;
                tell(number as u16, peer.received);
            }
        }
    }

    /// Credits in use towards the peer that has taken the least of what was sent.
    pub fn credits_used(&self) -> u64 {
        self.peers.iter().map(|peer| peer.delivery_sent - peer.delivery_taken).max().unwrap_or(0)
    }

    pub fn forwards_in_flight(&self) -> u32 {
        self.peers.iter().map(|peer| peer.forwards_in_flight).sum()
    }

    pub fn check_invariants(&self) {
        for peer in &self.peers {
            assert!(peer.delivery_taken <= peer.delivery_sent);
            assert!(peer.told <= peer.received && (self.untold || peer.told == peer.received));
            assert!(peer.forwards_in_flight <= FORWARDS_IN_FLIGHT_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_without_credit_takes_nothing_until_the_peer_has_taken_some() {
        let peer = ShardAddress { node: 0, shard: 1 };
        let me = ShardAddress { node: 0, shard: 0 };
        let (mut here, mut there) = (Lanes::new(2, 4), Lanes::new(2, 4));
        for _ in 0..4 {
            assert!(here.take_credits(peer, 1));
        }
        assert!(!here.take_credits(peer, 1));
        there.on_received(me, 1);
        let mut told = Vec::new();
        there.credits_to_tell(false, |number, taken| told.push((number, taken)));
        assert!(told.is_empty(), "below the step");
        there.credits_to_tell(true, |number, taken| told.push((number, taken)));
        assert_eq!(told, [(0, 1)]);
        here.handle_credit(peer, 1);
        assert!(here.take_credits(peer, 1) && !here.take_credits(peer, 1));
        here.check_invariants();
    }

    #[test]
    fn a_large_frame_uses_many_credits_and_may_use_more_than_are_left() {
        let peer = ShardAddress { node: 0, shard: 1 };
        let mut lanes = Lanes::new(2, 100);
        assert!(lanes.take_credits(peer, 60) && lanes.take_credits(peer, 60));
        assert!(!lanes.has_credit(peer) && !lanes.take_credits(peer, 1));
        lanes.handle_credit(peer, 20);
        assert!(!lanes.has_credit(peer), "100 are still on their way");
        lanes.handle_credit(peer, 60);
        assert!(lanes.take_credits(peer, 1));
        lanes.check_invariants();
    }
}
