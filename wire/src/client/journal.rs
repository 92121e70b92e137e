//! What is to be persisted, and what waits for it.

use std::collections::{BTreeSet, VecDeque};

use super::effect::{ClientEvent, Effect, PersistToken};
use super::stored::PersistOp;
use crate::ids::ConversationId;

/// Something that happens once all before it is persisted.
#[derive(Clone, Debug)]
pub(super) enum After {
    Tell(ClientEvent),
    /// A send may be transmitted.
    Stored {
        counter: u64,
    },
    /// A conversation is persisted up to this seq.
    Durable {
        conversation: ConversationId,
        seq: u64,
    },
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    ops: Vec<PersistOp>,
    after: Vec<After>,
    /// Conversations whose state changed in this turn.
    dirty: BTreeSet<ConversationId>,
    last_token: u64,
    outstanding: VecDeque<(PersistToken, Vec<After>)>,
}

impl Journal {
    pub fn write(&mut self, op: PersistOp) {
        self.ops.push(op);
    }

    pub fn touch(&mut self, conversation: ConversationId) {
        self.dirty.insert(conversation);
    }

    pub fn then(&mut self, after: After) {
        self.after.push(after);
    }

    pub fn take_dirty(&mut self) -> BTreeSet<ConversationId> {
        std::mem::take(&mut self.dirty)
    }

    /// Ends a turn: what was written goes out as one group. Gives what may happen at once.
    pub fn flush(&mut self, effects: &mut VecDeque<Effect>) -> Vec<After> {
        let after = std::mem::take(&mut self.after);
        if !self.ops.is_empty() {
            self.last_token += 1;
            let token = PersistToken(self.last_token);
            effects.push_back(Effect::Persist { token, ops: std::mem::take(&mut self.ops) });
            self.outstanding.push_back((token, after));
            return Vec::new();
        }
        match self.outstanding.back_mut() {
            Some((_, waiting)) => {
                waiting.extend(after); // not before what was told to wait earlier
                Vec::new()
            }
            None => after,
        }
    }

    /// All groups up to this one are on disk.
    pub fn on_persisted(&mut self, token: PersistToken) -> Vec<After> {
        let mut due = Vec::new();
        while self.outstanding.front().is_some_and(|(first, _)| *first <= token) {
            due.extend(self.outstanding.pop_front().into_iter().flat_map(|(_, after)| after));
        }
        due
    }

    /// Groups that are not on disk yet.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }
}
