//! What a client keeps on disk. From it alone a session goes on after a crash, and nothing is lost or doubled.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::extras::Extras;
use crate::ids::{ConversationId, DeviceId, UserId};
use crate::message::{BodyKind, Entry, EntryKind, Place, Range, Summary};
use crate::scram::ClientKeys;

/// Whose state this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: UserId,
    /// In its comparable form.
    pub name: String,
    pub device: DeviceId,
    /// Logs in without a password; empty when there is none.
    pub ticket: Vec<u8>,
}

/// Stretched keys: as good as the password for this node. Whoever wants to be asked again does not keep them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKeys {
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub keys: ClientKeys,
}

/// A send that is not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSend {
    pub counter: u64,
    pub conversation: ConversationId,
    pub body_kind: BodyKind,
    pub body: Bytes,
    pub kind: EntryKind,
    pub extras: Option<Box<Extras>>,
}

/// How often a send was not answered in time. After the second time it is not sent by itself any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    Once,
    Twice,
}

/// What is known of one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversationState {
    pub conversation: ConversationId,
    pub epoch: u32,
    /// All entries up to it are applied, or their absence was told.
    pub applied: Place,
    /// The last entry known to exist.
    pub head: Place,
    /// Own marks.
    pub read: Place,
    pub delivered: Place,
    /// The other one's marks.
    pub peer_read: Place,
    pub peer_delivered: Place,
    /// Time of the head entry, Unix milliseconds; 0 when not known.
    pub time_ms: u64,
    /// Up to where the application said that the user has read.
    pub read_wanted: u64,
    /// The last own counter that the node took here.
    pub last_taken: u64,
    /// Seq of the last message that mentions the user; 0: none.
    pub mentioned: u64,
}

impl ConversationState {
    pub fn new(conversation: ConversationId) -> Self {
        Self {
            conversation,
            epoch: 0,
            applied: Place::START,
            head: Place::START,
            read: Place::START,
            delivered: Place::START,
            peer_read: Place::START,
            peer_delivered: Place::START,
            time_ms: 0,
            read_wanted: 0,
            last_taken: 0,
            mentioned: 0,
        }
    }

    /// Countable entries behind the own read mark.
    pub fn unread(&self) -> u64 {
        self.head.ord.saturating_sub(self.read.ord)
    }

    pub fn summary(&self, uver: u64) -> Summary {
        Summary {
            conversation: self.conversation,
            uver,
            epoch: self.epoch,
            head: self.head,
            read: self.read,
            delivered: self.delivered,
            peer_read: self.peer_read,
            peer_delivered: self.peer_delivered,
            time_ms: self.time_ms,
            mentioned: self.mentioned,
        }
    }

    /// Somebody mentions the user in what he has not read.
    pub fn is_mentioned(&self) -> bool {
        self.mentioned > self.read.seq
    }
}

/// One change. All are absolute: writing one twice is writing it once.
#[derive(Clone, Debug, PartialEq)]
pub enum PersistOp {
    Account(Account),
    Keys(Option<KeptKeys>),
    /// The counter that the next send gets.
    NextCounter(u64),
    /// The user's list of conversations is known up to this version.
    Uver(u64),
    /// A send that is to be decided.
    Outgoing(StoredSend),
    /// This send was not answered in time.
    Unanswered {
        counter: u64,
        silence: Silence,
    },
    /// This send is decided or given up: forget it.
    Decided {
        counter: u64,
    },
    /// Put into the conversation's messages by its seq. Only after a change of epoch is there one to replace.
    Entry {
        conversation: ConversationId,
        entry: Entry,
    },
    /// The conversation's messages have a hole here.
    Gap {
        conversation: ConversationId,
        range: Range,
    },
    Conversation(ConversationState),
}

/// The persisted state without the messages themselves.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Stored {
    pub account: Option<Account>,
    pub keys: Option<KeptKeys>,
    /// 0 counts as 1.
    pub next_counter: u64,
    pub uver: u64,
    /// By rising counter.
    pub outgoing: Vec<StoredSend>,
    /// Those of them that were not answered in time.
    pub unanswered: BTreeMap<u64, Silence>,
    pub conversations: Vec<ConversationState>,
}

impl Stored {
    /// What one change does to the state; for stores that keep it in memory.
    pub fn apply(&mut self, op: &PersistOp) {
        match op {
            PersistOp::Account(account) => self.account = Some(account.clone()),
            PersistOp::Keys(keys) => self.keys = keys.clone(),
            PersistOp::NextCounter(counter) => self.next_counter = *counter,
            PersistOp::Uver(uver) => self.uver = *uver,
            PersistOp::Outgoing(send) => {
                match self.outgoing.binary_search_by_key(&send.counter, |other| other.counter) {
                    Ok(at) => self.outgoing[at] = send.clone(),
                    Err(at) => self.outgoing.insert(at, send.clone()),
                }
            }
            PersistOp::Unanswered { counter, silence } => _ = self.unanswered.insert(*counter, *silence),
            PersistOp::Decided { counter } => {
                self.outgoing.retain(|send| send.counter != *counter);
                self.unanswered.remove(counter);
            }
            PersistOp::Entry { .. } | PersistOp::Gap { .. } => {}
            PersistOp::Conversation(state) => {
                let place = |other: &ConversationState| other.conversation;
                match self.conversations.binary_search_by_key(&state.conversation, place) {
                    Ok(at) => self.conversations[at] = *state,
                    Err(at) => self.conversations.insert(at, *state),
                }
            }
        }
    }
}
