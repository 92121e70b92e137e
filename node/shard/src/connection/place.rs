//! Where a session lives. Before its first step of a login a connection is parked, and moves at most once.

use wire::{ConnectionId, Slot};

use super::state::{Connection, Held, State, Step};
use super::{Connections, Transfer};
use crate::core::Core;
use crate::input::Effect;
use crate::login::LoginCommand;
use crate::mesh::{MeshFrame, SessionFrame};
use crate::placement::Placement;

impl Held {
    fn slot(&self) -> Slot {
        match self {
            Held::Start(start) => start.name.slot(),
            Held::Resume { contents, .. } => contents.user.slot(),
            Held::Token { proof, .. } => proof.user.slot(),
        }
    }
}

impl Connections {
    /// Carries out the command, now if the connection is where it stays, or when it is.
    pub(super) fn place(&mut self, core: &mut Core, id: ConnectionId, held: Held) {
        let before = self.table.find(id).and_then(Connection::before).expect("it logs in");
        if before.settled {
            self.proceed(core, id, held);
            return;
        }
        let (home, reply_to) = (core.home(held.slot()), core.address);
        before.step = Step::Parked(held);
        core.control(
            core.login_shard(),
            MeshFrame::Session(SessionFrame::Place { connection: id, reply_to, home }),
        );
    }

    /// The login shard's answer.
    pub(crate) fn handle_placed(&mut self, core: &mut Core, id: ConnectionId, placement: Placement) {
        let parked = self.table.find(id).and_then(Connection::before);
        let Some(before) = parked.filter(|before| matches!(before.step, Step::Parked(_))) else {
            core.control(core.login_shard(), MeshFrame::Session(SessionFrame::PlacementDone { placement }));
            return;
        };
        before.placement = Some(placement);
        if placement.shard != core.address {
            self.hand_off(core, id, placement);
            return;
        }
        before.settled = true;
        let Step::Parked(held) = std::mem::replace(&mut before.step, Step::Ready) else {
            unreachable!("it was parked a moment ago");
        };
        core.effects.push(Effect::Settle { connection: id });
        self.proceed(core, id, held);
    }

    fn hand_off(&mut self, core: &mut Core, id: ConnectionId, placement: Placement) {
        let connection = self.table.remove(id).expect("it was found a moment ago");
        assert!(matches!(connection.state, State::Before(_)));
        self.wheel.clear(id.index);
        self.before_login -= 1;
        let address = connection.address.expect("a connection that stays is counted");
        self.addresses.close(core.now.mono_ms, address);
        core.counters.handoffs += 1;
        let transfer = Box::new(Transfer { connection });
        core.effects.push(Effect::HandOff { connection: id, to: placement.shard, transfer });
    }

    /// The connection is where it stays: its command goes to the user's home.
    pub(super) fn proceed(&mut self, core: &mut Core, id: ConnectionId, held: Held) {
        let connection = self.table.find(id).expect("it logs in");
        let address = connection.address.expect("a connection that stays is counted");
        let before = connection.before().expect("it logs in");
        let (to, reply_to) = (core.home(held.slot()), core.address);
        let command = match held {
            Held::Start(start) => {
                let name = start.name.clone();
                before.step = Step::Starting(start);
                LoginCommand::Start { name, address }
            }
            Held::Resume { request, contents, uver } => {
                before.step = Step::Resuming { request, uver };
                LoginCommand::Resume { contents, address }
            }
            Held::Token { request, proof } => {
                before.step = Step::ProvingToken { request };
                LoginCommand::Token(proof)
            }
        };
        core.control(to, MeshFrame::Session(SessionFrame::Login { connection: id, reply_to, command }));
    }
}
