//! New connections, and those that come from another shard.

use std::net::IpAddr;

use wire::{ConnectionId, Refusal};

use super::state::{BeforeLogin, Connection, State, Step};
use super::{Connections, Transfer, address};
use crate::core::Core;
use crate::input::{CloseReason, Effect, Security};
use crate::limits::UNAUTHENTICATED_MAX;

/// Why a connection is turned away.
struct Away {
    reason: CloseReason,
    refusal: Refusal,
}

const STOPPING: Away = Away { reason: CloseReason::Stopping, refusal: Refusal::Stopping };
const TOO_MANY: Away = Away { reason: CloseReason::TooManyConnections, refusal: Refusal::Busy };
const TOO_MANY_OF_ADDRESS: Away =
    Away { reason: CloseReason::TooManyFromAddress, refusal: Refusal::TooManyFromAddress };

impl Connections {
    /// A connection was accepted. It is told why when it cannot stay.
    pub(crate) fn handle_opened(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        peer: IpAddr,
        security: Security,
    ) {
        let now_ms = core.now.mono_ms;
        let shares = u32::from(core.ownership.shards());
        let before_login_max = core.config.unauthenticated_max.div_ceil(shares);
        let of_address_max = core.config.connections_per_address_max.div_ceil(shares);
        let address = address::whom(peer);
        let state = State::Before(Box::new(BeforeLogin::new(security, now_ms)));
        let connection = Connection { address: None, heard_ms: now_ms, malformed: 0, state };
        self.keep(core, id, connection, address, before_login_max, of_address_max);
    }

    /// A connection arrives where its session will live, and the command it brought along is carried out. An address may
    /// have twice its share here, since its sessions need not be spread as evenly as its connections.
    pub(crate) fn handle_adopted(&mut self, core: &mut Core, id: ConnectionId, transfer: Transfer) {
        let Transfer { mut connection } = transfer;
        let shares = u32::from(core.ownership.shards());
        let of_address_max = core.config.connections_per_address_max.div_ceil(shares).saturating_mul(2);
        let address = connection.address.take().expect("a connection that moves is counted");
        if !self.keep(core, id, connection, address, UNAUTHENTICATED_MAX as u32, of_address_max) {
            return;
        }
        core.effects.push(Effect::Settle { connection: id });
        let before = self.table.find(id).and_then(Connection::before).expect("it was put there a moment ago");
        before.settled = true;
        match std::mem::replace(&mut before.step, Step::Ready) {
            Step::Parked(held) => self.proceed(core, id, held),
            step => unreachable!("a connection moves with a command that waits, not at {step:?}"),
        }
    }

    fn keep(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        mut connection: Connection,
        address: IpAddr,
        before_login_max: u32,
        of_address_max: u32,
    ) -> bool {
        let now_ms = core.now.mono_ms;
        let away = if core.stopping {
            Some(STOPPING)
        } else if self.before_login >= before_login_max.min(UNAUTHENTICATED_MAX as u32) {
            Some(TOO_MANY)
        } else if self.addresses.connections(address) >= of_address_max {
            Some(TOO_MANY_OF_ADDRESS)
        } else if !self.addresses.open(now_ms, address) {
            Some(TOO_MANY)
        } else {
            connection.address = Some(address);
            None
        };
        let opened_ms = connection.before().expect("it has not logged in").opened_ms;
        self.table.insert(id, connection);
        self.before_login += 1;
        self.wheel.set(now_ms, id.index, opened_ms + core.config.login_ms_max);
        if let Some(Away { reason, refusal }) = away {
            self.close(core, id, reason, Some(refusal));
            return false;
        }
        true
    }
}
