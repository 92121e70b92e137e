//! Before the first entry of a conversation: does the one who is written to exist? His home knows.
//!
//! The send waits at the conversation's home, in front of all later commands, as it does for a read of the store. His home
//! answers from its own store and waits for nobody. Nothing is stored before, so a crash in between loses nothing.

use record::{Account, AccountState, Key, Query, Record, Rows};
use wire::{ConversationId, Refusal, ShardAddress, UserId};

use crate::core::{Core, LoadFor};
use crate::limits::INTRODUCTIONS_MAX;
use crate::mesh::{Acquaintance, MeshFrame};

use super::state::Conversation;
use super::{Conversations, LoadKey, Phase, Refused, Waiting};

/// True when the peer of `sender` is not known to exist. Once there is an entry, both do.
pub(super) fn is_needed(conversation: &Conversation, sender: UserId) -> bool {
    conversation.id.is_private()
        && conversation.head.seq == 0
        && !conversation.known[1 - conversation.side(sender)]
}

/// Asks the peer's home.
pub(super) fn begin(
    core: &mut Core,
    introducing: &mut usize,
    conversation: ConversationId,
    sender: UserId,
) -> Result<(), Refused> {
    if *introducing >= INTRODUCTIONS_MAX {
        return Err(Refused::new(Refusal::Busy));
    }
    *introducing += 1;
    let peer = conversation.peer_of(sender).expect("the sender is one of the two");
    core.control(core.home(peer.slot()), MeshFrame::Introduce { conversation, peer });
    Ok(())
}

pub(super) fn on_peer_loaded(
    core: &mut Core,
    conversation: ConversationId,
    peer: UserId,
    home: ShardAddress,
    rows: &[Rows],
) {
    assert!(core.is_home(peer.slot()));
    let found = match rows[0].rows.first().map(|row| Account::decode(&row.value)) {
        None => Acquaintance::NoSuchUser,
        Some(Ok(account)) if account.state == AccountState::Deleted => Acquaintance::NoSuchUser,
        Some(Ok(_)) => Acquaintance::Exists,
        Some(Err(error)) => return core.damaged(peer.slot(), &format!("the account of {peer:?}: {error}")),
    };
    core.control(home, MeshFrame::Introduced { conversation, found });
}

impl Conversations {
    /// At the home of `peer`.
    pub fn handle_introduce(
        &mut self,
        core: &mut Core,
        from: ShardAddress,
        conversation: ConversationId,
        peer: UserId,
    ) {
        let queries = vec![Query::Get(Key::Account(peer).bytes())];
        let load_for = LoadFor::Conversation(LoadKey::Peer { conversation, peer, home: from });
        if !core.load(peer.slot(), queries, load_for) {
            let found = Acquaintance::Busy;
            core.control(from, MeshFrame::Introduced { conversation, found });
        }
    }

    /// At the home of the conversation.
    pub fn handle_introduced(&mut self, core: &mut Core, id: ConversationId, found: Acquaintance) {
        let held = self.held.get_mut(&id).expect("a conversation that waits for its first entry is held");
        assert!(matches!(held.phase, Phase::Introducing));
        self.introducing -= 1;
        if held.is_stale {
            return self.read_anew(core, id);
        }
        held.phase = Phase::Ready;
        let refusal = match found {
            Acquaintance::Exists => {
                held.conversation.known = [true; 2];
                None
            }
            Acquaintance::NoSuchUser => Some(Refusal::UnknownUser),
            Acquaintance::Busy => Some(Refusal::Busy),
        };
        if let Some(refusal) = refusal {
            let asking = held.queue.pop_front().expect("the send that asked waits in front");
            let Waiting::Asked { caller, .. } = asking else { unreachable!("a client writes to somebody") };
            Refused::new(refusal).tell(core, caller);
        }
        self.run(core, id, None);
    }

    /// What is in memory rests on a batch that was not written: it is as it is on disk, and the commands begin again.
    fn read_anew(&mut self, core: &mut Core, id: ConversationId) {
        let held = self.held.remove(&id).expect("it was found a moment ago");
        assert!(held.conversation.turn.is_none() && held.conversation.head.seq == 0);
        self.common.tails.forget(&held.conversation.tail);
        self.order.retain(|other| *other != id);
        for waiting in held.queue {
            self.submit(core, id, waiting);
        }
    }
}
