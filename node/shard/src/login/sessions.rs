//! Where the sessions of the users are whose home is here. In memory only: after a restart clients resume.

use ahash::AHashMap;
use wire::{DeviceId, UserId};

use super::Ending;
use crate::limits::SESSIONS_PER_USER_MAX;
use crate::mesh::SessionPlace;
use crate::rng::Rng;

#[derive(Debug)]
pub(super) struct Sessions {
    by_user: AHashMap<UserId, Vec<SessionPlace>>,
}

impl Sessions {
    pub fn new(rng: &mut Rng) -> Self {
        Self { by_user: AHashMap::with_hasher(rng.hasher()) }
    }

    /// In the order in which they were opened.
    pub fn of(&self, user: UserId) -> &[SessionPlace] {
        self.by_user.get(&user).map_or(&[], Vec::as_slice)
    }

    pub fn has_device(&self, user: UserId, device: DeviceId) -> bool {
        self.of(user).iter().any(|place| place.device == device)
    }

    /// Adds a session and gives back those it ends: the one of the same device, and the oldest one over the bound.
    pub fn open(&mut self, user: UserId, place: SessionPlace) -> Vec<SessionPlace> {
        let list = self.by_user.entry(user).or_default();
        let mut ended: Vec<_> = list.extract_if(.., |old| old.device == place.device).collect();
        if list.len() >= SESSIONS_PER_USER_MAX {
            ended.push(list.remove(0));
        }
        list.reserve_exact(1); // nearly always the only one
        list.push(place);
        ended
    }

    /// Removes exactly this one; false when it is not there, because another one has taken its place.
    pub fn close(&mut self, user: UserId, place: SessionPlace) -> bool {
        let Some(list) = self.by_user.get_mut(&user) else { return false };
        let Some(index) = list.iter().position(|other| *other == place) else { return false };
        list.remove(index);
        if list.is_empty() {
            self.by_user.remove(&user);
        }
        true
    }

    /// Removes those of these devices.
    pub fn end(&mut self, user: UserId, ending: Ending) -> Vec<SessionPlace> {
        let Some(list) = self.by_user.get_mut(&user) else { return Vec::new() };
        let ended = list.extract_if(.., |place| ending.covers(place.device)).collect();
        if list.is_empty() {
            self.by_user.remove(&user);
        }
        ended
    }

    pub fn check_invariants(&self) {
        for list in self.by_user.values() {
            assert!((1..=SESSIONS_PER_USER_MAX).contains(&list.len()));
            for (index, place) in list.iter().enumerate() {
                let others = &list[index + 1..];
                assert!(
                    others.iter().all(|other| other.device != place.device && other.session != place.session)
                );
            }
        }
    }

    pub fn users(&self) -> impl Iterator<Item = UserId> + '_ {
        self.by_user.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{ConnectionId, SessionId, ShardAddress};

    fn place(device: u32, session: u64) -> SessionPlace {
        SessionPlace {
            shard: ShardAddress::default(),
            connection: ConnectionId { shard: 0, index: device, generation: session as u32 },
            session: SessionId(session),
            device: DeviceId(device),
        }
    }

    #[test]
    fn a_device_has_one_session_and_a_user_a_bounded_number() {
        let user = UserId(1 << 10);
        let mut sessions = Sessions::new(&mut Rng::new([1; 32]));
        assert!(sessions.open(user, place(1, 1)).is_empty());
        assert_eq!(sessions.open(user, place(1, 2)), [place(1, 1)]);
        for device in 2..=SESSIONS_PER_USER_MAX as u32 {
            assert!(sessions.open(user, place(device, u64::from(device) + 10)).is_empty());
        }
        assert_eq!(sessions.open(user, place(99, 99)), [place(1, 2)], "the oldest leaves");
        sessions.check_invariants();
        assert!(!sessions.close(user, place(1, 2)), "it was ended before");
        assert!(sessions.close(user, place(99, 99)));
        assert_eq!(sessions.end(user, Ending::Only(DeviceId(2))), [place(2, 12)]);
        assert_eq!(sessions.end(user, Ending::AllBut(DeviceId(3))).len(), SESSIONS_PER_USER_MAX - 3);
        assert_eq!(sessions.of(user), [place(3, 13)]);
        assert!(sessions.end(user, Ending::AllBut(DeviceId(3))).is_empty());
        assert_eq!(sessions.end(user, Ending::All), [place(3, 13)]);
        assert!(sessions.of(user).is_empty());
    }
}
