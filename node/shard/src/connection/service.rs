//! Logins with a token, and what an operator does over the protocol: what the connection's shard checks of it.

use wire::limits::{LABEL_LEN_MAX, PAIRS_MAX, TOKEN_LABEL_LEN_MAX};
use wire::message::DeviceClass;
use wire::token::{Scopes, Secret};
use wire::{
    Command, ConnectionId, ConversationId, DeviceId, Incoming, OwnerKey, Refusal, Slot, body, verified,
};

use super::home_command::text;
use super::operator;
use super::register::name_of;
use super::state::{Held, Session};
use super::{Connections, No};
use crate::core::Core;
use crate::input::Security;
use crate::login::{NewToken, TokenProof};
use crate::mesh::HomeCommand;

impl Connections {
    /// The secret goes no further than this: the home compares its hash.
    pub(super) fn token_login(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        let view = verified::view::<body::TokenLogin>(incoming.body)?;
        let OwnerKey::User(user) = incoming.owner else { unreachable!("its row has a user's key") };
        let connection = self.table.find(id).expect("it logs in");
        let address = connection.address.expect("a connection that stays is counted");
        let before = connection.before().expect("it logs in");
        if before.security == (Security::Plain { loopback: false }) {
            return Err(Refusal::NotOnPlain.into());
        }
        let secret = view.secret().and_then(|secret| secret.bytes().try_into().ok());
        let secret =
            secret.ok_or_else(|| No::with_detail(Refusal::BadField, wire::token::SECRET_LEN as u64))?;
        if !DeviceClass::ENUM_VALUES.contains(&view.device_class()) {
            return Err(Refusal::BadField.into());
        }
        let proof = Box::new(TokenProof {
            user,
            number: view.number(),
            hash: Secret(secret).hash(),
            address,
            device: DeviceId(view.device()),
            device_name: text(view.device_name(), LABEL_LEN_MAX)?,
            device_class: view.device_class().0,
        });
        self.place(core, id, Held::Token { request: incoming.request, proof });
        Ok(())
    }
}

/// A command of a token's session.
pub(super) fn home_command(incoming: &Incoming<'_>, session: &Session) -> Result<(Slot, HomeCommand), No> {
    let granted = session.scopes();
    match incoming.command {
        Command::RelatePairs => Ok((session.user.slot(), HomeCommand::RelatePairs(pairs(incoming.body)?))),
        Command::CreateToken => {
            let view = verified::view::<body::CreateToken>(incoming.body)?;
            let name = name_of(view.name())?;
            let hash = view.hash().and_then(|hash| hash.bytes().try_into().ok());
            let hash = hash.ok_or_else(|| No::with_detail(Refusal::BadField, 32))?;
            let scopes = Scopes::from_bits(view.scopes()).filter(|scopes| !scopes.is_empty());
            let scopes = scopes.ok_or(Refusal::BadField)?;
            // Nobody gives away what he does not have.
            if !scopes.is_within(granted) {
                let lacking = scopes.bits() & !granted.bits();
                return Err(No::with_detail(Refusal::NotAllowed, u64::from(lacking)));
            }
            let label = text(view.label(), TOKEN_LABEL_LEN_MAX)?;
            let new = NewToken { hash, scopes, expires_ms: view.expires_ms(), label };
            let written = view.name().unwrap_or_default().to_owned();
            Ok((name.slot(), HomeCommand::CreateToken { name, written, new }))
        }
        Command::ListTokens => {
            let name = name_of(verified::view::<body::ListTokens>(incoming.body)?.name())?;
            Ok((name.slot(), HomeCommand::ListTokens(name)))
        }
        Command::RevokeToken => {
            let view = verified::view::<body::RevokeToken>(incoming.body)?;
            let name = name_of(view.name())?;
            Ok((name.slot(), HomeCommand::RevokeToken { name, number: view.number() }))
        }
        _ => operator::home_command(incoming, session),
    }
}

/// Pairs of users who are to be contacts.
fn pairs(body: &[u8]) -> Result<Vec<ConversationId>, No> {
    let view = verified::view::<body::RelatePairs>(body)?;
    let pairs = view.pairs().map(|pairs| pairs.iter().map(ConversationId::from).collect::<Vec<_>>());
    let pairs = pairs.unwrap_or_default();
    if pairs.len() > PAIRS_MAX {
        return Err(No::with_detail(Refusal::BadField, PAIRS_MAX as u64));
    }
    match pairs.iter().position(|pair| ConversationId::private(pair.low, pair.high) != Some(*pair)) {
        Some(wrong) => Err(No::with_detail(Refusal::BadField, wrong as u64)),
        None => Ok(pairs),
    }
}
