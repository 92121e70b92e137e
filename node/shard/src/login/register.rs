//! A new account: a free name gets the next user number of its slot, all in one batch.

use record::{Account, AccountState, AuditAct, Credential, Key, NameEntry, OneTimeCode, SlotState};
use wire::{Refusal, Slot, UserId, UserName};

use super::standing::has_left_its_name;
use super::{LoginReply, Logins, Register};
use crate::admin::AdminReply;
use crate::asker::Asker;
use crate::commits::Stamp;
use crate::core::{Core, FULL_RETRY_MS};
use crate::limits::BUSY_RETRY_MS;
use crate::list;

/// How the first session of a new account is opened.
#[derive(Debug)]
pub(crate) enum FirstKey {
    Password(Credential),
    /// A one-time code of this hash sets the password.
    Code([u8; 32]),
    /// It is a service's, and gets tokens in the same batch.
    Tokens,
}

impl Logins {
    pub(super) fn register(&mut self, core: &mut Core, register: Register) -> (Slot, Stamp, LoginReply) {
        let Register { name, written, credential } = register;
        let slot = name.slot();
        let told = written.clone();
        let (stamp, outcome) = self.create(core, name, written, FirstKey::Password(credential));
        if let Ok(user) = outcome {
            core.audit(slot, AuditAct::Registered, user, user, &told, String::new());
        }
        let reply = match outcome {
            Ok(user) => LoginReply::Registered { user },
            Err((refusal, retry_ms)) => LoginReply::Refused { refusal, detail: 0, retry_ms },
        };
        (slot, stamp, reply)
    }

    /// Of the operator: an account with a first key of its own.
    pub(super) fn add(
        &mut self,
        core: &mut Core,
        asker: Asker,
        name: UserName,
        written: String,
        key: FirstKey,
    ) {
        let slot = name.slot();
        let told = written.clone();
        match self.create(core, name, written, key) {
            (stamp, Ok(user)) => {
                core.audit(slot, AuditAct::UserAdded, asker.user(), user, &told, String::new());
                let reply = AdminReply::Added { user: user.0 };
                asker.answer_after(core, slot, stamp, reply, |encoder, request| {
                    encoder.user_added(request, user)
                });
            }
            (stamp, Err((refusal, 0))) => asker.refuse_after(core, slot, stamp, refusal, 0),
            (_, Err((refusal, retry_ms))) => asker.refuse(core, refusal, 0, retry_ms),
        }
    }

    /// The outcome may be told when the stamp is on disk: a name can be taken by an account that is not yet.
    pub(super) fn create(
        &mut self,
        core: &mut Core,
        name: UserName,
        written: String,
        key: FirstKey,
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
        let (credentials, code) = match key {
            FirstKey::Password(credential) => (vec![credential], None),
            FirstKey::Code(hash) => {
                let expiry_ms = core.now.wall_ms + core.config.code_ms;
                (Vec::new(), Some(OneTimeCode { hash, expiry_ms }))
            }
            FirstKey::Tokens => (Vec::new(), None),
        };
        let account = Account {
            name: written,
            created_ms: core.now.wall_ms,
            credentials,
            devices_issued: 0,
            devices: Vec::new(),
            state: AccountState::Active,
            state_ms: 0,
            code,
        };
        let stamp = self.put_account(core, user, account);
        self.slots.put(slot, state, stamp, |slot, stamp| core.is_committed(*slot, stamp));
        let is_committed = |name: &String, stamp| core.is_committed(Slot::of_name(name), stamp);
        self.names.put(name.into_string(), Some(user), stamp, is_committed);
        (stamp, Ok(user))
    }
}
