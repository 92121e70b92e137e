//! Profiles, at the home of their user. None is kept in memory but while it is being changed: they are looked at rarely, and
//! a look is one read of the account, the profile and the row that says whether the caller is a contact, whoever is asked
//! for.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use ahash::AHashMap;
use bytes::Bytes;
use record::{Account, AccountState, Contact, ContactState, Key, Profile, Query, Record, RecordError, Rows};
use record::{StoreShardId, profile as stored};
use wire::profile::{self as told, ProfileChanged, ProfileFound};
use wire::{Refusal, SessionId, UserId};

use crate::bugs::Bug;
use crate::commits::Stamp;
use crate::core::{After, Core, FULL_RETRY_MS, LoadFor};
use crate::limits::{BUSY_RETRY_MS, PROFILES_CHANGING_MAX, QUEUED_PER_KEY_MAX};
use crate::list::Lists;
use crate::login::OpenSession;
use crate::mesh::Caller;

/// Whose load came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoadKey {
    /// The caller looks at this user.
    Look { caller: Caller, user: UserId },
    /// This user changes his own.
    Change(UserId),
}

/// A changed profile is on disk.
#[derive(Debug)]
pub(crate) struct Written {
    pub user: UserId,
    frame: Bytes,
    /// The session that changed it and is answered.
    except: SessionId,
}

/// Until what was changed is on disk.
#[derive(Debug, Default)]
struct Changing {
    /// The last one given; `None` until the profile is read.
    version: Option<u64>,
    stamp: Stamp,
    waiting: VecDeque<(Caller, Box<Profile>)>,
    /// The account was deleted while it was read: what was read may be from before.
    is_deleted: bool,
}

/// Profiles of the users of this shard that are being changed.
#[derive(Debug)]
pub(crate) struct Profiles {
    changing: AHashMap<UserId, Changing>,
}

impl Profiles {
    pub fn new(core: &mut Core) -> Self {
        Self { changing: AHashMap::with_hasher(core.rng.hasher()) }
    }

    pub fn handle_get(&mut self, core: &mut Core, caller: Caller, user: UserId) {
        let keys = [Key::Account(user), Key::Profile(user), Key::Contact(user, caller.user)];
        let queries = keys.iter().map(|key| Query::Get(key.bytes())).collect();
        if !core.load(user.slot(), queries, LoadFor::Profile(LoadKey::Look { caller, user })) {
            core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
    }

    /// Replaces the caller's own.
    pub fn handle_set(&mut self, core: &mut Core, caller: Caller, profile: Box<Profile>) {
        let user = caller.user;
        let room = self.changing.len() < PROFILES_CHANGING_MAX;
        match self.changing.get_mut(&user) {
            Some(changing) if changing.version.is_some() => change(core, changing, caller, *profile),
            Some(changing) if changing.waiting.len() < QUEUED_PER_KEY_MAX => {
                changing.waiting.push_back((caller, profile));
            }
            None if room && load_own(core, user) => {
                let waiting = VecDeque::from([(caller, profile)]);
                self.changing.insert(user, Changing { waiting, ..Changing::default() });
            }
            _ => core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS),
        }
    }

    pub fn handle_loaded(&mut self, core: &mut Core, key: LoadKey, rows: &[Rows]) {
        let done = match key {
            LoadKey::Look { caller, user } => look(core, caller, user, rows).map_err(|error| (user, error)),
            LoadKey::Change(user) => self.on_own_loaded(core, user, rows).map_err(|error| (user, error)),
        };
        if let Err((user, error)) = done {
            core.damaged(user.slot(), &format!("the profile of {user:?}: {error}"));
        }
    }

    fn on_own_loaded(&mut self, core: &mut Core, user: UserId, rows: &[Rows]) -> Result<(), RecordError> {
        let account = first::<Account>(&rows[0])?;
        let profile = first::<Profile>(&rows[1])?;
        let changing = self.changing.get_mut(&user).expect("it waits for this load");
        changing.version = Some(profile.map_or(0, |profile| profile.version));
        let is_active = account.is_some_and(|account| account.state == AccountState::Active);
        let is_active = is_active && !changing.is_deleted;
        for (caller, profile) in std::mem::take(&mut changing.waiting) {
            if is_active {
                change(core, changing, caller, *profile);
            } else {
                core.refuse_caller(caller, Refusal::SessionEnded, 0, 0);
            }
        }
        self.tidy(core, user);
        Ok(())
    }

    /// A batch is on disk: the user's other sessions are told.
    pub fn handle_written(
        &mut self,
        core: &mut Core,
        sessions: &[OpenSession],
        lists: &mut Lists,
        written: Written,
    ) {
        let Written { user, frame, except } = written;
        for session in sessions.iter().filter(|session| session.place.session != except) {
            lists.push_or_sync(core, &session.place, &frame);
        }
        self.tidy(core, user);
    }

    /// The account is deleted: what was set while that went to the disk goes as well.
    pub fn on_deleted(&mut self, core: &mut Core, user: UserId) {
        let Some(changing) = self.changing.get_mut(&user) else { return };
        changing.is_deleted = true;
        if changing.version.is_some() {
            self.changing.remove(&user);
            core.delete(&Key::Profile(user));
        }
    }

    /// What is on disk needs no place in memory.
    fn tidy(&mut self, core: &Core, user: UserId) {
        let is_done = |changing: &Changing| {
            changing.version.is_some() && core.is_committed(user.slot(), changing.stamp)
        };
        if self.changing.get(&user).is_some_and(is_done) {
            self.changing.remove(&user);
        }
    }

    /// A batch of this store shard was not written: versions are read anew when they are needed.
    pub fn forget(&mut self, core: &Core, store_shard: StoreShardId) {
        let is_there = |user: &UserId| core.store_shard(user.slot()) == store_shard;
        self.changing.retain(|user, changing| changing.version.is_none() || !is_there(user));
    }

    pub fn check_invariants(&self, core: &Core) {
        assert!(self.changing.len() <= PROFILES_CHANGING_MAX);
        for (user, changing) in &self.changing {
            assert!(core.is_home(user.slot()), "{user:?} has his home elsewhere");
            assert!(changing.waiting.len() <= QUEUED_PER_KEY_MAX);
            assert_eq!(changing.version.is_none(), !changing.waiting.is_empty(), "{user:?}");
            assert!(changing.version.is_none() || !core.is_committed(user.slot(), changing.stamp));
        }
    }
}

fn load_own(core: &mut Core, user: UserId) -> bool {
    let keys = [Key::Account(user), Key::Profile(user)];
    let queries = keys.iter().map(|key| Query::Get(key.bytes())).collect();
    core.load(user.slot(), queries, LoadFor::Profile(LoadKey::Change(user)))
}

fn change(core: &mut Core, changing: &mut Changing, caller: Caller, mut profile: Profile) {
    let user = caller.user;
    if let Some(refusal) = core.write_refusal(user.slot()) {
        return core.refuse_caller(caller, refusal, 0, FULL_RETRY_MS as u32);
    }
    profile.version = changing.version.expect("it was read") + 1;
    changing.version = Some(profile.version);
    core.put(&Key::Profile(user), &profile);
    changing.stamp = core.stamp(user.slot());
    let changed = ProfileChanged { version: profile.version, profile: to_tell(profile) };
    let frame = core.encoder.profile_changed(caller.request, &changed);
    core.after(user.slot(), changing.stamp, After::Answer { caller, frame });
    let frame = core.encoder.profile_changed(0, &changed);
    let written = Written { user, frame, except: caller.place.session };
    core.after(user.slot(), changing.stamp, After::Profile(written));
}

/// Answers from one snapshot of the disk.
fn look(core: &mut Core, caller: Caller, user: UserId, rows: &[Rows]) -> Result<(), RecordError> {
    let Some(account) = first::<Account>(&rows[0])? else {
        core.refuse_caller(caller, Refusal::UnknownUser, 0, 0);
        return Ok(());
    };
    let profile = first::<Profile>(&rows[1])?.unwrap_or_default();
    // A block of his does not show: who was a contact before goes on seeing what contacts see.
    let row = first::<Contact>(&rows[2])?;
    let is_contact = row.is_some_and(|row| {
        row.view.state == ContactState::Contact
            || (row.view.state == ContactState::None && core.bug(Bug::ShowToFormerContact))
    });
    let deleted = account.state == AccountState::Deleted;
    let profile = match (deleted, user == caller.user) {
        (true, _) => Profile::default().seen_by(false),
        (false, true) => profile,
        (false, false) => profile.seen_by(is_contact),
    };
    let (name, version) = (account.name, profile.version);
    let found = ProfileFound { user, name, deleted, version, profile: to_tell(profile) };
    let frame = core.encoder.profile_found(caller.request, &found);
    core.answer(caller, frame);
    Ok(())
}

fn first<R: Record>(rows: &Rows) -> Result<Option<R>, RecordError> {
    rows.rows.first().map(|row| R::decode(&row.value)).transpose()
}

// ---- between what is stored and what is told ------------------------------------------------------------------------

/// A profile of a body as it is stored; `None` when a value is not known here.
pub(crate) fn to_store(profile: told::Profile) -> Option<Profile> {
    let told::Profile { nickname, gender, avatar, signature, email, phone, fields } = profile;
    let text = |shown: told::Shown<String>| {
        Some(stored::Shown { value: shown.value, to: audience_to_store(shown.to)? })
    };
    let fields = fields.into_iter().map(|told::ProfileField { name, value, to }| {
        Some(stored::ProfileField { name, value, to: audience_to_store(to)? })
    });
    Some(Profile {
        version: 0,
        nickname: text(nickname)?,
        gender: stored::Shown { value: gender_to_store(gender.value)?, to: audience_to_store(gender.to)? },
        avatar: text(avatar)?,
        signature: text(signature)?,
        email: text(email)?,
        phone: text(phone)?,
        fields: fields.collect::<Option<_>>()?,
    })
}

fn to_tell(profile: Profile) -> told::Profile {
    let text =
        |shown: stored::Shown<String>| told::Shown { value: shown.value, to: audience_to_tell(shown.to) };
    let fields = profile.fields.into_iter().map(|stored::ProfileField { name, value, to }| {
        told::ProfileField { name, value, to: audience_to_tell(to) }
    });
    let gender = match profile.gender.value {
        stored::Gender::Unsaid => told::Gender::Unsaid,
        stored::Gender::Female => told::Gender::Female,
        stored::Gender::Male => told::Gender::Male,
        stored::Gender::Other => told::Gender::Other,
    };
    told::Profile {
        nickname: text(profile.nickname),
        gender: told::Shown { value: gender, to: audience_to_tell(profile.gender.to) },
        avatar: text(profile.avatar),
        signature: text(profile.signature),
        email: text(profile.email),
        phone: text(profile.phone),
        fields: fields.collect(),
    }
}

fn audience_to_store(audience: told::Audience) -> Option<stored::Audience> {
    match audience {
        told::Audience::Everybody => Some(stored::Audience::Everybody),
        told::Audience::Contacts => Some(stored::Audience::Contacts),
        told::Audience::Nobody => Some(stored::Audience::Nobody),
        _ => None,
    }
}

fn audience_to_tell(audience: stored::Audience) -> told::Audience {
    match audience {
        stored::Audience::Everybody => told::Audience::Everybody,
        stored::Audience::Contacts => told::Audience::Contacts,
        stored::Audience::Nobody => told::Audience::Nobody,
    }
}

fn gender_to_store(gender: told::Gender) -> Option<stored::Gender> {
    match gender {
        told::Gender::Unsaid => Some(stored::Gender::Unsaid),
        told::Gender::Female => Some(stored::Gender::Female),
        told::Gender::Male => Some(stored::Gender::Male),
        told::Gender::Other => Some(stored::Gender::Other),
        _ => None,
    }
}
