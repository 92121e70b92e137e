//! Accounts: profiles, a new password, the end of an account.

use wire::account::{AccountAnswer, AccountQuery, ProofTerms};
use wire::client::KeptKeys;
use wire::profile::{Profile, ProfileChanged, ProfileFound};
use wire::scram::{self, ClientKeys, ClientProved, ClientStart};
use wire::{UserId, UserName};
use zeroize::Zeroizing;

use crate::board::Me;
use crate::client::Client;
use crate::engine::{LoginStep, Request, nonce};
use crate::error::Error;

impl Client {
    /// A user's profile as this account may see it; the own one in full. A profile that changed is not told to contacts: ask
    /// when it is to be shown.
    ///
    /// # Errors
    /// [`Error::Refused`]: `unknown_user`; [`Error::NotConnected`].
    pub async fn profile(&self, user: UserId) -> Result<ProfileFound, Error> {
        match self.ask_account(AccountQuery::GetProfile(user)).await? {
            AccountAnswer::ProfileFound(found) => Ok(*found),
            _ => Err(other_answer()),
        }
    }

    /// Replaces the own profile as a whole: read it, change it, set it. Other devices of the account are told by
    /// [`Event::ProfileChanged`](crate::Event::ProfileChanged).
    ///
    /// # Errors
    /// [`Error::Refused`]: `bad_field` with the limit it breaks (`wire::limits::PROFILE_...`).
    pub async fn set_profile(&self, profile: Profile) -> Result<ProfileChanged, Error> {
        match self.ask_account(AccountQuery::SetProfile(Box::new(profile))).await? {
            AccountAnswer::ProfileChanged(changed) => Ok(*changed),
            _ => Err(other_answer()),
        }
    }

    /// Sets a new password with a one-time code of the operator, and logs in with it.
    ///
    /// # Errors
    /// [`Error::Refused`]: `code_refused` when the code is wrong, used or too old; `not_on_plain`; [`Error::Connect`].
    pub async fn redeem_code(&self, name: &UserName, code: &str, password: &str) -> Result<Me, Error> {
        self.log_in_by(LoginStep::Redeem(code.to_owned()), name, password).await
    }

    /// Changes the password. All other sessions of the account end, and every ticket of before is void; this session goes on.
    ///
    /// # Errors
    /// [`Error::Refused`]: `wrong_password`, `login_delayed` after too many of them, `not_on_plain`;
    /// [`Error::Untrusted`]: the node did not prove that it knows the old password. When the connection is lost before the
    /// answer, either password may be the right one.
    pub async fn change_password(&self, old: &str, new: &str) -> Result<(), Error> {
        let (proved, terms) = self.prove(old).await?;
        let keys = stretched(new, terms.salt.clone(), terms.iterations).await?;
        let new = Box::new(KeptKeys { salt: terms.salt, iterations: terms.iterations, keys });
        let client_final = proved.message().to_owned();
        match self.ask_account(AccountQuery::ChangePassword { client_final, new }).await? {
            AccountAnswer::PasswordChanged { server_final } => check(proved, &server_final),
            _ => Err(other_answer()),
        }
    }

    /// Deletes the account for good. What others have of its chats stays with them; the name is not free again for a while.
    ///
    /// # Errors
    /// As [`Client::change_password`], but for `not_on_plain`.
    pub async fn delete_account(&self, password: &str) -> Result<(), Error> {
        let (proved, _) = self.prove(password).await?;
        let client_final = proved.message().to_owned();
        match self.ask_account(AccountQuery::DeleteAccount { client_final }).await? {
            AccountAnswer::AccountDeleted { server_final } => check(proved, &server_final),
            _ => Err(other_answer()),
        }
    }

    /// The proof of the own password to a fresh challenge.
    async fn prove(&self, password: &str) -> Result<(ClientProved, ProofTerms), Error> {
        let me = self.me().ok_or(Error::Misuse("nobody has logged in on this device yet"))?;
        let start = ClientStart::unbound(&me.name, scram::nonce_text(&nonce()));
        let query = AccountQuery::ProofStart { client_first: start.message().to_owned() };
        let AccountAnswer::ProofTerms(terms) = self.ask_account(query).await? else {
            return Err(other_answer());
        };
        let challenged = start.handle_server_first(&terms.server_first);
        let challenged = challenged.map_err(|error| Error::NodeMisbehaved(error.to_string()))?;
        let keys = stretched(password, challenged.salt().to_vec(), challenged.iterations()).await?;
        Ok((challenged.prove(&keys, &[]), terms))
    }

    async fn ask_account(&self, query: AccountQuery) -> Result<AccountAnswer, Error> {
        self.ask(|reply| Request::Account { query, reply }).await
    }
}

/// Takes its time, where nothing waits for it.
async fn stretched(password: &str, salt: Vec<u8>, iterations: u32) -> Result<ClientKeys, Error> {
    let password = Zeroizing::new(password.to_owned());
    let stretching = tokio::task::spawn_blocking(move || scram::stretch(&password, &salt, iterations));
    let keys = stretching.await.map_err(|_| Error::Closed)?;
    keys.map_err(|error| Error::NodeMisbehaved(error.to_string()))
}

fn check(proved: ClientProved, server_final: &str) -> Result<(), Error> {
    proved.handle_server_final(server_final).map(|_| ()).map_err(|_| Error::Untrusted)
}

fn other_answer() -> Error {
    Error::NodeMisbehaved("another answer".into())
}
