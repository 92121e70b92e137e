//! What a range returns, in one place for the store on disk and the one in memory.

use bytes::Bytes;
use record::kv::{Row, Rows};

/// Takes rows until there are `rows_max` of them or their values add up to `bytes_max`, and looks one row further to
/// know whether there are more. The first row is returned whatever its size, so that a reader always gets on.
pub(crate) fn collect_range<E>(
    mut found: impl Iterator<Item = Result<(Bytes, Bytes), E>>,
    rows_max: u32,
    bytes_max: u32,
) -> Result<Rows, E> {
    let mut rows = Rows::default();
    let mut bytes = 0_u64;
    loop {
        let enough = !rows.rows.is_empty() && bytes >= u64::from(bytes_max);
        if enough || rows.rows.len() as u64 >= u64::from(rows_max) {
            rows.more = found.next().transpose()?.is_some();
            return Ok(rows);
        }
        let Some(row) = found.next() else { return Ok(rows) };
        let (key, value) = row?;
        bytes += value.len() as u64;
        rows.rows.push(Row { key, value });
    }
}

/// The answer to a `Get`.
pub(crate) fn one_row(key: &Bytes, value: Option<Bytes>) -> Rows {
    Rows { rows: value.into_iter().map(|value| Row { key: key.clone(), value }).collect(), more: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(sizes: &[usize], rows_max: u32, bytes_max: u32) -> (usize, bool) {
        let found =
            sizes.iter().map(|size| Ok::<_, ()>((Bytes::from_static(b"k"), Bytes::from(vec![0; *size]))));
        let rows = collect_range(found, rows_max, bytes_max).unwrap();
        (rows.rows.len(), rows.more)
    }

    #[test]
    fn both_bounds_hold_and_more_is_told() {
        assert_eq!(collect(&[], 10, 100), (0, false));
        assert_eq!(collect(&[5, 5, 5], 3, 100), (3, false));
        assert_eq!(collect(&[5, 5, 5, 5], 3, 100), (3, true));
        assert_eq!(collect(&[5, 5, 5], 10, 10), (2, true));
        assert_eq!(collect(&[5, 6, 5], 10, 10), (2, true));
        assert_eq!(collect(&[5, 4, 5], 10, 10), (3, false));
        assert_eq!(collect(&[500, 5], 10, 10), (1, true));
        assert_eq!(collect(&[5, 5], 10, 0), (1, true), "a reader always gets on");
        assert_eq!(collect(&[5], 0, 10), (0, true));
        assert_eq!(collect(&[], 0, 10), (0, false));
    }
}
