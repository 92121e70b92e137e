//! Randomness from the operating system, for keys, salts and seeds.

use rand::TryRngCore;
use rand::rngs::OsRng;

/// Fresh random bytes.
///
/// # Panics
/// If the operating system has none: nothing secret could be made.
pub fn entropy<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
