//! A session goes on with its ticket: no password work, the generation of the device decides.

use wire::ticket::Contents;
use wire::{DeviceId, Refusal, Slot};

use super::{LoginReply, Logins, NewSession};
use crate::commits::Stamp;
use crate::core::Core;
use crate::limits::SESSIONS_PER_USER_MAX;

impl Logins {
    pub(super) fn resume(&mut self, _core: &mut Core, contents: Contents) -> (Slot, Stamp, LoginReply) {
        let user = contents.user;
        let (account, stamp) = self.accounts.find(&user).expect("the account was read");
        let session = account.as_ref().and_then(|account| {
            let device = account.devices.iter().find(|device| device.device == contents.device.0)?;
            (u64::from(device.generation) == contents.generation).then(|| NewSession {
                user,
                name: account.name.clone(),
                device: DeviceId(device.device),
                generation: contents.generation,
                session: contents.session,
                grant: None,
            })
        });
        let refused = |refusal| LoginReply::Refused { refusal, detail: 0, retry_ms: 0 };
        let reply = match session {
            None => refused(Refusal::TicketRefused),
            Some(session) => {
                let takes_over = self.sessions.has_device(user, session.device);
                if self.sessions.of(user).len() >= SESSIONS_PER_USER_MAX && !takes_over {
                    refused(Refusal::TooManyDevices)
                } else {
                    LoginReply::Resumed(Box::new(session))
                }
            }
        };
        (user.slot(), stamp, reply)
    }
}
