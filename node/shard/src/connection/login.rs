//! The four steps of a login, as far as the connection's shard has a part in them: it keeps the challenge and stamps
//! what only it knows on the proof; the home decides.

use wire::limits::{LABEL_LEN_MAX, LOGIN_FIELD_LEN_MAX};
use wire::message::DeviceClass;
use wire::scram::{ClientFirst, Mechanism, ScramError, check_mechanism};
use wire::{ConnectionId, DeviceId, Incoming, Refusal, body, verified};

use super::hello::mechanism;
use super::register::name_of;
use super::state::{Connection, Held, Start, Step};
use super::{Connections, No};
use crate::core::Core;
use crate::input::Security;
use crate::login::{LoginCommand, Proof};
use crate::mesh::{MeshFrame, SessionFrame};

impl Connections {
    pub(super) fn login_start(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        let start = verified::view::<body::LoginStart>(incoming.body)?;
        let before = self.table.find(id).and_then(Connection::before).expect("it logs in");
        let offered = mechanism(&before.security);
        let chosen = start.mechanism().and_then(Mechanism::from_name);
        if chosen != Some(offered) {
            return Err(Refusal::UnknownMechanism.into());
        }
        let message = text_of(start.client_first())?;
        let client_first = ClientFirst::parse(message).map_err(refusal_of)?;
        check_mechanism(offered, client_first.flag, offered == Mechanism::Sha256Plus).map_err(refusal_of)?;
        let name = name_of(Some(&client_first.name))?;
        let request = incoming.request;
        self.place(core, id, Held::Start(Start { request, name, client_first: Box::new(client_first) }));
        Ok(())
    }

    /// The challenge is used up, whatever comes of it.
    pub(super) fn login_proof(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        let connection = self.table.find(id).expect("it logs in");
        let address = connection.address.expect("a connection that stays is counted");
        let before = connection.before().expect("it logs in");
        let Step::Challenged(challenge) = std::mem::replace(&mut before.step, Step::Ready) else {
            unreachable!("the phase was checked");
        };
        let proof = verified::view::<body::LoginProof>(incoming.body)?;
        let client_final = text_of(proof.client_final())?.to_owned();
        let device_name = proof.device_name().unwrap_or_default();
        if device_name.len() > LABEL_LEN_MAX {
            return Err(No::with_detail(Refusal::BadField, LABEL_LEN_MAX as u64));
        }
        if !DeviceClass::ENUM_VALUES.contains(&proof.device_class()) {
            return Err(Refusal::BadField.into());
        }
        let binding = match &before.security {
            Security::Tls { binding } => binding.clone(),
            Security::Plain { .. } => None,
        };
        before.step = Step::Proving { request: incoming.request };
        let (to, reply_to) = (core.home(challenge.name.slot()), core.address);
        let command = LoginCommand::Proof(Box::new(Proof {
            name: challenge.name,
            address,
            exchange: challenge.exchange,
            age_ms: core.now.mono_ms - challenge.issued_ms,
            client_final,
            binding,
            device: DeviceId(proof.device()),
            device_name: device_name.to_owned(),
            device_class: proof.device_class().0,
        }));
        core.control(to, MeshFrame::Session(SessionFrame::Login { connection: id, reply_to, command }));
        Ok(())
    }
}

pub(super) fn text_of(message: Option<&str>) -> Result<&str, No> {
    let message = message.unwrap_or_default();
    if message.len() > LOGIN_FIELD_LEN_MAX {
        return Err(No::with_detail(Refusal::BadField, LOGIN_FIELD_LEN_MAX as u64));
    }
    Ok(message)
}

/// Before any account is looked at, a message that cannot be right may be told from a wrong password.
fn refusal_of(error: ScramError) -> No {
    match error {
        ScramError::Mechanism => Refusal::UnknownMechanism.into(),
        ScramError::Malformed => Refusal::BadField.into(),
        _ => Refusal::LoginFailed.into(),
    }
}
