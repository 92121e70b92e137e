//! Passwords that are asked for within the client: they never show.

use zeroize::Zeroizing;

use super::app::Wish;

/// A password. It does not show in logs either.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(typed: String) -> Self {
        Self(Zeroizing::new(typed))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What the passwords are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    ChangePassword,
    DeleteAccount,
}

/// Passwords are being asked for, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    purpose: Purpose,
    given: Vec<Secret>,
}

/// What follows a typed password.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Ask(Asking),
    Do(Wish),
    /// Nothing is done, and why.
    Stop(&'static str),
}

impl Asking {
    pub fn new(purpose: Purpose) -> Self {
        Self { purpose, given: Vec::new() }
    }

    /// What is asked for now, in front of the input line.
    pub fn question(&self) -> &'static str {
        match (self.purpose, self.given.len()) {
            (Purpose::DeleteAccount, _) => "Password, to delete for good: ",
            (Purpose::ChangePassword, 0) => "Old password: ",
            (Purpose::ChangePassword, 1) => "New password: ",
            (Purpose::ChangePassword, _) => "New password once more: ",
        }
    }

    pub fn handle(mut self, typed: String) -> Next {
        if typed.is_empty() {
            return Next::Stop("No password was given; nothing is done.");
        }
        self.given.push(Secret::new(typed));
        match (self.purpose, &self.given[..]) {
            (Purpose::DeleteAccount, [password]) => {
                Next::Do(Wish::DeleteAccount { password: password.clone() })
            }
            (Purpose::ChangePassword, [old, new, again]) if new == again => {
                Next::Do(Wish::Password { old: old.clone(), new: new.clone() })
            }
            (Purpose::ChangePassword, [_, _, _]) => {
                Next::Stop("The two new passwords differ; the password is as it was.")
            }
            _ => Next::Ask(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(purpose: Purpose, typed: &[&str]) -> Next {
        let mut next = Next::Ask(Asking::new(purpose));
        for typed in typed {
            let Next::Ask(asking) = next else { panic!("asked no more than {typed}") };
            next = asking.handle((*typed).to_owned());
        }
        next
    }

    #[test]
    fn a_new_password_is_asked_for_twice() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let change = Purpose::ChangePassword;
        let wish = Wish::Password { old: secret("a"), new: secret("b") };
        assert_eq!(ask(change, &["a", "b", "b"]), Next::Do(wish));
        assert!(matches!(ask(change, &["a", "b", "c"]), Next::Stop(_)));
        assert!(matches!(ask(change, &["a", ""]), Next::Stop(_)));
        let wish = Wish::DeleteAccount { password: secret("a") };
        assert_eq!(ask(Purpose::DeleteAccount, &["a"]), Next::Do(wish));
        assert!(matches!(ask(Purpose::DeleteAccount, &[""]), Next::Stop(_)));
    }

    #[test]
    fn a_password_does_not_show_in_logs() {
        let next = ask(Purpose::ChangePassword, &["hunter2", "hunter3", "hunter3"]);
        assert!(!format!("{next:?}").contains("hunter"), "{next:?}");
    }
}
