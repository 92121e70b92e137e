//! What memory has to say about keys, on top of what fjall holds.

use std::sync::Arc;

use super::run::{Row, Run};

/// The runs of one moment, oldest first. Cheap to take and free of locks afterwards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    pub(super) frozen: Arc<Vec<Arc<Run>>>,
    pub(super) active: Arc<Vec<Arc<Run>>>,
}

impl Overlay {
    fn newest_first(&self) -> impl Iterator<Item = &Run> {
        self.active.iter().rev().chain(self.frozen.iter().rev()).map(|run| &**run)
    }

    /// `Some(None)` for a key that is deleted, `None` for one that memory knows nothing about.
    pub(crate) fn value_of(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.newest_first().find_map(|run| run.value_of(key))
    }

    /// Rows and deletes with `from <= key < to`.
    pub(crate) fn range(&self, from: &[u8], to: &[u8]) -> Range<'_> {
        let cursors = self.newest_first().map(|run| {
            let range = run.range(from, to);
            Cursor { run, first: range.start, behind: range.end }
        });
        Range { cursors: cursors.filter(|cursor| cursor.first < cursor.behind).collect() }
    }
}

struct Cursor<'a> {
    run: &'a Run,
    first: usize,
    behind: usize,
}

/// A range of an [`Overlay`], from either end.
pub(crate) struct Range<'a> {
    /// Those with rows left, newest run first. Few, because few runs have rows of one conversation or user.
    cursors: Vec<Cursor<'a>>,
}

impl<'a> Iterator for Range<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        let mut best: Option<Row<'a>> = None;
        for cursor in &self.cursors {
            let row = cursor.run.row(cursor.first);
            // On equal keys the newest run, which was met first, stays.
            if best.is_none_or(|best| row.0 < best.0) {
                best = Some(row);
            }
        }
        let (key, _) = best?;
        self.cursors.retain_mut(|cursor| {
            if cursor.run.row(cursor.first).0 == key {
                cursor.first += 1;
            }
            cursor.first < cursor.behind
        });
        best
    }
}

impl<'a> DoubleEndedIterator for Range<'a> {
    fn next_back(&mut self) -> Option<Row<'a>> {
        let mut best: Option<Row<'a>> = None;
        for cursor in &self.cursors {
            let row = cursor.run.row(cursor.behind - 1);
            if best.is_none_or(|best| row.0 > best.0) {
                best = Some(row);
            }
        }
        let (key, _) = best?;
        self.cursors.retain_mut(|cursor| {
            if cursor.run.row(cursor.behind - 1).0 == key {
                cursor.behind -= 1;
            }
            cursor.first < cursor.behind
        });
        best
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::run;
    use super::*;

    #[test]
    fn the_newest_run_wins_from_both_ends() {
        let overlay = Overlay {
            frozen: Arc::new(vec![run(&[("a", Some("1")), ("c", Some("1"))]), run(&[("b", Some("2"))])]),
            active: Arc::new(vec![run(&[("c", None), ("d", Some("3"))]), run(&[("b", Some("4"))])]),
        };
        let expected: [Row<'_>; 3] = [(b"b", Some(b"4")), (b"c", None), (b"d", Some(b"3"))];
        assert_eq!(overlay.range(b"b", b"e").collect::<Vec<_>>(), expected);
        let mut reversed: Vec<_> = overlay.range(b"b", b"e").rev().collect();
        reversed.reverse();
        assert_eq!(reversed, expected);
        assert_eq!(overlay.value_of(b"c"), Some(None));
        assert_eq!(overlay.value_of(b"a"), Some(Some(&b"1"[..])));
        assert_eq!(overlay.value_of(b"x"), None);
        assert_eq!(overlay.range(b"e", b"a").count(), 0);
    }
}
