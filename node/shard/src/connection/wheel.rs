//! Deadlines of connections: a wheel that is swept once per tick. A connection is in it at most once; what it hears
//! meanwhile does not touch the wheel, since its deadline is looked at again when its place comes by.

/// Milliseconds of one place.
const PLACE_MS: u64 = 256;
/// Places: 131 s. A later deadline waits in the last one and is put back from there.
const PLACES: usize = 512;
const WORDS: usize = PLACES / 64;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    behind: u32,
    /// `PLACES` when it is nowhere.
    place: u16,
}

const UNLINKED: Link = Link { before: NONE, behind: NONE, place: PLACES as u16 };

#[derive(Debug)]
pub(super) struct Wheel {
    /// First connection of each place.
    heads: Box<[u32; PLACES]>,
    /// Which places are not empty.
    occupied: [u64; WORDS],
    /// By index of the connection.
    links: Vec<Link>,
    len: usize,
    /// The next turn (place of all time) to be swept.
    next_turn: u64,
}

impl Wheel {
    pub fn new() -> Self {
        Self {
            heads: Box::new([NONE; PLACES]),
            occupied: [0; WORDS],
            links: Vec::new(),
            len: 0,
            next_turn: 0,
        }
    }

    /// Looks at this connection when `deadline_ms` has passed, and perhaps before.
    pub fn set(&mut self, now_ms: u64, index: u32, deadline_ms: u64) {
        self.clear(index);
        if self.len == 0 {
            self.next_turn = now_ms / PLACE_MS + 1;
        }
        let last_turn = self.next_turn + PLACES as u64 - 1;
        let turn = deadline_ms.div_ceil(PLACE_MS).clamp(self.next_turn, last_turn);
        let place = (turn % PLACES as u64) as usize;
        if self.links.len() <= index as usize {
            self.links.resize(index as usize + 1, UNLINKED);
        }
        let behind = self.heads[place];
        if behind != NONE {
            self.links[behind as usize].before = index;
        }
        self.links[index as usize] = Link { before: NONE, behind, place: place as u16 };
        self.heads[place] = index;
        self.occupied[place / 64] |= 1 << (place % 64);
        self.len += 1;
    }

    pub fn clear(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index as usize) else { return };
        let Link { before, behind, place } = std::mem::replace(link, UNLINKED);
        let place = usize::from(place);
        if place == PLACES {
            return;
        }
        if behind != NONE {
            self.links[behind as usize].before = before;
        }
        if before != NONE {
            self.links[before as usize].behind = behind;
        } else {
            self.heads[place] = behind;
            if behind == NONE {
                self.occupied[place / 64] &= !(1 << (place % 64));
            }
        }
        self.len -= 1;
    }

    /// Takes out one connection whose place has come by. It must be set again if its deadline is later than now.
    pub fn take_due(&mut self, now_ms: u64) -> Option<u32> {
        let turn = now_ms / PLACE_MS;
        self.next_turn = self.next_turn.max((turn + 1).saturating_sub(PLACES as u64)); // each place once is enough
        while self.len > 0 && self.next_turn <= turn {
            let head = self.heads[(self.next_turn % PLACES as u64) as usize];
            if head != NONE {
                self.clear(head);
                return Some(head);
            }
            self.next_turn += 1;
        }
        None
    }

    /// When the next place that is not empty comes by.
    pub fn next_ms(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let first = (self.next_turn % PLACES as u64) as usize;
        let ahead = (0..=WORDS).find_map(|step| {
            let word = (first / 64 + step) % WORDS;
            let mask = match step {
                0 => u64::MAX << (first % 64),
                WORDS => !(u64::MAX << (first % 64)),
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            (bits != 0).then(|| (word * 64 + bits.trailing_zeros() as usize + PLACES - first) % PLACES)
        });
        let ahead = ahead.expect("a wheel with connections has an occupied place");
        Some((self.next_turn + ahead as u64) * PLACE_MS)
    }

    pub fn contains(&self, index: u32) -> bool {
        self.links.get(index as usize).is_some_and(|link| usize::from(link.place) != PLACES)
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn everybody_is_looked_at_after_the_deadline_and_not_long_after() {
        let mut rng = Rng::new([3; 32]);
        let mut wheel = Wheel::new();
        let mut deadlines = std::collections::BTreeMap::new();
        let mut now_ms = 1_000_000;
        for _ in 0..20_000 {
            match rng.below(4) {
                0 | 1 => {
                    let (index, deadline_ms) = (rng.below(200) as u32, now_ms + 1 + rng.below(400_000));
                    wheel.set(now_ms, index, deadline_ms);
                    deadlines.insert(index, deadline_ms);
                }
                2 => {
                    let index = rng.below(200) as u32;
                    wheel.clear(index);
                    deadlines.remove(&index);
                }
                _ => {
                    let most_ms = if rng.below(50) == 0 { 1_000_000 } else { 1_000 };
                    now_ms += rng.below(most_ms);
                    let earliest = deadlines.values().min();
                    assert!(
                        wheel
                            .next_ms()
                            .is_none_or(|next_ms| next_ms < *earliest.expect("not empty") + PLACE_MS)
                    );
                    while let Some(index) = wheel.take_due(now_ms) {
                        let deadline_ms = deadlines[&index];
                        if deadline_ms > now_ms {
                            wheel.set(now_ms, index, deadline_ms);
                        } else {
                            deadlines.remove(&index);
                        }
                    }
                    assert!(deadlines.values().all(|deadline_ms| *deadline_ms + PLACE_MS > now_ms));
                }
            }
            assert_eq!(wheel.len(), deadlines.len());
            assert!(deadlines.keys().all(|index| wheel.contains(*index)));
        }
    }
}
