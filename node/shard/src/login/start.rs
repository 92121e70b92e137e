//! The salt for a challenge. A name without an account has one too, made from a secret, and costs the same reads.

use std::net::IpAddr;

use record::{Account, Credential};
use wire::scram::{self, Credentials};
use wire::{Refusal, Slot, UserId, UserName};

use super::{LoginReply, Logins, nobody_of};
use crate::commits::Stamp;
use crate::core::Core;

/// What a name's account says of its password, or would say if there were one.
pub(super) struct Secrets {
    pub salt: [u8; 16],
    pub iterations: u32,
    pub credentials: Credentials,
}

impl Logins {
    pub(super) fn start(
        &mut self,
        core: &mut Core,
        name: &UserName,
        address: IpAddr,
    ) -> (Slot, Stamp, LoginReply) {
        let slot = name.slot();
        let (_, secrets, stamp) = self.secrets(core, name);
        let reply = match self.failures.delay_ms(core.now.mono_ms, name.as_str(), address) {
            Some(delay_ms) => delayed(delay_ms),
            None => LoginReply::Salt { salt: secrets.salt, iterations: secrets.iterations },
        };
        (slot, stamp, reply)
    }

    /// The user of a name, if there is one, and what to check a proof with in either case.
    pub(super) fn secrets(&mut self, core: &Core, name: &UserName) -> (Option<UserId>, Secrets, Stamp) {
        let (user, name_stamp) = self.names.find(name.as_str()).expect("the name was read");
        let user = *user;
        let (account, stamp) =
            self.accounts.find(&user.unwrap_or(nobody_of(name.as_str()))).expect("the account was read");
        let stamp = stamp.max(name_stamp);
        if let Some(secrets) = account.as_ref().and_then(secrets_of) {
            return (user, secrets, stamp);
        }
        let secret = &core.config.fake_salt_secret;
        let secrets = Secrets {
            salt: scram::fake_salt(secret, name.as_str()),
            iterations: core.config.scram_iterations,
            credentials: scram::fake_credentials(secret, name.as_str()),
        };
        (None, secrets, stamp)
    }
}

pub(super) fn secrets_of(account: &Account) -> Option<Secrets> {
    let Credential::ScramSha256 { salt, iterations, stored_key, server_key } = account.credentials.first()?;
    let credentials = Credentials { stored_key: *stored_key, server_key: *server_key };
    Some(Secrets { salt: *salt, iterations: *iterations, credentials })
}

pub(super) fn delayed(delay_ms: u64) -> LoginReply {
    LoginReply::Refused { refusal: Refusal::LoginDelayed, detail: 0, retry_ms: delay_ms as u32 }
}
