//! What is counted, and how: allocations by an allocator that counts, instructions by what surrounds this process.

use std::alloc::System;

use shard::{Effects, Input, Now, Shard};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Sums over counted steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    pub steps: u64,
    /// Blocks asked for.
    pub new_blocks: u64,
    /// Blocks that were made larger or smaller.
    pub resized_blocks: u64,
    /// Bytes asked for, and bytes that blocks were made larger by.
    pub bytes: u64,
}

impl Meter {
    pub fn step(&mut self, shard: &mut Shard, now: Now, input: Input<'_>, effects: &mut Effects) {
        let before = ALLOCATOR.stats();
        counted_step(shard, now, input, effects);
        let after = ALLOCATOR.stats();
        self.steps += 1;
        self.new_blocks += (after.allocations - before.allocations) as u64;
        self.resized_blocks += (after.reallocations - before.reallocations) as u64;
        self.bytes += (after.bytes_allocated - before.bytes_allocated) as u64;
    }

    pub fn allocations(&self) -> u64 {
        self.new_blocks + self.resized_blocks
    }
}

/// Callgrind counts from the entry of this function to its end, by its name. It returns something so that the step in it
/// is a call and not a jump.
#[inline(never)]
fn counted_step(shard: &mut Shard, now: Now, input: Input<'_>, effects: &mut Effects) -> usize {
    shard.step(now, input, effects);
    effects.list.len()
}
