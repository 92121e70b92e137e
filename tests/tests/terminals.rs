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

/// The arguments of the line in README.md with which this user begins.
fn readme_arguments(user: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let begin = format!("target/release/ringtalk chat --user {user} ");
    let mut lines = readme.lines().filter(|line| line.starts_with(&begin));
    let line = lines.next().unwrap_or_else(|| panic!("README.md has no line `{begin}...`"));
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// A terminal as README.md starts it, but for where the node and the folder are.
fn as_in_readme(node: &Node, folder: &Path, user: &str) -> Terminal {
    let mut arguments = readme_arguments(user);
    arguments.insert(1, node.tls.expect("a TLS listener").to_string());
    arguments.extend(["--data".into(), folder.display().to_string()]);
    arguments.extend(["--pin".into(), node.fingerprint.clone()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Terminal::start(&binary(), &arguments, &[("RINGTALK_PASSWORD", "a password")], 40, 100)
}

/// Types a line and waits for what it brings.
fn ask(terminal: &mut Terminal, line: &str, answer: &str) -> String {
    terminal.line(line);
    terminal.wait_for(answer)
}

/// What README.md says about the first steps, then the commands about people, one after the other.
#[test]
fn two_people_use_the_commands_about_people() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut node = NodeBuilder::new(&data).with(&["--contacts", "required"]).start();
    let of = |name: &str| folder.path().join(name);
    let readme = include_str!("../../README.md");
    assert!(readme.contains("`/add bob`") && readme.contains("`/accept ann`"), "the first steps");

    // What is asked while he is away is told when he is back.
    let mut bob = as_in_readme(&node, &of("bob"), "bob");
    bob.wait_for("There is no user `ann` yet");
    bob.line("/quit");
    bob.wait();
    let mut ann = as_in_readme(&node, &of("ann"), "ann");
    ann.wait_for("ann > bob | connected");
    ask(&mut ann, "/add bob it is me", "bob is asked and has not answered.");
    let mut bob = as_in_readme(&node, &of("bob"), "bob");
    bob.wait_for("ann asks to be a contact: it is me");
    ask(&mut bob, "/accept ann", "ann is a contact");
    ann.wait_for("bob is a contact now.");
    ann.line("hello, message-1");
    bob.wait_for("message-1");

    about_contacts_and_presence(&mut ann, &mut bob);
    about_profiles(&mut ann, &mut bob);
    about_devices_and_password(&mut bob, || as_in_readme(&node, &of("bob on another device"), "bob"));
    about_blocks(&mut ann, &mut bob);

    ask(&mut ann, "/help", "Esc: back");
    ann.press("\u{1b}");
    ann.wait_until("no page", |screen| !screen.contains("Esc: back"));
    ask(&mut ann, "/delete-account", "Password, to delete for good:");
    ask(&mut ann, "a password", "not connected");
    ask(&mut bob, "/to ann", "bob > ann (deleted)");
    for terminal in [&mut ann, &mut bob] {
        terminal.line("/quit");
        terminal.wait();
    }
    assert_eq!(node.stop().code(), Some(0), "{}", node.errors());
    check(&data).expect("a clean store");
}

fn about_contacts_and_presence(ann: &mut Terminal, bob: &mut Terminal) {
    ask(ann, "/remark bob Bobby", "The remark is kept.");
    ask(ann, "/folder bob friends", "bob is in friends.");
    ask(ann, "/contacts friends", "bob (Bobby) [friends]");
    ask(ann, "/folder carl friends", "There is no user `carl`.");
    ask(ann, "/who", "bob is online");
    ask(bob, "/status busy in a call", "bob (busy) > ann");
    ann.wait_for("bob is busy: in a call.");
    ask(bob, "/status invisible", "bob (invisible) > ann");
    ann.wait_for("bob is offline.");
    ask(ann, "/seen bob", "bob is offline, last seen");
    ask(bob, "/status online", "bob > ann");
    ann.wait_for("bob is online.");
    ask(ann, "/adverts off", "You get no adverts.");
}

fn about_profiles(ann: &mut Terminal, bob: &mut Terminal) {
    ask(bob, "/set nickname Robert", "Your profile is kept.");
    ask(bob, "/profile", "nickname: Robert");
    ask(bob, "/set email b@example.org", "Your profile is kept.");
    ask(bob, "/profile", "email: b@example.org  (contacts)");
    ask(bob, "/set email:nobody", "Your profile is kept.");
    ask(bob, "/profile", "email: b@example.org  (only you)");
    let screen = ask(ann, "/profile bob", "nickname: Robert");
    assert!(!screen.contains("b@example.org"), "for himself only:\n{screen}");
}

fn about_devices_and_password(bob: &mut Terminal, another: impl Fn() -> Terminal) {
    let mut second = another();
    second.wait_for("bob > ann | connected");
    let screen = ask(bob, "/devices", "this one");
    assert_eq!(count(&screen, ", logged in "), 2, "two devices:\n{screen}");
    ask(bob, "/end others", "1 session ended.");
    second.wait_for("not connected");
    second.line("/quit");
    second.wait();
    ask(bob, "/password", "Old password:");
    bob.press("a password");
    let screen = bob.wait_for("**********");
    assert!(!screen.contains("a password"), "it shows:\n{screen}");
    ask(bob, "", "New password:");
    ask(bob, "another password", "New password once more:");
    ask(bob, "another password", "Your password is changed");
}

/// A message to somebody who has blocked one stays without an answer, and goes when he has thought better of it.
fn about_blocks(ann: &mut Terminal, bob: &mut Terminal) {
    ask(bob, "/block ann", "ann is a contact, and blocked.");
    ask(ann, "into the void, message-2", "not answered");
    let screen = ann.wait_for("message-2");
    assert!(screen.lines().any(|line| line.contains("message-2") && line.contains('→')), "{screen}");
    assert!(!bob.screen().contains("message-2"));
    ask(bob, "/unblock ann", "ann is a contact.");
    ann.line("and again, message-3");
    bob.wait_for("message-3");
    bob.wait_for("message-2");
}
