//! The line being typed. The cursor moves by what people see as one character.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::text::{self, columns};

/// A change to the text or the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    Insert(String),
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    /// The word before the cursor.
    DeleteWord,
    /// Everything before the cursor, earlier lines too.
    DeleteToStart,
    /// From the cursor to the end of its line.
    DeleteToEnd,
}

/// Whether what is typed shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Echo {
    #[default]
    Shown,
    /// One star for each character.
    Hidden,
}

/// Text and cursor.
#[derive(Clone, Debug, Default)]
pub struct Editor {
    pub echo: Echo,
    text: String,
    /// Byte offset, on the border of a grapheme.
    cursor: usize,
    text_len_max: usize,
}

/// The text as rows of the screen, and the cursor in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditorRows {
    pub rows: Vec<String>,
    pub cursor_row: usize,
    pub cursor_column: usize,
}

impl Editor {
    /// `text_len_max` in bytes; what does not fit is not inserted.
    pub fn new(text_len_max: usize) -> Self {
        Self { echo: Echo::Shown, text: String::new(), cursor: 0, text_len_max }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the text out.
    pub fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Replaces the text; the cursor goes to its end.
    pub fn replace(&mut self, text: String) {
        self.cursor = text.len();
        self.text = text;
    }

    /// False when there was no room for an insertion.
    pub fn apply(&mut self, edit: Edit) -> bool {
        match edit {
            Edit::Insert(text) => return self.insert(&text),
            Edit::Backspace => self.remove(self.previous(), self.cursor),
            Edit::Delete => self.remove(self.cursor, self.next()),
            Edit::Left => self.cursor = self.previous(),
            Edit::Right => self.cursor = self.next(),
            Edit::WordLeft => self.cursor = self.word_start(),
            Edit::WordRight => self.cursor = self.word_end(),
            Edit::Home => self.cursor = self.line_start(),
            Edit::End => self.cursor = self.line_end(),
            Edit::DeleteWord => self.remove(self.word_start(), self.cursor),
            Edit::DeleteToStart => self.remove(0, self.cursor),
            Edit::DeleteToEnd => self.remove(self.cursor, self.line_end()),
        }
        true
    }

    fn insert(&mut self, text: &str) -> bool {
        if self.text.len() + text.len() > self.text_len_max {
            return false;
        }
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        // What was typed may have joined the next character (an accent, an emoji's second half).
        let mut border = GraphemeCursor::new(self.cursor, self.text.len(), true);
        if !border.is_boundary(&self.text, 0).unwrap_or(true) {
            self.cursor = self.next();
        }
        true
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.drain(from..to);
        self.cursor = from;
        let mut border = GraphemeCursor::new(self.cursor, self.text.len(), true);
        if !border.is_boundary(&self.text, 0).unwrap_or(true) {
            self.cursor = self.next();
        }
    }

    fn previous(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn next(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len())
    }

    fn word_start(&self) -> usize {
        let words = self.text[..self.cursor].split_word_bound_indices();
        words.rev().find(|(_, word)| !word.trim().is_empty()).map_or(0, |(at, _)| at)
    }

    fn word_end(&self) -> usize {
        let mut words = self.text[self.cursor..].split_word_bound_indices();
        words
            .find(|(_, word)| !word.trim().is_empty())
            .map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
    }

    fn line_start(&self) -> usize {
        self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.text[self.cursor..].find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }

    /// The last `rows_max` rows around the cursor, each at most `columns_max` wide. Nothing is hidden by wrapping at
    /// words here: what is typed stays where it was typed.
    pub fn rows(&self, columns_max: usize, rows_max: usize) -> EditorRows {
        let columns_max = columns_max.max(2);
        let mut rows = vec![String::new()];
        let (mut used, mut cursor) = (0, (0, 0));
        for (at, grapheme) in self.text.grapheme_indices(true) {
            let is_break = self.echo == Echo::Shown && matches!(grapheme, "\n" | "\r\n");
            let shown = match self.echo {
                Echo::Hidden => "*".to_owned(),
                Echo::Shown if is_break => String::new(),
                Echo::Shown => text::for_screen(grapheme),
            };
            let width = columns(&shown);
            if used + width > columns_max {
                rows.push(String::new());
                used = 0;
            }
            if at == self.cursor {
                cursor = (rows.len() - 1, used);
            }
            if is_break {
                rows.push(String::new());
                used = 0;
                continue;
            }
            rows.last_mut().expect("starts with one row").push_str(&shown);
            used += width;
        }
        if self.cursor == self.text.len() {
            if used >= columns_max {
                rows.push(String::new());
                used = 0;
            }
            cursor = (rows.len() - 1, used);
        }
        let (cursor_row, cursor_column) = cursor;
        // The window ends with the last row, or earlier so that the cursor is in it.
        let rows_max = rows_max.max(1);
        let end = rows.len().min((cursor_row + 1).max(rows_max));
        let start = end.saturating_sub(rows_max);
        EditorRows { rows: rows[start..end].to_vec(), cursor_row: cursor_row - start, cursor_column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn editor(text: &str) -> Editor {
        let mut editor = Editor::new(1_000);
        assert!(editor.apply(Edit::Insert(text.to_owned())));
        editor
    }

    #[test]
    fn backspace_takes_one_visible_character() {
        let mut editor = editor("ae\u{301}👩‍👩‍👧");
        editor.apply(Edit::Backspace);
        assert_eq!(editor.text(), "ae\u{301}");
        editor.apply(Edit::Backspace);
        assert_eq!(editor.text(), "a");
        editor.apply(Edit::Backspace);
        editor.apply(Edit::Backspace);
        assert_eq!(editor.text(), "");
    }

    #[test]
    fn words_and_ends() {
        let mut editor = editor("one two  three");
        editor.apply(Edit::DeleteWord);
        assert_eq!(editor.text(), "one two  ");
        editor.apply(Edit::DeleteWord);
        assert_eq!(editor.text(), "one ");
        editor.apply(Edit::Home);
        editor.apply(Edit::Insert("x".into()));
        assert_eq!(editor.text(), "xone ");
        editor.apply(Edit::WordRight);
        editor.apply(Edit::DeleteToEnd);
        assert_eq!(editor.text(), "xone");
        editor.apply(Edit::WordLeft);
        editor.apply(Edit::Right);
        editor.apply(Edit::DeleteToStart);
        assert_eq!(editor.text(), "one");
        editor.replace("first\nsecond\n".into());
        editor.apply(Edit::DeleteToStart);
        assert!(editor.is_empty());
    }

    #[test]
    fn too_much_is_not_inserted() {
        let mut editor = Editor::new(3);
        assert!(editor.apply(Edit::Insert("abc".into())));
        assert!(!editor.apply(Edit::Insert("d".into())));
        assert_eq!(editor.text(), "abc");
    }

    #[test]
    fn rows_follow_the_cursor() {
        let mut editor = editor("abcdef");
        let rows = |editor: &Editor, rows_max| editor.rows(4, rows_max);
        assert_eq!(
            rows(&editor, 3),
            EditorRows { rows: vec!["abcd".into(), "ef".into()], cursor_row: 1, cursor_column: 2 }
        );
        assert_eq!(rows(&editor, 1), EditorRows { rows: vec!["ef".into()], cursor_row: 0, cursor_column: 2 });
        editor.apply(Edit::Home);
        assert_eq!(
            rows(&editor, 1),
            EditorRows { rows: vec!["abcd".into()], cursor_row: 0, cursor_column: 0 }
        );
        editor.replace("漢字漢".into());
        assert_eq!(
            rows(&editor, 3),
            EditorRows { rows: vec!["漢字".into(), "漢".into()], cursor_row: 1, cursor_column: 2 }
        );
        editor.replace("abcd".into());
        assert_eq!(
            rows(&editor, 3),
            EditorRows { rows: vec!["abcd".into(), String::new()], cursor_row: 1, cursor_column: 0 }
        );
        editor.replace("a\nb".into());
        assert_eq!(
            rows(&editor, 3),
            EditorRows { rows: vec!["a".into(), "b".into()], cursor_row: 1, cursor_column: 1 }
        );
    }

    fn any_edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            "[a-z 漢🙂\u{301}\u{200d}\\n]{1,3}".prop_map(Edit::Insert),
            Just(Edit::Backspace),
            Just(Edit::Delete),
            Just(Edit::Left),
            Just(Edit::Right),
            Just(Edit::WordLeft),
            Just(Edit::WordRight),
            Just(Edit::Home),
            Just(Edit::End),
            Just(Edit::DeleteWord),
            Just(Edit::DeleteToStart),
            Just(Edit::DeleteToEnd),
        ]
    }

    proptest! {
        #[test]
        fn any_edits_keep_the_cursor_on_a_border(edits in prop::collection::vec(any_edit(), 0..60), width in 2usize..12) {
            let mut editor = Editor::new(100);
            for edit in edits {
                editor.apply(edit);
                let mut border = GraphemeCursor::new(editor.cursor, editor.text.len(), true);
                prop_assert_eq!(border.is_boundary(&editor.text, 0), Ok(true));
                let rows = editor.rows(width, 3);
                prop_assert!(rows.rows.len() <= 3 && rows.cursor_row < rows.rows.len());
                prop_assert!(rows.cursor_column <= width);
                prop_assert!(rows.rows.iter().all(|row| columns(row) <= width));
            }
        }
    }
}
