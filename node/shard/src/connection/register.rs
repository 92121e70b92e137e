//! Registration: the node dictates salt and iterations, the client sends what SCRAM stores. The account is made at the
//! home of its name; the connection does not move for it.

use record::Credential;
use wire::limits::CODE_LEN_MAX;
use wire::message::RegisterTerms;
use wire::{ConnectionId, Incoming, Refusal, UserName, body, verified};

use super::state::{BeforeLogin, Connection, Step};
use super::{Connections, No};
use crate::core::Core;
use crate::input::{Security, SendClass};
use crate::login::{LoginCommand, Redeem, Register};
use crate::mesh::{MeshFrame, SessionFrame};

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
        give_terms(core, id, incoming.request, before);
        Ok(())
    }

    pub(super) fn code_start(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        let start = verified::view::<body::CodeStart>(incoming.body)?;
        let before = self.table.find(id).and_then(Connection::before).expect("it has a code");
        may_set_password(before)?;
        name_of(start.name())?;
        give_terms(core, id, incoming.request, before);
        Ok(())
    }

    /// A new password by a code. The connection does not move for it.
    pub(super) fn redeem_code(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        let redeem = verified::view::<body::RedeemCode>(incoming.body)?;
        let connection = self.table.find(id).expect("it has a code");
        let address = connection.address.expect("a connection that stays is counted");
        let before = connection.before().expect("it has a code");
        may_set_password(before)?;
        let name = name_of(redeem.name())?;
        let code = redeem.code().unwrap_or_default();
        if code.len() > CODE_LEN_MAX {
            return Err(No::with_detail(Refusal::BadField, CODE_LEN_MAX as u64));
        }
        let (stored_key, server_key) =
            keys_of(redeem.stored_key().map(|key| key.bytes()), redeem.server_key().map(|key| key.bytes()))?;
        let salt = before.salt.take().ok_or(Refusal::WrongPhase)?;
        let iterations = core.config.scram_iterations;
        before.step = Step::Registering { request: incoming.request };
        let credential = Credential::ScramSha256 { salt, iterations, stored_key, server_key };
        let (to, reply_to) = (core.home(name.slot()), core.address);
        let code_hash = wire::account::code_hash(code);
        let redeem = Box::new(Redeem { name, address, code_hash, credential });
        let command = LoginCommand::Redeem(redeem);
        core.control(to, MeshFrame::Session(SessionFrame::Login { connection: id, reply_to, command }));
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
        let (stored_key, server_key) = keys_of(
            register.stored_key().map(|key| key.bytes()),
            register.server_key().map(|key| key.bytes()),
        )?;
        // The keys are made with this connection's salt, once.
        let salt = before.salt.take().ok_or(Refusal::WrongPhase)?;
        let iterations = core.config.scram_iterations;
        before.step = Step::Registering { request: incoming.request };
        let written = register.name().unwrap_or_default().to_owned();
        let credential = Credential::ScramSha256 { salt, iterations, stored_key, server_key };
        let (to, reply_to) = (core.home(name.slot()), core.address);
        let command = LoginCommand::Register(Box::new(Register { name, written, credential }));
        core.control(to, MeshFrame::Session(SessionFrame::Login { connection: id, reply_to, command }));
        Ok(())
    }
}

fn may_register(core: &Core, before: &BeforeLogin) -> Result<(), No> {
    if !core.config.registration_open {
        return Err(Refusal::RegistrationClosed.into());
    }
    may_set_password(before)
}

/// Nobody between may read what a password can be guessed from.
fn may_set_password(before: &BeforeLogin) -> Result<(), No> {
    if before.security == (Security::Plain { loopback: false }) {
        return Err(Refusal::NotOnPlain.into());
    }
    Ok(())
}

/// Salt and rounds for a new password, which serve once on this connection.
fn give_terms(core: &mut Core, id: ConnectionId, request: u32, before: &mut BeforeLogin) {
    let salt = core.rng.bytes();
    before.salt = Some(salt);
    let terms = RegisterTerms { salt: salt.to_vec(), iterations: core.config.scram_iterations };
    let frame = core.encoder.register_terms(request, &terms);
    core.send(id, frame, SendClass::Reply);
}

/// SCRAM's StoredKey and ServerKey in a body.
pub(super) fn keys_of(
    stored_key: Option<&[u8]>,
    server_key: Option<&[u8]>,
) -> Result<([u8; 32], [u8; 32]), No> {
    let key = |key: Option<&[u8]>| key.and_then(|key| key.try_into().ok());
    match (key(stored_key), key(server_key)) {
        (Some(stored_key), Some(server_key)) => Ok((stored_key, server_key)),
        _ => Err(No::with_detail(Refusal::BadField, wire::scram::KEY_LEN as u64)),
    }
}

/// The comparable form of a name in a body.
pub(super) fn name_of(typed: Option<&str>) -> Result<UserName, No> {
    UserName::parse(typed.unwrap_or_default()).map_err(|_| Refusal::BadName.into())
}
