//! Thousands of clients in one thread: sockets, TLS, login. What they do once they are in is the scenario's.

mod alarm;
mod arrivals;
mod entrance;
mod link;
mod peer;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use mio::event::Source;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

pub use arrivals::{Arrivals, Pace};
pub use entrance::{Account, Entrance};
pub use peer::{Peer, PeerEvent, STAMP_LEN};

use alarm::{ALARM, Alarm, Precision};
use link::{Buffers, Link};

/// Clients per local address: each address has its own ports, of which a connection that was closed may hold one for a minute.
const PER_ADDRESS: usize = 2_000;
/// Local addresses are 127.0.1.1 and up, and so many of them.
const ADDRESSES_MAX: usize = 250;
const EVENTS_PER_TURN_MAX: usize = 1_024;
/// The same in a turn that must end soon: what is due next does not wait until all that has come is read.
const EVENTS_PER_SHORT_TURN_MAX: usize = 32;

/// All clients of a run.
#[derive(Debug)]
pub struct Driver {
    server: SocketAddr,
    tls: Option<std::sync::Arc<rustls::ClientConfig>>,
    poll: Poll,
    alarm: Alarm,
    events: Events,
    few_events: Events,
    buffers: Buffers,
    encoder: wire::Encoder,
    pub peers: Vec<Peer>,
    /// Peers with output to send.
    dirty: Vec<usize>,
}

impl Driver {
    /// Clients without a connection, one for each account.
    pub fn new(server: SocketAddr, tls: bool, accounts: impl IntoIterator<Item = Account>) -> Result<Self> {
        raise_descriptor_limit();
        let poll = Poll::new().context("a poll")?;
        Ok(Self {
            server,
            tls: tls.then(crate::tls::config),
            alarm: Alarm::new(&poll)?,
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN_MAX),
            few_events: Events::with_capacity(EVENTS_PER_SHORT_TURN_MAX),
            buffers: Buffers::default(),
            encoder: wire::Encoder::new(),
            peers: accounts.into_iter().map(Peer::new).collect(),
            dirty: Vec::new(),
        })
    }

    /// One more client, without a connection; returns its number.
    pub fn add(&mut self, account: Account) -> usize {
        self.peers.push(Peer::new(account));
        self.peers.len() - 1
    }

    /// Opens a connection for this client; a [`PeerEvent::Entered`] tells when it is in.
    pub fn connect(&mut self, index: usize, entrance: Entrance) -> Result<()> {
        let mut stream = self.stream(index)?;
        stream.register(self.poll.registry(), Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let link = Link::new(stream, self.tls.clone())?;
        self.peers[index].begin(link, entrance, &mut self.encoder)
    }

    /// Clients come from several loopback addresses.
    fn stream(&self, index: usize) -> Result<mio::net::TcpStream> {
        let host = 1 + index / PER_ADDRESS % ADDRESSES_MAX;
        let local = IpAddr::V4(Ipv4Addr::new(127, 0, 1, host as u8));
        let socket = Socket::new(Domain::for_address(self.server), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(local, 0).into()).with_context(|| format!("a port of {local}"))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.server.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error).with_context(|| format!("connecting to {}", self.server)),
        }
        Ok(mio::net::TcpStream::from_std(socket.into()))
    }

    /// Cuts this client's connection at once, without a goodbye, so that neither side keeps the port.
    pub fn cut(&mut self, index: usize) {
        self.peers[index].cut();
    }

    pub fn cut_all(&mut self) {
        self.peers.iter_mut().for_each(Peer::cut);
    }

    /// Queues a frame of this client.
    pub fn push(&mut self, index: usize, build: impl FnOnce(&mut wire::Encoder) -> bytes::Bytes) {
        let frame = build(&mut self.encoder);
        self.push_frame(index, &frame);
    }

    /// Queues a frame that is there already.
    pub fn push_frame(&mut self, index: usize, frame: &[u8]) {
        self.peers[index].push(frame);
        if !std::mem::replace(&mut self.peers[index].touched, true) {
            self.dirty.push(index);
        }
    }

    /// Waits at most `wait` for events, hands them over, then sends what is to be sent.
    pub fn turn(
        &mut self,
        wait: Duration,
        mut handle: impl FnMut(usize, PeerEvent) -> Result<()>,
    ) -> Result<()> {
        self.flush()?;
        let events = match self.alarm.set(wait)? {
            Precision::Coarse => &mut self.events,
            Precision::Fine => &mut self.few_events,
        };
        if let Err(error) = self.poll.poll(events, Some(wait))
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in events.iter().filter(|event| event.token() != ALARM) {
            let index = event.token().0;
            let peer = &mut self.peers[index];
            peer.read(&mut self.buffers, &mut self.encoder, |event| handle(index, event))
                .with_context(|| format!("client {}", peer.account.name))?;
            if (event.is_writable() || peer.has_output()) && !std::mem::replace(&mut peer.touched, true) {
                self.dirty.push(index);
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        for index in self.dirty.drain(..) {
            let peer = &mut self.peers[index];
            peer.touched = false;
            peer.write().with_context(|| format!("client {}", peer.account.name))?;
        }
        Ok(())
    }
}

/// As many descriptors as this process may have.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is not allowed, connecting tells.
    let _ = setrlimit(Resource::Nofile, limit);
}
