//! A body is verified once, where it enters the node, and carried as [`Verified`] from then on.

use std::marker::PhantomData;

use bytes::Bytes;
use flatbuffers::{Follow, SkipSizePrefix, Verifiable, Verifier, VerifierOptions};

use crate::limits;

/// A kind of body. `View` reads it in place.
pub trait Body: 'static {
    type View<'a>: Follow<'a, Inner = Self::View<'a>> + Verifiable + 'a;
}

/// The body is not what it claims to be: cut short, trailing bytes, offsets out of range, wrong types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body does not verify")]
pub struct Unverifiable;

/// Bytes that were verified as a `B`. Cloning shares the bytes.
pub struct Verified<B: Body> {
    bytes: Bytes,
    body: PhantomData<fn() -> B>,
}

impl<B: Body> Clone for Verified<B> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), body: PhantomData }
    }
}

impl<B: Body> std::fmt::Debug for Verified<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verified({} bytes)", self.bytes.len())
    }
}

impl<B: Body> Verified<B> {
    /// Takes a size-prefixed FlatBuffer that fills `bytes` exactly.
    pub fn new(bytes: Bytes) -> Result<Self, Unverifiable> {
        verify::<B>(&bytes)?;
        Ok(Self { bytes, body: PhantomData })
    }

    /// Bytes of the whole body.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn view(&self) -> B::View<'_> {
        // SAFETY: `new` verified exactly these bytes as a `B`, and `Bytes` cannot change.
        unsafe { root_unchecked::<B>(&self.bytes) }
    }
}

/// Verifies and reads borrowed bytes in place.
pub fn view<B: Body>(bytes: &[u8]) -> Result<B::View<'_>, Unverifiable> {
    verify::<B>(bytes)?;
    // SAFETY: verified on the line above.
    Ok(unsafe { root_unchecked::<B>(bytes) })
}

fn verify<B: Body>(bytes: &[u8]) -> Result<(), Unverifiable> {
    let (size, rest) = bytes.split_first_chunk::<4>().ok_or(Unverifiable)?;
    if u32::from_le_bytes(*size) as usize != rest.len() {
        return Err(Unverifiable);
    }
    let options = VerifierOptions {
        max_depth: limits::BODY_DEPTH_MAX,
        max_tables: limits::BODY_TABLES_MAX,
        max_apparent_size: limits::FRAME_LEN_MAX * 2,
        ignore_missing_null_terminator: false,
    };
    let mut verifier = Verifier::new(&options, bytes);
    <SkipSizePrefix<flatbuffers::ForwardsUOffset<B::View<'_>>> as Verifiable>::run_verifier(&mut verifier, 0)
        .map_err(|_| Unverifiable)
}

/// # Safety
/// `bytes` must have passed [`verify`] as a `B`.
unsafe fn root_unchecked<B: Body>(bytes: &[u8]) -> B::View<'_> {
    // SAFETY: the caller's promise.
    unsafe { <SkipSizePrefix<flatbuffers::ForwardsUOffset<B::View<'_>>>>::follow(bytes, 0) }
}
