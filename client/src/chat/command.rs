//! Lines that begin with a slash.

use super::devices::Which;
use super::profile::{Set, parse_set};
use super::secret::Purpose;
use crate::client::Adverts;
use wire::presence::{LastSeenFor, PresenceState};

/// What a typed line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Nothing,
    Say(String),
    Help,
    List,
    To(String),
    /// Those of this folder; all when it is empty.
    Contacts {
        folder: String,
    },
    /// Who is online.
    Who,
    Status(StatusAct),
    /// When this one was last seen.
    Seen(String),
    /// The directory: its top, or a department, or a user's places.
    Org {
        name: String,
    },
    Contact {
        name: String,
        act: ContactAct,
    },
    /// Whose profile; the own one when empty.
    Profile(String),
    SetProfile(Set),
    Adverts(Adverts),
    Devices,
    End(Which),
    /// Ask for passwords, to do this.
    Ask(Purpose),
    Quit,
    /// What is wrong with it.
    Unknown(String),
}

/// What is done about a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContactAct {
    /// Asks, with this text.
    Add {
        text: String,
    },
    Accept,
    Refuse,
    Remove,
    Block,
    Unblock,
    Remark {
        text: String,
    },
    /// Puts him there; out of all when it is empty.
    Folder {
        name: String,
    },
}

/// What is done about the own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusAct {
    /// Tells it.
    Show,
    Set {
        state: PresenceState,
        /// `None` leaves it as it is.
        text: Option<String>,
    },
    LastSeen(LastSeenFor),
}

/// Each line fits into 78 columns.
pub const HELP: &[&str] = &[
    "/to NAME  chat with NAME     /list  your chats     /quit  leave (also Ctrl-C)",
    "/contacts [FOLDER]  yours   /add NAME [TEXT]  ask   /accept  /refuse NAME",
    "/folder NAME [FOLDER]  puts a contact there, or out of all",
    "/remove NAME  part   /block NAME  /unblock NAME   /remark NAME [TEXT]  note",
    "/profile [NAME]  look at one, or yours   /set FIELD[:WHO] [VALUE]  change it",
    "/org  the directory of departments   /org NAME  a department, or a member",
    "/adverts on  /adverts off   whether you want them; other notices always come",
    "/devices  your devices   /end NUMBER  log one out   /end others  all others",
    "/password  a new one, ends other sessions   /delete-account  for good",
    "/who  is online   /status [online|away|busy|invisible [TEXT]]   /seen NAME",
    "/status seen nobody|contacts|everybody  who may know when you were here",
    "//text  sends /text          Alt-Enter or Ctrl-J  new line",
    "PageUp PageDown Up Down  scroll     Ctrl-End or Esc  back to the newest",
    "Ctrl-N Ctrl-P  next, previous chat  Tab  next chat with unread messages",
    "Ctrl-L  draw again                  Ctrl-Z  suspend",
    "Before own messages:  · waiting   → sent, no answer   ✓ on the node's disk",
    "                      ✓✓ delivered   bold ✓✓ read   ✗ refused",
];

/// Reads a typed line. Empty lines say nothing; `//` says a slash; line breaks at the end (of something pasted) do not
/// count.
pub fn parse(line: &str) -> Command {
    let line = line.trim_end_matches('\n');
    if line.trim().is_empty() {
        return Command::Nothing;
    }
    let Some(rest) = line.strip_prefix('/') else { return Command::Say(line.to_owned()) };
    if rest.starts_with('/') {
        return Command::Say(rest.to_owned());
    }
    let (word, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let argument = argument.trim();
    match (word, argument) {
        ("help" | "h" | "?", _) => Command::Help,
        ("list" | "l", _) => Command::List,
        ("quit" | "q" | "exit", _) => Command::Quit,
        ("to" | "t", "") => Command::Unknown("Write the name behind it: /to NAME".into()),
        ("to" | "t", name) => Command::To(name.to_owned()),
        ("contacts" | "c", folder) => Command::Contacts { folder: folder.to_owned() },
        ("org" | "o", name) => Command::Org { name: name.to_owned() },
        ("profile", name) => Command::Profile(name.to_owned()),
        // What is written behind it showed on the screen: it is asked for all the same.
        ("password", _) => Command::Ask(Purpose::ChangePassword),
        ("delete-account", _) => Command::Ask(Purpose::DeleteAccount),
        ("set", argument) => match parse_set(argument) {
            Ok(set) => Command::SetProfile(set),
            Err(what) => Command::Unknown(what),
        },
        ("adverts", "on") => Command::Adverts(Adverts::On),
        ("adverts", "off") => Command::Adverts(Adverts::Off),
        ("adverts", _) => Command::Unknown("Write one of them: /adverts on, /adverts off".into()),
        ("devices" | "d", _) => Command::Devices,
        ("end", "others") => Command::End(Which::Others),
        ("end", number) => match number.parse() {
            Ok(device) => Command::End(Which::One(device)),
            Err(_) => Command::Unknown("Write the device behind it: /end NUMBER or /end others".into()),
        },
        ("who" | "w", _) => Command::Who,
        ("status" | "s", argument) => status(argument),
        ("seen", "") => Command::Unknown("Write the name behind it: /seen NAME".into()),
        ("seen", name) => Command::Seen(name.to_owned()),
        _ => about_contact(word, argument).unwrap_or_else(|| {
            Command::Unknown(format!(
                "There is no /{word}. /help shows what there is; //{rest} sends it as text."
            ))
        }),
    }
}

/// `online`, `away`, `busy` or `invisible`, with a text behind it or without; `seen` and who may know.
fn status(argument: &str) -> Command {
    let (word, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let state = match word {
        "" => return Command::Status(StatusAct::Show),
        "online" => PresenceState::Online,
        "away" => PresenceState::Away,
        "busy" => PresenceState::Busy,
        "invisible" => PresenceState::Invisible,
        "seen" => {
            return match rest.trim() {
                "nobody" => Command::Status(StatusAct::LastSeen(LastSeenFor::Nobody)),
                "contacts" => Command::Status(StatusAct::LastSeen(LastSeenFor::Contacts)),
                "everybody" => Command::Status(StatusAct::LastSeen(LastSeenFor::Everybody)),
                _ => Command::Unknown("Write who may know: /status seen nobody|contacts|everybody".into()),
            };
        }
        _ => {
            let states = "online, away, busy or invisible";
            return Command::Unknown(format!("`{word}` is no state: write {states}."));
        }
    };
    // A state alone takes the old text away: it was beside another one.
    Command::Status(StatusAct::Set { state, text: Some(rest.trim().to_owned()) })
}

/// A command about one contact; `None` when the word means none.
fn about_contact(word: &str, argument: &str) -> Option<Command> {
    let (name, text) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let text = text.trim().to_owned();
    let act = match word {
        "add" => ContactAct::Add { text },
        "remark" => ContactAct::Remark { text },
        "folder" => ContactAct::Folder { name: text },
        "accept" => ContactAct::Accept,
        "refuse" => ContactAct::Refuse,
        "remove" => ContactAct::Remove,
        "block" => ContactAct::Block,
        "unblock" => ContactAct::Unblock,
        _ => return None,
    };
    if name.is_empty() {
        return Some(Command::Unknown(format!("Write the name behind it: /{word} NAME")));
    }
    Some(Command::Contact { name: name.to_owned(), act })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_a_usual_screen() {
        assert!(HELP.iter().all(|line| crate::chat::text::columns(line) <= 78));
    }

    #[test]
    fn lines_mean_what_they_say() {
        let unknown = |line: &str| matches!(parse(line), Command::Unknown(_));
        assert_eq!(parse("  \n"), Command::Nothing);
        assert_eq!(parse(" hello "), Command::Say(" hello ".into()));
        assert_eq!(parse("a\nb\n\n"), Command::Say("a\nb".into()));
        assert_eq!(parse("//to bob"), Command::Say("/to bob".into()));
        assert_eq!(parse("/to  bob "), Command::To("bob".into()));
        assert_eq!(parse("/help"), Command::Help);
        assert_eq!(parse("/q"), Command::Quit);
        let contact = |name: &str, act| Command::Contact { name: name.into(), act };
        assert_eq!(parse("/block  ann "), contact("ann", ContactAct::Block));
        assert_eq!(parse("/add ann it is  me"), contact("ann", ContactAct::Add { text: "it is  me".into() }));
        assert_eq!(parse("/remark ann"), contact("ann", ContactAct::Remark { text: String::new() }));
        assert_eq!(parse("/contacts"), Command::Contacts { folder: String::new() });
        assert_eq!(parse("/contacts  my work"), Command::Contacts { folder: "my work".into() });
        assert_eq!(parse("/folder ann work"), contact("ann", ContactAct::Folder { name: "work".into() }));
        assert_eq!(parse("/org  Research and more"), Command::Org { name: "Research and more".into() });
        assert_eq!(parse("/org"), Command::Org { name: String::new() });
        assert_eq!(parse("/profile  ann"), Command::Profile("ann".into()));
        assert!(
            matches!(parse("/set email:nobody a b"), Command::SetProfile(set) if set.value.as_deref() == Some("a b"))
        );
        assert_eq!(parse("/password"), Command::Ask(Purpose::ChangePassword));
        assert_eq!(parse("/password a b"), Command::Ask(Purpose::ChangePassword), "not kept");
        assert_eq!(parse("/delete-account"), Command::Ask(Purpose::DeleteAccount));
        assert!(unknown("/set") && unknown("/set email:all x"));
        assert_eq!(parse("/adverts  off"), Command::Adverts(Adverts::Off));
        assert_eq!(parse("/adverts on"), Command::Adverts(Adverts::On));
        assert!(unknown("/adverts") && unknown("/adverts maybe"));
        assert_eq!(parse("/devices"), Command::Devices);
        assert_eq!(parse("/end 7"), Command::End(Which::One(7)));
        assert_eq!(parse("/end  others"), Command::End(Which::Others));
        assert!(unknown("/end") && unknown("/end x") && unknown("/end -1"));
        let set = |state, text: &str| Command::Status(StatusAct::Set { state, text: Some(text.into()) });
        assert_eq!(parse("/status busy in a call"), set(PresenceState::Busy, "in a call"));
        assert_eq!(parse("/status invisible"), set(PresenceState::Invisible, ""));
        assert_eq!(parse("/status"), Command::Status(StatusAct::Show));
        let nobody = Command::Status(StatusAct::LastSeen(LastSeenFor::Nobody));
        assert_eq!(parse("/status seen nobody"), nobody);
        assert_eq!((parse("/who"), parse("/seen ann")), (Command::Who, Command::Seen("ann".into())));
        assert!(unknown("/status gone") && unknown("/status seen") && unknown("/seen"));
        assert!(unknown("/accept") && unknown("/adda x"));
        assert!(unknown("/to") && unknown("/") && unknown("/tobob x"));
    }
}
