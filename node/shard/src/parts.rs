//! Commands that concern many homes: the caller's home sends each of them its part and answers when all have.
//!
//! No shard waits: what was asked stands here until the last answer comes. A command is one frame to each shard, whatever
//! is in it.

use std::collections::BTreeMap;

use wire::service::PairsRelated;
use wire::{ConversationId, Refusal, ShardAddress};

use crate::core::Core;
use crate::limits::{BUSY_RETRY_MS, PARTED_MAX};
use crate::mesh::{Caller, MeshFrame};

/// Of one command, at its caller's home; never used twice.
pub(crate) type PartNumber = u64;

/// What one shard is asked to do.
#[derive(Debug)]
pub enum PartAsk {
    /// These pairs become contacts.
    Relate(Vec<ConversationId>),
}

/// What came of it.
#[derive(Debug)]
pub enum PartAnswer {
    Related { changed: u32, unchanged: u32, refused: u32 },
}

impl PartAnswer {
    pub(crate) fn send(self, core: &mut Core, to: ShardAddress, number: PartNumber) {
        core.control(to, MeshFrame::PartDone { number, answer: self });
    }
}

/// What has come so far.
#[derive(Debug)]
enum Sum {
    Related(PairsRelated),
}

#[derive(Debug)]
struct Parted {
    caller: Caller,
    /// Shards that have not answered.
    waiting: u16,
    sum: Sum,
}

/// Commands that are being carried out in parts, for callers whose home is here. In memory only.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    parted: BTreeMap<PartNumber, Parted>,
    last: PartNumber,
}

impl Parts {
    /// Pairs that become contacts.
    pub fn handle_relate(&mut self, core: &mut Core, caller: Caller, pairs: Vec<ConversationId>) {
        let mut by_home: BTreeMap<u16, Vec<ConversationId>> = BTreeMap::new();
        for id in pairs {
            by_home.entry(core.home(id.slot()).shard).or_default().push(id);
        }
        let asks = by_home.into_iter().map(|(shard, pairs)| (shard, PartAsk::Relate(pairs))).collect();
        self.ask(core, caller, asks, Sum::Related(PairsRelated::default()));
    }

    fn ask(&mut self, core: &mut Core, caller: Caller, asks: Vec<(u16, PartAsk)>, sum: Sum) {
        if self.parted.len() >= PARTED_MAX {
            return core.refuse_caller(caller, Refusal::Busy, 0, BUSY_RETRY_MS);
        }
        self.last += 1;
        let number = self.last;
        let waiting = asks.len() as u16;
        self.parted.insert(number, Parted { caller, waiting, sum });
        for (shard, ask) in asks {
            let to = ShardAddress { node: core.address.node, shard };
            core.control(to, MeshFrame::Part { number, ask });
        }
        if waiting == 0 {
            self.finish(core, number);
        }
    }

    /// A shard has done its part.
    pub fn handle_done(&mut self, core: &mut Core, number: PartNumber, answer: PartAnswer) {
        let parted = self.parted.get_mut(&number).expect("an answer is to a part that was sent");
        match (&mut parted.sum, answer) {
            (Sum::Related(sum), PartAnswer::Related { changed, unchanged, refused }) => {
                sum.changed += changed;
                sum.unchanged += unchanged;
                sum.refused += refused;
            }
        }
        parted.waiting -= 1;
        if parted.waiting == 0 {
            self.finish(core, number);
        }
    }

    fn finish(&mut self, core: &mut Core, number: PartNumber) {
        let Parted { caller, sum, .. } = self.parted.remove(&number).expect("it is there");
        match sum {
            Sum::Related(sum) => {
                let frame = core.encoder.pairs_related(caller.request, &sum);
                core.answer(caller, frame);
            }
        }
    }

    pub fn check_invariants(&self, core: &Core) {
        assert!(self.parted.len() <= PARTED_MAX);
        for parted in self.parted.values() {
            assert!((1..=core.ownership.shards()).contains(&parted.waiting));
        }
    }
}
