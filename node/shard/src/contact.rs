//! Each user's contacts, at the user's home: a row per other user, under a version that rises with each change. What a row
//! shows comes from the home of the pair's conversation, where the relation is; remark and group are the user's own.

mod list;
mod outbox;

use std::collections::VecDeque;

use ahash::AHashMap;
use bytes::Bytes;
use record::{Contact, Key, Query, Record, Rows, StoreShardId, View, keys};
use wire::contact::{Contact as Shown, ContactsSynced};
use wire::limits::CONTACTS_SYNCED_MAX;
use wire::{ConversationId, Refusal, SessionId, ShardAddress, UserId};

use crate::cache::{Candidate, UseOrder};
use crate::core::{After, Core, LoadFor};
use crate::limits::{
    BUSY_RETRY_MS, CONTACT_LISTS_CACHED_MAX, CONTACT_ROWS_CACHED_MAX, LIST_ROWS, QUEUED_PER_KEY_MAX,
};
use crate::list::Lists;
use crate::login::OpenSession;
use crate::mesh::{Caller, MeshFrame};
use crate::recovery;
use crate::stats::TableStats;

use self::list::List;
pub(crate) use self::outbox::Outbox;

/// A view that a conversation's home sent, until it is on disk here.
#[derive(Clone, Debug)]
struct Arrived {
    conversation: ConversationId,
    version: u64,
    view: View,
    /// The conversation's home, which waits to hear that it is on disk.
    from: ShardAddress,
}

/// A command on the caller's own list.
#[derive(Debug)]
enum Work {
    Sync { cver: u64, changes_max: u32 },
    Set { contact: UserId, remark: String, group: String },
}

/// A row is on disk: whoever sent it and the user's sessions are told.
#[derive(Debug)]
pub(crate) struct Written {
    pub user: UserId,
    frame: Option<Bytes>,
    /// The session that changed it and is answered.
    except: Option<SessionId>,
    arrived: Option<Arrived>,
    /// Whose row it is, and whether he is a contact who is not blocked; and of a row that left the full list.
    contact: (UserId, bool),
    gone: Option<UserId>,
}

impl Written {
    /// Those whose rows changed, and whether each is a contact now.
    pub fn contacts(&self) -> impl Iterator<Item = (UserId, bool)> + use<> {
        [Some(self.contact), self.gone.map(|gone| (gone, false))].into_iter().flatten()
    }
}

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
    /// Views to be taken in. Bounded by the outboxes they come from.
    arrived: VecDeque<Arrived>,
    /// Commands that wait until the list is read.
    commands: VecDeque<(Caller, Work)>,
    /// It is among those that the end of the turn looks at.
    touched: bool,
    /// Of [`UseOrder`].
    used: u64,
}

/// The lists of contacts of the users of this shard.
#[derive(Debug)]
pub(crate) struct Contacts {
    held: AHashMap<UserId, Held>,
    order: UseOrder<UserId>,
    touched: Vec<UserId>,
    /// Rows of all lists in memory.
    rows: usize,
}

impl Contacts {
    pub fn new(core: &mut Core) -> Self {
        Self {
            held: AHashMap::with_hasher(core.rng.hasher()),
            order: UseOrder::default(),
            touched: Vec::new(),
            rows: 0,
        }
    }

    /// What is in memory.
    pub fn tables(&self) -> [TableStats; 2] {
        [
            TableStats::new("contact_lists", self.held.len(), CONTACT_LISTS_CACHED_MAX),
            TableStats::new("contact_rows", self.rows, CONTACT_ROWS_CACHED_MAX),
        ]
    }

    pub fn handle_sync(&mut self, core: &mut Core, caller: Caller, cver: u64, changes_max: u32) {
        self.handle(core, caller, Work::Sync { cver, changes_max });
    }

    pub fn handle_set(
        &mut self,
        core: &mut Core,
        caller: Caller,
        contact: UserId,
        remark: String,
        group: String,
    ) {
        self.handle(core, caller, Work::Set { contact, remark, group });
    }

    fn handle(&mut self, core: &mut Core, caller: Caller, work: Work) {
        let user = caller.user;
        self.hold(core, user);
        let held = self.held.get_mut(&user).expect("held a moment ago");
        if held.phase == Phase::Ready {
            work.run(core, caller, &mut held.list, &mut self.rows);
        } else if held.commands.len() >= QUEUED_PER_KEY_MAX {
            core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS);
        } else {
            held.commands.push_back((caller, work));
        }
    }

    /// A relation of this user shows otherwise, durably.
    pub fn handle_view(
        &mut self,
        core: &mut Core,
        from: ShardAddress,
        user: UserId,
        conversation: ConversationId,
        version: u64,
        view: View,
    ) {
        let held = self.hold(core, user);
        held.arrived.push_back(Arrived { conversation, version, view, from });
        self.touch(user);
    }

    pub fn handle_loaded(&mut self, core: &mut Core, user: UserId, rows: Vec<Rows>) {
        let held = self.held.get_mut(&user).expect("a list that is being read is held");
        assert_eq!(held.phase, Phase::Loading);
        for row in &rows[0].rows {
            let (key, contact) = (Key::parse(&row.key), Contact::decode(&row.value));
            let (Some(Key::Contact(_, other)), Ok(contact)) = (key, contact) else {
                return core.damaged(user.slot(), &format!("a contact of {user:?} cannot be read"));
            };
            if let Err(reason) = held.list.restore(other, contact) {
                return core.damaged(user.slot(), &format!("contacts of {user:?}: {reason}"));
            }
        }
        self.rows += rows[0].rows.len();
        if let Some(last) = rows[0].rows.last().filter(|_| rows[0].more) {
            let loads = load(core, user, Some(&last.key));
            assert!(loads, "the read before it has left its place");
            return;
        }
        held.phase = Phase::Ready;
        for (caller, work) in std::mem::take(&mut held.commands) {
            work.run(core, caller, &mut held.list, &mut self.rows);
        }
        if !held.arrived.is_empty() {
            self.touch(user);
        }
    }

    /// A batch is on disk.
    pub fn handle_written(
        &mut self,
        core: &mut Core,
        sessions: &[OpenSession],
        lists: &mut Lists,
        written: Written,
    ) {
        let Written { user, frame, except, arrived, .. } = written;
        if let Some(Arrived { conversation, version, from, .. }) = arrived {
            core.control(from, MeshFrame::ContactViewDone { user, conversation, version });
        }
        let Some(frame) = frame else { return };
        for session in sessions.iter().filter(|session| except != Some(session.place.session)) {
            lists.push_or_sync(core, &session.place, &frame);
        }
    }

    /// A batch was refused as full. What came from other homes is taken in again: they do not send it anew.
    pub fn handle_refused(&mut self, core: &mut Core, written: Written) {
        if let Some(arrived) = written.arrived {
            let held = self.hold(core, written.user);
            held.arrived.push_back(arrived);
            self.touch(written.user);
        }
    }

    /// Takes in what arrived and reads the lists that are wanted.
    pub fn end_turn(&mut self, core: &mut Core) {
        for user in std::mem::take(&mut self.touched) {
            let held = self.held.get_mut(&user).expect("a touched list is held");
            let done = match held.phase {
                Phase::Unloaded => {
                    let loads = load(core, user, None);
                    if loads {
                        held.phase = Phase::Loading;
                    }
                    loads
                }
                // What arrived is taken in when the list is there.
                Phase::Loading => true,
                Phase::Ready => take_arrived(core, user, held, &mut self.rows),
            };
            held.touched = !done;
            if !done {
                self.touched.push(user);
            }
        }
        self.evict(core);
    }

    /// A batch of this store shard was not written: lists are read anew when they are needed.
    pub fn forget(&mut self, core: &mut Core, store_shard: StoreShardId) {
        let Self { held, order, rows, .. } = self;
        held.retain(|user, held| {
            if core.store_shard(user.slot()) != store_shard || held.phase != Phase::Ready {
                return true;
            }
            *rows -= held.list.len();
            held.list = List::default();
            held.phase = Phase::Unloaded;
            held.touched
        });
        order.retain(|user| held.contains_key(user));
    }

    /// The list of this user; it is going to be read when it was not in memory.
    fn hold(&mut self, core: &mut Core, user: UserId) -> &mut Held {
        assert!(core.is_home(user.slot()), "{user:?} has his home elsewhere");
        if !self.held.contains_key(&user) {
            let phase = if load(core, user, None) { Phase::Loading } else { Phase::Unloaded };
            let used = self.order.add(user);
            let held = Held {
                phase,
                list: List::default(),
                arrived: VecDeque::new(),
                commands: VecDeque::new(),
                touched: false,
                used,
            };
            self.held.insert(user, held);
            if phase == Phase::Unloaded {
                self.touch(user);
            }
        }
        let held = self.held.get_mut(&user).expect("held now");
        held.used = self.order.tick();
        held
    }

    /// The end of the turn looks at this list.
    fn touch(&mut self, user: UserId) {
        let held = self.held.get_mut(&user).expect("only a list that is held is touched");
        if !std::mem::replace(&mut held.touched, true) {
            self.touched.push(user);
        }
    }

    /// Drops what was used longest ago, down to the bounds or to what is in use.
    fn evict(&mut self, core: &Core) {
        while self.held.len() > CONTACT_LISTS_CACHED_MAX || self.rows > CONTACT_ROWS_CACHED_MAX {
            let held = &self.held;
            let oldest = self.order.take_oldest(|user| match held.get(user) {
                None => Candidate::Gone,
                Some(held) if held.may_go(core, *user) => Candidate::Free { used: held.used },
                Some(_) => Candidate::Held,
            });
            let Some(held) = oldest.and_then(|user| self.held.remove(&user)) else { return };
            self.rows -= held.list.len();
        }
    }

    pub fn check_invariants(&self, core: &Core) {
        assert_eq!(self.order.len(), self.held.len());
        assert_eq!(self.touched.len(), self.held.values().filter(|held| held.touched).count());
        let mut rows = 0;
        for (user, held) in &self.held {
            assert!(core.is_home(user.slot()), "{user:?} has his home elsewhere");
            assert!(held.commands.len() <= QUEUED_PER_KEY_MAX);
            match held.phase {
                Phase::Ready => assert!(held.commands.is_empty(), "commands of {user:?} are stuck"),
                Phase::Loading => {}
                Phase::Unloaded => assert!(held.touched, "nobody reads the contacts of {user:?}"),
            }
            assert!(held.arrived.is_empty() || held.touched || held.phase == Phase::Loading);
            held.list.check_invariants();
            rows += held.list.len();
        }
        assert_eq!(rows, self.rows);
    }
}

impl Held {
    /// Nothing is lost when it leaves the memory.
    fn may_go(&self, core: &Core, user: UserId) -> bool {
        self.phase == Phase::Ready && !self.touched && core.is_committed(user.slot(), self.list.stamp)
    }
}

impl Work {
    fn run(self, core: &mut Core, caller: Caller, list: &mut List, rows: &mut usize) {
        match self {
            Work::Sync { cver, changes_max } => sync(core, caller, list, cver, changes_max),
            Work::Set { contact, remark, group } => {
                if list.row(contact).is_none_or(|row| row.view.is_empty()) {
                    return core.refuse_caller(caller, Refusal::NotContact, 0, 0);
                }
                if let Some(refusal) = core.write_refusal(caller.user.slot()) {
                    return core.refuse_caller(caller, refusal, 0, BUSY_RETRY_MS);
                }
                let gone = change(core, caller.user, list, rows, contact, |row| {
                    (row.remark, row.group) = (remark, group);
                });
                let row = list.row(contact).expect("changed a moment ago");
                let shown = shown(contact, row);
                let frame = core.encoder.contact_changed(caller.request, &shown);
                let (slot, stamp) = (caller.user.slot(), list.stamp);
                core.after(slot, stamp, After::Answer { caller, frame });
                let frame = Some(core.encoder.contact_changed(0, &shown));
                let except = Some(caller.place.session);
                let contact = (contact, is_contact(row_of(list, contact)));
                let written = Written { user: caller.user, frame, except, arrived: None, contact, gone };
                core.after(slot, stamp, After::Contact(written));
            }
        }
    }
}

/// Answers from the list, when all that the answer shows is on disk.
fn sync(core: &mut Core, caller: Caller, list: &List, cver: u64, changes_max: u32) {
    let changes_max = match changes_max {
        0 => CONTACTS_SYNCED_MAX,
        changes_max => changes_max.min(CONTACTS_SYNCED_MAX),
    };
    // A version that was never given: the client knows a list that was lost, and starts afresh.
    let from = if cver > list.cver() { 0 } else { cver };
    let mut changes = list.changes(from);
    let rows = changes.by_ref().take(changes_max as usize);
    let contacts: Vec<_> = rows.map(|(other, row)| shown(other, row)).collect();
    let more = changes.next().is_some();
    let to = contacts.last().filter(|_| more).map_or(list.cver(), |last| last.cver);
    let synced = ContactsSynced { from, to, more, contacts };
    let frame = core.encoder.contacts_synced(caller.request, &synced);
    core.after(caller.user.slot(), list.stamp, After::Answer { caller, frame });
}

/// Takes in all views that arrived. False when nothing may be written now.
fn take_arrived(core: &mut Core, user: UserId, held: &mut Held, rows: &mut usize) -> bool {
    while let Some(arrived) = held.arrived.pop_front() {
        let other = arrived.conversation.peer_of(user).expect("a user of the conversation");
        let list = &mut held.list;
        let is_known = list.row(other).is_some_and(|row| row.version >= arrived.version);
        let (mut frame, mut gone) = (None, None);
        if !is_known {
            if core.write_refusal(user.slot()).is_some() {
                held.arrived.push_front(arrived);
                return false;
            }
            let Arrived { version, view, .. } = arrived.clone();
            gone = change(core, user, list, rows, other, |row| {
                if view.is_empty() {
                    row.remark.clear();
                    row.group.clear();
                }
                (row.version, row.view) = (version, view);
            });
            let row = list.row(other).expect("changed a moment ago");
            frame = Some(core.encoder.contact_changed(0, &shown(other, row)));
        }
        // Also where it is known: what holds it may still be on its way to the disk.
        if core.is_committed(user.slot(), list.stamp) {
            let Arrived { conversation, version, from, .. } = arrived;
            core.control(from, MeshFrame::ContactViewDone { user, conversation, version });
        } else {
            let contact = (other, is_contact(row_of(list, other)));
            let written = Written { user, frame, except: None, arrived: Some(arrived), contact, gone };
            core.after(user.slot(), list.stamp, After::Contact(written));
        }
    }
    true
}

fn change(
    core: &mut Core,
    user: UserId,
    list: &mut List,
    rows: &mut usize,
    other: UserId,
    change: impl FnOnce(&mut Contact),
) -> Option<UserId> {
    *rows -= list.len();
    let gone = list.change(other, change);
    *rows += list.len();
    if let Some(gone) = gone {
        core.delete(&Key::Contact(user, gone));
    }
    core.put(&Key::Contact(user, other), list.row(other).expect("changed a moment ago"));
    list.stamp = core.stamp(user.slot());
    gone
}

fn row_of(list: &List, other: UserId) -> &Contact {
    list.row(other).expect("a row of the list")
}

/// Whether the presence of this one concerns the user.
pub(crate) fn is_contact(row: &Contact) -> bool {
    row.view.state == record::ContactState::Contact && !row.view.blocked
}

fn shown(user: UserId, row: &Contact) -> Shown {
    let View { state, blocked, since_ms, ref text } = row.view;
    Shown {
        user,
        cver: row.cver,
        state: state_of(state),
        blocked,
        since_ms,
        text: text.clone(),
        remark: row.remark.clone(),
        group: row.group.clone(),
    }
}

pub(crate) fn state_of(state: record::ContactState) -> wire::contact::ContactState {
    match state {
        record::ContactState::None => wire::contact::ContactState::None,
        record::ContactState::Requested => wire::contact::ContactState::Requested,
        record::ContactState::Asked => wire::contact::ContactState::Asked,
        record::ContactState::Contact => wire::contact::ContactState::Contact,
    }
}

/// Reads the rows behind a key, or from the first; false when too many reads are in flight.
fn load(core: &mut Core, user: UserId, behind: Option<&Bytes>) -> bool {
    let (first, to) = keys::contact_range(user);
    let from = behind.map_or(first, recovery::behind);
    let query = Query::Range { from, to, reverse: false, rows_max: LIST_ROWS, bytes_max: u32::MAX };
    core.load(user.slot(), vec![query], LoadFor::Contacts(user))
}
