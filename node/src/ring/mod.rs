//! The side of the node that does I/O: one executor and one socket ring per core.
//!
//! The executor (glommio) runs tasks, timers, files and the mesh. Sockets go through an io_uring of our own beside it,
//! which only the main loop of the core touches ([`turn`]). What is served sits behind [`Driver`].
//!
//! Needs Linux 6.1 or later. Building the executor needs `git`, a C compiler and `make`.

mod advance;
mod bell;
mod buffers;
mod certificate;
mod close;
mod connections;
mod cores;
mod driver;
mod hand;
mod handshakes;
mod input;
mod limits;
mod listen;
mod output;
mod remote;
mod slot;
mod tls;
mod turn;
mod uring;

pub use bell::{Doorbell, Tasks};
pub use certificate::{CERTIFICATE_FILE, CertificateError, Identity, KEY_FILE};
pub use close::{CloseReason, Counters};
pub use connections::{ConnectionInfo, Connections, Sent};
pub use cores::{Core, Cores, Pin, StartError};
pub use driver::{Driver, Io};
pub use hand::Hand;
pub use limits::Limits;
pub use listen::{ListenAddress, ListenError, Listener, bind};
pub use output::{Frame, Priority};
pub use remote::Remote;
