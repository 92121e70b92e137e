//! The command table: one row per command and per event. A fact about a command stands in its row and nowhere else.

use crate::body;
use crate::ids::CONVERSATION_ID_LEN;
use crate::limits::{
    CONTACT_TEXT_LEN_MAX, LOGIN_FIELD_LEN_MAX, MENTIONS_MAX, MESSAGE_BODY_LEN_MAX, NAME_LEN_MAX,
    NOTIFY_USERS_MAX, ORG_EDITS_MAX, ORG_NAME_LEN_MAX, ORG_TITLE_LEN_MAX, PAIRS_MAX, PROFILE_CONTACT_LEN_MAX,
    PROFILE_FIELD_NAME_LEN_MAX, PROFILE_FIELD_VALUE_LEN_MAX, PROFILE_FIELDS_MAX, PROFILE_NICKNAME_LEN_MAX,
    PROFILE_TEXT_LEN_MAX,
};
use crate::token::Scope;

/// When a command is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// First on a connection.
    Greeting,
    /// After `Hello`, before login.
    BeforeLogin,
    /// After `LoginStart`'s answer only.
    Challenged,
    /// After login; with a token, when it has [`Scope::Send`].
    AfterLogin,
    /// After login, with a token of any scopes too.
    AnySession,
    /// After login with a token that has this scope.
    Operator(Scope),
    /// After `Hello`, before and after login.
    Any,
}

/// Whose home executes a command, and where the key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The connection's own shard.
    Connection,
    /// The home of the caller.
    Caller,
    /// The home of the user name in the body.
    Name,
    /// The home of the user whose id is the 8 bytes in front of the body.
    User,
    /// The home of the conversation whose id is the 16 bytes in front of the body.
    Conversation,
    /// The home of the directory of the organisation: a fixed slot.
    Org,
}

impl Owner {
    /// Bytes of owner key in front of the body.
    pub const fn key_len(self) -> usize {
        match self {
            Owner::Connection | Owner::Caller | Owner::Name | Owner::Org => 0,
            Owner::User => 8,
            Owner::Conversation => crate::ids::CONVERSATION_ID_LEN,
        }
    }
}

/// What an answer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Changes nothing on disk.
    None,
    /// What it changed is on disk when the answer comes.
    Committed,
}

/// Which allowance a command draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Password work, registration: few per minute and address.
    Login,
    /// Messages and marks.
    Message,
    /// Reads.
    Query,
    /// Heartbeats and the like.
    Light,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub id: u16,
    pub name: &'static str,
    pub phase: Phase,
    pub owner: Owner,
    pub durability: Durability,
    /// Longest frame of this command, in bytes behind the length field.
    pub len_max: usize,
    pub rate: Rate,
    /// The reply when it is not a refusal.
    pub reply: &'static str,
    /// One sentence for PROTOCOL.md.
    pub about: &'static str,
}

const SMALL: usize = 512;
const LOGIN: usize = 3 * LOGIN_FIELD_LEN_MAX;
const CONTACT: usize = SMALL + CONTACT_TEXT_LEN_MAX;
/// A profile's texts, and what stands around each of them.
const PROFILE: usize = SMALL
    + PROFILE_NICKNAME_LEN_MAX
    + 2 * (PROFILE_TEXT_LEN_MAX + PROFILE_CONTACT_LEN_MAX)
    + PROFILE_FIELDS_MAX * (PROFILE_FIELD_NAME_LEN_MAX + PROFILE_FIELD_VALUE_LEN_MAX + 64);
const PAIRS: usize = SMALL + PAIRS_MAX * CONVERSATION_ID_LEN;
const NOTIFY: usize = MESSAGE + NOTIFY_USERS_MAX * 8;
const EDITS: usize = SMALL + ORG_EDITS_MAX * (NAME_LEN_MAX + ORG_NAME_LEN_MAX + ORG_TITLE_LEN_MAX + 128);
const MESSAGE: usize = MESSAGE_BODY_LEN_MAX + SMALL + 8 * MENTIONS_MAX;

macro_rules! commands {
    ($($id:literal $name:ident, $phase:ident $(($scope:ident))?, $owner:ident, $durability:ident, $len_max:expr, $rate:ident, $reply:ident, $about:literal;)+) => {
        /// Client to node. A handler matches on it without a catch-all, so a missing one does not compile.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Command { $(#[doc = $about] $name = $id,)+ }

        impl Command {
            pub const ALL: &[Command] = &[$(Command::$name,)+];

            pub const fn id(self) -> u16 { self as u16 }

            pub fn from_id(id: u16) -> Option<Self> { match id { $($id => Some(Command::$name),)+ _ => None } }

            pub const fn row(self) -> &'static Row {
                match self { $(Command::$name => &Row {
                    id: $id, name: stringify!($name), phase: Phase::$phase $((Scope::$scope))?, owner: Owner::$owner,
                    durability: Durability::$durability, len_max: $len_max, rate: Rate::$rate,
                    reply: stringify!($reply), about: $about,
                },)+ }
            }
        }

        // Each row's body and reply exist under the row's names.
        $(const _: fn() = || {
            fn is_body<B: crate::verified::Body>() {}
            is_body::<body::$name>();
            let _ = Event::$reply;
        };)+
        $(impl body::OfCommand for body::$name { const COMMAND: Command = Command::$name; })+
    };
}

commands! {
    1 Hello, Greeting, Connection, None, SMALL, Light, Welcome, "First frame of a connection: the versions and features the client knows.";
    2 RegisterStart, BeforeLogin, Connection, None, SMALL, Login, RegisterTerms, "Asks for the salt and iteration count under which to register.";
    3 Register, BeforeLogin, Name, Committed, SMALL, Login, Registered, "Creates an account from SCRAM's StoredKey and ServerKey.";
    4 LoginStart, BeforeLogin, Name, None, LOGIN, Login, Challenge, "SCRAM's client-first-message; the answer is a challenge valid for 60 s, once.";
    5 LoginProof, Challenged, Name, Committed, LOGIN, Login, LoggedIn, "SCRAM's client-final-message and the device that logs in.";
    6 Resume, BeforeLogin, Caller, None, LOGIN, Login, Resumed, "Logs in with the ticket of an earlier session.";
    7 WhereToConnect, BeforeLogin, Connection, None, SMALL, Light, Connect, "Asks for the addresses to connect to.";
    8 Ping, Any, Connection, None, SMALL, Light, Pong, "Heartbeat; any other command counts as one too.";
    9 Logout, AnySession, Caller, Committed, SMALL, Light, LoggedOut, "Ends the session and, unless told otherwise, its ticket.";
    10 ListDevices, AfterLogin, Caller, None, SMALL, Query, Devices, "The devices of the caller and their sessions.";
    11 EndSession, AfterLogin, Caller, Committed, SMALL, Query, SessionsEnded, "Ends the session and the ticket of another device of the caller.";
    12 EndOtherSessions, AfterLogin, Caller, Committed, SMALL, Query, SessionsEnded, "Ends all sessions and tickets of the caller but this one.";
    16 FindUser, AnySession, Name, None, SMALL, Query, UserFound, "The user with exactly this name.";
    17 NameUser, AnySession, User, None, SMALL, Query, UserFound, "The name of the user with this id.";
    18 SetProfile, AfterLogin, Caller, Committed, PROFILE, Query, ProfileChanged, "Replaces the caller's own profile as a whole.";
    19 GetProfile, AfterLogin, User, None, SMALL, Query, ProfileFound, "The profile of the user with this id, as the caller may see it; one's own in full.";
    20 ProofStart, AfterLogin, Caller, None, LOGIN, Login, ProofTerms, "Begins the proof of the caller's password; the answer is a challenge valid for 60 s, once.";
    21 ChangePassword, AfterLogin, Caller, Committed, LOGIN, Login, PasswordChanged, "A new password with the proof of the old one; all other sessions end, and every ticket of before.";
    22 DeleteAccount, AfterLogin, Caller, Committed, LOGIN, Login, AccountDeleted, "Deletes the caller's account for good, with the proof of its password.";
    23 CodeStart, BeforeLogin, Connection, None, SMALL, Login, RegisterTerms, "Asks for the salt and iteration count under which to redeem a one-time code.";
    24 RedeemCode, BeforeLogin, Name, Committed, SMALL, Login, CodeRedeemed, "Sets a new password with a one-time code of the operator.";
    32 Send, AfterLogin, Conversation, Committed, MESSAGE, Message, Sent, "Appends a message; answered when it is on disk.";
    33 Pull, AfterLogin, Conversation, None, SMALL, Query, Pulled, "Entries of a log; entries and typed ranges together cover what was asked.";
    34 Mark, AfterLogin, Conversation, Committed, SMALL, Message, Marked, "Delivered or read up to a seq; never goes back.";
    35 Sync, AfterLogin, Caller, None, SMALL, Query, Synced, "What changed in the caller's conversations since a uver.";
    51 ContactRequest, AfterLogin, Conversation, Committed, CONTACT, Query, Related, "Asks the other one to be a contact.";
    52 ContactAccept, AfterLogin, Conversation, Committed, SMALL, Query, Related, "Accepts the other one's request: both are contacts.";
    53 ContactRefuse, AfterLogin, Conversation, Committed, SMALL, Query, Related, "Refuses the other one's request; he is not told.";
    54 ContactRemove, AfterLogin, Conversation, Committed, SMALL, Query, Related, "Ends being contacts, for both, or withdraws the own request.";
    55 Block, AfterLogin, Conversation, Committed, SMALL, Query, Related, "Nothing of the other one comes any more; he is not told.";
    56 Unblock, AfterLogin, Conversation, Committed, SMALL, Query, Related, "Ends a block.";
    57 SetContact, AfterLogin, Caller, Committed, CONTACT, Query, ContactChanged, "The caller's own remark on a contact, and the group he is in.";
    58 SyncContacts, AfterLogin, Caller, None, SMALL, Query, ContactsSynced, "What changed in the caller's contacts since a cver.";
    64 SetPresence, AfterLogin, Caller, Committed, SMALL, Query, PresenceSet, "The caller's own state and text, for all his devices, and who may know when he was last seen.";
    65 SyncPresence, AfterLogin, Caller, None, SMALL, Query, PresenceSynced, "Which of the caller's contacts are online, in pages of rising ids.";
    66 GetPresence, AfterLogin, User, None, SMALL, Query, PresenceFound, "The state of one user, and when he was last seen, as far as the caller may know.";
    72 SetAdverts, AfterLogin, Caller, Committed, SMALL, Query, AdvertsSet, "Switches adverts off or on, for all devices of the caller.";
    80 SyncOrg, AfterLogin, Org, None, SMALL, Query, OrgSynced, "What changed in the directory of the organisation, a page at a time.";
    96 AddUser, Operator(Accounts), Name, Committed, SMALL, Query, UserAdded, "Makes an account whose password is set with a one-time code.";
    97 SetUserState, Operator(Accounts), Name, Committed, SMALL, Query, UserChanged, "Disables an account, and ends its sessions and tickets, or enables it.";
    98 IssueCode, Operator(Accounts), Name, Committed, SMALL, Query, UserChanged, "Makes the password, all sessions and tickets void; a one-time code sets the next password.";
    99 RemoveUser, Operator(Accounts), Name, Committed, SMALL, Query, UserChanged, "Deletes an account for good; its name is not free again for a while.";
    100 ReadAudit, Operator(Audit), Caller, None, SMALL, Query, AuditRead, "A page of the audit log, by rising time.";
    101 ListUsers, Operator(Accounts), Caller, None, SMALL, Query, UsersListed, "A page of all users, by rising name.";
    102 ShowUser, Operator(Accounts), Name, None, SMALL, Query, UsersListed, "The user with this name, as a list of one.";
    104 RelatePairs, Operator(Relations), Caller, Committed, PAIRS, Query, PairsRelated, "Makes contacts of the users of each pair.";
    108 TokenLogin, BeforeLogin, User, Committed, SMALL, Login, LoggedIn, "Logs in as a service account with one of its tokens.";
    109 CreateToken, Operator(Tokens), Name, Committed, SMALL, Query, TokenCreated, "Makes a token of a service account; the account too, when the name is free.";
    110 ListTokens, Operator(Tokens), Name, None, SMALL, Query, TokensListed, "The tokens of a service account, without their secrets.";
    111 RevokeToken, Operator(Tokens), Name, Committed, SMALL, Query, TokenRevoked, "Ends a token and the sessions that logged in with it.";
    112 ListUserDevices, Operator(Accounts), Name, None, SMALL, Query, Devices, "The devices of a user and their sessions.";
    113 EndUserSessions, Operator(Accounts), Name, Committed, SMALL, Query, SessionsEnded, "Ends the session and the ticket of one device of a user, or of all.";
    116 Notify, Operator(Notices), Caller, Committed, NOTIFY, Query, Notified, "A notice of the system: to users, a department and those below it, everybody, or as an advert.";
    120 EditOrg, Operator(Org), Org, Committed, EDITS, Query, OrgEdited, "Edits of the directory of the organisation: all are done, or none.";
}

impl Command {
    /// Whether a client sends it by itself, to keep what it shows up to date: it does not show that somebody sits there. A mark
    /// that something was delivered is one of these too, and one that it was read is not.
    pub const fn is_of_client(self) -> bool {
        matches!(
            self,
            Command::Ping
                | Command::Logout
                | Command::ListDevices
                | Command::NameUser
                | Command::GetProfile
                | Command::Pull
                | Command::Sync
                | Command::SyncContacts
                | Command::SyncPresence
                | Command::GetPresence
                | Command::SyncOrg
        )
    }
}

macro_rules! events {
    ($($id:literal $name:ident, $about:literal;)+) => {
        /// Node to client.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Event { $(#[doc = $about] $name = $id,)+ }

        impl Event {
            pub const ALL: &[Event] = &[$(Event::$name,)+];

            pub const fn id(self) -> u16 { self as u16 }

            /// The event with this id; `None` for one of a later version, which a client skips.
            pub fn from_id(id: u16) -> Option<Self> { match id { $($id => Some(Event::$name),)+ _ => None } }

            pub const fn name(self) -> &'static str { match self { $(Event::$name => stringify!($name),)+ } }

            /// One sentence for PROTOCOL.md.
            pub const fn about(self) -> &'static str { match self { $(Event::$name => $about,)+ } }
        }

        $(impl body::OfEvent for body::$name { const EVENT: Event = Event::$name; })+
    };
}

events! {
    256 Welcome, "Answers Hello: the version chosen and what the node allows.";
    257 Refused, "The command was not done; `code` says why.";
    258 Closing, "The node closes this connection; `code` says why.";
    259 RegisterTerms, "Salt and iteration count to register with.";
    260 Registered, "The account exists, on disk.";
    261 Challenge, "SCRAM's server-first-message.";
    262 LoggedIn, "SCRAM's server-final-message and the new session.";
    263 Resumed, "The session goes on.";
    264 Connect, "Where to connect.";
    265 Pong, "Answers Ping.";
    266 LoggedOut, "The session is over.";
    267 Move, "Reconnect to one of these addresses (none: the same one) after `reconnect_ms` and resume; this connection closes at the deadline.";
    268 Devices, "The user's devices.";
    269 SessionsEnded, "So many sessions were ended; tickets of devices without a session are void as well.";
    272 UserFound, "A user's id and name.";
    274 ProfileChanged, "The user's own profile: the answer to SetProfile, and an event to every device.";
    275 ProfileFound, "A profile as the caller may see it.";
    276 ProofTerms, "A challenge for the old password, salt and iteration count for a new one.";
    277 PasswordChanged, "The new password is on disk; with a new ticket for this session.";
    278 AccountDeleted, "The account is gone; the connection closes.";
    280 CodeRedeemed, "The new password is on disk: log in with it.";
    288 Sent, "The message is on disk under this seq.";
    289 Pulled, "Entries and typed ranges that cover what was asked.";
    290 Marked, "A mark moved: the answer to Mark, and an event to every device of both users.";
    291 Synced, "Changed conversations in rising uver.";
    304 Message, "A new entry, on disk. A hint: the log is the truth.";
    305 HeadMoved, "There are new entries up to this head: pull them.";
    306 SyncNeeded, "Events were dropped for this device: Sync.";
    307 Related, "What the two users are to each other now, as the caller may see it.";
    308 ContactChanged, "A row of the user's contacts: the answer to SetContact, and an event to every device.";
    314 ContactsSynced, "Changed contacts in rising cver.";
    320 PresenceSet, "The user's own state: the answer to SetPresence, and an event to his other devices.";
    321 PresenceSynced, "Contacts who are online. What PresenceChanged told since the question was sent is newer.";
    322 PresenceFound, "The state of one user.";
    323 PresenceChanged, "Contacts whose state changed. Newest wins; after SyncNeeded ask with SyncPresence.";
    328 AdvertsSet, "Whether the user wants adverts: the answer to SetAdverts, and an event to every device.";
    329 Announced, "A notice for those who are online now; it is not stored.";
    336 OrgSynced, "Changed departments and members in rising versions; what is gone comes as such.";
    337 OrgChanged, "The directory has a new version: SyncOrg, if it is wanted here. A hint, and not told of each change.";
    352 UserAdded, "The account exists, on disk.";
    353 UserChanged, "The account is changed, on disk, and its sessions are over where that ends them.";
    356 AuditRead, "Acts on accounts and of operators, the oldest first.";
    357 UsersListed, "Users by rising name.";
    360 PairsRelated, "What came of the pairs.";
    365 TokenCreated, "The token exists, on disk.";
    366 TokensListed, "The tokens of a service account, the oldest first.";
    367 TokenRevoked, "The token serves no more, and its sessions are over.";
    372 Notified, "The notice is on disk where it is stored.";
    376 OrgEdited, "The edits are on disk; the directory has this version.";
}
