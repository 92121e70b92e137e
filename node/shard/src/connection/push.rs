//! Events that a session did not ask for. A hint each; who reads too slowly is told to sync instead.

use bytes::Bytes;
use wire::frame::{self, LENGTH_LEN};
use wire::{ConnectionId, Event, SessionId};

use super::Connections;
use super::state::State;
use crate::core::Core;
use crate::input::SendClass;

impl Connections {
    /// Whole frames from the user's home, so many of them messages.
    pub(crate) fn handle_push(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        session: SessionId,
        frames: Bytes,
        messages: u32,
    ) {
        match self.table.find(id).and_then(|found| found.session(session)) {
            Some(session) if !session.slow => {
                core.counters.pushes += 1;
                core.counters.deliveries += u64::from(messages);
                if messages == 0 && is_sync_needed(&frames) {
                    core.counters.syncs_needed += 1;
                }
                core.send(id, frames, SendClass::Push);
            }
            _ => core.counters.pushes_dropped += 1,
        }
    }

    /// The queue of pushes overflowed and was dropped.
    pub(crate) fn handle_overflowed(&mut self, core: &mut Core, id: ConnectionId) {
        if let Some(State::LoggedIn(session)) = self.table.find(id).map(|found| &mut found.state) {
            session.slow = true;
            core.counters.slow_readers += 1;
        }
    }

    /// It has caught up: from here on pushes reach it again, and what it missed it has to ask for.
    pub(crate) fn handle_drained(&mut self, core: &mut Core, id: ConnectionId) {
        if let Some(State::LoggedIn(session)) = self.table.find(id).map(|found| &mut found.state)
            && session.slow
        {
            session.slow = false;
            core.counters.syncs_needed += 1;
            let frame = core.encoder.sync_needed();
            core.send(id, frame, SendClass::Notice);
        }
    }
}

fn is_sync_needed(frames: &[u8]) -> bool {
    let header = frames.get(LENGTH_LEN..).and_then(|frame| frame::split(frame).ok());
    header.is_some_and(|(header, _)| Event::from_id(header.id) == Some(Event::SyncNeeded))
}
