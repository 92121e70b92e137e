//! What a client asks about accounts, his own and those of others, and what answers it.

use bytes::Bytes;

use crate::encode::Encoder;
use crate::ids::UserId;
use crate::profile::{Profile, ProfileChanged, ProfileFound};

/// A question about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountQuery {
    SetProfile(Box<Profile>),
    GetProfile(UserId),
}

/// What answers it when it is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountAnswer {
    ProfileChanged(Box<ProfileChanged>),
    ProfileFound(Box<ProfileFound>),
}

impl AccountQuery {
    /// The command's frame.
    pub fn encode(&self, encoder: &mut Encoder, request: u32) -> Bytes {
        match self {
            AccountQuery::SetProfile(profile) => encoder.set_profile(request, profile),
            AccountQuery::GetProfile(user) => encoder.get_profile(request, *user),
        }
    }
}
