//! The operator: adds, resets and lists accounts through the shards' admin requests.

mod accounts;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use record::{Account, Credential, Key, Tokens};
use shard::Input;
use shard::admin::{AdminReply, AdminRequest, Notice, Reach, UserAct, UserLine};
use shard::login::NewToken;
use wire::message::BodyKind;
use wire::org::{Department, Member, OrgItem, OrgPosition, org_slot};
use wire::{ConversationId, Notices, Refusal, Scopes, Slot, UserId};

use super::faults::Fault;
use super::model::disk;
use super::model::notices::{DEPARTMENTS, Issued};
use super::scram;
use super::world::World;

/// A request that waits for its reply.
#[derive(Clone, Debug)]
enum Asked {
    Add(String),
    /// `shown`: how much had been shown when it was asked.
    Reset {
        name: String,
        password: String,
        shown: u64,
    },
    Change {
        name: String,
        act: UserAct,
    },
    List,
    CreateToken {
        name: String,
        hash: [u8; 32],
        scopes: Scopes,
    },
    RevokeToken {
        name: String,
        number: u32,
    },
    Stats,
    Issue(Issue),
    EditOrg(Vec<OrgItem>),
    OrgPage,
    Find(Vec<String>),
}

/// A notice of the operator.
#[derive(Clone, Debug)]
struct Issue {
    conversation: ConversationId,
    /// Where it goes to one user.
    name: Option<String>,
    notice: Notice,
}

impl Issue {
    fn key(&self) -> (ConversationId, u64) {
        (self.conversation, self.notice.id)
    }
}

/// What the operator has asked for.
#[derive(Debug, Default)]
pub struct Operator {
    last_token: u64,
    asked: BTreeMap<u64, Asked>,
    /// Passwords to be set that nobody has confirmed: asked for again until they are.
    resets: BTreeMap<String, String>,
    /// Notices that nobody has confirmed: asked for again until they are.
    issues: BTreeMap<u64, Issue>,
    last_issue: u64,
    /// Names whose password was ever to be changed.
    ever_reset: BTreeSet<String>,
    /// Accounts to be enabled again, until that is confirmed.
    disabled: BTreeSet<String>,
    added: u32,
}

impl Operator {
    /// The node is gone, and with it every answer.
    pub fn forget(&mut self) {
        self.asked.clear();
    }

    /// Whether everybody who knows this name's first password can log in with it.
    pub fn has_first_password(&self, name: &str) -> bool {
        !self.ever_reset.contains(name)
    }

    pub fn is_idle(&self) -> bool {
        let waits = !self.resets.is_empty() || !self.issues.is_empty() || !self.disabled.is_empty();
        self.asked.is_empty() && !waits
    }
}

impl World {
    /// One act of the operator.
    pub fn operator_acts(&mut self) {
        match self.fault_stream.below(38) {
            32.. => self.operator_judges(),
            10..18 => self.operator_issues(),
            18..28 => self.operator_edits(),
            28..30 => self.ask_operator(None, Asked::OrgPage),
            30..32 => self.operator_finds(),
            0..3 => self.ask_operator(None, Asked::Stats),
            3..6 => self.ask_operator(None, Asked::List),
            6..8 => {
                self.operator.added += 1;
                let name = format!("added{}", self.operator.added);
                self.ask_operator(Some(name.clone()), Asked::Add(name));
            }
            _ => {
                let is_person = |name: &&String| !name.starts_with("service");
                let names: Vec<_> = self.model.users.values().filter(is_person).cloned().collect();
                if !names.is_empty() {
                    let name = self.fault_stream.pick(&names).clone();
                    let password = format!("reset {}", self.fault_stream.below(1_000));
                    self.operator.ever_reset.insert(name.clone());
                    self.operator.resets.entry(name).or_insert(password);
                    self.repeat_resets();
                }
            }
        }
    }

    pub fn operator_creates_token(&mut self, name: String, hash: [u8; 32], scopes: Scopes) {
        self.ask_operator(Some(name.clone()), Asked::CreateToken { name, hash, scopes });
    }

    pub fn operator_revokes_token(&mut self, name: String, number: u32) {
        self.ask_operator(Some(name.clone()), Asked::RevokeToken { name, number });
    }

    /// A notice to all, to those who want adverts, or to one user; now and then one for those who are online.
    fn operator_issues(&mut self) {
        let names: Vec<_> = self.model.users.iter().map(|(user, name)| (*user, name.clone())).collect();
        let (conversation, name) = match self.fault_stream.below(8) {
            4..7 => {
                let department = self.fault_stream.below(u64::from(DEPARTMENTS)) as u32 + 1;
                (ConversationId::of_notices(Notices::Department(department)), None)
            }
            0..2 => (ConversationId::of_notices(Notices::All), None),
            2..4 => (ConversationId::of_notices(Notices::Adverts), None),
            _ if names.is_empty() => return,
            _ => {
                let (user, name) = self.fault_stream.pick(&names).clone();
                (ConversationId::system(user), Some(name))
            }
        };
        self.operator.last_issue += 1;
        let number = self.operator.last_issue;
        // Not rising: whoever asks makes them up.
        let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let long = if self.fault_stream.chance(100) { 5_000 } else { 0 };
        let body = Bytes::from(format!("notice {number}{}", "!".repeat(long)));
        let online_now = self.fault_stream.chance(200);
        let reach = if online_now { Reach::OnlineNow } else { Reach::Everybody };
        let notice = Notice { id, reach, body_kind: BodyKind::Text, body: body.clone() };
        let issue = Issue { conversation, name, notice };
        if online_now {
            self.model.notices.announced.push((conversation, body));
            return self.ask_operator(issue.name.clone(), Asked::Issue(issue));
        }
        self.model.notices.stored.insert(issue.key(), Issued { body, ..Issued::default() });
        self.operator.issues.insert(number, issue);
        self.repeat_issues();
    }

    fn repeat_issues(&mut self) {
        for issue in self.operator.issues.values().cloned().collect::<Vec<_>>() {
            let waits = |asked: &Asked| matches!(asked, Asked::Issue(other) if other.key() == issue.key());
            if !self.operator.asked.values().any(waits) {
                self.ask_operator(issue.name.clone(), Asked::Issue(issue));
            }
        }
    }

    fn on_issued(&mut self, issue: &Issue, seq: u64) {
        if issue.notice.reach == Reach::OnlineNow {
            return;
        }
        self.model.on_issue_acked(&self.store, issue.key(), seq);
        // Sometimes the answer is lost on the way to the operator, who asks once more.
        if !self.fault_stream.chance(300) {
            self.operator.issues.retain(|_, other| other.key() != issue.key());
        }
    }

    /// What is not for anybody is not asked again.
    fn on_issue_refused(&mut self, issue: &Issue, reason: &str) {
        let for_good = [Refusal::UnknownDepartment, Refusal::AccountDeleted];
        if for_good.iter().any(|refusal| reason == refusal.reason()) {
            self.operator.issues.retain(|_, other| other.key() != issue.key());
        }
    }

    /// A few edits of a small directory, of which some do not fit.
    fn operator_edits(&mut self) {
        let users: Vec<_> = self.model.users.keys().copied().collect();
        let count = self.fault_stream.between(1, 5);
        let edits = (0..count).map(|_| self.some_edit(&users)).collect();
        self.ask_operator(None, Asked::EditOrg(edits));
    }

    fn some_edit(&mut self, users: &[UserId]) -> OrgItem {
        let stream = &mut self.fault_stream;
        let (department, order) = (stream.below(6) as u32 + 1, stream.below(3) as u32);
        let user = if users.is_empty() { UserId(7 << 10 | 3) } else { *stream.pick(users) };
        match stream.below(10) {
            0..3 => {
                let (parent, name) = (stream.below(7) as u32, format!("department {department}"));
                OrgItem::Department(Department { id: department, parent, order, name })
            }
            3..7 => {
                let (name, title) = (format!("{user:?}"), format!("title {}", stream.below(3)));
                OrgItem::Member(Member { department, user, order, name, title })
            }
            7..9 => OrgItem::MemberGone { department, user },
            _ => OrgItem::DepartmentGone(department),
        }
    }

    /// Asks which users have some names of one shard.
    fn operator_finds(&mut self) {
        let names = self.model.users.values().cloned().chain(["nobody".to_owned()]);
        let Some(node) = &self.node else { return };
        let shard_of = |name: &String| node.ownership.shard_of(Slot::of_name(name));
        let names: Vec<_> = names.collect();
        let first = self.fault_stream.pick(&names).clone();
        let of_shard = names.iter().filter(|name| shard_of(name) == shard_of(&first)).cloned().collect();
        self.ask_operator(Some(first), Asked::Find(of_shard));
    }

    fn check_found(&mut self, names: &[String], users: &[Option<u64>]) {
        for (name, found) in names.iter().zip(users) {
            let known = self.model.users.iter().find(|(_, known)| *known == name).map(|(user, _)| user.0);
            let right = match (found, known) {
                (Some(found), Some(known)) => *found == known,
                (None, Some(_)) => false,
                (_, None) => true,
            };
            self.violation_if(!right, || format!("{name} is {known:?}, and the operator is told {found:?}"));
        }
    }

    /// Asks again for what was not confirmed.
    pub fn repeat_resets(&mut self) {
        if self.healed {
            self.enable_all();
        }
        self.repeat_issues();
        for (name, password) in self.operator.resets.clone() {
            let waits = |asked: &Asked| matches!(asked, Asked::Reset { name: other, .. } if *other == name);
            if !self.operator.asked.values().any(waits) {
                let shown = self.model.sessions.shown();
                self.ask_operator(Some(name.clone()), Asked::Reset { name: name.clone(), password, shown });
            }
        }
    }

    /// At the home of the name, or anywhere.
    fn ask_operator(&mut self, name: Option<String>, asked: Asked) {
        let Some(node) = self.node.as_ref().filter(|node| !node.stopping) else { return };
        let shard = match &name {
            None if let Asked::Issue(issue) = &asked => node.ownership.shard_of(issue.conversation.slot()),
            _ if matches!(asked, Asked::EditOrg(_) | Asked::OrgPage) => node.ownership.shard_of(org_slot()),
            Some(name) => node.ownership.shard_of(Slot::of_name(name)),
            None => self.fault_stream.below(node.hosts.len() as u64) as u16,
        };
        let request = match &asked {
            Asked::Add(name) => AdminRequest::AddUser { name: name.clone(), credential: credential("added") },
            Asked::Reset { name, password, .. } => {
                AdminRequest::ResetUser { name: name.clone(), credential: credential(password) }
            }
            Asked::Change { name, act } => AdminRequest::ChangeUser { name: name.clone(), act: *act },
            Asked::List => AdminRequest::ListUsers { after: None, users_max: 3 },
            Asked::CreateToken { name, hash, scopes } => AdminRequest::CreateToken {
                name: name.clone(),
                new: NewToken { hash: *hash, scopes: *scopes, expires_ms: 0, label: "operator".into() },
            },
            Asked::RevokeToken { name, number } => {
                AdminRequest::RevokeToken { name: name.clone(), number: *number }
            }
            Asked::Stats => AdminRequest::Stats,
            Asked::Issue(Issue { name: Some(name), notice, .. }) => {
                AdminRequest::IssueTo { name: name.clone(), notice: notice.clone() }
            }
            Asked::Issue(Issue { conversation, notice, .. }) => {
                AdminRequest::Issue { conversation: *conversation, notice: notice.clone() }
            }
            Asked::EditOrg(edits) => AdminRequest::EditOrg { expected: 0, edits: edits.clone() },
            Asked::OrgPage => AdminRequest::OrgPage { position: OrgPosition::default(), rows_max: 0 },
            Asked::Find(names) => AdminRequest::FindUsers { names: names.clone() },
        };
        self.operator.last_token += 1;
        let token = self.operator.last_token;
        self.operator.asked.insert(token, asked);
        self.step(self.machine.life, shard, Input::Admin { token, request });
        self.wake(shard, 10);
    }

    fn check_listed(&mut self, users: &[UserLine]) {
        let sorted = users.is_sorted_by(|one, next| one.name.to_lowercase() < next.name.to_lowercase());
        let known = users.iter().all(|line| {
            let key = Key::Account(UserId(line.user));
            disk::record::<Account>(&self.store, &key).is_some_and(|account| account.name == line.name)
        });
        self.violation_if(!sorted || !known, || format!("the operator is told {users:?}"));
    }

    pub fn on_admin_reply(&mut self, token: u64, reply: AdminReply) {
        self.trace.note(self.queue.now_us(), &[80, token], &[], || format!("the operator is told {reply:?}"));
        let Some(asked) = self.operator.asked.remove(&token) else {
            return self.model.violate(format!("nobody asked for {reply:?}"));
        };
        self.tally.add(Fault::OperatorAct);
        match (asked, reply) {
            (Asked::Add(name), AdminReply::Added { user }) => {
                let user = UserId(user);
                let account = disk::record::<Account>(&self.store, &Key::Account(user));
                self.violation_if(account.is_none(), || format!("{name} is told added and not on disk"));
                self.model.users.insert(user, name);
            }
            (Asked::Reset { name, password, shown }, AdminReply::Reset { user, .. }) => {
                self.model.on_all_ended(UserId(user), shown);
                let account = disk::record::<Account>(&self.store, &Key::Account(UserId(user)));
                let set = account.is_some_and(|account| account.credentials == [credential(&password)]);
                self.violation_if(!set, || format!("{name} is told reset and not so on disk"));
                self.operator.resets.remove(&name);
                let devices = self.devices.iter_mut().filter(|device| device.name == name);
                devices.for_each(|device| device.password.clone_from(&password));
                let probes = self.probes.iter_mut().filter(|probe| probe.name == name);
                probes.for_each(|probe| probe.password.clone_from(&password));
            }
            (Asked::Change { name, act }, AdminReply::Changed { user, .. }) => {
                self.on_user_changed(name, act, UserId(user));
            }
            (Asked::Change { name, .. } | Asked::Reset { name, .. }, AdminReply::Refused { .. }) => {
                self.on_act_refused(&name);
            }
            (Asked::List, AdminReply::Users { users, .. }) => self.check_listed(&users),
            (Asked::Issue(issue), AdminReply::Issued { seq, .. }) => self.on_issued(&issue, seq),
            (Asked::CreateToken { name, hash, scopes }, AdminReply::TokenCreated { user, number }) => {
                let user = UserId(user);
                let tokens = disk::record::<Tokens>(&self.store, &Key::Tokens(user));
                // It may have been revoked in the same batch: then its number alone is left.
                let is_there = |tokens: Tokens| {
                    let mut same = tokens.tokens.iter().filter(|token| token.number == number);
                    tokens.issued >= number && same.all(|token| token.hash == hash)
                };
                self.violation_if(!tokens.is_some_and(is_there), || {
                    format!("token {number} of {name} is told made and not on disk")
                });
                self.model.tokens.on_created(user, number, hash, scopes);
                self.model.users.insert(user, name);
            }
            (Asked::RevokeToken { name, number }, AdminReply::TokenRevoked { user, .. }) => {
                let tokens = disk::record::<Tokens>(&self.store, &Key::Tokens(UserId(user)));
                let is_there = |tokens: Tokens| tokens.tokens.iter().any(|token| token.number == number);
                self.violation_if(tokens.is_none_or(is_there), || {
                    format!("token {number} of {name} is told revoked and not so on disk")
                });
                self.model.tokens.on_revoked(UserId(user), number, self.queue.now_us());
            }
            (Asked::EditOrg(_), AdminReply::OrgEdited { version }) => {
                self.model.check_org_version(&self.store, version);
            }
            (Asked::OrgPage, AdminReply::OrgPage(synced)) => {
                self.model.check_org_page(&self.store, &synced);
            }
            (Asked::Find(names), AdminReply::Found { users }) => self.check_found(&names, &users),
            (Asked::Issue(issue), AdminReply::Refused { reason }) => self.on_issue_refused(&issue, &reason),
            (Asked::EditOrg(_), AdminReply::OrgUnfit { .. })
            | (Asked::Stats, AdminReply::Stats(_))
            | (_, AdminReply::Refused { .. }) => {}
            (asked, reply) => self.model.violate(format!("{asked:?} is answered {reply:?}")),
        }
    }
}

fn credential(password: &str) -> Credential {
    let salt = *b"operator's salt.";
    let iterations = wire::scram::ITERATIONS_MIN;
    let credentials = scram::stretch(password, &salt, iterations).credentials();
    Credential::ScramSha256 {
        salt,
        iterations,
        stored_key: credentials.stored_key,
        server_key: credentials.server_key,
    }
}
