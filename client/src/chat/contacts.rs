//! What the interactive client does and tells about contacts.

use std::collections::BTreeMap;

use wire::UserId;
use wire::contact::{Contact, ContactState, Related};

use super::command::ContactAct;
use super::{find, text};
use crate::client::Client;
use crate::error::Error;

/// Rows that wait for a name; more are not told.
const UNNAMED_MAX: usize = 64;

/// Requests of a list that are told one by one; of more only their number.
const TOLD_TOGETHER_MAX: usize = 5;

/// What was told of contacts in this run.
#[derive(Debug, Default)]
pub struct Told {
    states: BTreeMap<UserId, ContactState>,
    /// Changes of users whose names are not known yet.
    unnamed: Vec<Contact>,
}

impl Told {
    /// A row changed; gives what to tell of it.
    pub fn on_changed(&mut self, contact: Contact, name: Option<String>) -> Option<String> {
        let Some(name) = name else {
            if self.unnamed.len() < UNNAMED_MAX {
                self.unnamed.push(contact);
            }
            return None;
        };
        if self.states.insert(contact.user, contact.state) == Some(contact.state) {
            return None; // a remark, say
        }
        match contact.state {
            ContactState::Asked if contact.text.is_empty() => {
                Some(format!("{name} asks to be a contact: /accept {name} or /refuse {name}"))
            }
            ContactState::Asked => {
                let text = &contact.text;
                Some(format!("{name} asks to be a contact: {text}\n/accept {name} or /refuse {name}"))
            }
            ContactState::Contact => Some(format!("{name} is a contact now.")),
            _ => None,
        }
    }

    /// The whole list was read; gives what to tell of it: only who waits for an answer.
    pub fn on_list(&mut self, list: Vec<Contact>, name_of: impl Fn(UserId) -> Option<String>) -> Vec<String> {
        let mut asked = Vec::new();
        for contact in list {
            if contact.state == ContactState::Asked {
                asked.push(contact);
            } else {
                self.states.insert(contact.user, contact.state);
            }
        }
        asked.retain(|contact| self.states.get(&contact.user) != Some(&contact.state));
        if asked.len() > TOLD_TOGETHER_MAX {
            self.states.extend(asked.iter().map(|contact| (contact.user, contact.state)));
            return vec![format!("{} people ask to be contacts: /contacts shows who.", asked.len())];
        }
        let tell = |contact: Contact| {
            let name = name_of(contact.user);
            self.on_changed(contact, name)
        };
        asked.into_iter().filter_map(tell).collect()
    }

    /// A name became known.
    pub fn on_named(&mut self, user: UserId, name: &str) -> Option<String> {
        let at = self.unnamed.iter().rposition(|contact| contact.user == user)?;
        let newest = self.unnamed.remove(at);
        self.unnamed.retain(|contact| contact.user != user);
        self.on_changed(newest, Some(name.to_owned()))
    }
}

/// Does it and says in a sentence what came of it.
///
/// # Errors
/// In a sentence.
pub async fn act(client: &Client, typed: &str, act: ContactAct) -> Result<String, String> {
    let user = find::user(client, typed).await?;
    let shown = find::shown(&user.name, user.deleted);
    let user = user.id;
    let told = |error: Error| format!("{shown}: {error}.");
    let done: Result<Related, Error> = match act {
        ContactAct::Add { text } => client.request_contact(user, &text).await,
        ContactAct::Accept => client.accept_contact(user).await,
        ContactAct::Refuse => client.refuse_contact(user).await,
        ContactAct::Remove => client.remove_contact(user).await,
        ContactAct::Block => client.block(user).await,
        ContactAct::Unblock => client.unblock(user).await,
        ContactAct::Remark { text } => return note(client, user, &shown, Note::Remark(text)).await,
        ContactAct::Folder { name } => return note(client, user, &shown, Note::Folder(name)).await,
    };
    done.map(|related| sentence(&shown, &related)).map_err(told)
}

/// What the user writes down about a contact; the other one stays as it is.
enum Note {
    Remark(String),
    Folder(String),
}

async fn note(client: &Client, user: UserId, shown: &str, note: Note) -> Result<String, String> {
    let told = |error: Error| format!("{shown}: {error}.");
    let contacts = client.known_contacts().await.map_err(told)?;
    let row = contacts.into_iter().find(|contact| contact.user == user);
    // Without the row it is not known what is there, and it would be lost.
    let row = row.ok_or_else(|| format!("{shown} is not among your contacts: /add {shown} asks."))?;
    let (remark, group, done) = match note {
        Note::Remark(remark) => (remark, row.group, "The remark is kept.".to_owned()),
        Note::Folder(group) if group.is_empty() => (row.remark, group, format!("{shown} is in no folder.")),
        Note::Folder(group) => {
            let done = format!("{shown} is in {}.", text::for_screen(&group));
            (row.remark, group, done)
        }
    };
    client.set_contact(user, &remark, &group).await.map_err(told)?;
    Ok(done)
}

fn sentence(name: &str, related: &Related) -> String {
    let state = match related.state {
        ContactState::Contact => format!("{name} is a contact"),
        ContactState::Requested => format!("{name} is asked and has not answered"),
        ContactState::Asked => format!("{name} asks to be a contact"),
        _ => format!("{name} is no contact"),
    };
    if related.blocked { format!("{state}, and blocked.") } else { format!("{state}.") }
}

/// One line per contact, request and block, by folder and name; those of one folder when it is named.
///
/// # Errors
/// In a sentence.
pub async fn list(client: &Client, folder: &str) -> Result<Vec<String>, String> {
    let contacts = client.known_contacts().await.map_err(|error| format!("Contacts: {error}."))?;
    let name = |user| client.name_of(user).map(|name| find::shown(&name, client.is_deleted(user)));
    let lines = sorted(contacts, folder, name);
    Ok(match lines.is_empty() {
        false => lines,
        true if folder.is_empty() => vec!["No contacts yet: /add NAME asks somebody.".into()],
        true => vec![format!(
            "Nobody is in {}: /folder NAME FOLDER puts somebody there.",
            text::for_screen(folder)
        )],
    })
}

fn sorted(
    mut contacts: Vec<Contact>,
    folder: &str,
    name_of: impl Fn(UserId) -> Option<String>,
) -> Vec<String> {
    contacts.retain(|contact| folder.is_empty() || contact.group == folder);
    let mut lines: Vec<(String, String)> = contacts
        .into_iter()
        .map(|contact| {
            let line = line(&contact, name_of(contact.user));
            (contact.group, line)
        })
        .collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

fn line(contact: &Contact, name: Option<String>) -> String {
    let mut line = name.unwrap_or_else(|| format!("user {}", contact.user));
    if !contact.remark.is_empty() {
        line.push_str(&format!(" ({})", text::for_screen(&contact.remark)));
    }
    if !contact.group.is_empty() {
        line.push_str(&format!(" [{}]", text::for_screen(&contact.group)));
    }
    match contact.state {
        ContactState::Requested => line.push_str(", asked"),
        ContactState::Asked => line.push_str(&format!(", asks: {}", contact.text)),
        _ => {}
    }
    if contact.blocked {
        line.push_str(", blocked");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(state: ContactState, text: &str) -> Contact {
        Contact {
            user: UserId(1 << 10),
            cver: 1,
            state,
            blocked: false,
            since_ms: 0,
            text: text.into(),
            remark: String::new(),
            group: String::new(),
        }
    }

    #[test]
    fn a_change_is_told_once_and_by_name() {
        let mut told = Told::default();
        assert_eq!(told.on_changed(contact(ContactState::Asked, "hi"), None), None);
        let text = told.on_named(UserId(1 << 10), "ann").expect("told when the name is known");
        assert_eq!(text, "ann asks to be a contact: hi\n/accept ann or /refuse ann");
        assert_eq!(told.on_named(UserId(1 << 10), "ann"), None);
        let ann = || Some("ann".to_owned());
        let now = told.on_changed(contact(ContactState::Contact, ""), ann());
        assert_eq!(now.as_deref(), Some("ann is a contact now."));
        assert_eq!(told.on_changed(contact(ContactState::Contact, ""), ann()), None, "a remark");
        assert_eq!(told.on_changed(contact(ContactState::None, ""), ann()), None);
    }

    #[test]
    fn of_a_list_only_requests_are_told_and_each_once() {
        let mut told = Told::default();
        let asks = |number: u64| Contact { user: UserId(number << 10), ..contact(ContactState::Asked, "") };
        let name = |user: UserId| Some(format!("u{}", user.0 >> 10));
        let list = vec![asks(2), Contact { user: UserId(3 << 10), ..contact(ContactState::Contact, "") }];
        assert_eq!(told.on_list(list.clone(), name), ["u2 asks to be a contact: /accept u2 or /refuse u2"]);
        assert!(told.on_list(list, name).is_empty(), "told before");
        let remark = Contact { user: UserId(3 << 10), ..contact(ContactState::Contact, "") };
        assert_eq!(told.on_changed(remark, name(UserId(3 << 10))), None, "a contact before");
        assert_eq!(told.on_list((10..20).map(asks).collect(), name).len(), 1);
    }

    #[test]
    fn contacts_are_sorted_by_folder_and_name() {
        let of = |number: u64, group: &str| Contact {
            user: UserId(number << 10),
            group: group.into(),
            ..contact(ContactState::Contact, "")
        };
        let name = |user: UserId| Some(["ann", "ben", "carl"][(user.0 >> 10) as usize].to_owned());
        let list = vec![of(2, "work"), of(0, "work"), of(1, "")];
        assert_eq!(sorted(list.clone(), "", name), ["ben", "ann [work]", "carl [work]"]);
        assert_eq!(sorted(list.clone(), "work", name), ["ann [work]", "carl [work]"]);
        assert!(sorted(list, "home", name).is_empty());
    }

    #[test]
    fn a_line_shows_what_there_is() {
        let row = Contact { remark: "Annie".into(), blocked: true, ..contact(ContactState::Asked, "hi") };
        assert_eq!(line(&row, Some("ann".into())), "ann (Annie), asks: hi, blocked");
        assert_eq!(line(&contact(ContactState::Contact, ""), None), "user 1024");
    }
}
