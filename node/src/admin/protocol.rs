//! Requests and answers as they stand on the socket: one JSON object per line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::UserId;
use wire::org::{Department, Member, OrgItem};

/// One request, such as `{"op":"list_users","after":null,"users_max":100}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Status,
    ChangeUser {
        name: String,
        act: UserAct,
    },
    ShowUser {
        name: String,
    },
    AddUser {
        name: String,
        credential: Credential,
    },
    ResetUser {
        name: String,
        credential: Credential,
    },
    ListUsers {
        after: Option<String>,
        users_max: u32,
    },
    /// The token's secret stays with whoever asks.
    CreateToken {
        name: String,
        token: NewToken,
    },
    ListTokens {
        name: String,
    },
    RevokeToken {
        name: String,
        number: u32,
    },
    /// Entries of the audit log behind a time (Unix milliseconds) and number.
    ReadAudit {
        after: (u64, u64),
        rows_max: u32,
    },
    /// Writes a notice. `id` is any number but 0; the same one again with the same text is the same notice.
    Issue {
        to: Recipients,
        id: u64,
        online_now: bool,
        text: String,
    },
    ListDevices {
        name: String,
    },
    EndSessions {
        name: String,
        device: Option<u32>,
    },
    Stats,
    /// Edits of the directory that are done together, at most 256; `expected` is the version they were made for, 0 any.
    EditOrg {
        expected: u64,
        edits: Vec<OrgEntry>,
    },
    /// A page of changes of the directory, as `SyncOrg` of the protocol.
    OrgPage {
        over: u64,
        page: u64,
        rows_max: u32,
    },
    /// Which users have these names, at most 256.
    FindUsers {
        names: Vec<String>,
    },
}

/// Whom a notice is for, such as `"all"` or `{"department":7}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Recipients {
    All,
    /// All who have not switched adverts off.
    Adverts,
    /// The members of this department, and of those below it.
    Department(u32),
    /// The user with this name.
    User(String),
}

/// One answer, such as `{"reply":"added","user":1024}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Status(Status),
    Added {
        user: u64,
    },
    Reset {
        user: u64,
        sessions_ended: u32,
    },
    /// On disk as this entry of its log; 0 where it was told to those who are online only.
    Issued {
        seq: u64,
        time_ms: u64,
    },
    Changed {
        user: u64,
        sessions_ended: u32,
    },
    User(User),
    /// By rising comparable form of the name.
    Users {
        users: Vec<User>,
        more: bool,
    },
    TokenCreated {
        user: u64,
        number: u32,
    },
    /// The oldest first.
    Tokens {
        user: u64,
        tokens: Vec<Token>,
    },
    /// The oldest first.
    Audit {
        lines: Vec<AuditLine>,
        /// Ask again from here; absent: there is nothing more.
        covered: Option<(u64, u64)>,
    },
    TokenRevoked {
        user: u64,
        number: u32,
        sessions_ended: u32,
    },
    /// By rising number.
    Devices {
        user: u64,
        devices: Vec<Device>,
    },
    Ended {
        user: u64,
        sessions_ended: u32,
    },
    /// The figures of `GET /metrics` by their names, summed over the shards and over the store shards.
    Stats {
        figures: BTreeMap<String, f64>,
        /// Shards that did not answer in time: their figures are missing.
        silent: Vec<u16>,
    },
    OrgEdited {
        version: u64,
    },
    /// One of the edits does not fit, by its place among them: none was done.
    OrgUnfit {
        edit: u32,
        reason: String,
    },
    OrgPage {
        over: u64,
        to: u64,
        more: bool,
        afresh: bool,
        rows: Vec<OrgEntry>,
    },
    /// In the order of the names.
    Found {
        users: Vec<Option<u64>>,
    },
    /// Understood and not done; a sentence for people.
    Refused {
        reason: String,
    },
    /// Not understood, or the node could not do it; a sentence for people.
    Failed {
        reason: String,
    },
}

/// SCRAM-SHA-256's keys of a password, as RFC 5802 derives them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    #[serde(with = "crate::hex")]
    pub salt: [u8; 16],
    pub iterations: u32,
    #[serde(with = "crate::hex")]
    pub stored_key: [u8; 32],
    #[serde(with = "crate::hex")]
    pub server_key: [u8; 32],
}

/// Something in the directory of the organisation, or that it is to be gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OrgEntry {
    Department { id: u32, parent: u32, order: u32, name: String },
    Member { department: u32, user: u64, order: u32, name: String, title: String },
    DepartmentGone { id: u32 },
    MemberGone { department: u32, user: u64 },
}

impl From<OrgEntry> for OrgItem {
    fn from(entry: OrgEntry) -> Self {
        match entry {
            OrgEntry::Department { id, parent, order, name } => {
                OrgItem::Department(Department { id, parent, order, name })
            }
            OrgEntry::Member { department, user, order, name, title } => {
                OrgItem::Member(Member { department, user: UserId(user), order, name, title })
            }
            OrgEntry::DepartmentGone { id } => OrgItem::DepartmentGone(id),
            OrgEntry::MemberGone { department, user } => {
                OrgItem::MemberGone { department, user: UserId(user) }
            }
        }
    }
}

impl From<OrgItem> for OrgEntry {
    fn from(item: OrgItem) -> Self {
        match item {
            OrgItem::Department(Department { id, parent, order, name }) => {
                OrgEntry::Department { id, parent, order, name }
            }
            OrgItem::Member(Member { department, user, order, name, title }) => {
                OrgEntry::Member { department, user: user.0, order, name, title }
            }
            OrgItem::DepartmentGone(id) => OrgEntry::DepartmentGone { id },
            OrgItem::MemberGone { department, user } => OrgEntry::MemberGone { department, user: user.0 },
        }
    }
}

/// What a running node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub process: u32,
    pub shards: u16,
    pub store_shards: u16,
    /// Addresses with TLS.
    pub listen: Vec<String>,
    pub listen_plain: Vec<String>,
    /// Where figures are told over HTTP; absent when that is switched off.
    pub admin_http: Option<String>,
    /// SHA-256 of the certificate, `AB:CD:...`; absent without TLS.
    pub fingerprint: Option<String>,
    /// Rounds of PBKDF2 for new passwords.
    pub iterations: u32,
    pub registration_open: bool,
}

/// One user in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub user: u64,
    pub name: String,
    /// Unix milliseconds.
    pub created_ms: u64,
    pub devices: u32,
    pub state: State,
    /// Since when it is so, Unix milliseconds; 0: since it was created.
    pub state_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Active,
    Disabled,
    Deleted,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Disabled => "disabled",
            State::Deleted => "deleted",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserAct {
    Disable,
    Enable,
    /// With SHA-256 of the code, as `wire::account::code_hash` makes it.
    Reset {
        #[serde(with = "crate::hex")]
        code_hash: [u8; 32],
    },
    Delete,
}

impl From<UserAct> for shard::admin::UserAct {
    fn from(act: UserAct) -> Self {
        match act {
            UserAct::Disable => shard::admin::UserAct::Disable,
            UserAct::Enable => shard::admin::UserAct::Enable,
            UserAct::Reset { code_hash } => shard::admin::UserAct::Reset { code_hash },
            UserAct::Delete => shard::admin::UserAct::Delete,
        }
    }
}

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// SHA-256 of the secret.
    #[serde(with = "crate::hex")]
    pub hash: [u8; 32],
    /// Names with commas between them.
    pub scopes: String,
    /// Unix milliseconds; 0: never.
    pub expires_ms: u64,
    pub label: String,
}

/// One act in the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Unix milliseconds.
    pub time_ms: u64,
    pub number: u64,
    pub act: String,
    /// The user who did it; 0: the operator through the admin socket, or nobody who is known.
    pub by: u64,
    /// The account it concerns; 0: none.
    pub subject: u64,
    pub name: String,
    pub detail: String,
}

impl From<shard::admin::AuditLine> for AuditLine {
    fn from(line: shard::admin::AuditLine) -> Self {
        let shard::admin::AuditLine { time_ms, number, act, by, subject, name, detail } = line;
        Self { time_ms, number, act, by, subject, name, detail }
    }
}

/// One token in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub number: u32,
    pub scopes: String,
    pub label: String,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Unix milliseconds; 0: never.
    pub expires_ms: u64,
}

impl From<wire::service::TokenLine> for Token {
    fn from(line: wire::service::TokenLine) -> Self {
        let wire::service::TokenLine { number, scopes, label, created_ms, expires_ms } = line;
        Self { number, scopes: scopes.to_string(), label, created_ms, expires_ms }
    }
}
/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub device: u32,
    /// As it calls itself.
    pub name: String,
    /// desktop, mobile, web or bot
    pub class: String,
    /// Of its session, else of its last one; empty: not known.
    pub address: String,
    /// Last login with a password and last activity, Unix milliseconds.
    pub since_ms: u64,
    pub active_ms: u64,
    pub online: bool,
}

impl From<wire::device::Device> for Device {
    fn from(device: wire::device::Device) -> Self {
        let wire::device::Device { device, name, class, address, since_ms, active_ms, online, own: _ } =
            device;
        let class = class.variant_name().unwrap_or("unknown").to_lowercase();
        Self { device: device.0, name, class, address, since_ms, active_ms, online }
    }
}

impl From<Credential> for record::Credential {
    fn from(keys: Credential) -> Self {
        let Credential { salt, iterations, stored_key, server_key } = keys;
        record::Credential::ScramSha256 { salt, iterations, stored_key, server_key }
    }
}

impl From<shard::admin::UserLine> for User {
    fn from(line: shard::admin::UserLine) -> Self {
        let shard::admin::UserLine { user, name, created_ms, devices, state, state_ms } = line;
        let state = match state {
            record::AccountState::Active => State::Active,
            record::AccountState::Disabled => State::Disabled,
            record::AccountState::Deleted => State::Deleted,
        };
        Self { user, name, created_ms, devices, state, state_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_as_written_down() {
        let keys = Credential { salt: [1; 16], iterations: 4096, stored_key: [2; 32], server_key: [255; 32] };
        let add = Request::AddUser { name: "ann".into(), credential: keys };
        let line = serde_json::to_string(&add).unwrap();
        assert!(line.starts_with(r#"{"op":"add_user","name":"ann","credential":{"salt":"0101"#), "{line}");
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), add);
        let list = Request::ListUsers { after: None, users_max: 100 };
        let line = serde_json::to_string(&list).unwrap();
        assert_eq!(line, r#"{"op":"list_users","after":null,"users_max":100}"#);
        let line = serde_json::to_string(&Reply::Added { user: 1024 }).unwrap();
        assert_eq!(line, r#"{"reply":"added","user":1024}"#);
        for wrong in [r#"{"op":"drop"}"#, r#"{"op":"add_user","name":"a"}"#, r#"{}"#, "[]", "7"] {
            assert!(serde_json::from_str::<Request>(wrong).is_err(), "{wrong}");
        }
    }
}
