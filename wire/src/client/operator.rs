//! Programs: logins with a token, and what an operator's token asks.

use super::effect::{ClientEvent, QueryId, Reason};
use super::link::{Intent, Link};
use super::requests::{Pending, Query};
use super::session::{QueryError, Session};
use super::stored::Account;
use crate::decode::EventBody;
use crate::message::LoggedIn;
use crate::operator::{OperatorAnswer, OperatorQuery};
use crate::token::Token;

impl Session {
    /// Logs in with a token of a service account; at once when connected, else after the next connect, and again after each loss.
    /// Nothing of the token is persisted.
    pub fn log_in_with_token(&mut self, now_ms: u64, token: Token) {
        self.token = Some(token);
        self.intent = Intent::Resume;
        self.wanted = true;
        if matches!(self.link, Link::Welcomed) {
            self.start_login(now_ms);
        }
        self.finish(now_ms);
    }

    /// Something that needs a token with a scope for it. `ClientEvent::Operator` answers.
    pub fn ask_operator(&mut self, now_ms: u64, query: OperatorQuery) -> Result<QueryId, QueryError> {
        self.ask(now_ms, Query::Operator(Box::new(query)))
    }

    pub(super) fn start_token_login(&mut self, now_ms: u64, token: &Token) {
        let (device, device_name) = (self.device(), self.config.device_name.clone());
        self.enter(Link::TokenSent, now_ms);
        self.transmit(now_ms, Pending::TokenLogin, |encoder, request| {
            encoder.token_login(request, token, device, &device_name)
        });
    }

    /// There is no ticket and no proof of the node: a token goes over an encrypted connection whose certificate was checked.
    pub(super) fn on_token_logged_in(&mut self, now_ms: u64, logged_in: LoggedIn) -> Result<(), Reason> {
        if !matches!(self.link, Link::TokenSent) {
            return Err(Reason::Misbehaved("a login out of turn"));
        }
        let LoggedIn { user, name, device, reconnect_ms, idle_ms_max, .. } = logged_in;
        let account = Account { user, name, device, ticket: Vec::new() };
        self.on_session(now_ms, account, reconnect_ms, idle_ms_max, false)
    }

    pub(super) fn on_operator_answer(&mut self, query: QueryId, event: EventBody) -> Result<(), Reason> {
        let answer = match event {
            EventBody::Operator(answer) => answer,
            EventBody::Devices(devices) => OperatorAnswer::Devices(devices),
            EventBody::SessionsEnded { count } => OperatorAnswer::SessionsEnded { count },
            EventBody::PairsRelated(related) => OperatorAnswer::PairsRelated(related),
            EventBody::TokenCreated(created) => OperatorAnswer::TokenCreated(created),
            EventBody::TokensListed(listed) => OperatorAnswer::TokensListed(listed),
            EventBody::TokenRevoked(revoked) => OperatorAnswer::TokenRevoked(revoked),
            EventBody::Refused(refused) => {
                self.tell(ClientEvent::QueryRefused { query, refused });
                return Ok(());
            }
            _ => return Err(Reason::Misbehaved("another answer to an operator's question")),
        };
        self.tell(ClientEvent::Operator { query, answer: Box::new(answer) });
        Ok(())
    }
}
