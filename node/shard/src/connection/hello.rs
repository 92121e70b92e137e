//! The greeting, and what a connection may ask at any time.

use wire::limits::{LABEL_LEN_MAX, MESSAGE_BODY_LEN_MAX, VERSION_MAX, VERSION_MIN, WINDOW_MAX};
use wire::message::Welcome;
use wire::scram::Mechanism;
use wire::{Command, ConnectionId, Incoming, Refusal, body, verified};

use super::state::{Connection, Step};
use super::{Connections, No};
use crate::core::Core;
use crate::input::{CloseReason, Security, SendClass};

/// The mechanism of a connection: there is exactly one, so nobody in between can talk a client into a weaker one.
pub(super) fn mechanism(security: &Security) -> Mechanism {
    match security {
        Security::Tls { binding: Some(_) } => Mechanism::Sha256Plus,
        Security::Tls { binding: None } | Security::Plain { .. } => Mechanism::Sha256,
    }
}

impl Connections {
    /// Draws on the allowance of the command's class: of the address for steps of a login, else of the connection.
    pub(super) fn charge_before_login(
        &mut self,
        core: &Core,
        id: ConnectionId,
        command: Command,
    ) -> Result<(), No> {
        let now_ms = core.now.mono_ms;
        let connection = self.table.find(id).expect("its frame is being handled");
        if command.row().rate == wire::command::Rate::Login {
            let address = connection.address.expect("a connection that stays is counted");
            let taken = self.addresses.take_login(now_ms, address, self.costs.login);
            taken.map_err(|retry_ms| No::after_ms(Refusal::TooManyFromAddress, retry_ms))
        } else {
            let before = connection.before().expect("it has not logged in");
            let taken = before.light.take(now_ms, self.costs.light);
            taken.map_err(|retry_ms| No::after_ms(Refusal::TooManyRequests, retry_ms))
        }
    }

    pub(super) fn hello(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        let hello = verified::view::<body::Hello>(incoming.body)?;
        let (min, max) = (hello.version_min(), hello.version_max());
        if min > max {
            return Err(Refusal::BadField.into());
        }
        if hello.software().is_some_and(|software| software.len() > LABEL_LEN_MAX) {
            return Err(No::with_detail(Refusal::BadField, LABEL_LEN_MAX as u64));
        }
        if max < VERSION_MIN || min > VERSION_MAX {
            let range = u64::from(VERSION_MIN) << 16 | u64::from(VERSION_MAX);
            core.refuse(id, incoming.request, Refusal::UnsupportedVersion, range, 0);
            self.close(core, id, CloseReason::UnsupportedVersion, None);
            return Ok(());
        }
        let before = self.table.find(id).and_then(Connection::before).expect("it greets");
        before.step = Step::Ready;
        let welcome = Welcome {
            version: max.min(VERSION_MAX),
            features: 0, // of those the client knows; there are none yet
            software: core.config.software.clone(),
            time_ms: core.now.wall_ms,
            registration_open: core.config.registration_open,
            mechanisms: vec![mechanism(&before.security).name().to_owned()],
            idle_ms_max: core.config.idle.shortest() as u32,
            body_bytes_max: MESSAGE_BODY_LEN_MAX as u32,
            window: WINDOW_MAX,
        };
        let frame = core.encoder.welcome(incoming.request, &welcome);
        core.send(id, frame, SendClass::Reply);
        Ok(())
    }

    /// A heartbeat, in any phase. That it came is all that counts; the time in it goes back as it came.
    pub(super) fn ping(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        if let super::State::LoggedIn(session) = &mut self.table.find(id).expect("it pings").state {
            let taken = session.light.take(core.now.mono_ms, self.costs.light);
            taken.map_err(|retry_ms| No::after_ms(Refusal::TooManyRequests, retry_ms))?;
        }
        let time_ms = verified::view::<body::Ping>(incoming.body)?.time_ms();
        let frame = core.encoder.pong(incoming.request, time_ms);
        core.send(id, frame, SendClass::Reply);
        Ok(())
    }

    /// One node is one place: the answer is the same for every name. Several nodes will look at the name.
    pub(super) fn where_to_connect(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        verified::view::<body::WhereToConnect>(incoming.body)?;
        let frame = core.encoder.connect(incoming.request, &core.config.addresses);
        core.send(id, frame, SendClass::Reply);
        Ok(())
    }
}
