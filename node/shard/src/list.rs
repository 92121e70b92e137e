//! What each user is told about his conversations, at the user's home: per conversation its head and marks, under a version
//! that rises with each change. `Sync` returns what is newer than the version the client has.

mod load;
mod merge;
mod notice;
mod push;
mod state;
mod sync;

use std::collections::VecDeque;

use ahash::AHashMap;
use bytes::Bytes;
use record::{Digest, StoreShardId};
use wire::{ConversationId, Refusal, ShardAddress, UserId};

use crate::cache::{Candidate, UseOrder};
use crate::core::Core;
use crate::limits::{LIST_ENTRIES_CACHED_MAX, LISTS_CACHED_MAX, MERGE_MS_MAX, QUEUED_PER_KEY_MAX};
use crate::login::OpenSession;
use crate::mesh::{Caller, Changed, SessionPlace};
use crate::stats::TableStats;

pub(crate) use self::merge::Written;
use self::notice::{MarkNotice, SetAdverts, Wishes};
pub(crate) use self::notice::{Told, begin_list};
use self::push::Pushes;
use self::state::List;
use self::sync::Sync;

/// What a load was for: the list of this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadKey(pub UserId);

/// A change that the conversation's home sent, until it is on disk here.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    conversation: ConversationId,
    digest: Digest,
    change: u64,
    /// The conversation's home, which waits to hear that it is on disk.
    from: ShardAddress,
}

/// A command of the user on his own list, its fields checked.
#[derive(Debug)]
enum ListCommand {
    Sync(Sync),
    MarkNotice(MarkNotice),
    SetAdverts(SetAdverts),
}

impl ListCommand {
    fn run(self, core: &mut Core, caller: Caller, held: &mut Held, entries: &mut usize) {
        match self {
            ListCommand::Sync(sync) => sync.run(core, caller, held, entries),
            ListCommand::MarkNotice(mark) => mark.run(core, caller, held, entries),
            ListCommand::SetAdverts(set) => set.run(core, caller, held, entries),
        }
    }
}

/// When to try again what was refused for want of room.
const BUSY_RETRY_MS: u32 = 200;

/// How far a list is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Too many reads were in flight: the end of the turn tries again.
    Unloaded,
    Loading,
    Ready,
}

/// A list with what waits for it.
#[derive(Debug)]
struct Held {
    phase: Phase,
    list: List,
    /// Changes to be merged. Bounded by the outboxes they come from.
    arrived: Vec<Arrived>,
    /// What the user wants of notices.
    wishes: Wishes,
    /// Commands that wait until the list is read.
    waiting: VecDeque<(Caller, ListCommand)>,
    /// Sessions that were answered without what arrived, since the disk was full: told to sync again.
    owed: Vec<SessionPlace>,
    /// It is among those that the end of the turn looks at.
    touched: bool,
    /// Of [`UseOrder`].
    used: u64,
}

/// The lists of the users of this shard.
#[derive(Debug)]
pub(crate) struct Lists {
    held: AHashMap<UserId, Held>,
    order: UseOrder<UserId>,
    /// Lists with changes to merge, or to be read.
    touched: Vec<UserId>,
    /// When they are looked at; `None` while there are none, or before the end of the turn that touched the first.
    due_ms: Option<u64>,
    /// They are looked at in each turn: some could not be read or written yet.
    retries: bool,
    /// Entries of all lists in memory.
    entries: usize,
    cached_max: usize,
    pushes: Pushes,
}

impl Lists {
    pub fn new(core: &mut Core) -> Self {
        Self {
            held: AHashMap::with_hasher(core.rng.hasher()),
            order: UseOrder::default(),
            touched: Vec::new(),
            due_ms: None,
            retries: false,
            entries: 0,
            cached_max: LISTS_CACHED_MAX,
            pushes: Pushes::new(core),
        }
    }

    /// What is in memory.
    pub fn tables(&self) -> [TableStats; 2] {
        [
            TableStats::new("lists", self.held.len(), self.cached_max),
            TableStats::new("list_entries", self.entries, LIST_ENTRIES_CACHED_MAX),
        ]
    }

    /// A conversation of this user changed, durably: his sessions are told at once, his list follows.
    pub fn handle_changed(
        &mut self,
        core: &mut Core,
        sessions: &[OpenSession],
        from: ShardAddress,
        changed: Changed,
    ) {
        self.pushes.tell_sessions(core, sessions, &changed);
        let Changed { user, conversation, change, digest, .. } = changed;
        // 0: it is in the list already.
        if change != 0 {
            let held = self.hold(core, user);
            held.arrived.push(Arrived { conversation, digest, change, from });
            self.touch(user);
            self.read(core, user);
        }
    }

    /// A whole frame for a session. Where there is no room for it, the session is told to sync.
    pub fn push_or_sync(&mut self, core: &mut Core, session: &SessionPlace, frame: &Bytes) {
        self.pushes.push_or_sync(core, session, frame);
    }

    /// A peer has taken delivery frames: what waited for room is sent.
    pub fn handle_credit(&mut self, core: &mut Core) {
        self.pushes.handle_credit(core);
    }

    /// When changes that gathered are merged, if there are any.
    pub fn next_deadline(&self) -> Option<u64> {
        self.due_ms.filter(|_| !self.retries)
    }

    /// Merges what arrived, when it has gathered for a while, and reads lists that could not be read before.
    pub fn end_turn(&mut self, core: &mut Core) {
        if !self.touched.is_empty() {
            let due_ms = *self.due_ms.get_or_insert(core.now.mono_ms + MERGE_MS_MAX);
            if self.retries || core.stopping || due_ms <= core.now.mono_ms {
                self.look_at_touched(core);
            }
        }
        self.evict(core);
        core.counters.lists = self.held.len() as u64;
    }

    fn look_at_touched(&mut self, core: &mut Core) {
        (self.due_ms, self.retries) = (None, false);
        for user in std::mem::take(&mut self.touched) {
            let held = self.held.get_mut(&user).expect("a touched list is held");
            let done = match held.phase {
                Phase::Unloaded => {
                    let loads = load::begin(core, user, None);
                    if loads {
                        held.phase = Phase::Loading;
                    }
                    loads
                }
                // What arrived is merged when the list is there.
                Phase::Loading => true,
                Phase::Ready => merge::merge_arrived(core, user, held, &mut self.entries),
            };
            held.touched = !done;
            if !done {
                self.touched.push(user);
                self.retries = true;
            }
        }
    }

    /// A batch of this store shard was not written: lists are read anew when they are needed.
    pub fn forget(&mut self, core: &mut Core, store_shard: StoreShardId) {
        let Self { held, order, entries, .. } = self;
        held.retain(|user, held| {
            if core.store_shard(user.slot()) != store_shard || held.phase != Phase::Ready {
                return true;
            }
            *entries -= held.list.len();
            held.list = List::default();
            held.wishes = Wishes::default();
            held.phase = Phase::Unloaded;
            // Changes that wait to be merged are not lost: they are on disk at the other home only.
            held.touched
        });
        order.retain(|user| held.contains_key(user));
    }

    /// Runs a command now, or when the list is read.
    fn submit(&mut self, core: &mut Core, caller: Caller, command: ListCommand) {
        let user = caller.user;
        self.hold(core, user);
        let held = self.held.get_mut(&user).expect("held a moment ago");
        if held.phase == Phase::Ready {
            return command.run(core, caller, held, &mut self.entries);
        }
        if held.waiting.len() >= QUEUED_PER_KEY_MAX {
            return core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
        // Until it is read the command waits in its place.
        held.waiting.push_back((caller, command));
        self.read(core, user);
    }

    /// The list of this user; it is to be read when it was not in memory.
    fn hold(&mut self, core: &Core, user: UserId) -> &mut Held {
        assert!(core.is_home(user.slot()), "{user:?} has his home elsewhere");
        let order = &mut self.order;
        let held = self.held.entry(user).or_insert_with(|| Held {
            phase: Phase::Unloaded,
            list: List::default(),
            arrived: Vec::new(),
            wishes: Wishes::default(),
            waiting: VecDeque::new(),
            owed: Vec::new(),
            touched: false,
            used: order.add(user),
        });
        held.used = order.tick();
        held
    }

    /// Reads a list that is not in memory; where that cannot be now, the end of the turn tries again.
    fn read(&mut self, core: &mut Core, user: UserId) {
        let held = self.held.get_mut(&user).expect("only a list that is held is read");
        if held.phase != Phase::Unloaded {
            return;
        }
        if load::begin(core, user, None) {
            held.phase = Phase::Loading;
        } else {
            self.touch(user);
            self.retries = true;
        }
    }

    /// The end of a turn looks at this list.
    fn touch(&mut self, user: UserId) {
        let held = self.held.get_mut(&user).expect("only a list that is held is touched");
        if !std::mem::replace(&mut held.touched, true) {
            self.touched.push(user);
        }
    }

    /// Lower bounds, to see what happens at them.
    #[cfg(test)]
    pub fn with_bounds(mut self, cached_max: usize, missed_max: usize) -> Self {
        self.cached_max = cached_max;
        self.pushes.set_missed_max(missed_max);
        self
    }

    /// Drops what was used longest ago, down to the bounds or to what is in use.
    fn evict(&mut self, core: &Core) {
        while self.held.len() > self.cached_max || self.entries > LIST_ENTRIES_CACHED_MAX {
            let held = &self.held;
            let oldest = self.order.take_oldest(|user| match held.get(user) {
                None => Candidate::Gone,
                Some(held) if held.may_go(core, *user) => Candidate::Free { used: held.used },
                Some(_) => Candidate::Held,
            });
            let Some(held) = oldest.and_then(|user| self.held.remove(&user)) else { return };
            self.entries -= held.list.len();
        }
    }

    pub fn check_invariants(&self, core: &Core) {
        assert_eq!(self.order.len(), self.held.len());
        assert!(self.due_ms.is_none() || !self.touched.is_empty());
        assert_eq!(self.touched.len(), self.held.values().filter(|held| held.touched).count());
        let mut entries = 0;
        for (user, held) in &self.held {
            assert!(core.is_home(user.slot()), "{user:?} has his home elsewhere");
            assert!(held.waiting.len() <= QUEUED_PER_KEY_MAX);
            match held.phase {
                Phase::Ready => assert!(held.waiting.is_empty(), "commands of {user:?} are stuck"),
                Phase::Loading => {}
                Phase::Unloaded => assert!(held.touched, "nobody reads the list of {user:?}"),
            }
            assert!(held.arrived.is_empty() || held.touched || held.phase == Phase::Loading);
            held.list.check_invariants();
            entries += held.list.len();
        }
        for user in &self.touched {
            assert!(self.held[user].touched);
        }
        assert_eq!(entries, self.entries);
        self.pushes.check_invariants();
    }
}

impl Held {
    /// Nothing is lost when it leaves the memory.
    fn may_go(&self, core: &Core, user: UserId) -> bool {
        self.phase == Phase::Ready && !self.touched && core.is_committed(user.slot(), self.list.stamp)
    }
}
