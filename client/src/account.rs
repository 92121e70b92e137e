//! Accounts: the own profile and those of others.

use wire::UserId;
use wire::account::{AccountAnswer, AccountQuery};
use wire::profile::{Profile, ProfileChanged, ProfileFound};

use crate::client::Client;
use crate::engine::Request;
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

    async fn ask_account(&self, query: AccountQuery) -> Result<AccountAnswer, Error> {
        self.ask(|reply| Request::Account { query, reply }).await
    }
}

fn other_answer() -> Error {
    Error::NodeMisbehaved("another answer".into())
}
