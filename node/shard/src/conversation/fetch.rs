//! Commands that need an entry which is not in memory: it is read first, and commands that come later wait behind.

use record::{Entry, Key, Query, Rows};
use wire::{ConversationId, Refusal};

use crate::core::{Core, LoadFor};
use crate::mesh::Caller;

use super::entry::{decode, seq_of};
use super::state::Conversation;
use super::verbs::Fetched;
use super::{Common, Conversations, LoadKey, LogCommand, Phase, Refused, Waiting, mark, rewrite};

/// The seq of the entry that has to be read before this command can be carried out.
pub(super) fn needed(
    conversation: &Conversation,
    caller: Caller,
    command: &LogCommand,
) -> Result<Option<u64>, Refused> {
    match command {
        LogCommand::Mark(asked) => {
            let is_known = mark::place(conversation, asked.seq)?.is_some();
            Ok((!is_known).then_some(asked.seq))
        }
        LogCommand::Send(send) => Ok(rewrite::needed(conversation, caller, send)),
        LogCommand::Pull(_) | LogCommand::Relate(_) => Ok(None),
    }
}

/// Reads it.
pub(super) fn begin(
    core: &mut Core,
    common: &mut Common,
    conversation: &Conversation,
    seq: u64,
) -> Result<Phase, Refused> {
    assert!(seq <= conversation.committed.seq, "only what is on disk is read");
    let (id, number) = (conversation.id, common.last_fetch + 1);
    let load_for = LoadFor::Conversation(LoadKey::Entry(id, seq, number));
    if !core.load(id.slot(), vec![Query::Get(Key::Entry(id, seq).bytes())], load_for) {
        return Err(Refused::new(Refusal::Busy));
    }
    common.last_fetch = number;
    Ok(Phase::Fetching(number))
}

impl Conversations {
    pub(super) fn on_entry_loaded(
        &mut self,
        core: &mut Core,
        id: ConversationId,
        seq: u64,
        number: u64,
        rows: &[Rows],
    ) {
        // It may have been forgotten meanwhile, with all that waited.
        let Some(held) = self.held.get_mut(&id) else { return };
        if !matches!(held.phase, Phase::Fetching(current) if current == number) {
            return;
        }
        let read = match rows[0].rows.first() {
            Some(row) => seq_of(row).and_then(|_| decode::<Entry>(row)),
            None => Err(format!("entry {seq} of {id:?} is missing")),
        };
        match read {
            Ok(entry) => {
                held.conversation.verbs().fetched = Some(Fetched { seq, entry });
                held.phase = Phase::Ready;
                self.run(core, id, None);
            }
            Err(reason) => core.damaged(id.slot(), &reason),
        }
    }

    /// What waits in conversations that are not in memory any more.
    pub(super) fn refuse_dropped(&mut self, core: &mut Core, mut dropped: Vec<(ConversationId, Waiting)>) {
        dropped.sort_by_key(|(id, _)| *id);
        for (id, waiting) in dropped {
            self.refuse_busy(core, id, waiting);
        }
    }
}
