//! Carries a request to the shards it concerns and puts their answers together.

mod org;

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use shard::admin::{AdminReply, AdminRequest, Notice, Reach, UserAct};
use shard::ownership::Ownership;
use shard::pages::{AuditPages, UserPages, comparable_form};
use wire::limits::TOKEN_LABEL_LEN_MAX;
use wire::message::BodyKind;
use wire::name::UserName;
use wire::{ConversationId, Notices, Scopes, Slot};

use super::figures;
use super::protocol::{AuditLine, Device, NewToken, Recipients, Reply, Request, Status, Token, User};
use super::replies::{Replies, ShardAnswer, Shards};
use super::{ANSWER_SECONDS_MAX, USERS_PER_PAGE_MAX};
use crate::metrics::Metrics;

/// Answers the requests of the admin socket.
pub struct Desk {
    shards: Arc<dyn Shards>,
    replies: Arc<Replies>,
    ownership: Arc<Ownership>,
    status: Status,
    metrics: Arc<Metrics>,
    answer_max: Duration,
}

impl Desk {
    pub fn new(
        shards: Arc<dyn Shards>,
        replies: Arc<Replies>,
        ownership: Arc<Ownership>,
        status: Status,
        metrics: Arc<Metrics>,
    ) -> Self {
        let answer_max = Duration::from_secs(ANSWER_SECONDS_MAX);
        Self { shards, replies, ownership, status, metrics, answer_max }
    }

    /// Does one request. Waits for the shards, at most [`ANSWER_SECONDS_MAX`].
    pub fn handle(&self, request: Request) -> Reply {
        let done = match request {
            Request::Status => Ok(Reply::Status(self.status.clone())),
            Request::AddUser { name, credential } => {
                self.ask_home(&name, |name| AdminRequest::AddUser { name, credential: credential.into() })
            }
            Request::ResetUser { name, credential } => {
                self.ask_home(&name, |name| AdminRequest::ResetUser { name, credential: credential.into() })
            }
            Request::CreateToken { name, token } => match new_token(token) {
                Ok(new) => self.ask_home(&name, |name| AdminRequest::CreateToken { name, new }),
                Err(reason) => Ok(Reply::Refused { reason }),
            },
            Request::ListTokens { name } => self.ask_home(&name, |name| AdminRequest::ListTokens { name }),
            Request::ReadAudit { after, rows_max } => self.read_audit(after, rows_max),
            Request::RevokeToken { name, number } => {
                self.ask_home(&name, |name| AdminRequest::RevokeToken { name, number })
            }
            Request::ListDevices { name } => self.ask_home(&name, |name| AdminRequest::ListDevices { name }),
            Request::EndSessions { name, device } => {
                self.ask_home(&name, |name| AdminRequest::EndSessions { name, device })
            }
            Request::ChangeUser { name, act } => {
                self.ask_home(&name, |name| AdminRequest::ChangeUser { name, act: act.into() })
            }
            Request::ShowUser { name } => self.ask_home(&name, |name| AdminRequest::ShowUser { name }),
            Request::ListUsers { after, users_max } => self.list_users(after, users_max),
            Request::Issue { to, id, online_now, text } => self.issue(to, id, online_now, text),
            Request::EditOrg { expected, edits } => self.edit_org(expected, edits),
            Request::OrgPage { over, page, rows_max } => self.org_page(over, page, rows_max),
            Request::FindUsers { names } => self.find_users(names),
            Request::Stats => Ok(figures::reply(&self.metrics.snapshot())),
        };
        done.unwrap_or_else(|reason| Reply::Failed { reason })
    }

    /// Asks the home of a name, as the person wrote it.
    fn ask_home(&self, name: &str, request: impl FnOnce(String) -> AdminRequest) -> Result<Reply, String> {
        let comparable = match UserName::parse(name) {
            Ok(comparable) => comparable,
            Err(wrong) => return Ok(Reply::Refused { reason: format!("{name:?} is not a name: {wrong}") }),
        };
        let shard = self.ownership.shard_of(Slot::of_name(comparable.as_str()));
        let request = request(name.to_owned());
        let audited = audit_line(&request);
        let reply = match self.ask([shard], &request)?.remove(0) {
            AdminReply::Added { user } => Reply::Added { user },
            AdminReply::Reset { user, sessions_ended } => Reply::Reset { user, sessions_ended },
            AdminReply::Issued { seq, time_ms } => Reply::Issued { seq, time_ms },
            AdminReply::TokenCreated { user, number } => Reply::TokenCreated { user, number },
            AdminReply::Tokens { user, tokens } => {
                Reply::Tokens { user, tokens: tokens.into_iter().map(Token::from).collect() }
            }
            AdminReply::TokenRevoked { user, number, sessions_ended } => {
                Reply::TokenRevoked { user, number, sessions_ended }
            }
            AdminReply::Devices { user, devices } => {
                Reply::Devices { user, devices: devices.into_iter().map(Device::from).collect() }
            }
            AdminReply::Ended { user, sessions_ended } => Reply::Ended { user, sessions_ended },
            AdminReply::Changed { user, sessions_ended } => Reply::Changed { user, sessions_ended },
            AdminReply::User(line) => Reply::User(line.into()),
            AdminReply::Refused { reason } => Reply::Refused { reason },
            other => return Err(unexpected(&other)),
        };
        if let Reply::Devices { .. } = reply {
            return Ok(reply); // nothing was done
        }
        tracing::info!(target: "audit", act = audited, name = comparable.as_str(), ?reply, "admin socket");
        Ok(reply)
    }

    /// Asks the home of the notices, or of the user.
    fn issue(&self, to: Recipients, id: u64, online_now: bool, text: String) -> Result<Reply, String> {
        let reach = if online_now { Reach::OnlineNow } else { Reach::Everybody };
        let notice = Notice { id, reach, body_kind: BodyKind::Text, body: text.into() };
        let conversation = match to {
            Recipients::User(name) => {
                return self.ask_home(&name, |name| AdminRequest::IssueTo { name, notice });
            }
            Recipients::All => ConversationId::of_notices(Notices::All),
            Recipients::Adverts => ConversationId::of_notices(Notices::Adverts),
            Recipients::Department(department) => ConversationId::of_notices(Notices::Department(department)),
        };
        if !conversation.is_valid() {
            return Ok(Reply::Refused { reason: "departments are numbered from 1".into() });
        }
        let shard = self.ownership.shard_of(conversation.slot());
        let request = AdminRequest::Issue { conversation, notice };
        let reply = match self.ask([shard], &request)?.remove(0) {
            AdminReply::Issued { seq, time_ms } => Reply::Issued { seq, time_ms },
            AdminReply::Refused { reason } => Reply::Refused { reason },
            other => return Err(unexpected(&other)),
        };
        tracing::info!(target: "audit", act = "notice", to = ?conversation, id, ?reply, "admin socket");
        Ok(reply)
    }

    /// A page of users over all shards, by rising comparable form.
    fn list_users(&self, after: Option<String>, users_max: u32) -> Result<Reply, String> {
        let users_max = users_max.clamp(1, USERS_PER_PAGE_MAX);
        if after.as_ref().is_some_and(|name| name.len() > wire::limits::NAME_LEN_MAX) {
            let reason = format!("no name is longer than {} bytes", wire::limits::NAME_LEN_MAX);
            return Ok(Reply::Refused { reason });
        }
        let after = after.map(|name| comparable_form(&name));
        let request = AdminRequest::ListUsers { after, users_max };
        let mut pages = UserPages::default();
        for reply in self.ask(self.all(), &request)? {
            match reply {
                AdminReply::Users { users, more } => pages.add(users, more),
                AdminReply::Refused { reason } => return Ok(Reply::Refused { reason }),
                other => return Err(unexpected(&other)),
            }
        }
        let (users, more) = pages.page(users_max as usize);
        Ok(Reply::Users { users: users.into_iter().map(User::from).collect(), more })
    }

    /// A page of the audit log over all shards, in the order of time.
    fn read_audit(&self, after: (u64, u64), rows_max: u32) -> Result<Reply, String> {
        let mut pages = AuditPages::default();
        for reply in self.ask(self.all(), &AdminRequest::ReadAudit { after, rows_max })? {
            match reply {
                AdminReply::Audit { lines, covered } => pages.add(lines, covered),
                AdminReply::Refused { reason } => return Ok(Reply::Refused { reason }),
                other => return Err(unexpected(&other)),
            }
        }
        let rows_max = rows_max.clamp(1, shard::limits::AUDIT_ROWS_MAX) as usize;
        let (lines, covered) = pages.page(rows_max);
        Ok(Reply::Audit { lines: lines.into_iter().map(AuditLine::from).collect(), covered })
    }

    fn all(&self) -> std::ops::Range<u16> {
        0..self.ownership.shards()
    }

    /// Asks several shards at once; the answers come in the same order.
    fn ask(
        &self,
        shards: impl IntoIterator<Item = u16>,
        request: &AdminRequest,
    ) -> Result<Vec<AdminReply>, String> {
        let mut asked = Vec::new();
        for shard in shards {
            let (token, receiver) = self.replies.expect();
            asked.push((shard, token, receiver));
            if !self.shards.submit(shard, token, request.clone()) {
                asked.iter().for_each(|(_, token, _)| self.replies.forget(*token));
                return Err("the node is stopping; try again when it has started".into());
            }
        }
        let until = Instant::now() + self.answer_max;
        let mut answers = Vec::with_capacity(asked.len());
        for (shard, _, receiver) in &asked {
            match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(ShardAnswer::Done(reply)) => answers.push(reply),
                Ok(ShardAnswer::Stats(_)) => {
                    return Err(format!("shard {shard} answered with figures that nobody wanted"));
                }
                Err(cause) => {
                    asked.iter().for_each(|(_, token, _)| self.replies.forget(*token));
                    return Err(match cause {
                        RecvTimeoutError::Timeout => format!(
                            "shard {shard} has not answered for {} s; what was asked may still be done",
                            self.answer_max.as_secs()
                        ),
                        RecvTimeoutError::Disconnected => "the node is stopping; try again later".into(),
                    });
                }
            }
        }
        Ok(answers)
    }
}

/// What the line of a request says of a token, checked.
fn new_token(token: NewToken) -> Result<shard::login::NewToken, String> {
    let NewToken { hash, scopes, expires_ms, label } = token;
    let scopes = Scopes::parse(&scopes).map_err(|wrong| format!("there is no scope {wrong:?}"))?;
    if scopes.is_empty() {
        return Err("a token without a scope is good for nothing".into());
    }
    if label.len() > TOKEN_LABEL_LEN_MAX {
        return Err(format!("a label has at most {TOKEN_LABEL_LEN_MAX} bytes"));
    }
    Ok(shard::login::NewToken { hash, scopes, expires_ms, label })
}

fn audit_line(request: &AdminRequest) -> &'static str {
    match request {
        AdminRequest::AddUser { .. } => "user add",
        AdminRequest::ResetUser { .. } => "user reset",
        AdminRequest::ListDevices { .. } => "user sessions",
        AdminRequest::EndSessions { .. } => "user end",
        AdminRequest::ChangeUser { act: UserAct::Disable, .. } => "user disable",
        AdminRequest::ChangeUser { act: UserAct::Enable, .. } => "user enable",
        AdminRequest::ChangeUser { act: UserAct::Reset { .. }, .. } => "user reset",
        AdminRequest::ChangeUser { act: UserAct::Delete, .. } => "user delete",
        AdminRequest::ShowUser { .. } => "user show",
        AdminRequest::ListUsers { .. } => "user list",
        AdminRequest::Issue { .. } | AdminRequest::IssueTo { .. } => "notice",
        AdminRequest::CreateToken { .. } => "token create",
        AdminRequest::ListTokens { .. } => "token list",
        AdminRequest::RevokeToken { .. } => "token revoke",
        AdminRequest::ReadAudit { .. } => "audit",
        AdminRequest::Stats => "stats",
        AdminRequest::EditOrg { .. } => "org edit",
        AdminRequest::OrgPage { .. } => "org page",
        AdminRequest::FindUsers { .. } => "user find",
    }
}

fn unexpected(reply: &AdminReply) -> String {
    format!("a shard answered something else than was asked: {reply:?}")
}

#[cfg(test)]
mod tests;
