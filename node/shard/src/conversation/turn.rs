//! What one turn adds to a conversation, until its batch goes: events for the sessions of both users, and answers.

use std::sync::Arc;

use bytes::Bytes;
use wire::template::SENT_FRAME_LEN;
use wire::{SessionId, UserId};

use crate::core::{After, Core};
use crate::limits::FRAMES_TOGETHER_BYTES_MAX;
use crate::mesh::{Caller, PushEvent};

use super::state::Conversation;

/// What changed in this turn and is written at its end. Only a conversation that did has one.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The marks of the lower, the higher user moved by a `Mark`.
    pub marked: [bool; 2],
    /// Marks that the lower, the higher user is to know of. All entries are for both.
    pub concerned: [bool; 2],
    /// Entries that were added.
    pub entries: u32,
    /// Some of them have extras.
    pub rich: bool,
    /// Whole frames, in order.
    events: Vec<u8>,
    parts: Vec<Part>,
    /// Whole `Sent` frames of one session.
    sent: Vec<u8>,
    sender: Option<Caller>,
    sends: u16,
}

/// Events for the same sessions.
#[derive(Clone, Copy, Debug)]
struct Part {
    end: usize,
    messages: u32,
    except: Option<SessionId>,
    only: Option<UserId>,
}

impl Turn {
    /// Appends an event that `write` makes, for all sessions but one. `messages` is how many it counts as.
    pub fn add_event(&mut self, except: Option<SessionId>, messages: u32, write: impl FnOnce(&mut Vec<u8>)) {
        self.add_event_for(None, except, messages, write);
    }

    /// The same for the sessions of one of the two users only.
    pub fn add_event_for(
        &mut self,
        only: Option<UserId>,
        except: Option<SessionId>,
        messages: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        write(&mut self.events);
        let end = self.events.len();
        let before = self.parts.len().checked_sub(2).map_or(0, |index| self.parts[index].end);
        match self.parts.last_mut() {
            Some(part)
                if (part.except, part.only) == (except, only)
                    && end - before <= FRAMES_TOGETHER_BYTES_MAX =>
            {
                part.end = end;
                part.messages += messages;
            }
            _ => self.parts.push(Part { end, messages, except, only }),
        }
    }

    /// The answers that have not left yet.
    pub fn take_sent(&mut self) -> Option<After> {
        let caller = self.sender.take()?;
        let (sends, frames) = (std::mem::take(&mut self.sends), Bytes::copy_from_slice(&self.sent));
        self.sent.clear();
        Some(After::Sent { caller, sends, frames })
    }

    /// All events in one buffer, and the parts of it by whom they are for.
    pub fn take_events(&mut self) -> (Bytes, Arc<[PushEvent]>) {
        let all = Bytes::copy_from_slice(&self.events);
        let mut begin = 0;
        let event = |part: Part| {
            let frames = all.slice(begin..part.end);
            begin = part.end;
            PushEvent { frames, messages: part.messages, except: part.except, only: part.only }
        };
        let events = self.parts.drain(..).map(event).collect();
        self.events.clear();
        (all, events)
    }
}

impl Conversation {
    /// A send was taken: `write` appends its answer, which leaves when the turn's batch is on disk.
    pub fn add_sent(&mut self, core: &mut Core, caller: Caller, write: impl FnOnce(&mut Core, &mut Vec<u8>)) {
        let place = self.turn().sender.map(|sender| sender.place);
        if place.is_some_and(|place| place != caller.place) {
            self.flush_sent(core);
        }
        let turn = self.turn();
        turn.sender.get_or_insert(caller);
        turn.sends += 1;
        write(core, &mut turn.sent);
        if turn.sent.len() > FRAMES_TOGETHER_BYTES_MAX - SENT_FRAME_LEN {
            self.flush_sent(core);
        }
    }

    /// What was answered so far leaves before what is answered next.
    pub fn flush_sent(&mut self, core: &mut Core) {
        if let Some(after) = self.turn.as_mut().and_then(|turn| turn.take_sent()) {
            core.after(self.id.slot(), self.stamp, after);
        }
    }
}

/// Emptied turns, with their buffers.
#[derive(Debug, Default)]
#[allow(clippy::vec_box)] // a turn goes to its conversation and back as a pointer
pub(super) struct SpareTurns(Vec<Box<Turn>>);

/// Turns that are kept, and the longest buffer that is kept in one of them.
const SPARE_TURNS_MAX: usize = 1_024;
const SPARE_BYTES_MAX: usize = 16 * 1024;

impl SpareTurns {
    pub fn take(&mut self) -> Box<Turn> {
        self.0.pop().unwrap_or_default()
    }

    /// A turn whose events were taken and whose answers have left.
    pub fn put(&mut self, mut turn: Box<Turn>) {
        assert!(turn.events.is_empty() && turn.parts.is_empty() && turn.sender.is_none());
        if self.0.len() < SPARE_TURNS_MAX
            && turn.events.capacity().max(turn.sent.capacity()) <= SPARE_BYTES_MAX
        {
            (turn.marked, turn.concerned, turn.entries) = ([false; 2], [false; 2], 0);
            turn.rich = false;
            self.0.push(turn);
        }
    }
}
