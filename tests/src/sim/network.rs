//! Simulated connections: two directions of bytes with delays, stalls and resets.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use shard::SendClass;
use wire::ConnectionId;
use wire::frame::LENGTH_LEN;

use super::random::Stream;

pub type LinkId = u32;

/// Bytes on their way to a client that the node's socket takes without waiting.
pub const WINDOW_BYTES: usize = 8 * 1024;

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Node,
    Actor,
}

/// Who opened a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    Device(usize),
    Probe(usize),
}

/// One direction.
#[derive(Debug, Default)]
pub struct Pipe {
    last_arrival_us: u64,
    stalled_until_us: u64,
    /// Bytes sent and not yet taken at the other side.
    pub in_flight: usize,
}

impl Pipe {
    /// When bytes that leave now arrive: never before those in front of them.
    fn arrival(&mut self, now_us: u64, delay_us: u64) -> u64 {
        let arrival = (now_us + delay_us).max(self.stalled_until_us).max(self.last_arrival_us);
        self.last_arrival_us = arrival;
        arrival
    }
}

/// What the node's side has received and not handled.
#[derive(Debug, Default)]
pub struct Unread(BytesMut);

/// The next thing in the received bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut {
    Nothing,
    Frame(Bytes),
    TooLong(usize),
}

impl Unread {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether a whole frame waits, or one that is too long.
    pub fn has_frame(&self) -> bool {
        let field = self.0.first_chunk::<LENGTH_LEN>();
        field.is_some_and(|field| {
            let length = u32::from_le_bytes(*field) as usize;
            self.0.len() >= LENGTH_LEN + length || length > wire::limits::FRAME_LEN_MAX
        })
    }

    pub fn cut(&mut self, len_max: usize) -> Cut {
        let Some(field) = self.0.first_chunk::<LENGTH_LEN>() else { return Cut::Nothing };
        let length = u32::from_le_bytes(*field) as usize;
        if length > len_max {
            return Cut::TooLong(length);
        }
        if self.0.len() < LENGTH_LEN + length {
            return Cut::Nothing;
        }
        let mut frame = self.0.split_to(LENGTH_LEN + length);
        Cut::Frame(frame.split_off(LENGTH_LEN).freeze())
    }
}

/// What the node has to say on one connection.
#[derive(Debug, Default)]
pub struct Output {
    pub queue: VecDeque<(Bytes, SendClass)>,
    pub push_bytes: usize,
    pub overflowed: bool,
}

impl Output {
    pub fn push(&mut self, frame: Bytes, class: SendClass) {
        if class == SendClass::Push {
            self.push_bytes += frame.len();
        }
        self.queue.push_back((frame, class));
    }

    pub fn pop(&mut self) -> Option<Bytes> {
        let (frame, class) = self.queue.pop_front()?;
        if class == SendClass::Push {
            self.push_bytes -= frame.len();
        }
        Some(frame)
    }

    /// Drops queued pushes, but not always all: small ones stand in one run of bytes with replies.
    pub fn drop_pushes(&mut self, stream: &mut Stream) {
        let all = stream.chance(700);
        self.queue.retain(|(_, class)| *class != SendClass::Push || (!all && stream.chance(300)));
        let pushes = self.queue.iter().filter(|(_, class)| *class == SendClass::Push);
        self.push_bytes = pushes.map(|(frame, _)| frame.len()).sum();
    }
}

/// The node's end of a link.
#[derive(Debug)]
pub struct NodeEnd {
    /// Nobody's while it moves between shards.
    pub connection: Option<ConnectionId>,
    pub unread: Unread,
    pub frame_len_max: usize,
    /// The connection stays on its shard; until then frames are handed over one at a time.
    pub settled: bool,
    /// A frame of an unsettled connection was handed over and nothing was heard of it yet.
    pub waiting: bool,
    /// The other side is gone.
    pub ended: bool,
    /// The shard asked for the end; what is queued still goes out.
    pub closing: bool,
    pub output: Output,
}

impl NodeEnd {
    fn new(connection: ConnectionId) -> Self {
        Self {
            connection: Some(connection),
            unread: Unread::default(),
            frame_len_max: wire::limits::FRAME_LEN_MAX_BEFORE_LOGIN,
            settled: false,
            waiting: false,
            ended: false,
            closing: false,
            output: Output::default(),
        }
    }
}

/// A connection as both ends see it.
#[derive(Debug)]
pub struct Link {
    pub actor: Actor,
    /// To the node.
    pub up: Pipe,
    /// To the actor.
    pub down: Pipe,
    /// `None` before it is accepted and after it is closed.
    pub node: Option<NodeEnd>,
    /// The actor has not been told that it is over.
    pub actor_open: bool,
    /// Arrived at an actor that does not read.
    pub untaken: VecDeque<Bytes>,
    /// The end has arrived behind them.
    pub over_at_actor: bool,
    /// Nothing arrives any more, though a side may not know yet.
    pub is_cut: bool,
}

impl Link {
    pub fn accept(&mut self, connection: ConnectionId) {
        self.node = Some(NodeEnd::new(connection));
    }

    /// What is on its way is lost, in both directions.
    pub fn cut(&mut self) {
        self.is_cut = true;
        self.untaken.clear();
    }
}

/// All links that somebody still knows.
#[derive(Debug)]
pub struct Network {
    pub links: BTreeMap<LinkId, Link>,
    pub stream: Stream,
    last: LinkId,
    /// Longest usual delay of one way.
    pub delay_us_max: u64,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        let mut stream = Stream::new(seed, "network");
        let delay_us_max = *stream.pick(&[200, 2_000, 20_000]);
        Self { links: BTreeMap::new(), stream, last: 0, delay_us_max }
    }

    pub fn open(&mut self, actor: Actor) -> LinkId {
        self.last += 1;
        let link = Link {
            actor,
            up: Pipe::default(),
            down: Pipe::default(),
            node: None,
            actor_open: true,
            untaken: VecDeque::new(),
            over_at_actor: false,
            is_cut: false,
        };
        self.links.insert(self.last, link);
        self.last
    }

    pub fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    /// The node's end of a link that the node still knows.
    pub fn node_end(&mut self, id: LinkId) -> Option<&mut NodeEnd> {
        self.links.get_mut(&id)?.node.as_mut()
    }

    /// Forgets the link once nobody knows it.
    pub fn sweep(&mut self, id: LinkId) {
        if self.links.get(&id).is_some_and(|link| link.node.is_none() && !link.actor_open) {
            self.links.remove(&id);
        }
    }

    pub fn delay_us(&mut self) -> u64 {
        self.stream.between(20, self.delay_us_max)
    }

    /// When bytes that leave now arrive at `to`.
    pub fn arrival(&mut self, id: LinkId, to: Side, now_us: u64) -> Option<u64> {
        let delay_us = self.delay_us();
        let link = self.links.get_mut(&id)?;
        let pipe = match to {
            Side::Node => &mut link.up,
            Side::Actor => &mut link.down,
        };
        Some(pipe.arrival(now_us, delay_us))
    }

    /// Whether both directions carry bytes without unusual delay.
    pub fn is_smooth(&self, id: LinkId, now_us: u64) -> bool {
        let late = |pipe: &Pipe| pipe.stalled_until_us.max(pipe.last_arrival_us) > now_us + self.delay_us_max;
        self.links.get(&id).is_some_and(|link| !link.is_cut && !late(&link.up) && !late(&link.down))
    }

    /// Nothing of this link arrives in this direction for a while.
    pub fn stall(&mut self, id: LinkId, to: Side, until_us: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match to {
            Side::Node => link.up.stalled_until_us = until_us,
            Side::Actor => link.down.stalled_until_us = until_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_bytes_are_cut_into_frames() {
        let mut unread = Unread::default();
        unread.push(&[3, 0, 0, 0, 1, 2]);
        assert_eq!((unread.has_frame(), unread.cut(9)), (false, Cut::Nothing));
        unread.push(&[3, 9, 0, 0, 0]);
        assert!(unread.has_frame());
        assert_eq!(unread.cut(9), Cut::Frame(Bytes::from_static(&[1, 2, 3])));
        assert_eq!(unread.cut(8), Cut::TooLong(9));
    }

    #[test]
    fn bytes_of_one_direction_stay_in_order() {
        let mut network = Network::new(1);
        let link = network.open(Actor::Device(0));
        let mut last_us = 0;
        for now_us in 0..500 {
            let at_us = network.arrival(link, Side::Node, now_us).expect("a link");
            assert!(at_us >= last_us && at_us > now_us);
            last_us = at_us;
        }
        network.stall(link, Side::Node, 10_000_000);
        assert!(network.arrival(link, Side::Node, 501) >= Some(10_000_000));
    }
}
