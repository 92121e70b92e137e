//! Keys: bytes that sort as `slot, table, id, ...`, all integers big-endian.

use bytes::{BufMut, Bytes, BytesMut};
use wire::org::org_slot;

use crate::audit::AuditClass;
use wire::{ConversationId, DeviceId, Slot, UserId};

/// What a key belongs to. Numbers are part of the disk format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// slot -> [`crate::SlotState`]
    SlotState = 1,
    /// name -> [`crate::NameEntry`]
    Name = 2,
    /// user -> [`crate::Account`]
    Account = 3,
    /// user, conversation -> [`crate::ListEntry`]: what the user's list holds
    List = 4,
    /// conversation -> [`crate::Checkpoint`]
    Checkpoint = 5,
    /// conversation, user, device -> [`crate::Remembered`]: sends that a repeat is compared with
    Remembered = 6,
    /// conversation, user -> [`crate::StoredMarks`]
    Marks = 7,
    /// conversation, seq -> [`crate::Entry`]
    Entry = 8,
    /// conversation, seq, index -> [`crate::Chunk`]: a body too long for its entry's record
    Chunk = 9,
    /// user, conversation -> [`crate::OutboxEntry`]: a change that the user's home may not have yet
    Outbox = 10,
    /// user -> [`crate::Profile`]
    Profile = 11,
    /// class, time, number -> [`crate::AuditEntry`]: in the slot of whom it concerns
    Audit = 12,
    /// conversation -> [`crate::Relation`]: what its two users are to each other
    Relation = 14,
    /// user, other user -> [`crate::Contact`]: a row of the user's list of contacts
    Contact = 15,
    /// user, conversation -> [`crate::ContactOutboxEntry`]: a relation that the user's home may not know yet
    ContactOutbox = 16,
    /// user -> [`crate::Following`]: which notices he wants
    Following = 18,
    /// -> [`crate::OrgState`]: the directory of the organisation as a whole
    OrgState = 22,
    /// department -> [`crate::OrgDepartment`]
    OrgDepartment = 23,
    /// user, department -> [`crate::OrgMember`]
    OrgMember = 24,
    /// version -> [`crate::OrgChange`]: what a client is told of the directory
    OrgChange = 25,
    /// user, device -> [`crate::DeviceSeen`]: where a device was last, and when it was used
    DeviceSeen = 17,
    /// user -> [`crate::Tokens`]: of a service account
    Tokens = 26,
    /// version -> [`crate::OrgGone`]: which of these say that something is gone
    OrgGone = 28,
    /// user -> [`crate::OrgOutboxEntry`]: departments that the user's home may not know yet
    OrgOutbox = 29,
    /// user -> [`crate::OrgPlace`]: the departments that he is in
    OrgPlace = 30,
    /// user -> [`crate::Presence`]: his own state, and when he was last seen
    Presence = 31,
}

impl Table {
    pub const ALL: [Table; 26] = [
        Table::SlotState,
        Table::Name,
        Table::Account,
        Table::List,
        Table::Checkpoint,
        Table::Remembered,
        Table::Marks,
        Table::Entry,
        Table::Chunk,
        Table::Outbox,
        Table::Profile,
        Table::Audit,
        Table::Relation,
        Table::Contact,
        Table::ContactOutbox,
        Table::Following,
        Table::OrgState,
        Table::OrgDepartment,
        Table::OrgMember,
        Table::OrgChange,
        Table::OrgGone,
        Table::OrgOutbox,
        Table::OrgPlace,
        Table::DeviceSeen,
        Table::Tokens,
        Table::Presence,
    ];

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }
}

/// Bytes of `slot, table`.
pub const PREFIX_LEN: usize = 3;

const _: () = assert!(PREFIX_LEN + wire::limits::NAME_LEN_MAX <= crate::kv::KEY_LEN_MAX);

/// Of an entry of the audit log, within its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditPlace {
    pub class: AuditClass,
    /// Unix milliseconds.
    pub time_ms: u64,
    /// Never used twice; rises with the acts of one shard.
    pub number: u64,
}

/// A key taken apart. `Key::parse(key.bytes())` gives the key back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    SlotState(Slot),
    /// The name in its comparable form.
    Name(String),
    Account(UserId),
    List(UserId, ConversationId),
    Checkpoint(ConversationId),
    Remembered(ConversationId, UserId, DeviceId),
    Marks(ConversationId, UserId),
    Entry(ConversationId, u64),
    Chunk(ConversationId, u64, u16),
    /// In the slot of the conversation, since it commits with its entry.
    Outbox(UserId, ConversationId),
    Profile(UserId),
    Audit(Slot, AuditPlace),
    Relation(ConversationId),
    /// In the slot of the first user, whose list it is.
    Contact(UserId, UserId),
    /// In the slot of the conversation, since it commits with its relation.
    ContactOutbox(UserId, ConversationId),
    Following(UserId),
    /// This and the next ones stand in the slot of the directory.
    OrgState,
    OrgDepartment(u32),
    OrgMember(UserId, u32),
    OrgChange(u64),
    OrgGone(u64),
    OrgOutbox(UserId),
    /// In the slot of the user.
    OrgPlace(UserId),
    DeviceSeen(UserId, DeviceId),
    Tokens(UserId),
    Presence(UserId),
}

impl Key {
    pub fn table(&self) -> Table {
        match self {
            Key::SlotState(_) => Table::SlotState,
            Key::Name(_) => Table::Name,
            Key::Account(_) => Table::Account,
            Key::List(..) => Table::List,
            Key::Checkpoint(_) => Table::Checkpoint,
            Key::Remembered(..) => Table::Remembered,
            Key::Marks(..) => Table::Marks,
            Key::Entry(..) => Table::Entry,
            Key::Chunk(..) => Table::Chunk,
            Key::Outbox(..) => Table::Outbox,
            Key::Profile(_) => Table::Profile,
            Key::Audit(..) => Table::Audit,
            Key::Relation(_) => Table::Relation,
            Key::Contact(..) => Table::Contact,
            Key::ContactOutbox(..) => Table::ContactOutbox,
            Key::Following(_) => Table::Following,
            Key::OrgState => Table::OrgState,
            Key::OrgDepartment(_) => Table::OrgDepartment,
            Key::OrgMember(..) => Table::OrgMember,
            Key::OrgChange(_) => Table::OrgChange,
            Key::OrgGone(_) => Table::OrgGone,
            Key::OrgOutbox(_) => Table::OrgOutbox,
            Key::OrgPlace(_) => Table::OrgPlace,
            Key::Tokens(_) => Table::Tokens,
            Key::DeviceSeen(..) => Table::DeviceSeen,
            Key::Presence(_) => Table::Presence,
        }
    }

    pub fn slot(&self) -> Slot {
        match self {
            Key::SlotState(slot) | Key::Audit(slot, _) => *slot,
            Key::Name(name) => Slot::of_name(name),
            Key::Account(user)
            | Key::List(user, _)
            | Key::Profile(user)
            | Key::Contact(user, _)
            | Key::Following(user)
            | Key::DeviceSeen(user, _)
            | Key::Tokens(user)
            | Key::OrgPlace(user)
            | Key::Presence(user) => user.slot(),
            Key::Checkpoint(conversation)
            | Key::Remembered(conversation, ..)
            | Key::Marks(conversation, _)
            | Key::Entry(conversation, _)
            | Key::Chunk(conversation, ..)
            | Key::Outbox(_, conversation)
            | Key::Relation(conversation)
            | Key::ContactOutbox(_, conversation) => conversation.slot(),
            Key::OrgState
            | Key::OrgDepartment(_)
            | Key::OrgMember(..)
            | Key::OrgChange(_)
            | Key::OrgGone(_)
            | Key::OrgOutbox(_) => org_slot(),
        }
    }

    pub fn bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.len());
        self.write(&mut out);
        out.into()
    }

    /// Appends the key's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_prefix(out, self.slot(), self.table());
        match self {
            Key::SlotState(_) | Key::OrgState => {}
            Key::Audit(_, place) => {
                out.put_u8(place.class as u8);
                out.put_u64(place.time_ms);
                out.put_u64(place.number);
            }
            Key::OrgDepartment(department) => out.put_u32(*department),
            Key::OrgMember(user, department) => {
                out.put_u64(user.0);
                out.put_u32(*department);
            }
            Key::OrgChange(version) | Key::OrgGone(version) => out.put_u64(*version),
            Key::Name(name) => out.put_slice(name.as_bytes()),
            Key::Account(user)
            | Key::Profile(user)
            | Key::Following(user)
            | Key::Tokens(user)
            | Key::OrgOutbox(user)
            | Key::OrgPlace(user)
            | Key::Presence(user) => out.put_u64(user.0),
            Key::List(user, conversation)
            | Key::Outbox(user, conversation)
            | Key::ContactOutbox(user, conversation) => {
                out.put_u64(user.0);
                put_conversation(out, *conversation);
            }
            Key::Contact(user, other) => {
                out.put_u64(user.0);
                out.put_u64(other.0);
            }
            Key::DeviceSeen(user, device) => {
                out.put_u64(user.0);
                out.put_u32(device.0);
            }
            Key::Checkpoint(conversation) | Key::Relation(conversation) => {
                put_conversation(out, *conversation);
            }
            Key::Remembered(conversation, user, device) => {
                put_conversation(out, *conversation);
                out.put_u64(user.0);
                out.put_u32(device.0);
            }
            Key::Marks(conversation, user) => {
                put_conversation(out, *conversation);
                out.put_u64(user.0);
            }
            Key::Entry(conversation, seq) => {
                put_conversation(out, *conversation);
                out.put_u64(*seq);
            }
            Key::Chunk(conversation, seq, index) => {
                put_conversation(out, *conversation);
                out.put_u64(*seq);
                out.put_u16(*index);
            }
        }
    }

    /// Bytes of the whole key. Exact, so that freezing it costs nothing.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        let ids = match self {
            Key::SlotState(_) | Key::OrgState => 0,
            Key::Audit(..) => 17,
            Key::OrgDepartment(_) => 4,
            Key::Name(name) => name.len(),
            Key::Account(_)
            | Key::Profile(_)
            | Key::Following(_)
            | Key::Tokens(_)
            | Key::OrgChange(_)
            | Key::OrgGone(_)
            | Key::OrgOutbox(_)
            | Key::OrgPlace(_)
            | Key::Presence(_) => 8,
            Key::DeviceSeen(..) | Key::OrgMember(..) => 12,
            Key::List(..) | Key::Outbox(..) | Key::ContactOutbox(..) | Key::Marks(..) | Key::Entry(..) => 24,
            Key::Checkpoint(_) | Key::Relation(_) | Key::Contact(..) => 16,
            Key::Remembered(..) => 28,
            Key::Chunk(..) => 26,
        };
        PREFIX_LEN + ids
    }

    /// The key in these bytes; `None` when they are not a well-formed key.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader(bytes);
        let slot = Slot::new(input.u16()?)?;
        let key = match Table::from_number(input.u8()?)? {
            Table::SlotState => Key::SlotState(slot),
            Table::Audit => {
                let class = AuditClass::from_number(input.u8()?)?;
                Key::Audit(slot, AuditPlace { class, time_ms: input.u64()?, number: input.u64()? })
            }
            Table::Name => Key::Name(String::from_utf8(std::mem::take(&mut input.0).to_vec()).ok()?),
            Table::Account => Key::Account(input.user()?),
            Table::List => Key::List(input.user()?, input.conversation()?),
            Table::Outbox => Key::Outbox(input.user()?, input.conversation()?),
            Table::Profile => Key::Profile(input.user()?),
            Table::Relation => Key::Relation(input.conversation()?),
            Table::Contact => Key::Contact(input.user()?, input.user()?),
            Table::ContactOutbox => Key::ContactOutbox(input.user()?, input.conversation()?),
            Table::Following => Key::Following(input.user()?),
            Table::OrgState => Key::OrgState,
            Table::OrgDepartment => Key::OrgDepartment(input.u32()?),
            Table::OrgMember => Key::OrgMember(input.user()?, input.u32()?),
            Table::OrgChange => Key::OrgChange(input.u64()?),
            Table::OrgGone => Key::OrgGone(input.u64()?),
            Table::OrgOutbox => Key::OrgOutbox(input.user()?),
            Table::OrgPlace => Key::OrgPlace(input.user()?),
            Table::Tokens => Key::Tokens(input.user()?),
            Table::DeviceSeen => Key::DeviceSeen(input.user()?, DeviceId(input.u32()?)),
            Table::Checkpoint => Key::Checkpoint(input.conversation()?),
            Table::Remembered => {
                Key::Remembered(input.conversation()?, input.user()?, DeviceId(input.u32()?))
            }
            Table::Presence => Key::Presence(input.user()?),
            Table::Marks => Key::Marks(input.conversation()?, input.user()?),
            Table::Entry => Key::Entry(input.conversation()?, input.u64()?),
            Table::Chunk => Key::Chunk(input.conversation()?, input.u64()?, input.u16()?),
        };
        (input.0.is_empty() && key.slot() == slot).then_some(key)
    }
}

/// All keys of one table of one slot, as `from..to`.
pub fn table_range(slot: Slot, table: Table) -> (Bytes, Bytes) {
    let from = start(slot, table, 0).freeze();
    let to = end_of(&from);
    (from, to)
}

/// Names of one slot with `after < name < before`, in their comparable forms.
pub fn name_range(slot: Slot, after: Option<&str>, before: Option<&str>) -> (Bytes, Bytes) {
    let (first, behind) = table_range(slot, Table::Name);
    let key = |name: &str, more: &[u8]| Bytes::from([&first, name.as_bytes(), more].concat());
    let from = after.map_or_else(|| first.clone(), |name| key(name, &[0]));
    let to = before.map_or(behind, |name| key(name, &[]));
    (from, to)
}

/// Entries of one class of a slot's audit log behind a time and number.
pub fn audit_range(slot: Slot, class: AuditClass, (time_ms, number): (u64, u64)) -> (Bytes, Bytes) {
    let mut from = start(slot, Table::Audit, 18);
    from.put_u8(class as u8);
    let to = end_of(&from);
    from.put_u64(time_ms);
    from.put_u64(number);
    from.put_u8(0);
    (from.freeze(), to)
}

/// All list entries of a user.
pub fn list_range(user: UserId) -> (Bytes, Bytes) {
    user_range(user, Table::List)
}

/// All rows of a user's list of contacts.
pub fn contact_range(user: UserId) -> (Bytes, Bytes) {
    user_range(user, Table::Contact)
}

/// The departments that a user is in directly.
pub fn org_member_range(user: UserId) -> (Bytes, Bytes) {
    let mut from = start(org_slot(), Table::OrgMember, 8);
    from.put_u64(user.0);
    let from = from.freeze();
    let to = end_of(&from);
    (from, to)
}

/// Changes of the directory behind a version.
pub fn org_change_range(version: u64) -> (Bytes, Bytes) {
    let (first, to) = table_range(org_slot(), Table::OrgChange);
    let from = version.checked_add(1).map(|version| Key::OrgChange(version).bytes());
    let from = if version == 0 { first } else { from.unwrap_or_else(|| to.clone()) };
    (from, to)
}
/// What is known of a user's devices beside his account.
pub fn device_range(user: UserId) -> (Bytes, Bytes) {
    user_range(user, Table::DeviceSeen)
}

fn user_range(user: UserId, table: Table) -> (Bytes, Bytes) {
    let mut from = start(user.slot(), table, 8);
    from.put_u64(user.0);
    let from = from.freeze();
    let to = end_of(&from);
    (from, to)
}

/// All keys of `table` (one of the conversation's) for this conversation.
pub fn conversation_range(conversation: ConversationId, table: Table) -> (Bytes, Bytes) {
    let mut from = start(conversation.slot(), table, 16);
    put_conversation(&mut from, conversation);
    let from = from.freeze();
    let to = end_of(&from);
    (from, to)
}

/// Entries with `first <= seq <= last`.
pub fn entry_range(conversation: ConversationId, first: u64, last: u64) -> (Bytes, Bytes) {
    let from = Key::Entry(conversation, first).bytes();
    let to = match last.checked_add(1) {
        Some(behind) => Key::Entry(conversation, behind).bytes(),
        None => conversation_range(conversation, Table::Entry).1,
    };
    (from, to)
}

/// Chunks of the entries with `first <= seq <= last`.
pub fn chunk_range(conversation: ConversationId, first: u64, last: u64) -> (Bytes, Bytes) {
    let from = Key::Chunk(conversation, first, 0).bytes();
    let to = match last.checked_add(1) {
        Some(behind) => Key::Chunk(conversation, behind, 0).bytes(),
        None => conversation_range(conversation, Table::Chunk).1,
    };
    (from, to)
}

fn start(slot: Slot, table: Table, more: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(PREFIX_LEN + more);
    put_prefix(&mut out, slot, table);
    out
}

fn put_prefix(out: &mut impl BufMut, slot: Slot, table: Table) {
    out.put_u16(slot.number());
    out.put_u8(table as u8);
}

fn put_conversation(out: &mut impl BufMut, conversation: ConversationId) {
    out.put_u64(conversation.low.0);
    out.put_u64(conversation.high.0);
}

/// The first key behind all keys that start with `prefix`.
fn end_of(prefix: &[u8]) -> Bytes {
    let last = prefix.iter().rposition(|byte| *byte != 0xff).expect("a slot number is below 0xffff");
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn user(&mut self) -> Option<UserId> {
        self.u64().map(UserId)
    }

    fn conversation(&mut self) -> Option<ConversationId> {
        Some(ConversationId { low: self.user()?, high: self.user()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_stay_in_their_ranges() {
        let user = UserId(5 << 10 | 1023);
        let chat = ConversationId::private(user, UserId(6 << 10 | 3)).expect("two users");
        let keys = [
            Key::SlotState(user.slot()),
            Key::Audit(user.slot(), AuditPlace { class: AuditClass::Known, time_ms: 7, number: 9 }),
            Key::Name("ann".into()),
            Key::Name("n".repeat(wire::limits::NAME_LEN_MAX)),
            Key::Account(user),
            Key::List(user, chat),
            Key::Checkpoint(chat),
            Key::Remembered(chat, user, DeviceId(7)),
            Key::Marks(chat, user),
            Key::Entry(chat, u64::MAX),
            Key::Chunk(chat, 3, 9),
            Key::Outbox(user, chat),
            Key::Profile(user),
            Key::Relation(chat),
            Key::Contact(user, UserId(6 << 10 | 3)),
            Key::ContactOutbox(user, chat),
            Key::Following(user),
            Key::OrgState,
            Key::OrgDepartment(u32::MAX),
            Key::OrgMember(user, 7),
            Key::OrgChange(u64::MAX),
            Key::OrgGone(1),
            Key::OrgOutbox(user),
            Key::OrgPlace(user),
            Key::Tokens(user),
            Key::DeviceSeen(user, DeviceId(7)),
            Key::Presence(user),
        ];
        for key in keys {
            let bytes = key.bytes();
            assert!(bytes.len() <= crate::kv::KEY_LEN_MAX);
            assert_eq!(bytes.len(), key.len(), "{key:?}");
            assert_eq!(Key::parse(&bytes), Some(key.clone()));
            let (from, to) = table_range(key.slot(), key.table());
            assert!(from <= bytes && bytes < to, "{key:?} is outside its table");
            let longer = [&bytes[..], b"\xff"].concat();
            assert_ne!(Key::parse(&longer), Some(key.clone()), "{key:?} with a trailing byte");
            if !matches!(key, Key::Name(_)) {
                assert_eq!(Key::parse(&longer), None, "{key:?} with a trailing byte");
            }
        }
        let (from, to) = entry_range(chat, 2, u64::MAX);
        assert!(Key::Entry(chat, 1).bytes() < from && Key::Entry(chat, u64::MAX).bytes() < to);
        let name = Key::Name("ann".into());
        let within = |after, before| {
            let (from, to) = name_range(name.slot(), after, before);
            (from..to).contains(&name.bytes())
        };
        assert!(within(None, None) && within(Some("anm"), Some("anna")) && within(Some("an"), None));
        assert!(!within(Some("ann"), None) && !within(None, Some("ann")) && !within(Some("anna"), None));
        let (from, to) = org_change_range(3);
        let change = |version| (from..to.clone()).contains(&Key::OrgChange(version).bytes());
        assert!(change.clone()(4) && !change.clone()(3) && change(u64::MAX));
        let (from, to) = org_change_range(u64::MAX);
        assert!(from >= to || from == to);
        let (from, to) = org_member_range(user);
        let member = Key::OrgMember(user, 0).bytes();
        assert!(from <= member && member < to && Key::OrgMember(UserId(user.0 + 1024), 0).bytes() >= to);
        let (from, to) = list_range(user);
        let list = Key::List(user, chat).bytes();
        assert!(from <= list && list < to && Key::List(UserId(user.0 + 1024), chat).bytes() >= to);
    }
}
