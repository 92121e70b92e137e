//! A message on its way.

use tokio::sync::watch;
use wire::ConversationId;

use crate::error::Error;

/// How far a send has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendState {
    /// Taken by the client, not yet on this device's disk.
    Queued,
    /// On this device's disk: it will be sent, after a crash too.
    OnDisk,
    /// Sent, and not answered for 10 s: perhaps the two are no contacts. It is sent once more after the next connect (in
    /// a later run too) and with the next send of its conversation, and a late answer still counts; until then nobody knows
    /// that it is stored.
    Unanswered,
    /// On the node's disk.
    Acked(Ack),
    /// Given up; why.
    Failed { reason: String },
}

/// Where the node keeps a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub seq: u64,
    /// When the node took it, Unix milliseconds.
    pub time_ms: u64,
}

/// Follows one send. Dropping it changes nothing: the message is sent all the same.
#[derive(Clone, Debug)]
pub struct SendHandle {
    pub(crate) conversation: ConversationId,
    pub(crate) counter: u64,
    pub(crate) state: watch::Receiver<SendState>,
}

impl SendHandle {
    pub fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// This device's number of the send.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    pub fn state(&self) -> SendState {
        self.state.borrow().clone()
    }

    /// Waits until the message cannot be lost by a crash of this device any more.
    pub async fn on_disk(&mut self) -> Result<(), Error> {
        let state = self.state.wait_for(|state| *state != SendState::Queued).await;
        state.map(|_| ()).map_err(|_| Error::Closed)
    }

    /// Waits for the node's answer, over reconnects (one that never comes leaves it [`SendState::Unanswered`]): `Ok(Err(reason))` when the send was given up,
    /// [`Error::Closed`] when the client was closed before (the message is kept and sent by the next start).
    pub async fn decided(&mut self) -> Result<Result<Ack, String>, Error> {
        let is_decided = |state: &SendState| matches!(state, SendState::Acked(_) | SendState::Failed { .. });
        match &*self.state.wait_for(is_decided).await.map_err(|_| Error::Closed)? {
            SendState::Acked(ack) => Ok(Ok(*ack)),
            SendState::Failed { reason } => Ok(Err(reason.clone())),
            SendState::Queued | SendState::OnDisk | SendState::Unanswered => {
                unreachable!("waited for a decision")
            }
        }
    }
}
