//! Records: `[u8 kind][u8 version]` and a frozen rkyv archive. A version's type never changes; a new one is added and the
//! old one read on. Golden bytes of every version stand in the tests.

use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};

/// A value that cannot be read. The store is damaged or was written by a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record is cut short")]
    Short,
    #[error("the record is of kind {found}, not {wanted}")]
    Kind { found: u8, wanted: u8 },
    #[error("the record's version {version} of kind {kind} is not known to this program")]
    Version { kind: u8, version: u8 },
    #[error("the record of kind {kind} does not verify")]
    Damaged { kind: u8 },
}

/// A type that is stored as one value.
pub trait Record: Sized {
    /// First byte of the value; equals the number of its table.
    const KIND: u8;

    /// The value alone.
    fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(256);
        self.write(&mut out);
        out.into_boxed_slice().into() // given back room costs less than a counter beside the bytes
    }

    /// Appends the value.
    fn write(&self, out: &mut Vec<u8>);

    fn decode(value: &[u8]) -> Result<Self, RecordError>;
}

macro_rules! record {
    ($name:ident, $table:ident, $version:literal) => {
        $crate::records::versioned!($name, $table, $version,);
    };
}

/// The same for a type of which older versions are read.
macro_rules! versioned {
    ($name:ident, $table:ident, $version:literal, $($old:literal => $old_name:ident),*) => {
        impl Record for $name {
            const KIND: u8 = crate::keys::Table::$table as u8;

            fn write(&self, out: &mut Vec<u8>) {
                out.extend([Self::KIND, $version]);
                // Positions in an archive are relative, and nothing in it is aligned: it may begin anywhere.
                *out = rkyv::api::high::to_bytes_in::<_, rkyv::rancor::Error>(self, std::mem::take(out))
                    .expect("an in-memory archive cannot fail");
            }

            fn decode(value: &[u8]) -> Result<Self, RecordError> {
                let damaged = |_| RecordError::Damaged { kind: Self::KIND };
                match value {
                    [kind, $version, body @ ..] if *kind == Self::KIND => {
                        rkyv::from_bytes::<Self, rkyv::rancor::Error>(body).map_err(damaged)
                    }
                    $([kind, $old, body @ ..] if *kind == Self::KIND => {
                        rkyv::from_bytes::<$old_name, rkyv::rancor::Error>(body).map(Self::from).map_err(damaged)
                    })*
                    [kind, version, ..] if *kind == Self::KIND => {
                        Err(RecordError::Version { kind: Self::KIND, version: *version })
                    }
                    [kind, _, ..] => Err(RecordError::Kind { found: *kind, wanted: Self::KIND }),
                    _ => Err(RecordError::Short),
                }
            }
        }
    };
}

pub(crate) use {record, versioned};

/// What a slot hands out.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct SlotState {
    /// Users numbered so far; the next one gets this plus one.
    pub users: u32,
}
record!(SlotState, SlotState, 1);

/// Who has a name.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct NameEntry {
    pub user: u64,
}
record!(NameEntry, Name, 1);

/// A way to prove a password.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Credential {
    ScramSha256 { salt: [u8; 16], iterations: u32, stored_key: [u8; 32], server_key: [u8; 32] },
}

/// One device of an account.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Device {
    pub device: u32,
    /// Rises with each full login and each revocation; a ticket names it.
    pub generation: u32,
    /// 1 desktop, 2 mobile, 3 web, 4 bot.
    pub class: u8,
    pub name: String,
    /// Last full login, Unix milliseconds.
    pub login_ms: u64,
}

/// Whether an account can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub enum AccountState {
    #[default]
    Active,
    /// By the operator, until he enables it.
    Disabled,
    /// For good. The record stays, so that the person has a name in what was written.
    Deleted,
}

/// What the operator gave somebody to set a new password with, once.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct OneTimeCode {
    /// SHA-256 of the code.
    pub hash: [u8; 32],
    /// Unix milliseconds.
    pub expiry_ms: u64,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Account {
    /// As the user wrote it.
    pub name: String,
    pub created_ms: u64,
    /// Empty: nobody can log in until a code is redeemed, or ever.
    pub credentials: Vec<Credential>,
    /// Devices numbered so far.
    pub devices_issued: u32,
    pub devices: Vec<Device>,
    pub state: AccountState,
    /// Since when it is in this state, Unix milliseconds; 0: since it was created.
    pub state_ms: u64,
    pub code: Option<OneTimeCode>,
}
versioned!(Account, Account, 2, 1 => AccountV1);

/// Accounts of version 1 knew no state.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct AccountV1 {
    pub name: String,
    pub created_ms: u64,
    pub credentials: Vec<Credential>,
    pub devices_issued: u32,
    pub devices: Vec<Device>,
}

impl From<AccountV1> for Account {
    fn from(old: AccountV1) -> Self {
        let AccountV1 { name, created_ms, credentials, devices_issued, devices } = old;
        let (state, state_ms, code) = (AccountState::Active, 0, None);
        Self { name, created_ms, credentials, devices_issued, devices, state, state_ms, code }
    }
}

/// A place in a log.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Place {
    pub seq: u64,
    pub ord: u64,
}

impl From<Place> for wire::message::Place {
    fn from(place: Place) -> Self {
        wire::message::Place { seq: place.seq, ord: place.ord }
    }
}

/// Delivered and read of one user in one conversation; each only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Marks {
    pub delivered: Place,
    pub read: Place,
}
record!(Marks, Marks, 1);

impl Marks {
    /// The higher of both, mark by mark.
    pub fn max(self, other: Self) -> Self {
        Self { delivered: self.delivered.max(other.delivered), read: self.read.max(other.read) }
    }
}

/// What one user is told about one conversation. Merging takes the higher of each field, so the order of arrival does
/// not matter and a repeat changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Digest {
    pub epoch: u32,
    pub head: Place,
    /// Time of the head entry, Unix milliseconds.
    pub time_ms: u64,
    pub own: Marks,
    pub peer: Marks,
    /// Seq of the last message that mentions the user; 0: none.
    pub mentioned: u64,
}

impl Digest {
    /// The higher of both, field by field.
    pub fn max(self, other: Self) -> Self {
        Self {
            epoch: self.epoch.max(other.epoch),
            head: self.head.max(other.head),
            time_ms: self.time_ms.max(other.time_ms),
            own: self.own.max(other.own),
            peer: self.peer.max(other.peer),
            mentioned: self.mentioned.max(other.mentioned),
        }
    }
}

/// One conversation in a user's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ListEntry {
    /// Version of the user's list at which this entry last changed.
    pub uver: u64,
    pub digest: Digest,
}
versioned!(ListEntry, List, 2, 1 => ListEntryV1);

/// A change that the user's home may not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct OutboxEntry {
    pub digest: Digest,
}
versioned!(OutboxEntry, Outbox, 2, 1 => OutboxEntryV1);

/// Digests knew no mentions before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DigestV1 {
    pub epoch: u32,
    pub head: Place,
    pub time_ms: u64,
    pub own: Marks,
    pub peer: Marks,
}

impl From<DigestV1> for Digest {
    fn from(old: DigestV1) -> Self {
        let DigestV1 { epoch, head, time_ms, own, peer } = old;
        Self { epoch, head, time_ms, own, peer, mentioned: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ListEntryV1 {
    pub uver: u64,
    pub digest: DigestV1,
}

impl From<ListEntryV1> for ListEntry {
    fn from(old: ListEntryV1) -> Self {
        Self { uver: old.uver, digest: old.digest.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct OutboxEntryV1 {
    pub digest: DigestV1,
}

impl From<OutboxEntryV1> for OutboxEntry {
    fn from(old: OutboxEntryV1) -> Self {
        Self { digest: old.digest.into() }
    }
}

/// State of a conversation up to a seq; what came later is rebuilt from the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Checkpoint {
    pub epoch: u32,
    pub head: Place,
    pub time_ms: u64,
}
record!(Checkpoint, Checkpoint, 1);

/// One send as it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct RememberedSend {
    pub counter: u64,
    /// XXH3-64 of body kind and body.
    pub hash: u64,
    pub place: Place,
    pub time_ms: u64,
}

/// The last sends of one device in a conversation, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Remembered {
    pub sends: Vec<RememberedSend>,
}
record!(Remembered, Remembered, 1);

/// Longest body that stands in its entry's record; a longer one is in chunks.
pub const INLINE_BODY_LEN_MAX: usize = 3_500;
/// Bytes of body in one chunk.
pub const CHUNK_LEN: usize = 3_900;

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Chunk {
    pub bytes: Vec<u8>,
}
record!(Chunk, Chunk, 1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, PlainEntry};
    use rkyv::rancor::Error as RkyvError;

    #[test]
    fn an_archive_behind_its_header_is_the_archive_alone() {
        let entry = PlainEntry {
            ord: 1,
            time_ms: 2,
            sender: 3,
            device: 4,
            counter: 5,
            hash: 6,
            kind: 1,
            body_kind: 2,
            body_len: 5,
            body: b"hello".to_vec(),
        };
        let alone = rkyv::to_bytes::<RkyvError>(&entry).expect("an archive");
        let value = entry.encode();
        assert_eq!(value[..2], [Entry::KIND, 1]);
        assert_eq!(value[2..], alone[..]);
        assert_eq!(Entry::decode(&value), Ok(Entry::from(entry)));
    }

    #[test]
    fn a_list_entry_of_version_1_has_no_mention() {
        let place = |seq| Place { seq, ord: seq - 1 };
        let own = Marks { delivered: place(5), read: place(4) };
        let digest = DigestV1 { epoch: 1, head: place(6), time_ms: 7, own, peer: Marks::default() };
        let body = rkyv::to_bytes::<RkyvError>(&ListEntryV1 { uver: 9, digest }).expect("an archive");
        let value = [&[ListEntry::KIND, 1], &body[..]].concat();
        let read = ListEntry::decode(&value).expect("it is read");
        assert_eq!(read, ListEntry { uver: 9, digest: digest.into() });
        assert_eq!((read.digest.mentioned, read.digest.head), (0, place(6)));
        let mentioned = ListEntry { digest: Digest { mentioned: 3, ..read.digest }, ..read };
        assert_eq!(ListEntry::decode(&mentioned.encode()), Ok(mentioned));
    }

    #[test]
    fn an_account_of_version_1_is_an_active_one() {
        let old = AccountV1 {
            name: "ann".into(),
            created_ms: 7,
            credentials: Vec::new(),
            devices_issued: 1,
            devices: vec![Device { device: 1, generation: 2, class: 1, name: "desk".into(), login_ms: 9 }],
        };
        let body = rkyv::to_bytes::<RkyvError>(&old).expect("an archive");
        let value = [&[Account::KIND, 1], &body[..]].concat();
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, ACCOUNT_V1, "what is on disks");
        let account = Account::decode(&value).expect("it is read");
        assert_eq!(account, Account::from(old));
        assert_eq!((account.state, account.code.is_none()), (AccountState::Active, true));
        assert_eq!(Account::decode(&account.encode()), Ok(account));
    }

    const ACCOUNT_V1: &str = concat!(
        "03010100000002000000016465736bffffffff0900000000000000616e6effffffffff0700000000000000d7ffffff00000000",
        "01000000cbffffff01000000"
    );

    #[test]
    fn records_of_another_kind_or_version_and_damaged_ones_are_told_apart() {
        let value = Marks::default().encode();
        assert_eq!(Marks::decode(&[]), Err(RecordError::Short));
        assert_eq!(Entry::decode(&value), Err(RecordError::Kind { found: Marks::KIND, wanted: Entry::KIND }));
        let later = [&[Marks::KIND, 9], &value[2..]].concat();
        assert_eq!(Marks::decode(&later), Err(RecordError::Version { kind: Marks::KIND, version: 9 }));
        assert_eq!(Marks::decode(&value[..value.len() - 1]), Err(RecordError::Damaged { kind: Marks::KIND }));
    }
}
