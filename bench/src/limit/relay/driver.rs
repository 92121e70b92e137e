//! What the relay does in its core: nothing but passing frames on.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Result, bail};
use node::mesh::Lane;
use node::ring::{CloseReason, ConnectionInfo, Driver, Hand, Io, Priority};
use wire::{ConnectionId, Encoder};

use super::frames::{self, Frames};

/// Serves the connections of one core.
#[derive(Debug, Default)]
pub struct RelayDriver {
    frames: Frames,
    encoder: Encoder,
    /// The other one of each pair, by index of the connection.
    partners: Vec<Option<ConnectionId>>,
    /// Introduced, by their own index; the other one is not here yet.
    alone: HashMap<u64, (ConnectionId, u32)>,
}

type Item = ();

impl RelayDriver {
    fn pair(&mut self, one: ConnectionId, other: ConnectionId) {
        let index = one.index as usize;
        if self.partners.len() <= index {
            self.partners.resize(index + 1, None);
        }
        self.partners[index] = Some(other);
    }

    fn introduce(&mut self, io: &mut Io<Item>, id: ConnectionId, frame: &[u8]) -> Result<()> {
        let (index, request) = frames::introduced(frame)?;
        let Some((other, other_request)) = self.alone.remove(&(index ^ 1)) else {
            if self.alone.insert(index, (id, request)).is_some() {
                bail!("two connections say that they are number {index}");
            }
            return Ok(());
        };
        self.pair(id, other);
        self.pair(other, id);
        for (id, request, index) in [(id, request, index), (other, other_request, index ^ 1)] {
            io.connections.set_frame_bytes_max(id, wire::limits::FRAME_LEN_MAX as u32);
            io.connections.arm_multishot(id);
            // Gone: its end is told next.
            let _ = io.connections.send(id, &self.encoder.pong(request, index), Priority::Reply);
        }
        Ok(())
    }

    fn handle_frame(&mut self, io: &mut Io<Item>, id: ConnectionId, frame: &[u8]) -> Result<()> {
        let Some(&Some(partner)) = self.partners.get(id.index as usize) else {
            return self.introduce(io, id, frame);
        };
        let answer = self.frames.answer(frame)?;
        // Gone: its end is told next. Dropped: the overflow is.
        let _ = io.connections.send(partner, answer.message, Priority::Push);
        let _ = io.connections.send(id, &answer.sent[..], Priority::Reply);
        Ok(())
    }
}

impl Driver for RelayDriver {
    type Item = Item;
    type Foreign = ();

    fn on_opened(&mut self, _: &mut Io<Item>, _: ConnectionId, _: &ConnectionInfo) {}

    fn on_frame(&mut self, io: &mut Io<Item>, id: ConnectionId, frame: &[u8]) {
        if let Err(error) = self.handle_frame(io, id, frame) {
            eprintln!("bench relay: {error:#}");
            io.connections.close(id);
        }
    }

    fn on_frame_too_long(&mut self, _: &mut Io<Item>, _: ConnectionId, _: usize) {}

    fn on_closed(&mut self, io: &mut Io<Item>, id: ConnectionId, _: CloseReason) {
        self.alone.retain(|_, (other, _)| *other != id);
        if let Some(partner) = self.partners.get_mut(id.index as usize).and_then(Option::take) {
            self.partners[partner.index as usize] = None;
            io.connections.close(partner);
        }
    }

    fn on_overflowed(&mut self, io: &mut Io<Item>, id: ConnectionId) {
        eprintln!("bench relay: a client reads too slowly");
        io.connections.close(id);
    }

    fn on_drained(&mut self, _: &mut Io<Item>, _: ConnectionId) {}

    fn on_left(&mut self, _: &mut Io<Item>, _: ConnectionId, _: Hand) {}

    fn on_mesh(&mut self, _: &mut Io<Item>, _: u16, _: Lane, _: Item) {}

    fn on_foreign(&mut self, _: &mut Io<Item>, _: ()) {}

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn on_deadline(&mut self, _: &mut Io<Item>) {}

    fn on_turn_end(&mut self, _: &mut Io<Item>) {}

    fn on_stop(&mut self, _: &mut Io<Item>) {}

    fn is_done(&self) -> bool {
        true
    }
}
