//! Commands of a session: to the home of what they concern, and their answers back. A command that finds no room is
//! refused before anything is stored.

use bytes::Bytes;
use wire::command::Rate;
use wire::frame;
use wire::limits::WINDOW_MAX;
use wire::message::{MarkKind, Send};
use wire::{
    Command, ConnectionId, ConversationId, Event, Incoming, Notices, OwnerKey, Refusal, SessionId,
    ShardAddress,
};

use super::home_command::{Sending, conversation_of, home_command, send};
use super::state::{HeldMark, Session, State};
use super::{Connections, Costs, No};
use crate::core::Core;
use crate::follow::{Above, Following};
use crate::input::{CloseReason, SendClass};
use crate::limits::{ACTIVE_TOLD_MS, BUSY_RETRY_MS, COMMANDS_IN_FLIGHT_MAX, LONG_READS_IN_FLIGHT_MAX};
use crate::mesh::{Caller, HomeCommand, MarkFor, MeshFrame, SessionFrame, SessionPlace};

/// A send whose home is this very shard: carried out from the buffer it came in.
#[derive(Debug)]
pub(crate) struct LocalSend<'a> {
    pub caller: Caller,
    pub conversation: ConversationId,
    pub send: Send<'a>,
}

impl Connections {
    /// Gives back what is to be carried out at once; everything else is on its way.
    pub(super) fn forward<'a>(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'a>,
    ) -> Result<Option<LocalSend<'a>>, No> {
        let connection = self.table.find(id).expect("it sent a command");
        let address = connection.address;
        let State::LoggedIn(session) = &mut connection.state else {
            unreachable!("the phase was checked");
        };
        if core.stopping {
            return Err(Refusal::Stopping.into());
        }
        session.charge(core.now.mono_ms, &self.costs, incoming.command)?;
        session.check_room(incoming.command)?;
        if let OwnerKey::Conversation(conversation) = incoming.owner
            && !conversation.is_private()
        {
            session.check_notices(conversation, incoming.command)?;
        }
        let place = SessionPlace {
            shard: core.address,
            connection: id,
            session: session.session,
            device: session.device,
        };
        let caller =
            Caller { user: session.user, place, request: incoming.request, command: incoming.command };
        if incoming.command == Command::Send {
            let conversation = conversation_of(incoming);
            if core.is_home(conversation.slot())
                && let Sending::Plain(send) = send(incoming.body)?
            {
                session.tell_active(core, place);
                session.begin(Command::Send);
                return Ok(Some(LocalSend { caller, conversation, send }));
            }
        }
        let marks_for = session.marks_for;
        let address = address.expect("a connection that stays is counted");
        let (slot, command) = home_command(incoming, session, &self.follows, address)?;
        let to = core.home(slot);
        let is_of_person = is_of_a_person(incoming.command, &command);
        if marks_for.is_none() && matches!(command, HomeCommand::Mark(..)) {
            if is_of_person {
                session.tell_active(core, place);
            }
            session.hold_mark(caller, to, command);
            return Ok(None);
        }
        if !begin(core, to) {
            return Err(No::after_ms(Refusal::Busy, BUSY_RETRY_MS));
        }
        if is_of_person {
            session.tell_active(core, place);
        }
        session.begin(incoming.command);
        let sent = core.deliver(to, MeshFrame::Forward { caller, command });
        assert!(sent.is_ok(), "there was a credit a moment ago");
        Ok(None)
    }

    /// Whether others may see the marks of this session from now on. Those that waited for it go.
    pub(crate) fn handle_standing(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        session: SessionId,
        hidden: bool,
    ) {
        let Some(session) = self.table.find(id).and_then(|found| found.session(session)) else { return };
        let shown_to = if hidden { MarkFor::Own } else { MarkFor::Both };
        session.marks_for = Some(shown_to);
        let Some(held) = session.held_marks.take() else { return };
        for HeldMark { caller, to, conversation, kind, seq } in held.0 {
            if !begin(core, to) {
                let refused = core.encoder.refused(caller.request, Refusal::Busy, 0, BUSY_RETRY_MS);
                core.counters.refused(Refusal::Busy);
                self.handle_answer(core, caller, refused);
                continue;
            }
            let command = HomeCommand::Mark(conversation, kind, seq, shown_to);
            let sent = core.deliver(to, MeshFrame::Forward { caller, command });
            assert!(sent.is_ok(), "there was a credit a moment ago");
        }
    }

    /// As in the first moment of a session, whose home has not told yet who may see its marks.
    #[cfg(test)]
    pub(crate) fn forget_standing(&mut self, id: ConnectionId) {
        let connection = self.table.find(id).expect("an open one");
        let State::LoggedIn(session) = &mut connection.state else { panic!("not logged in") };
        session.marks_for = None;
    }

    /// The answers of some sends. They are for a session that may be gone.
    pub(crate) fn handle_sent(&mut self, core: &mut Core, caller: Caller, sends: u16, frames: Bytes) {
        let id = caller.place.connection;
        let session = self.table.find(id).and_then(|found| found.session(caller.place.session));
        let Some(session) = session else {
            core.counters.late_answers += u64::from(sends);
            return;
        };
        session.in_flight -= sends;
        session.sends -= sends;
        let is_last = session.in_flight == 0;
        core.send(id, frames, SendClass::Reply);
        if core.stopping && is_last {
            self.close(core, id, CloseReason::Stopping, None);
        }
    }

    /// A command that is not answered. It is of a session that may be gone.
    pub(crate) fn handle_unanswered(&mut self, core: &mut Core, caller: Caller) {
        let id = caller.place.connection;
        let session = self.table.find(id).and_then(|found| found.session(caller.place.session));
        let Some(session) = session else { return };
        session.end(caller.command);
        if core.stopping && session.in_flight == 0 {
            self.close(core, id, CloseReason::Stopping, None);
        }
    }

    /// The answer of a command, with what the session follows from now on.
    pub(crate) fn handle_answer_following(
        &mut self,
        core: &mut Core,
        caller: Caller,
        answer: Bytes,
        following: Following,
        above: Above<'_>,
    ) {
        let Some(is_last) = self.end_command(core, caller) else { return };
        let id = caller.place.connection;
        self.answer_following(core, id, answer, following, above);
        if core.stopping && is_last {
            self.close(core, id, CloseReason::Stopping, None);
        }
    }

    /// A command has its answer. Says whether it was the last one without; `None` when the session is gone.
    fn end_command(&mut self, core: &mut Core, caller: Caller) -> Option<bool> {
        let found = self.table.find(caller.place.connection);
        let Some(session) = found.and_then(|found| found.session(caller.place.session)) else {
            core.counters.late_answers += 1;
            return None;
        };
        session.end(caller.command);
        Some(session.in_flight == 0)
    }

    /// The answer of a command. It is for a session that may be gone.
    pub(crate) fn handle_answer(&mut self, core: &mut Core, caller: Caller, answer: Bytes) {
        let Some(is_last) = self.end_command(core, caller) else { return };
        let id = caller.place.connection;
        let is_over = caller.command == Command::Logout && event_of(&answer) == Some(Event::LoggedOut);
        core.send(id, answer, SendClass::Reply);
        if is_over {
            self.close(core, id, CloseReason::LoggedOut, None);
        } else if core.stopping && is_last {
            self.close(core, id, CloseReason::Stopping, None);
        }
    }
}

/// Reserves room on the way there and for the answer back. This very shard always has room: what is in flight within it
/// is bounded by its sessions.
fn begin(core: &mut Core, to: ShardAddress) -> bool {
    if to == core.address {
        return true;
    }
    if !core.lanes.has_credit(to) {
        core.counters.lane_full += 1;
        return false;
    }
    core.lanes.begin_forward(to)
}

fn event_of(answer: &[u8]) -> Option<Event> {
    let (header, _) = frame::split(answer.get(frame::LENGTH_LEN..)?).ok()?;
    Event::from_id(header.id)
}

/// Whether a person wanted it. The rest a client sends by itself, also when nobody sits in front of it.
fn is_of_a_person(command: Command, forwarded: &HomeCommand) -> bool {
    !command.is_of_client() && !matches!(forwarded, HomeCommand::Mark(_, MarkKind::Delivered, ..))
}

impl Session {
    /// Tells the home now and then that somebody is active.
    fn tell_active(&mut self, core: &mut Core, place: SessionPlace) {
        let now_s = (core.now.mono_ms / 1_000) as u32;
        if now_s >= self.active_told_s {
            self.active_told_s = now_s + (ACTIVE_TOLD_MS / 1_000) as u32;
            let (to, user) = (core.home(self.user.slot()), self.user);
            core.control(to, MeshFrame::Session(SessionFrame::Active { user, place }));
        }
    }

    fn charge(&mut self, now_ms: u64, costs: &Costs, command: Command) -> Result<(), No> {
        let taken = match command.row().rate {
            Rate::Message => self.messages.take(now_ms, costs.message),
            Rate::Query => self.queries.take(now_ms, costs.query),
            Rate::Light | Rate::Login => self.light.take(now_ms, costs.light),
        };
        taken.map_err(|retry_ms| No::after_ms(Refusal::TooManyRequests, retry_ms))
    }

    /// Notices are read by those who follow them, and by the one they are for; clients do nothing else with them.
    fn check_notices(&self, conversation: ConversationId, command: Command) -> Result<(), No> {
        if !matches!(command, Command::Pull | Command::Mark) {
            return Err(Refusal::NotMember.into());
        }
        let allowed = match conversation.notice() {
            Some(Notices::All | Notices::Adverts) => true,
            Some(Notices::Department(_)) => match &self.follows {
                Some(follows) => follows.conversations.contains(&conversation),
                // Before its first `Sync` nobody knows.
                None if self.adverts.is_none() => return Err(No::after_ms(Refusal::Busy, BUSY_RETRY_MS)),
                None => false,
            },
            None => conversation.has(self.user),
        };
        if allowed { Ok(()) } else { Err(Refusal::NotMember.into()) }
    }

    fn check_room(&self, command: Command) -> Result<(), No> {
        if command == Command::Send && self.sends >= WINDOW_MAX {
            return Err(No::with_detail(Refusal::WindowFull, u64::from(WINDOW_MAX)));
        }
        let is_full = self.in_flight >= COMMANDS_IN_FLIGHT_MAX
            || (command == Command::Pull && self.pulls >= LONG_READS_IN_FLIGHT_MAX)
            || (matches!(
                command,
                Command::Sync | Command::SyncContacts | Command::SyncOrg | Command::SyncPresence
            ) && self.syncs >= LONG_READS_IN_FLIGHT_MAX);
        if is_full { Err(No::after_ms(Refusal::Busy, BUSY_RETRY_MS)) } else { Ok(()) }
    }

    /// Its home has not told yet who may see it.
    fn hold_mark(&mut self, caller: Caller, to: ShardAddress, command: HomeCommand) {
        let HomeCommand::Mark(conversation, kind, seq, _) = command else { unreachable!("not a mark") };
        self.begin(Command::Mark);
        let held = HeldMark { caller, to, conversation, kind, seq };
        self.held_marks.get_or_insert_default().0.push(held);
    }

    fn begin(&mut self, command: Command) {
        self.in_flight += 1;
        match command {
            Command::Send => self.sends += 1,
            Command::Pull => self.pulls += 1,
            Command::Sync | Command::SyncContacts | Command::SyncOrg | Command::SyncPresence => {
                self.syncs += 1
            }
            _ => {}
        }
    }

    fn end(&mut self, command: Command) {
        self.in_flight -= 1;
        match command {
            Command::Send => self.sends -= 1,
            Command::Pull => self.pulls -= 1,
            Command::Sync | Command::SyncContacts | Command::SyncOrg | Command::SyncPresence => {
                self.syncs -= 1
            }
            _ => {}
        }
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.in_flight <= COMMANDS_IN_FLIGHT_MAX);
        assert!(self.sends <= WINDOW_MAX);
        assert!(self.pulls <= LONG_READS_IN_FLIGHT_MAX && self.syncs <= LONG_READS_IN_FLIGHT_MAX);
        let held = self.held_marks.as_ref().map_or(0, |held| held.0.len());
        assert!(held <= usize::from(self.in_flight) && (held == 0 || self.marks_for.is_none()));
        assert!(u16::from(self.pulls) + u16::from(self.syncs) + self.sends <= self.in_flight);
    }
}
