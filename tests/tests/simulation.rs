//! Simulated worlds, each run twice: nothing is violated, and both runs are the same. Many more run by
//! `cargo sim -- --seeds 1000`.

use tests::sim::{Options, run_seeds};

#[test]
fn worlds_are_clean_and_repeat() {
    let options = Options { first_seed: 0, seeds: 200, threads: 2, check_determinism: true, bug: None };
    assert!(run_seeds(&options), "the report above names the seed and how to replay it");
}
