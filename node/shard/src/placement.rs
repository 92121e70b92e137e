//! The login shard: says on which shard a new session lives. Owned by shard 0; nothing of it is durable.
//!
//! A placement counts from the moment it is given, so a storm of logins does not land on one core while the sessions
//! are still on their way.

use std::collections::BTreeMap;

use wire::{ConnectionId, ShardAddress};

use crate::config::PlacementPolicy;
use crate::core::Core;
use crate::limits::{PENDING_PLACEMENT_MS_MAX, PENDING_PLACEMENTS_MAX};
use crate::mesh::{MeshFrame, SessionFrame};

/// Load of one shard, as it reports it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Load {
    pub sessions: u32,
}

/// Where a session lives. It is counted there until it is reported as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Rises with each; 0 is one that is not counted.
    pub number: u64,
    pub shard: ShardAddress,
}

#[derive(Debug)]
struct Pending {
    shard: u16,
    expires_ms: u64,
}

/// Loads and pending placements. Idle on every shard but the login shard.
#[derive(Debug)]
pub struct LoginShard {
    node: u16,
    policy: PlacementPolicy,
    excess_percent: u64,
    sessions: Vec<u32>,
    pending_by_shard: Vec<u32>,
    /// By number, which is also the order in which they expire.
    pending: BTreeMap<u64, Pending>,
    last_number: u64,
}

impl LoginShard {
    pub(crate) fn new(core: &mut Core) -> Self {
        let shards = usize::from(core.ownership.shards());
        Self {
            node: core.address.node,
            policy: core.config.placement,
            excess_percent: u64::from(core.config.placement_excess_percent),
            sessions: vec![0; shards],
            pending_by_shard: vec![0; shards],
            pending: BTreeMap::new(),
            last_number: 0,
        }
    }

    /// A connection asks where its session should live. With too many placements pending, this one is not counted.
    pub(crate) fn handle_place(
        &mut self,
        core: &mut Core,
        connection: ConnectionId,
        reply_to: ShardAddress,
        home: ShardAddress,
    ) {
        self.expire(core.now.mono_ms);
        let shard = self.choose(home.shard);
        let mut number = 0;
        if self.pending.len() < PENDING_PLACEMENTS_MAX {
            self.last_number += 1;
            number = self.last_number;
            let expires_ms = core.now.mono_ms + PENDING_PLACEMENT_MS_MAX;
            self.pending.insert(number, Pending { shard, expires_ms });
            self.pending_by_shard[usize::from(shard)] += 1;
        }
        let placement = Placement { number, shard: ShardAddress { node: self.node, shard } };
        core.control(reply_to, MeshFrame::Session(SessionFrame::Placed { connection, placement }));
    }

    /// The placed session exists and is in its shard's report, or will never exist.
    pub(crate) fn handle_done(&mut self, placement: Placement) {
        if let Some(pending) = self.pending.remove(&placement.number) {
            self.pending_by_shard[usize::from(pending.shard)] -= 1;
        }
    }

    pub(crate) fn handle_load(&mut self, from: ShardAddress, load: Load) {
        self.sessions[usize::from(from.shard)] = load.sessions;
    }

    pub(crate) fn handle_tick(&mut self, core: &mut Core) {
        self.expire(core.now.mono_ms);
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some(first) = self.pending.first_entry() {
            if first.get().expires_ms > now_ms {
                return;
            }
            let pending = first.remove();
            self.pending_by_shard[usize::from(pending.shard)] -= 1;
        }
    }

    /// Consistent hashing with bounded loads: the home, unless it would be above the mean by more than the excess; then,
    /// and with the other policy always, the least loaded one, of equals the home or else the first.
    fn choose(&self, home: u16) -> u16 {
        let least = (0..self.sessions.len() as u16)
            .min_by_key(|shard| (self.load(*shard), *shard != home))
            .expect("a node has a shard");
        match self.policy {
            PlacementPolicy::LeastLoaded => least,
            PlacementPolicy::Home => {
                let total = 1 + (0..self.sessions.len() as u16).map(|shard| self.load(shard)).sum::<u64>();
                let bound = (total * (100 + self.excess_percent)).div_ceil(100 * self.sessions.len() as u64);
                if self.load(home) < bound { home } else { least }
            }
        }
    }

    fn load(&self, shard: u16) -> u64 {
        let shard = usize::from(shard);
        u64::from(self.sessions[shard]) + u64::from(self.pending_by_shard[shard])
    }

    #[cfg(test)]
    pub(crate) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.pending.len() <= PENDING_PLACEMENTS_MAX);
        let mut counted = vec![0; self.pending_by_shard.len()];
        for pending in self.pending.values() {
            counted[usize::from(pending.shard)] += 1;
        }
        assert_eq!(counted, self.pending_by_shard, "pending placements are counted where they are");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login_shard(policy: PlacementPolicy, sessions: &[u32]) -> LoginShard {
        LoginShard {
            node: 0,
            policy,
            excess_percent: 25,
            sessions: sessions.to_vec(),
            pending_by_shard: vec![0; sessions.len()],
            pending: BTreeMap::new(),
            last_number: 0,
        }
    }

    #[test]
    fn the_home_is_kept_until_it_is_above_the_mean_by_the_excess() {
        for (sessions, home, expected) in [
            (&[0, 0, 0, 0][..], 2, 2),
            (&[0, 0, 1, 0], 2, 0),
            (&[99, 100, 124, 100], 2, 2),
            (&[99, 100, 140, 100], 2, 0),
            (&[7], 0, 0),
        ] {
            assert_eq!(login_shard(PlacementPolicy::Home, sessions).choose(home), expected, "{sessions:?}");
        }
    }

    #[test]
    fn the_least_loaded_is_chosen_and_the_home_among_equals() {
        for (sessions, home, expected) in
            [(&[3, 2, 1, 2][..], 0, 2), (&[1, 1, 1, 1], 3, 3), (&[2, 1, 1, 2], 0, 1)]
        {
            let shard = login_shard(PlacementPolicy::LeastLoaded, sessions);
            assert_eq!(shard.choose(home), expected, "{sessions:?}");
        }
    }

    #[test]
    fn a_storm_is_spread_before_its_sessions_exist() {
        for policy in [PlacementPolicy::Home, PlacementPolicy::LeastLoaded] {
            let mut shard = login_shard(policy, &[0; 4]);
            for number in 1..=100 {
                let chosen = shard.choose(0);
                shard.pending.insert(number, Pending { shard: chosen, expires_ms: number });
                shard.pending_by_shard[usize::from(chosen)] += 1;
            }
            shard.check_invariants();
            assert!(shard.pending_by_shard.iter().all(|count| *count <= 32), "{:?}", shard.pending_by_shard);
            shard.expire(60);
            assert_eq!(shard.pending.len(), 40);
            let done = Placement { number: 61, shard: ShardAddress::default() };
            shard.handle_done(done);
            shard.handle_done(done);
            shard.check_invariants();
            assert_eq!(shard.pending.len(), 39);
        }
    }
}
