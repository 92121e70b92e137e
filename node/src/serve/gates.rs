//! Which connections may hand out frames. One that is not settled yet hands out one at a time: the next comes when the
//! shard has answered, so that nothing is in the way when the connection moves.

use wire::ConnectionId;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    /// No such connection.
    #[default]
    None,
    /// It hands out the next frame.
    Open,
    /// Its last frame is not answered.
    Shut,
    /// It stays on this core: it hands out frames as they come.
    Settled,
}

/// By index of the connection.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: Vec<(u32, Gate)>,
}

impl Gates {
    pub fn open(&mut self, connection: ConnectionId) {
        self.set(connection, Gate::Open);
    }

    pub fn shut(&mut self, connection: ConnectionId) {
        self.set(connection, Gate::Shut);
    }

    pub fn remove(&mut self, connection: ConnectionId) {
        if let Some(gate) = self.of(connection) {
            *gate = Gate::None;
        }
    }

    /// Whether its end has not been told yet.
    pub fn knows(&mut self, connection: ConnectionId) -> bool {
        self.of(connection).is_some()
    }

    /// A frame came; true when no other may follow now.
    pub fn take_frame(&mut self, connection: ConnectionId) -> bool {
        match self.of(connection) {
            Some(gate) if *gate == Gate::Open => {
                *gate = Gate::Shut;
                true
            }
            _ => false,
        }
    }

    /// The shard did something about this connection; true when the next frame may come now.
    pub fn answer(&mut self, connection: ConnectionId) -> bool {
        match self.of(connection) {
            Some(gate) if *gate == Gate::Shut => {
                *gate = Gate::Open;
                true
            }
            _ => false,
        }
    }

    /// The connection stays; true if there is such a connection.
    pub fn settle(&mut self, connection: ConnectionId) -> bool {
        match self.of(connection) {
            Some(gate) => {
                *gate = Gate::Settled;
                true
            }
            None => false,
        }
    }

    fn set(&mut self, connection: ConnectionId, gate: Gate) {
        let index = connection.index as usize;
        if self.gates.len() <= index {
            self.gates.resize(index + 1, (0, Gate::None));
        }
        self.gates[index] = (connection.generation, gate);
    }

    fn of(&mut self, connection: ConnectionId) -> Option<&mut Gate> {
        let (generation, gate) = self.gates.get_mut(connection.index as usize)?;
        (*generation == connection.generation && *gate != Gate::None).then_some(gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsettled_connection_hands_out_one_frame_per_answer() {
        let (one, next) = (
            ConnectionId { shard: 0, index: 3, generation: 1 },
            ConnectionId { shard: 0, index: 3, generation: 2 },
        );
        let mut gates = Gates::default();
        assert!(!gates.take_frame(one) && !gates.answer(one) && !gates.settle(one));
        gates.open(one);
        assert!(!gates.answer(one), "there is nothing to answer");
        assert!(gates.take_frame(one) && gates.answer(one) && gates.take_frame(one));
        assert!(!gates.answer(next), "of the next connection in this place");
        assert!(gates.settle(one));
        assert!(!gates.take_frame(one) && !gates.answer(one));
        gates.remove(one);
        gates.open(next);
        assert!(!gates.settle(one) && gates.take_frame(next));
    }
}
