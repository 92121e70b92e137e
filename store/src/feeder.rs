//! The feeder of one store shard: a thread that moves rows from memory to fjall in sorted batches, and gives up the
//! part of the log that this makes unnecessary.
//!
//! A crash at any moment only means that rows are fed again: what fjall holds says by itself up to which commit it is
//! complete, and the log keeps everything above.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use record::kv::StoreShardId;

use crate::compactor::CompactorSignal;
use crate::database::{Database, Failure, Stamp};
use crate::log::LogKeeper;
use crate::poison::Poison;
use crate::stats::{ShardCounters, micros};
use crate::table::{Frozen, Merged, Parts, Row, Table, Work};

/// With so many sorted runs in fjall's first level the feeder waits for the compactor: reads would get slow, and the
/// table's bound then slows down the commits. Not while the disk has no room for a merge: commits soon end then anyway.
const LEVEL0_RUNS_MAX: usize = 32;
/// How often it looks whether the store is closing while it waits for that.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// If there is no room for a segment, when to try again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Rows that are sorted at a time.
const ROWS_SORTED: usize = 2_048;
/// Rows that are fetched from memory at a time.
const ROWS_FETCHED: usize = 16;
/// How many more rows than deletes are looked at in fjall to see which deletes it needs.
const ROWS_LOOKED_AT_MORE: usize = 64;

pub(crate) struct Feeder {
    pub shard: StoreShardId,
    pub tag: u64,
    pub database: Database,
    pub table: Arc<Table>,
    pub log: LogKeeper,
    pub compactor: Arc<CompactorSignal>,
    pub poison: Arc<Poison>,
    pub counters: Arc<ShardCounters>,
}

impl Feeder {
    /// Until the table is closed or something fails.
    pub(crate) fn run(self) {
        self.table.feeder.begin();
        self.prepare_segment();
        loop {
            match self.table.wait_for_work() {
                Work::End => return,
                Work::PrepareSegment => self.prepare_segment(),
                Work::Feed(frozen) => {
                    if !self.wait_for_compactor() {
                        return self.table.fail();
                    }
                    if let Err(failure) = self.feed(&frozen) {
                        let what = failure.into_text();
                        self.poison.set(format!("store shard {}: a feed failed: {what}", self.shard.0));
                        self.table.fail();
                        return;
                    }
                    drop(frozen);
                    self.table.on_fed();
                    self.compactor.wake(self.database.level0_runs());
                }
            }
            self.counters.log_bytes.store(self.log.bytes(), Relaxed);
        }
    }

    /// False if there will be nothing more to feed.
    fn wait_for_compactor(&self) -> bool {
        // At close the compactor ends first, and nothing is gained by waiting for it.
        while self.database.level0_runs() >= LEVEL0_RUNS_MAX
            && !self.compactor.is_short_of_space()
            && !self.compactor.is_closing()
        {
            if self.table.is_closing() || self.poison.is_set() {
                return false;
            }
            self.compactor.wait_for_progress(LOOK_EVERY);
        }
        true
    }

    fn feed(&self, frozen: &Frozen) -> Result<(), Failure> {
        let begun = Instant::now();
        let parts = Parts::of(&frozen.runs, ROWS_SORTED).map(|part| self.needed(part));
        let stamp = Stamp { number: frozen.up_to, tag: self.tag };
        let rows = self.database.feed(parts, stamp, &self.table.feeder)?;
        self.log.release(frozen.up_to).map_err(Failure::Io)?;
        let counters = &self.counters;
        counters.feeds.fetch_add(1, Relaxed);
        counters.fed_rows.fetch_add(rows, Relaxed);
        counters.feed_us_sum.fetch_add(micros(begun.elapsed()), Relaxed);
        Ok(())
    }

    /// The rows that fjall needs.
    fn needed<'a>(&self, part: Merged<'a>) -> Result<impl Iterator<Item = Row<'a>> + use<'a>, Failure> {
        let unneeded = self.unneeded_deletes(&part)?;
        let needed = (0..part.len()).filter(move |index| !unneeded.contains(index));
        let mut fetched = 0;
        Ok(needed.map(move |index| {
            if index >= fetched {
                fetched = index + ROWS_FETCHED;
                part.fetch(index..fetched);
            }
            part.row(index)
        }))
    }

    /// Deletes of keys that fjall does not have: a row that was written and deleted between two feeds need not go there
    /// at all. Nobody else writes to fjall meanwhile.
    fn unneeded_deletes(&self, merged: &Merged<'_>) -> Result<HashSet<usize>, Failure> {
        let mut unneeded = HashSet::new();
        let mut index = 0;
        while index < merged.len() {
            let deletes = (index..merged.len()).take_while(|at| merged.row(*at).1.is_none()).count();
            let stretch = index..index + deletes;
            if deletes > 0 {
                self.find_unneeded(merged, stretch.clone(), &mut unneeded)?;
            }
            index = stretch.end + 1;
        }
        Ok(unneeded)
    }

    /// Looks up a stretch of deletes at once, unless fjall has many rows there: then they may all be needed.
    fn find_unneeded(
        &self,
        merged: &Merged<'_>,
        deletes: Range<usize>,
        unneeded: &mut HashSet<usize>,
    ) -> Result<(), Failure> {
        let (first, last) = (merged.row(deletes.start).0, merged.row(deletes.end - 1).0);
        let looked_at = deletes.len() + ROWS_LOOKED_AT_MORE;
        let stored = self.database.keys(first, last, looked_at)?;
        if stored.len() < looked_at {
            let mut stored = stored.iter().peekable();
            unneeded.extend(deletes.filter(|index| {
                let key = merged.row(*index).0;
                while stored.next_if(|stored| &stored[..] < key).is_some() {}
                stored.peek().is_none_or(|stored| &stored[..] != key)
            }));
        }
        Ok(())
    }

    /// Without a next segment the committer goes on in the one it has, so that a full disk only makes it slower.
    fn prepare_segment(&self) {
        if let Err(e) = self.log.prepare() {
            tracing::warn!(store_shard = self.shard.0, error = %e, "the next log segment could not be made");
            std::thread::sleep(RETRY_AFTER);
        }
    }
}
