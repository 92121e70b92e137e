//! Damage at any place of a log: a store that opens holds everything it acknowledged, and one that was refused is
//! as it was.

mod common;

use std::path::Path;
use std::sync::LazyLock;

use common::log::{self, copy_folder, mark, set_mark, used};
use common::{open, options, try_open};
use proptest::prelude::*;
use store::repair;
use tempfile::TempDir;

const ROWS: usize = 12;
/// The mark trails the last commit by this much, as it does in life.
const MARK_TRAILS: usize = 1;

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip { mask: u8 },
    Zeros { len: usize },
    Noise { len: usize },
    Cut,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        3 => (1_u8..=255).prop_map(|mask| Damage::Flip { mask }),
        2 => (1_usize..1_500).prop_map(|len| Damage::Zeros { len }),
        1 => (1_usize..300).prop_map(|len| Damage::Noise { len }),
        1 => Just(Damage::Cut),
    ]
}

fn inflict(dir: &Path, damage: Damage, at: u64) {
    match damage {
        Damage::Flip { mask } => log::flip(dir, at, mask),
        Damage::Zeros { len } => log::zero(dir, at, len),
        Damage::Noise { len } => {
            for offset in 0..len as u64 {
                log::flip(dir, at + offset, (at + offset) as u8 | 1);
            }
        }
        Damage::Cut => log::truncate(dir, at),
    }
}

fn value(row: usize) -> String {
    format!("value-{row:03}-").repeat(1 + row * 7 % 30)
}

fn make(dir: &Path) {
    let mut store = open(dir);
    let mut trailing = None;
    for row in 0..ROWS {
        if row == ROWS - MARK_TRAILS {
            store.close();
            trailing = Some(mark(dir));
            store = open(dir);
        }
        store.put(0, &format!("key-{row:03}"), &value(row));
    }
    store.close();
    set_mark(dir, &trailing.unwrap());
}

/// The rows of an open store must be the first ones, whole.
fn rows(dir: &Path) -> Option<usize> {
    let mut store = try_open(options(dir)).ok()?;
    let rows = store.all(0);
    for (row, (key, found)) in rows.iter().enumerate() {
        assert_eq!((key, found), (&format!("key-{row:03}"), &value(row)));
    }
    store.close();
    Some(rows.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_in_silence(damage in damage(), place in 0.0..1.05_f64, late in any::<bool>()) {
        static ORIGINAL: LazyLock<TempDir> = LazyLock::new(|| {
            let original = tempfile::tempdir().unwrap();
            make(original.path());
            original
        });
        let dir = tempfile::tempdir().unwrap();
        copy_folder(ORIGINAL.path(), dir.path());
        let length = used(dir.path()).len() as f64;
        // Half of the damage lies in the last commit or so, as after a power cut.
        let at = if late { length * (0.9 + place * 0.11) } else { length * place };
        inflict(dir.path(), damage, at as u64);

        let whole_or_last_lost = [ROWS - MARK_TRAILS, ROWS];
        match rows(dir.path()) {
            Some(rows) => prop_assert!(whole_or_last_lost.contains(&rows), "{rows} rows"),
            None => {
                let before = used(dir.path());
                let report = repair(dir.path()).unwrap();
                if report.is_sound() {
                    let rows = rows(dir.path());
                    prop_assert!(rows.is_some_and(|rows| whole_or_last_lost.contains(&rows)), "{rows:?} rows");
                } else {
                    prop_assert!(used(dir.path()) == before, "refused, but changed: {report}");
                    prop_assert!(rows(dir.path()).is_none());
                }
            }
        }
    }
}
