//! Pulls: entries and ranges together cover what the answer says it covers.

use wire::Refusal;
use wire::message::{Pull, Pulled, RangeKind};

use super::sends::{everything, pair};
use super::world::{World, pulled, refused};
use crate::limits::LOADS_IN_FLIGHT_MAX;
use crate::rng::Rng;

/// Every seq of the answer's range is there exactly once: as an entry or in a range.
fn covered(pulled: &Pulled) -> bool {
    let mut seqs: Vec<u64> = pulled.entries.iter().map(|entry| entry.place.seq).collect();
    for range in &pulled.ranges {
        assert!(range.from <= range.to);
        seqs.extend(range.from..=range.to);
    }
    seqs == (pulled.from..=pulled.to).collect::<Vec<_>>()
}

#[test]
fn any_pull_is_covered_completely_and_repeating_it_reaches_the_head() {
    let mut rng = Rng::new([7; 32]);
    for round in 0..12 {
        let mut world = World::new(1 + round % 3);
        let (ann, bob, chat) = pair(&mut world, [3, 700], [0, 0]);
        let count = 1 + rng.below(90);
        for counter in 1..=count {
            let len = if rng.below(8) == 0 { rng.below(20_000) } else { rng.below(200) };
            world.send(ann, chat, counter, counter - 1, &vec![counter as u8; 1 + len as usize]);
            if rng.below(4) == 0 {
                world.settle();
            }
        }
        world.settle();
        if round % 2 == 1 {
            world.crash(0, 2);
        }
        for _ in 0..40 {
            let from = 1 + rng.below(count + 5);
            let to = from + rng.below(count + 5);
            let bytes_max = rng.below(30_000) as u32;
            let asked = Pull { from, to, bytes_max, epoch: 0 };
            let request = world.pull(bob, chat, asked);
            world.settle();
            let pulled = pulled(&world.take(bob), request);
            assert_eq!((pulled.head.seq, pulled.from, pulled.epoch), (count, from, 1));
            assert_eq!(pulled.to, to.min(count).max(from - 1), "{asked:?}");
            assert!(covered(&pulled), "{asked:?}: {pulled:?}");
            assert!(pulled.to < from || !pulled.entries.is_empty(), "each pull gets on");
            let bytes: usize = pulled.entries.iter().rev().skip(1).map(|entry| entry.body.len()).sum();
            assert!(bytes_max == 0 || bytes <= bytes_max as usize);
        }
        let (mut next, mut seqs) = (1, 0);
        while next <= count {
            let request = world.pull(bob, chat, Pull { from: next, to: count, bytes_max: 1_000, epoch: 1 });
            world.settle();
            let pulled = pulled(&world.take(bob), request);
            for entry in &pulled.entries {
                assert_eq!((entry.place.seq, entry.body[0]), (next, next as u8));
                (next, seqs) = (next + 1, seqs + 1);
            }
        }
        assert_eq!(seqs, count);
    }
}

#[test]
fn another_epoch_is_told_in_place_of_entries() {
    let mut world = World::new(1);
    let (ann, _, chat) = pair(&mut world, [3, 700], [0, 0]);
    world.send(ann, chat, 1, 0, b"one");
    world.settle();
    world.take(ann);
    let request = world.pull(ann, chat, Pull { epoch: 2, ..everything() });
    world.settle();
    let pulled = pulled(&world.take(ann), request);
    assert!(covered(&pulled) && pulled.entries.is_empty());
    assert_eq!((pulled.ranges[0].kind, pulled.epoch), (RangeKind::EpochChanged, 1));
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let mut world = World::new(1);
    let (ann, _, chat) = pair(&mut world, [3, 700], [0, 0]);
    for (from, to) in [(0, 5), (5, 4)] {
        let request = world.pull(ann, chat, Pull { from, to, bytes_max: 0, epoch: 0 });
        assert_eq!(refused(&world.take(ann), request).0, Refusal::BadField);
    }
    let request = world.pull(ann, chat, Pull { from: u64::MAX, to: u64::MAX, bytes_max: 1, epoch: 0 });
    world.settle();
    assert!(covered(&pulled(&world.take(ann), request)));
}

#[test]
fn reads_beyond_the_bound_are_refused_busy() {
    let mut world = World::new(1);
    let (ann, _, chat) = pair(&mut world, [3, 700], [0, 0]);
    world.send(ann, chat, 1, 0, b"one");
    world.settle();
    // After a restart entries are read from the store.
    world.crash(0, 1);
    world.pull(ann, chat, everything());
    world.settle();
    world.take(ann);
    world.loads_held = true;
    let requests: Vec<_> =
        (0..LOADS_IN_FLIGHT_MAX + 300).map(|_| world.pull(ann, chat, everything())).collect();
    world.loads_held = false;
    world.settle();
    let received = world.take(ann);
    let (answered, busy) = requests.split_at(LOADS_IN_FLIGHT_MAX);
    assert!(answered.iter().all(|of| pulled(&received, *of).entries.len() == 1));
    assert!(busy.iter().all(|of| refused(&received, *of).0 == Refusal::Busy));
}
