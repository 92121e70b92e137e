//! The hash of a body, which stands in its entry and in what is remembered of its send.

use wire::extras::Extras;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// XXH3-64 of a body, seeded with its kind. Tells a repeat of a send from the reuse of its counter; part of the disk
/// format.
pub fn body_hash(body_kind: u8, body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, u64::from(body_kind))
}

/// The same of a send with extras, around the hash of its body.
pub fn send_hash(kind: u8, body_hash: u64, extras: &Extras) -> u64 {
    let forwarded = extras.forwarded.map_or([0; 2], |from| [from.sender.0, from.time_ms]);
    let mut told = vec![body_hash, extras.target, extras.reply_to, forwarded[0], forwarded[1]];
    told.extend(extras.mentions.iter().map(|user| user.0));
    let bytes: Vec<u8> = told.iter().flat_map(|field| field.to_le_bytes()).collect();
    xxh3_64_with_seed(&bytes, u64::from(kind))
}

/// The same of a body that comes in parts.
pub(crate) struct BodyHasher(Box<Xxh3>);

impl BodyHasher {
    pub fn new(body_kind: u8) -> Self {
        Self(Box::new(Xxh3::with_seed(u64::from(body_kind))))
    }

    pub fn add(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub fn hash(&self) -> u64 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_send_with_extras_stays_and_tells_them_apart() {
        let hash = |change: fn(&mut Extras)| {
            let mut extras = Extras::about(3);
            change(&mut extras);
            send_hash(3, 77, &extras)
        };
        let plain = hash(|_| ());
        assert_eq!(plain, HASH_OF_AN_EDIT);
        assert_ne!(plain, hash(|extras| extras.target = 4));
        assert_ne!(plain, hash(|extras| extras.reply_to = 1));
        assert_ne!(plain, hash(|extras| extras.mentions.push(wire::UserId(9))));
        assert_ne!(plain, send_hash(4, 77, &Extras::about(3)));
    }

    const HASH_OF_AN_EDIT: u64 = 8_724_068_506_523_110_319;

    #[test]
    fn the_hash_stays_and_parts_add_up() {
        assert_eq!(body_hash(1, b"hello"), 8_408_359_951_548_325_522);
        assert_eq!(body_hash(2, b"hello"), 6_529_381_446_613_994_088);
        let body: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
        let mut hasher = BodyHasher::new(2);
        body.chunks(3_900).for_each(|part| hasher.add(part));
        assert_eq!(hasher.hash(), body_hash(2, &body));
    }
}
