//! Where the sessions of the users are whose home is here. In memory only: after a restart clients resume.

use std::collections::VecDeque;

use ahash::AHashMap;
use wire::{DeviceId, UserId};

use super::Ending;
use crate::limits::SESSIONS_PER_USER_MAX;
use crate::mesh::SessionPlace;
use crate::rng::Rng;

/// A session at its user's home: what stands nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenSession {
    pub place: SessionPlace,
    /// As [`record::device::octets_of`] gives it.
    pub address: [u8; 16],
    /// Last activity, Unix seconds; 0: none since it was resumed.
    pub active_s: u32,
    /// The lower half of its device's generation, which is enough to see that it was revoked a moment ago.
    pub generation: u16,
    pub class: u8,
}

// Nearly every user has exactly one, and there are as many as idle sessions.
const _: () = assert!(size_of::<OpenSession>() <= 56);

#[derive(Debug)]
pub(super) struct Sessions {
    by_user: AHashMap<UserId, Vec<OpenSession>>,
    /// Sessions that were opened, and users whose last one is gone (`None`), in that order: taken in each turn.
    come_and_gone: VecDeque<(UserId, Option<SessionPlace>)>,
}

impl Sessions {
    pub fn new(rng: &mut Rng) -> Self {
        Self { by_user: AHashMap::with_hasher(rng.hasher()), come_and_gone: VecDeque::new() }
    }

    /// In the order in which they were opened.
    pub fn of(&self, user: UserId) -> &[OpenSession] {
        self.by_user.get(&user).map_or(&[], Vec::as_slice)
    }

    pub fn of_device(&self, user: UserId, device: DeviceId) -> Option<&OpenSession> {
        self.of(user).iter().find(|session| session.place.device == device)
    }

    pub fn has_device(&self, user: UserId, device: DeviceId) -> bool {
        self.of_device(user, device).is_some()
    }

    /// Exactly this one, if it is there.
    pub fn find(&mut self, user: UserId, place: SessionPlace) -> Option<&mut OpenSession> {
        self.by_user.get_mut(&user)?.iter_mut().find(|session| session.place == place)
    }

    /// Adds a session and gives back those it ends: the one of the same device, and the oldest one over the bound.
    pub fn open(&mut self, user: UserId, session: OpenSession) -> Vec<OpenSession> {
        let list = self.by_user.entry(user).or_default();
        let mut ended: Vec<_> = list.extract_if(.., |old| old.place.device == session.place.device).collect();
        if list.len() >= SESSIONS_PER_USER_MAX {
            ended.push(list.remove(0));
        }
        list.reserve_exact(1); // nearly always the only one
        self.come_and_gone.push_back((user, Some(session.place)));
        list.push(session);
        ended
    }

    /// Removes exactly this one; `None` when it is not there, because another one has taken its place.
    pub fn close(&mut self, user: UserId, place: SessionPlace) -> Option<OpenSession> {
        let list = self.by_user.get_mut(&user)?;
        let index = list.iter().position(|session| session.place == place)?;
        let closed = list.remove(index);
        if list.is_empty() {
            self.by_user.remove(&user);
            self.come_and_gone.push_back((user, None));
        }
        Some(closed)
    }

    /// Removes those of these devices.
    pub fn end(&mut self, user: UserId, ending: Ending) -> Vec<OpenSession> {
        let Some(list) = self.by_user.get_mut(&user) else { return Vec::new() };
        let ended =
            list.extract_if(.., |session| ending.covers(session.place.device, session.class)).collect();
        if list.is_empty() {
            self.by_user.remove(&user);
            self.come_and_gone.push_back((user, None));
        }
        ended
    }

    pub fn take_come_or_gone(&mut self) -> Option<(UserId, Option<SessionPlace>)> {
        self.come_and_gone.pop_front()
    }

    pub fn check_invariants(&self) {
        for list in self.by_user.values() {
            assert!((1..=SESSIONS_PER_USER_MAX).contains(&list.len()));
            for (index, OpenSession { place, .. }) in list.iter().enumerate() {
                let others = &list[index + 1..];
                assert!(others.iter().all(|other| {
                    other.place.device != place.device && other.place.session != place.session
                }));
            }
        }
    }

    pub fn users(&self) -> impl Iterator<Item = UserId> + '_ {
        self.by_user.keys().copied()
    }
}

#[cfg(test)]
impl OpenSession {
    /// A session of which only its place matters.
    pub fn at(place: SessionPlace) -> Self {
        Self { place, address: [0; 16], active_s: 0, generation: 1, class: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{ConnectionId, SessionId, ShardAddress};

    fn open(device: u32, session: u64) -> OpenSession {
        OpenSession::at(SessionPlace {
            shard: ShardAddress::default(),
            connection: ConnectionId { shard: 0, index: device, generation: session as u32 },
            session: SessionId(session),
            device: DeviceId(device),
        })
    }

    #[test]
    fn a_device_has_one_session_and_a_user_a_bounded_number() {
        let user = UserId(1 << 10);
        let mut sessions = Sessions::new(&mut Rng::new([1; 32]));
        assert!(sessions.open(user, open(1, 1)).is_empty());
        assert_eq!(sessions.open(user, open(1, 2)), [open(1, 1)]);
        for device in 2..=SESSIONS_PER_USER_MAX as u32 {
            assert!(sessions.open(user, open(device, u64::from(device) + 10)).is_empty());
        }
        assert_eq!(sessions.open(user, open(99, 99)), [open(1, 2)], "the oldest leaves");
        sessions.check_invariants();
        assert!(sessions.close(user, open(1, 2).place).is_none(), "it was ended before");
        assert!(sessions.close(user, open(99, 99).place).is_some());
        assert_eq!(sessions.end(user, Ending::Only(DeviceId(2))), [open(2, 12)]);
        let others = Ending::AllBut(DeviceId(3));
        assert_eq!(sessions.end(user, others).len(), SESSIONS_PER_USER_MAX - 3);
        assert_eq!(sessions.of(user), [open(3, 13)]);
        assert!(sessions.end(user, others).is_empty());
        assert_eq!(sessions.end(user, Ending::All), [open(3, 13)]);
        assert!(sessions.of(user).is_empty());
    }

    #[test]
    fn others_of_a_class_are_ended_and_no_others() {
        let user = UserId(1 << 10);
        let mut sessions = Sessions::new(&mut Rng::new([1; 32]));
        for (device, class) in [(1, 1), (2, 2), (3, 1), (4, 2)] {
            sessions.open(user, OpenSession { class, ..open(device, u64::from(device)) });
        }
        let ended = sessions.end(user, Ending::OthersOfClass { device: DeviceId(3), class: 1 });
        assert_eq!(ended, [open(1, 1)]);
        assert_eq!(sessions.of(user).len(), 3);
    }
}
