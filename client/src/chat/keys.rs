//! Keys and other input of the terminal, as actions.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::app::{Action, Focus, Size};
use super::editor::Edit;

/// What an input means; `None`: nothing. `typing`: something stands in the input line.
pub fn action(event: Event, typing: bool) -> Option<Action> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key_action(key, typing),
        Event::Paste(text) => Some(Action::Paste(text)),
        Event::Resize(columns, rows) => Some(Action::Resize(Size { columns, rows })),
        Event::FocusGained => Some(Action::Focus(Focus::Here)),
        Event::FocusLost => Some(Action::Focus(Focus::Elsewhere)),
        Event::Key(_) | Event::Mouse(_) => None,
    }
}

fn key_action(key: KeyEvent, typing: bool) -> Option<Action> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    Some(match key.code {
        KeyCode::Char(c) if control => return control_action(c, typing),
        KeyCode::Char('b') if alt => Action::Edit(Edit::WordLeft),
        KeyCode::Char('f') if alt => Action::Edit(Edit::WordRight),
        KeyCode::Char(_) if alt => return None,
        KeyCode::Char(c) => Action::Edit(Edit::Insert(c.to_string())),
        KeyCode::Enter if alt || key.modifiers.contains(KeyModifiers::SHIFT) => {
            Action::Edit(Edit::Insert("\n".into()))
        }
        KeyCode::Enter => Action::Submit,
        KeyCode::Backspace if alt || control => Action::Edit(Edit::DeleteWord),
        KeyCode::Backspace => Action::Edit(Edit::Backspace),
        KeyCode::Delete => Action::Edit(Edit::Delete),
        KeyCode::Left if control || alt => Action::Edit(Edit::WordLeft),
        KeyCode::Right if control || alt => Action::Edit(Edit::WordRight),
        KeyCode::Left => Action::Edit(Edit::Left),
        KeyCode::Right => Action::Edit(Edit::Right),
        KeyCode::Up if alt => Action::PreviousChat,
        KeyCode::Down if alt => Action::NextChat,
        // A mouse wheel arrives as these keys too.
        KeyCode::Up => Action::Scroll(1),
        KeyCode::Down => Action::Scroll(-1),
        KeyCode::Home => Action::Edit(Edit::Home),
        KeyCode::End if control => Action::ToNewest,
        KeyCode::End => Action::Edit(Edit::End),
        KeyCode::PageUp => Action::PageUp,
        KeyCode::PageDown => Action::PageDown,
        KeyCode::Tab => Action::NextUnread,
        KeyCode::Esc => Action::ToNewest,
        _ => return None,
    })
}

fn control_action(c: char, typing: bool) -> Option<Action> {
    Some(match c.to_ascii_lowercase() {
        'a' => Action::Edit(Edit::Home),
        'b' => Action::Edit(Edit::Left),
        'c' => Action::Quit,
        // As in a shell: it leaves only when nothing is typed.
        'd' if typing => Action::Edit(Edit::Delete),
        'd' => Action::Quit,
        'e' => Action::Edit(Edit::End),
        'f' => Action::Edit(Edit::Right),
        'h' => Action::Edit(Edit::Backspace),
        'j' => Action::Edit(Edit::Insert("\n".into())),
        'k' => Action::Edit(Edit::DeleteToEnd),
        'l' => Action::Redraw,
        'n' => Action::NextChat,
        'p' => Action::PreviousChat,
        'u' => Action::Edit(Edit::DeleteToStart),
        'w' => Action::Edit(Edit::DeleteWord),
        'z' => Action::Suspend,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Option<Action> {
        action(Event::Key(KeyEvent::new(code, modifiers)), false)
    }

    #[test]
    fn keys_mean_what_help_says() {
        let none = KeyModifiers::NONE;
        assert_eq!(pressed(KeyCode::Enter, none), Some(Action::Submit));
        let new_line = Some(Action::Edit(Edit::Insert("\n".into())));
        assert_eq!(pressed(KeyCode::Enter, KeyModifiers::ALT), new_line);
        assert_eq!(pressed(KeyCode::Char('j'), KeyModifiers::CONTROL), new_line);
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(pressed(KeyCode::Tab, none), Some(Action::NextUnread));
        assert_eq!(pressed(KeyCode::Char('漢'), none), Some(Action::Edit(Edit::Insert("漢".into()))));
        assert_eq!(pressed(KeyCode::End, KeyModifiers::CONTROL), Some(Action::ToNewest));
        assert_eq!(pressed(KeyCode::F(1), none), None);
    }

    #[test]
    fn control_d_leaves_only_when_nothing_is_typed() {
        let key = || Event::Key(KeyEvent::new(KeyCode::Char('d'), KeyModifiers::CONTROL));
        assert_eq!(action(key(), false), Some(Action::Quit));
        assert_eq!(action(key(), true), Some(Action::Edit(Edit::Delete)));
    }
}
