//! A new password by a one-time code of the operator. A name without an account, or without a code, costs the same and is
//! refused alike.

use std::net::IpAddr;

use record::{AuditAct, Credential, OneTimeCode};
use wire::{Refusal, Slot, UserName};

use super::standing::may_log_in;
use super::start::delayed;
use super::{Ending, LoginReply, Logins, nobody_of};
use crate::commits::Stamp;
use crate::core::{Core, FULL_RETRY_MS};

/// A code and the password that it shall set.
#[derive(Debug)]
pub struct Redeem {
    pub name: UserName,
    pub address: IpAddr,
    pub code_hash: [u8; 32],
    pub credential: Credential,
}

impl Logins {
    pub(super) fn redeem(&mut self, core: &mut Core, redeem: Redeem) -> (Slot, Stamp, LoginReply) {
        let Redeem { name, address, code_hash, credential } = redeem;
        let slot = name.slot();
        let refused = |refusal, retry_ms| LoginReply::Refused { refusal, detail: 0, retry_ms };
        let (owner, name_stamp) = self.names.find(name.as_str()).expect("the name was read");
        let user = owner.unwrap_or(nobody_of(name.as_str()));
        let (account, stamp) = self.accounts.find(&user).expect("the account was read");
        let stamp = stamp.max(name_stamp);
        let account = account.clone();
        if let Some(delay_ms) = self.failures.delay_ms(core.now.mono_ms, name.as_str(), address) {
            return (slot, stamp, delayed(delay_ms));
        }
        let fits = |code: &OneTimeCode| is_same(&code.hash, &code_hash) && core.now.wall_ms < code.expiry_ms;
        let account = account.filter(|account| account.code.as_ref().is_some_and(fits));
        let Some(mut account) = account else {
            let stamp = self.note_failure(core, slot, name.as_str(), address, stamp);
            return (slot, stamp, refused(Refusal::CodeRefused, 0));
        };
        if let Err(refusal) = may_log_in(&account) {
            return (slot, stamp, refused(refusal, 0));
        }
        if let Some(refusal) = core.write_refusal(slot) {
            return (slot, stamp, refused(refusal, FULL_RETRY_MS as u32));
        }
        self.failures.clear(name.as_str(), address);
        account.credentials = vec![credential];
        account.code = None;
        core.audit(slot, AuditAct::CodeRedeemed, user, user, &account.name, String::new());
        Ending::All.revoke(&mut account);
        let stamp = self.put_account(core, user, account);
        (slot, stamp, LoginReply::Redeemed { user })
    }
}

/// Hashes of codes are compared whole: a guess learns nothing from the time that it takes.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}
