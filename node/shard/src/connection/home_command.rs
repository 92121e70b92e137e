//! Bodies of commands for a home: verified once, and what is in them checked by meaning.

use bytes::Bytes;
use wire::limits::MESSAGE_BODY_LEN_MAX;
use wire::message::{BodyKind, MarkKind, Send};
use wire::{Command, ConversationId, Incoming, OwnerKey, Refusal, Slot, UserId, Verified, body, verified};

use super::No;
use super::register::name_of;
use crate::mesh::HomeCommand;

/// The command as its home gets it, and the slot of that home.
pub(super) fn home_command(incoming: &Incoming<'_>, caller: UserId) -> Result<(Slot, HomeCommand), No> {
    match incoming.command {
        Command::Send => {
            let conversation = conversation_of(incoming);
            Ok((conversation.slot(), HomeCommand::Send(conversation, send(incoming.body)?.into())))
        }
        Command::Pull => {
            let conversation = conversation_of(incoming);
            let body = Verified::new(Bytes::copy_from_slice(incoming.body))?;
            Ok((conversation.slot(), HomeCommand::Pull(conversation, body)))
        }
        Command::Mark => {
            let conversation = conversation_of(incoming);
            let mark = verified::view::<body::Mark>(incoming.body)?;
            if !MarkKind::ENUM_VALUES.contains(&mark.kind()) {
                return Err(Refusal::BadField.into());
            }
            Ok((conversation.slot(), HomeCommand::Mark(conversation, mark.kind(), mark.seq())))
        }
        Command::Sync => {
            let body = Verified::new(Bytes::copy_from_slice(incoming.body))?;
            Ok((caller.slot(), HomeCommand::Sync(body)))
        }
        Command::FindUser => {
            let name = name_of(verified::view::<body::FindUser>(incoming.body)?.name())?;
            Ok((name.slot(), HomeCommand::FindUser(name.into_string())))
        }
        Command::NameUser => {
            verified::view::<body::NameUser>(incoming.body)?;
            let OwnerKey::User(user) = incoming.owner else { unreachable!("its row has a user's key") };
            Ok((user.slot(), HomeCommand::NameUser(user)))
        }
        Command::Logout => {
            let forget_ticket = verified::view::<body::Logout>(incoming.body)?.forget_ticket();
            Ok((caller.slot(), HomeCommand::Logout { forget_ticket }))
        }
        Command::Hello
        | Command::RegisterStart
        | Command::Register
        | Command::LoginStart
        | Command::LoginProof
        | Command::Resume
        | Command::WhereToConnect
        | Command::Ping => unreachable!("{:?} is carried out where it comes in", incoming.command),
    }
}

pub(super) fn conversation_of(incoming: &Incoming<'_>) -> ConversationId {
    match incoming.owner {
        OwnerKey::Conversation(conversation) => conversation,
        owner => unreachable!("a conversation's command has the key {owner:?}"),
    }
}

/// A send in the buffer it came in, its fields checked.
pub(super) fn send(body: &[u8]) -> Result<Send<'_>, No> {
    let view = verified::view::<body::Send>(body)?;
    let content = view.body().map(|content| content.bytes()).unwrap_or_default();
    if content.len() > MESSAGE_BODY_LEN_MAX {
        return Err(No::with_detail(Refusal::BodyTooLong, MESSAGE_BODY_LEN_MAX as u64));
    }
    let is_readable = match view.body_kind() {
        BodyKind::Text => std::str::from_utf8(content).is_ok(),
        BodyKind::Opaque => true,
        _ => false,
    };
    if !is_readable || view.counter() == 0 || view.previous() >= view.counter() {
        return Err(Refusal::BadField.into());
    }
    let (counter, previous, body_kind) = (view.counter(), view.previous(), view.body_kind());
    Ok(Send { counter, previous, body_kind, body: content })
}
