//! What users write beside their states, as far as somebody here watches them: each text once, however many do.

use std::sync::Arc;

use ahash::AHashMap;

use super::watched::Mark;
use crate::core::Core;
use crate::limits::PRESENCE_TEXTS_MAX;

#[derive(Debug)]
struct Kept {
    text: Arc<str>,
    /// Sets in which his mark says that he has one.
    watchers: u32,
}

/// The texts of one shard. When there are too many, further users are shown without theirs.
#[derive(Debug)]
pub(super) struct Texts {
    kept: AHashMap<u32, Kept>,
}

impl Texts {
    pub fn new(core: &mut Core) -> Self {
        Self { kept: AHashMap::with_hasher(core.rng.hasher()) }
    }

    pub fn find(&self, user: u32) -> Option<&str> {
        self.kept.get(&user).map(|kept| &*kept.text)
    }

    /// One more watcher knows this text of the user, or that he has none; `mark` is what that one knew. Gives whether
    /// it is kept.
    pub fn replace(&mut self, user: u32, mark: Mark, text: Option<&Arc<str>>) -> bool {
        let Some(text) = text else {
            self.release(user, mark);
            return false;
        };
        if let Some(kept) = self.kept.get_mut(&user) {
            kept.text.clone_from(text);
            kept.watchers += u32::from(!mark.has_text());
            return true;
        }
        if self.kept.len() >= PRESENCE_TEXTS_MAX {
            return false;
        }
        self.kept.insert(user, Kept { text: text.clone(), watchers: 1 });
        true
    }

    /// Somebody does not watch the user any more.
    pub fn release(&mut self, user: u32, mark: Mark) {
        if !mark.has_text() {
            return;
        }
        let kept = self.kept.get_mut(&user).expect("a mark that says so has its text");
        kept.watchers -= 1;
        if kept.watchers == 0 {
            self.kept.remove(&user);
        }
    }

    pub fn check_invariants(&self, marks: impl Iterator<Item = (u32, Mark)>) {
        assert!(self.kept.len() <= PRESENCE_TEXTS_MAX);
        let mut watchers = 0;
        for (user, _) in marks.filter(|(_, mark)| mark.has_text()) {
            assert!(self.kept.contains_key(&user), "the text of user {user} is gone");
            watchers += 1;
        }
        let kept: u64 = self.kept.values().map(|kept| u64::from(kept.watchers)).sum();
        assert_eq!(watchers, kept);
    }
}
