//! What the interactive client shows of profiles, and what it changes of the own account.

use wire::UserId;
use wire::profile::{Audience, Gender, Profile, ProfileField, ProfileFound, Shown};

use super::secret::Secret;
use super::{find, text};
use crate::client::Client;
use crate::error::Error;

/// A change of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub field: String,
    /// `None`: as it was.
    pub to: Option<Audience>,
    /// `None`: as it was. Empty: the field is taken away.
    pub value: Option<String>,
}

/// Reads `FIELD[:WHO] [VALUE]`.
///
/// # Errors
/// In a sentence.
pub fn parse_set(argument: &str) -> Result<Set, String> {
    let (field, value) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let (field, to) = match field.split_once(':') {
        None => (field, None),
        Some((field, "everybody")) => (field, Some(Audience::Everybody)),
        Some((field, "contacts")) => (field, Some(Audience::Contacts)),
        Some((field, "nobody")) => (field, Some(Audience::Nobody)),
        Some((field, _)) => {
            return Err(format!("Who may see it: /set {field}:everybody, :contacts or :nobody"));
        }
    };
    if field.is_empty() {
        return Err("Write the field behind it: /set nickname Annie, /set email:nobody a@example.org".into());
    }
    let value = value.trim();
    // Who may see it, and nothing else: the value is not meant.
    let value = (to.is_none() || !value.is_empty()).then(|| value.to_owned());
    Ok(Set { field: field.to_owned(), to, value })
}

/// Shows somebody's profile, the own one without a name.
///
/// # Errors
/// In a sentence.
pub async fn show(client: &Client, typed: &str) -> Result<Vec<String>, String> {
    let shown = text::for_screen(typed);
    let user = if typed.is_empty() { me(client)? } else { find::user(client, typed).await?.id };
    let found = client.profile(user).await.map_err(|error| format!("{shown}: {error}."))?;
    Ok(lines(&found))
}

/// Changes one field of the own profile.
///
/// # Errors
/// In a sentence.
pub async fn set(client: &Client, set: Set) -> Result<Vec<String>, String> {
    let told = |error: Error| format!("Your profile: {error}.");
    let mut profile = client.profile(me(client)?).await.map_err(told)?.profile;
    set.apply(&mut profile)?;
    client.set_profile(profile).await.map_err(told)?;
    Ok(vec!["Your profile is kept.".into()])
}

/// Changes the password.
///
/// # Errors
/// In a sentence.
pub async fn change_password(client: &Client, old: &Secret, new: &Secret) -> Result<Vec<String>, String> {
    let changed = client.change_password(old.expose(), new.expose()).await;
    changed.map_err(|error| format!("Your password: {error}."))?;
    Ok(vec!["Your password is changed, and your other sessions are over.".into()])
}

/// Ends the account.
///
/// # Errors
/// In a sentence.
pub async fn delete_account(client: &Client, password: &Secret) -> Result<Vec<String>, String> {
    client.delete_account(password.expose()).await.map_err(|error| format!("Your account: {error}."))?;
    Ok(vec!["Your account is deleted. What is on this device stays; /quit leaves.".into()])
}

fn me(client: &Client) -> Result<UserId, String> {
    client.me().map(|me| me.user).ok_or_else(|| "Nobody has logged in here yet.".into())
}

impl Set {
    fn apply(self, profile: &mut Profile) -> Result<(), String> {
        let Set { field, to, value } = self;
        match field.as_str() {
            "nickname" => change(&mut profile.nickname, value, to),
            "avatar" => change(&mut profile.avatar, value, to),
            "signature" => change(&mut profile.signature, value, to),
            "email" => change(&mut profile.email, value, to),
            "phone" => change(&mut profile.phone, value, to),
            "gender" => {
                let gender = match value.as_deref() {
                    None => None,
                    Some("") => Some(Gender::Unsaid),
                    Some("female") => Some(Gender::Female),
                    Some("male") => Some(Gender::Male),
                    Some("other") => Some(Gender::Other),
                    Some(_) => return Err("Write female, male, other, or nothing.".into()),
                };
                change(&mut profile.gender, gender, to);
            }
            _ => {
                let at = profile.fields.iter().position(|known| known.name == field);
                let before = at.map(|at| profile.fields[at].clone());
                let kept = before.as_ref().map_or(Audience::Contacts, |before| before.to);
                let Some(value) = value.or(before.map(|before| before.value)) else {
                    return Err(format!("Your profile has no {}.", text::for_screen(&field)));
                };
                let new = ProfileField { name: field, value, to: to.unwrap_or(kept) };
                match at {
                    Some(at) if new.value.is_empty() => drop(profile.fields.remove(at)),
                    Some(at) => profile.fields[at] = new,
                    None => profile.fields.push(new),
                }
            }
        }
        Ok(())
    }
}

fn change<T>(shown: &mut Shown<T>, value: Option<T>, to: Option<Audience>) {
    if let Some(value) = value {
        shown.value = value;
    }
    shown.to = to.unwrap_or(shown.to);
}

fn lines(found: &ProfileFound) -> Vec<String> {
    let ProfileFound { name, deleted, profile, .. } = found;
    if *deleted {
        return vec![format!("{name}: this account was deleted.")];
    }
    let gender = match profile.gender.value {
        Gender::Female => "female",
        Gender::Male => "male",
        Gender::Other => "other",
        _ => "",
    };
    let known = [
        ("nickname", profile.nickname.value.as_str(), profile.nickname.to),
        ("gender", gender, profile.gender.to),
        ("avatar", &profile.avatar.value, profile.avatar.to),
        ("signature", &profile.signature.value, profile.signature.to),
        ("email", &profile.email.value, profile.email.to),
        ("phone", &profile.phone.value, profile.phone.to),
    ];
    let named = profile.fields.iter().map(|field| (field.name.as_str(), field.value.as_str(), field.to));
    let mut lines = vec![format!("{name}:")];
    for (field, value, to) in known.into_iter().chain(named).filter(|(_, value, _)| !value.is_empty()) {
        let to = match to {
            Audience::Contacts => "  (contacts)",
            Audience::Nobody => "  (only you)",
            _ => "",
        };
        lines.push(format!("  {}: {}{to}", text::for_screen(field), text::for_screen(value)));
    }
    if lines.len() == 1 {
        lines.push("  nothing to see".into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_shown_and_taken_away() {
        let mut profile = Profile::default();
        for typed in ["nickname Annie", "email:nobody a@example.org", "city Ulm", "gender female"] {
            parse_set(typed).expect("it can be read").apply(&mut profile).expect("it can be set");
        }
        let user = UserId(1 << 10);
        let found = |profile: &Profile, deleted| ProfileFound {
            user,
            name: "ann".into(),
            deleted,
            version: 1,
            profile: profile.clone(),
        };
        let expected = [
            "ann:",
            "  nickname: Annie",
            "  gender: female",
            "  email: a@example.org  (only you)",
            "  city: Ulm  (contacts)",
        ];
        assert_eq!(lines(&found(&profile, false)), expected);
        for typed in ["nickname", "email b@example.org", "city", "gender"] {
            parse_set(typed).expect("it can be read").apply(&mut profile).expect("it can be set");
        }
        assert_eq!(lines(&found(&profile, false)), ["ann:", "  email: b@example.org  (only you)"]);
        for typed in ["email:everybody", "gender:nobody"] {
            parse_set(typed).expect("it can be read").apply(&mut profile).expect("it can be set");
        }
        assert_eq!(lines(&found(&profile, false)), ["ann:", "  email: b@example.org"], "the value stays");
        assert!(parse_set("city:nobody").expect("it can be read").apply(&mut profile).is_err());
        assert_eq!(lines(&found(&profile, true)), ["ann: this account was deleted."]);
        assert!(parse_set("").is_err() && parse_set("email:all x").is_err());
        assert!(parse_set("gender blue").expect("it can be read").apply(&mut profile).is_err());
    }
}
