//! Listening sockets: one per core and address, sharing the port.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::certificate::Identity;

/// Connections that the kernel completes ahead of us, per core and address.
const BACKLOG: i32 = 4096;
/// A dying process may hold its port for a moment after its end.
const PORT_WAIT_MAX: Duration = Duration::from_secs(3);
const PORT_WAIT_STEP: Duration = Duration::from_millis(50);

/// A listening socket of one core.
pub struct Listener {
    pub(super) socket: OwnedFd,
    /// Position of the address in the configuration.
    pub index: u16,
    /// `None`: plain TCP.
    pub identity: Option<Arc<Identity>>,
    pub address: SocketAddr,
}

impl Listener {
    /// Accepts one connection, blocking. For tests of what accepted sockets inherit.
    #[doc(hidden)]
    pub fn accept_one(&self) -> io::Result<OwnedFd> {
        let listener = std::net::TcpListener::from(self.socket.try_clone()?);
        Ok(listener.accept()?.0.into())
    }
}

/// An address to listen on.
#[derive(Clone)]
pub struct ListenAddress {
    /// Port 0 takes a free one.
    pub address: SocketAddr,
    /// `None`: plain TCP.
    pub identity: Option<Arc<Identity>>,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Binds every address once for each core: the outer list is by core.
///
/// Sharing a port (SO_REUSEPORT) would also share it with another process of the same user, so the port is first
/// taken without sharing: in use by someone else, it is refused after a short wait.
pub fn bind(addresses: &[ListenAddress], cores: usize) -> Result<Vec<Vec<Listener>>, ListenError> {
    let mut by_core: Vec<Vec<Listener>> = (0..cores).map(|_| Vec::with_capacity(addresses.len())).collect();
    for (index, wanted) in addresses.iter().enumerate() {
        let failed = |source| ListenError { address: wanted.address, source };
        let address = probe(wanted.address).map_err(failed)?;
        for listeners in &mut by_core {
            let socket = socket(address, Sharing::Cores).map_err(failed)?;
            let index = u16::try_from(index).expect("few addresses");
            listeners.push(Listener {
                socket: socket.into(),
                index,
                identity: wanted.identity.clone(),
                address,
            });
        }
    }
    Ok(by_core)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Nobody,
    Cores,
}

fn socket(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(sharing == Sharing::Cores)?;
    socket.set_tcp_nodelay(true)?; // accepted sockets inherit it
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Takes the port alone and lets it go; the address with its port.
fn probe(address: SocketAddr) -> io::Result<SocketAddr> {
    let start = Instant::now();
    loop {
        match socket(address, Sharing::Nobody) {
            Ok(socket) => {
                let address = socket.local_addr()?;
                return address.as_socket().ok_or_else(|| io::Error::other("not an internet address"));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && start.elapsed() < PORT_WAIT_MAX => {
                std::thread::sleep(PORT_WAIT_STEP);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The other end of an accepted socket.
pub(super) fn peer_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let address = SockRef::from(socket).peer_addr()?;
    address.as_socket().ok_or_else(|| io::Error::other("not an internet address"))
}

/// The socket's close discards what is not sent and resets the connection.
pub(super) fn reset_on_close(socket: &OwnedFd) {
    if let Err(error) = SockRef::from(socket).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a connection closes in order that should not");
    }
}

/// Tells the peer; requests in the kernel end. Failing means that the peer knows already.
pub(super) fn shut_down(socket: &impl AsRawFd, how: Shutdown) {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: takes two integers; the descriptor is open while it is borrowed.
    unsafe { libc::shutdown(socket.as_raw_fd(), how) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_refused_and_cores_share_one() {
        let address =
            |port| ListenAddress { address: SocketAddr::from(([127, 0, 0, 1], port)), identity: None };
        let first = bind(&[address(0)], 3).expect("a free port");
        let port = first[0][0].address.port();
        assert!(first.iter().all(|listeners| listeners[0].address.port() == port));
        let error = bind(&[address(port)], 1).err().expect("the port is taken");
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(bind(&[address(port)], 1).is_ok());
    }
}
