//! Lines that begin with a slash.

/// What a typed line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Nothing,
    Say(String),
    Help,
    List,
    To(String),
    Quit,
    /// What is wrong with it.
    Unknown(String),
}

/// Each line fits into 78 columns.
pub const HELP: &[&str] = &[
    "/to NAME  chat with NAME     /list  your chats     /quit  leave (also Ctrl-C)",
    "//text  sends /text          Alt-Enter or Ctrl-J  new line",
    "PageUp PageDown Up Down  scroll     Ctrl-End or Esc  back to the newest",
    "Ctrl-N Ctrl-P  next, previous chat  Tab  next chat with unread messages",
    "Ctrl-L  draw again                  Ctrl-Z  suspend",
    "Before own messages:  · waiting   ✓ on the node's disk   ✓✓ delivered",
    "                      bold ✓✓ read   ✗ refused",
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
        _ => Command::Unknown(format!(
            "There is no /{word}. /help shows what there is; //{rest} sends it as text."
        )),
    }
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
        assert!(unknown("/to") && unknown("/") && unknown("/tobob x"));
    }
}
