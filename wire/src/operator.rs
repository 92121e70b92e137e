//! What an operator does over the protocol, with a token: what its bodies say, and their frames. Tokens themselves are in
//! [`crate::service`].

use bytes::Bytes;

use crate::body;
use crate::command::Event;
use crate::device::Device;
use crate::encode::Encoder;
use crate::generated as fb;
pub use crate::generated::AccountState;
use crate::ids::{ConversationId, DeviceId, UserId};
use crate::message::BodyKind;
use crate::org::{self, OrgItem};
use crate::service::{NewToken, PairsRelated, TokenCreated, TokenRevoked, TokensListed};
use crate::token::Scopes;

/// What an operator asks. Each needs a token with the scope of its command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorQuery {
    /// A new account, whose password is set with the one-time code of this hash ([`crate::account::code_hash`]).
    AddUser {
        name: String,
        code_hash: [u8; 32],
    },
    /// `Active` or `Disabled`.
    SetUserState {
        name: String,
        state: AccountState,
    },
    /// The password is void; whoever has the code of this hash sets the next one.
    IssueCode {
        name: String,
        code_hash: [u8; 32],
    },
    /// Deletes the account for good.
    RemoveUser {
        name: String,
    },
    /// Entries behind a time (Unix milliseconds) and number; `rows_max` 0: as many as an answer holds.
    ReadAudit {
        after: (u64, u64),
        rows_max: u32,
    },
    /// Users by rising name behind `after`; `users_max` 0: as many as an answer holds.
    ListUsers {
        after: String,
        users_max: u32,
    },
    ShowUser {
        name: String,
    },
    ListUserDevices {
        name: String,
    },
    /// [`DeviceId`] 0: of all devices.
    EndUserSessions {
        name: String,
        device: DeviceId,
    },
    /// A notice of the system. `id` is drawn by whoever asks, not 0: the same request again is carried out once.
    Notify {
        id: u64,
        to: Recipients,
        reach: Reach,
        body_kind: BodyKind,
        body: Bytes,
    },
    /// At most [`crate::limits::ORG_EDITS_MAX`], all of which are done or none. `expected` is the version they were made for, 0 any.
    EditOrg {
        expected: u64,
        edits: Vec<OrgItem>,
    },
    RelatePairs {
        pairs: Vec<ConversationId>,
    },
    /// With SHA-256 of the secret.
    CreateToken {
        name: String,
        hash: [u8; 32],
        scopes: Scopes,
        expires_ms: u64,
        label: String,
    },
    ListTokens {
        name: String,
    },
    RevokeToken {
        name: String,
        number: u32,
    },
}

/// What answers it when it is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorAnswer {
    UserAdded { user: UserId },
    UserChanged { user: UserId, sessions_ended: u32 },
    UsersListed(UsersListed),
    AuditRead(AuditRead),
    Devices(Vec<Device>),
    SessionsEnded { count: u32 },
    Notified(Notified),
    OrgEdited { version: u64 },
    PairsRelated(PairsRelated),
    TokenCreated(TokenCreated),
    TokensListed(TokensListed),
    TokenRevoked(TokenRevoked),
}

/// For whom a notice is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// At most [`crate::limits::NOTIFY_USERS_MAX`]; each gets a copy.
    Users(Vec<UserId>),
    All,
    /// All but those who want no adverts.
    Adverts,
    /// The members of this department and of those below it.
    Department(u32),
}

/// Who of them is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody: it is stored.
    Everybody,
    /// Those who are online now. It is not stored, and what finds no room is dropped.
    OnlineNow,
}

/// What came of a notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notified {
    /// Logs that it stands in, or is told to: one, or one for each user.
    pub told: u32,
    /// Of the users, those who do not exist.
    pub unknown: u32,
    /// Those for whom there was no room: to be asked again, under the same id.
    pub refused: u32,
    /// Where it stands, if it stands in one log only; 0 otherwise.
    pub seq: u64,
    pub time_ms: u64,
}

/// A user as an operator sees him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLine {
    pub user: UserId,
    pub name: String,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Devices that the node knows, with and without a session.
    pub devices: u32,
    pub state: AccountState,
    /// Since when, Unix milliseconds; 0: since it was created.
    pub state_ms: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsersListed {
    /// By rising name.
    pub users: Vec<UserLine>,
    /// There are more behind the last one.
    pub more: bool,
}

/// One act in the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// Unix milliseconds.
    pub time_ms: u64,
    /// Tells apart what happened in one millisecond.
    pub number: u64,
    /// In words for people.
    pub act: String,
    /// Who did it; [`UserId::NOBODY`]: the operator on the node's machine, or nobody who is known.
    pub by: UserId,
    /// The account it concerns, if it concerns one.
    pub subject: UserId,
    /// Of that account, or as it was tried.
    pub name: String,
    pub detail: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRead {
    /// The oldest first.
    pub lines: Vec<AuditLine>,
    /// There may be more behind `to`.
    pub more: bool,
    /// Time and number from which to go on.
    pub to: (u64, u64),
}

impl OperatorQuery {
    /// The command's frame.
    pub fn encode(&self, encoder: &mut Encoder, request: u32) -> Bytes {
        match self {
            OperatorQuery::AddUser { name, code_hash } => encoder.add_user(request, name, code_hash),
            OperatorQuery::SetUserState { name, state } => encoder.set_user_state(request, name, *state),
            OperatorQuery::IssueCode { name, code_hash } => encoder.issue_code(request, name, code_hash),
            OperatorQuery::RemoveUser { name } => encoder.remove_user(request, name),
            OperatorQuery::ReadAudit { after, rows_max } => encoder.read_audit(request, *after, *rows_max),
            OperatorQuery::ListUsers { after, users_max } => encoder.list_users(request, after, *users_max),
            OperatorQuery::ShowUser { name } => encoder.show_user(request, name),
            OperatorQuery::ListUserDevices { name } => encoder.list_user_devices(request, name),
            OperatorQuery::EndUserSessions { name, device } => {
                encoder.end_user_sessions(request, name, *device)
            }
            OperatorQuery::Notify { id, to, reach, body_kind, body } => {
                encoder.notify(request, *id, to, *reach, *body_kind, body)
            }
            OperatorQuery::EditOrg { expected, edits } => encoder.edit_org(request, *expected, edits),
            OperatorQuery::RelatePairs { pairs } => encoder.relate_pairs(request, pairs),
            OperatorQuery::CreateToken { name, hash, scopes, expires_ms, label } => {
                let (scopes, expires_ms) = (*scopes, *expires_ms);
                encoder.create_token(request, &NewToken { name, hash, scopes, expires_ms, label })
            }
            OperatorQuery::ListTokens { name } => encoder.list_tokens(request, name),
            OperatorQuery::RevokeToken { name, number } => encoder.revoke_token(request, name, *number),
        }
    }
}

impl OperatorAnswer {
    /// The event that it is.
    pub fn event(&self) -> Event {
        match self {
            OperatorAnswer::UserAdded { .. } => Event::UserAdded,
            OperatorAnswer::UserChanged { .. } => Event::UserChanged,
            OperatorAnswer::UsersListed(_) => Event::UsersListed,
            OperatorAnswer::AuditRead(_) => Event::AuditRead,
            OperatorAnswer::Devices(_) => Event::Devices,
            OperatorAnswer::SessionsEnded { .. } => Event::SessionsEnded,
            OperatorAnswer::Notified(_) => Event::Notified,
            OperatorAnswer::OrgEdited { .. } => Event::OrgEdited,
            OperatorAnswer::PairsRelated(_) => Event::PairsRelated,
            OperatorAnswer::TokenCreated(_) => Event::TokenCreated,
            OperatorAnswer::TokensListed(_) => Event::TokensListed,
            OperatorAnswer::TokenRevoked(_) => Event::TokenRevoked,
        }
    }

    /// The event's frame.
    pub fn encode(&self, encoder: &mut Encoder, request: u32) -> Bytes {
        match self {
            OperatorAnswer::UserAdded { user } => encoder.user_added(request, *user),
            OperatorAnswer::UserChanged { user, sessions_ended } => {
                encoder.user_changed(request, *user, *sessions_ended)
            }
            OperatorAnswer::UsersListed(listed) => encoder.users_listed(request, listed),
            OperatorAnswer::AuditRead(read) => encoder.audit_read(request, read),
            OperatorAnswer::Devices(devices) => encoder.devices(request, devices),
            OperatorAnswer::SessionsEnded { count } => encoder.sessions_ended(request, *count),
            OperatorAnswer::Notified(notified) => encoder.notified(request, notified),
            OperatorAnswer::OrgEdited { version } => encoder.org_edited(request, *version),
            OperatorAnswer::PairsRelated(related) => encoder.pairs_related(request, related),
            OperatorAnswer::TokenCreated(created) => encoder.token_created(request, created),
            OperatorAnswer::TokensListed(listed) => encoder.tokens_listed(request, listed),
            OperatorAnswer::TokenRevoked(revoked) => encoder.token_revoked(request, revoked),
        }
    }
}

/// Events.
impl Encoder {
    pub fn user_added(&mut self, request: u32, user: UserId) -> Bytes {
        self.event::<body::UserAdded>(request, |b| {
            fb::UserAdded::create(b, &fb::UserAddedArgs { user: user.0 })
        })
    }

    pub fn user_changed(&mut self, request: u32, user: UserId, sessions_ended: u32) -> Bytes {
        self.event::<body::UserChanged>(request, |b| {
            fb::UserChanged::create(b, &fb::UserChangedArgs { user: user.0, sessions_ended })
        })
    }

    /// At most [`crate::limits::USERS_LISTED_MAX`] users.
    pub fn users_listed(&mut self, request: u32, listed: &UsersListed) -> Bytes {
        assert!(listed.users.len() <= crate::limits::USERS_LISTED_MAX as usize);
        self.event::<body::UsersListed>(request, |b| {
            let lines = listed.users.iter().map(|line| {
                let name = Some(b.create_string(&line.name));
                let args = fb::UserLineArgs {
                    user: line.user.0,
                    name,
                    created_ms: line.created_ms,
                    devices: line.devices,
                    state: line.state,
                    state_ms: line.state_ms,
                };
                fb::UserLine::create(b, &args)
            });
            let lines: Vec<_> = lines.collect();
            let users = Some(b.create_vector(&lines));
            fb::UsersListed::create(b, &fb::UsersListedArgs { users, more: listed.more })
        })
    }

    /// At most [`crate::limits::AUDIT_LINES_MAX`] lines.
    pub fn audit_read(&mut self, request: u32, read: &AuditRead) -> Bytes {
        assert!(read.lines.len() <= crate::limits::AUDIT_LINES_MAX as usize);
        self.event::<body::AuditRead>(request, |b| {
            let lines = read.lines.iter().map(|line| {
                let [act, name, detail] =
                    [&line.act, &line.name, &line.detail].map(|text| Some(b.create_string(text)));
                let args = fb::AuditLineArgs {
                    time_ms: line.time_ms,
                    number: line.number,
                    act,
                    by: line.by.0,
                    subject: line.subject.0,
                    name,
                    detail,
                };
                fb::AuditLine::create(b, &args)
            });
            let lines: Vec<_> = lines.collect();
            let lines = Some(b.create_vector(&lines));
            let (to_ms, to_number) = read.to;
            fb::AuditRead::create(b, &fb::AuditReadArgs { lines, more: read.more, to_ms, to_number })
        })
    }
}

/// Notices and the directory.
impl Encoder {
    pub fn notified(&mut self, request: u32, notified: &Notified) -> Bytes {
        self.event::<body::Notified>(request, |b| {
            let Notified { told, unknown, refused, seq, time_ms } = *notified;
            fb::Notified::create(b, &fb::NotifiedArgs { told, unknown, refused, seq, time_ms })
        })
    }

    pub fn org_edited(&mut self, request: u32, version: u64) -> Bytes {
        self.event::<body::OrgEdited>(request, |b| fb::OrgEdited::create(b, &fb::OrgEditedArgs { version }))
    }

    pub fn notify(
        &mut self,
        request: u32,
        id: u64,
        to: &Recipients,
        reach: Reach,
        body_kind: BodyKind,
        body: &[u8],
    ) -> Bytes {
        let (kind, users, department): (_, &[UserId], _) = match to {
            Recipients::Users(users) => (fb::RecipientKind::Users, users, 0),
            Recipients::All => (fb::RecipientKind::All, &[], 0),
            Recipients::Adverts => (fb::RecipientKind::Adverts, &[], 0),
            Recipients::Department(department) => (fb::RecipientKind::Department, &[], *department),
        };
        self.command::<body::Notify>(request, &[], |b| {
            let users: Vec<_> = users.iter().map(|user| user.0).collect();
            let args = fb::NotifyArgs {
                id,
                to: kind,
                users: Some(b.create_vector(&users)),
                department,
                online_now: reach == Reach::OnlineNow,
                body_kind,
                body: Some(b.create_vector(body)),
            };
            fb::Notify::create(b, &args)
        })
    }

    pub fn edit_org(&mut self, request: u32, expected: u64, edits: &[OrgItem]) -> Bytes {
        self.command::<body::EditOrg>(request, &[], |b| {
            let edits: Vec<_> = edits.iter().map(|item| org::put_item(b, 0, item)).collect();
            let edits = Some(b.create_vector(&edits));
            fb::EditOrg::create(b, &fb::EditOrgArgs { expected, edits })
        })
    }
}

/// Commands.
impl Encoder {
    pub fn add_user(&mut self, request: u32, name: &str, code_hash: &[u8; 32]) -> Bytes {
        self.command::<body::AddUser>(request, &[], |b| {
            let (name, code_hash) = (Some(b.create_string(name)), Some(b.create_vector(code_hash)));
            fb::AddUser::create(b, &fb::AddUserArgs { name, code_hash })
        })
    }

    pub fn set_user_state(&mut self, request: u32, name: &str, state: AccountState) -> Bytes {
        self.command::<body::SetUserState>(request, &[], |b| {
            let name = Some(b.create_string(name));
            fb::SetUserState::create(b, &fb::SetUserStateArgs { name, state })
        })
    }

    pub fn issue_code(&mut self, request: u32, name: &str, code_hash: &[u8; 32]) -> Bytes {
        self.command::<body::IssueCode>(request, &[], |b| {
            let (name, code_hash) = (Some(b.create_string(name)), Some(b.create_vector(code_hash)));
            fb::IssueCode::create(b, &fb::IssueCodeArgs { name, code_hash })
        })
    }

    pub fn remove_user(&mut self, request: u32, name: &str) -> Bytes {
        self.command::<body::RemoveUser>(request, &[], |b| {
            let name = Some(b.create_string(name));
            fb::RemoveUser::create(b, &fb::RemoveUserArgs { name })
        })
    }

    pub fn read_audit(&mut self, request: u32, after: (u64, u64), rows_max: u32) -> Bytes {
        self.command::<body::ReadAudit>(request, &[], |b| {
            let (after_ms, after_number) = after;
            fb::ReadAudit::create(b, &fb::ReadAuditArgs { after_ms, after_number, rows_max })
        })
    }

    pub fn list_users(&mut self, request: u32, after: &str, users_max: u32) -> Bytes {
        self.command::<body::ListUsers>(request, &[], |b| {
            let after = (!after.is_empty()).then(|| b.create_string(after));
            fb::ListUsers::create(b, &fb::ListUsersArgs { after, users_max })
        })
    }

    pub fn show_user(&mut self, request: u32, name: &str) -> Bytes {
        self.command::<body::ShowUser>(request, &[], |b| {
            let name = Some(b.create_string(name));
            fb::ShowUser::create(b, &fb::ShowUserArgs { name })
        })
    }

    pub fn list_user_devices(&mut self, request: u32, name: &str) -> Bytes {
        self.command::<body::ListUserDevices>(request, &[], |b| {
            let name = Some(b.create_string(name));
            fb::ListUserDevices::create(b, &fb::ListUserDevicesArgs { name })
        })
    }

    pub fn end_user_sessions(&mut self, request: u32, name: &str, device: DeviceId) -> Bytes {
        self.command::<body::EndUserSessions>(request, &[], |b| {
            let name = Some(b.create_string(name));
            fb::EndUserSessions::create(b, &fb::EndUserSessionsArgs { name, device: device.0 })
        })
    }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

pub(crate) fn users_listed(view: fb::UsersListed<'_>) -> UsersListed {
    let line = |line: fb::UserLine<'_>| UserLine {
        user: UserId(line.user()),
        name: text(line.name()),
        created_ms: line.created_ms(),
        devices: line.devices(),
        state: line.state(),
        state_ms: line.state_ms(),
    };
    let users = view.users().map(|lines| lines.iter().map(line).collect()).unwrap_or_default();
    UsersListed { users, more: view.more() }
}

/// What a body says of those for whom a notice is; `None` for a kind that there is not.
pub fn recipients(view: &fb::Notify<'_>) -> Option<Recipients> {
    Some(match view.to() {
        fb::RecipientKind::Users => Recipients::Users(
            view.users().map(|users| users.iter().map(UserId).collect()).unwrap_or_default(),
        ),
        fb::RecipientKind::All => Recipients::All,
        fb::RecipientKind::Adverts => Recipients::Adverts,
        fb::RecipientKind::Department => Recipients::Department(view.department()),
        _ => return None,
    })
}

pub(crate) fn notified(view: fb::Notified<'_>) -> Notified {
    Notified {
        told: view.told(),
        unknown: view.unknown(),
        refused: view.refused(),
        seq: view.seq(),
        time_ms: view.time_ms(),
    }
}

pub(crate) fn audit_read(view: fb::AuditRead<'_>) -> AuditRead {
    let line = |line: fb::AuditLine<'_>| AuditLine {
        time_ms: line.time_ms(),
        number: line.number(),
        act: text(line.act()),
        by: UserId(line.by()),
        subject: UserId(line.subject()),
        name: text(line.name()),
        detail: text(line.detail()),
    };
    let lines = view.lines().map(|lines| lines.iter().map(line).collect()).unwrap_or_default();
    AuditRead { lines, more: view.more(), to: (view.to_ms(), view.to_number()) }
}
