//! Names of users. Two spellings of one name (case, width, composed or not) are one name: its comparable form.

use std::fmt;

use crate::ids::Slot;
use crate::limits::NAME_LEN_MAX;

/// A user's name in its comparable form: SASLprep (RFC 4013), then lower case; 1 to 64 bytes of letters, digits and
/// `.`, `_`, `-`, starting with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

/// Why a name is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name has at least one letter or digit")]
    Empty,
    #[error("a name has at most {NAME_LEN_MAX} bytes")]
    TooLong,
    #[error("a name starts with a letter or digit")]
    Start,
    #[error("a name has only letters, digits and . _ - but not {0:?}")]
    Character(char),
    #[error("a name holds characters or a mix of writing directions that SASLprep forbids")]
    Forbidden,
}

impl UserName {
    /// The comparable form of what a person typed. Spaces around it are not forgiven.
    pub fn parse(typed: &str) -> Result<Self, NameError> {
        if typed.is_empty() {
            return Err(NameError::Empty);
        }
        if typed.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong); // before any work on it
        }
        let lower = saslprep(typed)?.to_lowercase();
        let comparable = saslprep(&lower)?; // lower case may compose anew
        let first = comparable.chars().next().ok_or(NameError::Empty)?;
        if let Some(bad) = comparable.chars().find(|c| !is_allowed(*c)) {
            return Err(NameError::Character(bad));
        }
        if !first.is_alphanumeric() {
            return Err(NameError::Start);
        }
        if comparable.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong);
        }
        Ok(Self(comparable))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The home of the name and, for good, of its account.
    pub fn slot(&self) -> Slot {
        Slot::of_name(&self.0)
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name {:?}", self.0)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn saslprep(text: &str) -> Result<String, NameError> {
    stringprep::saslprep(text).map(|prepared| prepared.into_owned()).map_err(|_| NameError::Forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn comparable(typed: &str) -> String {
        UserName::parse(typed).expect("allowed").into_string()
    }

    #[test]
    fn spellings_of_one_name_are_one_name() {
        for (typed, expected) in [
            ("Anna", "anna"),
            ("anna.b_c-9", "anna.b_c-9"),
            ("ＡＮＮＡ", "anna"),        // full width
            ("Ju\u{308}rgen", "jürgen"), // decomposed
            ("an\u{ad}na", "anna"),      // soft hyphen
            ("ΣΟΦΙΑ", "σοφια"),
            ("王小明", "王小明"),
            ("9lives", "9lives"),
        ] {
            assert_eq!(comparable(typed), expected, "{typed:?}");
        }
        assert_eq!(UserName::parse("Anna").map(|n| n.slot()), UserName::parse("aNNA").map(|n| n.slot()));
    }

    #[test]
    fn what_is_not_allowed_has_a_reason() {
        for (typed, error) in [
            ("", NameError::Empty),
            ("\u{ad}", NameError::Empty),
            ("two words", NameError::Character(' ')),
            ("a,b", NameError::Character(',')),
            ("a=b", NameError::Character('=')),
            ("a@b", NameError::Character('@')),
            (".anna", NameError::Start),
            ("---", NameError::Start),
            ("an\nna", NameError::Forbidden),
            ("an\u{202e}na", NameError::Forbidden),
            ("אan", NameError::Forbidden),
        ] {
            assert_eq!(UserName::parse(typed).map(UserName::into_string), Err(error), "{typed:?}");
        }
        assert!(UserName::parse(&"a".repeat(64)).is_ok());
        assert_eq!(UserName::parse(&"a".repeat(65)), Err(NameError::TooLong));
        // 3 bytes that unfold to four words.
        assert_eq!(UserName::parse(&"\u{fdfa}".repeat(21)), Err(NameError::Character(' ')));
    }

    proptest! {
        #[test]
        fn the_comparable_form_is_its_own(typed in "\\PC{0,24}") {
            if let Ok(name) = UserName::parse(&typed) {
                prop_assert!(name.as_str().len() <= NAME_LEN_MAX);
                prop_assert_eq!(UserName::parse(name.as_str()), Ok(name));
            }
        }
    }
}
