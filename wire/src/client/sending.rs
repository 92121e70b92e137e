//! Sends: each is persisted before it is transmitted, and decided once.

use bytes::Bytes;

use super::chat::check_seq;
use super::draft::Draft;
use super::effect::{ClientEvent, Reason, SendFailure};
use super::journal::After;
use super::requests::Pending;
use super::session::{SendError, Session, is_transient, retry_ms};
use super::stored::{PersistOp, StoredSend};
use super::{ANSWER_MS_MAX, STORAGE_FULL_MS};
use crate::ids::ConversationId;
use crate::message::{BodyKind, Entry, HeadMoved, Refused, Send, Sent};
use crate::refusal::Refusal;

impl Session {
    /// Takes a message to be sent, connected or not; it survives crashes as soon as it is persisted. Gives its
    /// counter, by which later events name it. Where there is no room, the oldest send that stays without an answer is
    /// forgotten: it was sent, and people who may not be written to must not fill the queue for everybody.
    pub fn send(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        body_kind: BodyKind,
        body: Bytes,
    ) -> Result<u64, SendError> {
        self.send_draft(now_ms, conversation, Draft::new(body_kind, body))
    }

    /// The same for whatever is not a plain message.
    pub fn send_draft(
        &mut self,
        now_ms: u64,
        conversation: ConversationId,
        draft: Draft,
    ) -> Result<u64, SendError> {
        let account = self.account.as_ref().ok_or(SendError::NotLoggedIn)?;
        if !conversation.is_valid() || !conversation.is_private() || !conversation.has(account.user) {
            return Err(SendError::NotMember);
        }
        draft.check()?;
        if !self.outbox.can_make_room(draft.body.len()) {
            return Err(SendError::QueueFull); // nothing is forgotten in vain
        }
        while !self.outbox.has_room(draft.body.len()) {
            let counter = self.outbox.first_unanswered().ok_or(SendError::QueueFull)?;
            self.fail_send(now_ms, counter, SendFailure::Unanswered);
        }
        let counter = self.next_counter;
        self.next_counter += 1;
        let Draft { kind, body_kind, body, extras } = draft;
        let extras = extras.boxed();
        let send = StoredSend { counter, conversation, body_kind, body, kind, extras };
        self.journal.write(PersistOp::NextCounter(self.next_counter));
        self.journal.write(PersistOp::Outgoing(send.clone()));
        self.journal.then(After::Stored { counter });
        self.outbox.push(send);
        self.finish(now_ms);
        Ok(counter)
    }

    /// Gives up a send. If the node has taken it, it comes as a message all the same.
    pub fn discard(&mut self, now_ms: u64, counter: u64) {
        self.fail_send(now_ms, counter, SendFailure::Discarded);
        self.finish(now_ms);
    }

    /// The next send to transmit.
    pub(super) fn next_ready_send(&self) -> Option<u64> {
        let last_taken = |conversation| match self.feeds.get(&conversation) {
            Some(feed) => feed.state.last_taken,
            None => self.outbox.last_taken(conversation),
        };
        self.outbox.next_ready(self.window, |conversation| last_taken(conversation) > 0)
    }

    /// Sends that were not answered in time: it is kept, so that not every start sends them anew.
    pub(super) fn on_unanswered(&mut self, counters: Vec<u64>) {
        for counter in counters {
            let Some(silence) = self.outbox.silence(counter) else { continue };
            let conversation = self.outbox.get(counter).expect("it is there").conversation;
            self.journal.write(PersistOp::Unanswered { counter, silence });
            self.journal.then(After::Tell(ClientEvent::SendUnanswered { conversation, counter }));
        }
    }

    pub(super) fn transmit_sends(&mut self, now_ms: u64) {
        if now_ms < self.send_hold_until_ms {
            return;
        }
        while let Some(counter) = self.next_ready_send() {
            let send = self.outbox.get(counter).expect("a ready send").clone();
            let last_taken = match self.feeds.get(&send.conversation) {
                Some(feed) => feed.state.last_taken,
                None => self.outbox.last_taken(send.conversation),
            };
            let previous = self.outbox.undecided_before(counter).unwrap_or(last_taken);
            let message = Send {
                counter,
                previous: previous.min(counter - 1),
                body_kind: send.body_kind,
                body: &send.body,
                kind: send.kind,
                extras: send.extras.as_deref(),
            };
            let request = self.transmit(now_ms, Pending::Send { counter }, |encoder, request| {
                encoder.send(request, send.conversation, &message)
            });
            self.outbox.on_transmitted(counter, request, now_ms);
        }
    }

    /// The node has it on disk: it is an entry of the log like any other.
    pub(super) fn on_sent(&mut self, now_ms: u64, counter: u64, sent: Sent) -> Result<(), Reason> {
        check_seq(sent.place.seq)?;
        let Some(send) = self.outbox.get(counter) else {
            // Decided before, or given up: then it is in the log all the same.
            let Sent { conversation, epoch, place, .. } = sent;
            return self.on_head_moved(now_ms, HeadMoved { conversation, epoch, head: place });
        };
        if sent.counter != counter || sent.conversation != send.conversation || sent.place.seq == 0 {
            return Err(Reason::Misbehaved("an answer to another send"));
        }
        let entry = Entry {
            place: sent.place,
            time_ms: sent.time_ms,
            sender: self.me(),
            device: self.device(),
            counter,
            kind: send.kind,
            body_kind: send.body_kind,
            body: send.body.clone(),
            extras: send.extras.clone(),
        };
        self.take_send(now_ms, &entry, sent.conversation);
        self.on_entry(now_ms, sent.conversation, sent.epoch, entry);
        Ok(())
    }

    /// An own entry was found in the log, or just taken. It decides the send it came from.
    pub(super) fn take_send(&mut self, now_ms: u64, entry: &Entry, conversation: ConversationId) {
        let counter = entry.counter;
        if self.outbox.get(counter).is_none_or(|send| send.conversation != conversation) {
            return;
        }
        self.outbox.decide(counter, true, now_ms);
        self.sought.remove(&counter);
        self.journal.write(PersistOp::Decided { counter });
        if self.know(conversation, entry.place.seq - 1, 0) {
            let feed = self.feeds.get_mut(&conversation).expect("just found");
            feed.state.last_taken = feed.state.last_taken.max(counter);
            self.journal.touch(conversation);
        }
        let (place, time_ms) = (entry.place, entry.time_ms);
        self.journal.then(After::Tell(ClientEvent::Sent { conversation, counter, place, time_ms }));
    }

    pub(super) fn on_send_refused(&mut self, now_ms: u64, counter: u64, request: u32, refused: Refused) {
        if !self.outbox.waits_for(counter, request) {
            return; // decided, or refused to an earlier transmission
        }
        let conversation = self.outbox.get(counter).expect("a send that waits").conversation;
        match Refusal::from_code(refused.code) {
            Some(Refusal::OutOfOrder) => {
                if let Some(feed) = self.feeds.get_mut(&conversation) {
                    feed.state.last_taken = refused.detail;
                    self.journal.touch(conversation);
                }
                self.outbox.on_out_of_order(counter, refused.detail, now_ms);
            }
            Some(Refusal::SyncFirst) => {
                self.sought.insert(counter);
                self.delay_send(now_ms, counter, ANSWER_MS_MAX, refused);
                self.seek(conversation);
            }
            Some(Refusal::WindowFull) => {
                self.window = self.window.min(usize::try_from(refused.detail).unwrap_or(1)).max(1);
                self.delay_send(now_ms, counter, retry_ms(&refused), refused);
            }
            Some(Refusal::StorageFull) => {
                let hold_ms = retry_ms(&refused).max(STORAGE_FULL_MS);
                self.delay_send(now_ms, counter, hold_ms, refused);
            }
            Some(Refusal::TooManyRequests) => {
                let hold_ms = retry_ms(&refused);
                self.send_hold_until_ms = self.send_hold_until_ms.max(now_ms + hold_ms);
                self.delay_send(now_ms, counter, hold_ms, refused);
            }
            _ if is_transient(&refused) => {
                self.delay_send(now_ms, counter, retry_ms(&refused), refused);
            }
            _ => self.fail_send(now_ms, counter, SendFailure::Refused(refused)),
        }
    }

    fn delay_send(&mut self, now_ms: u64, counter: u64, hold_ms: u64, refused: Refused) {
        let conversation = self.outbox.get(counter).expect("an undecided send").conversation;
        if self.outbox.on_delayed(counter, hold_ms, now_ms) {
            let event = ClientEvent::SendDelayed { conversation, counter, refused };
            self.journal.then(After::Tell(event));
        }
    }

    pub(super) fn fail_send(&mut self, now_ms: u64, counter: u64, failure: SendFailure) {
        let Some(send) = self.outbox.decide(counter, false, now_ms) else { return };
        self.sought.remove(&counter);
        self.journal.write(PersistOp::Decided { counter });
        let conversation = send.conversation;
        self.journal.then(After::Tell(ClientEvent::SendFailed { conversation, counter, failure }));
    }

    /// A conversation was read to its end: what was looked for and not found is not in it.
    pub(super) fn end_search(&mut self, now_ms: u64, conversation: ConversationId) {
        for counter in self.sought.clone() {
            if self.outbox.get(counter).is_some_and(|send| send.conversation == conversation) {
                self.fail_send(now_ms, counter, SendFailure::Undecided);
            }
        }
    }
}
