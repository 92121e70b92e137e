//! Says of most keys that a run of rows does not have that it does not have them.
//!
//! A Bloom filter in blocks of one word, so that a question costs one look into memory (Putze, Sanders, Singler: Cache-,
//! Hash- and Space-Efficient Bloom Filters, 2007). With ten bits per key about one answer in fifty is a needless yes.
//! Beside the keys it holds how they begin, for questions about ranges.

use xxhash_rust::xxh3::xxh3_64;

const BITS_PER_KEY: usize = 10;
/// Lengths of beginnings that are held: slot and table with a user, and with a conversation. Ranges of keys are about
/// one of them.
const BEGINNINGS: [usize; 2] = [11, 19];

#[derive(Debug)]
pub(super) struct Filter {
    words: Box<[u64]>,
}

impl Filter {
    /// For keys in their order.
    pub(super) fn of<'a>(keys: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let mut held = 0;
        for_each_held(keys.clone(), |_| held += 1);
        let mut filter = Self { words: vec![0; (held * BITS_PER_KEY).div_ceil(64).max(1)].into() };
        for_each_held(keys, |bytes| {
            let (word, bits) = filter.place_of(bytes);
            filter.words[word] |= bits;
        });
        filter
    }

    /// False if none of the keys is this one.
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        let (word, bits) = self.place_of(key);
        self.words[word] & bits == bits
    }

    /// False if none of the keys is at `from` or behind it and before `to`.
    pub(super) fn may_have_any(&self, from: &[u8], to: &[u8]) -> bool {
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        let beginning = BEGINNINGS.iter().rev().find(|len| **len <= shared);
        beginning.is_none_or(|len| self.may_have(&from[..*len]))
    }

    /// A word, and four bits of it.
    fn place_of(&self, bytes: &[u8]) -> (usize, u64) {
        let hash = xxh3_64(bytes);
        let word = (u128::from(hash) * self.words.len() as u128) >> 64;
        let bits = (0..4).fold(0, |bits, n| bits | 1 << (hash >> (6 * n) & 63));
        (word as usize, bits)
    }
}

fn for_each_held<'a>(keys: impl Iterator<Item = &'a [u8]>, mut hold: impl FnMut(&'a [u8])) {
    let mut before: [&[u8]; BEGINNINGS.len()] = [&[]; BEGINNINGS.len()];
    for key in keys {
        hold(key);
        for (before, len) in before.iter_mut().zip(BEGINNINGS) {
            if let Some(beginning) = key.get(..len)
                && *before != beginning
            {
                hold(beginning);
                *before = beginning;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_never_denied_and_what_is_not_mostly_is() {
        let key = |user: u64, other: u64| format!("slt{user:08}{other:08}-tail").into_bytes();
        let keys: Vec<_> = (0..1_000).flat_map(|user| (0..3).map(move |n| key(user * 2, n * 5))).collect();
        let filter = Filter::of(keys.iter().map(|key| &key[..]));
        assert!(keys.iter().all(|key| filter.may_have(key)));
        let end = |mut key: Vec<u8>| {
            *key.last_mut().unwrap() += 1;
            key
        };
        let mut needless = [0; 3];
        for user in 0..1_000 {
            assert!(filter.may_have_any(&key(user * 2, 5), &end(key(user * 2, 5))));
            assert!(filter.may_have_any(&key(user * 2, 0), &key(user * 2, 99)), "the user");
            needless[0] += usize::from(filter.may_have(&key(user * 2, 6)));
            needless[1] += usize::from(filter.may_have_any(&key(user * 2, 6), &end(key(user * 2, 6))));
            needless[2] += usize::from(filter.may_have_any(&key(user * 2 + 1, 0), &key(user * 2 + 1, 99)));
        }
        assert!(needless.iter().all(|count| *count < 60), "{needless:?} of 1,000");
        assert!(filter.may_have_any(b"slt", b"slu"), "a range of many users is not denied");
        assert!(!Filter::of(std::iter::empty()).may_have(b"any"));
    }
}
