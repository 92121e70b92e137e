//! What a client asks about accounts, his own and those of others, and what answers it.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::body;
use crate::client::KeptKeys;
use crate::encode::Encoder;
use crate::generated as fb;
use crate::ids::UserId;
use crate::profile::{Profile, ProfileChanged, ProfileFound};
use crate::scram::KEY_LEN;

/// A question about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountQuery {
    SetProfile(Box<Profile>),
    GetProfile(UserId),
    /// Begins the proof of the own password, with SCRAM's client-first-message.
    ProofStart {
        client_first: String,
    },
    /// With SCRAM's client-final-message to the terms that answered, and the keys of the new password under the salt in them.
    ChangePassword {
        client_final: String,
        new: Box<KeptKeys>,
    },
    DeleteAccount {
        client_final: String,
    },
}

/// What answers it when it is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountAnswer {
    ProfileChanged(Box<ProfileChanged>),
    ProfileFound(Box<ProfileFound>),
    ProofTerms(ProofTerms),
    /// SCRAM's server-final-message. The session has taken the new ticket.
    PasswordChanged {
        server_final: String,
    },
    AccountDeleted {
        server_final: String,
    },
}

/// What a proof of the own password is made of, and a new password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofTerms {
    /// SCRAM's server-first-message.
    pub server_first: String,
    pub valid_ms: u32,
    /// For a new password.
    pub salt: Vec<u8>,
    pub iterations: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordChanged {
    pub server_final: String,
    /// In place of the session's ticket, which is void now.
    pub ticket: Vec<u8>,
    /// How long it serves.
    pub ticket_ms: u64,
}

impl AccountQuery {
    /// The command's frame.
    pub fn encode(&self, encoder: &mut Encoder, request: u32) -> Bytes {
        match self {
            AccountQuery::SetProfile(profile) => encoder.set_profile(request, profile),
            AccountQuery::GetProfile(user) => encoder.get_profile(request, *user),
            AccountQuery::ProofStart { client_first } => encoder.proof_start(request, client_first),
            AccountQuery::ChangePassword { client_final, new } => {
                let new = new.keys.credentials();
                encoder.change_password(request, client_final, &new.stored_key, &new.server_key)
            }
            AccountQuery::DeleteAccount { client_final } => encoder.delete_account(request, client_final),
        }
    }
}

/// What a node keeps of a one-time code. Case, spaces and hyphens do not matter: people type it.
pub fn code_hash(code: &str) -> [u8; KEY_LEN] {
    let told = |c: &char| !c.is_whitespace() && *c != '-';
    let comparable: String = code.chars().filter(told).flat_map(char::to_lowercase).collect();
    Sha256::digest(comparable.as_bytes()).into()
}

/// Events.
impl Encoder {
    pub fn proof_terms(&mut self, request: u32, terms: &ProofTerms) -> Bytes {
        self.event::<body::ProofTerms>(request, |b| {
            let (server_first, salt) = (b.create_string(&terms.server_first), b.create_vector(&terms.salt));
            let args = fb::ProofTermsArgs {
                server_first: Some(server_first),
                valid_ms: terms.valid_ms,
                salt: Some(salt),
                iterations: terms.iterations,
            };
            fb::ProofTerms::create(b, &args)
        })
    }

    pub fn password_changed(&mut self, request: u32, changed: &PasswordChanged) -> Bytes {
        self.event::<body::PasswordChanged>(request, |b| {
            let server_final = Some(b.create_string(&changed.server_final));
            let ticket = Some(b.create_vector(&changed.ticket));
            let ticket_ms = changed.ticket_ms;
            fb::PasswordChanged::create(b, &fb::PasswordChangedArgs { server_final, ticket, ticket_ms })
        })
    }

    pub fn account_deleted(&mut self, request: u32, server_final: &str) -> Bytes {
        self.event::<body::AccountDeleted>(request, |b| {
            let server_final = Some(b.create_string(server_final));
            fb::AccountDeleted::create(b, &fb::AccountDeletedArgs { server_final })
        })
    }

    pub fn code_redeemed(&mut self, request: u32, user: UserId) -> Bytes {
        self.event::<body::CodeRedeemed>(request, |b| {
            fb::CodeRedeemed::create(b, &fb::CodeRedeemedArgs { user: user.0 })
        })
    }
}

/// Commands.
impl Encoder {
    pub fn proof_start(&mut self, request: u32, client_first: &str) -> Bytes {
        self.command::<body::ProofStart>(request, &[], |b| {
            let client_first = Some(b.create_string(client_first));
            fb::ProofStart::create(b, &fb::ProofStartArgs { client_first })
        })
    }

    pub fn change_password(
        &mut self,
        request: u32,
        client_final: &str,
        stored_key: &[u8],
        server_key: &[u8],
    ) -> Bytes {
        self.command::<body::ChangePassword>(request, &[], |b| {
            let client_final = Some(b.create_string(client_final));
            let (stored_key, server_key) =
                (Some(b.create_vector(stored_key)), Some(b.create_vector(server_key)));
            fb::ChangePassword::create(b, &fb::ChangePasswordArgs { client_final, stored_key, server_key })
        })
    }

    pub fn delete_account(&mut self, request: u32, client_final: &str) -> Bytes {
        self.command::<body::DeleteAccount>(request, &[], |b| {
            let client_final = Some(b.create_string(client_final));
            fb::DeleteAccount::create(b, &fb::DeleteAccountArgs { client_final })
        })
    }

    pub fn code_start(&mut self, request: u32, name: &str) -> Bytes {
        self.command::<body::CodeStart>(request, &[], |b| {
            let name = Some(b.create_string(name));
            fb::CodeStart::create(b, &fb::CodeStartArgs { name })
        })
    }

    pub fn redeem_code(
        &mut self,
        request: u32,
        name: &str,
        code: &str,
        stored_key: &[u8],
        server_key: &[u8],
    ) -> Bytes {
        self.command::<body::RedeemCode>(request, &[], |b| {
            let (name, code) = (Some(b.create_string(name)), Some(b.create_string(code)));
            let (stored_key, server_key) =
                (Some(b.create_vector(stored_key)), Some(b.create_vector(server_key)));
            fb::RedeemCode::create(b, &fb::RedeemCodeArgs { name, code, stored_key, server_key })
        })
    }
}

pub(crate) fn proof_terms(view: fb::ProofTerms<'_>) -> ProofTerms {
    ProofTerms {
        server_first: view.server_first().unwrap_or_default().to_owned(),
        valid_ms: view.valid_ms(),
        salt: view.salt().map(|salt| salt.bytes().to_vec()).unwrap_or_default(),
        iterations: view.iterations(),
    }
}

pub(crate) fn password_changed(view: fb::PasswordChanged<'_>) -> PasswordChanged {
    PasswordChanged {
        server_final: view.server_final().unwrap_or_default().to_owned(),
        ticket: view.ticket().map(|ticket| ticket.bytes().to_vec()).unwrap_or_default(),
        ticket_ms: view.ticket_ms(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_same_however_it_is_typed() {
        assert_eq!(code_hash("abcde-fgh23"), code_hash(" ABCDE fgh23\n"));
        assert_ne!(code_hash("abcde"), code_hash("abcdf"));
    }
}
