//! Notices: what their bodies say, and their frames. Their messages travel as those of other conversations do.

use bytes::Bytes;

use crate::body;
use crate::decode::DecodeError;
use crate::encode::Encoder;
use crate::generated as fb;
use crate::ids::ConversationId;
use crate::message::BodyKind;

/// A notice for those who are online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Of the notices it would stand in.
    pub conversation: ConversationId,
    /// When the node took it, Unix milliseconds.
    pub time_ms: u64,
    pub body_kind: BodyKind,
    pub body: Bytes,
}

impl Encoder {
    pub fn set_adverts(&mut self, request: u32, off: bool) -> Bytes {
        self.command::<body::SetAdverts>(request, &[], |b| {
            fb::SetAdverts::create(b, &fb::SetAdvertsArgs { off })
        })
    }

    /// `request` is 0 for other devices than the one that set it.
    pub fn adverts_set(&mut self, request: u32, off: bool) -> Bytes {
        self.event::<body::AdvertsSet>(request, |b| fb::AdvertsSet::create(b, &fb::AdvertsSetArgs { off }))
    }

    pub fn announced(
        &mut self,
        conversation: ConversationId,
        time_ms: u64,
        body_kind: BodyKind,
        body: &[u8],
    ) -> Bytes {
        self.event::<body::Announced>(0, |b| {
            let body = Some(b.create_vector(body));
            let conversation = Some(&conversation.into());
            fb::Announced::create(b, &fb::AnnouncedArgs { conversation, time_ms, body_kind, body })
        })
    }
}

pub(crate) fn announced(view: fb::Announced<'_>) -> Result<Announced, DecodeError> {
    let missing = DecodeError::Missing { event: crate::Event::Announced, field: "conversation" };
    Ok(Announced {
        conversation: view.conversation().map(ConversationId::from).ok_or(missing)?,
        time_ms: view.time_ms(),
        body_kind: view.body_kind(),
        body: view.body().map(|body| Bytes::copy_from_slice(body.bytes())).unwrap_or_default(),
    })
}
