//! Profiles: what somebody is shown of one is what he may see of it, and was on disk.

use record::{Account, Batch, ContactState, Key, Profile, Record};
use store::MemoryStore;
use wire::profile::{self as told, ProfileChanged, ProfileFound};
use wire::{EventBody, UserId};

use super::{Model, disk};
use crate::sim::network::LinkId;

/// A stored profile as it is told.
fn told_of(profile: &Profile) -> told::Profile {
    let audience = |to| match to {
        record::Audience::Everybody => told::Audience::Everybody,
        record::Audience::Contacts => told::Audience::Contacts,
        record::Audience::Nobody => told::Audience::Nobody,
    };
    let text =
        |shown: &record::Shown<String>| told::Shown { value: shown.value.clone(), to: audience(shown.to) };
    let gender = match profile.gender.value {
        record::Gender::Unsaid => told::Gender::Unsaid,
        record::Gender::Female => told::Gender::Female,
        record::Gender::Male => told::Gender::Male,
        record::Gender::Other => told::Gender::Other,
    };
    let fields = profile.fields.iter().map(|field| told::ProfileField {
        name: field.name.clone(),
        value: field.value.clone(),
        to: audience(field.to),
    });
    told::Profile {
        nickname: text(&profile.nickname),
        gender: told::Shown { value: gender, to: audience(profile.gender.to) },
        avatar: text(&profile.avatar),
        signature: text(&profile.signature),
        email: text(&profile.email),
        phone: text(&profile.phone),
        fields: fields.collect(),
    }
}

impl Model {
    /// A batch goes to the disk: its profiles are what answers may show from then on.
    pub fn note_profiles(&mut self, batch: &Batch) {
        for op in batch.ops.iter() {
            let (Some(key), Some(value)) = (Key::parse(op.key), op.value) else { continue };
            if let Key::Profile(user) = key {
                let profile = Profile::decode(value).expect("the shard writes what can be read");
                self.profiles.entry((user, profile.version)).or_default().push(profile);
            }
        }
    }

    pub fn check_profile_event(&mut self, store: &MemoryStore, link: LinkId, event: &EventBody) {
        let Some(caller) = self.identities.get(&link).map(|identity| identity.user) else {
            return self.violate(format!("{event:?} is shown to nobody"));
        };
        match event {
            EventBody::ProfileChanged(changed) => self.check_own(store, caller, changed),
            EventBody::ProfileFound(found) => self.check_found(store, caller, found),
            _ => unreachable!("only events of profiles come here"),
        }
    }

    fn check_own(&mut self, store: &MemoryStore, caller: UserId, changed: &ProfileChanged) {
        let now = disk::record::<Profile>(store, &Key::Profile(caller)).map_or(0, |known| known.version);
        let written = self.profiles.get(&(caller, changed.version));
        let same = written.is_some_and(|all| all.iter().any(|one| told_of(one) == changed.profile));
        self.violation_if(!same || now < changed.version, || {
            format!("{changed:?} is shown to {caller:?}, on disk is version {now}")
        });
    }

    fn check_found(&mut self, store: &MemoryStore, caller: UserId, found: &ProfileFound) {
        let account = disk::record::<Account>(store, &Key::Account(found.user));
        self.violation_if(account.is_none_or(|account| account.name != found.name), || {
            format!("{found:?} is shown, and the account on disk is another one")
        });
        let written = match self.profiles.get(&(found.user, found.version)) {
            _ if found.version == 0 => vec![Profile::default()],
            Some(written) => written.clone(),
            None => Vec::new(),
        };
        let knows = self.row_was(store, found.user, caller, |row| row.view.state == ContactState::Contact);
        let same = written.iter().any(|profile| {
            let mut views = vec![profile.seen_by(false)];
            if knows {
                views.push(profile.seen_by(true));
            }
            if caller == found.user {
                views = vec![profile.clone()];
            }
            views.iter().any(|view| told_of(view) == found.profile)
        });
        self.violation_if(!same, || {
            format!("{found:?} is shown to {caller:?} (a contact: {knows}), written was {written:?}")
        });
    }
}
