//! What the interactive client does and tells about presence.

use std::collections::BTreeMap;

use wire::UserId;
use wire::presence::{LastSeenFor, OwnPresence, Presence, PresenceState, PresenceWish};

use super::app::Wish;
use super::command::StatusAct;
use super::{find, text};
use crate::client::Client;

/// Changes that are told one by one; of more that come together only their number.
const TOLD_TOGETHER_MAX: usize = 5;

/// What was told of contacts in this run.
#[derive(Debug, Default)]
pub struct Told {
    known: BTreeMap<UserId, (PresenceState, String)>,
}

impl Told {
    /// States changed; gives what to tell of it.
    pub fn on_changed(
        &mut self,
        changed: Vec<Presence>,
        name_of: impl Fn(UserId) -> Option<String>,
    ) -> Vec<String> {
        let mut news = Vec::new();
        for contact in changed {
            let now = (contact.state, contact.text.clone());
            let before = match contact.state {
                PresenceState::Offline => self.known.remove(&contact.user),
                _ => self.known.insert(contact.user, now.clone()),
            };
            let was_gone = before.is_none() && contact.state == PresenceState::Offline;
            if !was_gone && before != Some(now) {
                news.push(contact);
            }
        }
        if news.len() > TOLD_TOGETHER_MAX {
            return vec![format!("{} contacts came, went or changed: /who shows who is online.", news.len())];
        }
        // Whose name is not known yet stands in /who.
        news.iter()
            .filter_map(|contact| Some(format!("{}.", line(contact, name_of(contact.user)?))))
            .collect()
    }
}

fn state(state: PresenceState) -> &'static str {
    match state {
        PresenceState::Online => "online",
        PresenceState::Away => "away",
        PresenceState::Busy => "busy",
        PresenceState::Invisible => "invisible: offline for everybody else",
        _ => "offline",
    }
}

fn line(contact: &Presence, name: String) -> String {
    let state = state(contact.state);
    match text::for_screen(&contact.text) {
        text if text.is_empty() => format!("{name} is {state}"),
        text => format!("{name} is {state}: {text}"),
    }
}

/// A word beside the own name, when the own state is not the usual one.
pub fn reminder(own: &OwnPresence) -> Option<&'static str> {
    match own.state {
        PresenceState::Away => Some("away"),
        PresenceState::Busy => Some("busy"),
        PresenceState::Invisible => Some("invisible"),
        _ => None,
    }
}

/// The own state in a sentence.
pub fn own_line(own: &OwnPresence) -> String {
    let last_seen = match own.last_seen {
        LastSeenFor::Nobody => "nobody",
        LastSeenFor::Everybody => "everybody",
        _ => "your contacts",
    };
    let text = if own.text.is_empty() { String::new() } else { format!(" ({})", own.text) };
    format!("You are {}{text}. When you were here last, {last_seen} may know.", state(own.state))
}

/// Does what was wished about presence.
///
/// # Errors
/// In a sentence.
pub async fn fulfil(client: &Client, wish: Wish) -> Result<Vec<String>, String> {
    match wish {
        Wish::Who => who(client).await,
        Wish::Seen(name) => seen(client, &name).await.map(|line| vec![line]),
        other => unreachable!("{other:?} is not about presence"),
    }
}

/// One line per contact who is online.
async fn who(client: &Client) -> Result<Vec<String>, String> {
    let online = client.presence().await.map_err(|error| format!("Presence: {error}."))?;
    let name = |user| client.name_of(user).unwrap_or_else(|| format!("user {user}"));
    let mut lines: Vec<String> =
        online.contacts.iter().map(|contact| line(contact, name(contact.user))).collect();
    lines.sort();
    if lines.is_empty() {
        lines.push("No contact of yours is online.".into());
    }
    Ok(lines)
}

/// Changes or tells the own state.
///
/// # Errors
/// In a sentence.
pub async fn status(client: &Client, act: StatusAct) -> Result<OwnPresence, String> {
    let done = match act {
        StatusAct::Show => client.own_presence().await,
        StatusAct::Set { state, text } => {
            client.set_presence(PresenceWish { state: Some(state), text, last_seen: None }).await
        }
        StatusAct::LastSeen(last_seen) => {
            client.set_presence(PresenceWish { last_seen: Some(last_seen), ..PresenceWish::default() }).await
        }
    };
    done.map_err(|error| format!("Your state: {error}."))
}

/// The state of a user, and when he was last seen.
async fn seen(client: &Client, typed: &str) -> Result<String, String> {
    let user = find::user(client, typed).await?;
    let shown = find::shown(&user.name, user.deleted);
    let found = client.presence_of(user.id).await.map_err(|error| format!("{shown}: {error}."))?;
    let line = line(&found.presence, shown);
    Ok(match found.last_seen_ms {
        0 => format!("{line}."),
        at_ms => format!("{line}, last seen {}.", ago(at_ms)),
    })
}

fn ago(at_ms: u64) -> String {
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    match now_ms.saturating_sub(at_ms) / 60_000 {
        0 => "a moment ago".into(),
        minutes @ 1..120 => format!("{minutes} min ago"),
        minutes if minutes < 48 * 60 => format!("{} h ago", minutes / 60),
        minutes => format!("{} days ago", minutes / (24 * 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(number: u64, state: PresenceState, text: &str) -> Presence {
        Presence { user: UserId(number << 10), state, text: text.into() }
    }

    #[test]
    fn a_change_is_told_once_and_many_only_counted() {
        let mut told = Told::default();
        let name = |user: UserId| (user.0 >> 10 == 1).then(|| "ann".to_owned());
        let busy = || vec![contact(1, PresenceState::Busy, "in a call")];
        assert_eq!(told.on_changed(busy(), name), ["ann is busy: in a call."]);
        assert!(told.on_changed(busy(), name).is_empty(), "nothing new");
        assert!(told.on_changed(vec![contact(2, PresenceState::Online, "")], name).is_empty(), "no name");
        let gone = || vec![contact(1, PresenceState::Offline, "")];
        assert_eq!(told.on_changed(gone(), name), ["ann is offline."]);
        assert!(told.on_changed(gone(), name).is_empty(), "he was not here");
        let many = (10..20).map(|number| contact(number, PresenceState::Online, "")).collect();
        assert_eq!(told.on_changed(many, name).len(), 1);
    }

    #[test]
    fn a_time_is_told_roughly() {
        assert_eq!(ago(u64::MAX), "a moment ago");
        assert!(ago(1).ends_with("days ago"));
    }
}
