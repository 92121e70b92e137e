//! Sends that are not decided. Per conversation they are taken in the order of their counters or not at all, so after
//! any refusal a conversation's lane stalls until nothing of it is on its way, and goes on from its first send.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::stored::{Silence, StoredSend};
use super::{OUTGOING_BYTES_MAX, OUTGOING_MAX, RETRY_MS_MAX, UNANSWERED_MS};
use crate::extras::Extras;
use crate::ids::ConversationId;
use crate::message::{BodyKind, EntryKind};

#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub conversation: ConversationId,
    pub body_kind: BodyKind,
    pub body: Bytes,
    pub kind: EntryKind,
    pub extras: Option<Box<Extras>>,
    /// The application was told that it waits.
    pub told_delayed: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not persisted yet.
    Storing,
    Queued {
        resent: bool,
    },
    InFlight {
        request: u32,
        since_ms: u64,
        resent: bool,
    },
    /// No answer in time: out of the window, may still be answered.
    Unanswered {
        resent: bool,
    },
}

impl Outgoing {
    fn is_unanswered(&self) -> bool {
        matches!(self.state, State::Unanswered { .. })
    }
}

/// The sends of one conversation.
#[derive(Debug, Default)]
struct Lane {
    undecided: BTreeSet<u64>,
    in_flight: usize,
    /// Waits until nothing is in flight and the hold is over.
    stalled: bool,
    hold_until_ms: u64,
    /// Stalls without a send taken in between.
    setbacks: u32,
    /// The last own counter that the node took here, as it said with a refusal.
    last_taken: u64,
    /// Since when it is in doubt: one was not answered in time, and none was taken since. One at a time asks whether that
    /// is still so, and the window is left to others.
    doubtful_since_ms: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    sends: BTreeMap<u64, Outgoing>,
    lanes: BTreeMap<ConversationId, Lane>,
    /// Queued sends of lanes that are not stalled.
    ready: BTreeSet<u64>,
    in_flight: BTreeSet<u64>,
    stalled: BTreeSet<ConversationId>,
    bytes: usize,
    connected: bool,
}

impl Outbox {
    /// Sends of the persisted state: all wait for a connection, but for those that were sent often enough.
    pub fn restore(stored: Vec<StoredSend>, unanswered: &BTreeMap<u64, Silence>) -> Self {
        let mut outbox = Self::default();
        for send in stored {
            let (counter, conversation) = (send.counter, send.conversation);
            let silence = unanswered.get(&counter);
            let state = match silence {
                None => State::Queued { resent: false },
                Some(silence) => State::Unanswered { resent: *silence == Silence::Twice },
            };
            outbox.insert(counter, send, state);
            if silence.is_some() {
                outbox.lanes.get_mut(&conversation).expect("its lane").doubtful_since_ms = Some(0);
            }
        }
        outbox
    }

    pub fn has_room(&self, body_len: usize) -> bool {
        self.sends.len() < OUTGOING_MAX && self.bytes + body_len <= OUTGOING_BYTES_MAX
    }

    /// Whether there is room once all sends left that were not answered in time.
    pub fn can_make_room(&self, body_len: usize) -> bool {
        let unanswered = self.sends.values().filter(|send| send.is_unanswered());
        let (count, bytes) = unanswered.fold((0, 0), |(n, sum), send| (n + 1, sum + send.body.len()));
        self.sends.len() - count < OUTGOING_MAX && self.bytes - bytes + body_len <= OUTGOING_BYTES_MAX
    }

    /// The oldest send that was not answered in time.
    pub fn first_unanswered(&self) -> Option<u64> {
        self.sends.iter().find(|(_, send)| send.is_unanswered()).map(|(counter, _)| *counter)
    }

    /// How often this send was not answered in time.
    pub fn silence(&self, counter: u64) -> Option<Silence> {
        match self.sends.get(&counter)?.state {
            State::Unanswered { resent: false } => Some(Silence::Once),
            State::Unanswered { resent: true } => Some(Silence::Twice),
            _ => None,
        }
    }

    pub fn len(&self) -> usize {
        self.sends.len()
    }

    pub fn get(&self, counter: u64) -> Option<&Outgoing> {
        self.sends.get(&counter)
    }

    pub fn counters(&self) -> Vec<u64> {
        self.sends.keys().copied().collect()
    }

    /// A new send; it becomes ready with [`Outbox::on_stored`].
    pub fn push(&mut self, send: StoredSend) {
        let counter = send.counter;
        self.insert(counter, send, State::Storing);
    }

    fn insert(&mut self, counter: u64, send: StoredSend, state: State) {
        self.bytes += send.body.len();
        self.lanes.entry(send.conversation).or_default().undecided.insert(counter);
        let StoredSend { conversation, body_kind, body, kind, extras, .. } = send;
        let outgoing = Outgoing { conversation, body_kind, body, kind, extras, told_delayed: false, state };
        let replaced = self.sends.insert(counter, outgoing);
        assert!(replaced.is_none(), "counter {counter} was used before");
    }

    pub fn on_stored(&mut self, counter: u64) {
        let Some(send) = self.sends.get_mut(&counter) else { return };
        if send.state == State::Storing {
            send.state = State::Queued { resent: false };
            self.make_ready(counter);
        }
    }

    fn make_ready(&mut self, counter: u64) {
        let conversation = self.sends[&counter].conversation;
        if self.connected && !self.lanes[&conversation].stalled {
            self.ready.insert(counter);
        }
    }

    /// The next send to transmit, if there is one and the window has room. A conversation of which nothing was ever taken
    /// gets half of the window: perhaps nothing will be, and then the others need not wait.
    pub fn next_ready(&self, window: usize, was_taken: impl Fn(ConversationId) -> bool) -> Option<u64> {
        if self.in_flight.len() >= window {
            return None;
        }
        let untried_max = window.div_ceil(2);
        self.ready.iter().copied().find(|counter| {
            let conversation = self.sends[counter].conversation;
            let lane = &self.lanes[&conversation];
            match lane.doubtful_since_ms {
                Some(_) => lane.in_flight == 0,
                None => lane.in_flight < untried_max || was_taken(conversation),
            }
        })
    }

    /// The undecided send before this one in its conversation.
    pub fn undecided_before(&self, counter: u64) -> Option<u64> {
        let conversation = self.sends.get(&counter)?.conversation;
        self.lanes[&conversation].undecided.range(..counter).next_back().copied()
    }

    /// What the node said last about a conversation of which nothing else is known.
    pub fn last_taken(&self, conversation: ConversationId) -> u64 {
        self.lanes.get(&conversation).map_or(0, |lane| lane.last_taken)
    }

    pub fn on_transmitted(&mut self, counter: u64, request: u32, now_ms: u64) {
        let send = self.sends.get_mut(&counter).expect("a ready send");
        let State::Queued { resent } = send.state else { panic!("send {counter} was not queued") };
        send.state = State::InFlight { request, since_ms: now_ms, resent };
        self.ready.remove(&counter);
        self.in_flight.insert(counter);
        self.lanes.get_mut(&send.conversation).expect("its lane").in_flight += 1;
    }

    /// Whether an answer to this request is the one this send waits for (a late one counts too).
    pub fn waits_for(&self, counter: u64, request: u32) -> bool {
        match self.sends.get(&counter).map(|send| send.state) {
            Some(State::InFlight { request: current, .. }) => current == request,
            Some(State::Unanswered { .. }) => true,
            Some(State::Queued { .. } | State::Storing) | None => false,
        }
    }

    /// Taken by the node or given up: it leaves. `None` when it left before.
    pub fn decide(&mut self, counter: u64, taken: bool, now_ms: u64) -> Option<Outgoing> {
        let send = self.sends.remove(&counter)?;
        self.bytes -= send.body.len();
        self.ready.remove(&counter);
        let lane = self.lanes.get_mut(&send.conversation).expect("its lane");
        if lane.undecided.first() == Some(&counter) {
            lane.hold_until_ms = 0; // it is not waited for any more
        }
        lane.undecided.remove(&counter);
        if self.in_flight.remove(&counter) {
            lane.in_flight -= 1;
        }
        if taken {
            lane.setbacks = 0;
            if lane.doubtful_since_ms.take().is_some() && !lane.stalled {
                self.go_again(send.conversation);
            }
        }
        let lane = &self.lanes[&send.conversation];
        if lane.undecided.is_empty() {
            self.lanes.remove(&send.conversation);
            self.stalled.remove(&send.conversation);
        } else {
            self.restart(send.conversation, now_ms);
        }
        Some(send)
    }

    /// Refused for now: the lane goes back to its first send after the hold. `true` the first time for this send.
    pub fn on_delayed(&mut self, counter: u64, hold_ms: u64, now_ms: u64) -> bool {
        let Some(send) = self.sends.get_mut(&counter) else { return false };
        let first = !send.told_delayed;
        send.told_delayed = true;
        self.stall(counter, hold_ms, now_ms);
        first
    }

    /// Refused because one before it is not decided. The first times it goes back at once, then it takes its time: a
    /// node that silently ignores a send would be asked in a loop otherwise.
    pub fn on_out_of_order(&mut self, counter: u64, last_taken: u64, now_ms: u64) {
        let Some(send) = self.sends.get(&counter) else { return };
        let lane = self.lanes.get_mut(&send.conversation).expect("its lane");
        lane.last_taken = last_taken;
        if !lane.stalled {
            lane.setbacks += 1;
        }
        let hold_ms = match lane.setbacks {
            0..=2 => 0,
            setbacks => (100u64 << (setbacks - 3).min(10)).min(RETRY_MS_MAX),
        };
        self.stall(counter, hold_ms, now_ms);
    }

    fn stall(&mut self, counter: u64, hold_ms: u64, now_ms: u64) {
        let send = self.sends.get_mut(&counter).expect("an undecided send");
        let conversation = send.conversation;
        if let State::InFlight { resent, .. } = send.state {
            send.state = State::Queued { resent };
            self.in_flight.remove(&counter);
            self.lanes.get_mut(&conversation).expect("its lane").in_flight -= 1;
        }
        let lane = self.lanes.get_mut(&conversation).expect("its lane");
        lane.stalled = true;
        lane.hold_until_ms = lane.hold_until_ms.max(now_ms + hold_ms);
        for counter in &lane.undecided {
            self.ready.remove(counter);
        }
        self.stalled.insert(conversation);
        self.restart(conversation, now_ms);
    }

    /// Lets a stalled lane go on if nothing of it is on its way and its hold is over. What was not answered goes too:
    /// the later ones cannot be taken before it is.
    fn restart(&mut self, conversation: ConversationId, now_ms: u64) {
        let lane = self.lanes.get_mut(&conversation).expect("a lane");
        if !lane.stalled || lane.in_flight > 0 || now_ms < lane.hold_until_ms {
            return;
        }
        lane.stalled = false;
        self.stalled.remove(&conversation);
        self.go_again(conversation);
    }

    /// All of a conversation that is not in flight becomes ready, also what was not answered.
    fn go_again(&mut self, conversation: ConversationId) {
        for counter in &self.lanes[&conversation].undecided {
            let send = self.sends.get_mut(counter).expect("an undecided send");
            if let State::Unanswered { .. } = send.state {
                send.state = State::Queued { resent: true };
            }
            if self.connected && matches!(send.state, State::Queued { .. }) {
                self.ready.insert(*counter);
            }
        }
    }

    /// A new session: everything that may have been lost goes again, in order.
    pub fn on_connected(&mut self, now_ms: u64) {
        self.connected = true;
        for (counter, send) in &mut self.sends {
            match send.state {
                State::Storing => continue,
                State::InFlight { resent, .. } => send.state = State::Queued { resent },
                State::Unanswered { resent: false } => send.state = State::Queued { resent: true },
                State::Unanswered { resent: true } => continue,
                State::Queued { .. } => {}
            }
            if !self.lanes[&send.conversation].stalled {
                self.ready.insert(*counter);
            }
        }
        self.tick(now_ms);
    }

    pub fn on_disconnected(&mut self) {
        self.connected = false;
        self.ready.clear();
        self.in_flight.clear();
        for lane in self.lanes.values_mut() {
            lane.in_flight = 0;
        }
        for send in self.sends.values_mut() {
            if let State::InFlight { resent, .. } = send.state {
                send.state = State::Queued { resent };
            }
        }
    }

    /// Lets lanes go on whose hold is over; gives the sends that were not answered in time.
    pub fn tick(&mut self, now_ms: u64) -> Vec<u64> {
        let mut unanswered = Vec::new();
        for counter in self.in_flight.clone() {
            let send = self.sends.get_mut(&counter).expect("a send in flight");
            let State::InFlight { since_ms, resent, .. } = send.state else { panic!("send {counter}") };
            if now_ms >= since_ms + UNANSWERED_MS {
                send.state = State::Unanswered { resent };
                self.in_flight.remove(&counter);
                let conversation = send.conversation;
                let lane = self.lanes.get_mut(&conversation).expect("its lane");
                lane.in_flight -= 1;
                unanswered.push(counter);
                match lane.doubtful_since_ms {
                    // What was on its way before the doubt asks nothing about it.
                    Some(doubtful_since_ms) if since_ms >= doubtful_since_ms => {
                        self.give_way(conversation, &mut unanswered);
                    }
                    Some(_) => {}
                    None => lane.doubtful_since_ms = Some(now_ms),
                }
            }
        }
        for conversation in self.stalled.clone() {
            self.restart(conversation, now_ms);
        }
        unanswered
    }

    /// The one that asked was not answered either: those behind it, which cannot be taken before it, need not ask.
    fn give_way(&mut self, conversation: ConversationId, unanswered: &mut Vec<u64>) {
        for counter in &self.lanes[&conversation].undecided {
            let send = self.sends.get_mut(counter).expect("an undecided send");
            if let State::Queued { resent } = send.state {
                send.state = State::Unanswered { resent };
                self.ready.remove(counter);
                unanswered.push(*counter);
            }
        }
    }

    pub fn next_deadline_ms(&self) -> Option<u64> {
        let answers = self.in_flight.iter().filter_map(|counter| match self.sends[counter].state {
            State::InFlight { since_ms, .. } => Some(since_ms + UNANSWERED_MS),
            _ => None,
        });
        let holds = self.stalled.iter().filter_map(|conversation| {
            let lane = &self.lanes[conversation];
            (lane.in_flight == 0).then_some(lane.hold_until_ms)
        });
        answers.chain(holds).min()
    }

    pub fn check_invariants(&self) {
        assert!(self.sends.len() <= OUTGOING_MAX && self.bytes <= OUTGOING_BYTES_MAX);
        let lanes: usize = self.lanes.values().map(|lane| lane.undecided.len()).sum();
        assert_eq!(lanes, self.sends.len());
        for counter in &self.ready {
            assert!(matches!(self.sends[counter].state, State::Queued { .. }), "ready send {counter}");
            assert!(!self.lanes[&self.sends[counter].conversation].stalled);
        }
        for (conversation, lane) in &self.lanes {
            assert!(!lane.undecided.is_empty());
            assert_eq!(lane.stalled, self.stalled.contains(conversation));
            let in_flight = lane.undecided.iter().filter(|counter| self.in_flight.contains(counter));
            assert_eq!(in_flight.count(), lane.in_flight);
        }
    }
}
