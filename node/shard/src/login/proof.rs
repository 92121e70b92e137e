//! The proof of a password. Whatever is wrong with it, the refusal is the same and so is the work.

use record::{Account, Device};
use wire::limits::CHALLENGE_MS_MAX;
use wire::{DeviceId, Refusal, SessionId, Slot, UserId, scram};

use super::start::delayed;
use super::{LoginReply, Logins, NewSession, Proof};
use crate::commits::Stamp;
use crate::core::{Core, FULL_RETRY_MS};
use crate::limits::{DEVICES_MAX, SESSIONS_PER_USER_MAX};

/// The device that logs in, in its own words.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewDevice<'a> {
    /// 0 asks for a new one.
    pub device: DeviceId,
    pub name: &'a str,
    pub class: u8,
}

impl Logins {
    pub(super) fn prove(&mut self, core: &mut Core, proof: Proof) -> (Slot, Stamp, LoginReply) {
        let slot = proof.name.slot();
        let (name, address) = (proof.name.as_str(), proof.address);
        let (user, secrets, stamp) = self.secrets(core, &proof.name);
        if let Some(delay_ms) = self.failures.delay_ms(core.now.mono_ms, name, address) {
            return (slot, stamp, delayed(delay_ms));
        }
        let binding = proof.binding.as_deref().unwrap_or(&[]);
        let proven = scram::verify(&proof.exchange, &proof.client_final, &secrets.credentials, binding);
        let in_time = proof.age_ms <= CHALLENGE_MS_MAX;
        let (Some(user), Ok(proven), true) = (user, proven, in_time) else {
            self.failures.note(core.now.mono_ms, name, address);
            return (slot, stamp, refused(Refusal::LoginFailed, 0));
        };
        self.failures.clear(name, address);
        let device = NewDevice { device: proof.device, name: &proof.device_name, class: proof.device_class };
        match self.open_device(core, user, &device) {
            Ok((stamp, session)) => {
                let reply =
                    LoginReply::LoggedIn { session: Box::new(session), server_final: proven.server_final };
                (slot, stamp, reply)
            }
            Err(reply) => (slot, stamp, reply),
        }
    }

    /// The device that logs in gets the next generation, which ends its earlier tickets; an unknown one is new.
    pub(super) fn open_device(
        &mut self,
        core: &mut Core,
        user: UserId,
        new: &NewDevice<'_>,
    ) -> Result<(Stamp, NewSession), LoginReply> {
        let (account, _) = self.accounts.find(&user).expect("the account was read");
        let mut account = account.clone().expect("its secrets were used");
        let known = account.devices.iter().position(|known| known.device == new.device.0);
        let sessions = self.sessions.of(user);
        let takes_over = known.is_some() && self.sessions.has_device(user, new.device);
        if sessions.len() >= SESSIONS_PER_USER_MAX && !takes_over {
            return Err(refused(Refusal::TooManyDevices, 0));
        }
        if let Some(refusal) = core.write_refusal(user.slot()) {
            return Err(refused(refusal, FULL_RETRY_MS as u32));
        }
        let index = match known {
            Some(index) => index,
            None => self.issue_device(user, &mut account),
        };
        let device = &mut account.devices[index];
        device.generation += 1;
        device.class = new.class;
        new.name.clone_into(&mut device.name);
        device.login_ms = core.now.wall_ms;
        let session = NewSession {
            user,
            name: account.name.clone(),
            device: DeviceId(device.device),
            generation: u64::from(device.generation),
            session: SessionId(core.rng.u64()),
            grant: None,
        };
        Ok((self.put_account(core, user, account), session))
    }

    /// Adds a device with the next number; over the bound, the one without a session that logged in longest ago leaves.
    fn issue_device(&self, user: UserId, account: &mut Account) -> usize {
        if account.devices.len() >= DEVICES_MAX {
            let leaving = account
                .devices
                .iter()
                .enumerate()
                .filter(|(_, device)| !self.sessions.has_device(user, DeviceId(device.device)))
                .min_by_key(|(_, device)| (device.login_ms, device.device))
                .map(|(index, _)| index)
                .expect("a user has fewer sessions than devices");
            account.devices.remove(leaving);
        }
        account.devices_issued += 1;
        account.devices.push(Device {
            device: account.devices_issued,
            generation: 0,
            class: 0,
            name: String::new(),
            login_ms: 0,
        });
        account.devices.len() - 1
    }
}

pub(super) fn refused(refusal: Refusal, retry_ms: u32) -> LoginReply {
    LoginReply::Refused { refusal, detail: 0, retry_ms }
}
