//! Registration: the node dictates salt and iterations, the client sends what SCRAM stores. The account is made at the
//! home of its name; the connection does not move for it.

use record::Credential;
use wire::message::RegisterTerms;
use wire::{ConnectionId, Incoming, Refusal, UserName, body, verified};

use super::state::{BeforeLogin, Connection, Step};
use super::{Connections, No};
use crate::core::Core;
use crate::input::{Security, SendClass};
use crate::login::{LoginCommand, Register};
use crate::mesh::MeshFrame;

impl Connections {
    pub(super) fn register_start(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        let start = verified::view::<body::RegisterStart>(incoming.body)?;
        let before = self.table.find(id).and_then(Connection::before).expect("it registers");
        may_register(core, before)?;
        name_of(start.name())?;
        let salt = core.rng.bytes();
        before.salt = Some(salt);
        let terms = RegisterTerms { salt: salt.to_vec(), iterations: core.config.scram_iterations };
        let frame = core.encoder.register_terms(incoming.request, &terms);
        core.send(id, frame, SendClass::Reply);
        Ok(())
    }

    pub(super) fn register(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        let register = verified::view::<body::Register>(incoming.body)?;
        let before = self.table.find(id).and_then(Connection::before).expect("it registers");
        may_register(core, before)?;
        let name = name_of(register.name())?;
        let stored_key = register.stored_key().and_then(|key| key.bytes().try_into().ok());
        let server_key = register.server_key().and_then(|key| key.bytes().try_into().ok());
        let (Some(stored_key), Some(server_key)) = (stored_key, server_key) else {
            return Err(No::with_detail(Refusal::BadField, wire::scram::KEY_LEN as u64));
        };
        // The keys are made with this connection's salt, once.
        let salt = before.salt.take().ok_or(Refusal::WrongPhase)?;
        let iterations = core.config.scram_iterations;
        before.step = Step::Registering { request: incoming.request };
        let written = register.name().unwrap_or_default().to_owned();
        let credential = Credential::ScramSha256 { salt, iterations, stored_key, server_key };
        let (to, reply_to) = (core.home(name.slot()), core.address);
        let command = LoginCommand::Register(Box::new(Register { name, written, credential }));
        core.control(to, MeshFrame::Login { connection: id, reply_to, command });
        Ok(())
    }
}

fn may_register(core: &Core, before: &BeforeLogin) -> Result<(), No> {
    if !core.config.registration_open {
        return Err(Refusal::RegistrationClosed.into());
    }
    if before.security == (Security::Plain { loopback: false }) {
        return Err(Refusal::NotOnPlain.into());
    }
    Ok(())
}

/// The comparable form of a name in a body.
pub(super) fn name_of(typed: Option<&str>) -> Result<UserName, No> {
    UserName::parse(typed.unwrap_or_default()).map_err(|_| Refusal::BadName.into())
}
