//! Thousands of clients in one thread: sockets, TLS, login. What they do after login is the scenario's.

mod peer;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::event::Source;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

pub use peer::{Peer, PeerEvent};

/// How many clients may be between connecting and logged in at a time.
const STARTING_MAX: usize = 256;
/// Clients per local address; the node and the bench each see that many connections from it.
const PER_ADDRESS: usize = 2_000;
/// How long nothing may happen while clients log in.
const STALL_MAX: Duration = Duration::from_secs(30);

/// All clients of a run.
#[derive(Debug)]
pub struct Driver {
    poll: Poll,
    events: Events,
    pub peers: Vec<Peer>,
    /// Peers with output to send.
    dirty: Vec<usize>,
}

impl Driver {
    pub fn new() -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1_024),
            peers: Vec::new(),
            dirty: Vec::new(),
        })
    }

    /// Registers and logs in one client for each name, a few at a time. Clients come from several loopback addresses.
    pub fn log_in(
        &mut self,
        server: SocketAddr,
        tls: bool,
        names: impl Iterator<Item = String>,
    ) -> Result<()> {
        let config = tls.then(crate::tls::config);
        let mut names = names.peekable();
        let (mut starting, mut last) = (0, Instant::now());
        loop {
            while starting < STARTING_MAX
                && let Some(name) = names.next()
            {
                let index = self.peers.len();
                let local = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1 + (index / PER_ADDRESS) as u8));
                let mut stream = connect(server, local).with_context(|| format!("connecting to {server}"))?;
                stream.register(
                    self.poll.registry(),
                    Token(index),
                    Interest::READABLE | Interest::WRITABLE,
                )?;
                self.peers.push(Peer::new(stream, config.clone(), name)?);
                self.touch(index);
                starting += 1;
            }
            if starting == 0 && names.peek().is_none() {
                return Ok(());
            }
            let mut ready = 0;
            self.turn(Duration::from_millis(100), |_, event| {
                if let PeerEvent::LoggedIn = event {
                    ready += 1;
                }
                Ok(())
            })?;
            starting -= ready;
            if ready > 0 {
                last = Instant::now();
            } else if last.elapsed() > STALL_MAX {
                bail!("{starting} clients wait for their login and nothing happens");
            }
        }
    }

    /// This peer has output to send at the end of the turn.
    pub fn touch(&mut self, index: usize) {
        if !self.peers[index].touched {
            self.peers[index].touched = true;
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
        if let Err(error) = self.poll.poll(&mut self.events, Some(wait))
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &self.events {
            let index = event.token().0;
            let peer = &mut self.peers[index];
            peer.read(|event| handle(index, event)).with_context(|| format!("client {}", peer.name))?;
            if (peer.has_output() || event.is_writable()) && !peer.touched {
                peer.touched = true;
                self.dirty.push(index);
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        for index in std::mem::take(&mut self.dirty) {
            let peer = &mut self.peers[index];
            peer.touched = false;
            peer.write().with_context(|| format!("client {}", peer.name))?;
        }
        Ok(())
    }
}

fn connect(server: SocketAddr, local: IpAddr) -> Result<mio::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(local, 0).into())?;
    socket.set_tcp_nodelay(true)?;
    socket.connect(&server.into())?;
    socket.set_nonblocking(true)?;
    Ok(mio::net::TcpStream::from_std(socket.into()))
}
