//! A client in another language, written from `wire/PROTOCOL.md` and the schema alone, talks over the real node.
//! Needs Debian's `python3-venv`; the two packages of `python/requirements.txt` are fetched at the first run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::harness::{Node, NodeBuilder, check};
use tests::tidy;

/// What the tests make here is kept for their next run: under the target folder.
fn made() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder").join("python")
}

fn run(what: &str, command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{text}\n{errors}", output.status);
    text
}

/// The interpreter of an environment that has the packages; made anew when `requirements.txt` is another.
fn interpreter() -> PathBuf {
    let made = made();
    fs::create_dir_all(&made).expect("a folder");
    // Other tests, of this process or another, wait until it is whole.
    let lock = File::create(made.join("lock")).expect("a file");
    lock.lock().expect("a lock");
    let environment = made.join("venv");
    let interpreter = environment.join("bin/python");
    let requirements = tidy::root().join("tests/python/requirements.txt");
    let wanted = fs::read(&requirements).expect("requirements.txt");
    let installed = environment.join("installed.txt");
    let is_current = interpreter.exists() && fs::read(&installed).is_ok_and(|text| text == wanted);
    if !is_current {
        run(
            "python3 -m venv (Debian's python3-venv)",
            Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment),
        );
        run(
            "pip install",
            Command::new(&interpreter)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(&requirements),
        );
        // The compiler may be another one.
        let _ = fs::remove_dir_all(made.join("modules"));
        fs::write(&installed, wanted).expect("a file");
    }
    interpreter
}

/// Runs one of the scripts with the modules made from the schema.
fn script(name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(interpreter());
    command.arg(tidy::root().join("tests/python").join(name)).arg("--modules").arg(made().join("modules"));
    run(name, command.args(arguments))
}

/// Both users' whole talk, and nothing left that `ringtalk check` would mind.
fn assert_talk(mechanism: &str, arguments: impl Fn(&Node) -> Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = NodeBuilder::new(&folder.path().join("data")).start();
    let arguments = arguments(&node);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let text = script("conversation.py", &arguments);
    // Each line is `ok 3/18 what was done: what was seen`.
    let steps: Vec<&str> = text.lines().filter(|line| line.starts_with("ok ")).collect();
    let announced = steps.last().and_then(|line| line.split(['/', ' ']).nth(2)).and_then(|n| n.parse().ok());
    assert_eq!(announced, Some(steps.len()), "{text}");
    let first = steps.first().expect("a step");
    assert!(first.ends_with(&format!(", {mechanism}")), "{text}");
    assert!(node.is_running(), "{text}");
    assert!(node.stop().success(), "{}", node.errors());
    check(node.data()).expect("a clean folder");
}

#[test]
fn the_page_suffices_over_tls() {
    assert_talk("SCRAM-SHA-256-PLUS", |node| {
        let address = node.tls.expect("a TLS listener").to_string();
        vec!["--node".into(), address, "--fingerprint".into(), node.fingerprint.clone()]
    });
}

#[test]
fn the_page_suffices_over_plain() {
    assert_talk("SCRAM-SHA-256", |node| {
        let address = node.plain.expect("a plain listener").to_string();
        vec!["--node".into(), address, "--plain".into()]
    });
}

#[test]
fn the_examples_of_the_page_hold() {
    script("examples.py", &[]);
}

#[test]
fn a_certificate_that_is_not_pinned_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = NodeBuilder::new(&folder.path().join("data")).start();
    let address = node.tls.expect("a TLS listener").to_string();
    let pin = "00".repeat(32);
    let script = tidy::root().join("tests/python/conversation.py");
    for trust in [&["--fingerprint", &pin][..], &[]] {
        let output = Command::new(interpreter())
            .arg(&script)
            .arg("--modules")
            .arg(made().join("modules"))
            .args(["--node", &address])
            .args(trust)
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("FAILED 1/"), "{text}");
        assert!(text.contains("certificate"), "{text}");
    }
}
