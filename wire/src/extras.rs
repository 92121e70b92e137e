//! What few entries have: what they are about, whom they mention, where they come from, and what became of them.

use crate::generated as fb;
use crate::ids::UserId;
use crate::limits::MENTIONS_MAX;

/// In `mentions`: everybody in the conversation.
pub const EVERYBODY: UserId = UserId(u64::MAX);

/// Where a forwarded message comes from, in the words of the one who forwards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub sender: UserId,
    /// When it was sent there, Unix milliseconds.
    pub time_ms: u64,
}

/// An entry without any of it has no `Extras`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Seq of the message that a recall, an edit, a reaction is about; 0: none.
    pub target: u64,
    /// Seq of the message that this one answers; 0: none.
    pub reply_to: u64,
    /// At most [`MENTIONS_MAX`]; may hold [`EVERYBODY`].
    pub mentions: Vec<UserId>,
    pub forwarded: Option<Forwarded>,
    /// Seq of the last edit, whose body this entry has; 0: it is as it was sent.
    pub edited: u64,
    /// Seq of the recall: the body is gone; 0: it was not recalled.
    pub recalled: u64,
}

impl Extras {
    /// Of a recall, an edit, a reaction.
    pub fn about(target: u64) -> Self {
        Self { target, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `None` when there is nothing in it.
    pub fn boxed(self) -> Option<Box<Self>> {
        (!self.is_empty()).then(|| Box::new(self))
    }

    /// Whether this user is mentioned, by name or with everybody.
    pub fn mentions(&self, user: UserId) -> bool {
        self.mentions.iter().any(|mentioned| *mentioned == user || *mentioned == EVERYBODY)
    }

    /// Bytes that it needs in a frame, and a few more.
    pub fn frame_len(&self) -> usize {
        128 + 8 * self.mentions.len()
    }
}

/// More than [`MENTIONS_MAX`] are told as they are: the node refuses them.
pub fn extras(view: fb::Extras<'_>) -> Extras {
    let mentions =
        view.mentions().map(|mentions| mentions.iter().take(MENTIONS_MAX + 1).map(UserId).collect());
    let forwarded =
        |from: &fb::Forwarded| Forwarded { sender: UserId(from.sender()), time_ms: from.time_ms() };
    Extras {
        target: view.target(),
        reply_to: view.reply_to(),
        mentions: mentions.unwrap_or_default(),
        forwarded: view.forwarded().map(forwarded),
        edited: view.edited(),
        recalled: view.recalled(),
    }
}

pub(crate) fn put(
    builder: &mut crate::encode::Builder,
    extras: &Extras,
) -> flatbuffers::WIPOffset<fb::Extras<'static>> {
    let mentions: Vec<u64> = extras.mentions.iter().map(|user| user.0).collect();
    let mentions = (!mentions.is_empty()).then(|| builder.create_vector(&mentions));
    let forwarded = extras.forwarded.map(|from| fb::Forwarded::new(from.sender.0, from.time_ms));
    let args = fb::ExtrasArgs {
        target: extras.target,
        reply_to: extras.reply_to,
        mentions,
        forwarded: forwarded.as_ref(),
        edited: extras.edited,
        recalled: extras.recalled,
    };
    fb::Extras::create(builder, &args)
}
