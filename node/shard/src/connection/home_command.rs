//! Bodies of commands for a home: verified once, and what is in them checked by meaning.

use std::net::IpAddr;

use bytes::Bytes;
use record::{Act, Profile};
use wire::extras;
use wire::generated as fb;
use wire::limits::{
    CONTACT_GROUP_LEN_MAX, CONTACT_REMARK_LEN_MAX, CONTACT_TEXT_LEN_MAX, MESSAGE_BODY_LEN_MAX,
    PRESENCE_TEXT_LEN_MAX,
};
use wire::message::{BodyKind, MarkKind, Send};
use wire::org::{OrgPosition, org_slot};
use wire::presence::{LastSeenFor, PresenceState, PresenceWish};
use wire::scram::{BindingFlag, ClientFirst};
use wire::{
    Command, ConversationId, DeviceId, Incoming, Notices, OwnerKey, Refusal, Slot, UserId, Verified, body,
    verified,
};

use super::No;
use super::login::text_of;
use super::register::{keys_of, name_of};
use super::service;
use super::state::Session;
use crate::follow::Follows;
use crate::limits::BUSY_RETRY_MS;
use crate::login::Confirmed;
use crate::mesh::{DeviceCommand, HomeCommand, MarkFor, OwnedSend};
use crate::profile::to_store;

/// The command as its home gets it, and the slot of that home.
pub(super) fn home_command(
    incoming: &Incoming<'_>,
    session: &Session,
    follows: &Follows,
    address: IpAddr,
) -> Result<(Slot, HomeCommand), No> {
    let caller = session.user;
    match incoming.command {
        Command::Mark if conversation_of(incoming).is_followed() => {
            Ok((caller.slot(), mark_notice(incoming, follows)?))
        }
        Command::Send
        | Command::Pull
        | Command::Mark
        | Command::ContactRequest
        | Command::ContactAccept
        | Command::ContactRefuse
        | Command::ContactRemove
        | Command::Block
        | Command::Unblock => {
            let conversation = conversation_of(incoming);
            Ok((conversation.slot(), conversation_command(incoming, conversation, session)?))
        }
        Command::SetContact => Ok((caller.slot(), set_contact(incoming.body)?)),
        Command::SyncContacts => Ok((caller.slot(), sync_contacts(incoming.body)?)),
        Command::SetPresence | Command::SyncPresence | Command::GetPresence => {
            about_presence(incoming, caller)
        }
        Command::SetAdverts => {
            let off = verified::view::<body::SetAdverts>(incoming.body)?.off();
            let adverts = follows.head(ConversationId::of_notices(Notices::Adverts));
            Ok((caller.slot(), HomeCommand::SetAdverts { off, adverts }))
        }
        Command::Sync => {
            let body = Verified::new(Bytes::copy_from_slice(incoming.body))?;
            Ok((caller.slot(), HomeCommand::Sync(body)))
        }
        Command::SyncOrg => {
            let view = verified::view::<body::SyncOrg>(incoming.body)?;
            let position = OrgPosition { over: view.over(), page: view.page() };
            Ok((org_slot(), HomeCommand::SyncOrg { position, rows_max: view.rows_max() }))
        }
        Command::ListDevices | Command::EndSession | Command::EndOtherSessions => {
            Ok((caller.slot(), HomeCommand::Devices(device_command(incoming)?)))
        }
        Command::FindUser
        | Command::NameUser
        | Command::SetProfile
        | Command::GetProfile
        | Command::ProofStart
        | Command::ChangePassword
        | Command::DeleteAccount
        | Command::Logout => account_command(incoming, session, address),
        _ => service::home_command(incoming, session),
    }
}

fn sync_contacts(body: &[u8]) -> Result<HomeCommand, No> {
    let view = verified::view::<body::SyncContacts>(body)?;
    Ok(HomeCommand::SyncContacts { cver: view.cver(), changes_max: view.changes_max() })
}

fn set_contact(body: &[u8]) -> Result<HomeCommand, No> {
    let view = verified::view::<body::SetContact>(body)?;
    let contact = UserId(view.user());
    let remark = text(view.remark(), CONTACT_REMARK_LEN_MAX)?;
    let group = text(view.group(), CONTACT_GROUP_LEN_MAX)?;
    Ok(HomeCommand::SetContact { contact, remark, group })
}

/// A command on one conversation.
fn conversation_command(
    incoming: &Incoming<'_>,
    conversation: ConversationId,
    session: &Session,
) -> Result<HomeCommand, No> {
    Ok(match incoming.command {
        Command::Send => HomeCommand::Send(conversation, send(incoming.body)?.into()),
        Command::Pull => {
            HomeCommand::Pull(conversation, Verified::new(Bytes::copy_from_slice(incoming.body))?)
        }
        Command::Mark => {
            let mark = verified::view::<body::Mark>(incoming.body)?;
            if !MarkKind::ENUM_VALUES.contains(&mark.kind()) {
                return Err(Refusal::BadField.into());
            }
            // Not known yet: it waits, and is stamped anew.
            let shown_to = session.marks_for.unwrap_or(MarkFor::Own);
            HomeCommand::Mark(conversation, mark.kind(), mark.seq(), shown_to)
        }
        _ => HomeCommand::Relate(conversation, act(incoming)?),
    })
}

/// The same for commands about accounts.
fn account_command(
    incoming: &Incoming<'_>,
    session: &Session,
    address: IpAddr,
) -> Result<(Slot, HomeCommand), No> {
    let caller = session.user;
    match incoming.command {
        Command::FindUser => {
            let name = name_of(verified::view::<body::FindUser>(incoming.body)?.name())?;
            Ok((name.slot(), HomeCommand::FindUser(name.into_string())))
        }
        Command::NameUser => {
            verified::view::<body::NameUser>(incoming.body)?;
            let user = user_of(incoming);
            Ok((user.slot(), HomeCommand::NameUser(user)))
        }
        Command::SetProfile => Ok((caller.slot(), HomeCommand::SetProfile(profile(incoming.body)?))),
        Command::ProofStart => {
            let message = text_of(verified::view::<body::ProofStart>(incoming.body)?.client_first())?;
            let client_first = ClientFirst::parse(message).map_err(|_| Refusal::BadField)?;
            if client_first.flag != BindingFlag::Unsupported {
                return Err(Refusal::UnknownMechanism.into());
            }
            let client_first = Box::new(client_first);
            Ok((caller.slot(), HomeCommand::ProofStart { client_first, address }))
        }
        Command::ChangePassword => {
            if session.is_exposed {
                return Err(Refusal::NotOnPlain.into());
            }
            let view = verified::view::<body::ChangePassword>(incoming.body)?;
            let (stored_key, server_key) =
                keys_of(view.stored_key().map(|key| key.bytes()), view.server_key().map(|key| key.bytes()))?;
            let what = Confirmed::ChangePassword { stored_key, server_key };
            Ok((caller.slot(), confirm(view.client_final(), address, what)?))
        }
        Command::DeleteAccount => {
            let view = verified::view::<body::DeleteAccount>(incoming.body)?;
            Ok((caller.slot(), confirm(view.client_final(), address, Confirmed::DeleteAccount)?))
        }
        Command::GetProfile => {
            verified::view::<body::GetProfile>(incoming.body)?;
            let user = user_of(incoming);
            Ok((user.slot(), HomeCommand::GetProfile(user)))
        }
        Command::Logout => {
            let forget_ticket = verified::view::<body::Logout>(incoming.body)?.forget_ticket();
            Ok((caller.slot(), HomeCommand::Logout { forget_ticket }))
        }
        other => unreachable!("{other:?} is not about an account"),
    }
}

pub(super) fn conversation_of(incoming: &Incoming<'_>) -> ConversationId {
    match incoming.owner {
        OwnerKey::Conversation(conversation) => conversation,
        owner => unreachable!("a conversation's command has the key {owner:?}"),
    }
}

fn confirm(client_final: Option<&str>, address: IpAddr, what: Confirmed) -> Result<HomeCommand, No> {
    let client_final = text_of(client_final)?.to_owned();
    Ok(HomeCommand::Confirm { client_final, address, what })
}

fn user_of(incoming: &Incoming<'_>) -> UserId {
    match incoming.owner {
        OwnerKey::User(user) => user,
        owner => unreachable!("a user's command has the key {owner:?}"),
    }
}

/// A profile that keeps its limits.
fn profile(body: &[u8]) -> Result<Box<Profile>, No> {
    let view = verified::view::<body::SetProfile>(body)?;
    let told = view.profile().map(wire::profile::profile).unwrap_or_default();
    let profile = to_store(told).ok_or(Refusal::BadField)?;
    profile.check().map_err(|limit| No::with_detail(Refusal::BadField, limit as u64))?;
    Ok(Box::new(profile))
}
fn device_command(incoming: &Incoming<'_>) -> Result<DeviceCommand, No> {
    let body = incoming.body;
    Ok(match incoming.command {
        Command::ListDevices => verified::view::<body::ListDevices>(body).map(|_| DeviceCommand::List)?,
        Command::EndSession => {
            DeviceCommand::End(DeviceId(verified::view::<body::EndSession>(body)?.device()))
        }
        Command::EndOtherSessions => {
            verified::view::<body::EndOtherSessions>(body).map(|_| DeviceCommand::EndOthers)?
        }
        other => unreachable!("{other:?} is not about devices"),
    })
}

/// The user's mark in notices stands in his own list; how far they have come is known here.
fn mark_notice(incoming: &Incoming<'_>, follows: &Follows) -> Result<HomeCommand, No> {
    let conversation = conversation_of(incoming);
    let mark = verified::view::<body::Mark>(incoming.body)?;
    let seq = mark.seq();
    // Nobody asks how far notices were delivered: that would be a write for each follower.
    if mark.kind() != MarkKind::Read || seq == 0 {
        return Err(Refusal::BadField.into());
    }
    // Its home has not answered yet.
    let at = follows.head(conversation).ok_or_else(|| No::after_ms(Refusal::Busy, BUSY_RETRY_MS))?;
    if seq > at.head.seq {
        return Err(No::with_detail(Refusal::BadField, at.head.seq));
    }
    Ok(HomeCommand::MarkNotice { conversation, at, seq })
}

/// What the caller wants of a relation.
fn act(incoming: &Incoming<'_>) -> Result<Act, No> {
    let body = incoming.body;
    Ok(match incoming.command {
        Command::ContactRequest => {
            let view = verified::view::<body::ContactRequest>(body)?;
            Act::Request { text: text(view.text(), CONTACT_TEXT_LEN_MAX)? }
        }
        Command::ContactAccept => verified::view::<body::ContactAccept>(body).map(|_| Act::Accept)?,
        Command::ContactRefuse => verified::view::<body::ContactRefuse>(body).map(|_| Act::Refuse)?,
        Command::ContactRemove => verified::view::<body::ContactRemove>(body).map(|_| Act::Remove)?,
        Command::Block => verified::view::<body::Block>(body).map(|_| Act::Block)?,
        Command::Unblock => verified::view::<body::Unblock>(body).map(|_| Act::Unblock)?,
        other => unreachable!("{other:?} is not about a relation"),
    })
}

fn about_presence(incoming: &Incoming<'_>, caller: UserId) -> Result<(Slot, HomeCommand), No> {
    match incoming.command {
        Command::SetPresence => Ok((caller.slot(), HomeCommand::SetPresence(wish(incoming.body)?))),
        Command::SyncPresence => {
            let view = verified::view::<body::SyncPresence>(incoming.body)?;
            let (after, contacts_max) = (view.after(), view.contacts_max());
            Ok((caller.slot(), HomeCommand::SyncPresence { after, contacts_max }))
        }
        Command::GetPresence => {
            verified::view::<body::GetPresence>(incoming.body)?;
            let OwnerKey::User(user) = incoming.owner else { unreachable!("its row has a user's key") };
            Ok((user.slot(), HomeCommand::GetPresence(user)))
        }
        other => unreachable!("{other:?} is not about presence"),
    }
}

/// What of his own state the caller wants changed.
fn wish(body: &[u8]) -> Result<PresenceWish, No> {
    let view = verified::view::<body::SetPresence>(body)?;
    let (state, last_seen) = (view.state(), view.last_seen());
    if !PresenceState::ENUM_VALUES.contains(&state) || !LastSeenFor::ENUM_VALUES.contains(&last_seen) {
        return Err(Refusal::BadField.into());
    }
    Ok(PresenceWish {
        state: Some(state).filter(|state| *state != PresenceState::Offline),
        text: view.text().map(|wanted| text(Some(wanted), PRESENCE_TEXT_LEN_MAX)).transpose()?,
        last_seen: Some(last_seen).filter(|last_seen| *last_seen != LastSeenFor::Same),
    })
}

pub(super) fn text(text: Option<&str>, len_max: usize) -> Result<String, No> {
    let text = text.unwrap_or_default();
    if text.len() > len_max {
        return Err(No::with_detail(Refusal::BadField, len_max as u64));
    }
    Ok(text.to_owned())
}

/// A send, its fields checked.
pub(super) enum Sending<'a> {
    /// A message that refers to nothing, in the buffer it came in.
    Plain(Send<'a>),
    Rich(OwnedSend),
}

impl From<Sending<'_>> for OwnedSend {
    fn from(sending: Sending<'_>) -> Self {
        match sending {
            Sending::Plain(send) => send.into(),
            Sending::Rich(send) => send,
        }
    }
}

pub(super) fn send(body: &[u8]) -> Result<Sending<'_>, No> {
    let view = verified::view::<body::Send>(body)?;
    let content = view.body().map(|content| content.bytes()).unwrap_or_default();
    if content.len() > MESSAGE_BODY_LEN_MAX {
        return Err(No::with_detail(Refusal::BodyTooLong, MESSAGE_BODY_LEN_MAX as u64));
    }
    let (counter, previous, body_kind) = (view.counter(), view.previous(), view.body_kind());
    let is_readable = match body_kind {
        BodyKind::Text => std::str::from_utf8(content).is_ok(),
        kind => BodyKind::ENUM_VALUES.contains(&kind),
    };
    if !is_readable || counter == 0 || previous >= counter {
        return Err(Refusal::BadField.into());
    }
    let send = Send::plain(counter, previous, body_kind, content);
    // What a plain message has stands in front in the table.
    if view._tab.vtable().num_bytes() <= usize::from(fb::Send::VT_KIND) {
        return Ok(Sending::Plain(send));
    }
    let extras = view.extras().and_then(|view| extras::extras(view).boxed());
    Ok(Sending::Rich(OwnedSend { kind: view.kind(), extras, ..send.into() }))
}
