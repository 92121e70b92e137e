//! The user's own state, and the page of who is online.

use record::{Key, LastSeenFor, Presence, Status};
use wire::limits::PRESENCES_MAX;
use wire::presence::{OwnPresence, PresenceState, PresenceSynced, PresenceWish};
use wire::{Refusal, UserId};

use super::watched::Seen;
use super::{Presences, id_of, push, shown, tell_standing};
use crate::bugs::Bug;
use crate::core::{After, Core, FULL_RETRY_MS};
use crate::limits::{BUSY_RETRY_MS, QUEUED_PER_KEY_MAX};
use crate::list::Lists;
use crate::login::OpenSession;
use crate::mesh::{Caller, Wants};

/// Of the caller, about himself.
#[derive(Debug)]
pub(super) enum Command {
    Set { caller: Caller, wish: PresenceWish },
    Sync { caller: Caller, after: u64, contacts_max: u32 },
}

impl Command {
    fn caller(&self) -> Caller {
        match self {
            Command::Set { caller, .. } | Command::Sync { caller, .. } => *caller,
        }
    }
}

/// A user's state is on disk.
#[derive(Debug)]
pub(crate) struct Written {
    pub user: UserId,
    presence: Box<Presence>,
    /// Who is answered; nobody where the user only left.
    caller: Option<Caller>,
}

impl Presences {
    pub fn handle_set(&mut self, core: &mut Core, caller: Caller, wish: PresenceWish) {
        self.handle(core, Command::Set { caller, wish });
    }

    pub fn handle_sync(&mut self, core: &mut Core, caller: Caller, after: u64, contacts_max: u32) {
        self.handle(core, Command::Sync { caller, after, contacts_max });
    }

    /// Runs it now, or when the user's state was read.
    fn handle(&mut self, core: &mut Core, command: Command) {
        let caller = command.caller();
        let person = id_of(caller.user).and_then(|id| self.people.get_mut(&id));
        match person.and_then(|person| person.reading.as_mut().filter(|_| person.own.is_none())) {
            None => self.run(core, command),
            Some(reading) if reading.commands.len() >= QUEUED_PER_KEY_MAX => {
                core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS);
            }
            Some(reading) => reading.commands.push_back(command),
        }
    }

    pub(super) fn run(&mut self, core: &mut Core, command: Command) {
        let caller = command.caller();
        let known = |id: &u32| self.people.get(id).is_some_and(|person| person.own.is_some());
        // Whose session has ended meanwhile is not there any more.
        let Some(id) = id_of(caller.user).filter(known) else {
            return core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS);
        };
        match command {
            Command::Set { caller, wish } => self.set(core, id, caller, wish),
            Command::Sync { caller, after, contacts_max } => {
                self.sync(core, id, caller, after, contacts_max);
            }
        }
    }

    fn set(&mut self, core: &mut Core, id: u32, caller: Caller, wish: PresenceWish) {
        let person = self.people.get_mut(&id).expect("it was found");
        let before = person.next.as_ref().or(person.own.as_ref()).expect("it was read");
        let mut after = before.clone();
        after.status = wish.state.and_then(status_of).unwrap_or(before.status);
        after.last_seen_for = wish.last_seen.and_then(audience_of).unwrap_or(before.last_seen_for);
        if let Some(text) = wish.text {
            after.text = text;
        }
        if after.status == Status::Invisible && before.status != Status::Invisible {
            after.last_seen_ms = core.now.wall_ms; // for others he leaves now
        }
        let user = caller.user;
        if person.is_deleted {
            return core.refuse_caller(caller, Refusal::SessionEnded, 0, 0);
        }
        if let Some(refusal) = core.write_refusal(user.slot()) {
            return core.refuse_caller(caller, refusal, 0, BUSY_RETRY_MS);
        }
        core.put(&Key::Presence(user), &*after);
        person.next = Some(after.clone());
        let written = Written { user, presence: after, caller: Some(caller) };
        core.after(user.slot(), core.stamp(user.slot()), After::Presence(written));
    }

    /// Answers from the set. What is read meanwhile comes as events.
    fn sync(&mut self, core: &mut Core, id: u32, caller: Caller, after: u64, contacts_max: u32) {
        let contacts_max = match contacts_max {
            0 => PRESENCES_MAX,
            contacts_max => contacts_max.min(PRESENCES_MAX),
        };
        let person = &self.people[&id];
        let is_online = |seen: Seen| {
            seen.shown() != PresenceState::Offline || (seen == Seen::Hidden && core.bug(Bug::ShowHidden))
        };
        let online = person.watched.behind(after);
        let mut online = online.filter(|(_, mark)| is_online(mark.seen()) && !mark.is_leaving());
        let texts = &self.texts;
        let page = online.by_ref().take(contacts_max as usize);
        let mut contacts: Vec<_> = page.map(|(other, mark)| shown(texts, other, mark)).collect();
        if core.bug(Bug::ShowHidden) {
            contacts.iter_mut().for_each(|contact| contact.state = PresenceState::Online);
        }
        let more = online.next().is_some();
        let to = contacts.last().filter(|_| more).map_or(u64::MAX, |last| last.user.0);
        let own = own(person.own.as_ref().expect("it was read"));
        let synced = PresenceSynced { after, to, more, own, contacts };
        let frame = core.encoder.presence_synced(caller.request, &synced);
        core.answer(caller, frame);
    }

    /// A state is on disk: from now on it is his.
    pub fn handle_written(
        &mut self,
        core: &mut Core,
        sessions: &[OpenSession],
        lists: &mut Lists,
        written: Written,
    ) {
        let Written { user, presence, caller } = written;
        let shown = own(&presence);
        let id = id_of(user).expect("a user who has a state");
        if let Some(person) = self.people.get_mut(&id) {
            if person.next.as_ref() == Some(&presence) {
                person.next = None;
            }
            let status = presence.status;
            let before = person.own.replace(presence);
            let changed =
                before.as_ref().is_none_or(|before| before.status != status || before.text != shown.text);
            if before.is_none_or(|before| before.status != status) {
                sessions.iter().for_each(|open| tell_standing(core, &open.place, status));
            }
            person.changed |= changed;
            if changed {
                for (other, mark) in person.watched.iter().filter(|(_, mark)| !mark.is_leaving()) {
                    if mark.seen() != Seen::Offline {
                        push(&mut self.lanes, core, (id, other), Wants::Nothing);
                    }
                }
            }
            self.forget_if_done(id);
        }
        let Some(caller) = caller else { return };
        let frame = core.encoder.presence_set(caller.request, &shown);
        core.answer(caller, frame);
        let frame = core.encoder.presence_set(0, &shown);
        let others = sessions.iter().map(|open| &open.place);
        for session in others.filter(|place| place.session != caller.place.session) {
            lists.push_or_sync(core, session, &frame);
        }
    }

    /// A state was not written, since the disk is full: it stays as it was.
    pub fn handle_refused(&mut self, core: &mut Core, written: Written) {
        let id = id_of(written.user).expect("a user who has a state");
        if let Some(person) = self.people.get_mut(&id) {
            person.next = None;
            self.forget_if_done(id);
        }
        if let Some(caller) = written.caller {
            core.refuse_caller(caller, Refusal::StorageFull, 0, FULL_RETRY_MS as u32);
        }
    }

    /// He is gone: others saw him until now. Where nothing may be written now, it is left as it was.
    pub(super) fn write_last_seen(&mut self, core: &mut Core, id: u32) {
        let user = UserId(u64::from(id));
        let Some(person) = self.people.get_mut(&id) else { return };
        let Some(before) = person.next.as_ref().or(person.own.as_ref()) else { return };
        let is_hidden = before.status == Status::Invisible && !core.bug(Bug::SeenWhileHidden);
        if person.is_deleted || is_hidden || core.write_refusal(user.slot()).is_some() {
            return;
        }
        let presence = Box::new(Presence { last_seen_ms: core.now.wall_ms, ..(**before).clone() });
        core.put(&Key::Presence(user), &*presence);
        person.next = Some(presence.clone());
        let written = Written { user, presence, caller: None };
        core.after_unhurried(user.slot(), core.stamp(user.slot()), After::Presence(written));
    }
}

fn status_of(state: PresenceState) -> Option<Status> {
    match state {
        PresenceState::Online => Some(Status::Online),
        PresenceState::Away => Some(Status::Away),
        PresenceState::Busy => Some(Status::Busy),
        PresenceState::Invisible => Some(Status::Invisible),
        _ => None,
    }
}

fn state_of(status: Status) -> PresenceState {
    match status {
        Status::Online => PresenceState::Online,
        Status::Away => PresenceState::Away,
        Status::Busy => PresenceState::Busy,
        Status::Invisible => PresenceState::Invisible,
    }
}

fn audience_of(last_seen: wire::presence::LastSeenFor) -> Option<LastSeenFor> {
    use wire::presence::LastSeenFor as Wire;
    match last_seen {
        Wire::Nobody => Some(LastSeenFor::Nobody),
        Wire::Contacts => Some(LastSeenFor::Contacts),
        Wire::Everybody => Some(LastSeenFor::Everybody),
        _ => None,
    }
}

/// As the user himself sees it.
pub(super) fn own(presence: &Presence) -> OwnPresence {
    use wire::presence::LastSeenFor as Wire;
    OwnPresence {
        state: state_of(presence.status),
        text: presence.text.clone(),
        last_seen: match presence.last_seen_for {
            LastSeenFor::Nobody => Wire::Nobody,
            LastSeenFor::Contacts => Wire::Contacts,
            LastSeenFor::Everybody => Wire::Everybody,
        },
    }
}
