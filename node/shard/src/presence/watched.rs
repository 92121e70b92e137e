//! The contacts of one user who is online, and what is known of each: five bytes a contact.

use record::Status;
use wire::presence::PresenceState;

/// What one home tells another about a user of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Seen {
    /// Not there, or not for this one.
    #[default]
    Offline = 0,
    Online = 1,
    Away = 2,
    Busy = 3,
    /// Invisible: he is to be told about others and is shown to nobody.
    Hidden = 4,
}

impl Seen {
    pub fn of(status: Status) -> Self {
        match status {
            Status::Online => Seen::Online,
            Status::Away => Seen::Away,
            Status::Busy => Seen::Busy,
            Status::Invisible => Seen::Hidden,
        }
    }

    /// As clients see it.
    pub fn shown(self) -> PresenceState {
        match self {
            Seen::Offline | Seen::Hidden => PresenceState::Offline,
            Seen::Online => PresenceState::Online,
            Seen::Away => PresenceState::Away,
            Seen::Busy => PresenceState::Busy,
        }
    }

    fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Seen::Offline,
            1 => Seen::Online,
            2 => Seen::Away,
            3 => Seen::Busy,
            _ => Seen::Hidden,
        }
    }
}

/// One contact, as a byte: what is known of him, and three flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Mark(u8);

const SEEN: u8 = 0x07;
const TEXT: u8 = 0x08;
const UNTOLD: u8 = 0x10;
const LEAVING: u8 = 0x20;

impl Mark {
    pub fn seen(self) -> Seen {
        Seen::from_bits(self.0 & SEEN)
    }

    /// His text is among those kept.
    pub fn has_text(self) -> bool {
        self.0 & TEXT != 0
    }

    /// The user's sessions do not know it yet.
    pub fn is_untold(self) -> bool {
        self.0 & UNTOLD != 0
    }

    /// He is no contact any more, and is dropped when the sessions know that he is gone.
    pub fn is_leaving(self) -> bool {
        self.0 & LEAVING != 0
    }

    pub fn with_seen(self, seen: Seen, has_text: bool) -> Self {
        Self(self.0 & !(SEEN | TEXT) | seen as u8 | if has_text { TEXT } else { 0 })
    }

    pub fn untold(self) -> Self {
        Self(self.0 | UNTOLD)
    }

    pub fn told(self) -> Self {
        Self(self.0 & !UNTOLD)
    }

    pub fn leaving(self) -> Self {
        Self(self.0 | LEAVING)
    }

    pub fn staying(self) -> Self {
        Self(self.0 & !LEAVING)
    }
}

/// The contacts of one user, in rising ids. In memory only.
#[derive(Debug, Default)]
pub(super) struct Watched {
    ids: Vec<u32>,
    marks: Vec<Mark>,
}

impl Watched {
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    fn index(&self, id: u32) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// Nothing for one who is leaving.
    pub fn find(&mut self, id: u32) -> Option<&mut Mark> {
        let index = self.index(id)?;
        Some(&mut self.marks[index]).filter(|mark| !mark.is_leaving())
    }

    pub fn mark(&self, id: u32) -> Option<Mark> {
        self.index(id).map(|index| self.marks[index]).filter(|mark| !mark.is_leaving())
    }

    /// Adds a contact of whom nothing is known; false when he is there.
    pub fn add(&mut self, id: u32) -> bool {
        match self.ids.binary_search(&id) {
            Ok(index) => {
                let was_leaving = self.marks[index].is_leaving();
                self.marks[index] = self.marks[index].staying();
                was_leaving
            }
            Err(index) => {
                if self.ids.len() == self.ids.capacity() {
                    let more = self.ids.len() / 8 + 1; // most sets stay as they are once they are read
                    self.ids.reserve_exact(more);
                    self.marks.reserve_exact(more);
                }
                self.ids.insert(index, id);
                self.marks.insert(index, Mark::default());
                true
            }
        }
    }

    /// Room for so many more.
    pub fn reserve(&mut self, more: usize) {
        self.ids.reserve_exact(more);
        self.marks.reserve_exact(more);
    }

    /// The place of one who may be leaving.
    pub fn find_any(&mut self, id: u32) -> Option<&mut Mark> {
        let index = self.index(id)?;
        Some(&mut self.marks[index])
    }

    pub fn remove(&mut self, id: u32) {
        if let Some(index) = self.index(id) {
            self.ids.remove(index);
            self.marks.remove(index);
        }
    }

    /// In rising ids, behind one.
    pub fn behind(&self, after: u64) -> impl Iterator<Item = (u32, Mark)> + '_ {
        let from = self.ids.partition_point(|id| u64::from(*id) <= after);
        self.ids[from..].iter().copied().zip(self.marks[from..].iter().copied())
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, Mark)> + '_ {
        self.behind(0)
    }

    pub fn check_invariants(&self) {
        assert_eq!(self.ids.len(), self.marks.len());
        assert!(self.ids.is_sorted_by(|one, next| one < next));
        for mark in &self.marks {
            assert!(!mark.is_leaving() || mark.is_untold());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_sorted_and_its_flags_are_apart() {
        let mut watched = Watched::default();
        for id in [9, 3, 700, u32::MAX, 3] {
            assert_eq!(watched.add(id), id != 3 || watched.len() < 4);
        }
        let mark = watched.find(9).expect("added");
        *mark = mark.with_seen(Seen::Busy, true).untold();
        assert!(mark.has_text() && mark.is_untold() && !mark.is_leaving());
        *mark = mark.with_seen(Seen::Hidden, false).leaving();
        assert_eq!((mark.seen(), mark.has_text()), (Seen::Hidden, false));
        watched.check_invariants();
        assert!(watched.find(9).is_none(), "no contact any more");
        let ids = |watched: &Watched, after| watched.behind(after).map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(&watched, 3), [9, 700, u32::MAX]);
        watched.remove(9);
        assert_eq!(ids(&watched, 0), [3, 700, u32::MAX]);
        assert!(ids(&watched, u64::from(u32::MAX)).is_empty());
    }

    #[test]
    fn five_bytes_a_contact() {
        let mut watched = Watched::default();
        watched.reserve(100);
        (1..=100).for_each(|id| assert!(watched.add(id)));
        assert_eq!((watched.ids.capacity(), watched.marks.capacity()), (100, 100));
        assert_eq!(size_of::<Mark>() + size_of::<u32>(), 5);
    }
}
