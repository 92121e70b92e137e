//! Which shard owns a slot, and which store shard keeps it.
//!
//! A slot's store shard is fixed for the life of the data. Its owner is computed anew at each start from the number of
//! shards, so another number of cores moves ownership and never data. Both are array reads.

use record::StoreShardId;
use wire::Slot;
use wire::ids::SLOTS;

/// Most shards of one node: each owns at least one slot.
pub const SHARDS_MAX: u16 = SLOTS;

/// The slot table of one node. The same on every shard, and never changed while the node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    shards: u16,
    store_shards: u16,
    owners: Box<[u16; SLOTS as usize]>,
}

impl Ownership {
    /// Deals all slots among `shards` shards (`1..=`[`SHARDS_MAX`]). `store_shards` is a power of two up to [`SLOTS`].
    ///
    /// While there are at least as many store shards as shards, a shard owns whole store shards, so one committer has
    /// one writer. With fewer, the slots of a store shard are dealt among several neighbouring shards.
    pub fn new(shards: u16, store_shards: u16) -> Self {
        assert!((1..=SHARDS_MAX).contains(&shards), "{shards} shards");
        let mut owners = Box::new([0; SLOTS as usize]);
        // Slots in the order of their store shards; `behind` counts how many stand before the slot in that order.
        let slots_each = u32::from(SLOTS / store_shards);
        for slot in Slot::all() {
            let store_shard = u32::from(StoreShardId::of_slot(slot, store_shards).0);
            let (place, places) = if store_shards >= shards {
                (store_shard, u32::from(store_shards))
            } else {
                let behind = u32::from(slot.number() / store_shards);
                (store_shard * slots_each + behind, u32::from(SLOTS))
            };
            owners[usize::from(slot.number())] = (place * u32::from(shards) / places) as u16;
        }
        Self { shards, store_shards, owners }
    }

    pub fn shards(&self) -> u16 {
        self.shards
    }

    pub fn store_shards(&self) -> u16 {
        self.store_shards
    }

    /// The shard that owns this slot.
    pub fn shard_of(&self, slot: Slot) -> u16 {
        self.owners[usize::from(slot.number())]
    }

    /// The store shard that keeps this slot.
    pub fn store_shard_of(&self, slot: Slot) -> StoreShardId {
        StoreShardId(slot.number() & (self.store_shards - 1))
    }

    /// The slots of one shard, ascending.
    pub fn slots_of(&self, shard: u16) -> impl Iterator<Item = Slot> + '_ {
        Slot::all().filter(move |slot| self.shard_of(*slot) == shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE_SHARDS: [u16; 7] = [1, 2, 4, 8, 16, 32, 64];

    #[test]
    fn every_slot_has_one_owner_and_no_shard_is_idle_or_overloaded() {
        for shards in [1, 2, 3, 4, 5, 7, 12, 64, 100, SHARDS_MAX] {
            for store_shards in STORE_SHARDS {
                let table = Ownership::new(shards, store_shards);
                let mut counts = vec![0u32; usize::from(shards)];
                for shard in 0..shards {
                    for slot in table.slots_of(shard) {
                        assert_eq!(table.shard_of(slot), shard);
                        counts[usize::from(shard)] += 1;
                    }
                }
                assert_eq!(counts.iter().sum::<u32>(), u32::from(SLOTS), "{shards} over {store_shards}");
                // Whole store shards can only be dealt to within one of them; single slots to within one slot.
                let unit = if store_shards >= shards { u32::from(SLOTS / store_shards) } else { 1 };
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                assert!(*least > 0, "{shards} over {store_shards}: a shard owns nothing");
                assert!(most - least <= unit, "{shards} over {store_shards}: {least}..{most}");
            }
        }
    }

    #[test]
    fn a_store_shard_has_one_writer_while_there_are_enough() {
        for shards in [1u16, 2, 3, 12] {
            for store_shards in STORE_SHARDS.into_iter().filter(|store_shards| *store_shards >= shards) {
                let table = Ownership::new(shards, store_shards);
                let mut writers = vec![None; usize::from(store_shards)];
                for slot in Slot::all() {
                    let store_shard = usize::from(table.store_shard_of(slot).0);
                    let writer = *writers[store_shard].get_or_insert(table.shard_of(slot));
                    assert_eq!(writer, table.shard_of(slot), "{shards} over {store_shards}");
                }
            }
        }
    }

    #[test]
    fn a_slot_stays_in_its_store_shard_whatever_the_number_of_shards() {
        for store_shards in STORE_SHARDS {
            let one = Ownership::new(1, store_shards);
            for shards in [2, 3, 12] {
                let other = Ownership::new(shards, store_shards);
                for slot in Slot::all() {
                    assert_eq!(one.store_shard_of(slot), other.store_shard_of(slot));
                    assert_eq!(one.store_shard_of(slot), StoreShardId::of_slot(slot, store_shards));
                }
            }
        }
    }
}
