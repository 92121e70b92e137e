//! The house rules hold in the repository, and each of them fails on a planted violation.

use std::process::Command;

use tests::tidy::{self, FILE_LINES_MAX, FUNCTION_LINES_MAX, Violation};

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(tidy::root().join(path)).ok()
}

#[test]
fn the_repository_is_tidy() {
    let mut found = Vec::new();
    let files = tidy::files();
    assert!(files.iter().any(|path| path == "node/shard/src/lib.rs"), "the walk sees the sources");
    for path in &files {
        let Some(text) = read(path) else { continue };
        if path.ends_with(".rs") {
            found.extend(tidy::check_source(path, &text));
        }
        if path != "Cargo.lock" && !path.ends_with("tidy.rs") {
            found.extend(tidy::check_words(path, &text));
        }
        if let Some(folder) = path.strip_suffix("/Cargo.toml")
            && !folder.contains("fuzz")
        {
            found.extend(tidy::check_manifest(folder, &text));
        }
    }
    let list: Vec<String> = found.iter().map(Violation::to_string).collect();
    assert!(list.is_empty(), "{} violations:\n{}", list.len(), list.join("\n"));
}

#[test]
fn every_dependency_of_the_workspace_has_its_reason() {
    let manifest = read("Cargo.toml").expect("the workspace's manifest");
    let section = manifest.split("[workspace.dependencies]").nth(1).expect("a section");
    let section = section.split("\n[").next().expect("its lines");
    for line in section.lines().filter(|line| line.contains('=') && !line.contains("path =")) {
        let reason = line.split_once(" # ").map_or("", |(_, reason)| reason);
        assert!(reason.len() > 8, "no reason beside: {line}");
    }
}

fn assert_finds(found: &[Violation], rule: &str) {
    assert!(found.iter().any(|violation| violation.rule.contains(rule)), "{rule:?} not among {found:?}");
}

#[test]
fn planted_dependencies_are_found() {
    let planted =
        |folder, name: &str| tidy::check_manifest(folder, &format!("[dependencies]\n{name} = \"1\"\n"));
    assert_finds(&planted("node/shard", "glommio"), "is pure");
    assert_finds(&planted("node/shard", "tokio"), "is pure");
    assert_finds(&planted("node/shard", "store"), "imports go one way");
    assert_finds(&planted("wire", "tokio"), "is pure");
    assert_finds(&planted("wire", "record"), "imports go one way");
    assert_finds(&planted("client", "shard"), "imports go one way");
    assert_finds(&planted("node", "fjall"), "only store may");
    assert_finds(&planted("node", "rkyv"), "only store/record may");
    assert_finds(&planted("surprise", "bytes"), "do not name");
    assert!(planted("node/shard", "bytes").is_empty());
}

#[test]
fn planted_source_is_found() {
    let lines = |count: usize| "let x = 1;\n".repeat(count);
    let source = tidy::check_source;
    assert_finds(&source("store/src/lib.rs", "let x = unsafe { y() };\n"), "unsafe outside");
    assert_finds(&source("node/src/ring/uring.rs", "let x = unsafe { y() };\n"), "SAFETY reason");
    let explained = "// SAFETY: y is pure.\nlet x = unsafe { y() };\n";
    assert!(source("node/src/ring/uring.rs", explained).is_empty());
    assert_finds(&source("node/shard/src/lib.rs", "async fn wait() {}\n"), "async in a pure");
    assert_finds(&source("wire/src/lib.rs", "let x = y.await;\n"), "async in a pure");
    assert_finds(&source("node/src/boot.rs", concat!("to", "do!()\n")), "undone");
    assert_finds(&source("node/src/boot.rs", concat!("// FIX", "ME later\n")), "undone");
    assert_finds(&source("node/src/boot.rs", &lines(FILE_LINES_MAX + 1)), "split it by meaning");
    let long = format!("fn long() {{\n{}}}\n", lines(FUNCTION_LINES_MAX).replace("let", "    let"));
    assert_finds(&source("node/src/boot.rs", &long), "a function of");
    let short = format!("fn short() {{\n{}}}\n", lines(FUNCTION_LINES_MAX - 2).replace("let", "    let"));
    assert!(source("node/src/boot.rs", &short).is_empty());
    assert_finds(&tidy::check_words("README.md", concat!("see /wo", "rk/notes")), "does not belong");
}

/// The clock, threads, files and sockets are banned in the pure packages by clippy. The ban is tried for real on a small
/// package with the same configuration.
#[test]
fn a_planted_clock_fails_clippy_in_the_pure_packages() {
    for package in ["wire", "node/shard", "store/record"] {
        let configuration = read(&format!("{package}/clippy.toml")).expect("the package's bans");
        let folder = tempfile::tempdir().expect("a folder for the package");
        let file =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a written file");
        file("clippy.toml", &configuration);
        file(
            "Cargo.toml",
            "[package]\nname = \"planted\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n\
             [workspace]\n[lints.clippy]\ndisallowed_methods = \"deny\"\ndisallowed_types = \"deny\"\n",
        );
        let clippy = |source: &str| {
            file("lib.rs", source);
            let output = Command::new("cargo")
                .args(["clippy", "--offline", "--quiet"])
                .current_dir(folder.path())
                .env("CARGO_TARGET_DIR", folder.path().join("target"))
                .env_remove("CLIPPY_CONF_DIR")
                .output()
                .expect("cargo clippy runs");
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (clean, text) = clippy("pub fn one() -> u32 { 1 }\n");
        assert!(clean, "{package}: {text}");
        for planted in [
            "std::time::Instant::now()",
            "std::time::SystemTime::now()",
            "std::thread::spawn(|| ())",
            "std::fs::read(\"x\")",
            "std::net::TcpStream::connect(\"127.0.0.1:1\")",
        ] {
            let (passed, text) = clippy(&format!("pub fn planted() {{ let _ = {planted}; }}\n"));
            assert!(!passed && text.contains("disallowed"), "{package}: {planted} was let through: {text}");
        }
    }
}
