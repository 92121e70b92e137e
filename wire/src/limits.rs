//! Limits of the protocol, which both sides keep. The node's own limits are in its packages.

/// Versions of the protocol that this code speaks.
pub const VERSION_MIN: u16 = 1;
pub const VERSION_MAX: u16 = 1;

/// Longest frame (bytes behind the length field) before login.
pub const FRAME_LEN_MAX_BEFORE_LOGIN: usize = 64 * 1024;
/// Longest frame (bytes behind the length field) after login.
pub const FRAME_LEN_MAX: usize = 1024 * 1024;
/// Longest body of a message in bytes.
pub const MESSAGE_BODY_LEN_MAX: usize = 64 * 1024;
/// Users that a message mentions.
pub const MENTIONS_MAX: usize = 64;
/// A reaction, in bytes of UTF-8.
pub const REACTION_LEN_MAX: usize = 64;
/// Sends of one device without an answer.
pub const WINDOW_MAX: u16 = 32;
/// Nesting of a body.
pub const BODY_DEPTH_MAX: usize = 8;
/// Tables in one body: the largest is `Synced` or `Pulled` with this many rows less a few.
pub const BODY_TABLES_MAX: usize = 4_096;
/// Entries in one `Pulled`.
pub const PULL_ENTRIES_MAX: u32 = 1_024;
/// Entry bytes in one `Pulled`; the entry that crosses it is included, so a frame stays under its limit.
pub const PULL_BYTES_MAX: u32 = 256 * 1024;
/// Changes in one `Synced`.
pub const SYNC_CHANGES_MAX: u32 = 1_024;
/// A name, in bytes of UTF-8.
pub const NAME_LEN_MAX: usize = 64;
/// A device's or software's own name, in bytes of UTF-8.
pub const LABEL_LEN_MAX: usize = 64;
/// What somebody writes with his request to be a contact, in bytes of UTF-8.
pub const CONTACT_TEXT_LEN_MAX: usize = 256;
/// A user's remark on a contact, in bytes of UTF-8.
pub const CONTACT_REMARK_LEN_MAX: usize = 128;
/// The group that a user puts a contact in, in bytes of UTF-8.
pub const CONTACT_GROUP_LEN_MAX: usize = 64;
/// Rows in one `ContactsSynced`.
pub const CONTACTS_SYNCED_MAX: u32 = 256;
/// Name of a department, in bytes of UTF-8.
pub const ORG_NAME_LEN_MAX: usize = 128;
/// Title of a member of a department, in bytes of UTF-8.
pub const ORG_TITLE_LEN_MAX: usize = 128;
/// Rows in one `OrgSynced`.
pub const ORG_ROWS_MAX: u32 = 512;
/// Users in one `UsersListed`.
pub const USERS_LISTED_MAX: u32 = 256;
/// Lines in one `AuditRead`.
pub const AUDIT_LINES_MAX: u32 = 256;
/// Users in one `Notify`.
pub const NOTIFY_USERS_MAX: usize = 1_000;
/// Edits in one `EditOrg`.
pub const ORG_EDITS_MAX: usize = 256;
/// Pairs in one `RelatePairs`.
pub const PAIRS_MAX: usize = 1_024;
/// What a user writes beside his state, in bytes of UTF-8.
pub const PRESENCE_TEXT_LEN_MAX: usize = 128;
/// Contacts in one `PresenceSynced` or `PresenceChanged`.
pub const PRESENCES_MAX: u32 = 256;
/// Tokens of one service account.
pub const TOKENS_MAX: usize = 16;
/// What a token is for, in the operator's words, in bytes of UTF-8.
pub const TOKEN_LABEL_LEN_MAX: usize = 64;
/// Texts of a profile, in bytes of UTF-8: the nickname; avatar and signature, each; e-mail and phone, each.
pub const PROFILE_NICKNAME_LEN_MAX: usize = 64;
pub const PROFILE_TEXT_LEN_MAX: usize = 128;
pub const PROFILE_CONTACT_LEN_MAX: usize = 128;
/// Fields of a profile that the user names himself, and their names and values in bytes of UTF-8.
pub const PROFILE_FIELDS_MAX: usize = 12;
pub const PROFILE_FIELD_NAME_LEN_MAX: usize = 32;
pub const PROFILE_FIELD_VALUE_LEN_MAX: usize = 128;
/// A one-time code, in bytes.
pub const CODE_LEN_MAX: usize = 64;
/// A SCRAM message or a ticket, in bytes.
pub const LOGIN_FIELD_LEN_MAX: usize = 1_024;
/// Highest seq of a log, which none reaches; a client takes a higher one for nonsense.
pub const SEQ_MAX: u64 = 1 << 60;
/// How long a challenge is valid.
pub const CHALLENGE_MS_MAX: u64 = 60_000;

const _: () =
    assert!(PULL_BYTES_MAX as usize + MESSAGE_BODY_LEN_MAX + PULL_ENTRIES_MAX as usize * 128 < FRAME_LEN_MAX);
const _: () = assert!(MESSAGE_BODY_LEN_MAX + 4_096 < FRAME_LEN_MAX);
const _: () = assert!(
    CONTACTS_SYNCED_MAX as usize
        * (CONTACT_TEXT_LEN_MAX + CONTACT_REMARK_LEN_MAX + CONTACT_GROUP_LEN_MAX + 128)
        < FRAME_LEN_MAX
);
const _: () = assert!(
    ORG_ROWS_MAX as usize * (ORG_NAME_LEN_MAX + ORG_TITLE_LEN_MAX + 128) < FRAME_LEN_MAX
        && NAME_LEN_MAX <= ORG_NAME_LEN_MAX
);
const _: () = assert!(PRESENCES_MAX as usize * (PRESENCE_TEXT_LEN_MAX + 64) < FRAME_LEN_MAX);
const _: () = assert!(BODY_TABLES_MAX > PULL_ENTRIES_MAX as usize * 2);
