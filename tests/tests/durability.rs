//! 20 kills and 5 power cuts under load. `cargo run --release -p tests --bin durability -- --help` for more.

use tests::durability::{Options, run};

#[test]
fn nothing_acknowledged_is_lost_doubled_or_reordered() {
    let verdict = run(&Options { kills: 20, cuts: 5, acked_each: 1_000 }).expect("it ran to its end");
    println!("{verdict}");
    assert!(verdict.is_clean(), "{verdict}\n{}", verdict.findings.join("\n"));
    assert!(verdict.acked >= 25 * 1_000, "{verdict}");
}
