//! What is to be told to other homes, and to the shards of sessions: the ephemeral lane.
//!
//! What waits is a pair of users, not a state: the state is looked up when the pair goes, so the newest wins and a user who
//! changes often is told once. What finds no room is not told, and the peer is marked; then both sides tell each other anew
//! all that the other one's users watch, in rising ids, a part at a time.
//!
//! An exchange comes to its end, and exchanges come to an end, however little room there is. What is lost while one goes on
//! does not begin it anew but makes another one follow it. It has room of its own, so it takes none from what its frames call
//! for in return: that is only who is not here although the peer believes so. With each frame these become fewer.

use std::collections::VecDeque;

use ahash::AHashMap;
use wire::ShardAddress;

use crate::bugs::Bug;
use crate::core::Core;
use crate::limits::{
    EPHEMERAL_CREDITS, EPHEMERAL_OVERDRAFT_MAX, PRESENCE_EXCHANGING_MAX, PRESENCE_FRAMES_PER_TURN,
    PRESENCE_LOCAL_PAIRS_PER_TURN, PRESENCE_PAIRS_PER_FRAME, PRESENCE_PENDING_MAX, PRESENCE_PUSHES_PER_FRAME,
};
use crate::mesh::{PresencePush, Wants};

/// Of this user, for that one.
pub(super) type Pair = (u32, u32);

/// One peer, or this shard itself.
#[derive(Debug)]
struct Peer {
    pending: AHashMap<Pair, Wants>,
    /// The keys of `pending`, each once.
    order: VecDeque<Pair>,
    /// Frames sent, and of those the ones taken.
    sent: u64,
    taken: u64,
    /// Frames that came from the peer, and the count it was told.
    received: u64,
    told: u64,
    /// Something was lost: the peer is told so with the next frame.
    lost: bool,
    /// The users behind this one have not been gone through for the exchange.
    exchange: Option<u32>,
    /// Something was lost since it began: another one follows.
    again: bool,
    /// What the exchange is to tell, beside `pending`.
    exchanging: VecDeque<(Pair, Wants)>,
}

impl Peer {
    fn start_exchange(&mut self) {
        match self.exchange {
            None => self.exchange = Some(0),
            Some(0) => {}
            Some(_) => self.again = true,
        }
    }

    /// The next pairs to tell, at most so many. Neither kind keeps the other one from going on.
    fn take_pairs(&mut self, room: usize) -> Vec<(Pair, Wants)> {
        let kept = self.exchanging.len().min(room / 2);
        let count = self.order.len().min(room - kept);
        let pending = self.order.drain(..count);
        let mut pairs: Vec<_> = pending
            .map(|pair| (pair, self.pending.remove(&pair).expect("each pair in order waits")))
            .collect();
        let count = self.exchanging.len().min(room - pairs.len());
        pairs.extend(self.exchanging.drain(..count));
        pairs
    }

    fn is_busy(&self) -> bool {
        self.exchange.is_some() || self.lost || self.waiting() > 0
    }

    fn waiting(&self) -> usize {
        self.order.len() + self.exchanging.len()
    }
}

/// The ephemeral lanes of one shard, by number of the peer.
#[derive(Debug)]
pub(super) struct Lanes {
    peers: Vec<Peer>,
    own: usize,
    /// A pair waits, a loss is to be told, or an exchange goes on. May be stale until the end of the turn.
    busy: bool,
    /// Some peer was not told of all that was taken from it.
    untold: bool,
    /// Pairs within this shard that may still go in this turn.
    local_left: usize,
    pending_max: usize,
    credits: u64,
}

/// What the next frame to a peer holds.
pub(super) struct Next {
    pub to: ShardAddress,
    pub lost: bool,
    pub pairs: Vec<(Pair, Wants)>,
}

impl Lanes {
    pub fn new(core: &mut Core) -> Self {
        let peer = |_| Peer {
            pending: AHashMap::with_hasher(core.rng.hasher()),
            order: VecDeque::new(),
            sent: 0,
            taken: 0,
            received: 0,
            told: 0,
            lost: false,
            exchange: None,
            again: false,
            exchanging: VecDeque::new(),
        };
        let peers = (0..core.ownership.shards()).map(peer).collect();
        let pending_max = core.config.ephemeral.pending_max;
        let credits = core.config.ephemeral.credits;
        assert!((1..=PRESENCE_PENDING_MAX).contains(&pending_max));
        assert!((1..=EPHEMERAL_CREDITS).contains(&credits));
        let own = usize::from(core.address.shard);
        Self { peers, own, busy: false, untold: false, local_left: 0, pending_max, credits }
    }

    pub fn pending(&self) -> usize {
        self.peers.iter().map(Peer::waiting).sum()
    }

    /// This pair is to be told. When too many wait it is not, and both sides exchange anew.
    pub fn push(&mut self, core: &mut Core, to: ShardAddress, pair: Pair, wants: Wants) {
        self.busy = true;
        let index = usize::from(to.shard);
        let peer = &mut self.peers[index];
        if let Some(before) = peer.pending.get_mut(&pair) {
            *before = wants.max(*before);
        } else if peer.order.len() < self.pending_max {
            peer.pending.insert(pair, wants);
            peer.order.push_back(pair);
        } else {
            core.counters.presence_lost += 1;
            if !core.bug(Bug::ForgetPresenceExchange) {
                peer.lost = index != self.own;
                peer.start_exchange();
            }
        }
    }

    /// The peer lost something: what its users watch here is told anew.
    pub fn handle_lost(&mut self, from: ShardAddress) {
        self.busy = true;
        self.peers[usize::from(from.shard)].start_exchange();
    }

    pub fn handle_credit(&mut self, from: ShardAddress, taken: u64) {
        let peer = &mut self.peers[usize::from(from.shard)];
        assert!(taken <= peer.sent, "a peer cannot take more than was sent");
        peer.taken = peer.taken.max(taken);
    }

    pub fn on_received(&mut self, from: ShardAddress) {
        self.peers[usize::from(from.shard)].received += 1;
        self.untold = true;
    }

    /// Peers to tell how many of their frames were taken: once per turn.
    pub fn credits_to_tell(&mut self, mut tell: impl FnMut(u16, u64)) {
        if !std::mem::take(&mut self.untold) {
            return;
        }
        for (number, peer) in self.peers.iter_mut().enumerate() {
            if peer.received > peer.told {
                peer.told = peer.received;
                tell(number as u16, peer.received);
            }
        }
    }

    pub fn start_turn_end(&mut self) {
        self.local_left = PRESENCE_LOCAL_PAIRS_PER_TURN;
    }

    /// A peer whose exchange has room to go on, and the user behind whom it does.
    pub fn next_exchange(&mut self, after: u16) -> Option<(u16, u32)> {
        if !self.busy {
            return None;
        }
        let mut peers = self.peers.iter().enumerate().skip(usize::from(after));
        peers.find_map(|(index, peer)| {
            let behind = peer.exchange.filter(|_| peer.exchanging.len() < PRESENCE_EXCHANGING_MAX)?;
            Some((index as u16, behind))
        })
    }

    /// The exchange with this peer goes on with this user, and tells so much of him.
    pub fn exchange(&mut self, peer: u16, user: u32, pairs: impl Iterator<Item = (Pair, Wants)>) {
        let peer = &mut self.peers[usize::from(peer)];
        peer.exchange = Some(user);
        peer.exchanging.extend(pairs);
    }

    /// All users were gone through.
    pub fn end_exchange(&mut self, peer: u16) {
        let peer = &mut self.peers[usize::from(peer)];
        peer.exchange = std::mem::take(&mut peer.again).then_some(0);
    }

    pub fn has_credit(&self, to: ShardAddress) -> bool {
        let peer = &self.peers[usize::from(to.shard)];
        usize::from(to.shard) == self.own || peer.sent - peer.taken < self.credits
    }

    /// A frame goes to this peer.
    pub fn on_sent(&mut self, to: ShardAddress) {
        if usize::from(to.shard) != self.own {
            self.peers[usize::from(to.shard)].sent += 1;
        }
    }

    /// The pairs that may go now, as frames.
    pub fn take(&mut self, node: u16) -> Vec<Next> {
        let mut frames = Vec::new();
        if !self.busy {
            return frames;
        }
        for index in 0..self.peers.len() {
            let to = ShardAddress { node, shard: index as u16 };
            let is_local = index == self.own;
            let mut budget = PRESENCE_FRAMES_PER_TURN;
            while budget > 0 && self.has_credit(to) {
                let peer = &mut self.peers[index];
                let mut room = PRESENCE_PAIRS_PER_FRAME;
                if is_local {
                    room = room.min(self.local_left);
                }
                let pairs = peer.take_pairs(room);
                if pairs.is_empty() && !peer.lost {
                    break;
                }
                let lost = std::mem::take(&mut peer.lost);
                if is_local {
                    self.local_left -= pairs.len();
                }
                self.on_sent(to);
                frames.push(Next { to, lost, pairs });
                budget -= 1;
            }
        }
        self.busy = self.peers.iter().any(Peer::is_busy);
        frames
    }

    /// Something could go on without anything coming in.
    pub fn has_local_work(&self) -> bool {
        self.busy && self.has_work()
    }

    fn has_work(&self) -> bool {
        self.peers.iter().enumerate().any(|(index, peer)| {
            let to = ShardAddress { node: 0, shard: index as u16 };
            self.has_credit(to) && peer.is_busy()
        })
    }

    pub fn check_invariants(&self) {
        for (index, peer) in self.peers.iter().enumerate() {
            assert_eq!(peer.pending.len(), peer.order.len());
            assert!(peer.order.len() <= self.pending_max);
            assert!(peer.exchanging.len() < PRESENCE_EXCHANGING_MAX + record::CONTACTS_MAX);
            assert!(!peer.again || peer.exchange.is_some());
            assert!(
                peer.taken <= peer.sent && peer.sent - peer.taken <= self.credits + EPHEMERAL_OVERDRAFT_MAX
            );
            assert!(!peer.lost || index != self.own);
            assert!(self.busy || !peer.is_busy(), "what waits for peer {index} is forgotten");
            assert!(self.untold || peer.told == peer.received);
        }
    }
}

/// Events for sessions of one other shard, gathered into frames.
#[derive(Debug, Default)]
pub(super) struct Pushes(Vec<PresencePush>);

impl Pushes {
    pub fn add(&mut self, push: PresencePush) {
        self.0.push(push);
    }

    /// As frames, each with at most [`PRESENCE_PUSHES_PER_FRAME`].
    pub fn into_frames(mut self) -> Vec<Vec<PresencePush>> {
        let mut frames = Vec::new();
        while !self.0.is_empty() {
            let rest = self.0.split_off(self.0.len().min(PRESENCE_PUSHES_PER_FRAME));
            frames.push(std::mem::replace(&mut self.0, rest));
        }
        frames
    }
}
