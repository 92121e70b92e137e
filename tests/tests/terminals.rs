//! Two people in two real terminals, and a node that is killed between them.

use std::path::Path;

use tests::harness::{Node, NodeBuilder, Terminal, binary, check};

fn chat(node: &Node, folder: &Path, user: &str, peer: &str) -> Terminal {
    let address = node.tls.expect("a TLS listener").to_string();
    let data = folder.join(user).display().to_string();
    let arguments = [
        "chat",
        &address,
        "--user",
        user,
        "--peer",
        peer,
        "--register",
        "--data",
        &data,
        "--pin",
        &node.fingerprint,
    ];
    Terminal::start(&binary(), &arguments, &[("RINGTALK_PASSWORD", "a password")], 30, 100)
}

/// How often a message stands on the screen.
fn count(screen: &str, text: &str) -> usize {
    screen.matches(text).count()
}

#[test]
fn two_terminals_talk_across_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut node = NodeBuilder::new(&data).start();
    // The first one waits for his peer to exist.
    let mut bob = chat(&node, folder.path(), "bob", "ann");
    bob.wait_for("bob");
    let mut ann = chat(&node, folder.path(), "ann", "bob");
    ann.wait_for("ann > bob | connected");
    bob.wait_for("bob > ann | connected");
    ann.line("hello bob, message-1");
    bob.wait_for("message-1");
    bob.line("hello ann, message-2");
    ann.wait_for("message-2");

    node.kill();
    ann.line("said while it was down, message-3");
    ann.wait_for("reconnecting");
    bob.wait_for("reconnecting");
    node.restart();
    bob.wait_for("message-3");
    bob.line("and it goes on, message-4");
    ann.wait_for("message-4");
    ann.line("日本語 and 😀 are wide, message-5");
    bob.wait_for("message-5");
    for terminal in [&mut ann, &mut bob] {
        terminal.resize(20, 60);
        let screen = terminal.wait_for("message-5");
        for n in 2..=5 {
            assert_eq!(count(&screen, &format!("message-{n}")), 1, "message-{n} on:\n{screen}");
        }
        terminal.line("/quit");
        assert_eq!(terminal.wait(), 0);
    }
    // The history is there on start.
    let mut ann = chat(&node, folder.path(), "ann", "bob");
    let screen = ann.wait_for("message-5");
    for n in 1..=5 {
        assert_eq!(count(&screen, &format!("message-{n}")), 1, "message-{n} on:\n{screen}");
    }
    ann.line("/quit");
    ann.wait();
    assert_eq!(node.stop().code(), Some(0), "{}", node.errors());
    check(&data).expect("a clean store");
}
