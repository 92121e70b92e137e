//! The store under a real node: a full disk, and data that outlives any number of cores.

use std::path::Path;
use std::process::Command;

use tests::harness::{NodeBuilder, Protection, RawClient, check};
use wire::decode::EventBody;

/// A small file system of its own in memory; unmounted when dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn new(mib: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "ringtalk-test"])
            .arg(folder.path())
            .status()
            .expect("mount runs");
        assert!(status.success(), "this test mounts a file system and must run as root");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_writes_loses_nothing_and_works_again() {
    let disk = SmallDisk::new(256);
    let data = disk.path().join("data");
    let options = ["--free-floor", "64", "--store-shards", "1", "--cores", "0", "--write-buffer", "8"];
    let mut node = NodeBuilder::new(&data).with(&options).start();
    let plain = node.plain.expect("a plain listener");
    let mut ann = RawClient::new_user(plain, Protection::Plain, "ann");
    let bob = RawClient::new_user(plain, Protection::Plain, "bob");
    let (mut acked, mut counter) = (0, 0);
    let mut say = |ann: &mut RawClient, acked: &mut u64| {
        counter += 1;
        let answer = ann.send_text(bob.user, counter, *acked, &format!("message {counter}"));
        if matches!(answer, EventBody::Sent(_)) {
            *acked = counter;
        }
        answer
    };
    for _ in 0..100 {
        assert!(matches!(say(&mut ann, &mut acked), EventBody::Sent(_)));
    }
    // Leaves less free than the floor.
    let filler = disk.path().join("filler");
    let statistics =
        Command::new("df").args(["--output=avail", "-k"]).arg(disk.path()).output().expect("df runs");
    let text = String::from_utf8_lossy(&statistics.stdout).into_owned();
    let free_kib: u64 = text.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a number");
    std::fs::write(&filler, vec![1; (free_kib as usize).saturating_sub(40 * 1024) * 1024])
        .expect("a filled disk");
    let mut refused = 0;
    let stored = loop {
        match say(&mut ann, &mut acked) {
            EventBody::Refused(refusal) => {
                assert_eq!(refusal.name, "storage_full");
                refused += 1;
                if refused == 50 {
                    break acked;
                }
            }
            EventBody::Sent(_) => assert_eq!(refused, 0, "taken while the disk was full"),
            other => panic!("{other:?}"),
        }
    };
    let conversation = ann.chat_with(bob.user);
    assert!(ann.pull_all(conversation).len() as u64 >= 100, "reads go on");
    std::fs::remove_file(&filler).expect("room again");
    let begin = std::time::Instant::now();
    while !matches!(say(&mut ann, &mut acked), EventBody::Sent(_)) {
        assert!(begin.elapsed().as_secs() < 30, "it does not work again");
    }
    let log = ann.pull_all(conversation);
    let texts: std::collections::HashSet<_> = log.iter().map(|(_, body)| body.clone()).collect();
    assert_eq!(texts.len(), log.len(), "nothing is doubled");
    assert!(texts.contains(format!("message {acked}").as_bytes()));
    assert!(
        (1..=100).all(|n| texts.contains(format!("message {n}").as_bytes())),
        "acknowledged before {stored}"
    );
    assert_eq!(node.stop().code(), Some(0), "{}", node.errors());
    check(&data).expect("a clean store");
}

/// Everyone's whole history, through a node with these options.
fn read_all(data: &Path, options: &[&str], users: usize, each: u64) {
    let mut node = NodeBuilder::new(data).with(options).start();
    let plain = node.plain.expect("a plain listener");
    let mut clients: Vec<RawClient> = (0..users)
        .map(|index| {
            let mut client = RawClient::greet(plain, Protection::Plain);
            client.log_in(&format!("user{index}"), "password");
            client
        })
        .collect();
    let ids: Vec<_> = clients.iter().map(|client| client.user).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let peer = ids[(index + 1) % users];
        let conversation = client.chat_with(peer);
        let log = client.pull_all(conversation);
        assert_eq!(log.len() as u64, each, "user{index} under {options:?}");
        for (seq, body) in log {
            assert_eq!(body, format!("{index}:{seq}").as_bytes());
        }
    }
    assert_eq!(node.stop().code(), Some(0), "{}", node.errors());
    let text = check(data).expect("a clean store");
    assert!(text.contains("findings=0"), "{text}");
}

fn write_all(data: &Path, options: &[&str], users: usize, each: u64) {
    let mut node = NodeBuilder::new(data).with(options).start();
    let plain = node.plain.expect("a plain listener");
    let mut clients: Vec<RawClient> = (0..users)
        .map(|index| RawClient::new_user(plain, Protection::Plain, &format!("user{index}")))
        .collect();
    let ids: Vec<_> = clients.iter().map(|client| client.user).collect();
    std::thread::scope(|scope| {
        for (index, client) in clients.iter_mut().enumerate() {
            let peer = ids[(index + 1) % users];
            scope.spawn(move || {
                for n in 1..=each {
                    let answer = client.send_text(peer, n, n - 1, &format!("{index}:{n}"));
                    assert!(matches!(answer, EventBody::Sent(_)), "{answer:?}");
                }
            });
        }
    });
    assert_eq!(node.stop().code(), Some(0), "{}", node.errors());
}

#[test]
fn one_folder_under_1_2_3_and_12_executors() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // 20 conversations of 500 messages.
    write_all(&data, &["--shards", "2"], 20, 500);
    for shards in ["1", "2", "3", "12"] {
        read_all(&data, &["--shards", shards], 20, 500);
    }
}

#[test]
fn two_store_shards_under_four_executors() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    write_all(&data, &["--shards", "4", "--store-shards", "2"], 8, 100);
    read_all(&data, &["--shards", "4"], 8, 100);
    read_all(&data, &["--shards", "1"], 8, 100);
}
