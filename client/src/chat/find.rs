//! Users by the names that people type.

use wire::Refusal;
use wire::name::UserName;

use super::text;
use crate::client::{Client, User};
use crate::error::Error;

/// The user with this name.
///
/// # Errors
/// In a sentence.
pub async fn user(client: &Client, typed: &str) -> Result<User, String> {
    let shown = text::for_screen(typed);
    let name = UserName::parse(typed).map_err(|error| format!("`{shown}` is not a name: {error}."))?;
    client.find_user(&name).await.map_err(|error| match is_unknown(&error) {
        true => format!("There is no user `{shown}`."),
        false => format!("{shown}: {error}."),
    })
}

/// Whether the node said that there is no such user. Any other refusal says nothing about that.
pub fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::Refused(refused) if refused.refusal() == Some(Refusal::UnknownUser))
}

/// A user as he is shown: who is gone is shown as such.
pub fn shown(name: &str, deleted: bool) -> String {
    let name = text::for_screen(name);
    if deleted { format!("{name} (deleted)") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::message::Refused;

    #[test]
    fn only_an_unknown_user_is_told_as_one() {
        let refused = |refusal: Refusal| {
            let (name, reason) = (refusal.name().to_owned(), refusal.reason().to_owned());
            Error::Refused(Refused { code: refusal.code(), name, reason, detail: 0, retry_ms: 0 }.into())
        };
        assert!(is_unknown(&refused(Refusal::UnknownUser)));
        assert!(!is_unknown(&refused(Refusal::TooManyRequests)) && !is_unknown(&refused(Refusal::Busy)));
        assert!(!is_unknown(&Error::NotConnected));
    }
}
