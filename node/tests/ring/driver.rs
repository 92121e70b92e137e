//! A driver for tests: echoes, hops between shards, floods, parks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use node::mesh::{self, Lane, LaneCapacities};
use node::ring::{
    self, CloseReason, ConnectionInfo, Core, Cores, Counters, Driver, Hand, Identity, Io, Limits,
    ListenAddress, Pin, Priority, Remote, Sent,
};
use wire::ConnectionId;

/// First byte of a frame: what the driver does with it.
pub mod ask {
    /// Sends the frame back.
    pub const ECHO: u8 = b'e';
    /// Sends the frame back from another shard; it arrives there as [`ECHO`].
    pub const MOVE: u8 = b'm';
    /// Parks; goes on a few turns later with sending the frame back.
    pub const PARK: u8 = b'p';
    /// `u32` frames of `u32` bytes each are pushed.
    pub const FLOOD: u8 = b'f';
    /// Closes after sending the frame back.
    pub const CLOSE: u8 = b'c';
    /// `u32`: the longest frame from now on.
    pub const FRAME_MAX: u8 = b'x';
}

/// First byte of frames that the driver makes itself.
pub mod told {
    pub const PUSH: u8 = b'P';
    pub const OVERFLOWED: u8 = b'O';
    pub const DRAINED: u8 = b'D';
}

pub enum Item {
    Hand(Box<Hand>),
    Resume {
        connection: ConnectionId,
        turns: u32,
        frame: Bytes,
    },
    /// Goes from shard to shard; the last one answers.
    Round {
        hops: u32,
        answer: mpsc::Sender<u32>,
    },
}

pub enum Foreign {
    State(mpsc::Sender<State>),
    Round {
        hops: u32,
        answer: mpsc::Sender<u32>,
    },
    /// A task that sleeps so often for a millisecond.
    Sleeper {
        sleeps: u32,
        answer: mpsc::Sender<()>,
    },
}

/// What a test may know of a core.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    pub connections: usize,
    /// Connections the driver was told of and not told the end of.
    pub known: usize,
    pub counters: Counters,
    pub hands_dropped: u64,
}

pub struct TestDriver {
    hop_bytes: usize,
    known: HashMap<ConnectionId, usize>,
    hands_dropped: u64,
    turn: u64,
}

pub fn framed(frame: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4 + frame.len());
    bytes.put_u32_le(frame.len() as u32);
    bytes.put_slice(frame);
    bytes.freeze()
}

fn number(bytes: &[u8], position: usize) -> u32 {
    bytes
        .get(position..position + 4)
        .map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("4 bytes")))
}

fn pass_on(io: &mut Io<Item>, hops: u32, answer: mpsc::Sender<u32>) {
    if hops == 0 {
        let _ = answer.send(u32::from(io.mesh.index()));
        return;
    }
    let to = (io.mesh.index() + 1) % io.mesh.shards();
    let item = Item::Round { hops: hops - 1, answer };
    assert!(io.mesh.send(to, Lane::Control, item).is_ok(), "one goes round");
}

impl TestDriver {
    fn reply(&mut self, io: &mut Io<Item>, id: ConnectionId, frame: &[u8]) {
        let bytes = framed(frame);
        self.turn += 1;
        // Either way of handing bytes over must give the same stream.
        let sent = if self.turn.is_multiple_of(2) {
            io.connections.send(id, &bytes, Priority::Reply)
        } else {
            io.connections.send(id, &bytes[..], Priority::Reply)
        };
        assert_ne!(sent, Sent::Dropped, "replies are never dropped");
    }

    /// True when the connection leaves after so many bytes.
    fn hops(&mut self, io: &Io<Item>, id: ConnectionId, length: usize) -> bool {
        let seen = self.known.get_mut(&id).expect("frames come from known connections");
        *seen += length;
        self.hop_bytes > 0 && *seen >= self.hop_bytes && io.mesh.shards() > 1
    }

    fn flood(&mut self, io: &mut Io<Item>, id: ConnectionId, frames: u32, length: u32) {
        let mut frame = vec![told::PUSH; length as usize];
        for n in 0..frames {
            frame[1..5].copy_from_slice(&n.to_le_bytes());
            if io.connections.send(id, &framed(&frame), Priority::Push) != Sent::Queued {
                return;
            }
        }
    }
}

impl Driver for TestDriver {
    type Item = Item;
    type Foreign = Foreign;

    fn on_opened(&mut self, io: &mut Io<Item>, id: ConnectionId, info: &ConnectionInfo) {
        assert!(info.peer.ip().is_loopback());
        assert!(self.known.insert(id, 0).is_none(), "opened twice");
        if id.index.is_multiple_of(2) {
            io.connections.arm_multishot(id);
        }
    }

    fn on_frame(&mut self, io: &mut Io<Item>, id: ConnectionId, frame: &[u8]) {
        let Some(&what) = frame.first() else { return self.reply(io, id, frame) };
        match what {
            ask::FLOOD => self.flood(io, id, number(frame, 1), number(frame, 5)),
            ask::MOVE => {
                let mut again = frame.to_vec();
                again[0] = ask::ECHO;
                io.connections.leave(id, Some(&again));
            }
            ask::PARK => {
                io.connections.park(id);
                let item = Item::Resume { connection: id, turns: 3, frame: Bytes::copy_from_slice(frame) };
                assert!(io.mesh.send(io.mesh.index(), Lane::Control, item).is_ok(), "few park at a time");
            }
            ask::CLOSE => {
                self.reply(io, id, frame);
                io.connections.close(id);
            }
            ask::FRAME_MAX => {
                io.connections.set_frame_bytes_max(id, number(frame, 1));
                self.reply(io, id, frame);
            }
            _ => {
                self.reply(io, id, frame);
                if self.hops(io, id, frame.len()) {
                    io.connections.leave(id, None);
                }
            }
        }
    }

    fn on_frame_too_long(&mut self, _: &mut Io<Item>, id: ConnectionId, _: usize) {
        assert!(self.known.contains_key(&id), "frames come from known connections");
    }

    fn on_closed(&mut self, _: &mut Io<Item>, id: ConnectionId, _: CloseReason) {
        assert!(self.known.remove(&id).is_some(), "closed without being known");
    }

    fn on_overflowed(&mut self, io: &mut Io<Item>, id: ConnectionId) {
        self.reply(io, id, &[told::OVERFLOWED]);
    }

    fn on_drained(&mut self, io: &mut Io<Item>, id: ConnectionId) {
        self.reply(io, id, &[told::DRAINED]);
    }

    fn on_left(&mut self, io: &mut Io<Item>, id: ConnectionId, hand: Hand) {
        assert!(self.known.remove(&id).is_some(), "left without being known");
        let to = (io.mesh.index() + 1) % io.mesh.shards();
        if io.mesh.send(to, Lane::Control, Item::Hand(Box::new(hand))).is_err() {
            self.hands_dropped += 1;
        }
    }

    fn on_mesh(&mut self, io: &mut Io<Item>, _: u16, lane: Lane, item: Item) {
        assert_eq!(lane, Lane::Control);
        match item {
            Item::Hand(hand) => {
                let Some(id) = io.connections.adopt(*hand) else { return };
                assert!(self.known.insert(id, 0).is_none(), "adopted twice");
                if !id.index.is_multiple_of(3) {
                    io.connections.arm_multishot(id);
                }
            }
            Item::Round { hops, answer } => pass_on(io, hops, answer),
            Item::Resume { connection, turns: 0, frame } => {
                self.reply(io, connection, &frame);
                io.connections.resume(connection);
            }
            Item::Resume { connection, turns, frame } => {
                let item = Item::Resume { connection, turns: turns - 1, frame };
                assert!(io.mesh.send(io.mesh.index(), Lane::Control, item).is_ok(), "few park at a time");
            }
        }
    }

    fn on_foreign(&mut self, io: &mut Io<Item>, item: Foreign) {
        match item {
            Foreign::State(answer) => {
                let _ = answer.send(State {
                    connections: io.connections.len(),
                    known: self.known.len(),
                    counters: *io.connections.counters(),
                    hands_dropped: self.hands_dropped,
                });
            }
            Foreign::Round { hops, answer } => pass_on(io, hops, answer),
            Foreign::Sleeper { sleeps, answer } => io.tasks.spawn(async move {
                for _ in 0..sleeps {
                    glommio::timer::sleep(Duration::from_millis(1)).await;
                }
                let _ = answer.send(());
            }),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn on_deadline(&mut self, _: &mut Io<Item>) {}

    fn on_turn_end(&mut self, _: &mut Io<Item>) {}

    fn on_stop(&mut self, _: &mut Io<Item>) {}

    fn is_done(&self) -> bool {
        true
    }
}

/// Cores running the test driver.
pub struct TestNode {
    cores: Option<Cores>,
    remotes: Vec<Arc<Remote<Foreign>>>,
    pub plain: SocketAddr,
    pub secured: SocketAddr,
    pub certificate: rustls::pki_types::CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

impl TestNode {
    /// `cores` executors; connections hop to the next shard every `hop_bytes` (0: never).
    pub fn start(cores: usize, limits: Limits, hop_bytes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let identity = Identity::self_made(folder.path(), vec!["localhost".into()]).expect("a certificate");
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let addresses = [
            ListenAddress { address, identity: None },
            ListenAddress { address, identity: Some(Arc::new(identity)) },
        ];
        let listeners = ring::bind(&addresses, cores).expect("free ports");
        let (plain, secured) = (listeners[0][0].address, listeners[0][1].address);
        let capacities = LaneCapacities { control: 1 << 16, delivery: 1 << 16, ephemeral: 1 << 10 };
        let remotes: Vec<_> = (0..cores).map(|_| Arc::new(Remote::new(64).expect("a counter"))).collect();
        let doorbells: Vec<_> = remotes.iter().map(|remote| remote.doorbell().clone()).collect();
        let plan = listeners.into_iter().zip(mesh::ends(&doorbells, capacities)).zip(&remotes).map(
            |((listeners, ends), remote)| Core {
                pin: Pin::Anywhere,
                limits: limits.clone(),
                listeners,
                ends,
                remote: remote.clone(),
                driver: Box::new(move || TestDriver {
                    hop_bytes,
                    known: HashMap::new(),
                    hands_dropped: 0,
                    turn: 0,
                }),
            },
        );
        let certificate = {
            use rustls::pki_types::pem::PemObject;
            let file = folder.path().join(ring::CERTIFICATE_FILE);
            rustls::pki_types::CertificateDer::from_pem_file(file).expect("the certificate")
        };
        let cores = Cores::start(plan.collect()).expect("cores");
        Self { cores: Some(cores), remotes, plain, secured, certificate, _folder: folder }
    }

    /// Sends an item from outside over so many hops between shards; false if it does not come back in time.
    pub fn round(&self, start: usize, hops: u32) -> bool {
        let (answer, answered) = mpsc::channel();
        assert!(self.remotes[start].push(Foreign::Round { hops, answer }).is_ok(), "the queue has room");
        answered.recv_timeout(Duration::from_secs(20)).is_ok()
    }

    /// Starts a task on each core that sleeps so often.
    pub fn start_sleepers(&self, sleeps: u32) -> mpsc::Receiver<()> {
        let (answer, answered) = mpsc::channel();
        for remote in &self.remotes {
            let item = Foreign::Sleeper { sleeps, answer: answer.clone() };
            assert!(remote.push(item).is_ok(), "the queue has room");
        }
        answered
    }

    /// The state of each core.
    pub fn states(&self) -> Vec<State> {
        let ask = |remote: &Arc<Remote<Foreign>>| {
            let (answer, answered) = mpsc::channel();
            assert!(remote.push(Foreign::State(answer)).is_ok(), "the queue has room");
            answered.recv_timeout(Duration::from_secs(20)).expect("the core answers")
        };
        self.remotes.iter().map(ask).collect()
    }

    pub fn sum(&self, of: impl Fn(&State) -> u64) -> u64 {
        self.states().iter().map(of).sum()
    }

    /// Asks until the states are as wanted.
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&[State]) -> bool) {
        let start = Instant::now();
        loop {
            let states = self.states();
            if wanted(&states) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{what}: {states:?}");
            std::thread::yield_now();
        }
    }

    /// Stops all cores, as a signal does.
    pub fn stop(mut self) -> Vec<Counters> {
        self.remotes.iter().for_each(|remote| remote.stop());
        self.cores.take().expect("runs").join()
    }
}
