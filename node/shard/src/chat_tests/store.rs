//! Store shards in memory. A batch is visible when it is committed, as on disk.

use std::collections::BTreeMap;

use bytes::Bytes;
use record::{Batch, Query, Row, Rows};

/// One store shard.
#[derive(Debug, Default)]
pub(super) struct MemoryStore {
    pub rows: BTreeMap<Bytes, Bytes>,
}

impl MemoryStore {
    pub fn apply(&mut self, batch: &Batch) {
        for op in &batch.ops {
            match &op.value {
                Some(value) => {
                    assert!(value.len() <= record::kv::VALUE_LEN_MAX, "a value of {} bytes", value.len());
                    self.rows.insert(op.key.clone(), value.clone());
                }
                None => {
                    self.rows.remove(&op.key);
                }
            }
        }
    }

    pub fn read(&self, query: &Query) -> Rows {
        let row = |(key, value): (&Bytes, &Bytes)| Row { key: key.clone(), value: value.clone() };
        match query {
            Query::Get(key) => {
                Rows { rows: self.rows.get_key_value(key).map(row).into_iter().collect(), more: false }
            }
            Query::Range { from, to, reverse, rows_max, bytes_max } => {
                let range = self.rows.range(from.clone()..to.clone()).map(row);
                if *reverse {
                    take(range.rev(), *rows_max, *bytes_max)
                } else {
                    take(range, *rows_max, *bytes_max)
                }
            }
        }
    }
}

fn take(mut range: impl Iterator<Item = Row>, rows_max: u32, bytes_max: u32) -> Rows {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < rows_max as usize && bytes < bytes_max as usize {
        let Some(row) = range.next() else { return Rows { rows, more: false } };
        bytes += row.value.len();
        rows.push(row);
    }
    Rows { rows, more: range.next().is_some() }
}
