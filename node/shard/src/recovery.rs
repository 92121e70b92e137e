//! Reading what an earlier run left undone: the rows of one table in all slots of this shard, a bounded part at a time.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use record::{Query, Rows, StoreShardId, Table, keys};
use wire::Slot;

use crate::core::{Core, LoadFor};
use crate::limits::{RECOVERY_LOADS_MAX, RECOVERY_ROWS, RECOVERY_SLOTS};

#[derive(Debug)]
pub(crate) struct Recovery {
    table: Table,
    /// Parts still to be read, neighbours of one store shard together.
    pages: VecDeque<Page>,
    in_flight: usize,
}

#[derive(Debug)]
struct Page {
    slot: Slot,
    /// Behind this key; `None` is from the first.
    behind: Option<Bytes>,
}

impl Recovery {
    pub fn new(table: Table) -> Self {
        Self { table, pages: VecDeque::new(), in_flight: 0 }
    }

    /// Plans to read the slots that are wanted.
    pub fn recover(&mut self, core: &Core, wanted: impl Fn(Slot) -> bool) {
        let mut slots: Vec<_> =
            core.ownership.slots_of(core.address.shard).filter(|slot| wanted(*slot)).collect();
        slots.sort_by_key(|slot| core.store_shard(*slot));
        self.pages.extend(slots.into_iter().map(|slot| Page { slot, behind: None }));
    }

    /// Reads all slots of this store shard from their first row, whatever was read of them before.
    pub fn recover_again(&mut self, core: &Core, store_shard: StoreShardId) {
        self.pages.retain(|page| core.store_shard(page.slot) != store_shard);
        self.recover(core, |slot| core.store_shard(slot) == store_shard);
    }

    /// Reads further parts. `load_for` says whose they are.
    pub fn read_on(&mut self, core: &mut Core, load_for: impl Fn(Vec<Slot>) -> LoadFor) {
        while self.in_flight < RECOVERY_LOADS_MAX {
            let Some(first) = self.pages.front() else { return };
            let store_shard = core.store_shard(first.slot);
            let together = |page: &&Page| core.store_shard(page.slot) == store_shard;
            let pages = self.pages.iter().take(RECOVERY_SLOTS).take_while(together);
            let (slots, queries): (Vec<_>, Vec<_>) =
                pages.map(|page| (page.slot, page.query(self.table))).unzip();
            let (slot, count) = (slots[0], slots.len());
            if !core.load(slot, queries, load_for(slots)) {
                return;
            }
            self.pages.drain(..count);
            self.in_flight += 1;
        }
    }

    /// These were read; what is behind them is planned.
    pub fn handle_loaded(&mut self, slots: &[Slot], rows: &[Rows]) {
        self.in_flight -= 1;
        for (slot, rows) in slots.iter().zip(rows) {
            if let Some(last) = rows.rows.last().filter(|_| rows.more) {
                self.pages.push_front(Page { slot: *slot, behind: Some(last.key.clone()) });
            }
        }
    }

    pub fn check_invariants(&self) {
        assert!(self.in_flight <= RECOVERY_LOADS_MAX);
    }
}

impl Page {
    fn query(&self, table: Table) -> Query {
        let (first, to) = keys::table_range(self.slot, table);
        let from = self.behind.as_ref().map_or(first, behind);
        Query::Range { from, to, reverse: false, rows_max: RECOVERY_ROWS, bytes_max: u32::MAX }
    }
}

/// The first key behind this one.
pub(crate) fn behind(key: &Bytes) -> Bytes {
    let mut behind = BytesMut::with_capacity(key.len() + 1);
    behind.put_slice(key);
    behind.put_u8(0);
    behind.freeze()
}
