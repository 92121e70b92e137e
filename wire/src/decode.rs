//! Frames to values, for clients. A node reads bodies in place through [`crate::Verified`] instead.

use bytes::Bytes;

use crate::account::{self, PasswordChanged, ProofTerms};
use crate::body;
use crate::command::Event;
use crate::contact::{self, Contact, ContactsSynced, Related};
use crate::device::{self, Device};
use crate::extras;
use crate::frame::{self, FrameError};
use crate::generated as fb;
use crate::ids::{ConversationId, DeviceId, SessionId, UserId};
use crate::message::{
    Challenge, Closing, Entry, HeadMoved, LoggedIn, Marked, Message, Move, Place, Pulled, Range, Refused,
    RegisterTerms, Resumed, Sent, Summary, Synced, UserFound, Welcome,
};
use crate::notice::{self, Announced};
use crate::operator::{self, OperatorAnswer};
use crate::org::{self, OrgSynced};
use crate::presence::{self, OwnPresence, Presence, PresenceFound, PresenceSynced};
use crate::profile::{self, ProfileChanged, ProfileFound};
use crate::service::{self, PairsRelated, TokenCreated, TokenRevoked, TokensListed};
use crate::verified::{self, Unverifiable};

/// One event as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFrame {
    /// The request it answers; 0 when it answers none.
    pub request: u32,
    pub event: EventBody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventBody {
    Welcome(Welcome),
    Refused(Refused),
    Closing(Closing),
    RegisterTerms(RegisterTerms),
    Registered {
        user: UserId,
    },
    Challenge(Challenge),
    LoggedIn(LoggedIn),
    Resumed(Resumed),
    Connect {
        addresses: Vec<String>,
    },
    Pong {
        time_ms: u64,
    },
    LoggedOut,
    Move(Move),
    Devices(Vec<Device>),
    SessionsEnded {
        count: u32,
    },
    UserFound(UserFound),
    ProfileChanged(Box<ProfileChanged>),
    ProfileFound(Box<ProfileFound>),
    ProofTerms(ProofTerms),
    PasswordChanged(PasswordChanged),
    AccountDeleted {
        server_final: String,
    },
    CodeRedeemed {
        user: UserId,
    },
    Sent(Sent),
    Pulled(Pulled),
    Marked(Marked),
    Synced(Synced),
    Message(Message),
    HeadMoved(HeadMoved),
    SyncNeeded,
    Related(Related),
    ContactChanged(Contact),
    ContactsSynced(ContactsSynced),
    PresenceSet(OwnPresence),
    PresenceSynced(PresenceSynced),
    PresenceFound(PresenceFound),
    PresenceChanged(Vec<Presence>),
    AdvertsSet {
        off: bool,
    },
    Announced(Announced),
    OrgSynced(OrgSynced),
    OrgChanged {
        version: u64,
    },
    Operator(OperatorAnswer),
    PairsRelated(PairsRelated),
    TokenCreated(TokenCreated),
    TokensListed(TokensListed),
    TokenRevoked(TokenRevoked),
    /// An event of a later version: skip it.
    Unknown(u16),
}

/// The node broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the body of {event:?} does not verify")]
    Unverifiable { event: Event },
    #[error("{event:?} lacks its {field}")]
    Missing { event: Event, field: &'static str },
}

/// Decodes a whole frame without its length field. Bodies of entries are copied out of it.
pub fn decode_event(frame: &[u8]) -> Result<EventFrame, DecodeError> {
    let (header, rest) = frame::split(frame)?;
    let event = match Event::from_id(header.id) {
        Some(event) => decode_body(event, rest)?,
        None => EventBody::Unknown(header.id),
    };
    Ok(EventFrame { request: header.request, event })
}

fn decode_body(event: Event, body: &[u8]) -> Result<EventBody, DecodeError> {
    let unverifiable = |Unverifiable| DecodeError::Unverifiable { event };
    macro_rules! view {
        ($name:ident) => {
            verified::view::<body::$name>(body).map_err(unverifiable)?
        };
    }
    Ok(match event {
        Event::Welcome => EventBody::Welcome(welcome(view!(Welcome))),
        Event::Refused => EventBody::Refused(refused(view!(Refused))),
        Event::Closing => EventBody::Closing(closing(view!(Closing))),
        Event::RegisterTerms => EventBody::RegisterTerms(register_terms(view!(RegisterTerms))),
        Event::Registered => EventBody::Registered { user: UserId(view!(Registered).user()) },
        Event::Challenge => {
            let view = view!(Challenge);
            EventBody::Challenge(Challenge {
                server_first: text(view.server_first()),
                valid_ms: view.valid_ms(),
            })
        }
        Event::LoggedIn => EventBody::LoggedIn(logged_in(view!(LoggedIn))),
        Event::Resumed => EventBody::Resumed(resumed(view!(Resumed))),
        Event::Connect => EventBody::Connect { addresses: texts(view!(Connect).addresses()) },
        Event::Pong => EventBody::Pong { time_ms: view!(Pong).time_ms() },
        Event::Move => EventBody::Move(move_away(view!(Move))),
        Event::Devices => EventBody::Devices(device::devices(view!(Devices))),
        Event::SessionsEnded => EventBody::SessionsEnded { count: view!(SessionsEnded).count() },
        Event::LoggedOut
        | Event::UserFound
        | Event::ProfileChanged
        | Event::ProfileFound
        | Event::ProofTerms
        | Event::PasswordChanged
        | Event::AccountDeleted
        | Event::CodeRedeemed => decode_account(event, body)?,
        Event::Sent => EventBody::Sent(sent(view!(Sent))?),
        Event::Pulled => EventBody::Pulled(pulled(view!(Pulled))?),
        Event::Marked => EventBody::Marked(marked(view!(Marked))?),
        Event::Synced => EventBody::Synced(synced(view!(Synced))?),
        Event::Message => EventBody::Message(message(view!(Message))?),
        Event::HeadMoved => EventBody::HeadMoved(head_moved(view!(HeadMoved))?),
        Event::SyncNeeded => {
            view!(SyncNeeded);
            EventBody::SyncNeeded
        }
        Event::Related => EventBody::Related(contact::related(view!(Related))),
        Event::ContactChanged => EventBody::ContactChanged(contact::contact_changed(view!(ContactChanged))?),
        Event::ContactsSynced => EventBody::ContactsSynced(contact::contacts_synced(view!(ContactsSynced))),
        Event::PresenceSet => EventBody::PresenceSet(presence::own(view!(PresenceSet))),
        Event::PresenceSynced => EventBody::PresenceSynced(presence::synced(view!(PresenceSynced))?),
        Event::PresenceFound => EventBody::PresenceFound(presence::found(view!(PresenceFound))),
        Event::PresenceChanged => EventBody::PresenceChanged(presence::changed(view!(PresenceChanged))),
        Event::AdvertsSet => EventBody::AdvertsSet { off: view!(AdvertsSet).off() },
        Event::Announced => EventBody::Announced(notice::announced(view!(Announced))?),
        Event::OrgSynced => EventBody::OrgSynced(org::org_synced(view!(OrgSynced))),
        Event::OrgChanged => EventBody::OrgChanged { version: view!(OrgChanged).version() },
        Event::UserAdded
        | Event::UserChanged
        | Event::AuditRead
        | Event::UsersListed
        | Event::PairsRelated
        | Event::TokenCreated
        | Event::TokensListed
        | Event::TokenRevoked
        | Event::Notified
        | Event::OrgEdited => decode_operator(event, body)?,
    })
}

/// The same for events about accounts.
fn decode_account(event: Event, body: &[u8]) -> Result<EventBody, DecodeError> {
    let unverifiable = |Unverifiable| DecodeError::Unverifiable { event };
    macro_rules! view {
        ($name:ident) => {
            verified::view::<body::$name>(body).map_err(unverifiable)?
        };
    }
    Ok(match event {
        Event::LoggedOut => {
            view!(LoggedOut);
            EventBody::LoggedOut
        }
        Event::UserFound => {
            let view = view!(UserFound);
            let (user, deleted) = (UserId(view.user()), view.deleted());
            EventBody::UserFound(UserFound { user, name: text(view.name()), deleted })
        }
        Event::ProfileChanged => {
            EventBody::ProfileChanged(Box::new(profile::profile_changed(view!(ProfileChanged))?))
        }
        Event::ProfileFound => EventBody::ProfileFound(Box::new(profile::profile_found(view!(ProfileFound)))),
        Event::ProofTerms => EventBody::ProofTerms(account::proof_terms(view!(ProofTerms))),
        Event::PasswordChanged => {
            EventBody::PasswordChanged(account::password_changed(view!(PasswordChanged)))
        }
        Event::AccountDeleted => {
            EventBody::AccountDeleted { server_final: text(view!(AccountDeleted).server_final()) }
        }
        Event::CodeRedeemed => EventBody::CodeRedeemed { user: UserId(view!(CodeRedeemed).user()) },
        other => unreachable!("{other:?} is not about an account"),
    })
}

/// The same for what an operator is answered.
fn decode_operator(event: Event, body: &[u8]) -> Result<EventBody, DecodeError> {
    let unverifiable = |Unverifiable| DecodeError::Unverifiable { event };
    macro_rules! view {
        ($name:ident) => {
            verified::view::<body::$name>(body).map_err(unverifiable)?
        };
    }
    Ok(EventBody::Operator(match event {
        Event::UserAdded => OperatorAnswer::UserAdded { user: UserId(view!(UserAdded).user()) },
        Event::UserChanged => {
            let view = view!(UserChanged);
            let (user, sessions_ended) = (UserId(view.user()), view.sessions_ended());
            OperatorAnswer::UserChanged { user, sessions_ended }
        }
        Event::AuditRead => OperatorAnswer::AuditRead(operator::audit_read(view!(AuditRead))),
        Event::UsersListed => OperatorAnswer::UsersListed(operator::users_listed(view!(UsersListed))),
        Event::Notified => OperatorAnswer::Notified(operator::notified(view!(Notified))),
        Event::OrgEdited => OperatorAnswer::OrgEdited { version: view!(OrgEdited).version() },
        Event::PairsRelated => {
            return Ok(EventBody::PairsRelated(service::pairs_related(view!(PairsRelated))));
        }
        Event::TokenCreated => {
            return Ok(EventBody::TokenCreated(service::token_created(view!(TokenCreated))));
        }
        Event::TokensListed => {
            return Ok(EventBody::TokensListed(service::tokens_listed(view!(TokensListed))));
        }
        Event::TokenRevoked => {
            return Ok(EventBody::TokenRevoked(service::token_revoked(view!(TokenRevoked))));
        }
        other => unreachable!("{other:?} is not for an operator"),
    }))
}

fn welcome(view: fb::Welcome<'_>) -> Welcome {
    Welcome {
        version: view.version(),
        features: view.features(),
        software: text(view.software()),
        time_ms: view.time_ms(),
        registration_open: view.registration_open(),
        mechanisms: texts(view.mechanisms()),
        idle_ms_max: view.idle_ms_max(),
        body_bytes_max: view.body_bytes_max(),
        window: view.window(),
    }
}

fn register_terms(view: fb::RegisterTerms<'_>) -> RegisterTerms {
    RegisterTerms { salt: octets(view.salt()), iterations: view.iterations() }
}

fn move_away(view: fb::Move<'_>) -> Move {
    Move {
        addresses: texts(view.addresses()),
        reconnect_ms: view.reconnect_ms(),
        deadline_ms: view.deadline_ms(),
    }
}

fn refused(view: fb::Refused<'_>) -> Refused {
    Refused {
        code: view.code(),
        name: text(view.name()),
        reason: text(view.reason()),
        detail: view.detail(),
        retry_ms: view.retry_ms(),
    }
}

fn closing(view: fb::Closing<'_>) -> Closing {
    Closing { code: view.code(), name: text(view.name()), reason: text(view.reason()) }
}

fn logged_in(view: fb::LoggedIn<'_>) -> LoggedIn {
    LoggedIn {
        server_final: text(view.server_final()),
        user: UserId(view.user()),
        name: text(view.name()),
        device: DeviceId(view.device()),
        session: SessionId(view.session()),
        ticket: octets(view.ticket()),
        ticket_ms: view.ticket_ms(),
        reconnect_ms: view.reconnect_ms(),
        idle_ms_max: view.idle_ms_max(),
        uver: view.uver(),
    }
}

fn resumed(view: fb::Resumed<'_>) -> Resumed {
    Resumed {
        user: UserId(view.user()),
        name: text(view.name()),
        device: DeviceId(view.device()),
        session: SessionId(view.session()),
        ticket: octets(view.ticket()),
        ticket_ms: view.ticket_ms(),
        reconnect_ms: view.reconnect_ms(),
        idle_ms_max: view.idle_ms_max(),
        afresh: view.afresh(),
        from: view.from(),
    }
}

fn sent(view: fb::Sent<'_>) -> Result<Sent, DecodeError> {
    Ok(Sent {
        conversation: conversation(Event::Sent, view.conversation())?,
        counter: view.counter(),
        place: Place { seq: view.seq(), ord: view.ord() },
        time_ms: view.time_ms(),
        epoch: view.epoch(),
    })
}

fn pulled(view: fb::Pulled<'_>) -> Result<Pulled, DecodeError> {
    Ok(Pulled {
        conversation: conversation(Event::Pulled, view.conversation())?,
        from: view.from(),
        to: view.to(),
        epoch: view.epoch(),
        head: place(view.head()),
        entries: view.entries().map(|entries| entries.iter().map(entry).collect()).unwrap_or_default(),
        ranges: view.ranges().map(|ranges| ranges.iter().map(range).collect()).unwrap_or_default(),
    })
}

fn range(view: fb::Range<'_>) -> Range {
    Range { from: view.from(), to: view.to(), kind: view.kind() }
}

fn marked(view: fb::Marked<'_>) -> Result<Marked, DecodeError> {
    Ok(Marked {
        conversation: conversation(Event::Marked, view.conversation())?,
        user: UserId(view.user()),
        kind: view.kind(),
        place: place(view.place()),
    })
}

fn synced(view: fb::Synced<'_>) -> Result<Synced, DecodeError> {
    let changes = match view.changes() {
        Some(changes) => changes.iter().map(summary).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let (from, to, more) = (view.from(), view.to(), view.more());
    Ok(Synced { from, to, more, changes, adverts_off: view.adverts_off() })
}

fn summary(view: fb::Summary<'_>) -> Result<Summary, DecodeError> {
    Ok(Summary {
        conversation: conversation(Event::Synced, view.conversation())?,
        uver: view.uver(),
        epoch: view.epoch(),
        head: place(view.head()),
        read: place(view.read()),
        delivered: place(view.delivered()),
        peer_read: place(view.peer_read()),
        peer_delivered: place(view.peer_delivered()),
        time_ms: view.time_ms(),
        mentioned: view.mentioned(),
    })
}

fn message(view: fb::Message<'_>) -> Result<Message, DecodeError> {
    let missing = DecodeError::Missing { event: Event::Message, field: "entry" };
    Ok(Message {
        conversation: conversation(Event::Message, view.conversation())?,
        epoch: view.epoch(),
        entry: entry(view.entry().ok_or(missing)?),
    })
}

fn head_moved(view: fb::HeadMoved<'_>) -> Result<HeadMoved, DecodeError> {
    Ok(HeadMoved {
        conversation: conversation(Event::HeadMoved, view.conversation())?,
        epoch: view.epoch(),
        head: place(view.head()),
    })
}

fn entry(view: fb::Entry<'_>) -> Entry {
    Entry {
        place: Place { seq: view.seq(), ord: view.ord() },
        time_ms: view.time_ms(),
        sender: UserId(view.sender()),
        device: DeviceId(view.device()),
        counter: view.counter(),
        kind: view.kind(),
        body_kind: view.body_kind(),
        body: view.body().map(|body| Bytes::copy_from_slice(body.bytes())).unwrap_or_default(),
        extras: view.extras().and_then(|view| extras::extras(view).boxed()),
    }
}

fn conversation(event: Event, id: Option<&fb::Conversation>) -> Result<ConversationId, DecodeError> {
    id.map(ConversationId::from).ok_or(DecodeError::Missing { event, field: "conversation" })
}

fn place(place: Option<&fb::Place>) -> Place {
    place.map(Place::from).unwrap_or_default()
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

type TextsView<'a> = flatbuffers::Vector<'a, flatbuffers::ForwardsUOffset<&'a str>>;

fn texts(texts: Option<TextsView<'_>>) -> Vec<String> {
    texts.map(|texts| texts.iter().map(str::to_owned).collect()).unwrap_or_default()
}

fn octets(octets: Option<flatbuffers::Vector<'_, u8>>) -> Vec<u8> {
    octets.map(|octets| octets.bytes().to_vec()).unwrap_or_default()
}
