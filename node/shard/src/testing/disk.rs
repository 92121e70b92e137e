//! A store that is a map.

use std::collections::BTreeMap;

use bytes::Bytes;
use record::kv::{KEY_LEN_MAX, VALUE_LEN_MAX};
use record::{Key, Ops, Query, Record, Row, Rows};

/// Keys carry their slot, so one map holds all store shards.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub rows: BTreeMap<Bytes, Bytes>,
}

impl Disk {
    pub fn write(&mut self, ops: &Ops) {
        for op in ops {
            assert!(op.key.len() <= KEY_LEN_MAX && Key::parse(op.key).is_some());
            match op.value {
                Some(value) => {
                    assert!(value.len() <= VALUE_LEN_MAX, "a value of {} bytes", value.len());
                    self.rows.insert(Bytes::copy_from_slice(op.key), Bytes::copy_from_slice(value));
                }
                None => {
                    self.rows.remove(op.key);
                }
            }
        }
    }

    pub fn read(&self, queries: &[Query]) -> Vec<Rows> {
        queries.iter().map(|query| self.read_one(query)).collect()
    }

    /// One record.
    pub fn get<R: Record>(&self, key: &Key) -> Option<R> {
        self.rows.get(&key.bytes()).map(|value| R::decode(value).expect("a readable record"))
    }

    fn read_one(&self, query: &Query) -> Rows {
        match query {
            Query::Get(key) => {
                let row = self.rows.get(key).map(|value| Row { key: key.clone(), value: value.clone() });
                Rows { rows: row.into_iter().collect(), more: false }
            }
            Query::Range { from, to, reverse, rows_max, bytes_max } => {
                let range = self.rows.range(from.clone()..to.clone());
                let mut range: Box<dyn Iterator<Item = _>> =
                    if *reverse { Box::new(range.rev()) } else { Box::new(range) };
                let (mut rows, mut bytes) = (Vec::new(), 0);
                while rows.len() < *rows_max as usize && bytes < *bytes_max as usize {
                    let Some((key, value)) = range.next() else { return Rows { rows, more: false } };
                    bytes += value.len();
                    rows.push(Row { key: key.clone(), value: value.clone() });
                }
                Rows { more: range.next().is_some(), rows }
            }
        }
    }
}
