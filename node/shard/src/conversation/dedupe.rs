//! Which sends were taken before. The client's id of a send is (device, counter); counters of one device rise.

use std::collections::VecDeque;

use record::{Place, Remembered, RememberedSend};
use wire::{DeviceId, Refusal};

use crate::limits::{REMEMBERED_DEVICES_MAX, REMEMBERED_SENDS_MAX};

/// XXH3-64 of a body, seeded with its kind. Tells a repeat from the reuse of its counter; part of the disk format.
pub(super) fn body_hash(body_kind: u8, body: &[u8]) -> u64 {
    record::body_hash(body_kind, body)
}

/// Whose sends: which of the two users, and his device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sender {
    /// 0 is the conversation's lower user, 1 the higher.
    pub side: usize,
    pub device: DeviceId,
}

/// What to do with a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Take,
    /// It was taken before: the same answer again.
    Repeat(RememberedSend),
    Refuse {
        refusal: Refusal,
        detail: u64,
    },
}

/// The last sends of one device.
#[derive(Debug)]
struct Device {
    sender: Sender,
    /// Rising counters, never empty.
    sends: VecDeque<RememberedSend>,
    /// Changed since the last checkpoint.
    dirty: bool,
}

/// The last sends of both users' devices in one conversation.
#[derive(Debug, Default)]
pub(super) struct SendMemory {
    /// Ascending by sender.
    devices: Vec<Device>,
}

impl SendMemory {
    /// Is this send new, a repeat, or wrong? `counter` is at least 1.
    pub fn decide(&self, sender: Sender, counter: u64, previous: u64, hash: u64) -> Decision {
        let refuse = |refusal, detail| Decision::Refuse { refusal, detail };
        let last = match self.place_of(sender) {
            Ok(index) => {
                let sends = &self.devices[index].sends;
                let last = sends.back().expect("never empty").counter;
                if counter <= last {
                    return match sends.binary_search_by_key(&counter, |send| send.counter) {
                        Ok(found) if sends[found].hash == hash => Decision::Repeat(sends[found]),
                        Ok(_) => refuse(Refusal::CounterReused, 0),
                        Err(_) => refuse(Refusal::SyncFirst, 0),
                    };
                }
                last
            }
            // The table keeps the highest device numbers: a lower one may have been there and is forgotten.
            Err(index) if self.is_full(sender.side) && self.is_first_of_side(index, sender.side) => {
                return refuse(Refusal::SyncFirst, 0);
            }
            Err(_) => 0,
        };
        if previous == last { Decision::Take } else { refuse(Refusal::OutOfOrder, last) }
    }

    /// Remembers a send that was taken. Gives back the device that is forgotten for it, if there is one.
    pub fn remember(&mut self, sender: Sender, send: RememberedSend) -> Option<Sender> {
        let index = self.place_of(sender).unwrap_or_else(|index| {
            self.devices.insert(index, Device { sender, sends: VecDeque::new(), dirty: true });
            index
        });
        let device = &mut self.devices[index];
        assert!(device.sends.back().is_none_or(|last| last.counter < send.counter), "counters rise");
        device.dirty = true;
        if device.sends.len() == REMEMBERED_SENDS_MAX {
            device.sends.pop_front();
        }
        device.sends.push_back(send);
        if self.count(sender.side) <= REMEMBERED_DEVICES_MAX {
            return None;
        }
        let lowest = self.devices.partition_point(|device| device.sender.side < sender.side);
        Some(self.devices.remove(lowest).sender)
    }

    /// True when this counter is higher than all of its device.
    pub fn is_next(&self, sender: Sender, counter: u64) -> bool {
        let last = self.place_of(sender).ok().and_then(|index| self.devices[index].sends.back());
        last.is_none_or(|last| last.counter < counter)
    }

    /// Takes in a record of the store. Records come before later sends are remembered.
    pub fn restore(&mut self, sender: Sender, record: Remembered) {
        if record.sends.is_empty() {
            return;
        }
        match self.place_of(sender) {
            Ok(_) => unreachable!("one record per device"),
            Err(index) => {
                self.devices.insert(index, Device { sender, sends: record.sends.into(), dirty: false })
            }
        }
    }

    /// The records that changed since the last call.
    pub fn take_dirty(&mut self) -> impl Iterator<Item = (Sender, Remembered)> + '_ {
        self.devices.iter_mut().filter(|device| device.dirty).map(|device| {
            device.dirty = false;
            (device.sender, Remembered { sends: device.sends.iter().copied().collect() })
        })
    }

    pub fn check_invariants(&self, head: Place) {
        assert!(self.devices.windows(2).all(|pair| pair[0].sender < pair[1].sender), "devices are sorted");
        for side in [0, 1] {
            assert!(self.count(side) <= REMEMBERED_DEVICES_MAX);
        }
        for device in &self.devices {
            assert!((1..=REMEMBERED_SENDS_MAX).contains(&device.sends.len()));
            for (send, next) in device.sends.iter().zip(device.sends.iter().skip(1)) {
                assert!(send.counter < next.counter, "counters rise");
                assert!(send.place.seq < next.place.seq, "a device's sends are in order");
            }
            assert!(device.sends.back().is_some_and(|last| last.place <= head));
        }
    }

    fn place_of(&self, sender: Sender) -> Result<usize, usize> {
        self.devices.binary_search_by_key(&sender, |device| device.sender)
    }

    fn count(&self, side: usize) -> usize {
        let of_lower = self.devices.partition_point(|device| device.sender.side == 0);
        if side == 0 { of_lower } else { self.devices.len() - of_lower }
    }

    fn is_full(&self, side: usize) -> bool {
        self.count(side) >= REMEMBERED_DEVICES_MAX
    }

    fn is_first_of_side(&self, index: usize, side: usize) -> bool {
        index == 0 || self.devices[index - 1].sender.side != side
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Sender = Sender { side: 0, device: DeviceId(7) };

    fn send(counter: u64) -> RememberedSend {
        let place = Place { seq: counter, ord: counter };
        RememberedSend { counter, hash: counter * 100, place, time_ms: 5 }
    }

    fn refused(refusal: Refusal, detail: u64) -> Decision {
        Decision::Refuse { refusal, detail }
    }

    #[test]
    fn every_case_of_the_table() {
        let mut memory = SendMemory::default();
        assert_eq!(memory.decide(ANN, 5, 0, 500), Decision::Take);
        assert_eq!(memory.decide(ANN, 5, 4, 500), refused(Refusal::OutOfOrder, 0));
        memory.remember(ANN, send(5));
        memory.remember(ANN, send(9));
        let cases = [
            (5, 0, 500, Decision::Repeat(send(5))),
            (5, 77, 500, Decision::Repeat(send(5))),
            (5, 0, 501, refused(Refusal::CounterReused, 0)),
            (9, 5, 900, Decision::Repeat(send(9))),
            (7, 5, 700, refused(Refusal::SyncFirst, 0)),
            (1, 0, 100, refused(Refusal::SyncFirst, 0)),
            (10, 9, 1, Decision::Take),
            (u64::MAX, 9, 1, Decision::Take),
            (10, 5, 1, refused(Refusal::OutOfOrder, 9)),
            (10, 0, 1, refused(Refusal::OutOfOrder, 9)),
            (10, 10, 1, refused(Refusal::OutOfOrder, 9)),
        ];
        for (counter, previous, hash, expected) in cases {
            assert_eq!(memory.decide(ANN, counter, previous, hash), expected, "{counter} after {previous}");
        }
        let other_user = Sender { side: 1, ..ANN };
        assert_eq!(memory.decide(other_user, 5, 0, 500), Decision::Take, "counters are per device");
        memory.check_invariants(Place { seq: 9, ord: 9 });
    }

    #[test]
    fn sends_older_than_remembered_are_not_taken_again() {
        let mut memory = SendMemory::default();
        let sends = REMEMBERED_SENDS_MAX as u64 + 3;
        (1..=sends).for_each(|counter| assert_eq!(memory.remember(ANN, send(counter)), None));
        assert_eq!(memory.decide(ANN, 3, 2, 300), refused(Refusal::SyncFirst, 0));
        assert_eq!(memory.decide(ANN, 4, 3, 400), Decision::Repeat(send(4)));
        memory.check_invariants(Place { seq: sends, ord: sends });
    }

    #[test]
    fn the_lowest_device_is_forgotten_and_then_refused() {
        let mut memory = SendMemory::default();
        let device = |number| Sender { side: 0, device: DeviceId(number) };
        memory.remember(Sender { side: 1, device: DeviceId(1) }, send(1));
        for number in 0..REMEMBERED_DEVICES_MAX as u32 {
            assert_eq!(memory.remember(device(10 + number), send(1)), None);
        }
        assert_eq!(memory.decide(device(9), 1, 0, 100), refused(Refusal::SyncFirst, 0));
        let next = device(10 + REMEMBERED_DEVICES_MAX as u32);
        assert_eq!(memory.decide(next, 1, 0, 100), Decision::Take);
        assert_eq!(memory.remember(next, send(1)), Some(device(10)));
        assert_eq!(memory.decide(device(10), 1, 0, 100), refused(Refusal::SyncFirst, 0));
        let other = Sender { side: 1, device: DeviceId(1) };
        assert_eq!(memory.decide(other, 1, 0, 100), Decision::Repeat(send(1)), "the other user's table");
        memory.check_invariants(Place { seq: 1, ord: 1 });
    }

    #[test]
    fn the_body_hash_is_part_of_the_disk_format() {
        assert_eq!(body_hash(1, b"hello"), 8_408_359_951_548_325_522);
        assert_eq!(body_hash(2, b"hello"), 6_529_381_446_613_994_088);
    }
}
