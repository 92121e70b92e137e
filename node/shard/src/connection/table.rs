//! The connections of one shard, by the ring's index. A generation guards each place: what comes late for a closed
//! connection finds nothing.

use wire::ConnectionId;

use super::state::Connection;
use crate::limits::CONNECTIONS_MAX;

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    connection: Option<Connection>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    places: Vec<Place>,
    len: usize,
}

impl Table {
    /// The ring gives an index again only after `Closed` or a hand-off.
    pub fn insert(&mut self, id: ConnectionId, connection: Connection) {
        let index = id.index as usize;
        assert!(index < CONNECTIONS_MAX, "connection {index}");
        if self.places.len() <= index {
            self.places.resize_with(index + 1, Place::default);
        }
        let place = &mut self.places[index];
        assert!(place.connection.is_none(), "connection {index} is there already");
        *place = Place { generation: id.generation, connection: Some(connection) };
        self.len += 1;
    }

    pub fn find(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let place = self.places.get_mut(id.index as usize)?;
        if place.generation != id.generation {
            return None;
        }
        place.connection.as_mut()
    }

    pub fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.find(id)?;
        self.len -= 1;
        self.places[id.index as usize].connection.take()
    }

    /// The id of the connection that now has this index.
    pub fn id_of(&self, shard: u16, index: u32) -> Option<ConnectionId> {
        let place = self.places.get(index as usize)?;
        place.connection.as_ref()?;
        Some(ConnectionId { shard, index, generation: place.generation })
    }

    /// Indexes that were ever used are below this.
    pub fn end(&self) -> u32 {
        self.places.len() as u32
    }

    pub fn ids(&self, shard: u16) -> Vec<ConnectionId> {
        (0..self.places.len() as u32).filter_map(|index| self.id_of(shard, index)).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        let connection = |(index, place)| Some((index, Place::connection(place)?));
        (0..).zip(&self.places).filter_map(connection)
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

impl Place {
    fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }
}
