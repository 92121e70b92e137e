//! Asking a person: a name, a password that does not show.

use std::io::{self, BufRead, Write};

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};

use super::options::Stop;

/// Longest password that is taken, in bytes.
const PASSWORD_LEN_MAX: usize = 1_024;

/// The terminal without echo; dropping it brings the echo back.
struct Quiet;

impl Quiet {
    fn begin() -> io::Result<Self> {
        enable_raw_mode()?;
        Ok(Quiet)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = disable_raw_mode();
    }
}

/// Brings the echo back when the program ends while somebody is asked.
pub fn give_up_asking() {
    let _ = disable_raw_mode();
}

/// A line, shown as it is typed.
pub fn ask_line(question: &str) -> Result<String, Stop> {
    let stop = |error: io::Error| Stop::usage(format!("cannot ask for {question}: {error}"));
    eprint!("{question}: ");
    io::stderr().flush().map_err(stop)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(stop)?;
    match line.trim() {
        "" => Err(Stop::usage(format!("no {question} given"))),
        line => Ok(line.to_owned()),
    }
}

/// A password, not shown.
pub fn ask_password(question: &str) -> Result<String, Stop> {
    eprint!("{question}: ");
    let typed = io::stderr().flush().and_then(|()| read_quietly());
    eprintln!();
    match typed {
        Ok(Some(password)) if password.is_empty() => Err(Stop::usage("no password given")),
        Ok(Some(password)) => Ok(password),
        Ok(None) => Err(Stop::usage("no password given")),
        Err(error) => Err(Stop::usage(format!("cannot ask for the password: {error}"))),
    }
}

/// A new password, typed twice.
pub fn ask_new_password(question: &str) -> Result<String, Stop> {
    let first = ask_password(question)?;
    if ask_password("once more")? == first { Ok(first) } else { Err(Stop::usage("the two passwords differ")) }
}

/// `None` when the person left.
fn read_quietly() -> io::Result<Option<String>> {
    let _quiet = Quiet::begin()?;
    let mut password = String::new();
    loop {
        let key = match read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => key,
            Event::Paste(text) => {
                password.push_str(text.trim_end_matches(['\r', '\n']));
                continue;
            }
            _ => continue,
        };
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Ok(Some(password)),
            KeyCode::Char('j' | 'm') if control => return Ok(Some(password)),
            KeyCode::Char('c' | 'd') if control => return Ok(None),
            KeyCode::Char('u') if control => password.clear(),
            KeyCode::Esc => return Ok(None),
            KeyCode::Backspace => {
                password.pop();
            }
            KeyCode::Char(c) if !control && password.len() < PASSWORD_LEN_MAX => password.push(c),
            _ => {}
        }
    }
}
