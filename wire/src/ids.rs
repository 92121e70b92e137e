//! Identifiers. An id carries its slot in its low 10 bits, so routing reads it and looks nothing up.

use std::fmt;

/// Slots for the life of the data.
pub const SLOTS: u16 = 1_024;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// User numbers within a slot; the whole id stays within 32 bits.
pub const USERS_PER_SLOT_MAX: u32 = 1 << (32 - SLOT_BITS);

/// Unit of ownership, `0..SLOTS`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot with this number; `None` when it is out of range.
    pub const fn new(number: u16) -> Option<Self> {
        if number < SLOTS { Some(Self(number)) } else { None }
    }

    /// The slot in the low bits of an id.
    pub const fn of(id: u64) -> Self {
        Self((id & (SLOTS as u64 - 1)) as u16)
    }

    /// The slot of a name in its comparable form (see [`crate::name`]): XXH3-64, seed 0, low bits.
    pub fn of_name(name: &str) -> Self {
        Self::of(xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
    }

    pub const fn number(self) -> u16 {
        self.0
    }

    pub fn all() -> impl Iterator<Item = Slot> {
        (0..SLOTS).map(Slot)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

/// A user. 64 bits wide, handed out within 32 bits; 0 is nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UserId(pub u64);

impl UserId {
    pub const NOBODY: UserId = UserId(0);
    /// Who writes notices. Not an account: no name, no home.
    pub const SYSTEM: UserId = UserId(1);

    /// The user with this number (from 1) in a slot; `None` when the slot is full.
    pub fn from_parts(slot: Slot, number: u32) -> Option<Self> {
        (1..USERS_PER_SLOT_MAX)
            .contains(&number)
            .then_some(Self((number as u64) << SLOT_BITS | slot.0 as u64))
    }

    pub const fn slot(self) -> Slot {
        Slot::of(self.0)
    }

    pub const fn is_valid(self) -> bool {
        self.0 >> SLOT_BITS != 0 && self.0 <= u32::MAX as u64
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}", self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One device of one user: a number from 1 that is never used twice for that user. 0 asks for a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DeviceId(pub u32);

/// One logged-in device; unique within a node's life, kept when the client's address changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SessionId(pub u64);

/// A log with one writer. A private chat is its two users in ascending order. With `low` 1 it is what the system tells the
/// user `high`. With `low` 0 it has no list of members and is followed: `high` is then the kind in the top 8 bits, a number,
/// and the slot in the low 10 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId {
    pub low: UserId,
    pub high: UserId,
}

/// Kinds of notices for many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Notices {
    /// For everybody.
    All,
    /// For everybody who has not switched them off.
    Adverts,
    /// For the members of a department, and of those below it. Its number, from 1.
    Department(u32),
}

const NOTICE_KIND_SHIFT: u32 = 56;

/// Bytes of a conversation id on the wire and in keys.
pub const CONVERSATION_ID_LEN: usize = 16;

impl ConversationId {
    /// The private chat of two users; `None` when they are the same or one is nobody.
    pub fn private(a: UserId, b: UserId) -> Option<Self> {
        (a != b && a.is_valid() && b.is_valid()).then(|| Self { low: a.min(b), high: a.max(b) })
    }

    /// True for a well-formed id of a kind this node knows.
    pub fn is_valid(self) -> bool {
        match self.low {
            UserId::NOBODY => self.notice().is_some(),
            UserId::SYSTEM => self.high.is_valid(),
            low => low < self.high && low.is_valid() && self.high.is_valid(),
        }
    }

    /// What the system tells one user; beside his other data.
    pub fn system(user: UserId) -> Self {
        Self { low: UserId::SYSTEM, high: user }
    }

    /// A chat of two users.
    pub const fn is_private(self) -> bool {
        self.low.0 > UserId::SYSTEM.0
    }

    /// Without a list of members: shards subscribe to it while they host somebody who follows it.
    pub const fn is_followed(self) -> bool {
        self.low.0 == UserId::NOBODY.0
    }

    /// The notices of this kind.
    pub const fn of_notices(notices: Notices) -> Self {
        let (kind, number) = match notices {
            Notices::All => (1, 0),
            Notices::Adverts => (2, 1),
            Notices::Department(department) => (3, department as u64),
        };
        let high = kind << NOTICE_KIND_SHIFT | number << SLOT_BITS | number & (SLOTS as u64 - 1);
        Self { low: UserId::NOBODY, high: UserId(high) }
    }

    /// Which notices these are; `None` for another kind of conversation and for an id that is not well-formed.
    pub const fn notice(self) -> Option<Notices> {
        let number = (self.high.0 >> SLOT_BITS) as u32;
        let notices = match self.high.0 >> NOTICE_KIND_SHIFT {
            1 => Notices::All,
            2 => Notices::Adverts,
            3 if number > 0 => Notices::Department(number),
            _ => return None,
        };
        let same = Self::of_notices(notices).high.0 == self.high.0;
        if self.is_followed() && same { Some(notices) } else { None }
    }

    /// Whether this user may have it in his list.
    pub fn is_of(self, user: UserId) -> bool {
        self.is_followed() || self.has(user)
    }

    /// Its home's slot. A private chat has that of one of the two users, by a bit of the pair's hash, so that load spreads.
    pub fn slot(self) -> Slot {
        if !self.is_private() {
            return self.high.slot();
        }
        let hash = xxhash_rust::xxh3::xxh3_64(&self.to_bytes());
        if hash & 1 == 0 { self.low.slot() } else { self.high.slot() }
    }

    pub fn users(self) -> [UserId; 2] {
        [self.low, self.high]
    }

    pub fn has(self, user: UserId) -> bool {
        user == self.low || user == self.high
    }

    /// The other one; `None` when `user` is not one of the two.
    pub fn peer_of(self, user: UserId) -> Option<UserId> {
        if user == self.low {
            Some(self.high)
        } else if user == self.high {
            Some(self.low)
        } else {
            None
        }
    }

    /// Little-endian `low` then `high`, as the wire has it.
    pub fn to_bytes(self) -> [u8; CONVERSATION_ID_LEN] {
        let mut bytes = [0; CONVERSATION_ID_LEN];
        bytes[..8].copy_from_slice(&self.low.0.to_le_bytes());
        bytes[8..].copy_from_slice(&self.high.0.to_le_bytes());
        bytes
    }

    pub fn from_bytes(bytes: [u8; CONVERSATION_ID_LEN]) -> Self {
        let (low, high) = bytes.split_at(8);
        Self {
            low: UserId(u64::from_le_bytes(low.try_into().expect("8 of 16 bytes"))),
            high: UserId(u64::from_le_bytes(high.try_into().expect("8 of 16 bytes"))),
        }
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.notice() {
            Some(notices) => write!(f, "notices {notices:?}"),
            None if self.low == UserId::SYSTEM => write!(f, "system to {}", self.high.0),
            None => write!(f, "chat {}+{}", self.low.0, self.high.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_notices_are_told_from_chats_and_from_nonsense() {
        let kinds = [Notices::All, Notices::Adverts, Notices::Department(1), Notices::Department(u32::MAX)];
        for notices in kinds {
            let id = ConversationId::of_notices(notices);
            assert!(id.is_valid() && id.is_followed() && !id.is_private(), "{id:?}");
            assert_eq!(id.notice(), Some(notices));
            assert_eq!(ConversationId::from_bytes(id.to_bytes()), id);
            let other = ConversationId { high: UserId(id.high.0 ^ 1), ..id };
            assert!(!other.is_valid(), "a wrong slot");
        }
        assert!(!ConversationId { low: UserId::NOBODY, high: UserId(5 << 10) }.is_valid());
        assert!(!ConversationId::of_notices(Notices::Department(0)).is_valid());
        let user = UserId(7 << 10 | 1023);
        let system = ConversationId::system(user);
        assert!(system.is_valid() && !system.is_private() && !system.is_followed());
        assert_eq!((system.slot(), system.peer_of(user)), (user.slot(), Some(UserId::SYSTEM)));
        assert!(!ConversationId::system(UserId(9)).is_valid());
        assert_eq!(ConversationId::private(UserId::SYSTEM, user), None);
    }
}

/// Where a shard is. A remote node's shard is an address like any other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ShardAddress {
    pub node: u16,
    pub shard: u16,
}

/// A socket of one shard. The generation makes a late completion for a closed one harmless.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId {
    pub shard: u16,
    pub index: u32,
    pub generation: u32,
}
