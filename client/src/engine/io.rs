//! The one connection of an engine: waiting for it, opening it, reading and writing.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::Instant;

use crate::error::Error;
use crate::transport::{Address, Connected, Stream};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// How long a closed connection may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Opens a connection to the first address that works.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<(Address, Connected), Error>> + Send>>;

pub(super) enum Io {
    Down,
    /// Until the next try.
    Waiting {
        until: Instant,
        addresses: Vec<Address>,
    },
    Opening(Opening),
    Up(Box<Up>),
}

pub(super) struct Up {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    input: BytesMut,
    output: BytesMut,
    is_flushed: bool,
}

/// What happened on it.
pub(super) enum IoEvent {
    /// The wait for these addresses is over.
    Due(Vec<Address>),
    Opened(Result<(Address, Connected), Error>),
    Read(BytesMut),
    Wrote,
    Closed,
}

/// Whether the connection is read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    On,
    /// The session has enough to do.
    Off,
}

impl Io {
    pub(super) fn up(stream: Box<dyn Stream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Io::Up(Box::new(Up { reader, writer, input, output, is_flushed: true }))
    }

    /// Neither connected nor about to be.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Io::Down | Io::Waiting { .. })
    }

    /// Bytes for a connection that is gone are dropped: the session sends anew what matters.
    pub(super) fn transmit(&mut self, bytes: &[u8]) {
        if let Io::Up(up) = self {
            up.output.extend_from_slice(bytes);
            up.is_flushed = false;
        }
    }

    /// Ends the connection. What was written before may still reach the node.
    pub(super) fn hang_up(&mut self) {
        if let Io::Up(mut up) = std::mem::replace(self, Io::Down) {
            tokio::spawn(async move {
                let goodbye = async {
                    up.writer.write_all(&up.output).await?;
                    up.writer.shutdown().await
                };
                let _ = tokio::time::timeout(GOODBYE_MAX, goodbye).await;
            });
        }
    }

    /// The next thing that happens. Dropping the future loses nothing.
    pub(super) async fn next(&mut self, reading: Reading) -> IoEvent {
        match self {
            Io::Down => std::future::pending().await,
            Io::Waiting { until, addresses } => {
                tokio::time::sleep_until(*until).await;
                IoEvent::Due(std::mem::take(addresses))
            }
            Io::Opening(opening) => IoEvent::Opened(opening.await),
            Io::Up(up) => up.next(reading).await,
        }
    }
}

impl Up {
    async fn next(&mut self, reading: Reading) -> IoEvent {
        let Up { reader, writer, input, output, is_flushed } = self;
        let read = async {
            if reading == Reading::Off {
                return std::future::pending().await;
            }
            input.reserve(READ_BYTES);
            reader.read_buf(input).await
        };
        let write = async {
            if !output.is_empty() {
                return writer.write_buf(output).await.map(|_| ());
            }
            if *is_flushed {
                return std::future::pending().await;
            }
            writer.flush().await?;
            *is_flushed = true;
            Ok(())
        };
        tokio::select! {
            done = write => match done {
                Ok(()) => IoEvent::Wrote,
                Err(_) => IoEvent::Closed,
            },
            done = read => match done {
                Ok(0) | Err(_) => IoEvent::Closed,
                Ok(_) => IoEvent::Read(self.input.split()),
            },
        }
    }
}
