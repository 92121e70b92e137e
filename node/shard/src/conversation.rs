//! Conversations at their home: one log each, with one writer.
//!
//! A command names a conversation. If its state is not in memory it is read first, and later commands wait behind it in
//! order. What a command changes goes into the turn's batch; whoever is to know is told when that batch is on disk.

mod bulk;
mod checkpoint;
mod dedupe;
mod entry;
mod fetch;
mod introduce;
mod issue;
mod load;
mod mark;
mod outbox;
mod pull;
mod relation;
mod rewrite;
mod send;
mod state;
mod tail;
mod turn;
mod verbs;
mod written;

use std::collections::VecDeque;

use ahash::AHashMap;
use record::{Act, Rows, StoreShardId};
use wire::message::{EntryKind, MarkKind, Send};
use wire::{ConversationId, Refusal, ShardAddress, Slot, UserId, Verified, body};

use crate::admin::Notice;
use crate::cache::{Candidate, UseOrder};
use crate::contact;
use crate::core::Core;
use crate::follow::{Hub, NoticeHead};
use crate::limits::{CONVERSATIONS_CACHED_MAX, QUEUED_PER_KEY_MAX};
use crate::mesh::{Caller, MarkFor, OwnedSend};
use crate::parts::PartNumber;
use crate::stats::TableStats;

use self::bulk::Bulk;
use self::entry::EntryWriter;
use self::load::Rebuild;
use self::outbox::Outbox;
use self::pull::{PullRange, Pulls};
pub(crate) use self::relation::RelationWritten;
use self::state::Conversation;
use self::tail::Tails;
use self::turn::SpareTurns;
pub(crate) use self::written::Written;

/// What a load was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoadKey {
    /// A part of a conversation's state.
    State(ConversationId),
    /// Entries for the pull with this number.
    Pull(u64),
    /// The entry with this seq, for the command in front of its conversation's queue; with the number of the read.
    Entry(ConversationId, u64, u64),
    /// The account of somebody who is written to for the first time, for another home.
    Peer { conversation: ConversationId, peer: UserId, home: ShardAddress },
    /// Changes that other homes may not have, of these slots.
    Outbox(Vec<Slot>),
    /// Relations of these pairs, for a part with this number of what this shard asked.
    Pairs { from: ShardAddress, number: PartNumber, ids: Vec<ConversationId> },
}

/// Something that waits for its turn.
#[derive(Debug)]
enum Waiting {
    Asked {
        caller: Caller,
        command: LogCommand,
    },
    /// By the operator.
    Issued {
        token: u64,
        notice: Notice,
    },
    /// This shard hosts somebody who follows it, and is told the head.
    Followed(ShardAddress),
}

/// A command on one conversation, its fields checked.
#[derive(Debug)]
enum LogCommand {
    Send(OwnedSend),
    Pull(PullRange),
    Mark(mark::Asked),
    Relate(Act),
}

/// A normal "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    refusal: Refusal,
    detail: u64,
    retry_ms: u32,
}

impl Refused {
    fn new(refusal: Refusal) -> Self {
        let retry_ms = match refusal {
            Refusal::Busy | Refusal::StorageFull => BUSY_RETRY_MS,
            _ => 0,
        };
        Self { refusal, detail: 0, retry_ms }
    }

    fn with_detail(refusal: Refusal, detail: u64) -> Self {
        Self { detail, ..Self::new(refusal) }
    }

    fn tell(self, core: &mut Core, caller: Caller) {
        core.refuse_caller(caller, self.refusal, self.detail, self.retry_ms);
    }
}

/// When to try again what was refused for want of room.
const BUSY_RETRY_MS: u32 = 200;

/// How far a conversation's state is in memory.
#[derive(Debug)]
enum Phase {
    /// Being read; commands wait.
    Loading(Rebuild),
    /// The first send waits until the peer is known to exist; commands wait behind it.
    Introducing,
    /// The command in front waits for an entry, read under this number; others wait behind it.
    Fetching(u64),
    Ready,
}

/// A conversation with the commands that wait for it.
#[derive(Debug)]
struct Held {
    phase: Phase,
    conversation: Conversation,
    /// Empty when `Ready`.
    queue: VecDeque<Waiting>,
    /// Of [`UseOrder`].
    used: u64,
}

/// What the handlers of all conversations share.
#[derive(Debug)]
struct Common {
    /// Conversations that changed in this turn.
    touched: Vec<ConversationId>,
    outbox: Outbox,
    contacts: contact::Outbox,
    /// Shards that follow conversations of this one.
    hub: Hub,
    bulk: Bulk,
    tails: Tails,
    pulls: Pulls,
    /// The last number of a read of one entry.
    last_fetch: u64,
    writer: EntryWriter,
    spare: SpareTurns,
}

impl Common {
    /// The end of the turn looks at this conversation.
    fn touch(&mut self, core: &Core, conversation: &mut Conversation) {
        if conversation.turn.is_none() {
            conversation.turn = Some(self.spare.take());
            self.touched.push(conversation.id);
        }
        conversation.stamp = core.stamp(conversation.id.slot());
    }

    /// Why this conversation may not be changed now.
    fn write_refusal(&self, core: &Core, conversation: &Conversation) -> Option<Refused> {
        if let Some(refusal) = core.write_refusal(conversation.id.slot()) {
            return Some(Refused::new(refusal));
        }
        // Each touched conversation may add a change for each of its users.
        self.outbox.is_full(2 * self.touched.len() + 2).then_some(Refused::new(Refusal::Busy))
    }
}

/// The conversations of this shard: those whose slot it owns.
#[derive(Debug)]
pub(crate) struct Conversations {
    held: AHashMap<ConversationId, Held>,
    order: UseOrder<ConversationId>,
    /// Conversations in `Phase::Introducing`.
    introducing: usize,
    cached_max: usize,
    common: Common,
}

impl Conversations {
    /// What is in memory.
    pub fn tables(&self) -> [TableStats; 5] {
        [
            TableStats::new("conversations", self.held.len(), self.cached_max),
            self.common.tails.table(),
            self.common.outbox.table(),
            self.common.contacts.table(),
            self.common.hub.table(),
        ]
    }

    pub fn new(core: &mut Core) -> Self {
        Self {
            held: AHashMap::with_hasher(core.rng.hasher()),
            order: UseOrder::default(),
            introducing: 0,
            cached_max: CONVERSATIONS_CACHED_MAX,
            common: Common {
                touched: Vec::new(),
                outbox: Outbox::new(core),
                contacts: contact::Outbox::new(core),
                hub: Hub::new(core),
                bulk: Bulk::new(core),
                tails: Tails::default(),
                pulls: Pulls::new(core),
                last_fetch: 0,
                writer: EntryWriter::default(),
                spare: SpareTurns::default(),
            },
        }
    }

    /// Reads which changes other homes may not have.
    pub fn start(&mut self, core: &mut Core) {
        self.common.outbox.start(core);
        self.common.contacts.start(core);
    }

    pub fn handle_send(&mut self, core: &mut Core, caller: Caller, id: ConversationId, send: Send<'_>) {
        if let Err(refused) = send::check(&send) {
            return refused.tell(core, caller);
        }
        // Nearly always the conversation is there and nothing waits: the send is carried out from where it lies.
        match self.held.get_mut(&id) {
            // What is about another entry may have to read that first.
            Some(held) if send.kind == EntryKind::Message && held.takes_send_of(caller.user) => {
                held.used = self.order.tick();
                let conversation = &mut held.conversation;
                conversation.known[conversation.side(caller.user)] = true;
                if let Err(refused) = send::run(core, &mut self.common, conversation, caller, send) {
                    refused.tell(core, caller);
                }
            }
            _ => self.handle(core, caller, id, LogCommand::Send(send.into())),
        }
    }

    pub fn handle_pull(
        &mut self,
        core: &mut Core,
        caller: Caller,
        conversation: ConversationId,
        body: Verified<body::Pull>,
    ) {
        match PullRange::check(&body) {
            Ok(range) => self.handle(core, caller, conversation, LogCommand::Pull(range)),
            Err(refused) => refused.tell(core, caller),
        }
    }

    pub fn handle_mark(
        &mut self,
        core: &mut Core,
        caller: Caller,
        conversation: ConversationId,
        kind: MarkKind,
        seq: u64,
        shown_to: MarkFor,
    ) {
        let asked = mark::Asked { kind, seq, shown_to };
        match mark::check(kind, seq) {
            Ok(()) => self.handle(core, caller, conversation, LogCommand::Mark(asked)),
            Err(refused) => refused.tell(core, caller),
        }
    }

    /// Something about the relation of the two users.
    pub fn handle_act(&mut self, core: &mut Core, caller: Caller, conversation: ConversationId, act: Act) {
        self.handle(core, caller, conversation, LogCommand::Relate(act));
    }

    pub fn handle_contact_view_done(
        &mut self,
        core: &mut Core,
        user: UserId,
        conversation: ConversationId,
        version: u64,
    ) {
        self.common.contacts.handle_done(core, user, conversation, version);
    }

    pub fn handle_contact_outbox_loaded(&mut self, core: &mut Core, slots: &[Slot], rows: &[Rows]) {
        self.common.contacts.handle_loaded(core, slots, rows);
    }

    pub fn handle_loaded(&mut self, core: &mut Core, key: LoadKey, rows: Vec<Rows>) {
        match key {
            LoadKey::State(conversation) => self.on_state_loaded(core, conversation, rows),
            LoadKey::Pull(pull) => self.common.pulls.handle_loaded(core, pull, rows),
            LoadKey::Entry(id, seq, number) => self.on_entry_loaded(core, id, seq, number, &rows),
            LoadKey::Peer { conversation, peer, home } => {
                introduce::on_peer_loaded(core, conversation, peer, home, &rows);
            }
            LoadKey::Pairs { from, number, ids } => self.on_pairs_loaded(core, from, number, &ids, &rows),
            LoadKey::Outbox(slots) => self.common.outbox.handle_loaded(core, &slots, &rows),
        }
    }

    pub fn handle_changed_done(
        &mut self,
        _core: &mut Core,
        user: UserId,
        conversation: ConversationId,
        change: u64,
    ) {
        self.common.outbox.handle_changed_done(user, conversation, change);
    }

    /// A peer has taken delivery frames: what waited for room is sent.
    pub fn handle_credit(&mut self, core: &mut Core) {
        self.common.outbox.handle_credit(core);
        self.common.hub.handle_credit(core);
    }

    /// A shard hosts somebody who follows this conversation.
    pub fn handle_subscribe(&mut self, core: &mut Core, from: ShardAddress, id: ConversationId) {
        self.submit(core, id, Waiting::Followed(from));
    }

    /// It does not any more.
    pub fn handle_unsubscribe(&mut self, from: ShardAddress, id: ConversationId) {
        self.common.hub.leave(from, id);
    }

    /// Answers shards for which there was no room before.
    fn follow_postponed(&mut self, core: &mut Core) {
        for (from, id) in self.common.hub.take_postponed() {
            self.submit(core, id, Waiting::Followed(from));
        }
    }

    /// A batch of this store shard was not written: what is in memory may build on it, so it is read anew when needed.
    pub fn forget(&mut self, core: &mut Core, store_shard: StoreShardId) {
        let Self { held, order, common, .. } = self;
        for id in &common.touched {
            let turn = held.get_mut(id).and_then(|held| held.conversation.turn.as_mut());
            let turn = turn.filter(|_| core.store_shard(id.slot()) == store_shard);
            if let Some(unanswered) = turn.and_then(|turn| turn.take_sent()) {
                core.refuse_full(unanswered);
            }
        }
        // What is being read, or waits for its first entry, has no unwritten changes.
        let mut dropped = Vec::new();
        held.retain(|id, held| {
            let is_whole = matches!(held.phase, Phase::Ready | Phase::Fetching(_));
            let keep = !is_whole || core.store_shard(id.slot()) != store_shard;
            if !keep {
                common.tails.forget(&held.conversation.tail);
                dropped.extend(held.queue.drain(..).map(|waiting| (*id, waiting)));
            }
            keep
        });
        order.retain(|id| held.contains_key(id));
        common.touched.retain(|id| held.contains_key(id));
        common.outbox.forget(core, store_shard);
        common.contacts.forget(core, store_shard);
        common.bulk.forget(core, store_shard);
        self.refuse_dropped(core, dropped);
    }

    /// Runs a command now, or behind those that wait for the same conversation.
    fn handle(&mut self, core: &mut Core, caller: Caller, id: ConversationId, command: LogCommand) {
        if !id.is_of(caller.user) {
            return Refused::new(Refusal::NotMember).tell(core, caller);
        }
        self.submit(core, id, Waiting::Asked { caller, command });
    }

    fn submit(&mut self, core: &mut Core, id: ConversationId, waiting: Waiting) {
        if let Some(held) = self.held.get_mut(&id) {
            held.used = self.order.tick();
            if matches!(held.phase, Phase::Ready) && held.queue.is_empty() {
                return self.run(core, id, Some(waiting));
            }
            if held.queue.len() >= QUEUED_PER_KEY_MAX {
                return self.refuse_busy(core, id, waiting);
            }
            if core.bug(crate::bugs::Bug::OvertakeLoad) {
                held.queue.push_front(waiting);
            } else {
                held.queue.push_back(waiting);
            }
            return;
        }
        if self.common.bulk.holds(id)
            || !self.common.outbox.may_restore()
            || !self.has_room(core)
            || !load::begin(core, id)
        {
            return self.refuse_busy(core, id, waiting);
        }
        let held = Held {
            phase: Phase::Loading(Rebuild::default()),
            conversation: Conversation::new(id),
            queue: VecDeque::from([waiting]),
            used: self.order.add(id),
        };
        self.held.insert(id, held);
    }

    fn refuse_busy(&mut self, core: &mut Core, id: ConversationId, waiting: Waiting) {
        let refused = Refused::new(Refusal::Busy);
        match waiting {
            Waiting::Asked { caller, .. } => refused.tell(core, caller),
            Waiting::Issued { token, .. } => issue::refuse(core, token, refused),
            Waiting::Followed(from) => self.common.hub.postpone(from, id),
        }
    }

    /// Runs `first`, if there is one, and what waits for this conversation, as far as it can.
    fn run(&mut self, core: &mut Core, id: ConversationId, first: Option<Waiting>) {
        let held = self.held.get_mut(&id).expect("a conversation with commands is held");
        let mut next = first.or_else(|| held.queue.pop_front());
        while let Some(waiting) = next {
            match waiting {
                Waiting::Asked { caller, command } => {
                    if let Some(asking) =
                        run_asked(core, &mut self.common, &mut self.introducing, held, caller, command)
                    {
                        held.queue.push_front(asking);
                        return;
                    }
                }
                Waiting::Issued { token, notice } => {
                    let conversation = &mut held.conversation;
                    if let Err(refused) = issue::run(core, &mut self.common, conversation, token, &notice) {
                        issue::refuse(core, token, refused);
                    }
                }
                Waiting::Followed(from) => {
                    let Conversation { epoch, committed: head, time_ms, .. } = held.conversation;
                    self.common.hub.join(core, from, id, NoticeHead { epoch, head, time_ms });
                }
            }
            next = held.queue.pop_front();
        }
        held.queue = VecDeque::new(); // most of the time nothing waits
    }

    /// Lower bounds, to see what happens at them.
    #[cfg(test)]
    pub fn with_bounds(mut self, cached_max: usize, outbox_max: usize) -> Self {
        self.cached_max = cached_max;
        self.common.outbox.set_max(outbox_max);
        self
    }

    /// Makes room for one more conversation; false when all that were looked at are in use.
    fn has_room(&mut self, core: &Core) -> bool {
        if self.held.len() < self.cached_max {
            return true;
        }
        let held = &self.held;
        let oldest = self.order.take_oldest(|id| match held.get(id) {
            None => Candidate::Gone,
            Some(held) if held.may_go(core) => Candidate::Free { used: held.used },
            Some(_) => Candidate::Held,
        });
        let Some(held) = oldest.and_then(|id| self.held.remove(&id)) else { return false };
        self.common.tails.forget(&held.conversation.tail);
        true
    }

    pub fn check_invariants(&self, core: &Core) {
        assert!(self.held.len() <= self.cached_max);
        assert_eq!(self.order.len(), self.held.len());
        let (mut introducing, mut tail_bytes) = (0, 0);
        for (id, held) in &self.held {
            assert_eq!(*id, held.conversation.id);
            assert!(core.is_home(id.slot()), "{id:?} has its home elsewhere");
            assert!(held.queue.len() <= QUEUED_PER_KEY_MAX);
            match held.phase {
                Phase::Ready => assert!(held.queue.is_empty(), "commands of {id:?} are stuck"),
                Phase::Introducing => introducing += 1,
                Phase::Loading(_) | Phase::Fetching(_) => {}
            }
            held.conversation.check_invariants();
            tail_bytes += held.conversation.tail.bytes();
            if held.may_go(core) {
                assert_eq!(held.conversation.committed, held.conversation.head, "all of {id:?} is on disk");
            }
        }
        assert_eq!(introducing, self.introducing);
        self.common.tails.check_invariants(tail_bytes);
        self.common.outbox.check_invariants(core);
        self.common.contacts.check_invariants(core);
        self.common.hub.check_invariants(core);
        self.common.bulk.check_invariants();
    }
}

/// Carries out a client's command. Gives it back when the other user is asked for first.
fn run_asked(
    core: &mut Core,
    common: &mut Common,
    introducing: &mut usize,
    held: &mut Held,
    caller: Caller,
    command: LogCommand,
) -> Option<Waiting> {
    let conversation = &mut held.conversation;
    if !conversation.id.is_followed() {
        conversation.known[conversation.side(caller.user)] = true;
    }
    if introduce::is_needed(conversation, caller.user) && command.needs_peer(conversation) {
        match introduce::begin(core, introducing, conversation.id, caller.user) {
            Ok(()) => {
                held.phase = Phase::Introducing;
                return Some(Waiting::Asked { caller, command });
            }
            Err(refused) => refused.tell(core, caller),
        }
        return None;
    }
    match fetch::needed(conversation, caller, &command) {
        Ok(None) => {}
        Ok(Some(seq)) => match fetch::begin(core, common, conversation, seq) {
            Ok(phase) => {
                held.phase = phase;
                return Some(Waiting::Asked { caller, command });
            }
            Err(refused) => {
                refused.tell(core, caller);
                return None;
            }
        },
        Err(refused) => {
            refused.tell(core, caller);
            return None;
        }
    }
    let result = match &command {
        LogCommand::Send(send) => send::run(core, common, conversation, caller, send.borrowed()),
        LogCommand::Pull(range) => pull::run(core, &mut common.pulls, conversation, caller, *range),
        LogCommand::Relate(act) => relation::run(core, common, conversation, caller, act),
        LogCommand::Mark(asked) => mark::run(core, common, conversation, caller, *asked),
    };
    if let Some(verbs) = &mut conversation.verbs {
        verbs.fetched = None;
    }
    if let Err(refused) = result {
        refused.tell(core, caller);
    }
    None
}

impl LogCommand {
    /// Whether it may write something of a peer who must exist for it.
    fn needs_peer(&self, conversation: &Conversation) -> bool {
        match self {
            // Nothing is read for a message that is turned away.
            LogCommand::Send(_) => conversation.may_write,
            LogCommand::Relate(act) => matches!(act, Act::Request { .. } | Act::Block),
            LogCommand::Pull(_) | LogCommand::Mark(_) => false,
        }
    }
}

impl Held {
    /// A send of this user can be carried out at once.
    fn takes_send_of(&self, user: UserId) -> bool {
        let Self { phase: Phase::Ready, conversation, queue, .. } = self else { return false };
        queue.is_empty()
            && conversation.id.has(user)
            && !(conversation.may_write && introduce::is_needed(conversation, user))
    }

    /// Nothing is lost when it leaves the memory.
    fn may_go(&self, core: &Core) -> bool {
        let conversation = &self.conversation;
        matches!(self.phase, Phase::Ready)
            && conversation.turn.is_none()
            && core.is_committed(conversation.id.slot(), conversation.stamp)
    }
}
