//! A session goes on with its ticket: no password work, the generation of the device decides.

use std::net::IpAddr;

use record::Account;
use wire::ticket::Contents;
use wire::{DeviceId, Refusal, Slot, UserId};

use super::standing::may_log_in;
use super::{Ending, LoginReply, Logins, NewSession};
use crate::commits::Stamp;
use crate::config::SessionPolicy;
use crate::core::{Core, FULL_RETRY_MS};
use crate::limits::SESSIONS_PER_USER_MAX;

impl Logins {
    pub(super) fn resume(
        &mut self,
        core: &mut Core,
        contents: Contents,
        address: IpAddr,
    ) -> (Slot, Stamp, LoginReply) {
        let user = contents.user;
        let slot = user.slot();
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
                class: device.class,
                address,
                is_login: false,
            })
        });
        let standing = account.as_ref().map_or(Ok(()), may_log_in);
        let refused = |refusal| LoginReply::Refused { refusal, detail: 0, retry_ms: 0 };
        // The ticket is one of this node for this user, so its bearer may know.
        if let Err(refusal) = standing {
            return (slot, stamp, refused(refusal));
        }
        let Some(session) = session else { return (slot, stamp, refused(Refusal::TicketRefused)) };
        if self.sessions_beside(core, user, session.device, session.class) >= SESSIONS_PER_USER_MAX {
            return (slot, stamp, refused(Refusal::TooManyDevices));
        }
        let others = Ending::OthersOfClass { device: session.device, class: session.class };
        let is_covered = |account: &Account| {
            let of_device = |device: &record::Device| others.covers(DeviceId(device.device), device.class);
            account
                .devices
                .iter()
                .any(|device| of_device(device) && self.sessions.has_device(user, DeviceId(device.device)))
        };
        // Others of its class can only be there when the node allowed more than one of them before.
        if core.config.sessions == SessionPolicy::OnePerClass
            && let Some(mut account) = self.accounts.find(&user).and_then(|(account, _)| account.clone())
            && is_covered(&account)
        {
            if let Some(refusal) = core.write_refusal(slot) {
                let retry_ms = FULL_RETRY_MS as u32;
                return (slot, stamp, LoginReply::Refused { refusal, detail: 0, retry_ms });
            }
            others.revoke(&mut account);
            let stamp = self.put_account(core, user, account);
            return (slot, stamp, LoginReply::Resumed(Box::new(session)));
        }
        (slot, stamp, LoginReply::Resumed(Box::new(session)))
    }

    /// Sessions that this user keeps when this device gets one.
    pub(super) fn sessions_beside(&self, core: &Core, user: UserId, device: DeviceId, class: u8) -> usize {
        let taken_over = match core.config.sessions {
            SessionPolicy::Any => Ending::Only(device),
            SessionPolicy::OnePerClass => Ending::OthersOfClass { device, class },
        };
        let stays = |session: &&super::OpenSession| {
            session.place.device != device && !taken_over.covers(session.place.device, session.class)
        };
        self.sessions.of(user).iter().filter(stays).count()
    }
}
