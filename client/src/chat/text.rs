//! What others wrote, made safe and cut to the width of the screen. Widths are in terminal columns.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Marks without a width of their own (accents) that one character may carry; more of them would smear over the screen.
const MARKS_MAX: usize = 6;
/// Columns between tab stops.
const TAB_COLUMNS: usize = 4;

/// Text for the screen: nothing in it can move the cursor, change colours or turn the writing direction of the rest.
/// Line breaks stay, tabs become spaces, other control characters become visible.
pub fn for_screen(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\n' => out.push('\n'),
            '\t' => out.extend(std::iter::repeat_n(' ', TAB_COLUMNS)),
            c if is_unsafe(c) => out.push(visible(c)),
            c if c.width() == Some(0) => {
                marks += 1;
                if marks <= MARKS_MAX {
                    out.push(c);
                }
                continue;
            }
            c => out.push(c),
        }
        marks = 0;
    }
    out
}

/// Text for one line of output that scripts read: reversible, without control characters. A backslash is doubled, a line
/// break is `\n`, a tab `\t`, a carriage return `\r`, any other control character `\u{HEX}`.
pub fn for_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_unsafe(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// Control characters, line and paragraph separators, and what turns the writing direction.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}

fn visible(c: char) -> char {
    match c {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + c as u32).expect("a control picture"),
        '\u{7f}' => '\u{2421}',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// Columns that `text` takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// The longest start of `text` that fits into `columns_max`, with `…` at the end where something is left out.
pub fn cut(text: &str, columns_max: usize) -> String {
    if columns(text) <= columns_max {
        return text.to_owned();
    }
    if columns_max == 0 {
        return String::new();
    }
    let mut out = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let width = columns(grapheme);
        if used + width > columns_max - 1 {
            break;
        }
        out.push_str(grapheme);
        used += width;
    }
    out.push('…');
    out
}

/// Cuts `text` into rows of at most `columns_max` (at least 2, so that a wide character fits), at spaces where there are
/// some. Gives at least one row.
pub fn wrap(text: &str, columns_max: usize) -> Vec<String> {
    let columns_max = columns_max.max(2);
    let mut rows = Vec::new();
    for line in text.split('\n') {
        wrap_line(line, columns_max, &mut rows);
    }
    rows
}

fn wrap_line(line: &str, columns_max: usize, rows: &mut Vec<String>) {
    let mut row = String::new();
    let mut used = 0;
    for word in line.split_word_bounds() {
        let width = columns(word);
        if used + width <= columns_max {
            row.push_str(word);
            used += width;
            continue;
        }
        if word.trim().is_empty() {
            // Spaces at the end of a row are not carried over.
            rows.push(std::mem::take(&mut row));
            used = 0;
            continue;
        }
        if used > 0 && width <= columns_max {
            rows.push(row.trim_end().to_owned());
            row = word.to_owned();
            used = width;
            continue;
        }
        for grapheme in word.graphemes(true) {
            let width = columns(grapheme);
            if used + width > columns_max && used > 0 {
                rows.push(std::mem::take(&mut row));
                used = 0;
            }
            row.push_str(grapheme);
            used += width;
        }
    }
    rows.push(row);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_become_visible() {
        assert_eq!(for_screen("a\x1b[2Jb\x07\x7f\u{9b}c"), "a␛[2Jb␇␡\u{fffd}c");
        assert_eq!(for_screen("\u{202e}abc"), "\u{fffd}abc");
        assert_eq!(for_screen("a\r\nb\tc"), "a\nb    c");
        assert_eq!(for_screen("a\rb"), "a␍b");
    }

    #[test]
    fn a_character_carries_few_marks() {
        let smear = format!("a{}b", "\u{301}".repeat(100));
        assert_eq!(for_screen(&smear), format!("a{}b", "\u{301}".repeat(MARKS_MAX)));
    }

    #[test]
    fn lines_for_scripts_are_reversible() {
        assert_eq!(for_line("a\\n\nb\x1b\u{202e}"), "a\\\\n\\nb\\u{1b}\\u{202e}");
        assert_eq!(for_line("grüße 漢字 🙂"), "grüße 漢字 🙂");
    }

    #[test]
    fn cutting_counts_columns_not_characters() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello", 4), "hel…");
        assert_eq!(cut("漢字漢字", 8), "漢字漢字");
        assert_eq!(cut("漢字漢字", 6), "漢字…");
        assert_eq!(cut("漢字", 1), "…");
        assert_eq!(cut("漢字", 0), "");
    }

    #[test]
    fn rows_break_at_spaces() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("aaaa bbbb", 4), ["aaaa", "bbbb"]);
        assert_eq!(wrap("one\n\ntwo", 10), ["one", "", "two"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn long_words_and_wide_characters_are_broken_where_they_must() {
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(wrap("漢字", 1), ["漢", "字"]);
        assert_eq!(wrap("👩‍👩‍👧👩‍👩‍👧", 2), ["👩‍👩‍👧", "👩‍👩‍👧"]);
    }

    proptest! {
        #[test]
        fn no_row_is_wider_than_asked_and_no_letter_is_lost(text in "[a-z漢🙂é \\n]{0,80}", width in 2usize..30) {
            let rows = wrap(&text, width);
            prop_assert!(!rows.is_empty());
            for row in &rows {
                prop_assert!(columns(row) <= width, "{row:?} is wider than {width}");
            }
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&rows.concat()), letters(&text));
        }

        #[test]
        fn nothing_unsafe_is_left(text in "\\PC*|[\\x00-\\x1f\\x7f-\\x9f\u{202a}-\u{202e}]{0,20}") {
            let safe = for_screen(&text);
            prop_assert!(!safe.chars().any(|c| c != '\n' && is_unsafe(c)));
            let line = for_line(&text);
            prop_assert!(!line.chars().any(is_unsafe));
        }
    }
}
