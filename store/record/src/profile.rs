//! What a user tells of himself, and who may see which field of it.

use rkyv::{Archive, Deserialize, Serialize};
use wire::limits::{
    PROFILE_CONTACT_LEN_MAX, PROFILE_FIELD_NAME_LEN_MAX, PROFILE_FIELD_VALUE_LEN_MAX, PROFILE_FIELDS_MAX,
    PROFILE_NICKNAME_LEN_MAX, PROFILE_TEXT_LEN_MAX,
};

use crate::records::{Record, RecordError, record};

/// Who may see a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub enum Audience {
    Everybody,
    /// Those who are contacts of the user.
    #[default]
    Contacts,
    /// The user alone.
    Nobody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub enum Gender {
    #[default]
    Unsaid,
    Female,
    Male,
    Other,
}

/// A value and who may see it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Archive, Serialize, Deserialize)]
pub struct Shown<T> {
    pub value: T,
    pub to: Audience,
}

/// A field that the user named himself.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ProfileField {
    pub name: String,
    pub value: String,
    pub to: Audience,
}

/// The profile of a user. No record: nothing was ever set.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Profile {
    /// Rises with each change.
    pub version: u64,
    pub nickname: Shown<String>,
    pub gender: Shown<Gender>,
    /// A reference that clients understand.
    pub avatar: Shown<String>,
    pub signature: Shown<String>,
    pub email: Shown<String>,
    pub phone: Shown<String>,
    /// In the user's order, at most [`PROFILE_FIELDS_MAX`].
    pub fields: Vec<ProfileField>,
}
record!(Profile, Profile, 1);

impl Default for Profile {
    fn default() -> Self {
        let open = || Shown { value: String::new(), to: Audience::Everybody };
        Self {
            version: 0,
            nickname: open(),
            gender: Shown { value: Gender::default(), to: Audience::Everybody },
            avatar: open(),
            signature: open(),
            email: Shown::default(),
            phone: Shown::default(),
            fields: Vec::new(),
        }
    }
}

impl Profile {
    /// Whether it keeps its limits; the limit it breaks otherwise.
    pub fn check(&self) -> Result<(), usize> {
        let texts = [
            (&self.nickname.value, PROFILE_NICKNAME_LEN_MAX),
            (&self.avatar.value, PROFILE_TEXT_LEN_MAX),
            (&self.signature.value, PROFILE_TEXT_LEN_MAX),
            (&self.email.value, PROFILE_CONTACT_LEN_MAX),
            (&self.phone.value, PROFILE_CONTACT_LEN_MAX),
        ];
        let named = self.fields.iter().flat_map(|field| {
            [(&field.name, PROFILE_FIELD_NAME_LEN_MAX), (&field.value, PROFILE_FIELD_VALUE_LEN_MAX)]
        });
        if let Some((_, len_max)) = texts.into_iter().chain(named).find(|(text, max)| text.len() > *max) {
            return Err(len_max);
        }
        let is_named = |field: &ProfileField| !field.name.is_empty();
        if self.fields.len() > PROFILE_FIELDS_MAX || !self.fields.iter().all(is_named) {
            return Err(PROFILE_FIELDS_MAX);
        }
        Ok(())
    }

    /// What somebody else may see of it. Who may not see a field cannot tell whether there is one, nor who may.
    pub fn seen_by(&self, is_contact: bool) -> Profile {
        let may_see = |to: Audience| match to {
            Audience::Everybody => true,
            Audience::Contacts => is_contact,
            Audience::Nobody => false,
        };
        let text = |shown: &Shown<String>| Shown {
            value: if may_see(shown.to) { shown.value.clone() } else { String::new() },
            to: Audience::Everybody,
        };
        let gender = if may_see(self.gender.to) { self.gender.value } else { Gender::Unsaid };
        let fields = self.fields.iter().filter(|field| may_see(field.to));
        Profile {
            version: self.version,
            nickname: text(&self.nickname),
            gender: Shown { value: gender, to: Audience::Everybody },
            avatar: text(&self.avatar),
            signature: text(&self.signature),
            email: text(&self.email),
            phone: text(&self.phone),
            fields: fields.map(|field| ProfileField { to: Audience::Everybody, ..field.clone() }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::VALUE_LEN_MAX;

    fn full() -> Profile {
        let shown = |len, to| Shown { value: "x".repeat(len), to };
        let field = |to| ProfileField {
            name: "n".repeat(PROFILE_FIELD_NAME_LEN_MAX),
            value: "v".repeat(PROFILE_FIELD_VALUE_LEN_MAX),
            to,
        };
        Profile {
            version: 3,
            nickname: shown(PROFILE_NICKNAME_LEN_MAX, Audience::Everybody),
            gender: Shown { value: Gender::Female, to: Audience::Contacts },
            avatar: shown(PROFILE_TEXT_LEN_MAX, Audience::Contacts),
            signature: shown(PROFILE_TEXT_LEN_MAX, Audience::Everybody),
            email: shown(PROFILE_CONTACT_LEN_MAX, Audience::Contacts),
            phone: shown(PROFILE_CONTACT_LEN_MAX, Audience::Nobody),
            fields: [Audience::Everybody, Audience::Contacts, Audience::Nobody, Audience::Contacts]
                .into_iter()
                .cycle()
                .take(PROFILE_FIELDS_MAX)
                .map(field)
                .collect(),
        }
    }

    #[test]
    fn the_fullest_one_fits_a_value_and_one_more_is_too_much() {
        let full = full();
        assert_eq!(full.check(), Ok(()));
        assert!(full.encode().len() <= VALUE_LEN_MAX, "{} bytes", full.encode().len());
        assert_eq!(Profile::decode(&full.encode()), Ok(full.clone()));
        let mut more = full.clone();
        more.signature.value.push('x');
        assert_eq!(more.check(), Err(PROFILE_TEXT_LEN_MAX));
        let mut more = full.clone();
        more.fields.push(more.fields[0].clone());
        assert_eq!(more.check(), Err(PROFILE_FIELDS_MAX));
        let mut nameless = full;
        nameless.fields[0].name.clear();
        assert_eq!(nameless.check(), Err(PROFILE_FIELDS_MAX));
    }

    #[test]
    fn others_see_what_they_may_and_nothing_of_the_rest() {
        let full = full();
        let (contact, stranger) = (full.seen_by(true), full.seen_by(false));
        assert_eq!((contact.phone.value.len(), stranger.phone.value.len()), (0, 0));
        assert_eq!((contact.email.value.len(), stranger.email.value.len()), (PROFILE_CONTACT_LEN_MAX, 0));
        assert_eq!((contact.gender.value, stranger.gender.value), (Gender::Female, Gender::Unsaid));
        assert_eq!(contact.nickname, stranger.nickname);
        assert_eq!((contact.fields.len(), stranger.fields.len()), (9, 3));
        let open = [contact.phone.to, contact.email.to, stranger.email.to, stranger.gender.to];
        assert_eq!(open, [Audience::Everybody; 4], "whom he shows it to is his own business");
        assert!(stranger.fields.iter().all(|field| field.to == Audience::Everybody));
    }

    /// The bytes on disk of version 1. They never change; a new version gets bytes of its own beside these.
    #[test]
    fn golden_bytes() {
        let profile = Profile {
            version: 2,
            nickname: Shown { value: "Annie".into(), to: Audience::Everybody },
            fields: vec![ProfileField { name: "city".into(), value: "Ulm".into(), to: Audience::Nobody }],
            ..Profile::default()
        };
        let hex: String = profile.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    const GOLDEN: &str = concat!(
        "0b0163697479ffffffff556c6dffffffffff020200000000000000416e6e6965ffffff000000ffffffffffffffff00",
        "ffffffffffffffff00ffffffffffffffff01ffffffffffffffff01b8ffffff01000000"
    );
}
