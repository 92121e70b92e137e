//! For tests: a store that dies at a chosen write, as a process would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Where in a write the crash comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nothing of it is on disk.
    BeforeCommit,
    /// All of it is on disk, but nobody hears of it.
    AfterCommit,
}

static PLANS: Mutex<BTreeMap<PathBuf, (u32, Moment)>> = Mutex::new(BTreeMap::new());

/// The `nth` write (from 1) to this folder crashes.
pub(crate) fn plan(folder: &Path, nth: u32, moment: Moment) {
    PLANS.lock().expect("nothing panics under it").insert(folder.to_owned(), (nth, moment));
}

/// True when the planned crash has not come.
pub(crate) fn cancel(folder: &Path) -> bool {
    PLANS.lock().expect("nothing panics under it").remove(folder).is_some()
}

/// Counts a write; the moment at which it is to crash, if it is.
pub(super) fn due(folder: &Path) -> Option<Moment> {
    let mut plans = PLANS.lock().expect("nothing panics under it");
    let (left, moment) = plans.get_mut(folder)?;
    *left -= 1;
    let moment = *moment;
    if *left > 0 {
        return None;
    }
    plans.remove(folder);
    Some(moment)
}
