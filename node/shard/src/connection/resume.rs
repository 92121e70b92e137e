//! A session goes on with its ticket. The ticket is opened here; its generation is checked at the user's home.

use wire::limits::LOGIN_FIELD_LEN_MAX;
use wire::{ConnectionId, Incoming, Refusal, body, ticket, verified};

use super::state::Held;
use super::{Connections, No};
use crate::core::Core;

impl Connections {
    pub(super) fn resume(
        &mut self,
        core: &mut Core,
        id: ConnectionId,
        incoming: &Incoming<'_>,
    ) -> Result<(), No> {
        let resume = verified::view::<body::Resume>(incoming.body)?;
        let sealed = resume.ticket().map(|ticket| ticket.bytes()).unwrap_or_default();
        if sealed.len() > LOGIN_FIELD_LEN_MAX {
            return Err(No::with_detail(Refusal::BadField, LOGIN_FIELD_LEN_MAX as u64));
        }
        let (request, uver) = (incoming.request, resume.uver());
        match ticket::open(&core.config.ticket_keys, sealed, core.now.wall_ms) {
            Ok(contents) => self.place(core, id, Held::Resume { request, contents, uver }),
            Err(_) => self.refuse_login(core, id, request, &Refusal::TicketRefused.into()),
        }
        Ok(())
    }
}
