//! Profiles: what their bodies say, and their frames.

use bytes::Bytes;
use flatbuffers::WIPOffset;

use crate::body;
use crate::decode::DecodeError;
use crate::encode::{Builder, Encoder};
use crate::generated as fb;
use crate::ids::UserId;

pub use crate::generated::{Audience, Gender};

/// A value and who may see it. To others the audience reads as everybody.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Shown<T> {
    pub value: T,
    pub to: Audience,
}

impl<T> Shown<T> {
    pub fn new(value: impl Into<T>, to: Audience) -> Self {
        Self { value: value.into(), to }
    }
}

/// A field that the user named himself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileField {
    pub name: String,
    pub value: String,
    pub to: Audience,
}

/// What a user tells of himself. What the reader may not see is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub nickname: Shown<String>,
    pub gender: Shown<Gender>,
    /// A reference that clients understand.
    pub avatar: Shown<String>,
    pub signature: Shown<String>,
    pub email: Shown<String>,
    pub phone: Shown<String>,
    pub fields: Vec<ProfileField>,
}

/// Nothing said; e-mail and phone, once said, for contacts only.
impl Default for Profile {
    fn default() -> Self {
        let open = || Shown { value: String::new(), to: Audience::Everybody };
        let closer = || Shown { value: String::new(), to: Audience::Contacts };
        Self {
            nickname: open(),
            gender: Shown { value: Gender::Unsaid, to: Audience::Everybody },
            avatar: open(),
            signature: open(),
            email: closer(),
            phone: closer(),
            fields: Vec::new(),
        }
    }
}

/// The user's own profile, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileChanged {
    /// Rises with each change.
    pub version: u64,
    pub profile: Profile,
}

/// Somebody's profile as the caller may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileFound {
    pub user: UserId,
    pub name: String,
    /// The account is gone; nothing else is told.
    pub deleted: bool,
    /// 0: nothing was ever set.
    pub version: u64,
    pub profile: Profile,
}

impl Encoder {
    pub fn set_profile(&mut self, request: u32, profile: &Profile) -> Bytes {
        self.command::<body::SetProfile>(request, &[], |b| {
            let profile = put_profile(b, profile);
            fb::SetProfile::create(b, &fb::SetProfileArgs { profile: Some(profile) })
        })
    }

    pub fn get_profile(&mut self, request: u32, user: UserId) -> Bytes {
        self.command::<body::GetProfile>(request, &user.0.to_le_bytes(), |b| {
            fb::GetProfile::create(b, &fb::GetProfileArgs::default())
        })
    }

    /// `request` is 0 for other devices than the one that set it.
    pub fn profile_changed(&mut self, request: u32, changed: &ProfileChanged) -> Bytes {
        self.event::<body::ProfileChanged>(request, |b| {
            let profile = Some(put_profile(b, &changed.profile));
            fb::ProfileChanged::create(b, &fb::ProfileChangedArgs { version: changed.version, profile })
        })
    }

    pub fn profile_found(&mut self, request: u32, found: &ProfileFound) -> Bytes {
        self.event::<body::ProfileFound>(request, |b| {
            let ProfileFound { user, name, deleted, version, profile } = found;
            let (name, profile) = (Some(b.create_string(name)), Some(put_profile(b, profile)));
            fb::ProfileFound::create(
                b,
                &fb::ProfileFoundArgs { user: user.0, name, deleted: *deleted, version: *version, profile },
            )
        })
    }
}

fn put_profile<'b>(b: &mut Builder, profile: &Profile) -> WIPOffset<fb::Profile<'b>> {
    let Profile { nickname, gender, avatar, signature, email, phone, fields } = profile;
    let fields: Vec<_> = fields.iter().map(|field| put_field(b, field)).collect();
    let args = fb::ProfileArgs {
        nickname: Some(b.create_string(&nickname.value)),
        nickname_to: nickname.to,
        gender: gender.value,
        gender_to: gender.to,
        avatar: Some(b.create_string(&avatar.value)),
        avatar_to: avatar.to,
        signature: Some(b.create_string(&signature.value)),
        signature_to: signature.to,
        email: Some(b.create_string(&email.value)),
        email_to: email.to,
        phone: Some(b.create_string(&phone.value)),
        phone_to: phone.to,
        fields: Some(b.create_vector(&fields)),
    };
    fb::Profile::create(b, &args)
}

fn put_field<'b>(b: &mut Builder, field: &ProfileField) -> WIPOffset<fb::ProfileField<'b>> {
    let (name, value) = (b.create_string(&field.name), b.create_string(&field.value));
    let args = fb::ProfileFieldArgs { name: Some(name), value: Some(value), audience: field.to };
    fb::ProfileField::create(b, &args)
}

/// A profile in a body. Audiences and genders of a later version are as they came.
pub fn profile(view: fb::Profile<'_>) -> Profile {
    let shown = |text: Option<&str>, to| Shown { value: text.unwrap_or_default().to_owned(), to };
    let field = |view: fb::ProfileField<'_>| ProfileField {
        name: view.name().unwrap_or_default().to_owned(),
        value: view.value().unwrap_or_default().to_owned(),
        to: view.audience(),
    };
    Profile {
        nickname: shown(view.nickname(), view.nickname_to()),
        gender: Shown { value: view.gender(), to: view.gender_to() },
        avatar: shown(view.avatar(), view.avatar_to()),
        signature: shown(view.signature(), view.signature_to()),
        email: shown(view.email(), view.email_to()),
        phone: shown(view.phone(), view.phone_to()),
        fields: view.fields().map(|fields| fields.iter().map(field).collect()).unwrap_or_default(),
    }
}

pub(crate) fn profile_changed(view: fb::ProfileChanged<'_>) -> Result<ProfileChanged, DecodeError> {
    let event = crate::command::Event::ProfileChanged;
    let told = view.profile().ok_or(DecodeError::Missing { event, field: "profile" })?;
    Ok(ProfileChanged { version: view.version(), profile: profile(told) })
}

pub(crate) fn profile_found(view: fb::ProfileFound<'_>) -> ProfileFound {
    ProfileFound {
        user: UserId(view.user()),
        name: view.name().unwrap_or_default().to_owned(),
        deleted: view.deleted(),
        version: view.version(),
        profile: view.profile().map(profile).unwrap_or_default(),
    }
}
