//! Presence: what its bodies say, and their frames.

use bytes::Bytes;
use flatbuffers::WIPOffset;

use crate::body;
use crate::decode::DecodeError;
use crate::encode::{Builder, Encoder};
use crate::generated as fb;
use crate::ids::UserId;
use crate::limits::PRESENCES_MAX;

pub use crate::generated::{LastSeenFor, PresenceState};

/// A user's state as somebody else may see it: never `Invisible`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub user: UserId,
    pub state: PresenceState,
    /// At most [`crate::limits::PRESENCE_TEXT_LEN_MAX`] bytes.
    pub text: String,
}

/// The user's own state, the same on all his devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPresence {
    /// `Online`, `Away`, `Busy` or `Invisible`: what he is while a device of his is connected.
    pub state: PresenceState,
    pub text: String,
    pub last_seen: LastSeenFor,
}

/// What of the own state is to change; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresenceWish {
    /// Not `Offline`: that is what a user is without a device.
    pub state: Option<PresenceState>,
    pub text: Option<String>,
    /// Not `Same`.
    pub last_seen: Option<LastSeenFor>,
}

/// A part of who is online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceSynced {
    /// Contacts with `after < id <= to` who are not in `contacts` are offline.
    pub after: u64,
    pub to: u64,
    /// True: `SyncPresence` again from `to`.
    pub more: bool,
    pub own: OwnPresence,
    pub contacts: Vec<Presence>,
}

/// The state of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceFound {
    pub presence: Presence,
    /// When he was last online, Unix milliseconds; 0: not told.
    pub last_seen_ms: u64,
}

/// What a client asks about presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresenceQuery {
    Set(PresenceWish),
    Sync { after: u64 },
    Get(UserId),
}

impl PresenceQuery {
    /// Whether the answer is long: a session may have one such question at a time.
    pub fn is_long(&self) -> bool {
        matches!(self, PresenceQuery::Sync { .. })
    }

    /// The command's frame.
    pub fn encode(&self, encoder: &mut Encoder, request: u32) -> Bytes {
        match self {
            PresenceQuery::Set(wish) => encoder.set_presence(request, wish),
            PresenceQuery::Sync { after } => encoder.sync_presence(request, *after, PRESENCES_MAX),
            PresenceQuery::Get(user) => encoder.get_presence(request, *user),
        }
    }
}

/// Events.
impl Encoder {
    /// `request` is 0 for other devices than the one that set it.
    pub fn presence_set(&mut self, request: u32, own: &OwnPresence) -> Bytes {
        self.event::<body::PresenceSet>(request, |b| put_own(b, own))
    }

    /// At most [`PRESENCES_MAX`] contacts.
    pub fn presence_synced(&mut self, request: u32, synced: &PresenceSynced) -> Bytes {
        let PresenceSynced { after, to, more, own, contacts } = synced;
        self.event::<body::PresenceSynced>(request, |b| {
            let own = Some(put_own(b, own));
            let contacts = Some(put_presences(b, contacts));
            let args = fb::PresenceSyncedArgs { after: *after, to: *to, more: *more, own, contacts };
            fb::PresenceSynced::create(b, &args)
        })
    }

    pub fn presence_found(&mut self, request: u32, found: &PresenceFound) -> Bytes {
        self.event::<body::PresenceFound>(request, |b| {
            let PresenceFound { presence: Presence { user, state, text }, last_seen_ms } = found;
            let text = put_text(b, text);
            let args =
                fb::PresenceFoundArgs { user: user.0, state: *state, text, last_seen_ms: *last_seen_ms };
            fb::PresenceFound::create(b, &args)
        })
    }

    /// At most [`PRESENCES_MAX`] contacts.
    pub fn presence_changed(&mut self, contacts: &[Presence]) -> Bytes {
        self.event::<body::PresenceChanged>(0, |b| {
            let contacts = Some(put_presences(b, contacts));
            fb::PresenceChanged::create(b, &fb::PresenceChangedArgs { contacts })
        })
    }
}

/// Commands.
impl Encoder {
    pub fn set_presence(&mut self, request: u32, wish: &PresenceWish) -> Bytes {
        self.command::<body::SetPresence>(request, &[], |b| {
            let text = wish.text.as_ref().map(|text| b.create_string(text));
            let state = wish.state.unwrap_or(PresenceState::Offline);
            let last_seen = wish.last_seen.unwrap_or(LastSeenFor::Same);
            fb::SetPresence::create(b, &fb::SetPresenceArgs { state, text, last_seen })
        })
    }

    pub fn sync_presence(&mut self, request: u32, after: u64, contacts_max: u32) -> Bytes {
        self.command::<body::SyncPresence>(request, &[], |b| {
            fb::SyncPresence::create(b, &fb::SyncPresenceArgs { after, contacts_max })
        })
    }

    pub fn get_presence(&mut self, request: u32, user: UserId) -> Bytes {
        self.command::<body::GetPresence>(request, &user.0.to_le_bytes(), |b| {
            fb::GetPresence::create(b, &fb::GetPresenceArgs::default())
        })
    }
}

fn put_text(builder: &mut Builder, text: &str) -> Option<WIPOffset<&'static str>> {
    (!text.is_empty()).then(|| builder.create_string(text))
}

fn put_own(builder: &mut Builder, own: &OwnPresence) -> WIPOffset<fb::PresenceSet<'static>> {
    let text = put_text(builder, &own.text);
    let args = fb::PresenceSetArgs { state: own.state, text, last_seen: own.last_seen };
    fb::PresenceSet::create(builder, &args)
}

type Presences = flatbuffers::Vector<'static, flatbuffers::ForwardsUOffset<fb::Presence<'static>>>;

fn put_presences(builder: &mut Builder, contacts: &[Presence]) -> WIPOffset<Presences> {
    assert!(contacts.len() <= PRESENCES_MAX as usize, "{} contacts", contacts.len());
    let put = |Presence { user, state, text }: &Presence| {
        let text = put_text(builder, text);
        fb::Presence::create(builder, &fb::PresenceArgs { user: user.0, state: *state, text })
    };
    let contacts: Vec<_> = contacts.iter().map(put).collect();
    builder.create_vector(&contacts)
}

pub(crate) fn own(view: fb::PresenceSet<'_>) -> OwnPresence {
    OwnPresence { state: view.state(), text: text(view.text()), last_seen: view.last_seen() }
}

pub(crate) fn synced(view: fb::PresenceSynced<'_>) -> Result<PresenceSynced, DecodeError> {
    let missing = DecodeError::Missing { event: crate::Event::PresenceSynced, field: "own" };
    Ok(PresenceSynced {
        after: view.after(),
        to: view.to(),
        more: view.more(),
        own: view.own().map(own).ok_or(missing)?,
        contacts: view.contacts().map(|rows| rows.iter().map(presence).collect()).unwrap_or_default(),
    })
}

pub(crate) fn found(view: fb::PresenceFound<'_>) -> PresenceFound {
    let presence = Presence { user: UserId(view.user()), state: view.state(), text: text(view.text()) };
    PresenceFound { presence, last_seen_ms: view.last_seen_ms() }
}

pub(crate) fn changed(view: fb::PresenceChanged<'_>) -> Vec<Presence> {
    view.contacts().map(|rows| rows.iter().map(presence).collect()).unwrap_or_default()
}

fn presence(view: fb::Presence<'_>) -> Presence {
    Presence { user: UserId(view.user()), state: view.state(), text: text(view.text()) }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}
