//! What a store shard holds: fjall's rows under those that are still in memory.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::sync::Arc;

use bytes::Bytes;
use fjall::Slice;
use record::kv::{Query, Rows};

use crate::database::{Database, Failure, Snapshot, guarded};
use crate::query::{collect_range, one_row};
use crate::table::{Overlay, Table};

/// A handle; clones look at the same store shard.
#[derive(Clone)]
pub(crate) struct View {
    pub database: Database,
    pub table: Arc<Table>,
}

impl View {
    /// Answers all queries from one moment: everything that was durable by then, and nothing else.
    pub(crate) fn read(&self, queries: &[Query]) -> Result<Vec<Rows>, Failure> {
        guarded(|| {
            let (overlay, snapshot) = self.table.overlay_and(|| self.database.snapshot());
            queries.iter().map(|query| read_one(&overlay, &snapshot, query)).collect()
        })
    }

    /// Shows every row in key order; stops at the first that cannot be read.
    pub(crate) fn for_each_row(&self, mut visit: impl FnMut(&[u8], &[u8])) -> Result<u64, Failure> {
        guarded(|| {
            let (overlay, snapshot) = self.table.overlay_and(|| self.database.snapshot());
            let above = overlay.range(&[], &[0xff; 256]).peekable();
            let merged = Overlaid { above, below: snapshot.rows().peekable(), forward: Ordering::Less };
            let mut rows = 0;
            for row in merged {
                let (key, value) = row?;
                visit(&key, &value);
                rows += 1;
            }
            Ok(rows)
        })
    }
}

fn read_one(overlay: &Overlay, snapshot: &Snapshot<'_>, query: &Query) -> Result<Rows, Failure> {
    match query {
        Query::Get(key) => {
            let value = match overlay.value_of(key) {
                Some(value) => value.map(Bytes::copy_from_slice),
                None => snapshot.value_of(key)?.map(|value| Bytes::copy_from_slice(&value)),
            };
            Ok(one_row(key, value))
        }
        Query::Range { from, to, .. } if from >= to => Ok(Rows::default()),
        Query::Range { from, to, reverse: false, rows_max, bytes_max } => {
            let above = overlay.range(from, to).peekable();
            let below = snapshot.range(from, to).peekable();
            collect_range(Overlaid { above, below, forward: Ordering::Less }, *rows_max, *bytes_max)
        }
        Query::Range { from, to, reverse: true, rows_max, bytes_max } => {
            let above = overlay.range(from, to).rev().peekable();
            let below = snapshot.range(from, to).rev().peekable();
            collect_range(Overlaid { above, below, forward: Ordering::Greater }, *rows_max, *bytes_max)
        }
    }
}

/// Rows of memory and of fjall in one order. On equal keys memory wins, and its deletes hide rows.
struct Overlaid<A: Iterator, B: Iterator> {
    above: Peekable<A>,
    below: Peekable<B>,
    /// How an earlier key compares with a later one.
    forward: Ordering,
}

impl<'a, A, B> Iterator for Overlaid<A, B>
where
    A: Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    B: Iterator<Item = Result<(Slice, Slice), Failure>>,
{
    type Item = Result<(Bytes, Bytes), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let below_key = match self.below.peek() {
                Some(Ok((key, _))) => Some(&key[..]),
                Some(Err(_)) => return self.below.next().map(|row| row.map(owned)),
                None => None,
            };
            let order = match (self.above.peek(), below_key) {
                (Some((above, _)), Some(below)) => (*above).cmp(below),
                (Some(_), None) => self.forward,
                (None, _) => self.forward.reverse(),
            };
            if order == self.forward.reverse() {
                return self.below.next().map(|row| row.map(owned));
            }
            if order.is_eq() {
                self.below.next();
            }
            if let Some((key, Some(value))) = self.above.next() {
                return Some(Ok((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))));
            }
        }
    }
}

fn owned((key, value): (Slice, Slice)) -> (Bytes, Bytes) {
    // Copied, because the original keeps a whole block of the cache alive.
    (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value))
}
