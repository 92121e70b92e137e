//! The other end of the admin socket: what `ringtalk user` and `ringtalk stats` speak with.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{Reply, Request};
use super::{ANSWER_SECONDS_MAX, REPLY_BYTES_MAX};

/// Why a request was not done: one line each.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("no node answers on {}: {source}; start it with `ringtalk`, or name its data folder with --data", path.display())]
    NotRunning { path: PathBuf, source: io::Error },
    #[error("admin socket {}: permission denied; run this as the node's own user or as root", path.display())]
    NotAllowed { path: PathBuf },
    #[error("the node went away before it answered ({source}); look at its log, then try again")]
    Lost { source: io::Error },
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Failed(String),
    #[error("the node's answer was not understood ({0}); use the same version of ringtalk for both")]
    Answer(String),
}

/// A connection to a running node.
#[derive(Debug)]
pub struct AdminClient {
    stream: UnixStream,
    input: BufReader<UnixStream>,
}

impl AdminClient {
    pub fn connect(path: &Path) -> Result<Self, AdminError> {
        let connected = UnixStream::connect(path).and_then(|stream| {
            // The node gives up on its shards first, and says so.
            stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX + 5)))?;
            Ok((stream.try_clone()?, stream))
        });
        match connected {
            Ok((read, stream)) => Ok(Self { stream, input: BufReader::new(read) }),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                Err(AdminError::NotAllowed { path: path.to_owned() })
            }
            Err(source) => Err(AdminError::NotRunning { path: path.to_owned(), source }),
        }
    }

    /// Sends a request and waits for its answer. [`Reply::Refused`] and [`Reply::Failed`] come back as errors.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, AdminError> {
        let lost = |source| AdminError::Lost { source };
        let mut line = serde_json::to_vec(request).map_err(|e| AdminError::Answer(e.to_string()))?;
        line.push(b'\n');
        self.stream.write_all(&line).map_err(lost)?;
        let mut answer = Vec::new();
        (&mut self.input).take(REPLY_BYTES_MAX as u64).read_until(b'\n', &mut answer).map_err(lost)?;
        if answer.last() != Some(&b'\n') {
            return Err(lost(io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_slice(&answer).map_err(|e| AdminError::Answer(e.to_string()))? {
            Reply::Refused { reason } => Err(AdminError::Refused(reason)),
            Reply::Failed { reason } => Err(AdminError::Failed(reason)),
            reply => Ok(reply),
        }
    }
}
