//! What can go wrong at start: a non-zero exit code and one line that says what and how to mend it. And how a node stops.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tests::harness::{NodeBuilder, Protection, RawClient, check, tool};
use wire::decode::EventBody;

/// It does not start; the one line it says holds all of `wanted`.
fn assert_fails(builder: &NodeBuilder, wanted: &[&str]) {
    let output = builder.command().output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it ended well: {text}");
    assert!(output.status.code().is_some_and(|code| code != 101), "{}: {text}", output.status);
    let line = text.trim_end().lines().last().unwrap_or_default().to_owned();
    for part in wanted {
        assert!(line.contains(part), "{part:?} is not in {text:?}");
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn wrong_options_are_named() {
    let folder = folder();
    let data = folder.path().join("data");
    for (options, wanted) in [
        (&["--cores", "0,banana"][..], &["--cores", "banana"][..]),
        (&["--cores", "4096"][..], &["4096"][..]),
        (&["--iterations", "12"][..], &["iterations", "4096"][..]),
        (&["--store-shards", "3"][..], &["store-shards", "3"][..]),
        (&["--cert", "/nowhere.pem"][..], &["--key"][..]),
        (&["--config", "/nowhere.toml"][..], &["/nowhere.toml"][..]),
    ] {
        let mut builder = NodeBuilder::new(&data);
        builder.more.clear();
        let output = builder.clone().with(options).command().output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{options:?} was taken");
        for part in wanted {
            assert!(text.contains(part), "{options:?}: {part:?} is not in {text:?}");
        }
    }
    let mut builder = NodeBuilder::new(&data).with(&["--no-such-option"]);
    builder.more.rotate_right(1);
    let output = builder.command().output().expect("it runs");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("--no-such-option"));
}

#[test]
fn a_data_folder_that_is_none() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").expect("a file");
    assert_fails(&NodeBuilder::new(&file), &[&file.display().to_string()]);
    let foreign = folder.path().join("foreign");
    std::fs::create_dir(&foreign).expect("a folder");
    std::fs::write(foreign.join("manifest.json"), "{ \"format\": 999 }").expect("a file");
    assert_fails(&NodeBuilder::new(&foreign), &[&foreign.display().to_string()]);
}

#[test]
fn a_port_in_use() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let mut builder = NodeBuilder::new(&folder.path().join("data"));
    builder.plain = Some(address);
    assert_fails(&builder, &[&address.to_string(), "in use"]);
}

#[test]
fn a_data_folder_in_use() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = NodeBuilder::new(&data).start();
    assert_fails(&NodeBuilder::new(&data), &[&data.display().to_string(), "in use"]);
    let output = node.tool(&["check"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use"));
}

/// The segments of the logs of all store shards.
fn segments(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            segments(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
}

/// The place of the last written byte: segments are filled with zeros before they are used.
fn written_len(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn a_damaged_store_is_refused_and_repair_does_not_go_below_the_mark() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut node = NodeBuilder::new(&data).with(&["--store-shards", "1", "--cores", "0"]).start();
    let plain = node.plain.expect("a plain listener");
    let mut ann = RawClient::new_user(plain, Protection::Plain, "ann");
    let bob = RawClient::new_user(plain, Protection::Plain, "bob");
    for n in 1..=50 {
        let answer = ann.send_text(bob.user, n, n - 1, &format!("message {n} {}", "x".repeat(600)));
        assert!(matches!(answer, EventBody::Sent(_)), "{answer:?}");
    }
    node.kill();
    assert!(check(&data).is_ok());
    let mut found = Vec::new();
    segments(&data, &mut found);
    let segment = found.iter().max_by_key(|path| written_len(&std::fs::read(path).expect("a segment")));
    let segment = segment.expect("a segment").clone();
    let whole = std::fs::read(&segment).expect("a segment");
    // In the middle: acknowledged commits lie behind it.
    let mut damaged = whole.clone();
    let middle = written_len(&whole) / 2;
    damaged[middle..middle + 64].fill(0xa5);
    std::fs::write(&segment, &damaged).expect("a written segment");
    assert_fails(&NodeBuilder::new(&data), &["repair"]);
    let output = tool(&data, &["check"]);
    assert!(!output.status.success());
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!text.trim().is_empty());
    // Whole again, it opens and has everything.
    std::fs::write(&segment, &whole).expect("a written segment");
    let node = NodeBuilder::new(&data).start();
    let mut ann = RawClient::greet(node.plain.expect("a plain listener"), Protection::Plain);
    ann.log_in("ann", "password");
    let conversation = ann.chat_with(bob.user);
    assert_eq!(ann.pull_all(conversation).len(), 50);
}

#[test]
fn a_polite_stop_tells_clients_to_move_and_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let folder = folder();
        let data = folder.path().join("data");
        let mut node = NodeBuilder::new(&data).start();
        let plain = node.plain.expect("a plain listener");
        let mut ann = RawClient::new_user(plain, Protection::Plain, "ann");
        let bob = RawClient::new_user(plain, Protection::Plain, "bob");
        assert!(matches!(ann.send_text(bob.user, 1, 0, "before the stop"), EventBody::Sent(_)));
        node.signal(signal);
        let status = node.wait();
        assert_eq!(status.code(), Some(0), "{}", node.errors());
        let events = ann.until_closed();
        assert!(events.iter().any(|event| matches!(event, EventBody::Move(_))), "{events:?}");
        let text = check(&data).expect("a clean store");
        assert!(text.contains("findings=0"), "{text}");
        node.restart();
        let mut ann = RawClient::greet(plain, Protection::Plain);
        ann.log_in("ann", "password");
        let conversation = ann.chat_with(bob.user);
        assert_eq!(ann.pull_all(conversation).len(), 1);
    }
}

/// Its messages go to a pipe whose reader is gone: no thread may end over that, the operator's least of all.
#[test]
fn a_node_whose_messages_nobody_reads_goes_on() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut child = NodeBuilder::new(&data).with(&["--log", "trace"]).command().spawn().expect("it starts");
    drop(child.stderr.take());
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("text") == "ready"));
    for name in ["ann", "ben", "eve"] {
        let output = tool(&data, &["user", "add", name]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().expect("kill runs").success());
    assert_eq!(child.wait().expect("its end").code(), Some(0));
    check(&data).expect("a clean store");
}

#[test]
fn the_operator_adds_lists_and_resets_users_of_a_running_node() {
    let folder = folder();
    let data = folder.path().join("data");
    let missing = tool(&data, &["user", "list"]);
    assert!(!missing.status.success(), "no node is running");
    let node = NodeBuilder::new(&data).closed().start();
    let plain = node.plain.expect("a plain listener");
    let run = |arguments: &[&str]| {
        let output = node.tool(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let mut stranger = RawClient::greet(plain, Protection::Plain);
    let answer = stranger.ask(|encoder, request| encoder.register_start(request, "stranger"));
    let EventBody::Refused(refused) = answer else { panic!("{answer:?}") };
    assert_eq!(refused.name, "registration_closed");
    let added = run(&["user", "add", "zoe"]);
    let password = added.split_whitespace().last().expect("a password").to_owned();
    let mut zoe = RawClient::greet(plain, Protection::Plain);
    zoe.log_in("zoe", &password);
    assert!(run(&["user", "list"]).contains("zoe"));
    let again = node.tool(&["user", "add", "ZOE"]);
    assert!(!again.status.success(), "names differ in more than case");
    run(&["user", "reset", "zoe"]);
    zoe.until_closed();
    let mut zoe = RawClient::greet(plain, Protection::Plain);
    assert!(matches!(zoe.try_log_in("zoe", &password), EventBody::Refused(_)));
}
