//! Answers to questions of the application: told under the number of their question.

use super::effect::{ClientEvent, QueryId, Reason};
use super::session::Session;
use super::stored::KeptKeys;
use crate::account::AccountAnswer;
use crate::decode::EventBody;

impl Session {
    pub(super) fn on_device_answer(&mut self, query: QueryId, event: EventBody) -> Result<(), Reason> {
        self.tell(match event {
            EventBody::Devices(devices) => ClientEvent::Devices { query, devices },
            EventBody::SessionsEnded { count } => ClientEvent::SessionsEnded { query, count },
            EventBody::Refused(refused) => ClientEvent::QueryRefused { query, refused },
            _ => return Err(Reason::Misbehaved("another answer to a question about devices")),
        });
        Ok(())
    }

    pub(super) fn on_org_answer(&mut self, query: QueryId, event: EventBody) -> Result<(), Reason> {
        self.tell(match event {
            EventBody::OrgSynced(synced) => ClientEvent::OrgSynced { query, synced },
            EventBody::Refused(refused) => ClientEvent::QueryRefused { query, refused },
            _ => return Err(Reason::Misbehaved("another answer to a question about the directory")),
        });
        Ok(())
    }

    pub(super) fn on_contact_answer(&mut self, query: QueryId, event: EventBody) -> Result<(), Reason> {
        self.tell(match event {
            EventBody::Related(related) => ClientEvent::Related { query, related },
            EventBody::ContactChanged(contact) => ClientEvent::ContactChanged { query: Some(query), contact },
            EventBody::ContactsSynced(synced) => ClientEvent::ContactsSynced { query, synced },
            EventBody::Refused(refused) => ClientEvent::QueryRefused { query, refused },
            _ => return Err(Reason::Misbehaved("another answer to a question about contacts")),
        });
        Ok(())
    }

    pub(super) fn on_account_answer(
        &mut self,
        query: QueryId,
        keys: Option<Box<KeptKeys>>,
        event: EventBody,
    ) -> Result<(), Reason> {
        let answer = match event {
            EventBody::ProfileChanged(changed) => AccountAnswer::ProfileChanged(changed),
            EventBody::ProfileFound(found) => AccountAnswer::ProfileFound(found),
            EventBody::ProofTerms(terms) => AccountAnswer::ProofTerms(terms),
            EventBody::PasswordChanged(changed) => {
                self.on_password_changed(changed.ticket, keys);
                AccountAnswer::PasswordChanged { server_final: changed.server_final }
            }
            EventBody::AccountDeleted { server_final } => {
                self.on_account_deleted();
                AccountAnswer::AccountDeleted { server_final }
            }
            _ => return Err(Reason::Misbehaved("another answer to a question about an account")),
        };
        self.tell(ClientEvent::Account { query, answer });
        Ok(())
    }
}
