//! Two runs count the same, whatever surrounds them.

use std::process::Command;

fn counts(surroundings: &[(&str, &str)]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_counts"));
    program.args(["--only", "private_send_across", "--only", "login"]).env_clear();
    let output = program.envs(surroundings.iter().copied()).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn two_runs_count_the_same() {
    let first = counts(&[]);
    assert_eq!(first.lines().count(), 3, "a head and two commands: {first}");
    assert_eq!(counts(&[("SOMETHING", &"long".repeat(1_000))]), first);
}
