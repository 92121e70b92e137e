//! What is counted, and how: allocations by an allocator that counts, instructions by what surrounds this process.

use std::alloc::System;

use shard::{Effects, Input, Now, Shard};
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Sums over counted steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    pub steps: u64,
    /// Blocks asked for, and blocks that were made larger or smaller.
    pub allocations: u64,
    /// Bytes asked for, and bytes that blocks were made larger by.
    pub bytes: u64,
}

impl Meter {
    pub fn step(&mut self, shard: &mut Shard, now: Now, input: Input<'_>, effects: &mut Effects) {
        let before = ALLOCATOR.stats();
        counted_step(shard, now, input, effects);
        let after = ALLOCATOR.stats();
        self.steps += 1;
        self.allocations += (blocks(&after) - blocks(&before)) as u64;
        self.bytes += (after.bytes_allocated - before.bytes_allocated) as u64;
    }
}

fn blocks(stats: &Stats) -> usize {
    stats.allocations + stats.reallocations
}

/// Callgrind counts from the entry of this function to its end, by its name. It returns something so that the step in it
/// is a call and not a jump.
#[inline(never)]
fn counted_step(shard: &mut Shard, now: Now, input: Input<'_>, effects: &mut Effects) -> usize {
    shard.step(now, input, effects);
    effects.list.len()
}
