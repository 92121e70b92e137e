//! Conversations: what is pushed, pulled, synced and marked.

use std::collections::VecDeque;

use super::effect::{ClientEvent, Reason};
use super::feed::{Advance, Feed, NotCovered};
use super::journal::After;
use super::requests::Pending;
use super::session::{Session, is_transient, retry_ms};
use super::stored::PersistOp;
use super::{CONVERSATIONS_MAX, EARLY_MARKS_MAX, FRUITLESS_PULL_MS, MARKS_IN_FLIGHT_MAX};
use crate::ids::ConversationId;
use crate::limits::{PULL_BYTES_MAX, SEQ_MAX, SYNC_CHANGES_MAX};
use crate::message::{Entry, HeadMoved, Marked, Message, Pull, Pulled, Refused, Synced};

/// Pulls, of which one at a time is on its way.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    /// Conversations that miss something; at most one place each.
    queue: VecDeque<ConversationId>,
    in_flight: bool,
    hold_until_ms: u64,
}

impl Pulls {
    pub fn is_idle(&self) -> bool {
        !self.in_flight
    }

    pub fn on_sent(&mut self) {
        self.in_flight = true;
    }

    pub fn on_answered(&mut self) {
        self.in_flight = false;
    }

    pub fn hold_until_ms(&self) -> Option<u64> {
        (!self.in_flight && !self.queue.is_empty()).then_some(self.hold_until_ms)
    }
}

/// What is known of the user's list of conversations.
#[derive(Debug, Default)]
pub(super) struct SyncState {
    needed: bool,
    in_flight: bool,
    hold_until_ms: u64,
}

impl SyncState {
    pub fn need(&mut self) {
        self.needed = true;
    }

    pub fn on_refused(&mut self, hold_until_ms: u64) {
        *self = Self { needed: true, in_flight: false, hold_until_ms };
    }

    pub fn hold_until_ms(&self) -> Option<u64> {
        (self.needed && !self.in_flight).then_some(self.hold_until_ms)
    }

    pub fn is_idle(&self) -> bool {
        !self.in_flight
    }

    fn is_done(&self) -> bool {
        !self.needed && !self.in_flight
    }
}

impl Session {
    /// A session began: what was missed is fetched.
    pub(super) fn start_chat(&mut self) {
        self.told_caught_up = false;
        self.adverts_off = None;
        self.sync.need();
        let known: Vec<ConversationId> = self.feeds.keys().copied().collect();
        for conversation in known {
            self.queue_pull(conversation);
            self.marks_due.insert(conversation);
        }
        for counter in self.sought.clone() {
            if let Some(send) = self.outbox.get(counter) {
                self.seek(send.conversation);
            }
        }
    }

    /// The connection is gone, and all that was on its way.
    pub(super) fn reset_chat(&mut self) {
        self.pulls = Pulls::default();
        self.sync = SyncState::default();
        self.marks_due.clear();
        self.marks_in_flight.clear();
        for feed in self.feeds.values_mut() {
            feed.pulling = false;
            feed.fruitless_pulls = 0;
            feed.forget_asked();
        }
    }

    /// The user has read up to this entry; the node is told as soon as it can be.
    pub fn mark_read(&mut self, now_ms: u64, conversation: ConversationId, seq: u64) {
        if let Some(feed) = self.feeds.get_mut(&conversation) {
            let seq = seq.min(feed.state.applied.seq);
            if seq > feed.state.read_wanted {
                feed.state.read_wanted = seq;
                self.journal.touch(conversation);
                self.marks_due.insert(conversation);
            }
        }
        self.finish(now_ms);
    }

    pub(super) fn on_message(&mut self, now_ms: u64, message: Message) -> Result<(), Reason> {
        let Message { conversation, epoch, entry } = message;
        check_seq(entry.place.seq)?;
        if entry.place.seq > 0 {
            self.on_entry(now_ms, conversation, epoch, entry);
        }
        Ok(())
    }

    pub(super) fn on_entry(&mut self, now_ms: u64, conversation: ConversationId, epoch: u32, entry: Entry) {
        let me = self.me();
        if !self.know(conversation, entry.place.seq - 1, 0) {
            return;
        }
        let mut advances = Vec::new();
        let feed = self.feeds.get_mut(&conversation).expect("just found");
        feed.offer(me, epoch, entry, &mut self.room, &mut advances);
        self.on_advances(now_ms, conversation, advances);
    }

    pub(super) fn on_head_moved(&mut self, now_ms: u64, moved: HeadMoved) -> Result<(), Reason> {
        let HeadMoved { conversation, epoch, head } = moved;
        check_seq(head.seq)?;
        if self.know(conversation, head.seq, epoch) {
            let mut advances = Vec::new();
            let feed = self.feeds.get_mut(&conversation).expect("just found");
            feed.handle_head(&moved, &mut self.room, &mut advances);
            self.on_advances(now_ms, conversation, advances);
        }
        Ok(())
    }

    pub(super) fn on_marked(&mut self, marked: Marked) {
        let me = self.me();
        let Some(feed) = self.feeds.get_mut(&marked.conversation) else {
            // The list that tells of the conversation is on its way, and may be older than this mark.
            if self.early_marks.len() < EARLY_MARKS_MAX {
                self.early_marks.push(marked);
            }
            return;
        };
        if feed.handle_marked(me, &marked) {
            let Marked { conversation, user, kind, place } = marked;
            self.journal.touch(conversation);
            self.journal.then(After::Tell(ClientEvent::Marked { conversation, user, kind, place }));
        }
    }

    pub(super) fn on_synced(&mut self, now_ms: u64, synced: Synced) -> Result<(), Reason> {
        if synced.more && synced.to <= synced.from {
            return Err(Reason::Misbehaved("a list that does not end"));
        }
        for summary in &synced.changes {
            let conversation = summary.conversation;
            check_seq(summary.head.seq)?;
            if !self.know(conversation, summary.head.seq, summary.epoch) {
                continue;
            }
            let mut advances = Vec::new();
            let room = &mut self.room;
            self.feeds.get_mut(&conversation).expect("just found").handle_summary(
                summary,
                room,
                &mut advances,
            );
            self.on_advances(now_ms, conversation, advances);
        }
        if !synced.more {
            self.tell_adverts(synced.adverts_off);
        }
        self.uver = synced.to;
        self.journal.write(PersistOp::Uver(self.uver));
        self.sync.in_flight = false;
        self.sync.needed |= synced.more;
        Ok(())
    }

    /// The answer to a pull of what was missing.
    pub(super) fn on_caught_up(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        pulled: Pulled,
    ) -> Result<(), Reason> {
        let me = self.me();
        self.pulls.on_answered();
        if pulled.conversation != conversation {
            return Err(Reason::Misbehaved("a pull of another conversation"));
        }
        check_seq(pulled.head.seq)?;
        let Some(feed) = self.feeds.get_mut(&conversation) else { return Ok(()) };
        feed.pulling = false;
        let mut advances = Vec::new();
        feed.handle_pulled(me, pulled, &mut self.room, &mut advances)
            .map_err(|NotCovered| Reason::Misbehaved("a pull with a silent hole"))?;
        let at_end = feed.state.applied.seq >= feed.state.head.seq;
        if feed.fruitless_pulls > 1 {
            self.pulls.hold_until_ms = now_ms + FRUITLESS_PULL_MS;
        }
        self.on_advances(now_ms, conversation, advances);
        if at_end {
            self.end_search(now_ms, conversation);
        }
        Ok(())
    }

    /// Told when it is not what was told before.
    pub(super) fn tell_adverts(&mut self, off: bool) {
        if self.adverts_off.replace(off) != Some(off) {
            self.journal.then(After::Tell(ClientEvent::AdvertsSet { query: None, off }));
        }
    }

    fn take_own(&mut self, now_ms: u64, conversation: ConversationId, entry: &Entry) {
        if entry.sender == self.me() && entry.device == self.device() {
            self.take_send(now_ms, entry, conversation);
        }
    }

    pub(super) fn on_catch_up_refused(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        refused: &Refused,
    ) {
        self.pulls.on_answered();
        if let Some(feed) = self.feeds.get_mut(&conversation) {
            feed.pulling = false;
        }
        if is_transient(refused) {
            self.pulls.hold_until_ms = now_ms + retry_ms(refused);
            self.queue_pull(conversation);
        }
    }

    pub(super) fn on_mark_refused(&mut self, now_ms: u64, conversation: ConversationId, refused: &Refused) {
        self.marks_in_flight.remove(&conversation);
        if is_transient(refused) {
            self.marks_hold_until_ms = self.marks_hold_until_ms.max(now_ms + retry_ms(refused));
            if let Some(feed) = self.feeds.get_mut(&conversation) {
                feed.forget_asked();
            }
            self.marks_due.insert(conversation);
        }
    }

    /// Steps of a feed become changes to persist and events to tell.
    fn on_advances(&mut self, now_ms: u64, conversation: ConversationId, advances: Vec<Advance>) {
        for advance in advances {
            match advance {
                Advance::Entry(entry) => {
                    self.take_own(now_ms, conversation, &entry);
                    self.journal.write(PersistOp::Entry { conversation, entry: entry.clone() });
                    self.journal.then(After::Tell(ClientEvent::Message { conversation, entry }));
                }
                Advance::Gap(range) => {
                    self.journal.write(PersistOp::Gap { conversation, range });
                    self.journal.then(After::Tell(ClientEvent::Gap { conversation, range }));
                }
                Advance::Epoch(epoch) => {
                    self.journal.then(After::Tell(ClientEvent::EpochChanged { conversation, epoch }));
                }
            }
        }
        let seq = self.feeds[&conversation].state.applied.seq;
        self.journal.touch(conversation);
        self.journal.then(After::Durable { conversation, seq });
        self.queue_pull(conversation);
    }

    fn queue_pull(&mut self, conversation: ConversationId) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        if !feed.pulling && feed.missing().is_some() {
            feed.pulling = true;
            self.pulls.queue.push_back(conversation);
        }
    }

    /// Reads a conversation to its end, whatever its head is thought to be.
    pub(super) fn seek(&mut self, conversation: ConversationId) {
        if !self.know(conversation, 0, 0) {
            return;
        }
        let feed = self.feeds.get_mut(&conversation).expect("just found");
        if !feed.pulling {
            feed.pulling = true;
            self.pulls.queue.push_back(conversation);
        }
    }

    /// Changed states go into the turn's group, and the application is told.
    pub(super) fn write_changes(&mut self) {
        for conversation in self.journal.take_dirty() {
            let state = self.feeds[&conversation].state;
            self.journal.write(PersistOp::Conversation(state));
            self.journal.then(After::Tell(ClientEvent::Summary(state.summary(self.uver))));
        }
        let nothing_missing = self.pulls.queue.is_empty() && self.pulls.is_idle();
        if self.is_ready() && !self.told_caught_up && self.sync.is_done() && nothing_missing {
            self.told_caught_up = true;
            self.journal.then(After::Tell(ClientEvent::CaughtUp));
        }
    }

    pub(super) fn transmit_sync(&mut self, now_ms: u64) {
        if !self.sync.needed
            || self.sync.in_flight
            || self.requests.reads_pages()
            || now_ms < self.sync.hold_until_ms
        {
            return;
        }
        self.sync = SyncState { needed: false, in_flight: true, hold_until_ms: 0 };
        let uver = self.uver;
        self.transmit(now_ms, Pending::Sync, |e, request| e.sync(request, uver, SYNC_CHANGES_MAX));
    }

    pub(super) fn transmit_pulls(&mut self, now_ms: u64) {
        while self.pulls.is_idle() && now_ms >= self.pulls.hold_until_ms {
            let Some(conversation) = self.pulls.queue.pop_front() else { return };
            let feed = self.feeds.get_mut(&conversation).expect("a queued conversation");
            let next = feed.state.applied.seq + 1;
            let sought = self.sought.iter().any(|counter| {
                self.outbox.get(*counter).is_some_and(|send| send.conversation == conversation)
            });
            let (from, to) = match feed.missing() {
                Some(missing) => missing,
                None if sought => (next, next),
                None => {
                    feed.pulling = false; // it came in the meantime
                    continue;
                }
            };
            self.pulls.on_sent();
            let pull = Pull { from, to, bytes_max: PULL_BYTES_MAX, epoch: feed.state.epoch };
            self.transmit(now_ms, Pending::CatchUp { conversation }, |encoder, request| {
                encoder.pull(request, conversation, &pull)
            });
        }
    }

    pub(super) fn transmit_marks(&mut self, now_ms: u64) {
        if now_ms < self.marks_hold_until_ms {
            return;
        }
        let delivered = self.config.delivered_marks;
        let idle = self.marks_due.iter().filter(|due| !self.marks_in_flight.contains(due));
        for conversation in idle.copied().collect::<Vec<_>>() {
            if self.marks_in_flight.len() >= MARKS_IN_FLIGHT_MAX {
                return;
            }
            self.marks_due.remove(&conversation);
            let Some(feed) = self.feeds.get_mut(&conversation) else { continue };
            let Some((kind, seq)) = feed.mark_due(delivered) else { continue };
            feed.on_mark_sent(kind, seq);
            self.marks_in_flight.insert(conversation);
            self.transmit(now_ms, Pending::Mark { conversation }, |encoder, request| {
                encoder.mark(request, conversation, kind, seq)
            });
        }
    }

    /// Makes sure that there is a feed: a conversation that was not known begins near its head. False when there are
    /// too many.
    pub(super) fn know(&mut self, conversation: ConversationId, head_seq: u64, epoch: u32) -> bool {
        if !self.feeds.contains_key(&conversation) {
            if self.feeds.len() >= CONVERSATIONS_MAX || !conversation.is_of(self.me()) {
                return false;
            }
            let feed = Feed::begin(conversation, head_seq, epoch, self.config.catch_up_max);
            self.feeds.insert(conversation, feed);
            let early = std::mem::take(&mut self.early_marks);
            early.into_iter().for_each(|marked| self.on_marked(marked)); // those of others are kept again
        }
        true
    }

    /// When marks may go that were held back.
    pub(super) fn marks_hold_until_ms(&self) -> Option<u64> {
        let room = self.marks_in_flight.len() < MARKS_IN_FLIGHT_MAX;
        let due = room && self.marks_due.iter().any(|due| !self.marks_in_flight.contains(due));
        due.then_some(self.marks_hold_until_ms)
    }
}

pub(super) fn check_seq(seq: u64) -> Result<(), Reason> {
    if seq <= SEQ_MAX { Ok(()) } else { Err(Reason::Misbehaved("a seq that no log reaches")) }
}
