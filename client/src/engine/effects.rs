//! What the session wants done, and what it tells.

use std::time::Duration;

use tokio::time::Instant;
use wire::client::{ClientEvent, Effect, PersistOp, QueryId, Reason, SendFailure};
use wire::message::Summary;
use wire::notice::Announced;
use wire::scram;
use wire::{ConversationId, UserId};

use super::disk::After;
use super::io::Io;
use super::{ContactAnswer, DeviceAnswer, Engine, Group, PresenceAnswer, Query, answer};
use crate::board::Me;
use crate::client::User;
use crate::error::Error;
use crate::event::{Connection, Event, StopCause, sentence};
use crate::send::{Ack, SendState};
use crate::store::Change;
use crate::transport::Address;

impl Engine {
    /// Carries out what the session asks for until it asks for nothing more.
    pub(super) fn carry_out(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Transmit(bytes) => self.io.transmit(&bytes),
                Effect::Persist { token, ops } => {
                    let changes = ops.into_iter().map(Change::Session).collect();
                    self.disk.put(Group { changes, after: After::Token(token) });
                }
                Effect::NeedStretch { salt, iterations } => self.stretch(salt, iterations),
                Effect::Event(event) => self.on_event(event),
                Effect::Disconnect(reason) => {
                    tracing::debug!(?reason, "closing the connection");
                    self.io.hang_up();
                }
                Effect::ReconnectAfter { delay_ms, addresses } => self.reconnect(delay_ms, &addresses),
            }
        }
    }

    fn stretch(&mut self, salt: Vec<u8>, iterations: u32) {
        let Some(password) = self.password.clone() else {
            self.disconnect();
            return self.need_login(None);
        };
        self.stretching =
            Some(tokio::task::spawn_blocking(move || scram::stretch(&password, &salt, iterations)));
    }

    /// Make before break: the new connection is opened while the old one still serves.
    fn prepare_move(&mut self, addresses: &[String]) {
        let addresses = parsed(addresses);
        if !addresses.is_empty() {
            tracing::info!(?addresses, "the node asks to move");
            self.spare = Some(tokio::spawn(self.opening(addresses)));
        }
    }

    fn reconnect(&mut self, delay_ms: u64, addresses: &[String]) {
        let addresses = parsed(addresses);
        if !self.wanted {
            return;
        }
        if let Some(spare) = self.spare.take() {
            self.board.set_connection(Connection::Connecting);
            self.io = Io::Opening(Box::pin(async { spare.await.expect("opening does not panic") }));
            return;
        }
        if delay_ms == 0 {
            return self.open(addresses);
        }
        let delay = Duration::from_millis(delay_ms);
        self.io = Io::Waiting { until: Instant::now() + delay, addresses };
        let reason = self.loss.clone().unwrap_or_else(|| "connection lost".into());
        self.board.set_connection(Connection::Waiting { delay, reason });
    }

    pub(super) fn on_written(&mut self, groups: Vec<Group>) {
        let now_ms = self.clock.now_ms();
        for Group { changes, after } in groups {
            for change in &changes {
                if let Change::Session(PersistOp::Outgoing(send)) = change
                    && let Some((_, state)) = self.sends.get(&send.counter)
                {
                    state.send_replace(SendState::OnDisk);
                }
            }
            match after {
                After::Token(token) => self.session.handle_persisted(now_ms, token),
                After::Pulled(pulled, reply) => answer(reply, Ok(pulled)),
                After::ContactSet(contact, reply) => answer(reply, Ok(ContactAnswer::Row(contact))),
                After::Contacts { news, is_end } => self.on_contacts_written(news, is_end),
                After::Nothing => {}
            }
        }
    }

    fn on_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Welcomed(_) | ClientEvent::Registered { .. } => {}
            ClientEvent::MoveAsked { addresses, .. } => self.prepare_move(&addresses),
            ClientEvent::LoginNeeded => {
                self.disconnect();
                self.need_login(None);
            }
            ClientEvent::RegisterRefused(refused) | ClientEvent::LoginRefused(refused) => {
                self.fail_login(Error::Refused(refused.into()));
            }
            ClientEvent::LoggedIn { user, name, device, resumed } => {
                self.on_logged_in(Me { user, name, device }, resumed);
            }
            ClientEvent::LoggedOut => {
                self.board.set_connection(Connection::Idle);
                if let Some(reply) = self.logout.take() {
                    answer(reply, Ok(()));
                }
            }
            ClientEvent::Disconnected(reason) => self.on_disconnected(reason),
            ClientEvent::Message { conversation, entry } => {
                self.want_name_of(conversation);
                self.board.tell(Event::Message { conversation, entry });
            }
            ClientEvent::Gap { conversation, range } => self.board.tell(Event::Gap { conversation, range }),
            ClientEvent::EpochChanged { conversation, .. } => {
                self.board.tell(Event::Restored { conversation })
            }
            ClientEvent::Marked { .. } => {} // a summary follows
            ClientEvent::Summary(summary) => self.on_summary(summary),
            ClientEvent::CaughtUp => self.board.tell(Event::CaughtUp),
            ClientEvent::Sent { .. }
            | ClientEvent::SendDelayed { .. }
            | ClientEvent::SendUnanswered { .. }
            | ClientEvent::SendFailed { .. } => self.on_send_event(event),
            ClientEvent::ContactChanged { query: None, contact } => self.on_contact_pushed(contact),
            ClientEvent::ProfileChanged(changed) => self.board.tell(Event::ProfileChanged(changed)),
            ClientEvent::AdvertsSet { query, off } => self.on_adverts_set(query, !off),
            ClientEvent::Announced(Announced { conversation, time_ms, body_kind, body }) => {
                self.board.tell(Event::Announced { conversation, time_ms, body_kind, body });
            }
            ClientEvent::ContactsMissed => self.on_contacts_missed(),
            ClientEvent::OrgChanged { version } => self.board.tell(Event::OrgChanged { version }),
            ClientEvent::PresenceSet { query: None, own } => self.board.tell(Event::OwnPresence(own)),
            ClientEvent::PresenceChanged { contacts } => {
                self.want_names(contacts.iter().map(|contact| contact.user));
                self.board.tell(Event::PresenceChanged(contacts));
            }
            ClientEvent::PresenceMissed => self.board.tell(Event::PresenceMissed),
            ClientEvent::PresenceSet { .. }
            | ClientEvent::PresenceSynced { .. }
            | ClientEvent::PresenceFound { .. } => self.on_presence_answer(event),
            ClientEvent::UserFound { .. }
            | ClientEvent::OrgSynced { .. }
            | ClientEvent::Account { .. }
            | ClientEvent::Operator { .. }
            | ClientEvent::Related { .. }
            | ClientEvent::ContactChanged { .. }
            | ClientEvent::ContactsSynced { .. }
            | ClientEvent::Devices { .. }
            | ClientEvent::SessionsEnded { .. }
            | ClientEvent::History { .. }
            | ClientEvent::QueryRefused { .. }
            | ClientEvent::QueryLost { .. } => self.on_query_event(event),
        }
    }

    fn on_adverts_set(&mut self, query: Option<QueryId>, on: bool) {
        if let Some(Query::Adverts(reply)) = query.and_then(|query| self.queries.remove(&query)) {
            answer(reply, Ok(()));
        }
        self.board.tell(Event::Adverts { on });
    }

    fn on_logged_in(&mut self, me: Me, resumed: bool) {
        tracing::info!(user = %me.name, resumed, "logged in");
        self.password = None; // the session keeps what it needs
        self.contacts.want();
        self.board.set_me(me.clone());
        self.board.set_connection(Connection::Online { resumed });
        if let Some(reply) = self.login.take() {
            answer(reply, Ok(me));
        }
    }

    fn on_disconnected(&mut self, reason: Reason) {
        let text = reason_text(&reason);
        if let Some(reply) = self.login.take_if(|_| reason != Reason::Moved) {
            let error = match reason.clone() {
                Reason::Closed(refused) => Error::Refused(refused.into()),
                Reason::NodeUnproven => Error::Untrusted,
                Reason::Version => Error::Version,
                Reason::Misbehaved(what) => Error::NodeMisbehaved(what.to_owned()),
                Reason::OtherAccount => Error::Misuse("the folder belongs to another account"),
                Reason::Asked => Error::Closed,
                Reason::Lost | Reason::Unreachable | Reason::Moved | Reason::Silent => Error::ConnectionLost,
            };
            answer(reply, Err(error));
            self.disconnect();
            self.board.set_connection(Connection::Idle);
        }
        if let Some(reply) = self.logout.take() {
            answer(reply, Err(Error::ConnectionLost));
        }
        let cause = match &reason {
            Reason::NodeUnproven => StopCause::Untrusted,
            Reason::Version => StopCause::Version,
            Reason::OtherAccount => StopCause::OtherAccount,
            Reason::Closed(_) if !reason.is_transient() => StopCause::SessionEnded,
            Reason::Unreachable => return, // why is known better from the connection
            _ => {
                self.loss = Some(text);
                return;
            }
        };
        self.wanted = false;
        self.board.set_connection(Connection::Stopped { cause, reason: text });
    }

    fn on_summary(&mut self, summary: Summary) {
        self.want_name_of(summary.conversation);
        self.board.tell(Event::Conversation(summary));
    }

    fn want_name_of(&mut self, conversation: ConversationId) {
        let me = self.session.account().map_or(UserId::NOBODY, |account| account.user);
        if conversation.is_private()
            && let Some(peer) = conversation.peer_of(me)
            && self.board.name(peer).is_none()
        {
            let is_asked = |query: &Query| matches!(query, Query::Name(user) if *user == peer);
            if !self.queries.values().any(is_asked) {
                self.names_wanted.insert(peer);
            }
        }
    }

    /// This user, if his name is not known.
    pub(super) fn unnamed(&self, user: UserId) -> Option<UserId> {
        self.board.name(user).is_none().then_some(user)
    }

    fn want_names(&mut self, users: impl Iterator<Item = UserId>) {
        let unnamed: Vec<_> = users.filter_map(|user| self.unnamed(user)).collect();
        self.names_wanted.extend(unnamed);
    }

    fn on_presence_answer(&mut self, event: ClientEvent) {
        let (query, with) = match event {
            ClientEvent::PresenceSet { query: Some(query), own } => (query, PresenceAnswer::Own(own)),
            ClientEvent::PresenceFound { query, found } => (query, PresenceAnswer::Found(found)),
            ClientEvent::PresenceSynced { query, synced } => {
                self.want_names(synced.contacts.iter().map(|contact| contact.user));
                (query, PresenceAnswer::Page(synced))
            }
            _ => unreachable!("only answers about presence come here"),
        };
        if let Some(Query::Presence(reply)) = self.queries.remove(&query) {
            answer(reply, Ok(with));
        }
    }

    fn answer_contact(&mut self, query: QueryId, with: ContactAnswer) {
        if let Some(Query::Contact(reply)) = self.queries.remove(&query) {
            answer(reply, Ok(with));
        }
    }

    fn answer_devices(&mut self, query: QueryId, with: DeviceAnswer) {
        if let Some(Query::Device(reply)) = self.queries.remove(&query) {
            answer(reply, Ok(with));
        }
    }

    fn on_send_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Sent { conversation, counter, place, time_ms } => {
                if let Some((_, state)) = self.sends.remove(&counter) {
                    state.send_replace(SendState::Acked(Ack { seq: place.seq, time_ms }));
                }
                self.board.tell(Event::Sent { conversation, counter, seq: place.seq });
            }
            ClientEvent::SendDelayed { counter, refused, .. } => {
                self.board.tell(Event::SendDelayed { counter, refused: refused.into() });
            }
            ClientEvent::SendUnanswered { counter, .. } => {
                if let Some((_, state)) = self.sends.get(&counter) {
                    state.send_replace(SendState::Unanswered);
                }
                self.board.tell(Event::SendUnanswered { counter });
            }
            ClientEvent::SendFailed { conversation, counter, failure } => {
                let reason = failure_text(failure);
                if let Some((_, state)) = self.sends.remove(&counter) {
                    state.send_replace(SendState::Failed { reason: reason.clone() });
                }
                self.board.tell(Event::SendFailed { conversation, counter, reason });
            }
            _ => unreachable!("only events of sends come here"),
        }
    }

    fn on_user_found(&mut self, query: QueryId, found: User) {
        let User { id: user, name, deleted } = found.clone();
        if self.board.set_name(user, name.clone()) {
            let changes = vec![Change::Name { user, name: name.clone() }];
            self.disk.put(Group { changes, after: After::Nothing });
            self.board.tell(Event::Named { user, name });
        }
        if deleted && self.board.set_deleted(user) {
            let changes = vec![Change::UserDeleted(user)];
            self.disk.put(Group { changes, after: After::Nothing });
            self.board.tell(Event::UserDeleted { user });
        }
        if let Some(Query::Find(reply)) = self.queries.remove(&query) {
            answer(reply, Ok(found));
        }
    }

    fn on_query_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Account { query, answer: with } => {
                if let Some(Query::Account(reply)) = self.queries.remove(&query) {
                    answer(reply, Ok(with));
                }
            }
            ClientEvent::Operator { query, answer: with } => {
                if let Some(Query::Operator(reply)) = self.queries.remove(&query) {
                    answer(reply, Ok(*with));
                }
            }
            ClientEvent::UserFound { query, user, name, deleted } => {
                self.on_user_found(query, User { id: user, name, deleted });
            }
            ClientEvent::Related { query, related } => {
                self.answer_contact(query, ContactAnswer::Related(related));
            }
            ClientEvent::ContactChanged { query: Some(query), contact } => {
                if let Some(Query::Contact(reply)) = self.queries.remove(&query) {
                    self.on_contact_set(contact, reply);
                }
            }
            ClientEvent::ContactsSynced { query, synced } => {
                let users = synced.contacts.iter().map(|contact| contact.user);
                let unnamed: Vec<_> = users.filter_map(|user| self.unnamed(user)).collect();
                self.names_wanted.extend(unnamed);
                match self.queries.remove(&query) {
                    Some(Query::ContactCopy) => self.on_contact_page(synced),
                    Some(Query::Contact(reply)) => answer(reply, Ok(ContactAnswer::Page(synced))),
                    _ => {}
                }
            }
            ClientEvent::OrgSynced { query, synced } => {
                if let Some(Query::Org(reply)) = self.queries.remove(&query) {
                    answer(reply, Ok(synced));
                }
            }
            ClientEvent::Devices { query, devices } => {
                self.answer_devices(query, DeviceAnswer::List(devices));
            }
            ClientEvent::SessionsEnded { query, count } => {
                self.answer_devices(query, DeviceAnswer::Ended(count));
            }
            ClientEvent::History { query, pulled } => {
                if let Some(Query::Pull(reply)) = self.queries.remove(&query) {
                    let changes = vec![Change::History(pulled.clone())];
                    self.disk.put(Group { changes, after: After::Pulled(pulled, reply) });
                }
            }
            ClientEvent::QueryRefused { query, refused } => {
                if let Some(query) = self.queries.remove(&query) {
                    self.fail_query(query, Error::Refused(refused.into()));
                }
            }
            ClientEvent::QueryLost { query } => {
                if let Some(query) = self.queries.remove(&query) {
                    self.fail_query(query, Error::ConnectionLost);
                }
            }
            _ => unreachable!("only events of questions come here"),
        }
    }
}

/// Addresses that cannot be read are left out.
fn parsed(addresses: &[String]) -> Vec<Address> {
    addresses.iter().filter_map(|address| address.parse().ok()).collect()
}

fn reason_text(reason: &Reason) -> String {
    match reason {
        Reason::Asked => "closed".into(),
        Reason::Lost => "connection lost".into(),
        Reason::Unreachable => "cannot connect".into(),
        Reason::Closed(refused) => sentence(refused.clone()),
        Reason::Moved => "the node asked to connect anew".into(),
        Reason::Silent => "the node is silent".into(),
        Reason::Misbehaved(what) => format!("the node broke the protocol: {what}"),
        Reason::NodeUnproven => Error::Untrusted.to_string(),
        Reason::Version => Error::Version.to_string(),
        Reason::OtherAccount => "the folder belongs to another account".into(),
    }
}

fn failure_text(failure: SendFailure) -> String {
    match failure {
        SendFailure::Refused(refused) => sentence(refused),
        SendFailure::Unanswered => "it was never answered".into(),
        SendFailure::Undecided => "the node no longer knows whether it took it".into(),
        SendFailure::DeviceChanged => "this device was forgotten by the node".into(),
        SendFailure::Discarded => "discarded".into(),
    }
}
