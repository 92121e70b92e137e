//! The terminal: taken over, drawn on, and given back however the program ends.

use std::io::{self, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};

use super::app::Size;
use super::text;
use super::view::{Frame, Piece, Role};

/// Whether the terminal is taken over now; the panic hook gives it back only then.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal, taken over. Dropping it gives it back.
pub struct Screen {
    out: Stdout,
    /// What is on the screen; `None`: draw everything.
    shown: Option<Frame>,
    colours: Colours,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colours {
    On,
    /// The variable NO_COLOR is set: bold and reverse only.
    Off,
}

impl Screen {
    pub fn take() -> io::Result<Self> {
        HOOK.call_once(|| {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                give_back();
                hook(info);
            }));
        });
        let colours = match std::env::var_os("NO_COLOR") {
            Some(value) if !value.is_empty() => Colours::Off,
            _ => Colours::On,
        };
        let mut screen = Screen { out: io::stdout(), shown: None, colours };
        screen.resume()?;
        // What was typed before cannot be read well: its line ends were not yet keys.
        while crossterm::event::poll(std::time::Duration::ZERO)? {
            crossterm::event::read()?;
        }
        Ok(screen)
    }

    /// Gives the terminal back for a while.
    pub fn pause(&mut self) {
        give_back();
    }

    pub fn resume(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        self.shown = None;
        execute!(self.out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)
    }

    /// The next drawing draws everything.
    pub fn forget(&mut self) {
        self.shown = None;
    }

    pub fn size(&self) -> Size {
        let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
        Size { columns: columns.max(1), rows: rows.max(1) }
    }

    /// Puts a frame on the screen; rows that did not change are not written.
    pub fn draw(&mut self, frame: Frame, size: Size) -> io::Result<()> {
        queue!(self.out, BeginSynchronizedUpdate, Hide)?;
        if self.shown.is_none() {
            queue!(self.out, ResetColor, SetAttribute(Attribute::Reset), Clear(ClearType::All))?;
        }
        for (index, row) in frame.rows.iter().enumerate().take(size.rows as usize) {
            if self.shown.as_ref().is_some_and(|shown| shown.rows.get(index) == Some(row)) {
                continue;
            }
            queue!(self.out, MoveTo(0, index as u16), Clear(ClearType::CurrentLine))?;
            for piece in row {
                self.put(index, piece, size)?;
            }
        }
        queue!(self.out, MoveTo(frame.cursor.0, frame.cursor.1), Show, EndSynchronizedUpdate)?;
        self.out.flush()?;
        self.shown = Some(frame);
        Ok(())
    }

    fn put(&mut self, row: usize, piece: &Piece, size: Size) -> io::Result<()> {
        let room = (size.columns as usize).saturating_sub(piece.column);
        if room == 0 {
            return Ok(());
        }
        queue!(self.out, MoveTo(piece.column as u16, row as u16))?;
        let (attribute, colour) = look(piece.role);
        if let Some(attribute) = attribute {
            queue!(self.out, SetAttribute(attribute))?;
        }
        if let (Some(colour), Colours::On) = (colour, self.colours) {
            queue!(self.out, SetForegroundColor(colour))?;
        }
        queue!(self.out, Print(text::cut(&piece.text, room)))?;
        if attribute.is_some() || colour.is_some() {
            queue!(self.out, ResetColor, SetAttribute(Attribute::Reset))?;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back if it is taken. What fails here cannot be told anywhere.
pub fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        let _ = execute!(
            out,
            DisableFocusChange,
            DisableBracketedPaste,
            ResetColor,
            SetAttribute(Attribute::Reset),
            Show,
            LeaveAlternateScreen
        );
        let _ = disable_raw_mode();
    }
}

fn look(role: Role) -> (Option<Attribute>, Option<Color>) {
    match role {
        Role::Plain | Role::Info => (None, None),
        Role::Dim => (Some(Attribute::Dim), None),
        Role::OwnName => (Some(Attribute::Bold), Some(Color::Cyan)),
        Role::PeerName => (Some(Attribute::Bold), Some(Color::Green)),
        Role::Read => (Some(Attribute::Bold), Some(Color::Cyan)),
        Role::Separator => (Some(Attribute::Dim), None),
        Role::Status => (Some(Attribute::Reverse), None),
        Role::StatusProblem => (Some(Attribute::Reverse), Some(Color::Yellow)),
        Role::Unread => (Some(Attribute::Bold), Some(Color::Yellow)),
        Role::Chosen => (Some(Attribute::Reverse), None),
        Role::Problem => (Some(Attribute::Bold), Some(Color::Red)),
    }
}
