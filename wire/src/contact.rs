//! Contacts: what their bodies say, and their frames.

use bytes::Bytes;
use flatbuffers::WIPOffset;

use crate::body;
use crate::decode::DecodeError;
use crate::encode::{Builder, Encoder};
use crate::generated as fb;
use crate::ids::{ConversationId, UserId};
use crate::limits::CONTACTS_SYNCED_MAX;

pub use crate::generated::ContactState;

/// A contact as the user of the list may see him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    pub user: UserId,
    /// Version of the list at which this row last changed.
    pub cver: u64,
    pub state: ContactState,
    /// By the user of the list.
    pub blocked: bool,
    /// Since when he asks or is a contact, Unix milliseconds; 0: not told.
    pub since_ms: u64,
    /// Of his request, while he asks.
    pub text: String,
    pub remark: String,
    pub group: String,
}

/// The relation to another user, as the answer to a command about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Related {
    pub user: UserId,
    pub state: ContactState,
    pub blocked: bool,
    pub since_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactsSynced {
    pub from: u64,
    pub to: u64,
    /// True: `SyncContacts` again from `to`.
    pub more: bool,
    pub contacts: Vec<Contact>,
}

/// What a client asks about contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContactQuery {
    Request { conversation: ConversationId, text: String },
    Accept(ConversationId),
    Refuse(ConversationId),
    Remove(ConversationId),
    Block(ConversationId),
    Unblock(ConversationId),
    Set { user: UserId, remark: String, group: String },
    Sync { cver: u64 },
}

impl ContactQuery {
    /// Whether the answer is long: a session may have one such question at a time.
    pub fn is_long(&self) -> bool {
        matches!(self, ContactQuery::Sync { .. })
    }

    /// The command's frame.
    pub fn encode(&self, encoder: &mut Encoder, request: u32) -> Bytes {
        match self {
            ContactQuery::Request { conversation, text } => {
                encoder.contact_request(request, *conversation, text)
            }
            ContactQuery::Accept(conversation) => encoder.contact_accept(request, *conversation),
            ContactQuery::Refuse(conversation) => encoder.contact_refuse(request, *conversation),
            ContactQuery::Remove(conversation) => encoder.contact_remove(request, *conversation),
            ContactQuery::Block(conversation) => encoder.block(request, *conversation),
            ContactQuery::Unblock(conversation) => encoder.unblock(request, *conversation),
            ContactQuery::Set { user, remark, group } => encoder.set_contact(request, *user, remark, group),
            ContactQuery::Sync { cver } => encoder.sync_contacts(request, *cver, CONTACTS_SYNCED_MAX),
        }
    }
}

/// Events.
impl Encoder {
    pub fn related(&mut self, request: u32, related: &Related) -> Bytes {
        self.event::<body::Related>(request, |b| {
            let Related { user, state, blocked, since_ms } = *related;
            fb::Related::create(b, &fb::RelatedArgs { user: user.0, state, blocked, since_ms })
        })
    }

    /// `request` is 0 for other devices than the one that set something.
    pub fn contact_changed(&mut self, request: u32, contact: &Contact) -> Bytes {
        self.event::<body::ContactChanged>(request, |b| {
            let contact = put_contact(b, contact);
            fb::ContactChanged::create(b, &fb::ContactChangedArgs { contact: Some(contact) })
        })
    }

    /// At most [`CONTACTS_SYNCED_MAX`] rows.
    pub fn contacts_synced(&mut self, request: u32, synced: &ContactsSynced) -> Bytes {
        let ContactsSynced { from, to, more, contacts } = synced;
        assert!(contacts.len() <= CONTACTS_SYNCED_MAX as usize, "{} contacts", contacts.len());
        self.event::<body::ContactsSynced>(request, |b| {
            let contacts: Vec<_> = contacts.iter().map(|contact| put_contact(b, contact)).collect();
            let contacts = Some(b.create_vector(&contacts));
            fb::ContactsSynced::create(
                b,
                &fb::ContactsSyncedArgs { from: *from, to: *to, more: *more, contacts },
            )
        })
    }
}

/// Commands.
impl Encoder {
    pub fn contact_request(&mut self, request: u32, conversation: ConversationId, text: &str) -> Bytes {
        self.command::<body::ContactRequest>(request, &conversation.to_bytes(), |b| {
            let text = b.create_string(text);
            fb::ContactRequest::create(b, &fb::ContactRequestArgs { text: Some(text) })
        })
    }

    pub fn contact_accept(&mut self, request: u32, conversation: ConversationId) -> Bytes {
        self.command::<body::ContactAccept>(request, &conversation.to_bytes(), |b| {
            fb::ContactAccept::create(b, &fb::ContactAcceptArgs::default())
        })
    }

    pub fn contact_refuse(&mut self, request: u32, conversation: ConversationId) -> Bytes {
        self.command::<body::ContactRefuse>(request, &conversation.to_bytes(), |b| {
            fb::ContactRefuse::create(b, &fb::ContactRefuseArgs::default())
        })
    }

    pub fn contact_remove(&mut self, request: u32, conversation: ConversationId) -> Bytes {
        self.command::<body::ContactRemove>(request, &conversation.to_bytes(), |b| {
            fb::ContactRemove::create(b, &fb::ContactRemoveArgs::default())
        })
    }

    pub fn block(&mut self, request: u32, conversation: ConversationId) -> Bytes {
        self.command::<body::Block>(request, &conversation.to_bytes(), |b| {
            fb::Block::create(b, &fb::BlockArgs::default())
        })
    }

    pub fn unblock(&mut self, request: u32, conversation: ConversationId) -> Bytes {
        self.command::<body::Unblock>(request, &conversation.to_bytes(), |b| {
            fb::Unblock::create(b, &fb::UnblockArgs::default())
        })
    }

    pub fn set_contact(&mut self, request: u32, user: UserId, remark: &str, group: &str) -> Bytes {
        self.command::<body::SetContact>(request, &[], |b| {
            let (remark, group) = (Some(b.create_string(remark)), Some(b.create_string(group)));
            fb::SetContact::create(b, &fb::SetContactArgs { user: user.0, remark, group })
        })
    }

    pub fn sync_contacts(&mut self, request: u32, cver: u64, changes_max: u32) -> Bytes {
        self.command::<body::SyncContacts>(request, &[], |b| {
            fb::SyncContacts::create(b, &fb::SyncContactsArgs { cver, changes_max })
        })
    }
}

fn put_contact(builder: &mut Builder, contact: &Contact) -> WIPOffset<fb::Contact<'static>> {
    let texts = [&contact.text, &contact.remark, &contact.group];
    let [text, remark, group] = texts.map(|text| (!text.is_empty()).then(|| builder.create_string(text)));
    let args = fb::ContactArgs {
        user: contact.user.0,
        cver: contact.cver,
        state: contact.state,
        blocked: contact.blocked,
        since_ms: contact.since_ms,
        text,
        remark,
        group,
    };
    fb::Contact::create(builder, &args)
}

pub(crate) fn related(view: fb::Related<'_>) -> Related {
    Related {
        user: UserId(view.user()),
        state: view.state(),
        blocked: view.blocked(),
        since_ms: view.since_ms(),
    }
}

pub(crate) fn contact_changed(view: fb::ContactChanged<'_>) -> Result<Contact, DecodeError> {
    let missing = DecodeError::Missing { event: crate::Event::ContactChanged, field: "contact" };
    view.contact().map(contact).ok_or(missing)
}

pub(crate) fn contacts_synced(view: fb::ContactsSynced<'_>) -> ContactsSynced {
    ContactsSynced {
        from: view.from(),
        to: view.to(),
        more: view.more(),
        contacts: view.contacts().map(|rows| rows.iter().map(contact).collect()).unwrap_or_default(),
    }
}

fn contact(view: fb::Contact<'_>) -> Contact {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Contact {
        user: UserId(view.user()),
        cver: view.cver(),
        state: view.state(),
        blocked: view.blocked(),
        since_ms: view.since_ms(),
        text: text(view.text()),
        remark: text(view.remark()),
        group: text(view.group()),
    }
}
