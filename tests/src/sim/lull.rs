//! Lulls: for a while nobody does anything and nothing goes wrong. Whoever is connected must then be told of everything
//! that was on disk before: what was dropped on the way has to be made good without a new event or a reconnect.

use record::Digest;
use wire::ConversationId;

use super::model::disk;
use super::network::LinkId;
use super::queue::Event;
use super::world::World;

/// How long a lull lasts. Retries of refused commands and slow commits fit into it.
const LULL_US: u64 = 8_000_000;

/// What a device must know when the lull is over.
#[derive(Debug)]
struct Expected {
    device: usize,
    link: LinkId,
    list: Vec<(ConversationId, Digest)>,
}

/// A lull that has begun.
#[derive(Debug)]
pub struct Lull {
    life: u32,
    expected: Vec<Expected>,
}

impl World {
    pub fn lull_begins(&mut self) {
        let now_us = self.queue.now_us();
        self.trace.note(now_us, &[90], &[], || "a lull begins".into());
        self.store.set_full(false);
        let mut expected = Vec::new();
        for (number, device) in self.devices.iter().enumerate() {
            let ready = device.reads() && device.session.as_ref().is_some_and(|session| session.is_ready());
            let link = device.link.filter(|link| ready && self.network.is_smooth(*link, now_us));
            if let (Some(link), Some(user)) = (link, device.user_id()) {
                let list = disk::list(&self.store, user).into_iter().map(|(id, entry)| (id, entry.digest));
                expected.push(Expected { device: number, link, list: list.collect() });
            }
        }
        self.lull = Some(Lull { life: self.machine.life, expected });
        self.queue.after(LULL_US, Event::LullEnds);
    }

    pub fn on_lull_ends(&mut self) {
        let Some(lull) = self.lull.take() else { return };
        self.trace.note(self.queue.now_us(), &[91], &[], || "the lull is over".into());
        self.queue.after(1_000, Event::Operation);
        self.queue.after(1_000, Event::Fault);
        if !self.is_alive(lull.life) {
            return;
        }
        for Expected { device, link, list } in lull.expected {
            if self.devices[device].link != Some(link) {
                continue;
            }
            self.lulls_seen += 1;
            for (conversation, digest) in list {
                let stored = &self.devices[device].disk.stored.conversations;
                let state = stored.iter().find(|state| state.conversation == conversation);
                let knows = state.is_some_and(|state| {
                    state.applied.seq >= digest.head.seq
                        && state.read.seq >= digest.own.read.seq
                        && state.delivered.seq >= digest.own.delivered.seq
                        && state.peer_read.seq >= digest.peer.read.seq
                        && state.peer_delivered.seq >= digest.peer.delivered.seq
                });
                let what =
                    format!("device {device} on link {link} holds {state:?} after a lull, not {digest:?}");
                self.violation_if(!knows, || what);
            }
        }
    }
}
