//! What can go wrong, by whose fault it is.

use wire::Refusal;
use wire::message::Refused;

use crate::store::StoreError;
use crate::transport::ConnectError;

/// Every failure of the SDK. The variant says who has to act.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node understood and said no.
    #[error("{0}")]
    Refused(RefusedByNode),
    /// The node could not be reached, or is not the one it should be.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The local folder failed; nothing that was not on disk was told or sent.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node did not prove that it knows the account: somebody else may be answering.
    #[error("the node did not prove that it knows this account; do not trust this address")]
    Untrusted,
    /// The node speaks no version of the protocol that this client speaks.
    #[error("the node speaks no version of the protocol that this client speaks")]
    Version,
    /// The node broke the protocol.
    #[error("the node broke the protocol: {0}")]
    NodeMisbehaved(String),
    /// The caller asked for something that cannot be done in this state.
    #[error("{0}")]
    Misuse(&'static str),
    /// The password cannot be used.
    #[error("the password cannot be used: {0}")]
    Password(wire::scram::ScramError),
    /// Too many messages wait to be sent: wait until some are acknowledged.
    #[error("too many messages wait to be sent")]
    QueueFull,
    /// There is no session with the node at the moment.
    #[error("not connected to the node at the moment")]
    NotConnected,
    /// The connection was lost before the answer came. Sends are not answered this way: they are kept and sent again.
    #[error("the connection was lost before the answer came")]
    ConnectionLost,
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// A refusal with what the node added to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedByNode {
    pub code: u16,
    /// The stable name of the refusal.
    pub name: String,
    /// One sentence for people, as the node sent it.
    pub reason: String,
    pub detail: u64,
    /// How long to wait before the next try, in milliseconds; 0 where that does not help.
    pub retry_ms: u32,
}

impl RefusedByNode {
    /// The refusal; `None` for one of a later version.
    pub fn refusal(&self) -> Option<Refusal> {
        Refusal::from_code(self.code)
    }
}

impl From<Refused> for RefusedByNode {
    fn from(refused: Refused) -> Self {
        let Refused { code, name, reason, detail, retry_ms } = refused;
        Self { code, name, reason, detail, retry_ms }
    }
}

impl std::fmt::Display for RefusedByNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = if self.reason.is_empty() { &self.name } else { &self.reason };
        f.write_str(reason.trim_end_matches('.'))?;
        if self.retry_ms > 0 {
            write!(f, " (wait {} s)", self.retry_ms.div_ceil(1_000))?;
        }
        Ok(())
    }
}
