//! A new account: a free name gets the next user number of its slot, all in one batch.

use record::{Account, AccountState, AuditAct, Credential, Key, NameEntry, SlotState};
use wire::{Refusal, Slot, UserId, UserName};

use super::standing::has_left_its_name;
use super::{LoginReply, Logins, Register};
use crate::admin::AdminReply;
use crate::commits::Stamp;
use crate::core::{After, Core, FULL_RETRY_MS};
use crate::limits::BUSY_RETRY_MS;
use crate::list;

impl Logins {
    pub(super) fn register(&mut self, core: &mut Core, register: Register) -> (Slot, Stamp, LoginReply) {
        let Register { name, written, credential } = register;
        let slot = name.slot();
        let told = written.clone();
        let (stamp, outcome) = self.create(core, name, written, vec![credential]);
        if let Ok(user) = outcome {
            core.audit(slot, AuditAct::Registered, user, user, &told, String::new());
        }
        let reply = match outcome {
            Ok(user) => LoginReply::Registered { user },
            Err((refusal, retry_ms)) => LoginReply::Refused { refusal, detail: 0, retry_ms },
        };
        (slot, stamp, reply)
    }

    pub(super) fn add(&mut self, core: &mut Core, token: u64, register: Register) {
        let Register { name, written, credential } = register;
        let slot = name.slot();
        let told = written.clone();
        let (stamp, outcome) = self.create(core, name, written, vec![credential]);
        if let Ok(user) = outcome {
            core.audit(slot, AuditAct::UserAdded, UserId::NOBODY, user, &told, String::new());
        }
        let reply = match outcome {
            Ok(user) => AdminReply::Added { user: user.0 },
            Err((refusal, _)) => AdminReply::Refused { reason: refusal.reason().into() },
        };
        core.after(slot, stamp, After::Reply { token, reply });
    }

    /// The outcome may be told when the stamp is on disk: a name can be taken by an account that is not yet. An account
    /// without credentials is a service's, and gets tokens in the same batch.
    pub(super) fn create(
        &mut self,
        core: &mut Core,
        name: UserName,
        written: String,
        credentials: Vec<Credential>,
    ) -> (Stamp, Result<UserId, (Refusal, u32)>) {
        let slot = name.slot();
        let (owner, stamp) = self.names.find(name.as_str()).expect("the name was read");
        if let Some(owner) = *owner {
            let account = self.accounts.find(&owner);
            let stamp = account.map_or(stamp, |(_, account_stamp)| stamp.max(account_stamp));
            let account = account.and_then(|(account, _)| account.as_ref());
            if !account.is_some_and(|account| has_left_its_name(core, account)) {
                return (stamp, Err((Refusal::NameTaken, 0)));
            }
        }
        if let Some(refusal) = core.write_refusal(slot) {
            return (stamp, Err((refusal, FULL_RETRY_MS as u32)));
        }
        let (state, _) = self.slots.find(&slot).expect("the slot's state was read");
        let number = state.users + 1;
        let Some(user) = UserId::from_parts(slot, number) else {
            return (stamp, Err((Refusal::Busy, BUSY_RETRY_MS))); // four million users share this slot
        };
        let state = SlotState { users: number };
        core.put(&Key::SlotState(slot), &state);
        core.put(&Key::Name(name.as_str().to_owned()), &NameEntry { user: user.0 });
        list::begin_list(core, user);
        let account = Account {
            name: written,
            created_ms: core.now.wall_ms,
            credentials,
            devices_issued: 0,
            devices: Vec::new(),
            state: AccountState::Active,
            state_ms: 0,
            code: None,
        };
        let stamp = self.put_account(core, user, account);
        self.slots.put(slot, state, stamp, |slot, stamp| core.is_committed(*slot, stamp));
        let is_committed = |name: &String, stamp| core.is_committed(Slot::of_name(name), stamp);
        self.names.put(name.into_string(), Some(user), stamp, is_committed);
        (stamp, Ok(user))
    }
}
