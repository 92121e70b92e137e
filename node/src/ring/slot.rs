//! One connection's place in the table of a core.

use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::certificate::Identity;
use super::output::Output;
use super::tls::Tls;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// The driver knows it.
    Open,
    /// No input is taken any more; what is queued goes out.
    Closing,
    /// Everything went out and the peer was told; its own goodbye is awaited, its bytes are thrown away.
    Lingering,
    /// Shut down; freed when nothing of it is in the kernel.
    Dead,
}

/// How the connection's input is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    /// One receive at a time, so that nothing is in flight when the connection moves.
    Once,
    /// Armed once for good.
    Always,
    /// None is armed; what still arrives is kept.
    Parked,
}

/// Where a connection comes from, in 18 bytes; a `SocketAddr` takes 32.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    /// An IPv4 address in its mapped form.
    address: Ipv6Addr,
    port: u16,
}

impl From<SocketAddr> for Peer {
    fn from(peer: SocketAddr) -> Self {
        let address = match peer {
            SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped(),
            SocketAddr::V6(v6) => *v6.ip(),
        };
        Self { address, port: peer.port() }
    }
}

impl From<Peer> for SocketAddr {
    fn from(peer: Peer) -> Self {
        SocketAddr::new(peer.address.to_canonical(), peer.port)
    }
}

/// A socket and what belongs to it. Idle connections own no buffers.
pub(super) struct Slot {
    pub generation: u32,
    /// Behind the generation of its earlier owners; `None` while the slot is free.
    pub connection: Option<Connection>,
}

pub(super) struct Connection {
    pub socket: OwnedFd,
    pub life: Life,
    pub receive: Receive,
    /// A receive is in the kernel.
    pub armed: bool,
    /// That receive has been cancelled and not ended yet.
    pub cancelled: bool,
    /// A send is in the kernel.
    pub sending: bool,
    /// The last receive found no buffer; it is armed again when there is one.
    pub starved: bool,
    /// The connection moves to another core as soon as nothing of it is in the kernel or queued.
    pub leaving: bool,
    /// It stands in the list of the touched.
    pub touched: bool,
    /// It stands in the list of those with kept input to process.
    pub ready: bool,
    /// Pushes are dropped until the queue is empty.
    pub overflowed: bool,
    /// The peer will send nothing more.
    pub peer_ended: bool,
    /// It counts among the TLS handshakes under way.
    pub shaking: bool,
    /// The driver knows it: at once for plain connections, after the handshake with TLS.
    pub told: bool,
    pub listener: u16,
    pub frame_bytes_max: u32,
    /// In ticks of [`super::connections::TICK`]; 0 is none. For a send without progress, or for the end of a close.
    pub deadline: u32,
    pub peer: Peer,
    pub bytes_received: u64,
    pub identity: Option<Arc<Identity>>,
    pub tls: Option<Box<Tls>>,
    /// Part of a frame, or all plaintext that came while parked or leaving.
    pub unread: Vec<u8>,
    pub output: Option<Box<Output>>,
}

const _: () = assert!(size_of::<Slot>() <= 112, "a slot is paid for by every idle connection");

impl Connection {
    /// Frames may be handed to the driver.
    pub fn takes_frames(&self) -> bool {
        self.life == Life::Open && !self.leaving && self.receive != Receive::Parked
    }

    /// A receive should be in the kernel.
    pub fn wants_receive(&self) -> bool {
        match self.life {
            Life::Open => !self.leaving && !self.starved && self.receive != Receive::Parked,
            Life::Lingering => !self.peer_ended && !self.starved,
            Life::Closing | Life::Dead => false,
        }
    }

    /// What is received is kept: a receive that is in the kernel has to end.
    pub fn stands_still(&self) -> bool {
        self.life == Life::Open && (self.leaving || self.receive == Receive::Parked)
    }

    /// Nothing of it is in the kernel.
    pub fn is_settled(&self) -> bool {
        !self.armed && !self.sending
    }
}
