//! How connections end.

use wire::message::Move;
use wire::{ConnectionId, Refusal, SessionId};

use super::Connections;
use super::reply::reconnect_ms;
use super::state::{Connection, State};
use crate::core::Core;
use crate::input::{CloseReason, SendClass};
use crate::mesh::{MeshFrame, SessionFrame, SessionPlace};

impl Connections {
    /// Ends a connection from here, telling the peer why where a refusal says it. Its place stays taken until `Closed`.
    pub(super) fn close(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        reason: CloseReason,
        refusal: Option<Refusal>,
    ) {
        if let Some(refusal) = refusal {
            let frame = core.encoder.closing(refusal);
            core.send(id, frame, SendClass::Reply);
        }
        core.close(id, reason);
        self.leave(core, id);
    }

    /// The socket is gone, whoever ended it.
    pub(crate) fn handle_closed(&mut self, core: &mut Core, id: ConnectionId) {
        self.leave(core, id);
        if let Some(Connection { address: Some(address), .. }) = self.table.remove(id) {
            self.addresses.close(core.now.mono_ms, address);
        }
    }

    /// Nothing comes from or goes to it any more: the others are told.
    fn leave(&mut self, core: &mut Core, id: ConnectionId) {
        let Some(connection) = self.table.find(id) else { return };
        match std::mem::replace(&mut connection.state, State::Closing) {
            State::Before(before) => {
                self.before_login -= 1;
                if let Some(placement) = before.placement {
                    core.control(
                        core.login_shard(),
                        MeshFrame::Session(SessionFrame::PlacementDone { placement }),
                    );
                }
            }
            State::LoggedIn(session) => {
                self.sessions -= 1;
                for conversation in session.follows.iter().flat_map(|follows| &follows.conversations) {
                    self.follows.remove(core, *conversation, id.index);
                }
                let place = SessionPlace {
                    shard: core.address,
                    connection: id,
                    session: session.session,
                    device: session.device,
                };
                let to = core.home(session.user.slot());
                core.control(
                    to,
                    MeshFrame::Session(SessionFrame::SessionClosed { user: session.user, place }),
                );
            }
            State::Closing => {}
        }
        self.wheel.clear(id.index);
    }

    /// The home ended the session.
    pub(crate) fn handle_end_session(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        session: SessionId,
        why: Refusal,
    ) {
        if self.table.find(id).is_some_and(|connection| connection.session(session).is_some()) {
            self.close(core, id, CloseReason::SessionEnded, Some(why));
        }
    }

    /// Looks at the connections whose deadline may have passed.
    pub(crate) fn handle_tick(&mut self, core: &mut Core) {
        let now_ms = core.now.mono_ms;
        while let Some(index) = self.wheel.take_due(now_ms) {
            let id =
                self.table.id_of(core.address.shard, index).expect("only open connections have deadlines");
            let connection = self.table.find(id).expect("it was found a moment ago");
            let (deadline_ms, reason) = match &connection.state {
                State::Before(before) => {
                    (before.opened_ms + core.config.login_ms_max, CloseReason::LoginTimeout)
                }
                State::LoggedIn(session) => {
                    let idle_ms = connection.heard_ms + core.config.idle.of(session.class);
                    match session.ends_ms().filter(|ends_ms| *ends_ms <= idle_ms) {
                        Some(ends_ms) => (ends_ms, CloseReason::SessionEnded),
                        None => (idle_ms, CloseReason::Idle),
                    }
                }
                State::Closing => unreachable!("an ended connection has no deadline"),
            };
            if deadline_ms > now_ms {
                self.wheel.set(now_ms, index, deadline_ms);
            } else {
                let refusal = match reason {
                    CloseReason::SessionEnded => Refusal::TokenRevoked,
                    _ => Refusal::TimedOut,
                };
                self.close(core, id, reason, Some(refusal));
            }
        }
    }

    /// The node stops: sessions are told to come back later and end with their last answer, the others end now.
    pub(crate) fn handle_stop(&mut self, core: &mut Core) {
        for id in self.table.ids(core.address.shard) {
            match &self.table.find(id).expect("it was listed a moment ago").state {
                State::Closing => {}
                State::Before(_) => self.close(core, id, CloseReason::Stopping, Some(Refusal::Stopping)),
                State::LoggedIn(session) => {
                    let is_idle = session.in_flight == 0;
                    let to = Move {
                        addresses: core.config.addresses.clone(),
                        reconnect_ms: reconnect_ms(core),
                        deadline_ms: 0, // as soon as its answers are out
                    };
                    let frame = core.encoder.move_away(&to);
                    core.send(id, frame, SendClass::Reply);
                    if is_idle {
                        self.close(core, id, CloseReason::Stopping, None);
                    }
                }
            }
        }
    }
}
