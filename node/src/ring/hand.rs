//! A connection on its way from one core to another.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::certificate::Identity;
use super::tls::Tls;

/// Everything a connection takes along: nothing of it is in the kernel, no byte it sent is lost. Dropping it closes
/// the socket.
pub struct Hand {
    pub(super) socket: OwnedFd,
    pub(super) peer: SocketAddr,
    pub(super) listener: u16,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) tls: Option<Box<Tls>>,
    /// Plaintext that was received and not processed, oldest first; may end in a part of a frame.
    pub(super) unread: Vec<u8>,
    pub(super) frame_bytes_max: u32,
    pub(super) bytes_received: u64,
}

impl Hand {
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Bytes that travel with it: plaintext not processed and ciphertext of a half record.
    pub fn unread_bytes(&self) -> usize {
        self.unread.len() + self.tls.as_ref().map_or(0, |tls| tls.leftover_bytes())
    }
}

const _: () = {
    const fn assert_send<T: Send>() {}
    assert_send::<Hand>();
};
