//! Pages over all shards: each shard tells the first rows behind a place, and whether it has more; put together, they are a page
//! up to where every shard has told all.

use wire::UserName;

use crate::admin::{AuditLine, UserLine};

/// Pages of users, by rising comparable form of their names.
#[derive(Debug, Default)]
pub struct UserPages {
    found: Vec<(String, UserLine)>,
    /// Up to this name every shard has told all it has.
    covered: Option<String>,
}

/// Pages of the audit log, by rising time and number.
#[derive(Debug, Default)]
pub struct AuditPages {
    lines: Vec<AuditLine>,
    covered: Option<(u64, u64)>,
}

impl UserPages {
    /// What one shard told.
    pub fn add(&mut self, users: Vec<UserLine>, more: bool) {
        let named = |line: UserLine| (comparable_form(&line.name), line);
        let users: Vec<_> = users.into_iter().map(named).collect();
        if let Some((last, _)) = users.last().filter(|_| more)
            && self.covered.as_ref().is_none_or(|covered| last < covered)
        {
            self.covered = Some(last.clone());
        }
        self.found.extend(users);
    }

    /// The page, and whether there is more behind it.
    pub fn page(self, users_max: usize) -> (Vec<UserLine>, bool) {
        let Self { mut found, covered } = self;
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut more = covered.is_some();
        if let Some(covered) = covered {
            found.retain(|(name, _)| *name <= covered);
        }
        more |= found.len() > users_max;
        found.truncate(users_max);
        (found.into_iter().map(|(_, line)| line).collect(), more)
    }
}

impl AuditPages {
    /// What one shard told, and up to where that is all; `None`: it has no more.
    pub fn add(&mut self, lines: Vec<AuditLine>, covered: Option<(u64, u64)>) {
        self.lines.extend(lines);
        self.covered = match (self.covered, covered) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// The page, and from where to ask for more, if there may be any.
    pub fn page(self, rows_max: usize) -> (Vec<AuditLine>, Option<(u64, u64)>) {
        let Self { mut lines, mut covered } = self;
        if let Some(covered) = covered {
            lines.retain(|line| (line.time_ms, line.number) <= covered);
        }
        lines.sort_by_key(|line| (line.time_ms, line.number));
        // Each shard may have told as much as a page holds.
        if lines.len() > rows_max {
            lines.truncate(rows_max);
            covered = lines.last().map(|line| (line.time_ms, line.number));
        }
        (lines, covered)
    }
}

/// As the names of users are compared; what cannot be a name, as it is.
pub fn comparable_form(name: &str) -> String {
    UserName::parse(name).map_or_else(|_| name.to_owned(), |name| name.as_str().to_owned())
}
