//! Commands without an answer.

use std::collections::BTreeMap;

use super::effect::QueryId;
use super::stored::KeptKeys;
use super::{ANSWER_MS_MAX, QUERIES_MAX};
use crate::account::AccountQuery;
use crate::contact::ContactQuery;
use crate::device::DeviceQuery;
use crate::ids::{ConversationId, UserId};
use crate::operator::OperatorQuery;
use crate::org::OrgPosition;
use crate::presence::PresenceQuery;

/// What an answer will be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Hello,
    RegisterStart,
    Register,
    LoginStart,
    LoginProof,
    TokenLogin,
    Resume,
    Logout,
    Ping,
    Send {
        counter: u64,
    },
    CatchUp {
        conversation: ConversationId,
    },
    History {
        query: QueryId,
    },
    Mark {
        conversation: ConversationId,
    },
    Sync,
    Find {
        query: QueryId,
    },
    Contact {
        query: QueryId,
        is_long: bool,
    },
    Org {
        query: QueryId,
    },
    /// `keys`: of the password that this sets.
    Account {
        query: QueryId,
        keys: Option<Box<KeptKeys>>,
    },
    Adverts {
        query: QueryId,
    },
    Device {
        query: QueryId,
    },
    Operator {
        query: QueryId,
    },
    Presence {
        query: QueryId,
        is_long: bool,
    },
}

impl Pending {
    /// A send may stay without an answer; the others may not.
    fn must_be_answered(&self) -> bool {
        !matches!(self, Pending::Send { .. })
    }
}

/// A question of the application that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Query {
    Find { name: String },
    Name { user: UserId },
    History { conversation: ConversationId, from: u64, to: u64 },
    Contact(ContactQuery),
    Org { position: OrgPosition, rows_max: u32 },
    Presence(PresenceQuery),
    Account(AccountQuery),
    SetAdverts { off: bool },
    Device(DeviceQuery),
    Operator(Box<OperatorQuery>),
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    last: u32,
    pending: BTreeMap<u32, (Pending, u64)>,
}

impl Requests {
    pub fn open(&mut self, pending: Pending, now_ms: u64) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1).max(1);
            if !self.pending.contains_key(&self.last) {
                break;
            }
        }
        self.pending.insert(self.last, (pending, now_ms));
        self.last
    }

    pub fn close(&mut self, request: u32) -> Option<Pending> {
        self.pending.remove(&request).map(|(pending, _)| pending)
    }

    /// The application's questions that were on their way.
    pub fn clear(&mut self) -> Vec<QueryId> {
        std::mem::take(&mut self.pending)
            .into_values()
            .filter_map(|(pending, _)| match pending {
                Pending::Find { query }
                | Pending::History { query }
                | Pending::Contact { query, .. }
                | Pending::Presence { query, .. }
                | Pending::Account { query, .. }
                | Pending::Adverts { query }
                | Pending::Org { query }
                | Pending::Device { query }
                | Pending::Operator { query } => Some(query),
                _ => None,
            })
            .collect()
    }

    pub fn queries(&self) -> usize {
        let is_query = |pending: &Pending| {
            matches!(
                pending,
                Pending::Find { .. }
                    | Pending::History { .. }
                    | Pending::Contact { .. }
                    | Pending::Org { .. }
                    | Pending::Presence { .. }
                    | Pending::Account { .. }
                    | Pending::Adverts { .. }
                    | Pending::Device { .. }
                    | Pending::Operator { .. }
            )
        };
        self.pending.values().filter(|(pending, _)| is_query(pending)).count()
    }

    /// Whether a page of the contacts, of who of them is online, or of the directory is on its way.
    pub fn reads_pages(&self) -> bool {
        let reads = |pending: &Pending| {
            matches!(
                pending,
                Pending::Contact { is_long: true, .. }
                    | Pending::Presence { is_long: true, .. }
                    | Pending::Org { .. }
            )
        };
        self.pending.values().any(|(pending, _)| reads(pending))
    }

    /// When the oldest answer that must come is overdue.
    pub fn deadline_ms(&self) -> Option<u64> {
        let sent = self.pending.values().filter(|(pending, _)| pending.must_be_answered());
        sent.map(|(_, since_ms)| since_ms + ANSWER_MS_MAX).min()
    }
}

/// Questions of the application in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queries {
    last: u64,
    waiting: Vec<(QueryId, Query)>,
}

impl Queries {
    /// `None` when too many wait.
    pub fn push(&mut self, query: Query) -> Option<QueryId> {
        if self.waiting.len() >= QUERIES_MAX {
            return None;
        }
        self.last += 1;
        self.waiting.push((QueryId(self.last), query));
        Some(QueryId(self.last))
    }

    /// The first one that may go: pulls go one at a time, and so do reads of lists.
    pub fn next(&mut self, pull_allowed: bool, sync_allowed: bool) -> Option<(QueryId, Query)> {
        let may_go = |query: &Query| match query {
            Query::History { .. } => pull_allowed,
            Query::Contact(query) => sync_allowed || !query.is_long(),
            Query::Org { .. } => sync_allowed,
            Query::Presence(query) => sync_allowed || !query.is_long(),
            Query::Find { .. }
            | Query::Name { .. }
            | Query::Account(_)
            | Query::Device(_)
            | Query::Operator(_)
            | Query::SetAdverts { .. } => true,
        };
        let at = self.waiting.iter().position(|(_, query)| may_go(query))?;
        Some(self.waiting.remove(at))
    }
}
