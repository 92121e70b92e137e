//! Who is online, at each user's home: his own state, and a set of his contacts with what is known of each.
//!
//! A user who comes online is told to the homes of his contacts, which answer with the states of those who have him as
//! contact and are online. From then on each home tells the others when a state changes. Whoever is invisible is told as
//! hidden: he is shown to nobody, and learns how the others are. Nothing of this is durable but the user's own state.
//!
//! What one home believes of another home's user follows from the last thing that came in the lane between the two, so it is
//! right when that lane is empty. Where it did not keep up, both sides tell each other anew (see `lane`).

mod find;
mod lane;
mod own;
#[cfg(test)]
mod tests;
mod texts;
mod watched;

use std::collections::{BTreeMap, VecDeque};

use record::{Contact, Key, Query, Record, Rows, keys};
use wire::presence::{Presence, PresenceState};
use wire::{ShardAddress, Slot, UserId};

use crate::bugs::Bug;
use crate::contact::is_contact;
use crate::core::{Core, LoadFor};
use crate::limits::{
    PRESENCE_CONTACTS_MAX, PRESENCE_EXCHANGED_PER_TURN, PRESENCE_LOADS_MAX, PRESENCE_PENDING_MAX,
    PRESENCE_ROWS, PRESENCE_TOLD_PER_TURN, PRESENCE_USERS_PER_LOAD_MAX,
};
use crate::login::{Logins, OpenSession};
use crate::mesh::{MeshFrame, PresenceFrame, PresencePush, SessionPlace, Told, Wants};
use crate::recovery;
use crate::stats::TableStats;

use self::lane::{Lanes, Next, Pushes};
use self::own::Command;
pub(crate) use self::own::Written;
use self::texts::Texts;
pub use self::watched::Seen;
use self::watched::{Mark, Watched};

/// One user with a session, or whose state is on its way to the disk.
#[derive(Debug)]
struct Person {
    /// He has a session.
    here: bool,
    /// As it is on disk. `None` while it is being read.
    own: Option<Box<record::Presence>>,
    /// On its way to the disk.
    next: Option<Box<record::Presence>>,
    /// While his contacts are being read.
    reading: Option<Box<Reading>>,
    watched: Watched,
    /// His state has changed since he came: who answers him may have been told an older one.
    changed: bool,
    /// He is among those whose sessions are to be told.
    untold: bool,
    /// His account is gone: nothing more is written of him.
    is_deleted: bool,
}

/// How far a user's contacts are read.
#[derive(Debug, Default)]
struct Reading {
    /// A read is on its way.
    loading: bool,
    /// He went meanwhile: what comes is of no use, and it begins anew.
    again: bool,
    /// What is behind this key was not read.
    behind: Option<bytes::Bytes>,
    /// Contacts that came or went meanwhile: newer than what comes.
    changed: BTreeMap<u32, bool>,
    commands: VecDeque<Command>,
}

/// One of the users of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    user: UserId,
    /// His own state is read beside his contacts.
    with_own: bool,
}

/// The presence of the users whose home is here.
#[derive(Debug)]
pub(crate) struct Presences {
    people: BTreeMap<u32, Person>,
    /// Those whose contacts wait to be read.
    arriving: VecDeque<u32>,
    /// Loads in flight, each of one user or more.
    loads: usize,
    lanes: Lanes,
    texts: Texts,
    /// Users whose sessions are to be told, each once.
    untold: VecDeque<u32>,
    told_left: usize,
    /// Contacts in all sets.
    contacts: usize,
}

impl Presences {
    pub fn new(core: &mut Core) -> Self {
        Self {
            people: BTreeMap::new(),
            arriving: VecDeque::new(),
            loads: 0,
            lanes: Lanes::new(core),
            texts: Texts::new(core),
            untold: VecDeque::new(),
            told_left: 0,
            contacts: 0,
        }
    }

    /// What is in memory.
    pub fn tables(&self) -> [TableStats; 2] {
        [
            TableStats::new("presence_contacts", self.contacts, PRESENCE_CONTACTS_MAX),
            TableStats::new("presence_pending", self.lanes.pending(), PRESENCE_PENDING_MAX),
        ]
    }

    /// What did not fit into a turn goes on at once.
    pub fn next_deadline(&self, now_ms: u64) -> Option<u64> {
        let waits = self.lanes.has_local_work() || (self.told_left == 0 && !self.untold.is_empty());
        waits.then_some(now_ms)
    }

    // ---- coming and going ------------------------------------------------------------------------------------------

    /// A session of this user was opened.
    pub fn handle_opened(&mut self, core: &mut Core, user: UserId, place: SessionPlace) {
        let Some(id) = id_of(user) else { return };
        let person = self.people.entry(id).or_insert_with(|| Person {
            here: false,
            own: None,
            next: None,
            reading: None,
            watched: Watched::default(),
            changed: false,
            untold: false,
            is_deleted: false,
        });
        if let Some(own) = &person.own {
            tell_standing(core, &place, own.status);
        }
        if !std::mem::replace(&mut person.here, true) && person.reading.is_none() {
            person.reading = Some(Box::default());
            self.arriving.push_back(id);
        }
    }

    /// The last session of this user is gone.
    pub fn handle_gone(&mut self, core: &mut Core, user: UserId) {
        let Some(id) = id_of(user) else { return };
        let Some(person) = self.people.get_mut(&id) else { return };
        if !std::mem::replace(&mut person.here, false) {
            return;
        }
        if let Some(reading) = &mut person.reading {
            (reading.again, reading.changed) = (true, BTreeMap::new());
        }
        (person.untold, person.changed) = (false, false);
        let watched = std::mem::take(&mut person.watched);
        self.contacts -= watched.len();
        for (other, mark) in watched.iter() {
            self.texts.release(other, mark);
            if mark.seen() != Seen::Offline && !mark.is_leaving() && !core.bug(Bug::ForgetGoodbye) {
                push(&mut self.lanes, core, (id, other), Wants::Nothing);
            }
        }
        self.write_last_seen(core, id);
        self.forget_if_done(id);
    }

    /// The account is deleted: what was written while that went to the disk goes as well.
    pub fn on_deleted(&mut self, core: &mut Core, user: UserId) {
        let Some(person) = id_of(user).and_then(|id| self.people.get_mut(&id)) else { return };
        person.is_deleted = true;
        if person.next.is_some() {
            core.delete(&Key::Presence(user));
        }
    }

    /// Nobody needs to know any more of somebody who is not here.
    fn forget_if_done(&mut self, id: u32) {
        let done = |person: &Person| !person.here && person.next.is_none() && person.reading.is_none();
        if self.people.get(&id).is_some_and(done) {
            self.people.remove(&id);
        }
    }

    /// Reads contacts of those who came, as far as there is room: those of one store shard together.
    fn read_arriving(&mut self, core: &mut Core) {
        if self.arriving.is_empty() || self.loads >= PRESENCE_LOADS_MAX || !core.may_load() {
            return;
        }
        self.arriving.make_contiguous().sort_by_key(|id| core.store_shard(slot_of(*id)));
        while self.loads < PRESENCE_LOADS_MAX
            && core.may_load()
            && let Some(first) = self.arriving.front().copied()
        {
            let store_shard = core.store_shard(slot_of(first));
            let (mut arrivals, mut queries) = (Vec::new(), Vec::new());
            while arrivals.len() < PRESENCE_USERS_PER_LOAD_MAX
                && let Some(id) = self.arriving.front().copied()
                && core.store_shard(slot_of(id)) == store_shard
            {
                self.arriving.pop_front();
                arrivals.push(self.begin_reading(id, &mut queries));
            }
            let loads = core.load(slot_of(first), queries, LoadFor::Presence(arrivals));
            assert!(loads, "there was room a moment ago");
            self.loads += 1;
        }
    }

    /// The next part of this user's contacts, the first time with his own state.
    fn begin_reading(&mut self, id: u32, queries: &mut Vec<Query>) -> Arrival {
        let user = UserId(u64::from(id));
        let person = self.people.get_mut(&id).expect("who arrives is kept");
        let reading = person.reading.as_mut().expect("his contacts are to be read");
        assert!(!reading.loading);
        reading.loading = true;
        let begins_anew = std::mem::take(&mut reading.again);
        let behind = reading.behind.take().filter(|_| !begins_anew);
        queries.push(contacts_behind(user, behind.as_ref()));
        let with_own = person.own.is_none();
        if with_own {
            queries.push(Query::Get(Key::Presence(user).bytes()));
        }
        Arrival { user, with_own }
    }

    /// Parts of the contacts of these users were read.
    pub fn handle_loaded(&mut self, core: &mut Core, logins: &Logins, arrivals: &[Arrival], rows: &[Rows]) {
        self.loads -= 1;
        let mut rows = rows.iter();
        for arrival in arrivals {
            let contacts = rows.next().expect("an answer to each query");
            let own = arrival.with_own.then(|| rows.next().expect("an answer to each query"));
            self.on_read(core, logins.sessions(arrival.user), arrival.user, contacts, own);
        }
    }

    fn on_read(
        &mut self,
        core: &mut Core,
        sessions: &[OpenSession],
        user: UserId,
        contacts: &Rows,
        own: Option<&Rows>,
    ) {
        let id = id_of(user).expect("only users are read");
        let person = self.people.get_mut(&id).expect("who is being read is kept");
        if let Some(own) = own {
            let own = own
                .rows
                .first()
                .map_or(Ok(record::Presence::default()), |row| record::Presence::decode(&row.value));
            let Ok(own) = own else {
                return core.damaged(user.slot(), &format!("the presence of {user:?} cannot be read"));
            };
            sessions.iter().for_each(|open| tell_standing(core, &open.place, own.status));
            person.own = Some(Box::new(own));
        }
        let reading = person.reading.as_mut().expect("a part of what is being read");
        reading.loading = false;
        let commands = std::mem::take(&mut reading.commands);
        if !person.here {
            person.reading = None;
            // At his end nothing was known of him yet.
            if own.is_some() {
                self.write_last_seen(core, id);
            }
            self.forget_if_done(id);
        } else if reading.again {
            self.arriving.push_back(id);
        } else if let Err(reason) = self.take_contacts(core, user, contacts) {
            return core.damaged(user.slot(), &reason);
        }
        for command in commands {
            self.run(core, command);
        }
    }

    fn take_contacts(&mut self, core: &mut Core, user: UserId, rows: &Rows) -> Result<(), String> {
        let id = id_of(user).expect("only users are read");
        let person = self.people.get_mut(&id).expect("who is being read is kept");
        let reading = person.reading.as_mut().expect("a part of what is being read");
        let mut found = Vec::new();
        for row in &rows.rows {
            let (key, contact) = (Key::parse(&row.key), Contact::decode(&row.value));
            let (Some(Key::Contact(_, other)), Ok(contact)) = (key, contact) else {
                return Err(format!("a contact of {user:?} cannot be read"));
            };
            let Some(other) = id_of(other) else { continue };
            if is_contact(&contact) && !reading.changed.contains_key(&other) {
                found.push(other);
            }
        }
        match rows.rows.last().filter(|_| rows.more) {
            Some(last) => {
                reading.behind = Some(last.key.clone());
                self.arriving.push_back(id);
            }
            None => {
                let changed = reading.changed.iter().filter(|(_, stays)| **stays);
                found.extend(changed.map(|(other, _)| *other));
                person.reading = None;
            }
        }
        person.watched.reserve(found.len());
        for other in found {
            self.add(core, id, other);
        }
        Ok(())
    }

    /// A row of a user's contacts is on disk.
    pub fn handle_contact(&mut self, core: &mut Core, user: UserId, other: UserId, stays: bool) {
        let (Some(id), Some(other)) = (id_of(user), id_of(other)) else { return };
        let Some(person) = self.people.get_mut(&id).filter(|person| person.here) else { return };
        if let Some(reading) = &mut person.reading {
            reading.changed.insert(other, stays);
        }
        if stays {
            self.add(core, id, other);
            return;
        }
        let Some(mark) = person.watched.find(other) else { return };
        let seen = mark.seen();
        self.texts.release(other, *mark);
        let was_shown = seen.shown() != PresenceState::Offline || mark.is_untold();
        if was_shown {
            *mark = mark.with_seen(Seen::Offline, false).leaving().untold();
            note_untold(&mut self.untold, id, person);
        } else {
            person.watched.remove(other);
            self.contacts -= 1;
        }
        if seen != Seen::Offline {
            push(&mut self.lanes, core, (id, other), Wants::Nothing);
        }
    }

    /// A contact of somebody who is here: they are told to each other.
    fn add(&mut self, core: &mut Core, id: u32, other: u32) {
        let person = self.people.get_mut(&id).expect("somebody who is here");
        let is_full = self.contacts >= PRESENCE_CONTACTS_MAX;
        let before = person.watched.len();
        if (is_full && person.watched.find_any(other).is_none()) || !person.watched.add(other) {
            return;
        }
        self.contacts += person.watched.len() - before;
        push(&mut self.lanes, core, (id, other), Wants::Answer);
    }

    // ---- between homes ---------------------------------------------------------------------------------------------

    /// What others' homes say, and what their users want to know.
    pub fn handle_told(&mut self, core: &mut Core, from: ShardAddress, lost: bool, told: &[Told]) {
        if from != core.address {
            self.lanes.on_received(from);
        }
        if lost {
            self.lanes.handle_lost(from);
        }
        for one in told {
            for (watcher, wants) in &one.watchers {
                self.on_told(core, *watcher, one, *wants);
            }
        }
    }

    fn on_told(&mut self, core: &mut Core, watcher: u32, told: &Told, wants: Wants) {
        let Told { subject, seen, text, .. } = told;
        let person = self.people.get_mut(&watcher).filter(|person| person.here);
        let Some((person, mark)) = person.and_then(|person| {
            let mark = *person.watched.find(*subject)?;
            Some((person, mark))
        }) else {
            // He believes that the watcher is here for him.
            if wants == Wants::Nothing && *seen != Seen::Offline {
                push(&mut self.lanes, core, (watcher, *subject), Wants::Nothing);
            }
            return;
        };
        let new = mark.with_seen(*seen, self.texts.replace(*subject, mark, text.as_ref()));
        // A text may be another one: it is kept once for all who watch him.
        let is_news = new.seen().shown() != mark.seen().shown() || new.has_text() || mark.has_text();
        let place = person.watched.find(*subject).expect("found above");
        *place = if is_news { new.untold() } else { new };
        if is_news {
            note_untold(&mut self.untold, watcher, person);
        }
        // An answer may cross a change, which is told only to those who are known to be here.
        let is_answer = wants != Wants::Answer && mark.seen() == Seen::Offline;
        let repeats = is_answer && person.changed && !core.bug(Bug::ForgetCrossing);
        if *seen != Seen::Offline && (wants == Wants::Answer || repeats) {
            push(&mut self.lanes, core, (watcher, *subject), Wants::Nothing);
        }
    }

    /// What a user is for another one, now.
    fn seen_by(&self, id: u32, other: u32) -> (Seen, &str) {
        let person = self.people.get(&id).filter(|person| person.here);
        let own = person.filter(|person| person.watched.mark(other).is_some());
        match own.and_then(|person| person.own.as_deref()) {
            None => (Seen::Offline, ""),
            Some(own) => match Seen::of(own.status) {
                Seen::Hidden => (Seen::Hidden, ""),
                seen => (seen, &own.text),
            },
        }
    }

    pub fn handle_credit(&mut self, from: ShardAddress, taken: u64) {
        self.lanes.handle_credit(from, taken);
    }

    /// Frames of the ephemeral lane were taken from these shards.
    pub fn credits_to_tell(&mut self, tell: impl FnMut(u16, u64)) {
        self.lanes.credits_to_tell(tell);
    }

    /// Events for sessions came from another shard.
    pub fn on_pushes_received(&mut self, core: &Core, from: ShardAddress) {
        if from != core.address {
            self.lanes.on_received(from);
        }
    }

    // ---- the end of a turn -----------------------------------------------------------------------------------------

    /// Once at the end of a turn, before [`Presences::end_turn`].
    pub fn start_turn_end(&mut self) {
        self.lanes.start_turn_end();
        self.told_left = PRESENCE_TOLD_PER_TURN;
    }

    /// Reads, tells the other homes and the sessions, as far as a turn allows.
    pub fn end_turn(&mut self, core: &mut Core, logins: &Logins) {
        self.read_arriving(core);
        self.go_on_exchanging(core);
        for next in self.lanes.take(core.address.node) {
            let frame = self.frame_of(&next);
            core.ephemeral(next.to, frame);
        }
        self.tell_sessions(core, logins);
    }

    fn frame_of(&self, next: &Next) -> MeshFrame {
        let mut told: Vec<Told> = Vec::new();
        for ((subject, watcher), wants) in &next.pairs {
            let (seen, text) = self.seen_by(*subject, *watcher);
            match told.last_mut() {
                // Pairs of one user follow each other, and nearly all are told the same.
                Some(last) if last.subject == *subject && last.seen == seen => {
                    last.watchers.push((*watcher, *wants));
                }
                _ => {
                    let text = (!text.is_empty()).then(|| text.into());
                    told.push(Told { subject: *subject, seen, text, watchers: vec![(*watcher, *wants)] });
                }
            }
        }
        MeshFrame::Presence(PresenceFrame::Told { lost: next.lost, told })
    }

    /// Goes through the users here for a peer that lost something, or at which something was lost.
    fn go_on_exchanging(&mut self, core: &mut Core) {
        let (mut after, mut left) = (0, PRESENCE_EXCHANGED_PER_TURN);
        while left > 0
            && let Some((peer, behind)) = self.lanes.next_exchange(after)
        {
            left -= 1;
            let Some((id, person)) = self.people.range(behind.saturating_add(1)..).next() else {
                self.lanes.end_exchange(peer);
                after = peer + 1;
                continue;
            };
            let (id, to) = (*id, ShardAddress { node: core.address.node, shard: peer });
            let there =
                person.watched.iter().filter(|(other, _)| core.home(UserId(u64::from(*other)).slot()) == to);
            let pairs = there.map(|(other, mark)| {
                // Who is here is told by his own home, which exchanges too.
                let is_believed_here = mark.seen() != Seen::Offline;
                ((id, other), if is_believed_here { Wants::Nothing } else { Wants::Silence })
            });
            self.lanes.exchange(peer, id, pairs);
        }
    }

    /// Tells the sessions of users whose contacts changed, all of a user's changes in one event.
    fn tell_sessions(&mut self, core: &mut Core, logins: &Logins) {
        if self.untold.is_empty() {
            return;
        }
        let mut pushes: BTreeMap<ShardAddress, Pushes> = BTreeMap::new();
        let mut later = Vec::new();
        while self.told_left > 0
            && let Some(id) = self.untold.pop_front()
        {
            // Or he went, and nobody is to be told.
            let Some(person) = self.people.get_mut(&id).filter(|person| person.untold) else { continue };
            person.untold = false;
            let sessions = logins.sessions(UserId(u64::from(id)));
            if !sessions.iter().all(|session| self.lanes.has_credit(session.place.shard)) {
                person.untold = true;
                later.push(id);
                continue;
            }
            self.told_left -= 1;
            for frames in self.take_events(core, id) {
                for session in sessions.iter().map(|open| &open.place) {
                    let (connection, session_id) = (session.connection, session.session);
                    let push = PresencePush { connection, session: session_id, frames: frames.clone() };
                    pushes.entry(session.shard).or_default().add(push);
                }
            }
        }
        self.untold.extend(later);
        for (shard, pushes) in pushes {
            for pushes in pushes.into_frames() {
                self.lanes.on_sent(shard);
                core.ephemeral(shard, MeshFrame::Presence(PresenceFrame::Push(pushes)));
            }
        }
    }

    /// What this user's sessions do not know yet.
    fn take_events(&mut self, core: &mut Core, id: u32) -> Vec<bytes::Bytes> {
        let person = self.people.get_mut(&id).expect("somebody who is kept");
        let untold: Vec<(u32, Mark)> = person.watched.iter().filter(|(_, mark)| mark.is_untold()).collect();
        for (other, mark) in &untold {
            if mark.is_leaving() {
                person.watched.remove(*other);
                self.contacts -= 1;
            } else {
                let place = person.watched.find(*other).expect("it was there");
                *place = place.told();
            }
        }
        let texts = &self.texts;
        let contacts: Vec<_> = untold.iter().map(|(other, mark)| shown(texts, *other, *mark)).collect();
        let chunks = contacts.chunks(wire::limits::PRESENCES_MAX as usize);
        core.counters.presence_events += contacts.len() as u64;
        chunks.map(|contacts| core.encoder.presence_changed(contacts)).collect()
    }

    pub fn check_invariants(&self, core: &Core) {
        self.lanes.check_invariants();
        let mut contacts = 0;
        let mut untold = 0;
        let mut loads = 0;
        for (id, person) in &self.people {
            assert!(core.is_home(UserId(u64::from(*id)).slot()), "user {id} has his home elsewhere");
            assert!(person.here || person.next.is_some() || person.reading.is_some());
            assert!(person.here || person.watched.len() == 0);
            assert!(person.own.is_some() || person.reading.is_some(), "nobody reads the state of user {id}");
            person.watched.check_invariants();
            contacts += person.watched.len();
            untold += usize::from(person.untold);
            loads += usize::from(person.reading.as_ref().is_some_and(|reading| reading.loading));
        }
        assert_eq!(contacts, self.contacts);
        assert!((self.loads..=self.loads * PRESENCE_USERS_PER_LOAD_MAX).contains(&loads));
        assert!(untold <= self.untold.len(), "somebody is never told");
        self.texts.check_invariants(self.people.values().flat_map(|person| person.watched.iter()));
    }
}

fn id_of(user: UserId) -> Option<u32> {
    user.is_valid().then(|| u32::try_from(user.0).ok()).flatten()
}

fn slot_of(id: u32) -> Slot {
    UserId(u64::from(id)).slot()
}

fn contacts_behind(user: UserId, behind: Option<&bytes::Bytes>) -> Query {
    let (first, to) = keys::contact_range(user);
    let from = behind.map_or(first, recovery::behind);
    Query::Range { from, to, reverse: false, rows_max: PRESENCE_ROWS, bytes_max: u32::MAX }
}

fn push(lanes: &mut Lanes, core: &mut Core, pair: lane::Pair, wants: Wants) {
    let to = core.home(UserId(u64::from(pair.1)).slot());
    lanes.push(core, to, pair, wants);
}

fn note_untold(untold: &mut VecDeque<u32>, id: u32, person: &mut Person) {
    if !std::mem::replace(&mut person.untold, true) {
        untold.push_back(id);
    }
}

/// As the user's sessions see this contact.
fn shown(texts: &Texts, other: u32, mark: Mark) -> Presence {
    let state = mark.seen().shown();
    let text = texts.find(other).filter(|_| state != PresenceState::Offline && mark.has_text());
    Presence { user: UserId(u64::from(other)), state, text: text.unwrap_or_default().to_owned() }
}

/// The shard of a session is told whether others may see its user's marks.
fn tell_standing(core: &mut Core, place: &SessionPlace, status: record::Status) {
    let (connection, session) = (place.connection, place.session);
    let hidden = status == record::Status::Invisible;
    core.control(place.shard, MeshFrame::Presence(PresenceFrame::Standing { connection, session, hidden }));
}
