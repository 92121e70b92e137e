//! The proof of a password. Whatever is wrong with it, the refusal is the same and so is the work.

use std::net::IpAddr;

use record::{Account, Device};
use wire::limits::CHALLENGE_MS_MAX;
use wire::{DeviceId, Refusal, SessionId, Slot, UserId, scram};

use super::standing::may_log_in;
use super::start::delayed;
use super::{Ending, LoadKey, LoginReply, Logins, NewSession, Proof};
use crate::commits::Stamp;
use crate::config::SessionPolicy;
use crate::core::{Core, FULL_RETRY_MS};
use crate::limits::{DEVICES_MAX, SESSIONS_PER_USER_MAX};

/// The device that logs in, in its own words.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewDevice<'a> {
    /// 0 asks for a new one.
    pub device: DeviceId,
    pub name: &'a str,
    pub class: u8,
    pub address: IpAddr,
    /// Of a service account, which may have any number of sessions of a class.
    pub is_service: bool,
}

impl Logins {
    /// Gives what has to be read first, when the proof is right: then the same is asked once more.
    pub(super) fn prove(
        &mut self,
        core: &mut Core,
        proof: &Proof,
    ) -> Result<(Slot, Stamp, LoginReply), LoadKey> {
        let slot = proof.name.slot();
        let (name, address) = (proof.name.as_str(), proof.address);
        let (user, secrets, stamp) = self.secrets(core, &proof.name);
        if let Some(delay_ms) = self.failures.delay_ms(core.now.mono_ms, name, address) {
            return Ok((slot, stamp, delayed(delay_ms)));
        }
        let binding = proof.binding.as_deref().unwrap_or(&[]);
        let proven = scram::verify(&proof.exchange, &proof.client_final, &secrets.credentials, binding);
        let in_time = proof.age_ms <= CHALLENGE_MS_MAX;
        let (Some(user), Ok(proven), true) = (user, proven, in_time) else {
            let stamp = self.note_failure(core, slot, name, address, stamp);
            return Ok((slot, stamp, refused(Refusal::LoginFailed, 0)));
        };
        self.failures.clear(name, address);
        let device = NewDevice {
            device: proof.device,
            name: &proof.device_name,
            class: proof.device_class,
            address,
            is_service: false,
        };
        if let Some(key) = self.unread_devices(user, proof.device) {
            return Err(key);
        }
        Ok(match self.open_device(core, user, &device) {
            Ok((stamp, session)) => {
                let (session, server_final) = (Box::new(session), proven.server_final);
                (slot, stamp, LoginReply::LoggedIn { session, server_final })
            }
            Err(reply) => (slot, stamp, reply),
        })
    }

    /// Which device leaves for a new one is decided by what is kept of them all.
    pub(super) fn unread_devices(&mut self, user: UserId, device: DeviceId) -> Option<LoadKey> {
        let (account, _) = self.accounts.find(&user)?;
        let devices = &account.as_ref()?.devices;
        let is_needed = devices.len() >= DEVICES_MAX && !devices.iter().any(|d| d.device == device.0);
        (is_needed && self.seen.find(&user).is_none()).then_some(LoadKey::Devices(user))
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
        may_log_in(&account).map_err(|refusal| refused(refusal, 0))?;
        let known = account.devices.iter().position(|known| known.device == new.device.0);
        let class = new.class;
        if self.sessions_beside(core, user, new.device, class) >= SESSIONS_PER_USER_MAX {
            return Err(refused(Refusal::TooManyDevices, 0));
        }
        if let Some(refusal) = core.write_refusal(user.slot()) {
            return Err(refused(refusal, FULL_RETRY_MS as u32));
        }
        let index = match known {
            Some(index) => index,
            None => self.issue_device(core, user, &mut account),
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
            class,
            address: new.address,
            is_login: true,
        };
        if core.config.sessions == SessionPolicy::OnePerClass && !new.is_service {
            Ending::OthersOfClass { device: session.device, class }.revoke(&mut account);
        }
        self.put_login_seen(core, user, session.device, new.address);
        Ok((self.put_account(core, user, account), session))
    }

    /// Adds a device with the next number; over the bound another one leaves.
    fn issue_device(&mut self, core: &mut Core, user: UserId, account: &mut Account) -> usize {
        if account.devices.len() >= DEVICES_MAX {
            let seen = self.seen.find(&user).map(|(seen, _)| seen.clone()).expect("it was read");
            let leaving = account.devices.remove(self.longest_inactive(user, account, &seen));
            self.delete_seen(core, user, DeviceId(leaving.device));
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
