//! The raw relay with acknowledgement: the cheapest server that could do what the node does for two users.
//!
//! It runs on the node's own library: the same executor, socket ring, buffers, turn, gathering of output and TLS
//! ([`node::ring::Cores`]). Behind them, where the node has its shard and its store, there is nothing: a frame goes to the
//! other one of its pair, an acknowledgement goes back, both as long as the node's. What the node needs more than the relay
//! is the price of being a node.
//!
//! A client's first frame is a `Ping` with its index; `Pong` comes when the other one of its pair, index xor 1, is there
//! too. Then it sends `Send` and gets `Sent` and `Message`, as from a node.

mod driver;
mod frames;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use node::mesh::{self, LaneCapacities};
use node::ring::{self, Core, Cores, Identity, Limits, ListenAddress, Pin, Remote};
use rustix::process::{Signal, set_parent_process_death_signal};
use wire::{Slot, UserId};

use self::driver::RelayDriver;
pub use self::frames::FrameLengths;
use crate::server::{Server, free_address};

/// Nothing crosses the mesh of one core.
const LANES: LaneCapacities = LaneCapacities { control: 1, delivery: 1, ephemeral: 1 };
/// Nothing reaches the core from outside.
const FOREIGN_MAX: usize = 1;

/// Of the relay's own process.
#[derive(Args, Debug, Clone)]
pub struct RelayOptions {
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    #[arg(long, value_name = "CORE")]
    core: usize,
    #[arg(long)]
    tls: bool,
}

/// A relay to start.
#[derive(Debug, Clone)]
pub struct RelayStart {
    /// The bench's own program; `None`: this one.
    pub program: Option<PathBuf>,
    pub core: usize,
    pub tls: bool,
}

/// The user that a client with this index passes for: the relay knows none, but frames name them.
pub fn user(index: u64) -> UserId {
    UserId::from_parts(Slot::of(index), index as u32 + 1).expect("far fewer clients than users of a slot")
}

/// Starts a relay in a process of its own, which ends when the returned value is dropped.
pub fn start(relay: &RelayStart) -> Result<Server> {
    let program = match &relay.program {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("this program's path")?,
    };
    let address = free_address()?;
    let mut command = Command::new(program);
    command.args(["relay", "--listen", &address.to_string(), "--core", &relay.core.to_string()]);
    if relay.tls {
        command.arg("--tls");
    }
    Server::spawn(command, address, None)
}

/// Serves until it is killed, or whoever started it ends.
pub fn serve(options: &RelayOptions) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("ending with the bench")?;
    node::machine::raise_descriptors_max();
    let relay = Relay::start(options.listen, Pin::Cpu(options.core), options.tls)?;
    println!("ready");
    relay.cores.join();
    Ok(())
}

/// A relay in this process.
struct Relay {
    cores: Cores,
    #[cfg(test)]
    address: SocketAddr,
    #[cfg(test)]
    remote: Arc<Remote<()>>,
}

impl Relay {
    fn start(listen: SocketAddr, pin: Pin, tls: bool) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the certificate")?;
        let identity = match tls {
            true => Some(Arc::new(Identity::self_made(folder.path(), vec!["localhost".into()])?)),
            false => None,
        };
        let mut listeners = ring::bind(&[ListenAddress { address: listen, identity }], 1)?;
        let listeners = listeners.pop().context("listeners of one core")?;
        #[cfg(test)]
        let address = listeners[0].address;
        let remote = Arc::new(Remote::new(FOREIGN_MAX)?);
        let ends = mesh::ends(std::slice::from_ref(remote.doorbell()), LANES).pop().context("one end")?;
        let core = Core {
            pin,
            limits: Limits::default(),
            listeners,
            ends,
            remote: remote.clone(),
            driver: Box::new(RelayDriver::default),
        };
        let cores = Cores::start(vec![core])?;
        Ok(Self {
            cores,
            #[cfg(test)]
            address,
            #[cfg(test)]
            remote,
        })
    }
}

#[cfg(test)]
mod tests;
